//! Emergencies (D-STOP-3): disable, stop, revoke, archive, in that order, each step recorded.
//!
//! An [`Emergency`] is what one command did or still has to do. It is moved by [`Emergency::begin`],
//! [`Emergency::resume`] and [`Emergency::record`] alone, inside the transaction that writes the result, so
//! that whoever carries on after a crash knows what was done. Steps are repeatable: one that was cut off is
//! simply done again.
//!
//! A step that could not reach everything does not keep the ones behind it from being tried: a container
//! that does not answer is no reason to leave the secrets where they are. The emergency then stays
//! unfinished, and carrying it on repeats the steps that left something.
//!
//! Deliberately absent: how a step is done (the engine does it), and the end of what it engaged: releases
//! are decisions of their own, scope by scope.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::denial::Denial;
use crate::error_code::ErrorCode;
use crate::ids::EmergencyId;
use crate::lane::Lane;
use crate::principal::Principal;
use crate::stop::{Stop, StopScope};

/// The steps, in the order in which they are taken.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum EmergencyStep {
    /// The gate is engaged and every schedule behind it is disabled, in one transaction.
    Disable,
    /// Everything that runs is ended.
    Stop,
    /// The secrets are revoked. After the containers: a revoked secret does not leave a process that has
    /// read it (D-SEC-8).
    Revoke,
    /// What is live or waits for a decision is set aside. Nothing is deleted.
    Archive,
}

impl EmergencyStep {
    /// Every step, in order (D-STOP-3).
    pub const ALL: [Self; 4] = [Self::Disable, Self::Stop, Self::Revoke, Self::Archive];

    /// The name in JSON and in text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Stop => "stop",
            Self::Revoke => "revoke",
            Self::Archive => "archive",
        }
    }
}

impl fmt::Display for EmergencyStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a step came to: what it dealt with, and what it could not reach.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepReport {
    /// What was dealt with, as `kind/id`: `schedule/prod/x`, `run/0190…`, `secret/prod/X`, `artifact/0190…`.
    pub done: Vec<String>,
    /// What could not be reached, with the reason; never a secret. Carrying on tries again.
    pub left: BTreeMap<String, String>,
    /// What a person should know besides.
    pub notes: Vec<String>,
}

impl StepReport {
    /// Whether nothing is left to do.
    pub fn is_complete(&self) -> bool {
        self.left.is_empty()
    }
}

/// One step of an emergency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepRecord {
    /// Which.
    pub step: EmergencyStep,
    /// How often its result was recorded; 0 while it was not tried to its end.
    pub tries: u32,
    /// When it was last recorded.
    pub at: Option<Timestamp>,
    /// What it came to, over all tries; `left` is that of the last one.
    pub report: StepReport,
}

impl StepRecord {
    const fn new(step: EmergencyStep) -> Self {
        Self {
            step,
            tries: 0,
            at: None,
            report: StepReport {
                done: Vec::new(),
                left: BTreeMap::new(),
                notes: Vec::new(),
            },
        }
    }

    /// Whether it was done and left nothing.
    pub fn is_done(&self) -> bool {
        self.tries > 0 && self.report.is_complete()
    }
}

/// Whether everything was done.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum EmergencyState {
    /// A step was not taken yet, or left something: `emergency run` carries on.
    Unfinished,
    /// Every step is done.
    Complete,
}

impl EmergencyState {
    /// The name in JSON and in text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unfinished => "unfinished",
            Self::Complete => "complete",
        }
    }
}

impl fmt::Display for EmergencyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One emergency and how far it got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Emergency {
    /// Identity.
    pub id: EmergencyId,
    /// The lane that it is about; absent when it is about everything.
    pub lane: Option<Lane>,
    /// Whether everything was done.
    pub state: EmergencyState,
    /// Who called it.
    pub by: Principal,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// Milliseconds between the polite signal and the kill, for what runs.
    pub grace_ms: u64,
    /// Who carried it on after that, in order.
    pub resumed_by: Vec<Principal>,
    /// When everything was done.
    pub ended_at: Option<Timestamp>,
    /// Its steps, in order.
    pub steps: Vec<StepRecord>,
    /// Counts changes.
    pub version: u64,
}

