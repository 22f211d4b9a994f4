//! Sources in order, and what they give to a step.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Origin, SecretSource};
use crate::error::{MissingKey, MissingSecrets, ResolveError, SourceError};
use crate::name::{EnvKey, SecretKind, SecretName};
use crate::reference::{SecretRef, SecretRequirement};
use crate::value::{SecretEnv, SecretValue};

/// Sources, asked in their order: the first that has a key gives it. A key that is set to the empty
/// string counts as absent.
///
/// ```
/// use moorline_secrets::{EnvironmentSource, Refusal, SecretRequirement, SourceChain};
///
/// let chain = SourceChain::new().with(EnvironmentSource::new([("API_KEY", "hunter2")]));
/// let steps: Vec<SecretRequirement> = serde_json::from_str(
///     r#"[{"name": "API_KEY"}, {"name": "REGISTRY_AUTH", "keys": ["USERNAME", "PASSWORD"]}]"#,
/// )?;
/// let error = chain.resolve(&steps).unwrap_err();
/// assert_eq!(error.code(), "ERR_MISSING_SECRET");
/// assert_eq!(
///     error.to_string(),
///     "secrets are missing: `USERNAME` of secret `registry-auth`, `PASSWORD` of secret \
///      `registry-auth`; searched: environment"
/// );
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// Cheap to clone; a clone to which more is added shares the sources that it had.
#[derive(Debug, Clone, Default)]
pub struct SourceChain {
    sources: Vec<Arc<dyn SecretSource>>,
}

/// One key of one secret, as a check finds it. Never a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct KeyCheck {
    /// The name of the secret.
    pub secret: SecretName,
    /// Its kind, if it has one.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<SecretKind>,
    /// The environment variable.
    pub key: EnvKey,
    /// Whether the step can not do without it.
    pub required: bool,
    /// Whether it is there.
    pub status: KeyStatus,
    /// Which source has it, or has it empty.
    pub origin: Option<Origin>,
}

/// Whether a key is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyStatus {
    /// A source has it.
    Present,
    /// No source has it.
    Missing,
    /// A source has it, but it is the empty string, which counts as missing.
    Empty,
    /// No source has it, and a person will be asked.
    Prompted,
}

impl KeyCheck {
    /// Whether a run in real mode would be refused for it.
    pub fn refuses_run(&self) -> bool {
        self.required && matches!(self.status, KeyStatus::Missing | KeyStatus::Empty)
    }
}

/// What the chain found for one key.
enum Lookup {
    Found(SecretValue, Origin),
    Absent { empty_in: Option<Origin> },
}

impl SourceChain {
    /// No sources.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a source after the others.
    #[must_use]
    pub fn with(mut self, source: impl SecretSource + 'static) -> Self {
        self.sources.push(Arc::new(source));
        self
    }

    /// Adds a source after the others.
    pub fn push(&mut self, source: Box<dyn SecretSource>) {
        self.sources.push(Arc::from(source));
    }

    /// What the sources are called, in their order.
    pub fn origins(&self) -> Vec<Origin> {
        self.sources.iter().map(|source| source.origin()).collect()
    }

    /// All that these secrets give, for a step in real mode.
    ///
    /// Keys that the step can do without are left out when they are absent, and no person is asked
    /// for them. A person is asked after all other sources, whatever the order of the chain.
    ///
    /// # Errors
    /// [`ResolveError::Missing`] names every missing key at once (`D-SEC-5`).
    pub fn resolve(&self, requirements: &[SecretRequirement]) -> Result<SecretEnv, ResolveError> {
        let wanted = wanted(requirements)?;
        let mut env = SecretEnv::new();
        let mut absent = Vec::new();
        for &(requirement, key) in &wanted {
            match self.look_up(key, false)? {
                Lookup::Found(value, origin) => give(&mut env, key, value, origin)?,
                Lookup::Absent { empty_in } if requirement.is_required() => {
                    let (secret, key) = (requirement.secret().clone(), key.clone());
                    absent.push(MissingKey {
                        secret,
                        key,
                        empty_in,
                    });
                }
                Lookup::Absent { .. } => {}
            }
        }
        let mut missing = Vec::new();
        for absent in absent {
            match self.look_up(&absent.key, true)? {
                Lookup::Found(value, origin) => give(&mut env, &absent.key, value, origin)?,
                Lookup::Absent { .. } => missing.push(absent),
            }
        }
        if missing.is_empty() {
            return Ok(env);
        }
        Err(MissingSecrets {
            missing,
            searched: self.origins(),
        }
        .into())
    }

