//! Container images and the one digest rule (L05): `@sha256:` and 64 lower-case hex digits.
//!
//! A tag can be moved to another image; a digest can not. So an image counts as pinned exactly when it has
//! an [`ImageDigest`], with or without a tag beside it, and there is no second way to say so.
//!
//! Deliberately absent: registries. Whether the image exists is for whoever pulls it to find out.
//!
//! ```
//! use moorline_core::image::ImageRef;
//!
//! let image: ImageRef = "ghcr.io/acme/litellm:1.4".parse()?;
//! assert!(!image.is_pinned());
//! assert!(image.require_pinned().is_err());
//! # Ok::<(), moorline_core::image::ImageError>(())
//! ```

use std::fmt;
use std::str::FromStr;

use crate::content_id::is_lower_hex_64;
use crate::error_code::ErrorCode;
use crate::text::{quoted, serde_as_text};

/// The digest of an image: `sha256:` and 64 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageDigest(String);

serde_as_text!(
    ImageDigest,
    "^sha256:[0-9a-f]{64}$",
    "Image digest: `sha256:` and 64 lower-case hex digits"
);

impl ImageDigest {
    /// The text, starting with `sha256:`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ImageDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for ImageDigest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        match text.strip_prefix("sha256:") {
            Some(hex) if is_lower_hex_64(hex) => Ok(Self(text.to_owned())),
            _ => Err(DigestError(text.to_owned())),
        }
    }
}

/// The text is not an image digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is not an image digest: write `sha256:` and 64 lower-case hex digits", quoted(.0))]
pub struct DigestError(String);

impl DigestError {
    /// The code of this error.
    pub const CODE: ErrorCode = ErrorCode::ImageUnpinned;
}

/// An image: `[registry/]repository[:tag][@digest]`, by the grammar of OCI distribution references.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageRef {
    repository: String,
    tag: Option<String>,
    digest: Option<ImageDigest>,
}

serde_as_text!(
    ImageRef,
    "^[A-Za-z0-9][A-Za-z0-9._:/-]*(@sha256:[0-9a-f]{64})?$",
    "Container image `repository[:tag][@sha256:digest]`; pinned when it has a digest"
);

impl ImageRef {
    /// Registry and repository, such as `ghcr.io/acme/litellm`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, if one is given.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if one is given.
    pub const fn digest(&self) -> Option<&ImageDigest> {
        self.digest.as_ref()
    }

    /// Whether the image can be no other than the one that was reviewed.
    pub const fn is_pinned(&self) -> bool {
        self.digest.is_some()
    }

    /// The digest that lanes such as `prod` demand (`D-SPEC-3`).
    ///
    /// # Errors
    /// [`Unpinned`] when there is none.
    pub fn require_pinned(&self) -> Result<&ImageDigest, Unpinned> {
        self.digest.as_ref().ok_or_else(|| Unpinned {
            image: self.clone(),
        })
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for ImageRef {
    type Err = ImageError;

    fn from_str(text: &str) -> Result<Self, ImageError> {
        let refuse = |part| ImageError::Part {
            text: text.to_owned(),
            part,
        };
        let (named, digest) = match text.split_once('@') {
            Some((named, digest)) => (named, Some(digest)),
            None => (text, None),
        };
        // A colon before the last slash is that of a registry's port.
        let (repository, tag) = match named.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
            _ => (named, None),
        };
        if !is_repository(repository) {
            return Err(refuse("repository"));
        }
        if !tag.is_none_or(is_tag) {
            return Err(refuse("tag"));
        }
        let digest = digest
            .map(str::parse)
            .transpose()
            .map_err(|source| ImageError::Digest {
                text: text.to_owned(),
                source,
            })?;
        Ok(Self {
            repository: repository.to_owned(),
            tag: tag.map(str::to_owned),
            digest,
        })
    }
}

/// Path components, of which the first may be a registry's host; at most 255 characters.
fn is_repository(text: &str) -> bool {
    let Some((first, rest)) = text.split_once('/') else {
        return text.len() <= 255 && is_component(text);
    };
    text.len() <= 255
        && (is_host(first) || is_component(first))
        && rest.split('/').all(is_component)
}

/// A host that can be told from a path component: it has a dot, a port, or is `localhost`.
fn is_host(text: &str) -> bool {
    let (name, port) = match text.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (text, None),
    };
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    (name.contains('.') || port.is_some() || name == "localhost")
        && name.split('.').all(label)
        && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let separators = text.split(|c: char| c.is_ascii() && word(c as u8));
    text.bytes().next().is_some_and(word)
        && text.bytes().last().is_some_and(word)
        && separators
            .into_iter()
            .all(|run| matches!(run, "" | "." | "_" | "__") || run.bytes().all(|b| b == b'-'))
}

