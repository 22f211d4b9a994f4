//! The outcome of an attempt that left no record: what the platform says of its sandbox.

use jiff::Timestamp;
use moorline_core::attempt::{Exit, LimitHit, LimitKind, LogStats, Outcome, Usage};
use moorline_core::protocol::Reply;

use super::launch;
use crate::supervise::guest;

/// How a sandbox ended, in the platform's terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SandboxEnd {
    /// Its main process ended by itself with this code.
    Exited(i32),
    /// Its own timeout was over.
    TimedOut,
    /// Somebody, or the platform, ended it.
    Terminated,
    /// It did not come to run; in the platform's words.
    Failed(String),
    /// The platform lost it; in its words.
    Lost(String),
}

/// The outcome that stands for what the attempt itself did not tell.
///
/// The supervisor inside leaves a record whatever the job does, so without one the sandbox itself was taken
/// away, or could not start it.
pub(super) fn without_record(end: &SandboxEnd, cancelled: bool, now: Timestamp) -> Outcome {
    let mut limits_hit = Vec::new();
    let exit = match end {
        SandboxEnd::TimedOut => Exit::TimedOut,
        _ if cancelled => Exit::Cancelled,
        SandboxEnd::Terminated => Exit::Preempted {
            reason: "Modal ended its sandbox before the job was over".to_owned(),
        },
        // The kernel's own kill; nothing inside sends it to the supervisor.
        SandboxEnd::Exited(137) => {
            let detail = "the sandbox was killed, as Modal does when memory is over".to_owned();
            limits_hit.push(LimitHit {
                kind: LimitKind::Memory,
                detail,
            });
            Exit::Signaled { signal: 9 }
        }
        SandboxEnd::Exited(code @ (126 | 127)) => Exit::NotStarted {
            reason: format!(
                "the supervisor could not be run in this image (exit code {code}): give a statically \
                 linked one"
            ),
        },
        SandboxEnd::Exited(guest::TAKEN) => Exit::NotStarted {
            reason: "another sandbox has taken this attempt".to_owned(),
        },
        SandboxEnd::Exited(code) => Exit::Lost {
            reason: format!("its supervisor ended with code {code} and left no record"),
        },
        SandboxEnd::Lost(words) => Exit::Preempted {
            reason: format!("Modal lost its sandbox: {words}"),
        },
        SandboxEnd::Failed(words) => Exit::NotStarted {
            reason: format!("its sandbox failed: {words}"),
        },
    };
    let started = !matches!(exit, Exit::NotStarted { .. });
    Outcome {
        limits_hit,
        started_at: started.then_some(now),
        ended_at: now,
        usage: Usage::default(),
        isolation: launch::isolation(),
        reply: Reply::None,
        egress_denied: Vec::new(),
        log: LogStats::default(),
        exit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_means_one_thing() {
        let exit = |end, cancelled| without_record(&end, cancelled, Timestamp::UNIX_EPOCH).exit;
        assert_eq!(exit(SandboxEnd::TimedOut, true), Exit::TimedOut);
        assert_eq!(exit(SandboxEnd::Terminated, true), Exit::Cancelled);
        assert!(matches!(
            exit(SandboxEnd::Terminated, false),
            Exit::Preempted { .. }
        ));
        assert_eq!(
            exit(SandboxEnd::Exited(137), false),
            Exit::Signaled { signal: 9 }
        );
        assert!(matches!(
            exit(SandboxEnd::Exited(127), false),
            Exit::NotStarted { .. }
        ));
        assert!(matches!(
            exit(SandboxEnd::Exited(1), false),
            Exit::Lost { .. }
        ));
        assert!(matches!(
            exit(SandboxEnd::Lost("oops".into()), false),
            Exit::Preempted { .. }
        ));
        assert!(matches!(
            exit(SandboxEnd::Failed("no image".into()), false),
            Exit::NotStarted { .. }
        ));
    }
}
