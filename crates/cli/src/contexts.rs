//! The servers that a person is logged in to: `contexts.toml` in the user's directory, and a token for each.
//!
//! A token is in the keyring of the session where one works, else in a file that only its owner can read
//! (`tokens/NAME`, D-SEC-3); `contexts.toml` says which, and holds nothing that lets anyone in.
//!
//! ```toml
//! current = "acme"
//!
//! [contexts.acme]
//! server = "https://moorline.example.org"
//! project = "acme"
//! token = "file"
//! ```

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use moorline_api::ApiError;
use moorline_api::secrets::SecretInput;
use moorline_core::error_code::ErrorCode;
use moorline_secrets::read_private;
use moorline_secrets::vault::KeyringEntry;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The file of all contexts.
const FILE: &str = "contexts.toml";
/// The directory of token files.
const TOKENS: &str = "tokens";
/// More than any token has.
const LONGEST_TOKEN: usize = 4096;

/// The contexts of a person.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Contexts {
    /// The one that is in use where nothing else is said.
    pub(crate) current: Option<String>,
    /// All, by name.
    pub(crate) contexts: BTreeMap<String, Saved>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Saved {
    /// The address of the server, without a slash at its end.
    pub(crate) server: String,
    /// The project of its token.
    pub(crate) project: Option<String>,
    /// Where its token is.
    pub(crate) token: TokenPlace,
}

/// Where a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TokenPlace {
    /// In the keyring of the person's session.
    Keyring,
    /// In a file of the user's directory.
    File,
}

impl TokenPlace {
    /// The name in JSON and in text.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Keyring => "keyring",
            Self::File => "file",
        }
    }
}

/// The user's directory, as far as contexts are in it.
#[derive(Debug, Clone)]
pub(crate) struct ContextPlace {
    dir: PathBuf,
}

impl ContextPlace {
    /// Contexts in this directory.
    pub(crate) const fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Reads the contexts; there are none without a file.
    pub(crate) fn read(&self) -> Result<Contexts, ApiError> {
        let path = self.dir.join(FILE);
        let refused = |why: String| {
            let message = format!("can not read the contexts {}: {why}", path.display());
            ApiError::new(ErrorCode::Config, message)
                .hint("mend or remove the file; `moorline login URL` makes one")
        };
        match fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text).map_err(|error| refused(error.message().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Contexts::default()),
            Err(error) => Err(refused(error.to_string())),
        }
    }

    /// Writes the contexts: as a whole, or not at all.
    pub(crate) fn write(&self, contexts: &Contexts) -> Result<(), ApiError> {
        let path = self.dir.join(FILE);
        let text = toml::to_string(contexts).map_err(|error| {
            ApiError::new(ErrorCode::Internal, "can not write the contexts as TOML").because(error)
        })?;
        replace(&path, text.as_bytes()).map_err(unwritable(&path))
    }

    /// Keeps a token; gives where.
    pub(crate) fn keep_token(&self, name: &str, token: &str) -> Result<TokenPlace, ApiError> {
        let path = self.token_file(name);
        if entry(name).store(token).is_ok() {
            // One that was kept before there was a keyring.
            drop(fs::remove_file(path));
            return Ok(TokenPlace::Keyring);
        }
        replace(&path, token.as_bytes()).map_err(unwritable(&path))?;
        Ok(TokenPlace::File)
    }

    /// The token of a context.
    pub(crate) fn token(&self, name: &str, saved: &Saved) -> Result<SecretInput, ApiError> {
        let found = match saved.token {
            TokenPlace::Keyring => entry(name).load().map_err(|error| {
                let message =
                    format!("the token of the context `{name}` is in the keyring: {error}");
                ApiError::new(ErrorCode::Unauthenticated, message)
                    .hint("unlock the keyring of your session, or set MOORLINE_TOKEN")
                    .because(error)
            })?,
            TokenPlace::File => self.token_of_file(name)?,
        };
        let token = found.ok_or_else(|| {
            let message = format!("the token of the context `{name}` is gone");
            ApiError::new(ErrorCode::Unauthenticated, message)
                .hint(format!("log in again: `moorline login {}`", saved.server))
        })?;
        Ok(SecretInput::from(token.trim()))
    }

    /// Forgets a token. Forgetting what is gone succeeds.
    pub(crate) fn forget_token(&self, name: &str, place: TokenPlace) -> Result<(), ApiError> {
        let failed = |error: &dyn std::error::Error| {
            let message = format!("the token of the context `{name}` can not be removed: {error}");
            ApiError::new(ErrorCode::Store, message)
                .hint("have it revoked: `moorline tokens revoke`, on the server's machine too")
        };
        match place {
            TokenPlace::Keyring => entry(name).remove().map_err(|error| failed(&error)),
            TokenPlace::File => match fs::remove_file(self.token_file(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&error)),
                _ => Ok(()),
            },
        }
    }

    fn token_of_file(&self, name: &str) -> Result<Option<Zeroizing<String>>, ApiError> {
        let path = self.token_file(name);
        read_private("token file", &path, LONGEST_TOKEN).map_err(|error| {
            let message = format!(
                "can not use the token file {}: {}",
                path.display(),
                error.problem()
            );
            ApiError::new(ErrorCode::Config, message)
                .hint("have the token revoked, and log in with a new one")
                .because(error)
        })
    }

    fn token_file(&self, name: &str) -> PathBuf {
        self.dir.join(TOKENS).join(name)
    }
}

