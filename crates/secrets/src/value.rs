//! Secret values, and the set of them that one attempt is given.

use std::collections::BTreeMap;
use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroize as _;

use crate::name::EnvKey;
use crate::source::Origin;

/// The value of one environment variable that is a secret.
///
/// It is wiped from memory when it is dropped, and prints as `[redacted]`. There is no `Display`,
/// no `Serialize` and no comparison: whoever needs the text calls [`expose`](Self::expose), and
/// that is what a reviewer looks for.
///
/// ```
/// use moorline_secrets::SecretValue;
///
/// let value = SecretValue::from("hunter2".to_owned());
/// assert_eq!(format!("{value:?}"), "[redacted]");
/// assert_eq!(value.expose(), "hunter2");
/// ```
///
/// ```compile_fail
/// let value = moorline_secrets::SecretValue::from("hunter2".to_owned());
/// println!("{value}");
/// ```
#[derive(Clone)]
pub struct SecretValue(SecretString);

impl SecretValue {
    /// The text itself. Hand it to the process or the encoder that needs it, and to nothing else.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether it is the empty string, which counts as missing.
    pub fn is_empty(&self) -> bool {
        self.expose().is_empty()
    }
}

/// Takes the text over. The string's own buffer is wiped if it could not be kept.
impl From<String> for SecretValue {
    fn from(mut value: String) -> Self {
        if value.len() == value.capacity() {
            return Self(SecretString::from(value));
        }
        // Shrinking could move the text and leave the old place as it is.
        let exact = Self::from(value.as_str());
        value.zeroize();
        exact
    }
}

/// Copies the text; the original is the caller's to wipe.
impl From<&str> for SecretValue {
    fn from(value: &str) -> Self {
        Self(SecretString::from(value))
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// What one attempt is given: exactly the environment variables that its step declares (`D-SEC-4`),
/// with where each came from.
///
/// Printing it shows keys and origins. Like [`SecretValue`] it has no `Serialize`; an executor
/// walks over [`iter`](Self::iter) and exposes each value to the child's environment, never to its
/// argv (`D-SEC-3`).
#[derive(Clone, Default)]
pub struct SecretEnv {
    entries: BTreeMap<EnvKey, Entry>,
}

#[derive(Clone)]
struct Entry {
    value: SecretValue,
    origin: Origin,
}

impl SecretEnv {
    /// Without secrets, as in mock mode.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a key. Returns the value that it had.
    pub fn insert(
        &mut self,
        key: EnvKey,
        value: SecretValue,
        origin: Origin,
    ) -> Option<SecretValue> {
        self.entries
            .insert(key, Entry { value, origin })
            .map(|old| old.value)
    }

    /// The value of a key.
    pub fn get(&self, key: &EnvKey) -> Option<&SecretValue> {
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// Which source gave a key.
    pub fn origin(&self, key: &EnvKey) -> Option<&Origin> {
        self.entries.get(key).map(|entry| &entry.origin)
    }

    /// The keys, sorted.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &EnvKey> {
        self.entries.keys()
    }

    /// Keys and values, sorted by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&EnvKey, &SecretValue)> {
        self.entries.iter().map(|(key, entry)| (key, &entry.value))
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl fmt::Debug for SecretEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(
                self.entries
                    .iter()
                    .map(|(key, entry)| (key.as_str(), entry.origin.as_str())),
            )
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_keys_and_origins_and_no_value() {
        let mut env = SecretEnv::new();
        let key: EnvKey = "API_KEY".parse().unwrap();
        env.insert(
            key.clone(),
            SecretValue::from("hunter2"),
            Origin::environment(),
        );
        assert_eq!(format!("{env:?}"), r#"{"API_KEY": "environment"}"#);
        assert_eq!(format!("{:?}", env.get(&key)), "Some([redacted])");
    }

    #[test]
    fn a_string_with_spare_capacity_becomes_the_same_value() {
        let mut spare = String::with_capacity(100);
        spare.push_str("hunter2");
        assert_eq!(SecretValue::from(spare).expose(), "hunter2");
    }
}
