//! Secrets of a job: checked before anything is launched, resolved for exactly one step at a time.
//!
//! # Where values come from
//! What a lane may take depends on the lane (D-SEC-7):
//!
//! | lane | sources, in their order |
//! |---|---|
//! | interactive (`dev`) | the environment of whoever runs Moorline, `secrets.env` of the state directory, then what is kept for the lane |
//! | any other (`staging`, `prod`, …) | what is kept for the lane, and nothing else |
//!
//! So neither a forgotten variable nor a file for trying things can supply or replace a secret of
//! production, and a run of `dev` finds nothing that is kept for another lane. A server's environment is of
//! whoever runs the server, not of those who submit jobs to it: there every lane takes what is kept alone.
//!
//! A back end that gives no values back (Modal) is only *named*: the attempt then carries the objects, and
//! an executor that runs where they are kept hands the values over itself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use moorline_api::{ApiError, ErrorDetail, SecretKeyView};
use moorline_core::attempt::SecretObjectRef;
use moorline_core::config::LaneSettings;
use moorline_core::error_code::ErrorCode;
use moorline_core::lane::Lane;
use moorline_core::spec::{JobSpec, Mode, SecretDecl, Step};
use moorline_secrets::backend::{SecretPlace, SecretValues};
use moorline_secrets::{
    EnvKey, EnvironmentSource, FileSource, KeptSource, KeyStatus, Refusal, ResolveError, SecretEnv,
    SecretObject, SecretRequirement, SourceChain,
};
use serde_json::json;

use crate::engine::Inner;
use crate::vault::policy;

/// Name of the file of secrets in a state directory: `KEY=VALUE` lines, readable by its owner only.
pub(crate) const FILE: &str = "secrets.env";

/// What a step is given: values, and objects that only the place where it runs can read.
#[derive(Debug, Clone, Default)]
pub(crate) struct StepSecrets {
    pub(crate) values: SecretEnv,
    pub(crate) objects: Vec<SecretObjectRef>,
}

/// What an interactive lane takes before what is kept for it: the environment, then the file of the state
/// directory.
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

/// What a lane has for some secrets.
struct Found {
    /// Sources of values.
    chain: SourceChain,
    /// Keys of objects that can only be named.
    named: BTreeMap<EnvKey, Named>,
}

/// An object that can only be named, and all the keys that it has.
#[derive(Clone)]
struct Named {
    object: SecretObject,
    has: BTreeSet<EnvKey>,
}

impl Inner {
    /// Whether the environment and the file of the state directory may supply secrets of a lane.
    pub(crate) fn takes_ambient(&self, settings: &LaneSettings) -> bool {
        settings.rules.interactive && self.config.ambient_secrets
    }

    /// Everything that the steps need must be there before the run exists (D-SEC-5). Mock needs nothing.
    pub(crate) async fn check_secrets(
        &self,
        spec: &JobSpec,
        lane: &Lane,
        mode: Mode,
        executor: &str,
    ) -> Result<(), ApiError> {
        if mode == Mode::Mock {
            return Ok(());
        }
        // What is missing is said of all steps together; what can not be handed over, of the first such step.
        let used = |secret: &&SecretDecl| {
            spec.steps()
                .iter()
                .any(|step| step.secrets.contains(&secret.name))
        };
        let needed = requirements(spec.secrets.iter().filter(used))?;
        if needed.is_empty() {
            return Ok(());
        }
        let found = self.find_secrets(lane, &needed).await?;
        resolve(&found, &needed, true)?;
        for step in spec.steps() {
            let executor = step.executor.as_deref().unwrap_or(executor);
            let needed = requirements(declared(spec, step))?;
            resolve(&found, &needed, self.takes_objects(executor))?;
        }
        Ok(())
    }

    /// The secrets that one step declares, and no others (D-SEC-4).
    pub(crate) async fn resolve_secrets(
        &self,
        spec: &JobSpec,
        step: &Step,
        lane: &Lane,
        mode: Mode,
        executor: &str,
    ) -> Result<StepSecrets, ApiError> {
        if mode == Mode::Mock || step.secrets.is_empty() {
            return Ok(StepSecrets::default());
        }
        let needed = requirements(declared(spec, step))?;
        let found = self.find_secrets(lane, &needed).await?;
        resolve(&found, &needed, self.takes_objects(executor))
    }

    /// The values of secrets of a lane, for what this process sends itself. Those that can only be named are
    /// of no use here, and missing.
    pub(crate) async fn lane_values(
        &self,
        lane: &Lane,
        needed: &[SecretRequirement],
    ) -> Result<SecretEnv, ApiError> {
        let found = self.find_secrets(lane, needed).await?;
        resolve(&found, needed, false).map(|secrets| secrets.values)
    }

