//! The one table of error codes, and what follows from each.
//!
//! Every refusal or failure that crosses a boundary (exit code, HTTP status, JSON envelope, run summary)
//! carries one [`ErrorCode`] of the closed set of `D-PROC-6`. The row of a code answers, in one place: the
//! class of failure it is, the HTTP status, the exit code of `moorline`, whether trying again can help, and
//! what it does to the source. What a *class* does to run, schedule, retries, outputs and alerts is the
//! failure matrix of `D-RUN-7`, [`FAILURE_MATRIX`].
//!
//! | module item | answers |
//! |---|---|
//! | [`ErrorCode`] | what is the row of this code? |
//! | [`FailureClass`], [`FAILURE_MATRIX`] | what does a failure of this class lead to? |
//! | [`RunStatus`], [`exit_code`] | in which state is the run, and what does `moorline run` exit with? |
//! | [`SourceState`] | what is the source's state after an effect? |
//!
//! Deliberately absent: error *values*. Each module has its own error type, which names its code; a code
//! carries no text of the occurrence, so it can never leak a secret.

mod class;
mod source;
mod status;

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use class::{
    AlertLevel, AlertRule, FAILURE_MATRIX, FailureClass, FailureOccurrence, FailureRule,
    OutputsRule, RetryRule, ScheduleEffect, SourceEffect,
};
pub use source::SourceState;
pub use status::{RunStatus, exit_code};

/// One row of the table: all that is fixed about an [`ErrorCode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorInfo {
    /// The code that the row is about.
    pub code: ErrorCode,
    /// The code's public text, such as `ERR_TIMEOUT`.
    pub text: &'static str,
    /// The class of failure of a run that ends with this code; none for errors that no run ends with,
    /// such as a wrong command line.
    pub class: Option<FailureClass>,
    /// The status of an HTTP reply whose error is this one.
    pub http_status: u16,
    /// What `moorline` exits with when this is the outcome.
    pub exit_code: u8,
    /// Whether the same request can succeed when tried again with nothing changed. Retries happen only
    /// where the job configures them and [`FailureRule::retry`] allows them.
    pub retryable: bool,
    /// What it does to the source of the run. `unchanged` for refusals that come before a run exists.
    pub source: SourceEffect,
    /// What happened, in one line.
    pub meaning: &'static str,
    /// What to do about it, in one line.
    pub hint: &'static str,
}

/// Reads the class column of the table below, where `none` stands for no class.
macro_rules! class {
    (none) => {
        None
    };
    ($class:ident) => {
        Some(FailureClass::$class)
    };
}

/// Makes the enum and its table from the same rows, so that neither can lack what the other has.
macro_rules! error_codes {
    ($(
        $variant:ident $text:literal: $class:ident, $http:literal, exit $exit:literal,
        retry $retry:literal, source $source:ident;
        $meaning:literal;
        $hint:literal;
    )+) => {
        /// The closed set of error codes (`D-PROC-6`). Text form, in JSON as elsewhere: `ERR_…`.
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
        )]
        pub enum ErrorCode {
            $(
                #[doc = $meaning]
                #[serde(rename = $text)]
                $variant,
            )+
        }

        impl ErrorCode {
            /// Every row, in the order of the enum.
            pub const TABLE: &'static [ErrorInfo] = &[
                $(ErrorInfo {
                    code: Self::$variant,
                    text: $text,
                    class: class!($class),
                    http_status: $http,
                    exit_code: $exit,
                    retryable: $retry,
                    source: SourceEffect::$source,
                    meaning: $meaning,
                    hint: $hint,
                },)+
            ];
        }
    };
}

