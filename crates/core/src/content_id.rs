//! Content ids: what a thing is called when its name is what it holds (`D-PROC-2`, `D-SPEC-5`).
//!
//! A [`ContentId`] is `b3:` and the 64 lower-case hex digits of a BLAKE3 hash. There are three ways to one,
//! none of which depends on the machine, the process or the time:
//!
//! | of | by |
//! |---|---|
//! | bytes | [`ContentId::of_bytes`], [`ContentId::of_reader`], or piecewise by a [`ContentHasher`] |
//! | a value | [`ContentId::of_json`]: the bytes of its canonical JSON |
//! | a directory | [`ContentId::of_tree`]: paths, kinds, executable bits and contents; no times, no owners |
//!
//! Deliberately absent: walking a directory. The crate does no I/O; who walks hands in the entries.
//!
//! ```
//! use moorline_core::content_id::ContentId;
//!
//! let spec = serde_json::json!({"version": 1, "job": "statement"});
//! let same = serde_json::json!({"job": "statement", "version": 1.0});
//! assert_eq!(ContentId::of_json(&spec)?, ContentId::of_json(&same)?);
//! # Ok::<(), moorline_core::canonical::CanonicalError>(())
//! ```

mod tree;

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use serde::Serialize;

use crate::canonical::{self, CanonicalError};
use crate::error_code::ErrorCode;
use crate::text::{quoted, serde_as_text};

pub use tree::{TreeEntry, TreeError, TreeNode};

/// A BLAKE3 content id, written `b3:` and 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentId([u8; 32]);

serde_as_text!(
    ContentId,
    "^b3:[0-9a-f]{64}$",
    "Content id: `b3:` and the BLAKE3 hash in hex"
);

impl ContentId {
    /// The id of some bytes.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The id of everything that a reader gives, in constant memory.
    ///
    /// # Errors
    /// What the reader fails with.
    pub fn of_reader(reader: impl Read) -> io::Result<Self> {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(reader)?;
        Ok(Self(*hasher.finalize().as_bytes()))
    }

    /// The id of a value: of its canonical JSON, see [`canonical::to_string`].
    ///
    /// # Errors
    /// [`CanonicalError`] when the value has no canonical form.
    pub fn of_json<T: Serialize + ?Sized>(value: &T) -> Result<Self, CanonicalError> {
        canonical::to_string(value).map(|text| Self::of_bytes(text.as_bytes()))
    }

    /// The hash itself.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The hash as 64 hex digits, without `b3:`; for file names.
    pub fn to_hex(self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }
}

impl fmt::Display for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b3:{}", blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentId({self})")
    }
}

impl FromStr for ContentId {
    type Err = ContentIdError;

    fn from_str(text: &str) -> Result<Self, ContentIdError> {
        let refuse = || ContentIdError(text.to_owned());
        let hex = text
            .strip_prefix("b3:")
            .filter(|hex| is_lower_hex_64(hex))
            .ok_or_else(refuse)?;
        let hash = blake3::Hash::from_hex(hex).map_err(|_| refuse())?;
        Ok(Self(*hash.as_bytes()))
    }
}

/// 64 lower-case hex digits: the text of a 256-bit hash.
pub(crate) fn is_lower_hex_64(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The text is not a content id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is not a content id: write `b3:` and 64 lower-case hex digits", quoted(.0))]
pub struct ContentIdError(String);

impl ContentIdError {
    /// The code of this error.
    pub const CODE: ErrorCode = ErrorCode::Inputs;
}

/// Makes a [`ContentId`] of bytes that come in pieces.
#[derive(Debug, Clone, Default)]
pub struct ContentHasher(blake3::Hasher);

impl ContentHasher {
    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The id of all bytes so far.
    pub fn finish(&self) -> ContentId {
        ContentId(*self.0.finalize().as_bytes())
    }

    /// Adds bytes behind their length.
    fn framed(&mut self, bytes: &[u8]) {
        self.update(&(bytes.len() as u64).to_le_bytes());
        self.update(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The input of BLAKE3's published vectors: 0, 1, ... 250, and again.
    fn vector_input(length: usize) -> Vec<u8> {
        (0..=250).cycle().take(length).collect()
    }

    /// L11: BLAKE3 known answers, whole, streamed and in pieces.
    #[test]
    fn known_answers_of_blake3() {
        for (length, hex) in [
            (
                0,
                "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
            ),
            (
                1,
                "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213",
            ),
            (
                1024,
                "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7",
            ),
            (
                1025,
                "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444",
            ),
            (
                8192,
                "aae792484c8efe4f19e2ca7d371d8c467ffb10748d8a5a1ae579948f718a2a63",
            ),
            (
                102_400,
                "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085",
            ),
        ] {
            let input = vector_input(length);
            let expected = format!("b3:{hex}");
            assert_eq!(
                ContentId::of_bytes(&input).to_string(),
                expected,
                "{length}"
            );
            assert_eq!(
                ContentId::of_reader(&*input).unwrap().to_string(),
                expected,
                "{length}"
            );
            let mut pieces = ContentHasher::default();
            input.chunks(1000).for_each(|piece| pieces.update(piece));
            assert_eq!(pieces.finish().to_string(), expected, "{length}");
        }
    }

    #[test]
    fn text_round_trips_and_nothing_else_is_read() {
        let id = ContentId::of_bytes(b"abc");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string(), format!("b3:{}", id.to_hex()));
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(serde_json::from_str::<ContentId>(&json).unwrap(), id);
        let hex = id.to_hex();
        for text in [
            String::new(),
            hex.clone(),
            format!("b3:{}", hex.to_uppercase()),
            format!("B3:{hex}"),
            format!("b3:{hex}0"),
            format!("b3:{hex} "),
            format!("sha256:{hex}"),
            "b3:pending".to_owned(),
        ] {
            assert_eq!(text.parse::<ContentId>(), Err(ContentIdError(text.clone())));
        }
    }

    #[test]
    fn a_reader_that_fails_gives_its_error() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("disk gone"))
            }
        }
        assert_eq!(
            ContentId::of_reader(Broken).unwrap_err().to_string(),
            "disk gone"
        );
    }
}
