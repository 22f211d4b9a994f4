//! Keyed hashes of values.

use std::fmt;

use zeroize::Zeroizing;

use crate::value::SecretValue;

/// What the key of the hashes is derived for. Changing it makes every recorded hash unverifiable.
const CONTEXT: &str = "moorline-secrets 2026-11-21 fingerprints of secret values v1";

/// Makes keyed hashes of values, so that a later value can be told from an earlier one that is not kept.
///
/// The hash is BLAKE3 in keyed mode under a key that is derived from the installation's own. Without that
/// key, a guess at a value can not be checked against a hash. Equal values have equal hashes within an
/// installation, whatever they are called, so that a value which two lanes share is found.
///
/// ```
/// use moorline_secrets::vault::Fingerprinter;
/// use moorline_secrets::SecretValue;
///
/// let ours = Fingerprinter::derive(b"the installation's key");
/// let hash = ours.fingerprint(&SecretValue::from("hunter2"));
/// assert_eq!(hash.len(), "b3k:".len() + 32);
/// assert_eq!(hash, ours.fingerprint(&SecretValue::from("hunter2")));
/// assert_ne!(hash, ours.fingerprint(&SecretValue::from("hunter3")));
/// let theirs = Fingerprinter::derive(b"another key");
/// assert_ne!(hash, theirs.fingerprint(&SecretValue::from("hunter2")));
/// ```
#[derive(Clone)]
pub struct Fingerprinter {
    key: Zeroizing<[u8; blake3::KEY_LEN]>,
}

impl Fingerprinter {
    /// Derives the key of the hashes from a secret of the installation.
    pub fn derive(secret: &[u8]) -> Self {
        Self {
            key: Zeroizing::new(blake3::derive_key(CONTEXT, secret)),
        }
    }

    /// The hash of a value: `b3k:` and 32 hexadecimal digits (128 bits, enough to tell values apart).
    pub fn fingerprint(&self, value: &SecretValue) -> String {
        let hash = blake3::keyed_hash(&self.key, value.expose().as_bytes()).to_hex();
        let short: String = hash.chars().take(32).collect();
        format!("b3k:{short}")
    }

    /// A short name for the key itself, which tells a hash of this installation from one made with
    /// another key.
    pub fn key_id(&self) -> String {
        let hash = blake3::keyed_hash(&self.key, b"").to_hex();
        hash.chars().take(8).collect()
    }
}

impl fmt::Debug for Fingerprinter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fingerprinter")
            .field("key_id", &self.key_id())
            .finish_non_exhaustive()
    }
}
