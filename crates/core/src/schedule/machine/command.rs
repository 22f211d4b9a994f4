//! The commands that a schedule accepts and what applying one yields.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::content_id::ContentId;
use crate::error_code::{AlertLevel, FailureClass, SourceState};
use crate::event::NewEvent;
use crate::gate::GateState;
use crate::ids::{ArtifactId, RunId};
use crate::schedule::{Schedule, ScheduleDocument};
use crate::stop::Stop;

/// What a promoted artifact says of its schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// The source that its runs count for.
    pub source_id: Option<String>,
    /// The artifact.
    pub artifact: ArtifactId,
    /// Its content.
    pub content: ContentId,
    /// Its `SCHEDULE.json`.
    pub document: ScheduleDocument,
}

/// What may hold a schedule that is otherwise free to start runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holds {
    /// State of its source; none when it has no source, or one that no run has read yet.
    pub source: Option<SourceState>,
    /// A stop in force that covers it.
    pub stop: Option<Stop>,
}

/// What decides whether a schedule may be enabled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnableFacts {
    /// How the gates stand ([`gates`](crate::gate::gates)).
    pub gates: Vec<GateState>,
    /// The `SCHEDULE.json` of what the lane points to.
    pub document: Option<ScheduleDocument>,
    /// Whether schedules may exist in its lane.
    pub lane_permits: bool,
    /// What may hold it.
    pub holds: Holds,
}

/// A change asked of a schedule.
#[expect(
    clippy::large_enum_variant,
    reason = "made and consumed at once, never kept"
)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A person lets it start runs; all gates must be met.
    Enable {
        /// How everything stands.
        facts: EnableFacts,
        /// Why.
        reason: String,
    },
    /// It starts nothing until it is enabled again.
    Disable {
        /// Why.
        reason: String,
    },
    /// A rule holds it: it starts nothing until a person resumes it.
    Pause {
        /// Why.
        reason: String,
    },
    /// A person lets a paused one go on.
    Resume {
        /// What may hold it.
        holds: Holds,
        /// Why.
        reason: String,
    },
    /// It starts a run for a nominal time: one behind the cursor, or the one that waits.
    Fire {
        /// The nominal time.
        fire_at: Timestamp,
        /// The run.
        run: RunId,
    },
    /// The start waits for the end of a run (overlap policies `queue` and `cancel_previous`).
    Queue {
        /// The nominal time.
        fire_at: Timestamp,
    },
    /// Starts fall away.
    Skip {
        /// The last nominal time that falls away; the one that waits when it is that one.
        through: Timestamp,
        /// How many.
        count: u32,
        /// Why.
        cause: SkipCause,
        /// From how many starts in a row that fell away by overlap on someone is alerted; 0 for never.
        alert_after: u32,
    },
    /// A run that it started is over.
    RunOver {
        /// The run.
        run: RunId,
        /// Class of its failure; none on success.
        class: Option<FailureClass>,
        /// Failed runs in a row after which it pauses, at least 1.
        pause_after: u32,
    },
    /// Its source is in a state, after whatever changed it.
    SourceIs {
        /// The state.
        state: SourceState,
        /// Why.
        reason: String,
    },
}

/// Why a start fell away.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum SkipCause {
    /// Nothing could start it in time, and the misfire policy does not make up for it.
    Misfire,
    /// A run still went on.
    Overlap,
    /// A stop was in force.
    Stop,
    /// The schedule was paused or disabled before a start that waited was made.
    NotEnabled,
}

impl SkipCause {
    /// The name in JSON and in text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Misfire => "misfire",
            Self::Overlap => "overlap",
            Self::Stop => "stop",
            Self::NotEnabled => "not_enabled",
        }
    }
}

/// The result of a command that was accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// The schedule afterwards. Equal to the one before when nothing changed.
    pub schedule: Schedule,
    /// What happened, in order.
    pub events: Vec<NewEvent>,
    /// Whom to tell.
    pub alarm: Option<Alarm>,
}

/// Something of a schedule that people should be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// The same trouble gives the same key.
    pub key: String,
    /// How loud.
    pub level: AlertLevel,
    /// One line.
    pub title: String,
}
