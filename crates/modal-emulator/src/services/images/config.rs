//! What an image says about how it is run, and the names of images in registries.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::dockerfile::Command;

/// The variables and defaults that a Dockerfile sets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Config {
    pub(super) env: BTreeMap<String, String>,
    /// Absolute.
    pub(super) workdir: Option<String>,
    /// Recorded only: processes run as the container's root.
    pub(super) user: Option<String>,
    pub(super) cmd: Vec<String>,
    pub(super) entrypoint: Vec<String>,
    /// Program and arguments before a command in the shell form.
    pub(super) shell: Option<Vec<String>>,
}

impl Config {
    /// A command as a program and its arguments.
    pub(super) fn argv(&self, command: &Command) -> Vec<String> {
        match command {
            Command::Exec(argv) => argv.clone(),
            Command::Shell(text) => {
                let default = || ["/bin/sh", "-c"].map(str::to_owned).into();
                let mut argv = self.shell.clone().unwrap_or_else(default);
                argv.push(text.clone());
                argv
            }
        }
    }

    /// A directory, absolute or below the current one.
    pub(super) fn below(&self, dir: &str) -> String {
        if dir.starts_with('/') {
            return dir.to_owned();
        }
        let current = self.workdir.as_deref().unwrap_or("/");
        format!("{}/{dir}", current.trim_end_matches('/'))
    }
}

/// An image of a registry, by name, tag and digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reference {
    /// Registry and repository.
    pub(super) name: String,
    pub(super) tag: Option<String>,
    /// `sha256:` and 64 digits.
    pub(super) digest: Option<String>,
}

impl Reference {
    /// Reads `[registry[:port]/]repository[:tag][@sha256:digest]`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| Err(format!("`{text}` is no reference of an image: {why}"));
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        if digest.is_some_and(|digest| {
            !digest
                .strip_prefix("sha256:")
                .is_some_and(crate::services::content::is_sha256)
        }) {
            return wrong("a digest is `sha256:` and 64 hexadecimal digits");
        }
        // A colon before the last slash is that of a port.
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        let is_tag = |tag: &str| {
            let plain =
                |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
            (1..=128).contains(&tag.len()) && tag.bytes().all(plain) && !tag.starts_with(['.', '-'])
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return wrong("a tag is of letters, digits, `_`, `-` and `.`");
        }
        let path = match name.split_once('/') {
            Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => path,
            _ => name,
        };
        let plain = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-' | b'.')
        };
        let is_part = |part: &str| !part.is_empty() && part.bytes().all(plain);
        if !path.split('/').all(is_part) {
            return wrong("a repository is of lower case letters, digits, `_`, `-`, `.` and `/`");
        }
        Ok(Self {
            name: name.to_owned(),
            tag: tag.map(str::to_owned),
            digest: digest.map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_as_registries_write_them() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let reference = |name: &str, tag: Option<&str>, digest: Option<&String>| Reference {
            name: name.to_owned(),
            tag: tag.map(str::to_owned),
            digest: digest.cloned(),
        };
        let cases = [
            (
                "python:3.11-slim".to_owned(),
                reference("python", Some("3.11-slim"), None),
            ),
            (
                format!("alpine@{digest}"),
                reference("alpine", None, Some(&digest)),
            ),
            (
                format!("ghcr.io/a/b:v1@{digest}"),
                reference("ghcr.io/a/b", Some("v1"), Some(&digest)),
            ),
            (
                "localhost:5000/x".to_owned(),
                reference("localhost:5000/x", None, None),
            ),
            ("scratch".to_owned(), reference("scratch", None, None)),
        ];
        for (text, expected) in cases {
            assert_eq!(Reference::parse(&text), Ok(expected), "{text}");
        }
        for wrong in ["", "UPPER", "a b", "a:", "a@sha256:1", "a//b", "a:.x"] {
            assert!(Reference::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn commands_and_directories_follow_shell_and_workdir() {
        let mut config = Config::default();
        let shell = Command::Shell("a b".to_owned());
        assert_eq!(config.argv(&shell), ["/bin/sh", "-c", "a b"]);
        config.shell = Some(vec!["bash".into(), "-ec".into()]);
        assert_eq!(config.argv(&shell), ["bash", "-ec", "a b"]);
        assert_eq!(config.argv(&Command::Exec(vec!["a".into()])), ["a"]);
        assert_eq!(config.below("x"), "/x");
        config.workdir = Some("/a/".into());
        assert_eq!(
            (config.below("x"), config.below("/x")),
            ("/a/x".to_owned(), "/x".to_owned())
        );
    }
}