    /// Presence of every key in a lane, never a value.
    pub(crate) async fn secret_report(
        &self,
        spec: &JobSpec,
        lane: &Lane,
    ) -> Result<Vec<SecretKeyView>, ApiError> {
        let needed = requirements(&spec.secrets)?;
        let found = self.find_secrets(lane, &needed).await?;
        let checks = found.chain.check(&needed);
        Ok(checks
            .map_err(|error| unresolved(&error))?
            .into_iter()
            .map(|check| {
                let given = check.status == KeyStatus::Present;
                let named = found.named.get(&check.key);
                let named = named.map(|named| format!("{} (by name)", named.object.name));
                let found_in = check
                    .origin
                    .filter(|_| given)
                    .map(|origin| origin.to_string());
                let found_in = found_in.or(named);
                SecretKeyView {
                    secret: check.secret.to_string(),
                    key: check.key.to_string(),
                    required: check.required,
                    present: found_in.is_some(),
                    found_in,
                }
            })
            .collect())
    }

    fn takes_objects(&self, executor: &str) -> bool {
        let found = self.executors.get(executor);
        found.is_some_and(|executor| executor.capabilities().secret_objects)
    }

    /// Asks everything that the lane may take for these secrets.
    async fn find_secrets(
        &self,
        lane: &Lane,
        needed: &[SecretRequirement],
    ) -> Result<Found, ApiError> {
        let settings = self.lane_settings(lane)?;
        let mut chain = if self.takes_ambient(settings) {
            (*self.secrets).clone()
        } else {
            SourceChain::new()
        };
        let mut named = BTreeMap::new();
        let Some(vault) = self.vault.as_deref().filter(|_| !needed.is_empty()) else {
            return Ok(Found { chain, named });
        };
        let backend = vault.backend();
        let lane = policy::lane_secrets(settings)?;
        let objects = lane.objects(needed).map_err(|error| refused(&error))?;
        let mut kept = SecretValues::new();
        for object in objects {
            let place = SecretPlace {
                lane: lane.lane.clone(),
                environment: object.environment.clone(),
                object: object.name.clone(),
            };
            if backend.is_readable() {
                let values = backend.get(&place).await.map_err(|error| refused(&error))?;
                let wanted = |(key, _): &(EnvKey, _)| object.keys.contains(key);
                kept.extend(values.into_iter().filter(wanted));
                continue;
            }
            let keys = backend
                .keys(&place)
                .await
                .map_err(|error| refused(&error))?;
            for key in keys.intersection(&object.keys) {
                let (object, has) = (object.clone(), keys.clone());
                named.insert(key.clone(), Named { object, has });
            }
        }
        // Also where it holds none of them, so that an error says that it was asked.
        chain = chain.with(KeptSource::new(backend.origin(), kept));
        Ok(Found { chain, named })
    }
}

/// Values for what has values, names for the rest; `by_name` says whether names are of any use.
fn resolve(
    found: &Found,
    needed: &[SecretRequirement],
    by_name: bool,
) -> Result<StepSecrets, ApiError> {
    let present = found
        .chain
        .check(needed)
        .map_err(|error| unresolved(&error))?;
    let named_only: BTreeSet<&EnvKey> = present
        .iter()
        .filter(|check| check.status != KeyStatus::Present)
        .map(|check| &check.key)
        .filter(|key| found.named.contains_key(*key))
        .collect();
    if let (false, Some(key)) = (by_name, named_only.first()) {
        let message = format!(
            "`{key}` is kept where it can only be named, and this step does not run there (D-SEC-3)"
        );
        return Err(ApiError::new(ErrorCode::Config, message).hint(
            "run the step with the executor `modal`, or keep the lane's secrets in the encrypted file \
             (`secrets.backend = \"file\"`)",
        ));
    }
    let rest: Vec<SecretRequirement> = needed
        .iter()
        .filter_map(|requirement| {
            let keys: Vec<EnvKey> = requirement
                .keys()
                .iter()
                .filter(|key| !named_only.contains(key))
                .cloned()
                .collect();
            let rest = SecretRequirement::new(requirement.secret().clone(), keys).ok()?;
            Some(if requirement.is_required() {
                rest
            } else {
                rest.optional()
            })
        })
        .collect();
    let values = found
        .chain
        .resolve(&rest)
        .map_err(|error| unresolved(&error))?;
    let mut objects: BTreeMap<(String, String), SecretObjectRef> = BTreeMap::new();
    for key in named_only {
        let Some(Named { object, has }) = found.named.get(key) else {
            continue;
        };
        let place = (object.environment.clone(), object.name.to_string());
        let reference = objects.entry(place).or_insert_with(|| SecretObjectRef {
            environment: object.environment.clone(),
            name: object.name.to_string(),
            keys: Vec::new(),
            withheld: has
                .difference(&object.keys)
                .map(ToString::to_string)
                .collect(),
        });
        reference.keys.push(key.to_string());
    }
    let objects = objects.into_values().collect();
    Ok(StepSecrets { values, objects })
}

/// The secrets of a spec that a step names.
fn declared<'s>(spec: &'s JobSpec, step: &'s Step) -> impl Iterator<Item = &'s SecretDecl> {
    spec.secrets
        .iter()
        .filter(|secret| step.secrets.contains(&secret.name))
}

/// What the spec declares, in the terms of the secrets crate.
pub(crate) fn requirements<'s>(
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

/// A refusal of the secrets crate as the one error body, its causes in the message: none holds a value.
pub(crate) fn refused(error: &dyn Refusal) -> ApiError {
    let code: ErrorCode = error.code().parse().unwrap_or(ErrorCode::Config);
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        cause = inner.source();
    }
    ApiError::new(code, message).hint(error.hint())
}