/// A name of a context: what can be a file name and an entry of a keyring alike.
pub(crate) fn check_name(name: &str) -> Result<(), ApiError> {
    let ok = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    if !name.is_empty() && name.len() <= 64 && name.chars().all(ok) && !name.starts_with('.') {
        return Ok(());
    }
    let message = format!(
        "`{}` can not be the name of a context",
        name.escape_default()
    );
    Err(ApiError::new(ErrorCode::Usage, message)
        .hint("use up to 64 letters, digits, `-`, `_` and `.`, for example `--name acme`"))
}

/// The name that an address makes: `moorline.example.org`, `127.0.0.1-7420`.
pub(crate) fn name_of(server: &str) -> String {
    let rest = server.split_once("://").map_or(server, |(_, rest)| rest);
    let place = rest.split('/').next().unwrap_or(rest);
    let kept = |character: char| match character {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '.' => character,
        _ => '-',
    };
    let name: String = place.chars().map(kept).take(64).collect();
    name.trim_matches(['-', '.']).to_owned()
}

/// The project that a token's text names: `mlt_<project>_…`.
pub(crate) fn project_of(token: &str) -> Option<&str> {
    let rest = token.strip_prefix("mlt_")?;
    let (project, _) = rest.split_once('_')?;
    (!project.is_empty()).then_some(project)
}

fn entry(name: &str) -> KeyringEntry {
    KeyringEntry::new(format!("token:{name}"))
}

/// Writes a file that only its owner can read, beside its place first.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or_else(|| Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    // One that was left there may have other permissions.
    match fs::remove_file(&partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&partial)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&partial, path)
}

fn unwritable(path: &Path) -> impl FnOnce(io::Error) -> ApiError {
    let message = format!("can not write {}", path.display());
    move |error| {
        ApiError::new(ErrorCode::Store, message)
            .hint("make the directory writable, or set XDG_CONFIG_HOME to another")
            .because(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_s_text_names_its_project() {
        assert_eq!(project_of("mlt_acme-1_0190_abc_d-e"), Some("acme-1"));
        assert_eq!(project_of("mlt__0190_abc"), None);
        assert_eq!(project_of("abc"), None);
    }

    #[test]
    fn an_address_makes_a_name_that_is_one() {
        for (server, name) in [
            ("https://moorline.example.org", "moorline.example.org"),
            ("http://127.0.0.1:7420", "127.0.0.1-7420"),
            ("http://[::1]:7420/base", "1--7420"),
        ] {
            assert_eq!(name_of(server), name);
            check_name(name).unwrap();
        }
    }

    #[test]
    fn names_that_are_paths_are_refused() {
        for name in ["", "..", "a/b", ".hidden", "a b", "ä"] {
            check_name(name).unwrap_err();
        }
    }
}
