//! Secrets as a sandbox or a command receives them.

use moorline_modal_proto::client::{SecretSource, StringMap, secret_source};
use secrecy::ExposeSecret as _;

use crate::secrets::SecretValues;
use crate::{Error, ErrorKind, Result};

/// Where the values of environment variables come from.
#[derive(Clone, Debug)]
pub enum SecretRef {
    /// A secret that the workspace keeps (`st-…`).
    Id(String),
    /// Values that go with this request alone and are stored nowhere by us.
    Inline(SecretValues),
}

/// Checks that a name can be an environment variable (POSIX.1-2024, 3.210).
fn check_name(name: &str) -> Result<()> {
    let mut bytes = name.bytes();
    let first = bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if first && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Ok(());
    }
    let message = format!(
        "`{name}` is not the name of an environment variable; use letters, digits and `_`, \
         and no digit in front"
    );
    Err(Error::new(ErrorKind::InvalidArgument, message))
}

/// Checks the names of all variables that are given with their values.
pub(super) fn check_names(secrets: &[SecretRef], env: &SecretValues) -> Result<()> {
    let inline = secrets.iter().filter_map(|secret| match secret {
        SecretRef::Inline(values) => Some(values),
        SecretRef::Id(_) => None,
    });
    inline
        .chain([env])
        .flat_map(SecretValues::keys)
        .try_for_each(|name| check_name(name))
}

/// The sources in the order in which they are applied: later ones win.
pub(super) fn sources(secrets: &[SecretRef], env: &SecretValues) -> Vec<SecretSource> {
    let inline = |env: &SecretValues| {
        (!env.is_empty()).then(|| {
            secret_source::Source::Env(StringMap {
                contents: expose(env),
            })
        })
    };
    secrets
        .iter()
        .map(|secret| match secret {
            SecretRef::Id(id) => Some(secret_source::Source::SecretId(id.clone())),
            SecretRef::Inline(env) => inline(env),
        })
        .chain([inline(env)])
        .flatten()
        .map(|source| SecretSource {
            source: Some(source),
        })
        .collect()
}

/// The ids alone.
pub(super) fn ids(secrets: &[SecretRef]) -> Vec<String> {
    let id = |secret: &SecretRef| match secret {
        SecretRef::Id(id) => Some(id.clone()),
        SecretRef::Inline(_) => None,
    };
    secrets.iter().filter_map(id).collect()
}

/// The values in the clear, for a message that is about to be sent.
pub(super) fn expose<M: FromIterator<(String, String)>>(env: &SecretValues) -> M {
    env.iter()
        .map(|(name, value)| (name.clone(), value.expose_secret().to_owned()))
        .collect()
}
