//! Failure classes and the failure matrix of `D-RUN-7`, as one constant table.
//!
//! The matrix says what a failure leads to; it does nothing itself. Effects on source and schedule are
//! applied once, when the run is over: never for an attempt that is followed by another.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::RunStatus;

/// Why a run did not succeed: the rows of the failure matrix (`D-RUN-7`).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// The source refused the credentials or the session.
    Auth,
    /// Inputs or outputs do not satisfy their schema or thresholds.
    Validation,
    /// The process, or what it depends on, failed.
    Runtime,
    /// A time limit passed.
    Timeout,
    /// The configuration is wrong, or a secret is missing.
    Config,
    /// A policy (egress, budget, lane) was violated.
    Policy,
    /// A secret value was found where it must not be.
    Leak,
    /// A person cancelled the run.
    Cancelled,
    /// A stop killed the run.
    Stopped,
    /// The platform took the machine away, or the attempt was lost with it.
    Preempted,
    /// The run before it was still going.
    Overlap,
    /// A person rejected it at a gate.
    Rejected,
    /// Nobody decided at a gate in time.
    Expired,
}

impl FailureClass {
    /// This class's row of the failure matrix.
    pub const fn rule(self) -> &'static FailureRule {
        // The rows stand in the order of the enum; a test holds them to that.
        &FAILURE_MATRIX[self as usize]
    }

    /// The class that a child's exit code stands for (`D-RUN-5`, after sysexits): none for 0, validation
    /// for 65, auth for 77, configuration for 78, runtime for 75 and for every other code.
    ///
    /// Time limits, signals and broken limits are not told by exit codes: whoever watched the child knows
    /// them, and they go before this.
    pub const fn from_exit_code(code: i32) -> Option<Self> {
        match code {
            0 => None,
            65 => Some(Self::Validation),
            77 => Some(Self::Auth),
            78 => Some(Self::Config),
            _ => Some(Self::Runtime),
        }
    }

    /// The name in JSON and in text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Validation => "validation",
            Self::Runtime => "runtime",
            Self::Timeout => "timeout",
            Self::Config => "config",
            Self::Policy => "policy",
            Self::Leak => "leak",
            Self::Cancelled => "cancelled",
            Self::Stopped => "stopped",
            Self::Preempted => "preempted",
            Self::Overlap => "overlap",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
        }
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a failed run does to the state of its source; see [`SourceState::apply`](super::SourceState::apply).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SourceEffect {
    /// None.
    Unchanged,
    /// Nothing runs until a person resumes it.
    Paused,
    /// A person refreshes the credentials.
    NeedsReauth,
    /// The extractor needs repair.
    NeedsRepair,
    /// A person must change configuration or policy.
    Blocked,
    /// Nothing of it may be used until a person has looked.
    Quarantined,
}

/// What a failed run does to the schedule that started it, if one did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleEffect {
    /// None.
    Unchanged,
    /// `paused`: a person resumes it without new gates.
    Paused,
    /// `disabled`: enabling it passes all gates again.
    Disabled,
    /// Every schedule is disabled, not only the one of this run.
    AllDisabled,
}

/// Whether another attempt may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RetryRule {
    /// Never, whatever the job configures.
    Never,
    /// As many times as the job configures.
    AsConfigured,
    /// As configured, and only for a step that is idempotent or resumes from a checkpoint.
    IfResumable,
}

impl RetryRule {
    /// Whether the rule allows another attempt of a step that is `resumable` (declared idempotent, or
    /// checkpointed) and has `attempts_left` by its configuration.
    pub const fn allows(self, resumable: bool, attempts_left: u32) -> bool {
        match self {
            Self::Never => false,
            Self::AsConfigured => attempts_left > 0,
            Self::IfResumable => resumable && attempts_left > 0,
        }
    }
}

/// What happens to what the run wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutputsRule {
    /// There is nothing to keep.
    None,
    /// Stays with the run and never reaches the exports.
    KeptOutOfExports,
    /// Archived with the run.
    Archived,
    /// As far as it was written, archived with the run.
    PartialArchived,
    /// Set apart, readable only for the person who looks into the leak.
    Quarantined,
}

