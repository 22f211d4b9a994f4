//! Signed requests that start a job: `[server.incoming.NAME]` of the settings.
//!
//! A request is signed as what we send is ([`signature`](crate::signature)), with the secret of its hook. The
//! signature is the idempotency key of the run that it starts, so that a request which is sent twice, by
//! whomever, to whichever replica, starts one run. Each project that takes a hook has a secret of that name of its
//! own, in its production lane, so that what is signed for one starts nothing in another; the variables of the
//! server are for the project that is always there. Keys are known by project, as its runs are.
//!
//! The job gets the body where it asks for it: as the file of an input `body`, and, when it is JSON, as the
//! parameter `body`. A job that declares neither is just started.

use std::path::PathBuf;
use std::time::Duration;

use moorline_api::{ApiError, ControlPlane as _, RunRow, SubmitRequest};
use moorline_core::config::{DEFAULT_PROJECT, IncomingSettings};
use moorline_core::error_code::ErrorCode;
use moorline_core::lane::Lane;
use moorline_core::principal::{Principal, PrincipalKind};
use moorline_core::spec::SecretDecl;
use moorline_secrets::SecretEnv;
use serde_json::{Map, Value};
use tracing::debug;

use super::authenticate::nobody;
use crate::engine::{Engine, Inner};
use crate::error::io_error;
use crate::secrets::requirements;
use crate::signature;
use crate::submit;

/// How old a signature may be, or how far from the future.
pub const HOOK_TOLERANCE: Duration = Duration::from_mins(5);

/// What a job calls the body that it wants.
const BODY: &str = "body";

/// A request to a hook, as it came.
#[derive(Debug, Clone, Copy)]
pub struct HookRequest<'r> {
    /// The hook.
    pub name: &'r str,
    /// The value of `Moorline-Signature`: `t=<seconds>,v1=<hex>`.
    pub signature: &'r str,
    /// The bytes of the body.
    pub body: &'r [u8],
}

impl Engine {
    /// Starts the job of a hook, once for each signature.
    ///
    /// # Errors
    /// * [`ErrorCode::Unauthenticated`] for an unknown hook and for a signature that does not hold or is older
    ///   than [`HOOK_TOLERANCE`], in the same words.
    /// * [`ErrorCode::Conflict`] for a request that was here before, with the run that it started.
    /// * Otherwise as [`run_submit`](moorline_api::ControlPlane::run_submit).
    pub async fn hook(&self, request: HookRequest<'_>) -> Result<RunRow, ApiError> {
        let inner = &self.inner;
        let incoming = &inner.config.settings.server.incoming;
        let hook = incoming.get(request.name);
        let hook = hook
            .filter(|hook| hook.projects.contains(&inner.config.project))
            .ok_or_else(Self::hook_refused)?;
        let secret = inner.hook_secret(request.name, hook).await?;
        let now = inner.now();
        let HookRequest {
            signature, body, ..
        } = request;
        signature::verify(&secret, signature, body, now, HOOK_TOLERANCE).map_err(|error| {
            debug!(%error, hook = request.name, "a signed request was refused");
            Self::hook_refused()
        })?;
        // What the secret signed, whatever else the header says.
        let key = signature.rsplit('=').next().unwrap_or_default();
        let key = key.to_ascii_lowercase();
        let given = inner.given(hook, body).await?;
        let submit = SubmitRequest {
            job: PathBuf::from(&hook.job),
            inputs: given
                .file
                .iter()
                .map(|file| (BODY.to_owned(), file.path().to_owned()))
                .collect(),
            params: given.params,
            idempotency_key: Some(format!("hook:{}:{key}", request.name)),
            actor: Principal::named(PrincipalKind::Ci, &format!("hook-{}", request.name)),
            ..SubmitRequest::default()
        };
        let run = self.run_submit(submit).await?;
        if run.created_at < now {
            let message = format!("the request was here before: it started run {}", run.run_id);
            return Err(ApiError::new(ErrorCode::Conflict, message)
                .hint("sign a new request, with the time of now, to start another run"));
        }
        Ok(run)
    }

    /// The one answer to whatever is not signed as it must be, and to a hook or a project that is not there.
    pub fn hook_refused() -> ApiError {
        let ApiError { code, .. } = nobody();
        let message = "the request is not signed by whom this hook knows (D-AUDIT-2)";
        ApiError::new(code, message).hint(
            "sign `<t>.<body>` with the hook's secret and the time of now: `Moorline-Signature: t=<seconds>,v1=<hex>`",
        )
    }
}

/// What of the body a job asks for.
struct Given {
    params: Map<String, Value>,
    /// Gone when the run's own copy of it is kept.
    file: Option<tempfile::NamedTempFile>,
}

impl Inner {
    async fn given(&self, hook: &IncomingSettings, body: &[u8]) -> Result<Given, ApiError> {
        let (lane, rules) = submit::lane(&self.config.settings, None)?;
        let dir = self.job_dir(&lane, hook.job.as_ref()).await?;
        let spec = submit::load(&dir, rules)?.spec;
        let mut params = Map::new();
        if spec.params.contains_key(BODY) {
            let document = serde_json::from_slice(body).map_err(|error| {
                let message =
                    format!("the job of the hook takes JSON, and the body is none: {error}");
                ApiError::new(ErrorCode::Usage, message)
                    .hint("send a JSON document, or let the job declare an input `body`")
            })?;
            params.insert(BODY.to_owned(), document);
        }
        let file = if spec.inputs.contains_key(BODY) {
            Some(self.body_file(body)?)
        } else {
            None
        };
        Ok(Given { params, file })
    }

    fn body_file(&self, body: &[u8]) -> Result<tempfile::NamedTempFile, ApiError> {
        use std::io::Write as _;

        let keep = || {
            let mut file = tempfile::Builder::new()
                .prefix(".hook-")
                .tempfile_in(self.config.dirs.root())?;
            file.write_all(body)?;
            Ok(file)
        };
        keep().map_err(io_error("keep the body of a request"))
    }

    /// The secret that must have signed: in the environment of the server, or in the production lane. The
    /// environment is no other project's: with one secret, what is signed for one would start the other's job.
    async fn hook_secret(&self, name: &str, hook: &IncomingSettings) -> Result<String, ApiError> {
        let declared = SecretDecl {
            name: hook.secret.clone(),
            kind: None,
            keys: vec![hook.secret.clone()],
            required: true,
        };
        let needed = requirements([&declared])?;
        let own = self.config.project == DEFAULT_PROJECT;
        let here: Option<SecretEnv> = own.then(|| self.secrets.resolve(&needed).ok()).flatten();
        let found = match here {
            Some(found) => found,
            None => self.lane_values(&Lane::PROD, &needed).await?,
        };
        let key = hook.secret.parse().ok();
        let value = key.and_then(|key| found.get(&key));
        value.map(|value| value.expose().to_owned()).ok_or_else(|| {
            let message = format!("the secret {} of hook `{name}` is not set", hook.secret);
            let project = if own {
                String::new()
            } else {
                format!(" --project {}", self.config.project)
            };
            ApiError::new(ErrorCode::MissingSecret, message).hint(format!(
                "`moorline secrets set {} --lane prod{project}`",
                hook.secret
            ))
        })
    }
}
