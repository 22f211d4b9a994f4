//! A source, the outside system that a job reads, and what moves its state: the ends of runs (the source
//! column of the failure matrix, D-RUN-7), and people.
//!
//! | command | effect |
//! |---|---|
//! | a run failed | as the matrix says; runtime and timeout pause it at the `pause_after_failed_runs`-th in a row |
//! | a run succeeded | active again, unless it is quarantined or a person holds it |
//! | [`Pause`](SourceCommand::Pause) | held: nothing of it is started by a schedule; no later success undoes it |
//! | [`Resume`](SourceCommand::Resume) | active again: a person's decision, with a reason; a quarantined one only when the person has looked into it |
//!
//! Its schedules are another matter: what disabled them is undone by nobody but the person who enables them
//! again. Everything here is a pure function of its arguments.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::denial::Denial;
use crate::error_code::{ErrorCode, FailureClass, SourceEffect, SourceState};
use crate::event::{EventKind, Level, NewEvent};
use crate::ids::RunId;
use crate::principal::Principal;

/// A source as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    clippy::struct_field_names,
    reason = "`source_id` is its name in every document"
)]
pub struct Source {
    /// Its id, e.g. `chase`.
    pub source_id: String,
    /// Its state.
    pub state: SourceState,
    /// Whether a person paused it: then no success makes it active.
    #[serde(default)]
    pub held: bool,
    /// The run that changed its state last; none when a person did.
    pub run_id: Option<RunId>,
    /// Who changed it last: a person, or `system:moorline` by a rule.
    pub by: Principal,
    /// Why, in one line.
    pub reason: Option<String>,
    /// Since when it is as it is.
    pub updated_at: Timestamp,
    /// Failed runs in a row, runtime and timeout (`failure_policy.pause_after_failed_runs`).
    #[serde(default)]
    pub failed_in_a_row: u32,
}

/// How a run that read a source ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunEnd {
    /// The run.
    pub run: RunId,
    /// The class of its failure; none for a success.
    pub class: Option<FailureClass>,
    /// Whether its success shows that the source can be read. Not so for a mock run, and for a job that
    /// only prepares a repair.
    pub proves_access: bool,
    /// Failed runs in a row after which the source pauses, at least 1.
    pub pause_after: u32,
}

/// A change of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceCommand {
    /// A run that reads it is over.
    RunEnded(RunEnd),
    /// Someone wants nothing of it to start.
    Pause {
        /// Who.
        actor: Principal,
        /// Why.
        reason: String,
    },
    /// A person says that it may be read again.
    Resume {
        /// Who.
        actor: Principal,
        /// Why.
        reason: String,
        /// That the person has looked into the leak; a quarantined source needs it.
        looked_into: bool,
    },
}

impl Source {
    /// A source that nothing happened to.
    pub fn new(source_id: impl Into<String>, now: Timestamp) -> Self {
        Self {
            source_id: source_id.into(),
            state: SourceState::Active,
            held: false,
            run_id: None,
            by: Principal::system(),
            reason: None,
            updated_at: now,
            failed_in_a_row: 0,
        }
    }

    /// Whether a schedule may start a run of it.
    ///
    /// # Errors
    /// [`ErrorCode::Conflict`] (`D-RUN-7`), with what a person has to do first.
    pub fn admits_schedule(&self) -> Result<(), Denial> {
        let hint = match self.state {
            SourceState::Active => return Ok(()),
            SourceState::Paused => "resume it: `moorline sources resume SOURCE --reason …`",
            SourceState::NeedsReauth => "refresh its session: `moorline sources reauth SOURCE`",
            SourceState::NeedsRepair => {
                "repair the extractor, promote the repaired artifact, then `moorline sources resume SOURCE`"
            }
            SourceState::Blocked => {
                "correct what blocks it, then `moorline sources resume SOURCE --reason …`"
            }
            SourceState::Quarantined => {
                "look into the leak, then `moorline sources resume SOURCE --looked-into --reason …`"
            }
        };
        let message = format!(
            "the source `{}` is {} since {}: no schedule starts a run of it",
            self.source_id, self.state, self.updated_at
        );
        Err(Denial::new(ErrorCode::Conflict, "D-RUN-7", message).hint(hint))
    }
}

