//! `SCHEDULE.json`: when an artifact is started, in its own reviewable file.
//!
//! The file says nothing that the spec does not say (D-SCHED-1): [`ScheduleDocument::of`] makes the one document
//! that a spec can have, and [`ScheduleDocument::agrees_with`] compares a file with it, field by field. Both are
//! compared as values: key order, white space, spelled-out defaults and the offset a time is written with make no
//! difference, anything else does.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::canonical;
use crate::content_id::ContentId;
use crate::denial::{Denial, Detail};
use crate::error_code::ErrorCode;
use crate::schedule::{Misfire, Overlap};
use crate::spec::{CadenceKind, JobSpec};

/// The file's name in an artifact (D-ART-1).
pub const FILE_NAME: &str = "SCHEDULE.json";
/// The rule that is kept here.
const RULE: &str = "D-SCHED-1";
/// What to do about a file that is not the spec's.
const HINT: &str =
    "write the fields of the spec's cadence into the file, or change the spec and have it reviewed";

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

impl ScheduleDocument {
    /// The document of a spec; none when its cadence is `none` or absent.
    ///
    /// `spec_hash` is the spec's [`canonical_hash`](JobSpec::canonical_hash).
    pub fn of(spec: &JobSpec, spec_hash: ContentId) -> Option<Self> {
        let cadence = spec.cadence.clone()?;
        if cadence.kind == CadenceKind::None {
            return None;
        }
        Some(Self {
            kind: cadence.kind,
            expr: cadence.expr,
            period_seconds: cadence.period_seconds,
            time_zone: spec.time_zone.clone().unwrap_or_else(|| "UTC".to_owned()),
            jitter_seconds: cadence.jitter_seconds,
            misfire: cadence.misfire,
            overlap: cadence.overlap,
            starts_at: cadence.starts_at,
            ends_at: cadence.ends_at,
            job_id: spec.job_id.clone(),
            spec_hash,
        })
    }

    /// Reads the content of a file.
    ///
    /// # Errors
    /// Text that is not JSON, names a key twice, lacks a field or has an unknown one (D-SCHED-1).
    pub fn read(text: &str) -> Result<Self, Denial> {
        let bad = |reason: String| {
            Denial::new(
                ErrorCode::Spec,
                RULE,
                format!("{FILE_NAME} can not be read: {reason}"),
            )
            .hint(HINT)
        };
        let value =
            canonical::read(text).map_err(|error| match std::error::Error::source(&error) {
                Some(source) => bad(source.to_string()),
                None => bad(error.to_string()),
            })?;
        serde_json::from_value(value).map_err(|error| bad(error.to_string()))
    }

    /// Checks that a file says exactly what its spec does: `self` is the spec's document.
    ///
    /// # Errors
    /// Every field that differs, with both values (D-SCHED-1).
    pub fn agrees_with(&self, file: &Self) -> Result<(), Denial> {
        if self == file {
            return Ok(());
        }
        let (spec, file) = (self.fields(), file.fields());
        let shown = |fields: &Map<String, Value>, name: &str| match fields.get(name) {
            Some(value) => value.to_string(),
            None => "nothing".to_owned(),
        };
        let mut names: Vec<&String> = spec.keys().chain(file.keys()).collect();
        names.sort_unstable();
        names.dedup();
        let details: Vec<Detail> = names
            .into_iter()
            .filter(|name| spec.get(*name) != file.get(*name))
            .map(|name| Detail {
                at: format!("{FILE_NAME}:/{name}"),
                rule: RULE.to_owned(),
                message: format!(
                    "is {} in the file and {} in the spec",
                    shown(&file, name),
                    shown(&spec, name)
                ),
                hint: None,
            })
            .collect();
        let differing: Vec<&str> = details
            .iter()
            .filter_map(|detail| detail.at.rsplit('/').next())
            .collect();
        let message = format!(
            "{FILE_NAME} does not equal the spec's cadence: {} differ",
            differing.join(", ")
        );
        Err(Denial::new(ErrorCode::Spec, RULE, message)
            .hint(HINT)
            .with_details(details))
    }

    /// The fields in JSON, without those that hold their default.
    fn fields(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(fields)) => fields,
            // A struct of plain fields is always an object.
            _ => Map::new(),
        }
    }
}
