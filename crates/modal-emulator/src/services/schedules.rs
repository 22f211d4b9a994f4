//! Schedules: functions of deployed apps that the server calls by itself, without arguments.
//!
//! A cron schedule has five fields and a time zone. A period counts from the deployment that put it in force:
//! a redeploy starts it anew. What would have fired while the emulator was stopped is not made up for.

use std::sync::Arc;
use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Span, Timestamp};
use moorline_modal_proto::client::function_input::ArgsOneof;
use moorline_modal_proto::client::schedule::{Cron as CronMessage, Period, ScheduleOneof};
use moorline_modal_proto::client::{
    AppState, DataFormat, FunctionCallInvocationType, FunctionInput, Schedule,
};
use tokio::sync::Notify;
use tonic::Status;

use super::{apps, functions};
use crate::clock;
use crate::world::World;

/// `((), {})`, pickled: no arguments.
const NO_ARGUMENTS: &[u8] = b"\x80\x04)}\x86.";
/// The longest sleep, so that a changed wall clock is noticed.
const LOOK: f64 = 60.0;

/// The schedules' part of the world.
#[derive(Debug, Default)]
pub(crate) struct Schedules {
    changed: Notify,
}

impl Schedules {
    /// Other schedules are in force.
    pub(crate) fn look(&self) {
        self.changed.notify_one();
    }
}

/// Refuses a schedule that would never fire, or could not be understood.
///
/// # Errors
/// `INVALID_ARGUMENT`.
pub(crate) fn check(schedule: &Schedule) -> Result<(), Status> {
    let now = clock::seconds();
    match next(schedule, now, now) {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(Status::invalid_argument("schedule: never fires")),
        Err(why) => Err(Status::invalid_argument(format!("schedule: {why}"))),
    }
}

/// The next time after `after`, in seconds since 1970, of a schedule that is in force since `since`.
fn next(schedule: &Schedule, since: f64, after: f64) -> Result<Option<f64>, String> {
    match &schedule.schedule_oneof {
        Some(ScheduleOneof::Cron(cron)) => next_of_cron(cron, after),
        Some(ScheduleOneof::Period(period)) => next_of_period(period, since, after),
        None => Err("neither `Cron` nor `Period`".to_owned()),
    }
}

fn timestamp(seconds: f64) -> Timestamp {
    Timestamp::from_duration(SignedDuration::from_secs_f64(seconds)).unwrap_or_default()
}

fn parse(expression: &str) -> Result<Cron, String> {
    let parser = CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build();
    parser.parse(expression).map_err(|error| {
        format!("`{expression}` has not the five fields of cron, as in `5 4 * * *`: {error}")
    })
}

fn next_of_cron(cron: &CronMessage, after: f64) -> Result<Option<f64>, String> {
    let zone = match cron.timezone.as_str() {
        "" => TimeZone::UTC,
        name => TimeZoneDatabase::bundled()
            .get(name)
            .map_err(|_| format!("`{name}` is not an IANA time zone, as `America/New_York` is"))?,
    };
    let expression = parse(&cron.cron_string)?;
    let from = timestamp(after).to_zoned(zone);
    let next = expression.find_next_occurrence(&from, false).ok();
    Ok(next.map(|next| next.timestamp().as_duration().as_secs_f64()))
}

/// Lengths in seconds, at least and at most: months and years differ.
fn length(period: &Period) -> (f64, f64) {
    const DAY: f64 = 86_400.0;
    let at = |year: f64, month: f64| {
        f64::from(period.years) * year * DAY
            + f64::from(period.months) * month * DAY
            + f64::from(period.weeks) * 7.0 * DAY
            + f64::from(period.days) * DAY
            + f64::from(period.hours) * 3600.0
            + f64::from(period.minutes) * 60.0
            + f64::from(period.seconds)
    };
    (at(365.0, 28.0), at(366.0, 31.0))
}

/// The end of the `n`th period since `since`: calendar units in UTC first, then seconds.
fn nth(period: &Period, since: f64, n: f64) -> Option<f64> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "checked by jiff, which refuses far times"
    )]
    let unit = |value: i32| (f64::from(value) * n) as i64;
    let span = Span::new().try_years(unit(period.years)).ok()?;
    let span = span.try_months(unit(period.months)).ok()?;
    let days = unit(period.weeks)
        .checked_mul(7)?
        .checked_add(unit(period.days))?;
    let span = span.try_days(days).ok()?;
    let fixed = f64::from(period.hours) * 3600.0
        + f64::from(period.minutes) * 60.0
        + f64::from(period.seconds);
    let end = timestamp(since)
        .to_zoned(TimeZone::UTC)
        .checked_add(span)
        .ok()?;
    Some(end.timestamp().as_duration().as_secs_f64() + fixed * n)
}

fn next_of_period(period: &Period, since: f64, after: f64) -> Result<Option<f64>, String> {
    let (least, most) = length(period);
    if least <= 0.0 {
        return Err("a `Period` must be longer than nothing".to_owned());
    }
    // No end before the `n`th can be later than `after`.
    let mut n = ((after - since) / most).floor().max(0.0) + 1.0;
    loop {
        match nth(period, since, n) {
            Some(end) if end > after => return Ok(Some(end)),
            Some(_) => n += 1.0,
            None => return Ok(None),
        }
    }
}

