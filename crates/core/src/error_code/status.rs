//! Run states (`D-RUN-2`) and the exit codes of `moorline run`.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::FailureClass;

/// The state of a run (`D-RUN-2`).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Accepted and durable; nothing was launched yet.
    Queued,
    /// An attempt is under way, or the next one is due.
    Running,
    /// Waits for a person's decision between two steps; nothing runs.
    AwaitingApproval,
    /// Every step succeeded and the outputs were exported.
    Success,
    /// It failed; the class says how.
    Failed,
    /// The source refused the credentials; a person refreshes them.
    NeedsReauth,
    /// A person cancelled it.
    Cancelled,
    /// A stop killed it.
    Killed,
    /// A time limit passed.
    TimedOut,
    /// It was never started, because the one before it was still going.
    Skipped,
}

impl RunStatus {
    /// Every state, in the order of a run's life.
    pub const ALL: [Self; 10] = [
        Self::Queued,
        Self::Running,
        Self::AwaitingApproval,
        Self::Success,
        Self::Failed,
        Self::NeedsReauth,
        Self::Cancelled,
        Self::Killed,
        Self::TimedOut,
        Self::Skipped,
    ];

    /// Whether the run is over. A terminal state is final: nothing follows it.
    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::Queued | Self::Running | Self::AwaitingApproval)
    }

    /// The name in JSON and in text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::AwaitingApproval => "awaiting_approval",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::NeedsReauth => "needs_reauth",
            Self::Cancelled => "cancelled",
            Self::Killed => "killed",
            Self::TimedOut => "timed_out",
            Self::Skipped => "skipped",
        }
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What `moorline run` and `moorline runs wait` exit with (L17).
///
/// | outcome | exit code |
/// |---|---|
/// | success, skipped | 0 |
/// | awaiting approval | 3 |
/// | failed: validation | 65 |
/// | failed: runtime, preempted | 75 |
/// | needs re-authentication | 77 |
/// | failed: config, missing secret, policy, leak | 78 |
/// | timed out | 124 |
/// | cancelled | 130 |
/// | killed | 137 |
/// | failed otherwise, or not over yet | 1 |
///
/// A usage error, 2, never becomes a run. A run that is not over counts as a failure here, so that a wait
/// that was cut short is not taken for success.
pub const fn exit_code(status: RunStatus, class: Option<FailureClass>) -> u8 {
    match status {
        RunStatus::Success | RunStatus::Skipped => 0,
        RunStatus::Queued | RunStatus::Running => 1,
        RunStatus::AwaitingApproval => 3,
        RunStatus::NeedsReauth => 77,
        RunStatus::TimedOut => 124,
        RunStatus::Cancelled => 130,
        RunStatus::Killed => 137,
        RunStatus::Failed => match class {
            Some(FailureClass::Validation) => 65,
            Some(FailureClass::Runtime | FailureClass::Preempted) => 75,
            Some(FailureClass::Auth) => 77,
            Some(FailureClass::Config | FailureClass::Policy | FailureClass::Leak) => 78,
            Some(FailureClass::Timeout) => 124,
            Some(FailureClass::Cancelled) => 130,
            Some(FailureClass::Stopped) => 137,
            Some(FailureClass::Overlap | FailureClass::Rejected | FailureClass::Expired) | None => {
                1
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_in_text_and_json() {
        for status in RunStatus::ALL {
            assert_eq!(
                serde_json::to_value(status).unwrap(),
                serde_json::json!(status.as_str())
            );
            assert_eq!(status.to_string(), status.as_str());
        }
    }

    #[test]
    fn three_states_are_not_final() {
        let open: Vec<_> = RunStatus::ALL
            .into_iter()
            .filter(|s| !s.is_terminal())
            .collect();
        assert_eq!(
            open,
            [
                RunStatus::Queued,
                RunStatus::Running,
                RunStatus::AwaitingApproval
            ]
        );
    }

    /// L17: the exit code of every class, as documented.
    #[test]
    fn every_failure_class_exits_as_documented() {
        let expected = [
            (FailureClass::Auth, 77),
            (FailureClass::Validation, 65),
            (FailureClass::Runtime, 75),
            (FailureClass::Timeout, 124),
            (FailureClass::Config, 78),
            (FailureClass::Policy, 78),
            (FailureClass::Leak, 78),
            (FailureClass::Cancelled, 130),
            (FailureClass::Stopped, 137),
            (FailureClass::Preempted, 75),
            (FailureClass::Overlap, 0),
        ];
        let actual = expected.map(|(class, _)| (class, exit_code(class.rule().run, Some(class))));
        assert_eq!(actual, expected);
    }

    #[test]
    fn only_success_and_skipped_exit_with_zero() {
        for status in RunStatus::ALL {
            let zero = exit_code(status, None) == 0;
            assert_eq!(
                zero,
                matches!(status, RunStatus::Success | RunStatus::Skipped),
                "{status}"
            );
        }
        assert_eq!(exit_code(RunStatus::AwaitingApproval, None), 3);
        assert_eq!(exit_code(RunStatus::Failed, None), 1);
    }
}
