//! The transitions of a schedule (D-SCHED): [`define`] makes one from a promotion, [`apply`] moves it.
//!
//! Both are total, pure functions: the store calls them inside the transaction that writes the result, and
//! the property tests call the very same ones. What a transition depends on beside the schedule itself (how
//! the gates stand, whether a stop covers it, the state of its source) comes with the [`Command`], collected
//! in that transaction.
//!
//! What holds after every transition that is accepted:
//! * it is enabled only if a person enabled or resumed it while all gates were met, no stop covered it and its
//!   source was active; agents and pipelines can only disable (D-ART-4);
//! * the cursor never goes back, so a nominal time is started at most once, also when the clock does;
//! * only an enabled schedule has a next time or a start that waits;
//! * disabling is always accepted, from every state and for every actor, and changes nothing the second time
//!   (D-SCHED-4).
//!
//! Deliberately absent: which times are due (`engine`, from [`Timing`]), and runs, which
//! have a machine of their own.

mod command;
mod starts;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::times::Timing;
use super::{Schedule, ScheduleId, ScheduleState};
use crate::denial::{Denial, Detail};
use crate::error_code::{ErrorCode, SourceState};
use crate::event::{EventKind, Level, NewEvent};
use crate::principal::Principal;

pub use command::{Alarm, Applied, Command, Definition, EnableFacts, Holds, SkipCause};

/// The schedule that a promotion or rollback brings about: a new one, or the known one with what the lane now
/// points to. It is always disabled (D-SCHED-1, D-ART-6), and what was due before it falls away.
pub fn define(
    id: ScheduleId,
    known: Option<&Schedule>,
    definition: Definition,
    by: &Principal,
    reason: &str,
    now: Timestamp,
) -> Applied {
    let before = known.map(|schedule| schedule.state);
    let schedule = Schedule {
        id,
        source_id: definition.source_id,
        artifact: definition.artifact,
        content: definition.content,
        anchor: definition.document.starts_at.unwrap_or(now),
        document: definition.document,
        state: ScheduleState::Disabled,
        since: now,
        by: by.clone(),
        reason: reason.to_owned(),
        cursor: known.map_or(now, |schedule| schedule.cursor.max(now)),
        next_at: None,
        queued: None,
        last_run: known.and_then(|schedule| schedule.last_run),
        failed_in_a_row: 0,
        skipped_in_a_row: 0,
        version: known.map_or(1, |schedule| schedule.version + 1),
    };
    let event = changed(&schedule, before, by, reason);
    Applied {
        schedule,
        events: vec![event],
        alarm: None,
    }
}

/// Applies a command to a schedule. What is asked a second time is accepted and changes nothing.
///
/// # Errors
/// [`Denial`] when a rule does not allow it, with every single thing that is missing; the schedule is then
/// unchanged.
pub fn apply(
    schedule: &Schedule,
    command: Command,
    by: &Principal,
    now: Timestamp,
) -> Result<Applied, Denial> {
    let mut draft = Draft {
        schedule: schedule.clone(),
        by,
        now,
        events: Vec::new(),
        alarm: None,
    };
    match command {
        Command::Enable { facts, reason } => draft.enable(&facts, &reason)?,
        Command::Disable { reason } => draft.disable(&reason),
        Command::Pause { reason } => {
            if draft.schedule.state == ScheduleState::Enabled {
                draft.leave(ScheduleState::Paused, &reason);
            }
        }
        Command::Resume { holds, reason } => draft.resume(&holds, &reason)?,
        Command::Fire { fire_at, run } => draft.fire(fire_at, run)?,
        Command::Queue { fire_at } => draft.queue(fire_at)?,
        Command::Skip {
            through,
            count,
            cause,
            alert_after,
        } => draft.skip(through, count, cause, alert_after)?,
        Command::RunOver {
            run,
            class,
            pause_after,
        } => draft.run_over(run, class, pause_after),
        Command::SourceIs { state, reason } => draft.source_is(state, &reason),
    }
    if draft.schedule != *schedule {
        draft.schedule.version += 1;
    }
    Ok(Applied {
        schedule: draft.schedule,
        events: draft.events,
        alarm: draft.alarm,
    })
}