/// Functions that are scheduled, with their next times after `after`.
fn upcoming(world: &World, after: f64) -> Vec<(String, f64)> {
    let scheduled: Vec<(String, String, Schedule, f64)> = {
        let catalog = world.functions.catalog.read();
        let of = |(id, entry): (&str, &functions::Entry)| {
            let schedule = catalog.schedule(id)?;
            Some((
                id.to_owned(),
                entry.app_id.clone(),
                schedule,
                entry.in_force_since,
            ))
        };
        catalog.ids().filter_map(of).collect()
    };
    let mut upcoming = Vec::new();
    for (id, app_id, schedule, since) in scheduled {
        let Ok(app) = apps::get(world, &app_id) else {
            continue;
        };
        let deployed = app.state() == AppState::Deployed;
        if !deployed || !app.layout.function_ids.values().any(|of| *of == id) {
            continue;
        }
        if let Ok(Some(time)) = next(&schedule, since, after) {
            upcoming.push((id, time));
        }
    }
    upcoming
}

/// Fires schedules until the emulator stops.
pub(crate) fn begin(world: &Arc<World>) {
    let fire = fire(Arc::clone(world));
    world.tasks.spawn(fire);
}

async fn fire(world: Arc<World>) {
    let mut fired = clock::seconds();
    loop {
        let changed = world.schedules.changed.notified();
        let now = clock::seconds();
        for (id, time) in upcoming(&world, fired) {
            if time <= now {
                call(&world, &id);
            }
        }
        fired = now;
        let times = upcoming(&world, now).into_iter().map(|(_, time)| time);
        let wait = (times.fold(f64::INFINITY, f64::min) - clock::seconds()).clamp(0.0, LOOK);
        tokio::select! {
            () = changed => {}
            () = tokio::time::sleep(Duration::from_secs_f64(wait)) => {}
            () = world.stop.cancelled() => return,
        }
    }
}

fn call(world: &Arc<World>, function_id: &str) {
    let input = FunctionInput {
        data_format: DataFormat::Pickle.into(),
        args_oneof: Some(ArgsOneof::Args(NO_ARGUMENTS.into())),
        ..FunctionInput::default()
    };
    // Nobody waits for the output, so failed attempts are repeated here.
    match functions::begin_call(world, function_id, input, FunctionCallInvocationType::Async) {
        Ok(_) => world.journal.record("schedule.fire", function_id, None),
        Err(status) => tracing::warn!(function_id, %status, "a scheduled call could not be made"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cron(expression: &str, zone: &str) -> Schedule {
        let cron = CronMessage {
            cron_string: expression.into(),
            timezone: zone.into(),
        };
        Schedule {
            schedule_oneof: Some(ScheduleOneof::Cron(cron)),
        }
    }

    fn period(period: Period) -> Schedule {
        Schedule {
            schedule_oneof: Some(ScheduleOneof::Period(period)),
        }
    }

    fn at(text: &str) -> f64 {
        text.parse::<Timestamp>()
            .unwrap()
            .as_duration()
            .as_secs_f64()
    }

    #[test]
    fn cron_fires_by_the_clock_of_its_zone() {
        let next_at = |zone, after| next(&cron("0 6 * * *", zone), 0.0, after).unwrap();
        let after = at("2026-01-05T12:00:00Z");
        let six = at("2026-01-06T06:00:00Z");
        assert_eq!(next_at("UTC", after), Some(six));
        let eleven = at("2026-01-06T11:00:00Z");
        assert_eq!(next_at("America/New_York", after), Some(eleven));
        assert_eq!(next_at("UTC", six), Some(at("2026-01-07T06:00:00Z")));
    }

    #[test]
    fn a_schedule_that_can_not_be_is_refused() {
        let refused = |schedule| check(&schedule).unwrap_err().message().to_owned();
        assert!(refused(cron("* * * *", "")).contains("five fields"));
        assert!(refused(cron("0 0 * * * *", "")).contains("five fields"));
        assert!(refused(cron("* * * * *", "Mars/Base")).contains("IANA"));
        assert!(refused(period(Period::default())).contains("longer than nothing"));
        check(&cron("*/5 * * * *", "Europe/Berlin")).unwrap();
    }

    #[test]
    fn a_month_ends_on_the_same_day_and_seconds_may_be_a_fraction() {
        let since = at("2026-01-15T08:00:00Z");
        let month = period(Period {
            months: 1,
            ..Period::default()
        });
        assert_eq!(
            next(&month, since, since).unwrap(),
            Some(at("2026-02-15T08:00:00Z"))
        );
        let later = at("2026-03-01T00:00:00Z");
        assert_eq!(
            next(&month, since, later).unwrap(),
            Some(at("2026-03-15T08:00:00Z"))
        );
        let half = period(Period {
            seconds: 0.5,
            ..Period::default()
        });
        assert_eq!(next(&half, 100.0, 100.6).unwrap(), Some(101.0));
    }

    proptest! {
        #[test]
        fn the_next_time_is_later_and_no_period_is_left_out(
            days in 0_i32..3, hours in 0_i32..30, seconds in 1_u16..90, passed in 0_f64..1e6,
        ) {
            let seconds = f32::from(seconds);
            let period = Period { days, hours, seconds, ..Period::default() };
            let (least, _) = length(&period);
            let since = 1.7e9_f64;
            let next = next_of_period(&period, since, since + passed).unwrap().unwrap();
            prop_assert!(next > since + passed);
            prop_assert!(next <= since + passed + least + 1e-3);
        }
    }
}
