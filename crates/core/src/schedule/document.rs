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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec;

    fn document(cadence: &str) -> Option<ScheduleDocument> {
        let text = format!(
            r#"{{"job_id": "bank-statement", "time_zone": "Europe/Berlin", "cadence": {cadence},
                 "steps": [{{"name": "load", "argv": ["true"]}}]}}"#
        );
        let spec = spec::load(text.as_bytes()).unwrap();
        ScheduleDocument::of(&spec, spec.canonical_hash().unwrap())
    }

    /// D-SCHED-1: the file is compared as a value.
    #[test]
    fn a_file_agrees_however_it_is_written() {
        let spec = document(
            r#"{"type": "cron", "expr": "15 6 * * *", "overlap": "queue", "ends_at": "2027-01-01T00:00:00Z"}"#,
        )
        .unwrap();
        let file = format!(
            r#"{{
                "spec_hash": "{}", "job_id": "bank-statement", "time_zone": "Europe/Berlin",
                "ends_at": "2027-01-01T01:00:00+01:00", "overlap": "queue", "misfire": "skip",
                "jitter_seconds": 0, "expr": "15 6 * * *", "type": "cron"
            }}"#,
            spec.spec_hash
        );
        let file = ScheduleDocument::read(&file).unwrap();
        assert_eq!(spec.agrees_with(&file), Ok(()));
        let written = serde_json::to_string(&spec).unwrap();
        assert_eq!(ScheduleDocument::read(&written), Ok(spec));
    }

    #[test]
    fn every_field_that_differs_is_named_with_both_values() {
        let spec = document(r#"{"type": "cron", "expr": "15 6 * * *"}"#).unwrap();
        let file = ScheduleDocument {
            expr: Some("15  6 * * *".to_owned()),
            time_zone: "UTC".to_owned(),
            jitter_seconds: 30,
            ..spec.clone()
        };
        let denial = spec.agrees_with(&file).unwrap_err();
        assert_eq!(
            denial.to_string(),
            "SCHEDULE.json does not equal the spec's cadence: expr, jitter_seconds, time_zone differ (D-SCHED-1)"
        );
        let details: Vec<String> = denial
            .details
            .iter()
            .map(|detail| format!("{} {}", detail.at, detail.message))
            .collect();
        let expected = [
            r#"SCHEDULE.json:/expr is "15  6 * * *" in the file and "15 6 * * *" in the spec"#,
            "SCHEDULE.json:/jitter_seconds is 30 in the file and nothing in the spec",
            r#"SCHEDULE.json:/time_zone is "UTC" in the file and "Europe/Berlin" in the spec"#,
        ];
        assert_eq!(details, expected);
    }

    #[test]
    fn a_spec_without_a_cadence_has_no_document() {
        assert_eq!(document(r#"{"type": "none"}"#), None);
        let periodic = document(r#"{"type": "periodic", "period_seconds": 3600}"#).unwrap();
        assert_eq!(periodic.period_seconds, Some(3600));
    }

    #[test]
    fn a_file_that_can_not_be_read_says_what_is_wrong() {
        for (text, reason) in [
            ("{", "EOF"),
            (r#"{"type": "cron", "type": "cron"}"#, "type"),
            (r#"{"type": "cron"}"#, "missing field"),
            (r#"{"type": "cron", "zone": "UTC"}"#, "unknown field"),
        ] {
            let denial = ScheduleDocument::read(text).unwrap_err();
            assert_eq!(denial.rule, "D-SCHED-1");
            assert!(denial.message.contains(reason), "{text}: {denial}");
        }
    }
}
