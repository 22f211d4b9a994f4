//! Schedules: when an approved artifact is started by itself (D-SCHED).
//!
//! | module | what |
//! |---|---|
//! | [`times`] | cron and period in a time zone, across transitions: when a schedule is due |
//! | [`due`] | what to do about a schedule at a point in time: missed starts, and the one to make |
//! | [`machine`] | the states of a schedule and what moves them |
//! | [`document`] | `SCHEDULE.json`, and that it equals the spec's cadence exactly |
//!
//! A schedule exists for each lane and job that a promoted artifact gives a cadence, and for no other
//! (D-SCHED-1); it starts disabled. Everything is a pure function of what it is given: no clock, no store.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::content_id::ContentId;
use crate::ids::{ArtifactId, RunId};
use crate::lane::Lane;
use crate::principal::Principal;
use crate::stop::StopScope;
use crate::text::{quoted, serde_as_text};

pub mod document;
pub mod due;
pub mod machine;
pub mod times;

pub use document::ScheduleDocument;

/// Names a schedule: `lane/job`, as in `prod/bank-statement`. There is at most one for each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScheduleId {
    lane: Lane,
    job_id: String,
}

serde_as_text!(
    ScheduleId,
    "^[a-z][a-z0-9-]{0,31}/.{1,200}$",
    "A schedule, as `lane/job`"
);

impl ScheduleId {
    /// The schedule of a job in a lane.
    pub fn new(lane: Lane, job_id: impl Into<String>) -> Self {
        Self {
            lane,
            job_id: job_id.into(),
        }
    }

    /// The lane.
    pub const fn lane(&self) -> &Lane {
        &self.lane
    }

    /// The job.
    pub fn job_id(&self) -> &str {
        &self.job_id
    }
}

impl fmt::Display for ScheduleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.lane, self.job_id)
    }
}

/// The text names no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is not a schedule: write `lane/job`, as in `prod/bank-statement`", quoted(.text))]
pub struct ScheduleIdError {
    text: String,
}

impl FromStr for ScheduleId {
    type Err = ScheduleIdError;

    fn from_str(text: &str) -> Result<Self, ScheduleIdError> {
        let error = || ScheduleIdError {
            text: text.to_owned(),
        };
        let (lane, job_id) = text.split_once('/').ok_or_else(error)?;
        if job_id.is_empty() {
            return Err(error());
        }
        let lane = lane.parse().map_err(|_| error())?;
        Ok(Self::new(lane, job_id))
    }
}

/// Whether a schedule starts anything.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleState {
    /// It starts runs when it is due.
    Enabled,
    /// It starts nothing after failures; a person resumes it without new gates.
    Paused,
    /// It starts nothing; enabling it passes all gates.
    Disabled,
}

impl ScheduleState {
    /// The name in JSON and in text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
        }
    }
}

impl fmt::Display for ScheduleState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What becomes of starts that were due while nothing could start them.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Misfire {
    /// They fall away.
    #[default]
    Skip,
    /// One run makes up for all of them.
    RunOnce,
}

/// What becomes of a start that is due while a run of the schedule still goes on.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It falls away; a run with the status `skipped` says so.
    #[default]
    Skip,
    /// It waits for the end of the run, at most one at a time.
    Queue,
    /// The run is cancelled and the new one starts after its end.
    CancelPrevious,
}

/// A schedule: where it stands and what its next transition depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Identity.
    pub id: ScheduleId,
    /// The source that its runs count for.
    pub source_id: Option<String>,
    /// The artifact that it starts.
    pub artifact: ArtifactId,
    /// Content of the artifact.
    pub content: ContentId,
    /// When it starts it: the artifact's `SCHEDULE.json`.
    pub document: ScheduleDocument,
    /// Whether it starts anything.
    pub state: ScheduleState,
    /// Since when it is in this state.
    pub since: Timestamp,
    /// Who brought it there.
    pub by: Principal,
    /// Why.
    pub reason: String,
    /// Where periods are counted from: the document's `starts_at`, or when it was enabled.
    pub anchor: Timestamp,
    /// Times up to here, this one included, are dealt with.
    pub cursor: Timestamp,
    /// The next time at which it is due, jitter included; none while it is not enabled or has no more.
    pub next_at: Option<Timestamp>,
    /// The start that waits for the end of a run (overlap policy `queue` or `cancel_previous`).
    pub queued: Option<Timestamp>,
    /// The newest run that it started.
    pub last_run: Option<RunId>,
    /// Failed runs in a row (`failure_policy.pause_after_failed_runs`).
    pub failed_in_a_row: u32,
    /// Skipped starts in a row (`failure_policy.alert_after_skipped_runs`).
    pub skipped_in_a_row: u32,
    /// Counts changes.
    pub version: u64,
}

impl Schedule {
    /// Whether a stop of this scope covers it: nothing of it may start then (D-STOP-1).
    pub fn covered_by(&self, scope: &StopScope) -> bool {
        scope.covers_schedule(&self.id, self.source_id.as_deref())
    }
}

/// Which schedule started a run, and for which time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduledStart {
    /// The schedule.
    pub schedule: ScheduleId,
    /// The time that it was due, without jitter. A schedule starts at most one run for each.
    pub fire_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedule_ids_round_trip_and_odd_ones_are_refused() {
        for text in ["prod/bank-statement", "dev-x/a/b c"] {
            let id: ScheduleId = text.parse().unwrap();
            assert_eq!(id.to_string(), text);
        }
        assert_eq!(
            "main/x".parse::<ScheduleId>().unwrap().to_string(),
            "prod/x"
        );
        for text in ["", "prod", "prod/", "/x", "Prod/x"] {
            text.parse::<ScheduleId>().unwrap_err();
        }
    }
}
