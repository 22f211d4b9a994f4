//! Re-authentication of a source, step by step (D-SEC-9).
//!
//! A person refreshes the session of a source on their own machine. The fresh session goes straight into the
//! secret, a run tries it, and the schedule stays as it is until a person enables it. Each step is recorded,
//! and one that was interrupted goes on where it stopped.

use std::collections::BTreeMap;
use std::path::PathBuf;

use async_trait::async_trait;
use moorline_core::content_id::ContentId;
use moorline_core::error_code::SourceState;
use moorline_core::lane::Lane;
use moorline_core::principal::Principal;
use moorline_core::secret::{Reauth, ReauthStage};
use moorline_core::spec::Arg;
use moorline_core::summary::RunSummary;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::secrets::{SecretInput, SecretView};
use crate::sources::SourceSchedule;

/// Re-authenticate a source.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReauthRequest {
    /// The source.
    pub source_id: String,
    /// The lane; `dev` when absent.
    pub lane: Option<String>,
    /// The secret that holds the session, where the source has several.
    pub secret: Option<String>,
    /// Sign on again, though a fresh session waits to be tried.
    #[serde(default)]
    pub fresh: bool,
    /// Who asks; only a person may.
    pub actor: Principal,
}

/// The fresh session.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReauthSession {
    /// The source.
    pub source_id: String,
    /// The lane; `dev` when absent.
    pub lane: Option<String>,
    /// The secret that holds the session, where the source has several.
    pub secret: Option<String>,
    /// The values, by key of the secret.
    pub values: BTreeMap<String, SecretInput>,
    /// Who asks; only a person may.
    pub actor: Principal,
}

impl ReauthSession {
    /// The session that a request asked for.
    pub fn of(request: &ReauthRequest, values: BTreeMap<String, SecretInput>) -> Self {
        Self {
            source_id: request.source_id.clone(),
            lane: request.lane.clone(),
            secret: request.secret.clone(),
            values,
            actor: request.actor.clone(),
        }
    }

    /// The request that asked for it, and the values.
    pub fn into_parts(self) -> (ReauthRequest, BTreeMap<String, SecretInput>) {
        let request = ReauthRequest {
            source_id: self.source_id,
            lane: self.lane,
            secret: self.secret,
            fresh: false,
            actor: self.actor,
        };
        (request, self.values)
    }
}

/// What a person has to do.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ReauthPlan {
    /// The source.
    pub source_id: String,
    /// The lane.
    pub lane: Lane,
    /// The job that reads the source there.
    pub job_id: String,
    /// Its directory, in which the command runs.
    pub job_dir: PathBuf,
    /// Content id of that directory.
    pub content: ContentId,
    /// What the person does, in words.
    pub instructions: String,
    /// The local command that does it; its standard output is the fresh session.
    pub argv: Option<Vec<Arg>>,
    /// The secret that holds the session.
    pub secret: String,
    /// Its keys.
    pub keys: Vec<String>,
    /// For how many hours a fresh session holds.
    pub ttl_hours: u32,
    /// How far it has come; [`ReauthStage::is_waiting`] says that a fresh session only has to be tried.
    pub stage: ReauthStage,
}

/// What a re-authentication came to.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ReauthReport {
    /// How far it has come: `done` or `failed`.
    pub reauth: Reauth,
    /// The run that tried the session.
    pub probe: RunSummary,
    /// The state of the source after it.
    pub source_state: Option<SourceState>,
    /// Its schedules in the lane; none was enabled.
    pub schedules: Vec<SourceSchedule>,
}

/// Re-authentication. A part of [`ControlPlane`](crate::ControlPlane), under its contract; all of it is the one
/// operation `source.reauth`.
#[async_trait]
pub trait ReauthOperations: Send + Sync {
    /// Begins, or takes up again; says what the person has to do.
    async fn reauth_begin(&self, request: ReauthRequest) -> Result<ReauthPlan, ApiError>;

    /// Puts the fresh session into the secret.
    async fn reauth_store(&self, session: ReauthSession) -> Result<SecretView, ApiError>;

    /// Tries the session with a run of what the lane points to, and waits for its end.
    async fn reauth_probe(&self, request: ReauthRequest) -> Result<ReauthReport, ApiError>;
}
