//! The line protocol: how a job's process tells Moorline of progress, metrics and its result (D-RUN-5).
//!
//! A job needs no library for it. It prints lines on its standard output; those that start with
//! `::moorline` and one space carry one JSON object, and all others are log. Standard error is log only.
//!
//! ```text
//! ::moorline {"type":"progress","phase":"download","task":"page 3","pct":40}
//! ::moorline {"type":"progress","crew":"discovery","task":"profile","status":"completed","duration_ms":840}
//! ::moorline {"type":"metric","name":"rows_read","value":1200}
//! ::moorline {"type":"result","status":"success","transaction_count":3,"data":{"balance":"12.50"}}
//! ::moorline {"type":"result","status":"error","class":"auth","code":"15500","reason":"sign-on refused"}
//! ```
//!
//! # Messages
//!
//! | `type` | members | meaning |
//! |---|---|---|
//! | `progress` | `phase`, `crew`, `task`, `agent`, `message`, `error_message`: texts, `status`: `started`, `in_progress`, `completed`, `failed` or `skipped`, `pct` (or `progress_pct`): 0 to 100, `output`: any JSON, `duration_ms`: integer >= 0; each optional, at least one | where the job is; for people, never a decision |
//! | `metric` | `name` (or `metric`): text, `value`: number | a figure to keep |
//! | `result`, `status` `success` | `transaction_count`: integer >= 0, `data`: any JSON (`outputs` is another name for it); both optional | the step did its work; `data` is handed to the steps after it |
//! | `result`, `status` `error` | `class`: `auth`, `validation`, `runtime` or `config`; `reason`: text; `code`: text, optional, the source's own | the step failed, in a way that the job understands |
//!
//! # Rules
//!
//! * One result an attempt, at most. A step with `reply: required` must send one.
//! * A line is at most 1 MiB ([`MAX_LINE`]), UTF-8, and ends with a line feed (a carriage return before it
//!   is dropped) or with the stream.
//! * A line that starts like one and is none (not JSON, an unknown type, member or class, a second result)
//!   makes the whole reply [`Reply::Bad`]: an answer that is not the contract is a failure (L20), and
//!   guessing which half was meant is not for Moorline.
//! * A result does not end the process. Its exit code counts as well: an attempt that claims success and
//!   exits with another code than 0 failed.
//! * Nothing that leaves by this protocol may hold a secret; it is redacted like all other output.
//!
//! # Without it
//!
//! A job that never prints such a line is judged by its exit code alone, after sysexits: 0 success, 65
//! validation, 77 auth, 78 configuration, others runtime.
//!
//! Deliberately absent: a channel from Moorline to the job. What a job is given stands in its input file
//! before it starts.

mod collector;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error_code::FailureClass;

pub use collector::ReplyCollector;

/// Longest protocol line, in bytes, prefix included and line end not.
pub const MAX_LINE: usize = 1 << 20;

/// What protocol lines start with; one space and a JSON object follow.
pub const PREFIX: &str = "::moorline";

/// One protocol line, understood.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// Where the job is.
    Progress(Progress),
    /// A figure to keep.
    Metric(Metric),
    /// How the step ended.
    Result(StepResult),
}

/// Where a job is: at least one member is there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// The part of the work, e.g. `download`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Who works together on it, e.g. `discovery`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crew: Option<String>,
    /// The piece of that part, e.g. `page 3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Which of them works on it, e.g. `researcher`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Where that piece stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<TaskStatus>,
    /// How much is done, in percent, 0 to 100.
    #[serde(
        default,
        alias = "progress_pct",
        skip_serializing_if = "Option::is_none"
    )]
    pub pct: Option<f64>,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What came of it so far, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// Why it failed, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// How long it took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
}

/// Where a piece of the work stands, by the words of seed 003.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskStatus {
    /// It began.
    Started,
    /// It goes on.
    InProgress,
    /// It is done.
    Completed,
    /// It failed; the step may still succeed.
    Failed,
    /// It was left out.
    Skipped,
}

/// A figure that a job reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// What was measured.
    #[serde(alias = "metric")]
    pub name: String,
    /// How much.
    pub value: f64,
}

/// How a step ended, in the job's own words.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case", deny_unknown_fields)]
pub enum StepResult {
    /// It did its work.
    Success {
        /// Transactions that it wrote, where it counts any.
        #[serde(default)]
        transaction_count: Option<u64>,
        /// What it hands to the steps after it; null for nothing.
        #[serde(default, alias = "outputs")]
        data: Value,
    },
    /// It failed in a way that it understands.
    Error {
        /// What kind of failure: `auth`, `validation`, `runtime` or `config`.
        class: FailureClass,
        /// The source's own code, e.g. `15500`.
        #[serde(default)]
        code: Option<String>,
        /// Why, in words.
        reason: String,
    },
}

