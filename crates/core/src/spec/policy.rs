//! What is decided about a job beside its steps: retries, thresholds, alerts, retention, duplicates,
//! incremental reads, tools and approval. The checklist of seed 000 asks for each of these.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::defaults::{is_default, is_num, never, num};
use crate::error_code::{AlertLevel, FailureClass};

/// When and how often a failed attempt is followed by another (D-RUN-4).
///
/// The wait before retry `n` (from 1) is `initial_delay_seconds * backoff^(n-1)`, at most
/// `max_delay_seconds`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retries {
    /// Attempts after the first one, at most 100.
    #[schemars(range(max = 100))]
    pub max: u32,
    /// Seconds before the first retry; decimals allowed.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    #[schemars(range(min = 0, max = 86_400), skip_serializing_if = "never")]
    pub initial_delay_seconds: f64,
    /// Factor from one wait to the next, 1 to 10.
    #[serde(default = "two", skip_serializing_if = "is_two")]
    #[schemars(range(min = 1, max = 10), skip_serializing_if = "never")]
    pub backoff: f64,
    /// Longest wait, in seconds.
    #[serde(default = "sixty", skip_serializing_if = "is_sixty")]
    #[schemars(range(min = 0, max = 86_400), skip_serializing_if = "never")]
    pub max_delay_seconds: f64,
    /// Failure classes that are retried: of `runtime`, `timeout` and `preempted`, the last one only for an
    /// idempotent step. No other class is ever retried.
    #[serde(default = "usual_classes", skip_serializing_if = "is_usual_classes")]
    #[schemars(skip_serializing_if = "never")]
    pub on: Vec<FailureClass>,
}

const fn one() -> f64 {
    1.0
}

const fn two() -> f64 {
    2.0
}

const fn sixty() -> f64 {
    60.0
}

fn usual_classes() -> Vec<FailureClass> {
    vec![FailureClass::Runtime, FailureClass::Timeout]
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    clippy::float_cmp,
    reason = "serde; exact default"
)]
fn is_one(value: &f64) -> bool {
    *value == one()
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    clippy::float_cmp,
    reason = "serde; exact default"
)]
fn is_two(value: &f64) -> bool {
    *value == two()
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    clippy::float_cmp,
    reason = "serde; exact default"
)]
fn is_sixty(value: &f64) -> bool {
    *value == sixty()
}

fn is_usual_classes(value: &[FailureClass]) -> bool {
    *value == usual_classes()
}

impl Retries {
    /// No retries.
    pub fn none() -> Self {
        Self {
            max: 0,
            initial_delay_seconds: one(),
            backoff: two(),
            max_delay_seconds: sixty(),
            on: usual_classes(),
        }
    }

    /// How long to wait before retry `number`, 1 for the first.
    ///
    /// ```
    /// use std::time::Duration;
    /// use moorline_core::spec::Retries;
    ///
    /// let retries: Retries = serde_json::from_str(r#"{"max": 9, "max_delay_seconds": 5}"#).unwrap();
    /// let waits: Vec<u64> = (1..=4).map(|n| retries.delay(n).as_secs()).collect();
    /// assert_eq!(waits, [1, 2, 4, 5]);
    /// ```
    pub fn delay(&self, number: u32) -> std::time::Duration {
        let exponent = i32::try_from(number.saturating_sub(1)).unwrap_or(i32::MAX);
        let seconds = self.initial_delay_seconds * self.backoff.powi(exponent);
        // `min` also turns the NaN of 0 * infinity into a number.
        let bounded = seconds.min(self.max_delay_seconds).max(0.0);
        std::time::Duration::try_from_secs_f64(bounded).unwrap_or_default()
    }
}

/// Thresholds that the outputs of a run must keep (D-RUN-6). 0 is a threshold like any other (L43); an
/// absent one is not checked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Validation {
    /// Fewest transactions, over all `tx_v1` outputs together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_transactions: Option<u64>,
    /// Most transactions, over all `tx_v1` outputs together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_transactions: Option<u64>,
    /// Fewest bytes of each output file that is required or present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_output_bytes: Option<u64>,
    /// Most bytes of each output file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_bytes: Option<u64>,
}

/// What follows a failure, where the failure matrix (D-RUN-7) leaves a choice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FailurePolicy {
    /// Retries of every step that names none itself; none when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<Retries>,
    /// Failed runs in a row (runtime or timeout, attempts spent) after which source and schedule pause.
    #[serde(default = "num::<1>", skip_serializing_if = "is_num::<1>")]
    #[schemars(range(min = 1), skip_serializing_if = "never")]
    pub pause_after_failed_runs: u32,
    /// Skipped runs in a row after which someone is alerted; 0 for never.
    #[serde(default = "num::<3>", skip_serializing_if = "is_num::<3>")]
    #[schemars(skip_serializing_if = "never")]
    pub alert_after_skipped_runs: u32,
}

impl Default for FailurePolicy {
    /// No retries; pause at the first failed run; alert at the third skipped one.
    fn default() -> Self {
        Self {
            retries: None,
            pause_after_failed_runs: 1,
            alert_after_skipped_runs: 3,
        }
    }
}

