//! The text of a token: `mlt_<project>_<id>_<secret>`.
//!
//! The id is the record's, as 32 hexadecimal digits. The secret is 32 random bytes in the URL alphabet of
//! base64 (RFC 4648, section 5), without padding: 43 characters, safe in a header, a cookie and a path.
//! Only SHA-256 (FIPS 180-4) of the secret's characters is kept: of so much randomness, no slow hash is needed.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use moorline_core::config::is_project_name;
use moorline_core::ids::TokenId;
use rand::TryRng as _;
use rand::rngs::SysRng;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;
use zeroize::Zeroizing;

const PREFIX: &str = "mlt_";

/// Characters of a secret.
const SECRET_LENGTH: usize = 43;

/// The parts of a token's text. Nothing is known of it yet but its form.
pub(super) struct TokenText<'t> {
    pub(super) project: &'t str,
    pub(super) id: TokenId,
    secret: &'t str,
}

impl<'t> TokenText<'t> {
    /// The parts; none where it is no token.
    pub(super) fn parse(text: &'t str) -> Option<Self> {
        let (project, rest) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let (id, secret) = rest.split_once('_')?;
        let secret_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let formed = is_project_name(project)
            && id.len() == 32
            && secret.len() == SECRET_LENGTH
            && secret.bytes().all(secret_byte);
        let id = TokenId::new(Uuid::try_parse(id).ok()?);
        formed.then_some(Self {
            project,
            id,
            secret,
        })
    }

    /// Whether its secret has this hash; takes as long whichever character differs.
    pub(super) fn has_hash(&self, hash: &str) -> bool {
        digest(self.secret).as_bytes().ct_eq(hash.as_bytes()).into()
    }
}

/// The project that a token names; none where the text is no token. It proves nothing: what the token is
/// worth, the engine of that project says.
///
/// ```
/// use moorline_engine::token_project;
///
/// let text = format!("mlt_acme_{}_{}", "0".repeat(32), "a".repeat(43));
/// assert_eq!(token_project(&text), Some("acme"));
/// assert_eq!(token_project("mlt_acme"), None);
/// ```
pub fn token_project(text: &str) -> Option<&str> {
    TokenText::parse(text).map(|parts| parts.project)
}

/// A new token's text, and the hash of its secret in hex.
///
/// # Errors
/// When the system has no random numbers.
pub(super) fn generate(project: &str, id: TokenId) -> io::Result<(String, String)> {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    SysRng
        .try_fill_bytes(bytes.as_mut_slice())
        .map_err(io::Error::other)?;
    let secret = Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice()));
    let id = id.uuid().simple();
    let text = format!("{PREFIX}{project}_{id}_{}", secret.as_str());
    Ok((text, digest(&secret)))
}

fn digest(secret: &str) -> String {
    let hash = Sha256::digest(secret.as_bytes());
    let digit = |half: u8| char::from_digit(half.into(), 16).unwrap_or('0');
    let hex = |byte: u8| [digit(byte >> 4), digit(byte & 15)];
    hash.iter().flat_map(|byte| hex(*byte)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Uuid = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);

    #[test]
    fn a_token_names_its_project_and_record_and_keeps_its_secret() {
        let id = TokenId::new(ID);
        let (text, hash) = generate("acme-2", id).unwrap();
        let (again, other) = generate("acme-2", id).unwrap();
        assert_ne!(text, again);
        assert_ne!(hash, other);
        assert!(text.starts_with("mlt_acme-2_01900000000070008000000000000001_"));
        let parts = TokenText::parse(&text).unwrap();
        assert_eq!((parts.project, parts.id), ("acme-2", id));
        assert!(parts.has_hash(&hash));
        assert!(!parts.has_hash(&other));
        assert!(!parts.has_hash(""));
        assert!(!hash.contains(parts.secret));
    }

    /// Computed with another implementation: `printf '%s' aaa…a | sha256sum`, with 43 `a`.
    #[test]
    fn the_hash_is_sha_256_in_hex() {
        let expected = "66d34fba71f8f450f7e45598853e53bfc23bbd129027cbb131a2f4ffd7878cd0";
        assert_eq!(digest(&"a".repeat(43)), expected);
    }

    #[test]
    fn what_is_no_token_has_no_parts() {
        let id = "0".repeat(32);
        let secret = "a".repeat(43);
        let good = format!("mlt_acme_{id}_{secret}");
        assert!(TokenText::parse(&good).is_some());
        for text in [
            String::new(),
            "mlt_".to_owned(),
            format!("mlx_acme_{id}_{secret}"),
            format!("mlt__{id}_{secret}"),
            format!("mlt_Acme_{id}_{secret}"),
            format!("mlt_acme_{}_{secret}", "0".repeat(31)),
            format!("mlt_acme_{}_{secret}", "g".repeat(32)),
            format!("mlt_acme_{id}_{}", "a".repeat(42)),
            format!("mlt_acme_{id}_{}", "a".repeat(44)),
            format!("mlt_acme_{id}_{}=", "a".repeat(42)),
            format!(" {good}"),
            format!("{good}\n"),
        ] {
            assert!(TokenText::parse(&text).is_none(), "{text:?}");
        }
    }
}