/// When a failure alerts someone; [`AlertRule::level`] decides an occurrence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertRule {
    /// Never.
    None,
    /// For information.
    Info,
    /// Always.
    Always,
    /// Once, when no attempt is left.
    LastAttempt,
    /// Always, and at once.
    Critical,
    /// Critical for an egress violation, else as [`AlertRule::Always`].
    CriticalForEgress,
    /// When a configured number of runs in a row went this way.
    AfterRepeats,
}

/// How loud an alert is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum AlertLevel {
    /// Someone may want to know.
    Info,
    /// Someone must act.
    Warning,
    /// Someone must act now.
    Critical,
}

/// What [`AlertRule::level`] needs to know of one failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailureOccurrence {
    /// Another attempt follows.
    pub retried: bool,
    /// It is an egress violation.
    pub egress: bool,
    /// Runs in a row that ended with this class, this one included.
    pub in_a_row: u32,
    /// From how many in a row on [`AlertRule::AfterRepeats`] alerts; 0 for never.
    pub repeats: u32,
}

impl AlertRule {
    /// The alert to raise for this occurrence, if any.
    ///
    /// A run raises one alert however many attempts it had (L44), and a row of repeats raises one when it
    /// reaches its length, not one for each run after.
    pub const fn level(self, of: FailureOccurrence) -> Option<AlertLevel> {
        if of.retried {
            return None;
        }
        match self {
            Self::None => None,
            Self::Info => Some(AlertLevel::Info),
            Self::Always | Self::LastAttempt => Some(AlertLevel::Warning),
            Self::Critical => Some(AlertLevel::Critical),
            Self::CriticalForEgress if of.egress => Some(AlertLevel::Critical),
            Self::CriticalForEgress => Some(AlertLevel::Warning),
            Self::AfterRepeats if of.repeats > 0 && of.in_a_row == of.repeats => {
                Some(AlertLevel::Warning)
            }
            Self::AfterRepeats => None,
        }
    }
}

/// One row of the failure matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FailureRule {
    /// The class that the row is about.
    pub class: FailureClass,
    /// The status that the run ends in.
    pub run: RunStatus,
    /// What happens to the source, once the run is over.
    pub source: SourceEffect,
    /// What happens to the schedule, once the run is over.
    pub schedule: ScheduleEffect,
    /// Whether another attempt may follow.
    pub retry: RetryRule,
    /// What happens to the outputs.
    pub outputs: OutputsRule,
    /// Whether someone is alerted.
    pub alert: AlertRule,
}

/// Shortens a row of the matrix to its cells.
const fn row(
    class: FailureClass,
    run: RunStatus,
    (source, schedule): (SourceEffect, ScheduleEffect),
    (retry, outputs, alert): (RetryRule, OutputsRule, AlertRule),
) -> FailureRule {
    FailureRule {
        class,
        run,
        source,
        schedule,
        retry,
        outputs,
        alert,
    }
}