    /// Whether each key of these secrets is there, and where. No person is asked, and no value is
    /// kept.
    ///
    /// # Errors
    /// A source could not be read, or two secrets set the same key.
    pub fn check(&self, requirements: &[SecretRequirement]) -> Result<Vec<KeyCheck>, ResolveError> {
        let prompt = self.sources.iter().find(|source| source.is_interactive());
        let check = |(requirement, key): (&SecretRequirement, &EnvKey)| {
            let (status, origin) = match self.look_up(key, false)? {
                Lookup::Found(_, origin) => (KeyStatus::Present, Some(origin)),
                Lookup::Absent { empty_in } => match (prompt, empty_in) {
                    (Some(prompt), _) if requirement.is_required() => {
                        (KeyStatus::Prompted, Some(prompt.origin()))
                    }
                    (_, Some(origin)) => (KeyStatus::Empty, Some(origin)),
                    (_, None) => (KeyStatus::Missing, None),
                },
            };
            let SecretRef { name, kind } = requirement.secret().clone();
            let required = requirement.is_required();
            Ok(KeyCheck {
                secret: name,
                kind,
                key: key.clone(),
                required,
                status,
                origin,
            })
        };
        wanted(requirements)?.into_iter().map(check).collect()
    }

    /// Which source would give a key, without asking a person.
    ///
    /// # Errors
    /// A source could not be read.
    pub fn origin_of(&self, key: &EnvKey) -> Result<Option<Origin>, SourceError> {
        Ok(match self.look_up(key, false)? {
            Lookup::Found(_, origin) => Some(origin),
            Lookup::Absent { .. } => None,
        })
    }

    fn look_up(&self, key: &EnvKey, ask: bool) -> Result<Lookup, SourceError> {
        let mut empty_in = None;
        for source in self
            .sources
            .iter()
            .filter(|source| source.is_interactive() == ask)
        {
            match source.get(key)? {
                Some(value) if !value.is_empty() => {
                    return Ok(Lookup::Found(value, source.origin()));
                }
                Some(_) => empty_in = empty_in.or_else(|| Some(source.origin())),
                None => {}
            }
        }
        Ok(Lookup::Absent { empty_in })
    }
}

/// Every key with the secret that wants it. A secret may be asked for twice, a key not by two
/// secrets.
fn wanted(
    requirements: &[SecretRequirement],
) -> Result<Vec<(&SecretRequirement, &EnvKey)>, ResolveError> {
    let mut firsts: BTreeMap<&EnvKey, &SecretRef> = BTreeMap::new();
    let mut wanted = Vec::new();
    for requirement in requirements {
        for key in requirement.keys() {
            match firsts.insert(key, requirement.secret()) {
                None => wanted.push((requirement, key)),
                Some(first) if first == requirement.secret() => {}
                Some(first) => {
                    let (first, second) = (first.clone(), requirement.secret().clone());
                    return Err(ResolveError::Duplicate {
                        key: key.clone(),
                        first,
                        second,
                    });
                }
            }
        }
    }
    Ok(wanted)
}

fn give(
    env: &mut SecretEnv,
    key: &EnvKey,
    value: SecretValue,
    origin: Origin,
) -> Result<(), ResolveError> {
    if value.expose().contains('\0') {
        return Err(ResolveError::Nul {
            key: key.clone(),
            origin,
        });
    }
    env.insert(key.clone(), value, origin);
    Ok(())
}