/// Someone to tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Alert {
    /// How they are told.
    pub channel: AlertChannel,
    /// The mail address or the `https` URL. Without credentials: a URL that is itself a secret belongs in
    /// `target_secret`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub target: Option<String>,
    /// The name of the job's secret that holds the target. Either this or `target` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_secret: Option<String>,
    /// The name of the job's secret that signs the request (`webhook`: HMAC-SHA256); unsigned without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// The least level that is told.
    #[serde(default = "warning", skip_serializing_if = "is_warning")]
    #[schemars(skip_serializing_if = "never")]
    pub min_level: AlertLevel,
}

const fn warning() -> AlertLevel {
    AlertLevel::Warning
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde calls"
)]
fn is_warning(level: &AlertLevel) -> bool {
    *level == warning()
}

/// How someone is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertChannel {
    /// A mail.
    Email,
    /// A signed HTTP request.
    Webhook,
    /// A message in the form that Slack and its likes take.
    Slack,
}

/// How long things are kept, in days, at least 1; without end when absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    clippy::struct_field_names,
    reason = "the unit belongs into the names of the document"
)]
pub struct Retention {
    /// Run summaries, archived and raw files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub runs_days: Option<u32>,
    /// Logs of attempts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub logs_days: Option<u32>,
    /// Exported files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub exports_days: Option<u32>,
}

/// What is done with a record that was exported before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dedupe {
    /// Fields that identify a record together.
    #[serde(default = "tx_keys", skip_serializing_if = "is_tx_keys")]
    #[schemars(length(min = 1), skip_serializing_if = "never")]
    pub keys: Vec<String>,
    /// Which of two equal records is kept.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(skip_serializing_if = "never")]
    pub strategy: DedupeStrategy,
}

fn tx_keys() -> Vec<String> {
    ["source_id", "account_id", "transaction_id"]
        .map(str::to_owned)
        .to_vec()
}

fn is_tx_keys(keys: &[String]) -> bool {
    *keys == tx_keys()
}

/// Which of two equal records is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DedupeStrategy {
    /// The earlier one.
    #[default]
    KeepFirst,
    /// The later one.
    KeepLast,
    /// Neither: the run fails validation.
    Reject,
}

/// How a run knows where the one before it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Incremental {
    /// `full`, `lookback` or `cursor`.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(skip_serializing_if = "never")]
    pub strategy: IncrementalStrategy,
    /// The record field whose largest value is where the next run starts. Only for `cursor`, which needs
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub cursor_field: Option<String>,
    /// How far back the very first run reads, in days; the entity's `lookback_days` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub backfill_days: Option<u32>,
}

/// How much a run reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IncrementalStrategy {
    /// Everything, each time.
    #[default]
    Full,
    /// The last `lookback_days` of each source.
    Lookback,
    /// From the largest value of a field that the run before it saw.
    Cursor,
}

/// What an agent that works on the job may do. What is absent follows the lane: editing, reading and
/// searching are allowed everywhere; the shell and web access are restricted and installing dependencies
/// is forbidden in production lanes, and all three are allowed in others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolPermissions {
    /// Changing files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edit: Option<Permission>,
    /// Reading files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<Permission>,
    /// Searching files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grep: Option<Permission>,
    /// Running commands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<Permission>,
    /// Installing dependencies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install_dependencies: Option<Permission>,
    /// Reading from the web.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_fetch: Option<Permission>,
}

/// How far a tool may be used.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// Freely.
    Allowed,
    /// Only what a list names.
    Restricted,
    /// Not at all.
    Forbidden,
}

/// Who approved the spec, for the record. It grants nothing: approval is an act in Moorline, by a person
/// whose identity was checked (D-ART-4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// The person.
    #[schemars(length(min = 1))]
    pub by: String,
    /// The day, as `YYYY-MM-DD` (RFC 3339 full-date).
    #[schemars(extend("format" = "date"))]
    pub date: String,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn waits_grow_by_the_factor_up_to_the_longest() {
        let mut retries = Retries::none();
        assert_eq!(retries.delay(1), Duration::from_secs(1));
        assert_eq!(retries.delay(u32::MAX), Duration::from_mins(1));
        retries.initial_delay_seconds = 0.25;
        assert_eq!(retries.delay(2), Duration::from_millis(500));
        retries.initial_delay_seconds = 0.0;
        assert_eq!(retries.delay(3), Duration::ZERO);
        assert!(retries.delay(u32::MAX) <= Duration::from_mins(1));
    }

    #[test]
    fn a_policy_of_defaults_writes_nothing() {
        let text = serde_json::to_string(&FailurePolicy::default()).unwrap();
        assert_eq!(text, "{}");
        assert_eq!(
            serde_json::from_str::<FailurePolicy>("{}").unwrap(),
            FailurePolicy::default()
        );
        let retries: Retries = serde_json::from_str(r#"{"max":2}"#).unwrap();
        assert_eq!(
            retries,
            Retries {
                max: 2,
                ..Retries::none()
            }
        );
        assert_eq!(serde_json::to_string(&retries).unwrap(), r#"{"max":2}"#);
    }
}
