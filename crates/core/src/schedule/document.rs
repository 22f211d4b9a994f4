//! `SCHEDULE.json`: when an artifact is started, in its own reviewable file.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::content_id::ContentId;
use crate::schedule::{Misfire, Overlap};
use crate::spec::CadenceKind;

/// The content of `SCHEDULE.json`. It equals the spec's cadence exactly (D-SCHED-1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleDocument {
    /// `cron` or `periodic`.
    #[serde(rename = "type")]
    pub kind: CadenceKind,
    /// Five cron fields; only for `cron`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expr: Option<String>,
    /// Seconds from one start to the next; only for `periodic`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_seconds: Option<u64>,
    /// The IANA zone that the cron fields are read in.
    pub time_zone: String,
    /// Starts are spread over this many seconds, by a hash of schedule and time.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub jitter_seconds: u32,
    /// What becomes of starts that could not be made in time.
    #[serde(default, skip_serializing_if = "is_default")]
    pub misfire: Misfire,
    /// What becomes of a start while a run still goes on.
    #[serde(default, skip_serializing_if = "is_default")]
    pub overlap: Overlap,
    /// No start before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Timestamp>,
    /// No start at or after this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
    /// The job.
    pub job_id: String,
    /// Content id of the canonical spec that has this cadence.
    pub spec_hash: ContentId,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde calls"
)]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
