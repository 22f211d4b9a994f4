//! Bookkeeping of starts: made, waiting, fallen away, and what the end of a run does.

use jiff::Timestamp;
use serde_json::json;

use super::{Alarm, Draft, SkipCause, skipped};
use crate::denial::Denial;
use crate::error_code::{ErrorCode, FailureClass, FailureOccurrence, ScheduleEffect, SourceState};
use crate::event::{EventKind, Level, NewEvent};
use crate::ids::RunId;
use crate::schedule::ScheduleState;

impl Draft<'_> {
    pub(super) fn fire(&mut self, fire_at: Timestamp, run: RunId) -> Result<(), Denial> {
        self.take(fire_at)?;
        self.schedule.last_run = Some(run);
        self.schedule.skipped_in_a_row = 0;
        self.plan_next()?;
        let late = self.now.duration_since(fire_at).as_secs();
        let data = json!({
            "schedule": self.schedule.id,
            "fire_at": fire_at,
            "late_seconds": late,
            "run_id": run,
            "next_at": self.schedule.next_at,
        });
        self.events.push(NewEvent {
            kind: EventKind::ScheduleFired,
            level: Level::Info,
            data,
        });
        Ok(())
    }

    pub(super) fn queue(&mut self, fire_at: Timestamp) -> Result<(), Denial> {
        let waiting = self.schedule.queued;
        self.take(fire_at)?;
        if let Some(older) = waiting.filter(|older| *older != fire_at) {
            // At most one waits, and it is the newest.
            self.events.push(skipped(
                &self.schedule,
                SkipCause::Overlap,
                (older, 1),
                Level::Info,
            ));
        }
        self.schedule.queued = Some(fire_at);
        self.plan_next()
    }

    pub(super) fn skip(
        &mut self,
        through: Timestamp,
        count: u32,
        cause: SkipCause,
        alert_after: u32,
    ) -> Result<(), Denial> {
        self.take(through)?;
        self.events.push(skipped(
            &self.schedule,
            cause,
            (through, count),
            Level::Warn,
        ));
        if cause == SkipCause::Overlap {
            self.schedule.skipped_in_a_row = self.schedule.skipped_in_a_row.saturating_add(count);
            let occurrence = FailureOccurrence {
                retried: false,
                egress: false,
                in_a_row: self.schedule.skipped_in_a_row,
                repeats: alert_after,
            };
            self.alarm = FailureClass::Overlap
                .rule()
                .alert
                .level(occurrence)
                .map(|level| Alarm {
                    key: format!("schedule/{}/overlap", self.schedule.id),
                    level,
                    title: format!(
                        "the schedule {} skipped {} starts in a row, since a run still goes on",
                        self.schedule.id, self.schedule.skipped_in_a_row
                    ),
                });
        }
        self.plan_next()
    }

    /// Takes a nominal time: the one that waits, or one behind the cursor, which moves to it.
    fn take(&mut self, nominal: Timestamp) -> Result<(), Denial> {
        if self.schedule.state != ScheduleState::Enabled {
            let message = format!(
                "the schedule {} is {} since {}: it starts nothing",
                self.schedule.id, self.schedule.state, self.schedule.since
            );
            return Err(
                Denial::new(ErrorCode::Conflict, "D-SCHED-4", message).hint(format!(
                    "`moorline schedule show {}` says why",
                    self.schedule.id
                )),
            );
        }
        if self.schedule.queued == Some(nominal) {
            self.schedule.queued = None;
            return Ok(());
        }
        if nominal <= self.schedule.cursor {
            let message = format!(
                "the time {nominal} of the schedule {} was dealt with before",
                self.schedule.id
            );
            return Err(Denial::new(ErrorCode::Conflict, "D-SCHED-3", message));
        }
        self.schedule.cursor = nominal;
        Ok(())
    }

    /// The schedule column of the failure matrix (D-RUN-7), for the schedule that started the run.
    pub(super) fn run_over(&mut self, run: RunId, class: Option<FailureClass>, pause_after: u32) {
        let effect = class.map_or(ScheduleEffect::Unchanged, |class| class.rule().schedule);
        let reason =
            |class: FailureClass| format!("run {run} ended with a failure of class {class}");
        match (class, effect) {
            (None, _) => {
                self.schedule.failed_in_a_row = 0;
                self.schedule.skipped_in_a_row = 0;
            }
            (Some(class), ScheduleEffect::Paused) => {
                let failed = self.schedule.failed_in_a_row.saturating_add(1);
                self.schedule.failed_in_a_row = failed;
                if failed >= pause_after.max(1) && self.schedule.state == ScheduleState::Enabled {
                    let reason = format!("{}, {failed} in a row", reason(class));
                    self.leave(ScheduleState::Paused, &reason);
                }
            }
            (Some(class), ScheduleEffect::Disabled | ScheduleEffect::AllDisabled) => {
                self.disable(&reason(class));
            }
            (Some(_), ScheduleEffect::Unchanged) => {}
        }
        // What waited for its end is due now.
        if self.schedule.queued.is_some() && self.schedule.last_run == Some(run) {
            self.schedule.next_at = Some(self.now);
        }
    }

    /// An enabled schedule has an active source; one whose source a person must mend is disabled.
    pub(super) fn source_is(&mut self, state: SourceState, reason: &str) {
        match state {
            SourceState::Active => {}
            SourceState::Paused => {
                if self.schedule.state == ScheduleState::Enabled {
                    self.leave(ScheduleState::Paused, reason);
                }
            }
            SourceState::NeedsReauth
            | SourceState::NeedsRepair
            | SourceState::Blocked
            | SourceState::Quarantined => self.disable(reason),
        }
    }
}
