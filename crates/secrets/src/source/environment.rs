//! The environment, as the caller hands it over.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStringExt as _;

use zeroize::Zeroizing;

use super::{Origin, SecretSource};
use crate::error::{SourceError, SourceProblem};
use crate::name::EnvKey;
use crate::value::SecretValue;

/// Environment variables. A library reads no environment: the `main` of the program does, once, and
/// hands over what it found.
///
/// ```
/// use moorline_secrets::{EnvironmentSource, SecretSource};
///
/// let environment = EnvironmentSource::new([("API_KEY", "hunter2"), ("HOME", "/root")]);
/// assert_eq!(environment.get(&"API_KEY".parse()?)?.unwrap().expose(), "hunter2");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct EnvironmentSource {
    /// As bytes, since a value that is not UTF-8 only matters when it is asked for.
    variables: BTreeMap<OsString, Zeroizing<Vec<u8>>>,
}

impl EnvironmentSource {
    /// Takes variables such as `std::env::vars_os()` gives.
    pub fn new<K, V>(variables: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        let owned = |(key, value): (K, V)| (key.into(), Zeroizing::new(value.into().into_vec()));
        Self {
            variables: variables.into_iter().map(owned).collect(),
        }
    }
}

impl SecretSource for EnvironmentSource {
    fn origin(&self) -> Origin {
        Origin::environment()
    }

    fn get(&self, key: &EnvKey) -> Result<Option<SecretValue>, SourceError> {
        let Some(value) = self.variables.get(OsStr::new(key.as_str())) else {
            return Ok(None);
        };
        match std::str::from_utf8(value) {
            Ok(value) => Ok(Some(value.into())),
            Err(_) => Err(SourceError::new(
                self.origin(),
                SourceProblem::NotUtf8 { key: key.clone() },
            )),
        }
    }
}

impl fmt::Debug for EnvironmentSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnvironmentSource")
            .field("variables", &self.variables.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    #[test]
    fn a_value_that_is_not_utf8_is_an_error_only_when_it_is_asked_for() {
        let source = EnvironmentSource::new([
            ("A".into(), OsString::from("1")),
            (OsString::from("B"), OsString::from_vec(vec![0xff])),
        ]);
        assert_eq!(
            source.get(&"A".parse().unwrap()).unwrap().unwrap().expose(),
            "1"
        );
        assert!(source.get(&"C".parse().unwrap()).unwrap().is_none());
        let error = source.get(&"B".parse().unwrap()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "environment: the value of `B` is not UTF-8"
        );
        assert_eq!(
            format!("{source:?}"),
            "EnvironmentSource { variables: 2, .. }"
        );
    }
}
