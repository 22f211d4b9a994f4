//! Secrets of a lane; never a value, except on its way in.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use async_trait::async_trait;
use jiff::Timestamp;
use moorline_core::ids::RunId;
use moorline_core::lane::Lane;
use moorline_core::principal::Principal;
use moorline_core::secret::ExpiryStage;
use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::ApiError;

/// A value on its way in: wiped when it is dropped, shown by nothing, and never written out again, which is
/// why it can be read from a request and not be serialised (`D-SEC-3`).
#[derive(Clone)]
pub struct SecretInput(SecretString);

impl SecretInput {
    /// The text itself, for the back end that keeps it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<String> for SecretInput {
    fn from(text: String) -> Self {
        Self(SecretString::from(text))
    }
}

impl From<&str> for SecretInput {
    fn from(text: &str) -> Self {
        Self(SecretString::from(text))
    }
}

impl fmt::Debug for SecretInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<'de> Deserialize<'de> for SecretInput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

impl JsonSchema for SecretInput {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SecretInput".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "writeOnly": true,
            "description": "The value of a secret; it is never given back."
        })
    }
}

/// List the secrets of a lane.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretListRequest {
    /// The lane; all lanes when absent.
    pub lane: Option<String>,
}

/// Set or rotate keys of a secret. Keys that are not given stay as they are.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretSetRequest {
    /// The lane; `dev` when absent.
    pub lane: Option<String>,
    /// The logical secret, as jobs declare it: a name, with its kind behind a hyphen where it has one
    /// (`chase-session`).
    pub secret: String,
    /// The values, by key (the environment variable that a step is given).
    pub values: BTreeMap<String, SecretInput>,
    /// For how many hours it holds, for sessions; it does not end when absent.
    pub ttl_hours: Option<u32>,
    /// How many hours before the end to warn; 24 at first.
    pub warn_hours: Option<u32>,
    /// The source whose session it is.
    pub source_id: Option<String>,
    /// Who asks.
    pub actor: Principal,
    /// Why.
    pub reason: Option<String>,
}

/// Remove a secret, or all of them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretRevokeRequest {
    /// The lane. Absent: `dev` for one secret, every lane for all of them.
    pub lane: Option<String>,
    /// The logical secret; absent for all of them.
    pub secret: Option<String>,
    /// Who asks.
    pub actor: Principal,
    /// Why.
    pub reason: String,
}

/// Compare what is kept with what is recorded and declared.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretAuditRequest {
    /// The lane; every lane when absent.
    pub lane: Option<String>,
    /// Jobs that are looked at beside those that ran in the lane and those that it points to.
    #[serde(default)]
    pub jobs: Vec<PathBuf>,
}

/// One key of a secret on record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretKeySet {
    /// The environment variable that a step is given.
    pub key: String,
    /// When it was set.
    pub set_at: Timestamp,
    /// Who set it.
    pub by: Principal,
}

/// A secret on record; never a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretView {
    /// The lane.
    pub lane: Lane,
    /// The logical secret.
    pub secret: String,
    /// The object that holds it.
    pub object: String,
    /// The Modal environment of the object; empty for the workspace's default one.
    pub environment: String,
    /// What keeps it: `file` or `modal`.
    pub backend: String,
    /// Its keys.
    pub keys: Vec<SecretKeySet>,
    /// The source whose session it is.
    pub source_id: Option<String>,
    /// Until when it holds.
    pub expires_at: Option<Timestamp>,
    /// `expiring` or `expired`; absent while the end is far or not known.
    pub expiry: Option<ExpiryStage>,
}

/// What a revocation did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretRevokeReport {
    /// Objects that were removed from where they are kept, as `lane/OBJECT`.
    pub removed: Vec<String>,
    /// Runs that held one of them and were stopped first (D-SEC-8).
    pub stopped: Vec<RunId>,
    /// What could not be done, each with the reason: a run that is still alive, an object that is still
    /// there, a value that Moorline does not keep.
    pub left: BTreeMap<String, String>,
}

/// How a key stands in an audit.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum SecretState {
    /// As recorded.
    Ok,
    /// Kept, but its value is not the one that was recorded.
    Changed,
    /// Recorded, but not kept.
    Missing,
    /// Kept, but nobody recorded it.
    Unrecorded,
    /// What is kept can not be compared with what is recorded.
    Unverifiable,
    /// No job is known that declares it.
    Unused,
    /// A job declares and needs it, and it is not there.
    Absent,
    /// It ends within its warning time.
    Expiring,
    /// It has ended.
    Expired,
    /// Production and another lane have the same value.
    Shared,
}

impl SecretState {
    /// The name in JSON and in text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Changed => "changed",
            Self::Missing => "missing",
            Self::Unrecorded => "unrecorded",
            Self::Unverifiable => "unverifiable",
            Self::Unused => "unused",
            Self::Absent => "absent",
            Self::Expiring => "expiring",
            Self::Expired => "expired",
            Self::Shared => "shared",
        }
    }

    /// Whether what is kept differs from what is recorded; what can not be verified counts as different.
    pub const fn is_drift(self) -> bool {
        matches!(
            self,
            Self::Changed | Self::Missing | Self::Unrecorded | Self::Unverifiable
        )
    }
}

/// What an audit found of one key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct SecretFinding {
    /// The lane.
    pub lane: Lane,
    /// The logical secret, or where nobody recorded one the object.
    pub secret: String,
    /// The key; absent where it is about the secret as a whole.
    pub key: Option<String>,
    /// How it stands.
    pub state: SecretState,
    /// What that means here, in one line; never a value.
    pub message: String,
}

/// What an audit found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretAuditReport {
    /// Whether everything that is kept is as recorded, nothing needed is absent and nothing has expired.
    pub clean: bool,
    /// Every key that was looked at, and everything that was found, by lane and secret.
    pub findings: Vec<SecretFinding>,
}

/// Secrets of a lane; never a value. A part of [`ControlPlane`](crate::ControlPlane), under its contract.
#[async_trait]
pub trait SecretOperations: Send + Sync {
    /// Secrets on record, by lane and name.
    async fn secret_list(&self, request: SecretListRequest) -> Result<Vec<SecretView>, ApiError>;

    /// Sets keys of a secret.
    async fn secret_set(&self, request: SecretSetRequest) -> Result<SecretView, ApiError>;

    /// Replaces keys of a secret; each must be there, and its value must be another one.
    async fn secret_rotate(&self, request: SecretSetRequest) -> Result<SecretView, ApiError>;

    /// Removes a secret or all of them, after the runs that hold it are stopped (D-SEC-8). Removing what is
    /// not there succeeds.
    async fn secret_revoke(
        &self,
        request: SecretRevokeRequest,
    ) -> Result<SecretRevokeReport, ApiError>;

    /// Compares what is kept with what is recorded and declared.
    async fn secret_audit(
        &self,
        request: SecretAuditRequest,
    ) -> Result<SecretAuditReport, ApiError>;
}