/// The schedule being changed, with what the change gives rise to.
struct Draft<'a> {
    schedule: Schedule,
    by: &'a Principal,
    now: Timestamp,
    events: Vec<NewEvent>,
    alarm: Option<Alarm>,
}

impl Draft<'_> {
    fn enable(&mut self, facts: &EnableFacts, reason: &str) -> Result<(), Denial> {
        self.require_person("enable")?;
        if self.schedule.state == ScheduleState::Enabled {
            return Ok(());
        }
        let missing = self.missing(facts);
        if !missing.is_empty() {
            let code = if facts.holds.stop.is_some() {
                ErrorCode::StopInForce
            } else {
                ErrorCode::Policy
            };
            let count = missing.len();
            let noun = if count == 1 { "thing is" } else { "things are" };
            let message = format!(
                "the schedule {} can not be enabled: {count} {noun} missing",
                self.schedule.id
            );
            return Err(Denial::new(code, "D-SCHED-2", message)
                .hint(format!(
                    "pass what is missing, then enable it again; `moorline gates show {}` shows all gates",
                    self.schedule.id
                ))
                .with_details(missing));
        }
        self.schedule.anchor = self.schedule.document.starts_at.unwrap_or(self.now);
        self.start_over(reason)
    }

    /// Everything that keeps it from being enabled, gates first (L50).
    fn missing(&self, facts: &EnableFacts) -> Vec<Detail> {
        let mut missing: Vec<Detail> = facts
            .gates
            .iter()
            .filter(|gate| !gate.met)
            .map(|gate| Detail {
                at: gate.gate.as_str().to_owned(),
                rule: "D-SCHED-2".to_owned(),
                message: gate.why.clone(),
                hint: gate.hint.clone(),
            })
            .collect();
        if facts.document.as_ref() != Some(&self.schedule.document) {
            missing.push(Detail {
                at: "SCHEDULE.json".to_owned(),
                rule: "D-SCHED-1".to_owned(),
                message: "what the lane points to has another SCHEDULE.json, or none".to_owned(),
                hint: Some("`moorline artifact promote` the artifact again".to_owned()),
            });
        }
        if !facts.lane_permits {
            missing.push(Detail {
                at: "lane".to_owned(),
                rule: "D-SCHED-3".to_owned(),
                message: format!(
                    "the lane `{}` permits no schedules",
                    self.schedule.id.lane()
                ),
                hint: Some("set `schedules = true` for the lane in moorline.toml".to_owned()),
            });
        }
        missing.extend(self.held_by(&facts.holds));
        missing
    }

    /// What keeps an approved schedule from starting anything: its source, a stop.
    fn held_by(&self, holds: &Holds) -> Vec<Detail> {
        let mut held = Vec::new();
        if let (Some(source), Some(state)) = (&self.schedule.source_id, holds.source)
            && state != SourceState::Active
        {
            let how = match state {
                SourceState::NeedsReauth => format!("`moorline sources reauth {source}`"),
                _ => format!("mend it, then `moorline sources resume {source}`"),
            };
            held.push(Detail {
                at: "source".to_owned(),
                rule: "D-RUN-7".to_owned(),
                message: format!("the source {source} is {state}"),
                hint: Some(how),
            });
        }
        if let Some(stop) = &holds.stop {
            held.push(Detail {
                at: "stop".to_owned(),
                rule: "D-STOP-1".to_owned(),
                message: stop.to_string(),
                hint: Some(format!("`moorline release {} --reason …`", stop.scope)),
            });
        }
        held
    }

    fn resume(&mut self, holds: &Holds, reason: &str) -> Result<(), Denial> {
        self.require_person("resume")?;
        match self.schedule.state {
            ScheduleState::Enabled => return Ok(()),
            ScheduleState::Paused => {}
            ScheduleState::Disabled => {
                let message = format!(
                    "the schedule {} is disabled; only a paused one can be resumed",
                    self.schedule.id
                );
                return Err(
                    Denial::new(ErrorCode::Conflict, "D-SCHED-2", message).hint(format!(
                        "`moorline schedule enable {}` passes all gates",
                        self.schedule.id
                    )),
                );
            }
        }
        let held = self.held_by(holds);
        if !held.is_empty() {
            let code = if holds.stop.is_some() {
                ErrorCode::StopInForce
            } else {
                ErrorCode::Policy
            };
            let message = format!("the schedule {} can not be resumed", self.schedule.id);
            return Err(Denial::new(code, "D-RUN-7", message)
                .hint("deal with what holds it, then resume it")
                .with_details(held));
        }
        self.start_over(reason)
    }

    /// Enabled from now on: what was due before falls away.
    fn start_over(&mut self, reason: &str) -> Result<(), Denial> {
        let before = self.schedule.state;
        self.schedule.cursor = self.schedule.cursor.max(self.now);
        self.schedule.failed_in_a_row = 0;
        self.schedule.skipped_in_a_row = 0;
        self.schedule.queued = None;
        self.enter(ScheduleState::Enabled, reason);
        self.plan_next()?;
        let event = changed(&self.schedule, Some(before), self.by, reason);
        self.events.push(event);
        Ok(())
    }

    fn disable(&mut self, reason: &str) {
        if self.schedule.state != ScheduleState::Disabled {
            self.leave(ScheduleState::Disabled, reason);
        }
    }

    /// Paused or disabled from now on; a start that waits falls away.
    fn leave(&mut self, state: ScheduleState, reason: &str) {
        let before = self.schedule.state;
        self.schedule.next_at = None;
        if let Some(waiting) = self.schedule.queued.take() {
            self.events.push(skipped(
                &self.schedule,
                SkipCause::NotEnabled,
                (waiting, 1),
                Level::Info,
            ));
        }
        self.enter(state, reason);
        let event = changed(&self.schedule, Some(before), self.by, reason);
        self.events.push(event);
    }

    fn enter(&mut self, state: ScheduleState, reason: &str) {
        self.schedule.state = state;
        self.schedule.since = self.now;
        self.schedule.by = self.by.clone();
        reason.clone_into(&mut self.schedule.reason);
    }

    fn require_person(&self, what: &str) -> Result<(), Denial> {
        if self.by.is_human() {
            return Ok(());
        }
        let message = format!(
            "{} may not {what} the schedule {}: only a person may",
            self.by, self.schedule.id
        );
        Err(Denial::new(ErrorCode::Forbidden, "D-ART-4", message)
            .hint("ask a person to do it; agents and pipelines may disable"))
    }

    /// The first start behind the cursor.
    fn plan_next(&mut self) -> Result<(), Denial> {
        let schedule = &mut self.schedule;
        schedule.next_at = if schedule.state == ScheduleState::Enabled {
            let timing = Timing::of(&schedule.document, schedule.anchor)?;
            timing
                .next_after(schedule.cursor)
                .map(|nominal| timing.due_at(&schedule.id, nominal))
        } else {
            None
        };
        Ok(())
    }
}

fn changed(
    schedule: &Schedule,
    before: Option<ScheduleState>,
    by: &Principal,
    reason: &str,
) -> NewEvent {
    let level = if before == Some(ScheduleState::Enabled) {
        Level::Warn
    } else {
        Level::Info
    };
    let data: Value = json!({
        "schedule": schedule.id,
        "from": before,
        "to": schedule.state,
        "by": by,
        "reason": reason,
        "artifact": schedule.content,
        "next_at": schedule.next_at,
    });
    NewEvent {
        kind: EventKind::ScheduleChanged,
        level,
        data,
    }
}

fn skipped(
    schedule: &Schedule,
    cause: SkipCause,
    (last, count): (Timestamp, u32),
    level: Level,
) -> NewEvent {
    let data = json!({
        "schedule": schedule.id,
        "cause": cause,
        "count": count,
        "last": last,
    });
    NewEvent {
        kind: EventKind::ScheduleSkipped,
        level,
        data,
    }
}