/// Applies a command: a total, pure function. Gives the source afterwards, and what is to be told when its
/// state or who holds it changed. What changes nothing is accepted.
///
/// # Errors
/// [`ErrorCode::Forbidden`] (`D-ART-4`) when anyone but a person resumes, [`ErrorCode::Usage`] without a
/// reason, [`ErrorCode::Conflict`] for a quarantined source that nobody looked into. Nothing changes then.
pub fn apply(
    source: &Source,
    command: &SourceCommand,
    now: Timestamp,
) -> Result<(Source, Option<NewEvent>), Denial> {
    let mut next = source.clone();
    let class = match command {
        SourceCommand::RunEnded(end) => {
            run_ended(&mut next, end);
            end.class
        }
        SourceCommand::Pause { reason, .. } => {
            given(reason, "a pause")?;
            if next.state == SourceState::Active {
                next.state = SourceState::Paused;
            }
            next.held = true;
            None
        }
        SourceCommand::Resume {
            actor,
            reason,
            looked_into,
        } => {
            resumable(source, actor, *looked_into)?;
            given(reason, "a resumption")?;
            next.state = SourceState::Active;
            next.held = false;
            next.failed_in_a_row = 0;
            None
        }
    };
    if (next.state, next.held) == (source.state, source.held) {
        return Ok((next, None));
    }
    next.updated_at = now;
    (next.run_id, next.by, next.reason) = match command {
        SourceCommand::RunEnded(end) => {
            let reason = end.class.map(|class| format!("a run failed: {class}"));
            let reason = reason.unwrap_or_else(|| "a run succeeded".to_owned());
            (Some(end.run), Principal::system(), Some(reason))
        }
        SourceCommand::Pause { actor, reason } | SourceCommand::Resume { actor, reason, .. } => {
            (None, actor.clone(), Some(reason.trim().to_owned()))
        }
    };
    let worse = next.state != SourceState::Active;
    let event = NewEvent {
        kind: EventKind::SourceChanged,
        level: if worse { Level::Warn } else { Level::Info },
        data: json!({
            "source_id": next.source_id,
            "from": source.state,
            "to": next.state,
            "held": next.held,
            "class": class,
            "by": next.by,
            "reason": next.reason,
        }),
    };
    Ok((next, Some(event)))
}

fn run_ended(source: &mut Source, end: &RunEnd) {
    let Some(class) = end.class else {
        if end.proves_access {
            source.failed_in_a_row = 0;
            source.state = match source.state.recovered() {
                SourceState::Active if source.held => SourceState::Paused,
                recovered => recovered,
            };
        }
        return;
    };
    let effect = class.rule().source;
    if effect == SourceEffect::Paused {
        source.failed_in_a_row = source.failed_in_a_row.saturating_add(1);
        if source.failed_in_a_row < end.pause_after {
            return;
        }
    }
    source.state = source.state.apply(effect);
}

fn resumable(source: &Source, actor: &Principal, looked_into: bool) -> Result<(), Denial> {
    if !actor.is_human() {
        let message = format!(
            "{actor} may not resume the source `{}`: only a person may",
            source.source_id
        );
        return Err(Denial::new(ErrorCode::Forbidden, "D-ART-4", message)
            .hint("ask a person to look at it and to resume it"));
    }
    if source.state == SourceState::Quarantined && !looked_into {
        let message = format!(
            "the source `{}` is quarantined: a secret was found in an output of run {}",
            source.source_id,
            source
                .run_id
                .map_or_else(|| "(unknown)".to_owned(), |run| run.to_string()),
        );
        return Err(Denial::new(ErrorCode::Conflict, "D-RUN-7", message)
            .hint("look into the leak, rotate the secret, then say so with `--looked-into`"));
    }
    Ok(())
}

fn given(reason: &str, what: &str) -> Result<(), Denial> {
    if reason.trim().is_empty() {
        let message = format!("{what} of a source needs a reason");
        return Err(Denial::new(ErrorCode::Usage, "D-AUDIT-1", message)
            .hint("say why with `--reason TEXT`"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
