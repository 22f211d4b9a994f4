//! How a sandbox ended.

use std::fmt;

use moorline_modal_proto::client::GenericResult;
use moorline_modal_proto::client::generic_result::GenericStatus;

/// How a sandbox ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Its process exited by itself.
    Exited {
        /// 0 is success.
        code: i32,
    },
    /// It reached the longest life that was asked for.
    TimedOut,
    /// Nothing happened for as long as was asked for.
    IdleTimedOut,
    /// It was ended from outside.
    Terminated,
    /// It, or the machine, had no memory left.
    OutOfMemory,
    /// It never ran.
    StartFailed {
        /// What the server said.
        message: String,
    },
    /// The server, or the machine under it, failed.
    Lost {
        /// What the server said.
        message: String,
    },
}

impl Outcome {
    /// Reads a result; `None` while there is none.
    pub(super) fn of(result: Option<&GenericResult>) -> Option<Self> {
        let result = result?;
        let message = || result.exception.trim().to_owned();
        Some(match result.status() {
            GenericStatus::Unspecified if result.status == 0 => return None,
            GenericStatus::Success => Self::Exited {
                code: result.exitcode,
            },
            GenericStatus::Failure if result.exitcode != 0 || result.exception.is_empty() => {
                Self::Exited {
                    code: if result.exitcode == 0 {
                        1
                    } else {
                        result.exitcode
                    },
                }
            }
            GenericStatus::Failure => Self::StartFailed { message: message() },
            GenericStatus::Terminated => Self::Terminated,
            GenericStatus::Timeout => Self::TimedOut,
            GenericStatus::InitFailure => Self::StartFailed { message: message() },
            GenericStatus::IdleTimeout => Self::IdleTimedOut,
            GenericStatus::MemoryManagerEviction
            | GenericStatus::MemoryThrashingEviction
            | GenericStatus::KernelOomKill => Self::OutOfMemory,
            // A status that is newer than this client is none that it can call a success.
            GenericStatus::InternalFailure | GenericStatus::Unspecified => {
                Self::Lost { message: message() }
            }
        })
    }

    /// Whether the process exited with 0.
    pub fn is_success(&self) -> bool {
        *self == Self::Exited { code: 0 }
    }

    /// The exit code that a shell would show: 124 after a timeout, 137 for what was killed.
    pub fn code(&self) -> i32 {
        match self {
            Self::Exited { code } => *code,
            Self::TimedOut | Self::IdleTimedOut => 124,
            Self::Terminated | Self::OutOfMemory => 137,
            Self::StartFailed { .. } | Self::Lost { .. } => 1,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = |f: &mut fmt::Formatter<'_>, what: &str, message: &str| match message {
            "" => f.write_str(what),
            message => write!(f, "{what}: {message}"),
        };
        match self {
            Self::Exited { code } => write!(f, "exited with {code}"),
            Self::TimedOut => f.write_str("timed out"),
            Self::IdleTimedOut => f.write_str("was idle for too long"),
            Self::Terminated => f.write_str("was terminated"),
            Self::OutOfMemory => f.write_str("ran out of memory"),
            Self::StartFailed { message } => said(f, "did not start", message),
            Self::Lost { message } => said(f, "was lost", message),
        }
    }
}

/// How a command in a sandbox ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExecExit {
    /// It exited by itself; 0 is success.
    Code(i32),
    /// A signal ended it, by its number.
    Signal(i32),
}

impl ExecExit {
    /// Whether it exited with 0.
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }

    /// The exit code that a shell would show: 128 and the number for a signal.
    pub fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(status: i32, exitcode: i32, exception: &str) -> Option<Outcome> {
        let exception = exception.to_owned();
        Outcome::of(Some(&GenericResult {
            status,
            exitcode,
            exception,
            ..GenericResult::default()
        }))
    }

    #[test]
    fn every_status_has_an_outcome() {
        assert_eq!(Outcome::of(None), None);
        assert_eq!(outcome(0, 0, ""), None);
        assert_eq!(outcome(1, 0, ""), Some(Outcome::Exited { code: 0 }));
        assert_eq!(outcome(2, 3, ""), Some(Outcome::Exited { code: 3 }));
        assert_eq!(outcome(2, 0, ""), Some(Outcome::Exited { code: 1 }));
        assert_eq!(
            outcome(2, 0, "x"),
            Some(Outcome::StartFailed {
                message: "x".into()
            })
        );
        assert_eq!(outcome(3, 137, ""), Some(Outcome::Terminated));
        assert_eq!(outcome(4, 0, ""), Some(Outcome::TimedOut));
        assert_eq!(
            outcome(5, 0, "no image"),
            Some(Outcome::StartFailed {
                message: "no image".into()
            })
        );
        assert_eq!(
            outcome(6, 0, "oops"),
            Some(Outcome::Lost {
                message: "oops".into()
            })
        );
        assert_eq!(outcome(7, 0, ""), Some(Outcome::IdleTimedOut));
        for status in [8, 9, 10] {
            assert_eq!(outcome(status, 0, ""), Some(Outcome::OutOfMemory));
        }
        assert_eq!(
            outcome(99, 0, "new"),
            Some(Outcome::Lost {
                message: "new".into()
            })
        );
    }

    #[test]
    fn only_an_exit_with_zero_is_success() {
        let ended = (0..=10).filter_map(|status| outcome(status, 0, "x"));
        assert_eq!(ended.filter(Outcome::is_success).count(), 1);
        assert_eq!(ExecExit::Signal(9).code(), 137);
    }
}
