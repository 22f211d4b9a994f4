//! Events: what happened, append-only, with ids that grow by one in commit order.
//!
//! [`EventKind`] is what this program writes and asks for; [`RecordedKind`] is what it reads, which another
//! version may have written.

use std::borrow::Cow;

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::RunId;

/// How much an event matters to a person.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Normal course.
    Info,
    /// Worth a look.
    Warn,
    /// Something failed.
    Error,
}

macro_rules! event_kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal),+ $(,)?) => {
        /// What happened.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum EventKind {
            $($(#[$doc])* #[serde(rename = $text)] $name,)+
        }

        impl EventKind {
            /// Every kind, in the order of a run's life.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The kind's text, e.g. `run.queued`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }

        impl std::str::FromStr for EventKind {
            type Err = UnknownEventKind;

            fn from_str(text: &str) -> Result<Self, UnknownEventKind> {
                match text {
                    $($text => Ok(Self::$name),)+
                    _ => Err(UnknownEventKind { text: text.to_owned() }),
                }
            }
        }
    };
}

event_kinds! {
    /// A run became durable.
    RunQueued = "run.queued",
    /// The first attempt of a run was claimed.
    RunStarted = "run.started",
    /// An attempt was claimed; it may be launched now.
    AttemptClaimed = "attempt.claimed",
    /// An attempt was launched and its handle recorded.
    AttemptLaunched = "attempt.launched",
    /// A better GPU did not come in its time, and the attempt has another one of its choices.
    GpuFallback = "attempt.gpu_fallback",
    /// A live attempt was taken over from a driver that died.
    AttemptAdopted = "attempt.adopted",
    /// An attempt is over.
    AttemptEnded = "attempt.ended",
    /// A step is done.
    StepDone = "step.done",
    /// A job said how far it is.
    RunProgress = "run.progress",
    /// A job reported a figure.
    RunMetric = "run.metric",
    /// A run waits for a person's decision.
    ApprovalRequested = "approval.requested",
    /// A request was decided, by a person or by a rule of its gate.
    ApprovalDecided = "approval.decided",
    /// People were reminded of a request that waits.
    ApprovalReminded = "approval.reminded",
    /// Nobody decided a request in time.
    ApprovalExpired = "approval.expired",
    /// The run of a request ended before anybody decided.
    ApprovalWithdrawn = "approval.withdrawn",
    /// A failed step will be tried again.
    RetryScheduled = "run.retry_scheduled",
    /// Someone wants the run to end.
    CancelRequested = "run.cancel_requested",
    /// A run reached its terminal status.
    RunEnded = "run.ended",
    /// A source changed its state.
    SourceChanged = "source.changed",
    /// People should be told.
    AlertRaised = "alert.raised",
    /// The trouble of an alert that is still open came again; nobody is told a second time.
    AlertRepeated = "alert.repeated",
    /// The trouble of an alert is over: what comes next is told again.
    AlertClosed = "alert.closed",
    /// The outputs of a run were published.
    ExportPublished = "export.published",
    /// A stop came into force.
    StopEngaged = "stop.engaged",
    /// A stop was released.
    StopReleased = "stop.released",
    /// A step of an emergency was done, or could not be.
    EmergencyStep = "emergency.step",
    /// An artifact was submitted for review.
    ArtifactSubmitted = "artifact.submitted",
    /// Someone decided about an artifact.
    ArtifactDecided = "artifact.decided",
    /// A lane was pointed to an approved artifact.
    ArtifactPromoted = "artifact.promoted",
    /// A lane was pointed back to an earlier artifact.
    ArtifactRolledBack = "artifact.rolled_back",
    /// Evidence for a gate was recorded.
    GateEvidence = "gate.evidence",
    /// A schedule came to be, or its state changed.
    ScheduleChanged = "schedule.changed",
    /// A schedule started a run.
    ScheduleFired = "schedule.fired",
    /// A start of a schedule fell away: misfire, overlap or stop.
    ScheduleSkipped = "schedule.skipped",
    /// A schedule and what is deployed differ.
    ScheduleDrift = "schedule.drift",
    /// A secret was set, rotated or revoked.
    SecretChanged = "secret.changed",
    /// A session artifact expires soon, or has.
    SecretExpiring = "secret.expiring",
    /// A principal was given a role or a key, or lost them.
    PrincipalChanged = "principal.changed",
    /// A token was made or revoked.
    TokenChanged = "token.changed",
    /// An alert reached a destination.
    AlertDelivered = "alert.delivered",
    /// A destination was given up for an alert.
    AlertDead = "alert.dead",
    /// An alert is sent to a destination again, after it was given up.
    AlertReplayed = "alert.replayed",
}

/// The text names no kind of event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a kind of event; `moorline events list --help` names them")]
pub struct UnknownEventKind {
    text: String,
}

/// What an event of the log says happened: a kind that this program knows, or the text of one that it does not.
///
/// A log is read by programs of several versions while a server is upgraded. What a newer one wrote is passed on
/// as it is, in lists and streams; nothing is decided by it.
///
/// ```
/// use moorline_core::event::{EventKind, RecordedKind};
///
/// assert!(RecordedKind::from("run.ended") == EventKind::RunEnded);
/// assert_eq!(RecordedKind::from("run.praised").known(), None);
/// assert_eq!(RecordedKind::from("run.praised").as_str(), "run.praised");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum RecordedKind {
    /// One of [`EventKind::ALL`].
    Known(EventKind),
    /// A kind of a newer program.
    Unknown(String),
}

