//! A refusal on record: what was asked, which rules refused, and what was missing then (D-AUDIT-4).

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::denial::Detail;
use crate::error_code::ErrorCode;
use crate::ids::RefusalId;

/// An operation that a rule refused, kept so that someone can ask why. Redacted; nothing of it changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RefusalRecord {
    /// Identity.
    pub id: RefusalId,
    /// When.
    pub at: Timestamp,
    /// The operation that was asked for, e.g. `schedule.enable`.
    pub operation: String,
    /// Who asked, as `kind:name`.
    pub actor: String,
    /// What it was asked of, e.g. `schedule/prod/bank-statement`.
    pub subject: String,
    /// The code that it was refused with.
    pub code: ErrorCode,
    /// The rules that refused, the first one first; at least one.
    pub rules: Vec<String>,
    /// What was refused and why, in one line.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// Every single thing that was missing or wrong.
    pub details: Vec<Detail>,
}

/// Whether an error of this code can be a rule's refusal, where it cites a rule: not what is mistyped,
/// missing, broken or at odds with the present state alone.
pub const fn is_refusal(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::Forbidden
            | ErrorCode::Unauthenticated
            | ErrorCode::Conflict
            | ErrorCode::Policy
            | ErrorCode::StopInForce
            | ErrorCode::CiSafety
            | ErrorCode::Egress
            | ErrorCode::Isolation
            | ErrorCode::ImageUnpinned
            | ErrorCode::MissingSecret
            | ErrorCode::LeakedSecret
            | ErrorCode::Config
            | ErrorCode::Spec
            | ErrorCode::RegistryMismatch
            | ErrorCode::RegistryCollision
            | ErrorCode::PrefixTemplate
    )
}