/// `[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}`
fn is_tag(text: &str) -> bool {
    text.len() <= 128
        && !text.is_empty()
        && !text.starts_with(['.', '-'])
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

/// The text is not an image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// The repository or the tag is not valid.
    #[error(
        "{} is not a container image: its {part} is not valid; \
         write `registry/repository:tag@sha256:...`",
        quoted(.text)
    )]
    Part {
        /// The text.
        text: String,
        /// `repository` or `tag`.
        part: &'static str,
    },
    /// What stands after the `@` is not a digest.
    #[error("{} is not pinned by a digest", quoted(.text))]
    Digest {
        /// The text.
        text: String,
        /// What is wrong with the digest.
        source: DigestError,
    },
}

impl ImageError {
    /// The code of this error.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Part { .. } => ErrorCode::Config,
            Self::Digest { .. } => DigestError::CODE,
        }
    }
}

/// An image that must be pinned is not (`D-SPEC-3`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "image `{image}` is not pinned (D-SPEC-3): add `@sha256:` and the 64 hex digits of its digest"
)]
pub struct Unpinned {
    image: ImageRef,
}

impl Unpinned {
    /// The code of this error.
    pub const CODE: ErrorCode = ErrorCode::ImageUnpinned;
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn image(text: &str) -> ImageRef {
        text.parse().unwrap()
    }

    #[test]
    fn images_are_read_by_their_parts() {
        for (text, repository, tag) in [
            ("alpine", "alpine", None),
            ("alpine:3.20", "alpine", Some("3.20")),
            ("acme/a.b_c__d---e:_x", "acme/a.b_c__d---e", Some("_x")),
            ("localhost:5000/x", "localhost:5000/x", None),
            ("localhost:5000/x:1", "localhost:5000/x", Some("1")),
            ("GHCR.io/acme/x", "GHCR.io/acme/x", None),
        ] {
            let read = image(text);
            assert_eq!(
                (read.repository(), read.tag(), read.digest()),
                (repository, tag, None)
            );
            assert_eq!(read.to_string(), text);
            let pinned = image(&format!("{text}@sha256:{HEX}"));
            assert_eq!((pinned.repository(), pinned.tag()), (repository, tag));
            assert_eq!(pinned.digest().unwrap().as_str(), format!("sha256:{HEX}"));
            assert_eq!(
                serde_json::from_value::<ImageRef>(pinned.to_string().into()).unwrap(),
                pinned
            );
        }
    }

    #[test]
    fn what_no_registry_would_take_is_refused() {
        for text in [
            "",
            "Alpine",
            "a b",
            " a",
            "a\n",
            "a//b",
            "/a",
            "a/",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a._b",
            "host:port/x",
            "host:99999/x",
            "-h.io/x",
            "a:",
            "a:-x",
            "a:b:c",
            "x/y:z/w",
            "é",
            "https://a/b",
            &format!("a:{}", "x".repeat(129)),
            &"a".repeat(256),
        ] {
            let error = text.parse::<ImageRef>().unwrap_err();
            assert_eq!(error.code(), ErrorCode::Config, "{text}");
        }
    }

    /// L05: one digest rule: 64 lower-case hex digits after `@sha256:`, and nothing else.
    #[test]
    fn only_64_lower_case_hex_digits_pin_an_image() {
        for digest in [
            "pending".to_owned(),
            "sha256:pending".to_owned(),
            "sha256:0123456789".to_owned(),
            format!("sha256:{}", HEX.to_uppercase()),
            format!("SHA256:{HEX}"),
            format!("sha512:{HEX}"),
            format!("sha256:{HEX}0"),
            format!("sha256:{HEX}@sha256:{HEX}"),
            format!("sha256:{HEX}\n"),
            HEX.to_owned(),
            String::new(),
        ] {
            assert_eq!(
                digest.parse::<ImageDigest>(),
                Err(DigestError(digest.clone()))
            );
            let error = format!("acme/x@{digest}").parse::<ImageRef>().unwrap_err();
            assert_eq!(error.code(), ErrorCode::ImageUnpinned, "{digest}");
        }
        assert!(image(&format!("acme/x@sha256:{HEX}")).is_pinned());
        assert!(
            image(&format!("acme/x:1@sha256:{HEX}"))
                .require_pinned()
                .is_ok()
        );
        assert_eq!(
            image("acme/x:latest")
                .require_pinned()
                .unwrap_err()
                .to_string(),
            "image `acme/x:latest` is not pinned (D-SPEC-3): add `@sha256:` and the 64 hex digits of \
             its digest"
        );
    }
}