impl Emergency {
    /// A new emergency, of which no step is taken.
    ///
    /// # Errors
    /// `D-STOP-3` when no person calls it, and when it has no reason.
    pub fn begin(
        id: EmergencyId,
        lane: Option<Lane>,
        by: Principal,
        reason: String,
        grace_ms: u64,
        at: Timestamp,
    ) -> Result<Self, Denial> {
        only_people(&by)?;
        if reason.trim().is_empty() {
            let message = "an emergency needs a reason";
            return Err(Denial::new(ErrorCode::Usage, "D-STOP-3", message)
                .hint("say what happened with `--reason TEXT`; the audit trail keeps it"));
        }
        Ok(Self {
            id,
            lane,
            state: EmergencyState::Unfinished,
            by,
            reason,
            at,
            grace_ms,
            resumed_by: Vec::new(),
            ended_at: None,
            steps: EmergencyStep::ALL.map(StepRecord::new).to_vec(),
            version: 1,
        })
    }

    /// The same, carried on by someone. One that is complete stays as it is.
    ///
    /// # Errors
    /// `D-STOP-3` when no person does it.
    pub fn resume(&self, by: Principal) -> Result<Self, Denial> {
        only_people(&by)?;
        let mut next = self.clone();
        if next.state == EmergencyState::Unfinished {
            next.resumed_by.push(by);
            next.version += 1;
        }
        Ok(next)
    }

    /// The same, with what a step came to. Recording the end of a step again adds to what it did and replaces
    /// what it left.
    ///
    /// # Errors
    /// `D-STOP-3` when a step before it was never taken: the order is fixed.
    pub fn record(
        &self,
        step: EmergencyStep,
        report: &StepReport,
        at: Timestamp,
    ) -> Result<Self, Denial> {
        let mut next = self.clone();
        let skipped = next
            .steps
            .iter()
            .find(|earlier| earlier.step < step && earlier.tries == 0);
        if let Some(skipped) = skipped {
            let message = format!("the step `{step}` comes after `{}`", skipped.step);
            return Err(Denial::new(ErrorCode::Conflict, "D-STOP-3", message));
        }
        for known in next.steps.iter_mut().filter(|known| known.step == step) {
            known.tries += 1;
            known.at = Some(at);
            let fresh = |item: &String| !known.report.done.contains(item);
            let done: Vec<_> = report
                .done
                .iter()
                .filter(|item| fresh(item))
                .cloned()
                .collect();
            known.report.done.extend(done);
            known.report.left.clone_from(&report.left);
            known.report.notes.clone_from(&report.notes);
        }
        if next.steps.iter().all(StepRecord::is_done) {
            next.state = EmergencyState::Complete;
            next.ended_at.get_or_insert(at);
        }
        next.version += 1;
        Ok(next)
    }

    /// What it covers, as a stop does.
    pub fn scope(&self) -> StopScope {
        self.lane.as_ref().map_or(StopScope::All, |lane| {
            StopScope::Lane(lane.as_str().to_owned())
        })
    }

    /// The stop that it engages.
    pub fn stop(&self, since: Timestamp) -> Stop {
        Stop {
            scope: self.scope(),
            actor: self.by.to_string(),
            reason: self.reason.clone(),
            since,
        }
    }

    /// Whether nothing is left to do.
    pub fn is_complete(&self) -> bool {
        self.state == EmergencyState::Complete
    }

    /// The record of a step.
    pub fn step(&self, step: EmergencyStep) -> Option<&StepRecord> {
        self.steps.iter().find(|record| record.step == step)
    }

    /// Steps to take, in order: those that were not taken, and those that left something.
    pub fn open_steps(&self) -> impl Iterator<Item = EmergencyStep> + '_ {
        let open = self.steps.iter().filter(|record| !record.is_done());
        open.map(|record| record.step)
    }
}

/// An emergency revokes and archives, which is for people alone, whatever the role. Anyone who works here may
/// `stop`.
fn only_people(by: &Principal) -> Result<(), Denial> {
    if by.is_human() {
        return Ok(());
    }
    let message = format!("{by} may not call an emergency: only a person may");
    Err(Denial::new(ErrorCode::Forbidden, "D-STOP-3", message)
        .hint("`moorline stop all` stops everything at once, and is for everyone"))
}

#[cfg(test)]
mod tests;