/// What an attempt said of its result: the sum of its protocol lines.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// Nothing: its exit code decides.
    #[default]
    None,
    /// It did its work.
    Success {
        /// Transactions that it wrote, where it counts any.
        transaction_count: Option<u64>,
        /// What it hands to the steps after it; null for nothing.
        data: Value,
    },
    /// It failed in a way that it understands.
    Error {
        /// What kind of failure.
        class: FailureClass,
        /// The source's own code.
        code: Option<String>,
        /// Why, in words.
        reason: String,
    },
    /// Something that is not the contract (L20).
    Bad {
        /// What was wrong with it, and in which line of its output.
        reason: String,
    },
}

impl From<StepResult> for Reply {
    fn from(result: StepResult) -> Self {
        match result {
            StepResult::Success {
                transaction_count,
                data,
            } => Self::Success {
                transaction_count,
                data,
            },
            StepResult::Error {
                class,
                code,
                reason,
            } => Self::Error {
                class,
                code,
                reason,
            },
        }
    }
}

/// A line that starts like one of the protocol and is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadLine(String);

/// Reads one line of a job's standard output, without its line feed. `None` for a line that is plain log;
/// deciding that costs a comparison of its first bytes.
///
/// ```
/// use moorline_core::protocol::{Message, Metric, parse_line};
///
/// let line = br#"::moorline {"type":"metric","name":"rows","value":3}"#;
/// let metric = Metric { name: "rows".to_owned(), value: 3.0 };
/// assert_eq!(parse_line(line), Some(Ok(Message::Metric(metric))));
/// assert_eq!(parse_line(b"rows: 3"), None);
/// assert!(parse_line(b"::moorline rows: 3").unwrap().is_err());
/// ```
pub fn parse_line(line: &[u8]) -> Option<Result<Message, BadLine>> {
    let rest = line.strip_prefix(PREFIX.as_bytes())?;
    let rest = rest.strip_suffix(b"\r").unwrap_or(rest);
    match rest.first() {
        Some(b' ') => Some(parse_object(rest.trim_ascii_start())),
        // So close that it was meant; a word that only begins alike was not.
        None | Some(b'{' | b'\t' | b':') => Some(Err(BadLine(format!(
            "`{PREFIX}` needs one space and a JSON object after it"
        )))),
        Some(_) => None,
    }
}

fn parse_object(json: &[u8]) -> Result<Message, BadLine> {
    #[derive(Deserialize)]
    #[serde(tag = "type", rename_all = "snake_case")]
    enum Wire {
        Progress(Progress),
        Metric(Metric),
        Result(StepResult),
    }
    if json.len() > MAX_LINE {
        return Err(too_long());
    }
    if json.first() != Some(&b'{') {
        return Err(BadLine("no JSON object follows".to_owned()));
    }
    let wire = serde_json::from_slice(json).map_err(|error| BadLine(Reason(&error).to_string()))?;
    match wire {
        Wire::Progress(progress) => check_progress(progress),
        Wire::Metric(metric) => Ok(Message::Metric(metric)),
        Wire::Result(result) => check_result(result),
    }
}

/// An error of `serde_json` without its position, which counts from the start of the object.
struct Reason<'a>(&'a serde_json::Error);

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let full = self.0.to_string();
        let reason = full
            .rsplit_once(" at line ")
            .map_or(full.as_str(), |(reason, _)| reason);
        if self.0.is_data() {
            f.write_str(reason)
        } else {
            write!(f, "not JSON: {reason}")
        }
    }
}

fn check_progress(progress: Progress) -> Result<Message, BadLine> {
    if progress == Progress::default() {
        return Err(BadLine("a progress line says nothing".to_owned()));
    }
    if progress
        .pct
        .is_some_and(|pct| !(0.0..=100.0).contains(&pct))
    {
        return Err(BadLine("`pct` is not from 0 to 100".to_owned()));
    }
    Ok(Message::Progress(progress))
}

fn check_result(result: StepResult) -> Result<Message, BadLine> {
    use FailureClass::{Auth, Config, Runtime, Validation};
    match result {
        StepResult::Error { class, .. }
            if ![Auth, Validation, Runtime, Config].contains(&class) =>
        {
            let known = "`auth`, `validation`, `runtime` or `config`";
            Err(BadLine(format!(
                "`{class}` is not for a job to say: its class is {known}"
            )))
        }
        StepResult::Error { ref reason, .. } if reason.trim().is_empty() => {
            Err(BadLine("an error result has an empty `reason`".to_owned()))
        }
        result => Ok(Message::Result(result)),
    }
}

fn too_long() -> BadLine {
    BadLine("a protocol line is over 1 MiB".to_owned())
}