impl RecordedKind {
    /// The kind's text, e.g. `run.queued`.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(kind) => kind.as_str(),
            Self::Unknown(text) => text,
        }
    }

    /// The kind, where this program knows it.
    pub const fn known(&self) -> Option<EventKind> {
        match self {
            Self::Known(kind) => Some(*kind),
            Self::Unknown(_) => None,
        }
    }

    /// Whether it is one of these.
    pub fn is_one_of(&self, kinds: &[EventKind]) -> bool {
        self.known().is_some_and(|kind| kinds.contains(&kind))
    }
}

impl From<EventKind> for RecordedKind {
    fn from(kind: EventKind) -> Self {
        Self::Known(kind)
    }
}

impl From<&str> for RecordedKind {
    fn from(text: &str) -> Self {
        text.parse()
            .map_or_else(|_| Self::Unknown(text.to_owned()), Self::Known)
    }
}

impl From<String> for RecordedKind {
    fn from(text: String) -> Self {
        text.parse()
            .map_or_else(|_| Self::Unknown(text), Self::Known)
    }
}

impl From<RecordedKind> for String {
    fn from(kind: RecordedKind) -> Self {
        kind.as_str().to_owned()
    }
}

impl PartialEq<EventKind> for RecordedKind {
    fn eq(&self, kind: &EventKind) -> bool {
        self.known() == Some(*kind)
    }
}

impl JsonSchema for RecordedKind {
    fn schema_name() -> Cow<'static, str> {
        "RecordedKind".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let known: Vec<&str> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
        json_schema!({
            "description": "What happened. A newer program may have written a kind that is not among the examples.",
            "type": "string",
            "examples": known,
        })
    }
}

/// An event before it has an id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewEvent {
    /// What happened.
    pub kind: EventKind,
    /// How much it matters.
    pub level: Level,
    /// Details; no secrets.
    pub data: Value,
}

/// An event of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Grows by one from event to event, in commit order.
    pub id: u64,
    /// When it was recorded.
    pub at: Timestamp,
    /// What happened.
    pub kind: RecordedKind,
    /// How much it matters.
    pub level: Level,
    /// The run it is about.
    pub run_id: Option<RunId>,
    /// The job it is about.
    pub job_id: Option<String>,
    /// Details; no secrets.
    pub data: Value,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_kind_of_a_newer_program_goes_through_unchanged() {
        let newer = json!({
            "id": 7, "at": "2026-11-21T11:04:00Z", "kind": "run.praised", "level": "info",
            "run_id": null, "job_id": "statements", "data": {"by": "human:ada"},
        });
        let event: Event = serde_json::from_value(newer.clone()).unwrap();
        assert_eq!(event.kind, RecordedKind::Unknown("run.praised".to_owned()));
        assert_eq!(serde_json::to_value(&event).unwrap(), newer);
    }

    #[test]
    fn every_known_kind_is_read_as_itself() {
        for kind in EventKind::ALL {
            let read = RecordedKind::from(kind.as_str());
            assert_eq!((read.known(), read.as_str()), (Some(*kind), kind.as_str()));
        }
    }
}
