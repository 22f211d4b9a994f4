//! Random sequences of deeds, actors and clocks.

use jiff::SignedDuration;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// What the world around a schedule is like while commands come.
#[derive(Debug, Clone)]
struct World {
    schedule: Schedule,
    source: SourceState,
    stop: Option<Stop>,
    now: Timestamp,
    fired: Vec<Timestamp>,
}

#[derive(Debug, Clone)]
enum Deed {
    Enable { gates_met: bool, permits: bool },
    Disable,
    Resume,
    Stop,
    Release,
    Source(SourceState),
    Promote,
    Fire { steps: u8 },
    Skip(SkipCause),
    Queue,
    Over(Option<FailureClass>),
    Clock { minutes: i16 },
}

fn deed() -> impl Strategy<Value = Deed> {
    let class = proptest::option::of(select(vec![
        FailureClass::Auth,
        FailureClass::Validation,
        FailureClass::Runtime,
        FailureClass::Timeout,
        FailureClass::Leak,
        FailureClass::Cancelled,
    ]));
    let cause = select(vec![
        SkipCause::Misfire,
        SkipCause::Overlap,
        SkipCause::Stop,
    ]);
    prop_oneof![
        4 => (any::<bool>(), any::<bool>())
            .prop_map(|(gates_met, permits)| Deed::Enable { gates_met, permits }),
        4 => Just(Deed::Enable { gates_met: true, permits: true }),
        1 => Just(Deed::Disable),
        2 => Just(Deed::Resume),
        1 => Just(Deed::Stop),
        1 => Just(Deed::Release),
        2 => select(SourceState::ALL.to_vec()).prop_map(Deed::Source),
        2 => Just(Deed::Source(SourceState::Active)),
        1 => Just(Deed::Promote),
        6 => (0..4_u8).prop_map(|steps| Deed::Fire { steps }),
        2 => cause.prop_map(Deed::Skip),
        2 => Just(Deed::Queue),
        3 => class.prop_map(Deed::Over),
        3 => (-600..600_i16).prop_map(|minutes| Deed::Clock { minutes }),
    ]
}

impl World {
    /// Does it as the store would: a refusal changes nothing.
    fn does(&mut self, deed: &Deed, by: &Principal) {
        let holds = Holds {
            source: Some(self.source),
            stop: self.stop.clone(),
        };
        let reason = || "because".to_owned();
        let system = Principal::system();
        let next = |schedule: &Schedule, steps: u8| {
            let timing = Timing::of(&schedule.document, schedule.anchor).unwrap();
            (0..steps).fold(schedule.cursor, |time, _| timing.next_after(time).unwrap())
        };
        let (command, by) = match deed {
            Deed::Enable { gates_met, permits } => {
                let facts = EnableFacts {
                    gates: gates(|_| *gates_met),
                    document: Some(self.schedule.document.clone()),
                    lane_permits: *permits,
                    holds,
                };
                (enable(facts), by)
            }
            Deed::Disable => (disable(), by),
            Deed::Resume => (
                Command::Resume {
                    holds,
                    reason: reason(),
                },
                by,
            ),
            Deed::Stop => {
                self.stop = Some(stop());
                (disable(), by)
            }
            Deed::Release => {
                self.stop = None;
                return;
            }
            Deed::Source(state) => {
                self.source = *state;
                let is = Command::SourceIs {
                    state: *state,
                    reason: reason(),
                };
                (is, &system)
            }
            Deed::Promote => {
                let known = self.schedule.clone();
                let id = known.id.clone();
                let defined = define(id, Some(&known), definition(), by, "again", self.now);
                self.schedule = defined.schedule;
                return;
            }
            Deed::Fire { steps } => {
                let fire_at = match self.schedule.queued {
                    Some(waiting) if *steps == 0 => waiting,
                    _ => next(&self.schedule, *steps),
                };
                let fire = Command::Fire {
                    fire_at,
                    run: run(1),
                };
                if let Ok(applied) = apply(&self.schedule, fire, &system, self.now) {
                    self.fired.push(fire_at);
                    self.schedule = applied.schedule;
                }
                return;
            }
            Deed::Skip(cause) => (
                Command::Skip {
                    through: next(&self.schedule, 1),
                    count: 1,
                    cause: *cause,
                    alert_after: 3,
                },
                &system,
            ),
            Deed::Queue => (
                Command::Queue {
                    fire_at: next(&self.schedule, 1),
                },
                &system,
            ),
            Deed::Over(class) => (
                Command::RunOver {
                    run: run(1),
                    class: *class,
                    pause_after: 2,
                },
                &system,
            ),
            Deed::Clock { minutes } => {
                self.now += SignedDuration::from_mins(i64::from(*minutes));
                return;
            }
        };
        let disables = matches!(command, Command::Disable { .. });
        match apply(&self.schedule, command, by, self.now) {
            Ok(applied) => {
                assert!(applied.schedule.cursor >= self.schedule.cursor);
                let changed = applied.schedule != self.schedule;
                let more = u64::from(changed);
                assert_eq!(applied.schedule.version, self.schedule.version + more);
                self.schedule = applied.schedule;
            }
            Err(denial) => assert!(!disables, "disabling was refused: {denial}"),
        }
    }

    fn holds(&self) {
        let Self {
            schedule, source, ..
        } = self;
        if schedule.state == ScheduleState::Enabled {
            assert!(schedule.by.is_human(), "enabled by {}", schedule.by);
            assert_eq!(*source, SourceState::Active);
            assert_eq!(self.stop, None);
            assert_eq!(schedule.document, document());
        } else {
            assert_eq!((schedule.next_at, schedule.queued), (None, None));
        }
        if *source == SourceState::NeedsReauth {
            assert_eq!(schedule.state, ScheduleState::Disabled);
        }
        let mut once = self.fired.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), self.fired.len(), "a time was started twice");
    }
}

proptest! {
    /// Over random sequences of deeds, actors and clock jumps: what holds after every transition.
    #[test]
    fn an_enabled_schedule_is_a_persons_decision_that_nothing_holds(
        deeds in vec((deed(), select(vec!["human:ada", "agent:codex", "ci:main"])), 0..60),
    ) {
        let mut world = World {
            schedule: fresh(),
            source: SourceState::Active,
            stop: None,
            now: noon(),
            fired: Vec::new(),
        };
        for (deed, by) in deeds {
            world.does(&deed, &by.parse().unwrap());
            world.holds();
        }
    }
}