error_codes! {
    // Before a run exists: the request is refused, the source is left alone.
    Usage "ERR_USAGE": none, 400, exit 2, retry false, source Unchanged;
        "the command or request is not well formed";
        "see `--help` of the command, or the published schema of the request";
    Inputs "ERR_INPUTS": Validation, 422, exit 65, retry false, source Unchanged;
        "the inputs given do not satisfy what the job or processor declares";
        "correct the inputs named in the message";
    CiSafety "ERR_CI_SAFETY": Policy, 403, exit 78, retry false, source Unchanged;
        "real mode is refused while `CI` is set";
        "use `--mode mock`, or run outside CI";
    Unauthenticated "ERR_UNAUTHENTICATED": none, 401, exit 77, retry false, source Unchanged;
        "no valid token came with the request";
        "give a token that is known, unexpired and not revoked";
    Forbidden "ERR_FORBIDDEN": none, 403, exit 77, retry false, source Unchanged;
        "the principal may not do this";
        "ask someone whose role has this operation";
    NotFound "ERR_NOT_FOUND": none, 404, exit 1, retry false, source Unchanged;
        "there is no such object, or it is not yours to see";
        "list the objects of that kind to find its id";
    Conflict "ERR_CONFLICT": none, 409, exit 1, retry false, source Unchanged;
        "the object is not in a state that allows this, or someone else changed it first";
        "look at its present state and decide again";
    StopInForce "ERR_STOP_IN_FORCE": Policy, 423, exit 78, retry false, source Unchanged;
        "a stop is in force, so nothing may start";
        "`moorline release` lifts it; a person gives the reason";
    Precondition "ERR_PRECONDITION": none, 412, exit 1, retry false, source Unchanged;
        "the object is not at the version that the request names";
        "look at its present state and decide again";
    TooLarge "ERR_TOO_LARGE": none, 413, exit 2, retry false, source Unchanged;
        "the request is larger than this server takes";
        "send less, or have `server.body_limit_mb` raised";
    RateLimited "ERR_RATE_LIMITED": none, 429, exit 75, retry true, source Unchanged;
        "too many requests came with this token";
        "wait as long as `Retry-After` says";
    Unreachable "ERR_UNREACHABLE": none, 503, exit 75, retry true, source Unchanged;
        "the server does not answer";
        "check its address, and that `moorlined` runs there";
    Isolation "ERR_ISOLATION": Config, 501, exit 78, retry false, source Unchanged;
        "this machine can not give a protection that the lane requires";
        "`moorline doctor` says what is missing; the dev lane may accept less";
    Store "ERR_STORE": none, 503, exit 1, retry true, source Unchanged;
        "the store could not be read or written";
        "check that its disk or server is reachable and has room";
    Internal "ERR_INTERNAL": none, 500, exit 1, retry false, source Unchanged;
        "Moorline broke a rule of its own";
        "report it with the log; nothing of yours needs to change";
    // The job, its image or its lane is not set up right.
    Config "ERR_CONFIG": Config, 422, exit 78, retry false, source Blocked;
        "the configuration is missing something or contradicts itself";
        "correct the setting named in the message";
    Spec "ERR_SPEC": Config, 422, exit 78, retry false, source Blocked;
        "the job spec breaks its schema or a semantic rule";
        "`moorline job validate` lists every violation with its place";
    RegistryMismatch "ERR_REGISTRY_MISMATCH": Config, 409, exit 78, retry false, source Blocked;
        "the registry entry is for another processor than the one asked for";
        "make the entry's `ref` equal to the ref that it is found under";
    RegistryCollision "ERR_REGISTRY_COLLISION": Config, 409, exit 78, retry false, source Blocked;
        "two processors of the registry give the same app name";
        "rename one of the two refs named in the message";
    ImageUnpinned "ERR_IMAGE_UNPINNED": Config, 422, exit 78, retry false, source Blocked;
        "the image is not pinned by digest";
        "write it as `repository@sha256:` and 64 lower-case hex digits";
    MissingSecret "ERR_MISSING_SECRET": Config, 424, exit 78, retry false, source Blocked;
        "a secret that the step declares is not set";
        "set every key named in the message; `moorline secrets check` shows them";
    PrefixTemplate "ERR_PREFIX_TEMPLATE": Config, 422, exit 78, retry false, source Blocked;
        "the write prefix is not an absolute, canonical path under an allowed root";
        "end it with `/` and use no placeholder but `{execution_id}`";
    FunctionNotFound "ERR_FUNCTION_NOT_FOUND": Config, 404, exit 78, retry false, source Blocked;
        "the processor is not deployed in that environment";
        "deploy it there first";
    // The source or its credentials.
    Auth "ERR_AUTH": Auth, 424, exit 77, retry false, source NeedsReauth;
        "the source refused the credentials or the session";
        "refresh the credentials, then resume the source";
    Provider "ERR_PROVIDER": Runtime, 502, exit 75, retry true, source Paused;
        "the outside service failed";
        "try again later; its own message is in the run's log";
    // What the job produced.
    Validation "ERR_VALIDATION": Validation, 422, exit 65, retry false, source NeedsRepair;
        "the outputs do not satisfy the declared schema or thresholds";
        "repair the extractor; the outputs are archived with the run";
    OutputDuplicate "ERR_OUTPUT_DUPLICATE": Validation, 422, exit 65, retry false, source NeedsRepair;
        "two outputs have the same path once canonical";
        "give every output a path of its own";
    LeakedSecret "ERR_LEAKED_SECRET": Leak, 422, exit 78, retry false, source Quarantined;
        "a secret value was found in what the job produced";
        "rotate the secret, then see the quarantined outputs";
    BadResponse "ERR_BAD_RESPONSE": Runtime, 502, exit 75, retry true, source Paused;
        "the process or service answered with something that the contract does not allow";
        "see the run's log for what it wrote";
    // What the job did.
    Policy "ERR_POLICY": Policy, 403, exit 78, retry false, source Blocked;
        "a policy of the lane forbids what the job did or asked for";
        "change the job, or have the policy reviewed";
    Egress "ERR_EGRESS": Policy, 403, exit 78, retry false, source Blocked;
        "the job tried to reach a host that is not on its egress list";
        "declare the host in the spec's egress list, or find out why it was reached";
    Runtime "ERR_RUNTIME": Runtime, 500, exit 75, retry true, source Paused;
        "the job's process failed";
        "see the run's log; the child's own exit code is in the summary";
    Timeout "ERR_TIMEOUT": Timeout, 504, exit 124, retry true, source Paused;
        "the job did not end within its time limit";
        "raise the limit in the spec, or find out what it waited for";
    LimitMemory "ERR_LIMIT_MEMORY": Runtime, 507, exit 75, retry true, source Paused;
        "the job used more memory than its limit";
        "raise the memory limit, or make the job use less";
    LimitPids "ERR_LIMIT_PIDS": Runtime, 507, exit 75, retry true, source Paused;
        "the job started more processes than its limit";
        "raise the process limit, or find the loop that starts them";
    LimitDisk "ERR_LIMIT_DISK": Runtime, 507, exit 75, retry true, source Paused;
        "the job wrote more than its disk limit";
        "raise the disk limit, or make the job write less";
    // The executor underneath.
    ImagePull "ERR_IMAGE_PULL": Runtime, 502, exit 75, retry true, source Paused;
        "the image could not be pulled";
        "check the registry credentials and that the digest exists";
    AdapterInvocation "ERR_ADAPTER_INVOCATION": Runtime, 502, exit 75, retry true, source Paused;
        "the executor could not start or reach the job";
        "see the cause; `moorline doctor` checks the executor";
    Lost "ERR_LOST": Preempted, 503, exit 75, retry true, source Unchanged;
        "the attempt ended without a record of how, as when the machine went down";
        "see its log, then `moorline runs retry`";
    Preempted "ERR_PREEMPTED": Preempted, 503, exit 75, retry true, source Unchanged;
        "the platform took the machine away";
        "retry the run; idempotent steps are retried by themselves";
    // A person or a schedule ended it.
    Cancelled "ERR_CANCELLED": Cancelled, 409, exit 130, retry false, source Unchanged;
        "a person cancelled the run";
        "`moorline runs retry` starts it again";
    Stopped "ERR_STOPPED": Stopped, 409, exit 137, retry false, source Unchanged;
        "the run was killed by a stop";
        "after `moorline release`, `moorline runs retry` starts it again";
    Overlap "ERR_OVERLAP": Overlap, 409, exit 0, retry false, source Unchanged;
        "the run was skipped because the one before it was still going";
        "choose another overlap policy, or a longer cadence";
    Rejected "ERR_REJECTED": Rejected, 409, exit 1, retry false, source Unchanged;
        "a person rejected the run at a gate";
        "the decision and its words are with the run: `moorline approvals list --run`";
    Expired "ERR_EXPIRED": Expired, 410, exit 1, retry false, source Unchanged;
        "nobody decided at the gate in time";
        "start the run again, and give the gate more time or reminders";
}

