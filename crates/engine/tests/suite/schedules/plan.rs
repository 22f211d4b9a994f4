//! Plans: schedules and what is to happen to them, drawn from a seed.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use moorline_core::content_id::ContentId;
use moorline_core::lane::Lane;
use moorline_core::schedule::times::Timing;
use moorline_core::schedule::{Misfire, Overlap, ScheduleDocument, ScheduleId};
use moorline_core::spec::CadenceKind;
use moorline_testkit::calendar;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

/// Days to simulate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    from: &'static str,
}

impl Window {
    /// Most clocks jump in these days; Casablanca's and Troll's are among them.
    pub(crate) const SPRING: Self = Self {
        from: "2026-03-07T00:00:00Z",
    };
    /// Most clocks jump back, and those that do not jump in [`SPRING`](Self::SPRING)'s days jump in these.
    pub(crate) const AUTUMN: Self = Self {
        from: "2026-10-03T00:00:00Z",
    };
}

/// When a schedule is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cadence {
    Cron { expr: String, zone: String },
    Period { seconds: i64 },
}

/// One schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) name: String,
    pub(crate) cadence: Cadence,
    pub(crate) jitter_seconds: u32,
    pub(crate) misfire: Misfire,
    pub(crate) overlap: Overlap,
    pub(crate) starts_at: Option<Timestamp>,
    pub(crate) ends_at: Option<Timestamp>,
    /// How long its runs take, in minutes.
    pub(crate) takes: u32,
}

impl Subject {
    pub(crate) fn id(&self) -> ScheduleId {
        ScheduleId::new(Lane::STAGING, &self.name)
    }

    /// When the start of a target is due. The delay is the schedule's own and no more than it says.
    pub(crate) fn due_at(&self, target: Timestamp) -> Timestamp {
        if self.jitter_seconds == 0 {
            return target;
        }
        let timing = Timing::of(&self.document(), target).unwrap();
        let jitter = timing.jitter(&self.id(), target);
        assert!(jitter.as_secs() <= u64::from(self.jitter_seconds));
        target + jitter
    }

    fn document(&self) -> ScheduleDocument {
        let (kind, expr, period_seconds, zone) = match &self.cadence {
            Cadence::Cron { expr, zone } => {
                (CadenceKind::Cron, Some(expr.clone()), None, zone.as_str())
            }
            Cadence::Period { seconds } => (
                CadenceKind::Periodic,
                None,
                Some(seconds.unsigned_abs()),
                "UTC",
            ),
        };
        ScheduleDocument {
            kind,
            expr,
            period_seconds,
            time_zone: zone.to_owned(),
            jitter_seconds: self.jitter_seconds,
            misfire: self.misfire,
            overlap: self.overlap,
            starts_at: self.starts_at,
            ends_at: self.ends_at,
            job_id: self.name.clone(),
            spec_hash: ContentId::of_bytes(b""),
        }
    }

    /// The `job_spec.json` of its job.
    pub(crate) fn spec(&self) -> serde_json::Value {
        let mut cadence = serde_json::to_value(self.document()).unwrap();
        let fields = cadence.as_object_mut().unwrap();
        for field in ["job_id", "spec_hash", "time_zone"] {
            fields.remove(field);
        }
        let zone = match &self.cadence {
            Cadence::Cron { zone, .. } => zone.as_str(),
            Cadence::Period { .. } => "UTC",
        };
        serde_json::json!({
            "job_id": self.name,
            "time_zone": zone,
            "cadence": cadence,
            "portfolio": {"entities": [{
                "source_id": self.name, "tier_hint": 1, "preferred_methods": ["official_api"],
                "lookback_days": 1
            }]},
            "steps": [{"name": "work", "argv": ["work"], "egress": "none"}]
        })
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cadence {
            Cadence::Cron { expr, zone } => write!(f, "{} `{expr}` in {zone}", self.name)?,
            Cadence::Period { seconds } => write!(f, "{} every {seconds} s", self.name)?,
        }
        write!(
            f,
            " (misfire {:?}, overlap {:?}, jitter {} s, runs of {} min)",
            self.misfire, self.overlap, self.jitter_seconds, self.takes
        )
    }
}

/// Something that is to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    /// The schedule is disabled, and enabled again later.
    Disable(usize),
    Enable(usize),
    /// Its source is paused, and goes on later.
    Pause(usize),
    Resume(usize),
    /// The machine's clock is put ahead or back by so many minutes.
    Jump(i64),
    /// The engine dies, and comes back after so many minutes.
    Crash {
        down: i64,
    },
    /// The engine dies right behind a tick, with what it has begun under way.
    CrashBehindTick,
}

