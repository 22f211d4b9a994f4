//! The hashes that say whether bytes arrived as they were sent.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use sha2::{Digest as _, Sha256};

/// What a blob is announced by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digests {
    /// SHA-256 of the content.
    pub sha256: [u8; 32],
    /// MD5 of the content, which object stores answer as the entity tag.
    pub md5: [u8; 16],
    /// In bytes.
    pub len: u64,
}

impl Digests {
    /// Of bytes in memory.
    pub fn of(content: &[u8]) -> Self {
        let mut hasher = DigestsHasher::default();
        hasher.update(content);
        hasher.finish()
    }

    /// The hash as volumes of version 1 and mounts name content.
    pub fn sha256_hex(&self) -> String {
        hex(&self.sha256)
    }

    /// The hash as `BlobCreate` takes it.
    pub fn sha256_base64(&self) -> String {
        STANDARD.encode(self.sha256)
    }

    /// The value of `Content-MD5`.
    pub fn md5_base64(&self) -> String {
        STANDARD.encode(self.md5)
    }
}

/// Computes [`Digests`] of content that arrives in pieces.
#[derive(Debug, Default)]
pub(crate) struct DigestsHasher {
    sha256: Sha256,
    md5: Md5,
    len: u64,
}

impl DigestsHasher {
    pub(crate) fn update(&mut self, piece: &[u8]) {
        self.sha256.update(piece);
        self.md5.update(piece);
        self.len += piece.len() as u64;
    }

    pub(crate) fn finish(self) -> Digests {
        Digests {
            sha256: self.sha256.finalize().into(),
            md5: self.md5.finalize().into(),
            len: self.len,
        }
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value & 0xf)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(*byte)])
        .collect()
}

/// The MD5 in an `ETag` (RFC 9110, 8.8.3), if it is one: weak tags and quotes are taken off, the tag of an
/// object that was joined from parts (`…-3`) is not a hash of its content.
pub(crate) fn md5_of_etag(etag: &str) -> Option<String> {
    let tag = etag.trim();
    let tag = tag
        .strip_prefix("W/")
        .or_else(|| tag.strip_prefix("w/"))
        .unwrap_or(tag);
    let tag = tag
        .strip_prefix('"')
        .and_then(|tag| tag.strip_suffix('"'))
        .unwrap_or(tag);
    (tag.len() == 32 && tag.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .then(|| tag.to_ascii_lowercase())
}

/// The entity tag that an object store gives what it joined from parts: MD5 of the parts' MD5s, and their
/// number.
pub(crate) fn etag_of_parts(parts: &[[u8; 16]]) -> String {
    let mut md5 = Md5::new();
    for part in parts {
        md5.update(part);
    }
    format!("{}-{}", hex(&md5.finalize()), parts.len())
}

/// The SHA-256 in a `Repr-Digest` header (RFC 9530), if there is one that can be read.
pub(crate) fn sha256_of_repr_digest(header: &str) -> Option<[u8; 32]> {
    header.split(',').rev().find_map(|member| {
        let value = member.trim().strip_prefix("sha-256=:")?;
        let (encoded, _parameters) = value.split_once(':')?;
        STANDARD.decode(encoded).ok()?.try_into().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digests_of_abc_are_the_known_ones() {
        let digests = Digests::of(b"abc");
        assert_eq!(
            digests.sha256_hex(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(digests.md5_base64(), "kAFQmDzST7DWlj99KOF/cg==");
        assert_eq!(digests.len, 3);
    }

    #[test]
    fn a_tag_is_read_with_and_without_quotes() {
        let md5 = "900150983cd24fb0d6963f7d28e17f72";
        assert_eq!(md5_of_etag(&format!("\"{md5}\"")), Some(md5.to_owned()));
        assert_eq!(
            md5_of_etag(&format!(" W/\"{}\"", md5.to_uppercase())),
            Some(md5.to_owned())
        );
        assert_eq!(md5_of_etag(md5), Some(md5.to_owned()));
        assert_eq!(md5_of_etag(&format!("\"{md5}-2\"")), None);
        assert_eq!(md5_of_etag(""), None);
    }

    #[test]
    fn the_tag_of_parts_counts_them() {
        let parts = [Digests::of(b"a").md5, Digests::of(b"b").md5];
        assert_eq!(
            etag_of_parts(&parts),
            format!("{}-2", hex(&Digests::of(&parts.concat()).md5))
        );
    }

    #[test]
    fn a_repr_digest_is_found_among_others() {
        let sha256 = Digests::of(b"abc").sha256;
        let encoded = STANDARD.encode(sha256);
        assert_eq!(
            sha256_of_repr_digest(&format!("sha-256=:{encoded}:")),
            Some(sha256)
        );
        assert_eq!(
            sha256_of_repr_digest(&format!("md5=:AAAA:, sha-256=:{encoded}:;q=1")),
            Some(sha256)
        );
        assert_eq!(sha256_of_repr_digest("sha-256=:AAAA:"), None);
        assert_eq!(sha256_of_repr_digest("sha-512=:AAAA:"), None);
    }
}
