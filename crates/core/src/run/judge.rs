//! From what an executor reports to what it means for the run: the exit, the limits and the reply of an
//! attempt become one [`Verdict`].

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Failure, OutputRef};
use crate::attempt::{Exit, LimitHit, LimitKind, Outcome};
use crate::error_code::{ErrorCode, FailureClass};
use crate::protocol::Reply;

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Verdict {
    /// Its step is done.
    Success {
        /// `data` of its result line.
        data: Value,
        /// Its validated output files.
        outputs: Vec<OutputRef>,
        /// Transactions it reported.
        transaction_count: Option<u64>,
    },
    /// Its step failed, this time.
    Failure(Failure),
}

impl Verdict {
    /// A failure without a process behind it.
    pub fn failure(class: FailureClass, code: ErrorCode, reason: impl Into<String>) -> Self {
        Self::Failure(Failure {
            class,
            code,
            reason: reason.into(),
            step: None,
            exit_code: None,
            signal: None,
        })
    }
}

/// Judges an outcome before its outputs are looked at: `Success` still has to pass validation.
///
/// A limit that was hit names the failure, since the exit code behind it says nothing. Then a reply that
/// is not the contract fails (L20). Then an error that the job reported itself. Then its exit (D-RUN-5).
/// A job that claims success and exits non-zero failed.
pub fn judge(outcome: &Outcome, step: &str, reply_required: bool) -> Verdict {
    let (exit_code, signal) = match outcome.exit {
        Exit::Exited { code } => (Some(code), None),
        Exit::Signaled { signal } => (None, Some(signal)),
        _ => (None, None),
    };
    let fail = |class, code, reason: String| {
        Verdict::Failure(Failure {
            class,
            code,
            reason,
            step: Some(step.to_owned()),
            exit_code,
            signal,
        })
    };
    let ended_well = outcome.exit == Exit::Exited { code: 0 };
    if let (false, Some(hit)) = (ended_well, deadly(&outcome.limits_hit)) {
        let (code, what) = match hit.kind {
            LimitKind::Memory => (ErrorCode::LimitMemory, "memory"),
            LimitKind::Pids => (ErrorCode::LimitPids, "process"),
            LimitKind::Disk | LimitKind::Log => (ErrorCode::LimitDisk, "disk"),
        };
        return fail(
            FailureClass::Runtime,
            code,
            format!("{what} limit reached: {}", hit.detail),
        );
    }
    match &outcome.exit {
        Exit::TimedOut => {
            let reason = "ran past its timeout and was killed".to_owned();
            return fail(FailureClass::Timeout, ErrorCode::Timeout, reason);
        }
        Exit::Cancelled => {
            let reason = "ended by request".to_owned();
            return fail(FailureClass::Cancelled, ErrorCode::Cancelled, reason);
        }
        Exit::NotStarted { reason } => {
            return fail(
                FailureClass::Config,
                ErrorCode::Config,
                format!("not started: {reason}"),
            );
        }
        Exit::Lost { reason } => {
            return fail(
                FailureClass::Preempted,
                ErrorCode::Lost,
                format!("lost: {reason}"),
            );
        }
        Exit::Preempted { reason } => {
            return fail(
                FailureClass::Preempted,
                ErrorCode::Preempted,
                format!("preempted: {reason}"),
            );
        }
        Exit::Exited { .. } | Exit::Signaled { .. } => {}
    }
    if let Reply::Bad { reason } = &outcome.reply {
        return fail(
            FailureClass::Runtime,
            ErrorCode::BadResponse,
            reason.clone(),
        );
    }
    if let Reply::Error { class, reason, .. } = &outcome.reply {
        let class = *class;
        return fail(class, ErrorCode::of_class(class), reason.clone());
    }
    if !ended_well && !outcome.egress_denied.is_empty() {
        let denied = outcome.egress_denied.join(", ");
        let reason = format!(
            "egress refused to {denied}, then {}",
            describe(&outcome.exit)
        );
        return fail(FailureClass::Policy, ErrorCode::Egress, reason);
    }
    match outcome.exit {
        Exit::Exited { code: 0 } => match &outcome.reply {
            Reply::Success {
                data,
                transaction_count,
            } => Verdict::Success {
                data: data.clone(),
                outputs: Vec::new(),
                transaction_count: *transaction_count,
            },
            _ if reply_required => {
                let reason = "exited 0 without the result line that its step requires".to_owned();
                fail(FailureClass::Runtime, ErrorCode::BadResponse, reason)
            }
            _ => Verdict::Success {
                data: Value::Null,
                outputs: Vec::new(),
                transaction_count: None,
            },
        },
        Exit::Exited { code } => {
            let class = FailureClass::from_exit_code(code).unwrap_or(FailureClass::Runtime);
            fail(class, ErrorCode::of_class(class), describe(&outcome.exit))
        }
        _ => fail(
            FailureClass::Runtime,
            ErrorCode::Runtime,
            describe(&outcome.exit),
        ),
    }
}

/// The first limit that can end a process; a full log never does.
fn deadly(hits: &[LimitHit]) -> Option<&LimitHit> {
    hits.iter().find(|hit| hit.kind != LimitKind::Log)
}

fn describe(exit: &Exit) -> String {
    match exit {
        Exit::Exited { code } => format!("exited with code {code}"),
        Exit::Signaled { signal } => format!("ended by signal {signal}"),
        other => format!("{other:?}"),
    }
}