/// A plan.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) from: Timestamp,
    pub(crate) minutes: i64,
    pub(crate) schedules: Vec<Subject>,
    /// In order: after how many minutes, by a clock that never jumps.
    pub(crate) deeds: Vec<(i64, Deed)>,
    zones: usize,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} schedules, {} days from {}, {} zones with a transition, {} deeds",
            self.schedules.len(),
            self.minutes / 1440,
            self.from,
            self.zones,
            self.deeds.len()
        )
    }
}

impl Plan {
    /// At least `schedules` of them, and one in each zone whose clock jumps, when that many are asked for.
    pub(crate) fn draw(seed: u64, window: Window, schedules: usize, days: u32) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let from: Timestamp = window.from.parse().unwrap();
        assert!(days >= 10, "deeds need some days");
        let minutes = i64::from(days) * 1440;
        let until = from + SignedDuration::from_mins(minutes);
        let zones: Vec<String> = calendar::shifts(from, until).into_keys().collect();
        let count = if schedules < 100 {
            schedules
        } else {
            schedules.max(zones.len())
        };
        let first = if schedules < 100 {
            rng.random_range(0..zones.len())
        } else {
            0
        };
        let schedules: Vec<Subject> = (0..count)
            .map(|number| {
                let zone = &zones[(first + number) % zones.len()];
                subject(&mut rng, number, zone, from, minutes)
            })
            .collect();
        let mut deeds = deeds(&mut rng, schedules.len(), minutes);
        deeds.sort_by_key(|(at, _)| *at);
        Self {
            from,
            minutes,
            zones: zones.len(),
            schedules,
            deeds,
        }
    }
}

fn subject(rng: &mut StdRng, number: usize, zone: &str, from: Timestamp, minutes: i64) -> Subject {
    let cadence = if rng.random_bool(0.15) {
        let hours = rng.random_range(20..120);
        Cadence::Period {
            seconds: hours * 3600 + rng.random_range(0..3600),
        }
    } else {
        let expr = expression(rng);
        let zone = zone.to_owned();
        Cadence::Cron { expr, zone }
    };
    let within = |rng: &mut StdRng| from + SignedDuration::from_mins(rng.random_range(0..minutes));
    Subject {
        name: format!("job-{number}"),
        cadence,
        jitter_seconds: if rng.random_bool(0.2) {
            rng.random_range(1..1800)
        } else {
            0
        },
        misfire: *[Misfire::Skip, Misfire::RunOnce].choose(rng).unwrap(),
        overlap: *[Overlap::Skip, Overlap::Queue, Overlap::CancelPrevious]
            .choose(rng)
            .unwrap(),
        starts_at: rng.random_bool(0.1).then(|| within(rng)),
        ends_at: rng.random_bool(0.1).then(|| within(rng)),
        // Some take longer than the distance of their starts.
        takes: *[0, 10, 40, 400, 3000].choose(rng).unwrap(),
    }
}

/// Times at night, when clocks jump, on days that are some apart: clocks jump on Sundays, but not everywhere.
fn expression(rng: &mut StdRng) -> String {
    let minute = rng.random_range(0..60);
    let hour = rng.random_range(0..5);
    let day = [
        "* * 0", "* * 0", "* * 0,3", "*/9 * *", "* * 6", "29 * *", "* * 5",
    ]
    .choose(rng)
    .unwrap();
    match rng.random_range(0..20) {
        0..=13 => format!("{minute} {hour} {day}"),
        14..=15 => format!("{minute} {hour}-{} {day}", hour + 1),
        16 => format!("*/{} {hour} {day}", rng.random_range(15..40)),
        17..=18 => format!("{minute} */8 {day}"),
        // Every hour, by elapsed time, on one day in the month's last days.
        _ => format!("{minute} * 29 * *"),
    }
}

fn deeds(rng: &mut StdRng, schedules: usize, minutes: i64) -> Vec<(i64, Deed)> {
    let mut deeds = Vec::new();
    for number in 0..schedules {
        if rng.random_bool(0.4) {
            let (off, on) = if rng.random_bool(0.5) {
                (Deed::Disable(number), Deed::Enable(number))
            } else {
                (Deed::Pause(number), Deed::Resume(number))
            };
            let at = rng.random_range(0..minutes * 9 / 10);
            deeds.push((at, off));
            deeds.push((at + rng.random_range(1..minutes / 10), on));
        }
    }
    let some = minutes / 1440 / 5;
    for _ in 0..some {
        let ahead = rng.random_range(0..minutes);
        deeds.push((ahead, Deed::Jump(60)));
        deeds.push((rng.random_range(0..minutes), Deed::Jump(-60)));
        let down = *[1, 30, 90, 1000].choose(rng).unwrap();
        deeds.push((rng.random_range(0..minutes), Deed::Crash { down }));
        deeds.push((rng.random_range(0..minutes), Deed::CrashBehindTick));
    }
    deeds
}
