//! The key in the keyring of the user's session: Secret Service over D-Bus, as GNOME Keyring, `KWallet` and
//! `KeePassXC` offer it.
//!
//! The kernel's own keyring (`keyctl`) is not used: it forgets its keys at the next boot, and a forgotten
//! key is a lost file.

use std::thread;

use keyring_core::Error;
use keyring_core::api::CredentialStoreApi as _;
use zbus_secret_service_keyring_store::Store;
use zeroize::Zeroizing;

use crate::backend::BackendError;
use crate::source::Origin;

/// The service under which entries are kept.
const SERVICE: &str = "moorline";

pub(super) fn load(name: &str, origin: &Origin) -> Result<Option<Zeroizing<String>>, BackendError> {
    match apart(name, |entry| entry.get_password()) {
        Ok(text) => Ok(Some(Zeroizing::new(text))),
        Err(Error::NoEntry) => Ok(None),
        Err(error) => Err(refused(name, origin, error)),
    }
}

pub(super) fn store(name: &str, text: &str, origin: &Origin) -> Result<(), BackendError> {
    apart(name, |entry| entry.set_password(text)).map_err(|error| refused(name, origin, error))
}

/// A text of a person in the keyring, such as the token of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyringEntry {
    name: String,
}

/// The keyring did not answer: there is none, or it stays locked.
#[derive(Debug, thiserror::Error)]
#[error("no keyring answers on this machine")]
pub struct NoKeyring(#[source] Error);

impl KeyringEntry {
    /// The entry of a name; nothing is looked up yet.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }

    /// The text; none when there is no such entry.
    ///
    /// # Errors
    /// [`NoKeyring`]
    pub fn load(&self) -> Result<Option<Zeroizing<String>>, NoKeyring> {
        match apart(&self.name, |entry| entry.get_password()) {
            Ok(text) => Ok(Some(Zeroizing::new(text))),
            Err(Error::NoEntry) => Ok(None),
            Err(error) => Err(NoKeyring(error)),
        }
    }

    /// Keeps a text, in the place of the one that is there.
    ///
    /// # Errors
    /// [`NoKeyring`]
    pub fn store(&self, text: &str) -> Result<(), NoKeyring> {
        apart(&self.name, |entry| entry.set_password(text)).map_err(NoKeyring)
    }

    /// Removes it. Removing what is not there succeeds.
    ///
    /// # Errors
    /// [`NoKeyring`]
    pub fn remove(&self) -> Result<(), NoKeyring> {
        match apart(&self.name, |entry| entry.delete_credential()) {
            Ok(()) | Err(Error::NoEntry) => Ok(()),
            Err(error) => Err(NoKeyring(error)),
        }
    }
}

/// Does it on a thread of its own: the client blocks on an executor of its own, which must not be inside
/// the caller's.
fn apart<T: Send>(
    name: &str,
    work: impl FnOnce(keyring_core::Entry) -> keyring_core::Result<T> + Send,
) -> keyring_core::Result<T> {
    let done = thread::scope(|scope| {
        scope
            .spawn(|| {
                let store = Store::new()?;
                work(store.build(SERVICE, name, None)?)
            })
            .join()
    });
    done.unwrap_or_else(|_| {
        let ended = std::io::Error::other("the keyring's client ended early");
        Err(Error::PlatformFailure(Box::new(ended)))
    })
}

fn refused(name: &str, origin: &Origin, error: Error) -> BackendError {
    BackendError::Key {
        origin: origin.clone(),
        problem: format!(
            "its key is the entry `{name}` of the system's keyring, and no keyring answers on this machine"
        ),
        hint:
            "unlock the keyring of your session, or keep the key in a file: set `secrets.key` in \
               moorline.toml to a path (servers have no keyring)"
                .to_owned(),
        source: Some(Box::new(error)),
    }
}
