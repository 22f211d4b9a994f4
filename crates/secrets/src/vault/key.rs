//! The key of an installation: an age identity in a file or in the system's keyring.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use age::secrecy::ExposeSecret as _;
use age::x25519::Identity;
use zeroize::Zeroizing;

use super::file::new_file;
use crate::backend::BackendError;
use crate::error::Refusal as _;
use crate::source::{Origin, private};

/// The most bytes of a key file: an identity and some comments.
const LIMIT: usize = 4 << 10;

/// Where the key of an installation is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyLocation {
    /// A file of mode 600, as `age-keygen` makes one.
    File(PathBuf),
    /// The keyring of the user's session (Secret Service, over D-Bus), under this name.
    Keyring(String),
}

impl KeyLocation {
    /// The key; none where there is none yet.
    pub(super) fn load(&self, origin: &Origin) -> Result<Option<Identity>, BackendError> {
        let text = match self {
            Self::File(path) => read(path, origin)?,
            Self::Keyring(name) => keyring::load(name, origin)?,
        };
        let Some(text) = text else { return Ok(None) };
        let line = text
            .lines()
            .map(str::trim)
            .find(|line| !line.is_empty() && !line.starts_with('#'))
            .unwrap_or_default();
        let identity: Result<Identity, _> = line.parse();
        identity.map(Some).map_err(|problem| BackendError::Key {
            origin: origin.clone(),
            problem: format!("{} holds no age identity: {problem}", self.shown()),
            hint: "put the key back from a backup; without it what is kept can not be read"
                .to_owned(),
            source: None,
        })
    }

    /// Makes a key and keeps it, unless somebody else just did. Called under the writer's lock.
    pub(super) fn create(&self, origin: &Origin) -> Result<Identity, BackendError> {
        let identity = Identity::generate();
        let text = identity.to_string();
        match self {
            Self::File(path) => {
                let recipient = identity.to_public();
                let content = Zeroizing::new(format!(
                    "# The key of this installation's secrets. Whoever has it can read them.\n\
                     # public key: {recipient}\n{}\n",
                    text.expose_secret()
                ));
                write_new(path, content.as_bytes()).map_err(|cause| BackendError::Key {
                    origin: origin.clone(),
                    problem: format!("the key file {} can not be made", path.display()),
                    hint: "give a writable place with `secrets.key` in moorline.toml".to_owned(),
                    source: Some(Box::new(cause)),
                })?;
            }
            Self::Keyring(name) => keyring::store(name, text.expose_secret(), origin)?,
        }
        Ok(identity)
    }

    /// For people.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::File(path) => format!("the key file {}", path.display()),
            Self::Keyring(name) => format!("the keyring entry `{name}`"),
        }
    }
}

fn read(path: &Path, origin: &Origin) -> Result<Option<Zeroizing<String>>, BackendError> {
    let key = Origin::at("key file", path);
    let refused = |problem: String, hint: String, source: Option<Box<dyn Error + Send + Sync>>| {
        BackendError::Key {
            origin: origin.clone(),
            problem,
            hint,
            source,
        }
    };
    let bytes = match private::read(path, &key, LIMIT) {
        Ok(bytes) => bytes,
        Err(error) => {
            let (shown, hint) = (error.to_string(), error.hint());
            return Err(refused(shown, hint, Some(Box::new(error))));
        }
    };
    let Some(bytes) = bytes else { return Ok(None) };
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Some(Zeroizing::new(text.to_owned()))),
        Err(_) => Err(refused(
            format!("{key} is not text"),
            "put the key back from a backup".to_owned(),
            None,
        )),
    }
}

/// Makes a file of mode 600 that is whole from the first moment, and fails if there is one.
fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let directory = directory.unwrap_or_else(|| Path::new("."));
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let draft = PathBuf::from(draft);
    let made = (|| {
        let mut file = new_file(&draft)?;
        file.write_all(content)?;
        file.sync_all()?;
        // A link, unlike a rename, never replaces a key that is there.
        fs::hard_link(&draft, path)?;
        File::open(directory)?.sync_all()
    })();
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound && made.is_ok() => Err(error),
        _ => made,
    }
}

#[cfg(feature = "keyring")]
use super::keyring;

/// Builds without the feature say so.
#[cfg(not(feature = "keyring"))]
mod keyring {
    use zeroize::Zeroizing;

    use crate::backend::BackendError;
    use crate::source::Origin;

    pub(super) fn load(
        name: &str,
        origin: &Origin,
    ) -> Result<Option<Zeroizing<String>>, BackendError> {
        Err(BackendError::Key {
            origin: origin.clone(),
            problem: format!(
                "its key is the keyring entry `{name}`, and this build has no keyring"
            ),
            hint: "build with the feature `keyring`, or keep the key in a file".to_owned(),
            source: None,
        })
    }

    pub(super) fn store(name: &str, _: &str, origin: &Origin) -> Result<(), BackendError> {
        load(name, origin).map(drop)
    }
}
