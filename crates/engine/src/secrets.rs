//! Secrets of a job: checked before anything is launched, resolved for exactly one step at a time.

use std::collections::BTreeMap;
use std::path::Path;

use moorline_api::{ApiError, ErrorDetail, SecretKeyView};
use moorline_core::error_code::ErrorCode;
use moorline_core::spec::{JobSpec, Mode, SecretDecl, Step};
use moorline_secrets::{
    EnvironmentSource, FileSource, KeyStatus, Refusal, ResolveError, SecretEnv, SecretRequirement,
    SourceChain,
};
use serde_json::json;

use crate::engine::Inner;

/// Name of the file of secrets in a state directory: `KEY=VALUE` lines, readable by its owner only.
pub(crate) const FILE: &str = "secrets.env";

/// Where the embedded mode looks: the environment, then the file of the state directory.
pub(crate) fn sources(
    vars: BTreeMap<String, String>,
    state: &Path,
) -> Result<SourceChain, ApiError> {
    let mut chain = SourceChain::new().with(EnvironmentSource::new(vars));
    let file = FileSource::open_if_present(&state.join(FILE)).map_err(|error| refused(&error))?;
    if let Some(file) = file {
        chain = chain.with(file);
    }
    Ok(chain)
}

impl Inner {
    /// Everything that the steps need must be there before the run exists (D-SEC-5). Mock needs nothing.
    pub(crate) fn check_secrets(&self, spec: &JobSpec, mode: Mode) -> Result<(), ApiError> {
        if mode == Mode::Mock {
            return Ok(());
        }
        let used = |secret: &&SecretDecl| {
            spec.steps()
                .iter()
                .any(|step| step.secrets.contains(&secret.name))
        };
        let needed = requirements(spec.secrets.iter().filter(used))?;
        self.secrets
            .resolve(&needed)
            .map(drop)
            .map_err(|error| unresolved(&error))
    }

    /// The secrets that one step declares, and no others (D-SEC-4).
    pub(crate) fn resolve_secrets(
        &self,
        spec: &JobSpec,
        step: &Step,
        mode: Mode,
    ) -> Result<SecretEnv, ApiError> {
        if mode == Mode::Mock || step.secrets.is_empty() {
            return Ok(SecretEnv::new());
        }
        let declared = spec
            .secrets
            .iter()
            .filter(|secret| step.secrets.contains(&secret.name));
        self.secrets
            .resolve(&requirements(declared)?)
            .map_err(|error| unresolved(&error))
    }

    /// Presence of every key, never a value.
    pub(crate) fn secret_report(&self, spec: &JobSpec) -> Result<Vec<SecretKeyView>, ApiError> {
        let checks = self
            .secrets
            .check(&requirements(&spec.secrets)?)
            .map_err(|error| unresolved(&error))?;
        Ok(checks
            .into_iter()
            .map(|check| {
                let present = check.status == KeyStatus::Present;
                let found_in = check
                    .origin
                    .filter(|_| present)
                    .map(|origin| origin.to_string());
                SecretKeyView {
                    secret: check.secret.to_string(),
                    key: check.key.to_string(),
                    required: check.required,
                    present,
                    found_in,
                }
            })
            .collect())
    }
}

/// What the spec declares, in the terms of the secrets crate.
fn requirements<'s>(
    declared: impl IntoIterator<Item = &'s SecretDecl>,
) -> Result<Vec<SecretRequirement>, ApiError> {
    let needed: Vec<_> = declared
        .into_iter()
        .map(|secret| {
            json!({
                "name": secret.name,
                "type": secret.kind,
                "keys": secret.keys,
                "required": secret.required,
            })
        })
        .collect();
    serde_json::from_value(json!(needed)).map_err(|error| {
        ApiError::new(
            ErrorCode::Spec,
            format!("a declared secret is not valid: {error}"),
        )
    })
}

fn unresolved(error: &ResolveError) -> ApiError {
    let mut body = refused(error);
    if let ResolveError::Missing(missing) = error {
        body.details = missing
            .missing()
            .iter()
            .map(|key| ErrorDetail {
                at: key.key.to_string(),
                rule: "D-SEC-5".to_owned(),
                message: format!("needed by the secret {}", key.secret),
                hint: None,
            })
            .collect();
    }
    body
}

/// A refusal of the secrets crate as the one error body.
fn refused(error: &dyn Refusal) -> ApiError {
    let code: ErrorCode = error.code().parse().unwrap_or(ErrorCode::Config);
    ApiError::new(code, error.to_string()).hint(error.hint())
}