impl ErrorCode {
    /// The code's row.
    pub const fn info(self) -> &'static ErrorInfo {
        // The macro writes the variants and the rows in the same order; a test holds it to that.
        &Self::TABLE[self as usize]
    }

    /// The public text, such as `ERR_TIMEOUT`.
    pub const fn as_str(self) -> &'static str {
        self.info().text
    }

    /// The class of failure of a run that ends with this code, if one can.
    pub const fn class(self) -> Option<FailureClass> {
        self.info().class
    }

    /// The code that says no more than that a failure is of this class.
    pub const fn of_class(class: FailureClass) -> Self {
        match class {
            FailureClass::Auth => Self::Auth,
            FailureClass::Validation => Self::Validation,
            FailureClass::Runtime => Self::Runtime,
            FailureClass::Timeout => Self::Timeout,
            FailureClass::Config => Self::Config,
            FailureClass::Policy => Self::Policy,
            FailureClass::Leak => Self::LeakedSecret,
            FailureClass::Cancelled => Self::Cancelled,
            FailureClass::Stopped => Self::Stopped,
            FailureClass::Preempted => Self::Preempted,
            FailureClass::Overlap => Self::Overlap,
            FailureClass::Rejected => Self::Rejected,
            FailureClass::Expired => Self::Expired,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text is none of the codes of `D-PROC-6`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an error code (D-PROC-6)")]
pub struct UnknownErrorCode(String);

impl FromStr for ErrorCode {
    type Err = UnknownErrorCode;

    fn from_str(text: &str) -> Result<Self, UnknownErrorCode> {
        Self::TABLE
            .iter()
            .find(|row| row.text == text)
            .map(|row| row.code)
            .ok_or_else(|| UnknownErrorCode(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_is_found_by_its_code_and_by_its_text() {
        for row in ErrorCode::TABLE {
            assert_eq!(row.code.info(), row);
            assert_eq!(row.text.parse(), Ok(row.code));
            let json = serde_json::to_value(row.code).unwrap();
            assert_eq!(json, serde_json::json!(row.text));
            assert_eq!(serde_json::from_value::<ErrorCode>(json).unwrap(), row.code);
        }
        assert_eq!(
            "ERR_NOPE".parse::<ErrorCode>().unwrap_err().to_string(),
            "`ERR_NOPE` is not an error code (D-PROC-6)"
        );
    }

    #[test]
    fn the_codes_that_the_processor_contract_names_are_all_here() {
        for text in [
            "ERR_INPUTS",
            "ERR_CI_SAFETY",
            "ERR_CONFIG",
            "ERR_REGISTRY_MISMATCH",
            "ERR_IMAGE_UNPINNED",
            "ERR_IMAGE_PULL",
            "ERR_MISSING_SECRET",
            "ERR_PREFIX_TEMPLATE",
            "ERR_OUTPUT_DUPLICATE",
            "ERR_FUNCTION_NOT_FOUND",
            "ERR_ADAPTER_INVOCATION",
            "ERR_TIMEOUT",
            "ERR_BAD_RESPONSE",
            "ERR_RUNTIME",
            "ERR_PROVIDER",
        ] {
            assert!(text.parse::<ErrorCode>().is_ok(), "{text}");
        }
    }

    /// L17: the exit code of a code is the exit code of its class.
    #[test]
    fn a_row_agrees_with_the_failure_matrix_of_its_class() {
        for row in ErrorCode::TABLE {
            let Some(class) = row.class else {
                assert_eq!(row.source, SourceEffect::Unchanged, "{}", row.text);
                continue;
            };
            let rule = class.rule();
            assert_eq!(
                row.exit_code,
                exit_code(rule.run, Some(class)),
                "{}",
                row.text
            );
            assert!(
                row.source == rule.source || row.source == SourceEffect::Unchanged,
                "{}: the source effect is neither its class's nor `unchanged`",
                row.text
            );
            assert_eq!(
                row.retryable,
                rule.retry != RetryRule::Never,
                "{}",
                row.text
            );
        }
    }

    #[test]
    fn every_class_has_a_code_of_its_own_with_the_full_effect() {
        for rule in &FAILURE_MATRIX {
            let row = ErrorCode::of_class(rule.class).info();
            assert_eq!((row.class, row.source), (Some(rule.class), rule.source));
        }
    }

    #[test]
    fn texts_are_one_line_and_http_statuses_are_errors() {
        for row in ErrorCode::TABLE {
            assert!((400..600).contains(&row.http_status), "{}", row.text);
            for text in [row.meaning, row.hint] {
                assert!(!text.is_empty() && !text.contains('\n') && !text.ends_with('.'));
            }
        }
    }
}