/// The failure matrix (`D-RUN-7`), one row for each class, in the order of [`FailureClass`].
#[rustfmt::skip] // a table reads as one
pub const FAILURE_MATRIX: [FailureRule; 13] = {
    use FailureClass as C;
    use RunStatus as S;
    use {AlertRule as A, OutputsRule as O, RetryRule as R};
    use {ScheduleEffect as Sch, SourceEffect as Src};
    [
        row(C::Auth,       S::NeedsReauth, (Src::NeedsReauth, Sch::Disabled),    (R::Never,        O::KeptOutOfExports, A::Always)),
        row(C::Validation, S::Failed,      (Src::NeedsRepair, Sch::Disabled),    (R::Never,        O::Archived,         A::Always)),
        row(C::Runtime,    S::Failed,      (Src::Paused,      Sch::Paused),      (R::AsConfigured, O::PartialArchived,  A::LastAttempt)),
        row(C::Timeout,    S::TimedOut,    (Src::Paused,      Sch::Paused),      (R::AsConfigured, O::PartialArchived,  A::LastAttempt)),
        row(C::Config,     S::Failed,      (Src::Blocked,     Sch::Disabled),    (R::Never,        O::None,             A::Always)),
        row(C::Policy,     S::Failed,      (Src::Blocked,     Sch::Disabled),    (R::Never,        O::Archived,         A::CriticalForEgress)),
        row(C::Leak,       S::Failed,      (Src::Quarantined, Sch::AllDisabled), (R::Never,        O::Quarantined,      A::Critical)),
        row(C::Cancelled,  S::Cancelled,   (Src::Unchanged,   Sch::Unchanged),   (R::Never,        O::Archived,         A::None)),
        row(C::Stopped,    S::Killed,      (Src::Unchanged,   Sch::Unchanged),   (R::Never,        O::Archived,         A::Info)),
        row(C::Preempted,  S::Failed,      (Src::Unchanged,   Sch::Unchanged),   (R::IfResumable,  O::PartialArchived,  A::None)),
        row(C::Overlap,    S::Skipped,     (Src::Unchanged,   Sch::Unchanged),   (R::Never,        O::None,             A::AfterRepeats)),
        row(C::Rejected,   S::Failed,      (Src::Unchanged,   Sch::Unchanged),   (R::Never,        O::Archived,         A::None)),
        row(C::Expired,    S::Failed,      (Src::Unchanged,   Sch::Unchanged),   (R::Never,        O::Archived,         A::Always)),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_stand_in_the_order_of_the_classes() {
        for rule in &FAILURE_MATRIX {
            assert_eq!(rule.class.rule(), rule);
            assert_eq!(
                serde_json::to_value(rule.class).unwrap(),
                serde_json::json!(rule.class.as_str())
            );
        }
    }

    #[test]
    fn every_class_ends_the_run_and_none_as_success() {
        for rule in &FAILURE_MATRIX {
            assert!(
                rule.run.is_terminal() && rule.run != RunStatus::Success,
                "{}",
                rule.class
            );
        }
    }

    /// L46: authentication and validation failures are never retried.
    #[test]
    fn auth_and_validation_are_never_retried() {
        for class in [FailureClass::Auth, FailureClass::Validation] {
            assert!(!class.rule().retry.allows(true, u32::MAX), "{class}");
        }
        assert!(FailureClass::Runtime.rule().retry.allows(false, 1));
        assert!(!FailureClass::Runtime.rule().retry.allows(true, 0));
        assert!(!FailureClass::Preempted.rule().retry.allows(false, 1));
        assert!(FailureClass::Preempted.rule().retry.allows(true, 1));
    }

    #[test]
    fn exit_codes_of_children_follow_sysexits() {
        let class_of = |code| FailureClass::from_exit_code(code);
        assert_eq!(class_of(0), None);
        assert_eq!(class_of(65), Some(FailureClass::Validation));
        assert_eq!(class_of(75), Some(FailureClass::Runtime));
        assert_eq!(class_of(77), Some(FailureClass::Auth));
        assert_eq!(class_of(78), Some(FailureClass::Config));
        for other in [1, 2, 3, 64, 66, 76, 79, 124, 126, 127, 130, 137, 255, -1] {
            assert_eq!(class_of(other), Some(FailureClass::Runtime), "{other}");
        }
    }

    /// L44, the part that is pure: a failure that is retried alerts nobody.
    #[test]
    fn alerts_are_raised_once_and_as_loud_as_the_matrix_says() {
        let last = FailureOccurrence {
            retried: false,
            egress: false,
            in_a_row: 3,
            repeats: 3,
        };
        let retried = FailureOccurrence {
            retried: true,
            ..last
        };
        for rule in &FAILURE_MATRIX {
            assert_eq!(rule.alert.level(retried), None, "{}", rule.class);
        }
        let level = |class: FailureClass, of| class.rule().alert.level(of);
        assert_eq!(
            level(FailureClass::Runtime, last),
            Some(AlertLevel::Warning)
        );
        assert_eq!(level(FailureClass::Leak, last), Some(AlertLevel::Critical));
        assert_eq!(level(FailureClass::Stopped, last), Some(AlertLevel::Info));
        assert_eq!(level(FailureClass::Cancelled, last), None);
        assert_eq!(level(FailureClass::Policy, last), Some(AlertLevel::Warning));
        let egress = FailureOccurrence {
            egress: true,
            ..last
        };
        assert_eq!(
            level(FailureClass::Policy, egress),
            Some(AlertLevel::Critical)
        );
        assert_eq!(
            level(FailureClass::Overlap, last),
            Some(AlertLevel::Warning)
        );
        for in_a_row in [1, 2, 4] {
            assert_eq!(
                level(
                    FailureClass::Overlap,
                    FailureOccurrence { in_a_row, ..last }
                ),
                None
            );
        }
        let never = FailureOccurrence {
            in_a_row: 0,
            repeats: 0,
            ..last
        };
        assert_eq!(level(FailureClass::Overlap, never), None);
    }
}
