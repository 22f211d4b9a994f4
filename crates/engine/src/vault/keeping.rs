//! What an engine needs to keep secrets: a back end, the key of the installation, and a lock.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use moorline_api::ApiError;
use moorline_core::config::{SecretBackendKind, Settings};
use moorline_core::error_code::ErrorCode;
use moorline_secrets::backend::SecretBackend;
use moorline_secrets::vault::{EncryptedFile, Fingerprinter, KeyLocation};
use rustix::fs::{FlockOperation, flock};
use tokio::sync::OnceCell;

use super::policy;
use crate::error::io_error;
use crate::secrets::refused;

/// Where an engine keeps the secrets of its lanes.
///
/// The keyed hashes that tell values apart are made with the key of the installation, whatever back end
/// keeps the values.
pub struct Vault {
    backend: Arc<dyn SecretBackend>,
    kind: SecretBackendKind,
    file: EncryptedFile,
    lock: PathBuf,
    hashes: OnceCell<Fingerprinter>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault")
            .field("backend", &self.backend)
            .finish_non_exhaustive()
    }
}

impl Vault {
    /// The encrypted file of a state directory, which keeps lanes apart by itself.
    pub fn file(settings: &Settings, state: &Path) -> Self {
        let file = encrypted_file(settings, state);
        Self::over(Arc::new(file.clone()), SecretBackendKind::File, file, state)
    }

    /// Modal's secrets, where environment and name keep lanes apart.
    ///
    /// # Errors
    /// Settings by which another lane could name a secret of production (D-SEC-7).
    pub fn modal(
        settings: &Settings,
        state: &Path,
        backend: Arc<dyn SecretBackend>,
    ) -> Result<Self, ApiError> {
        policy::check(settings)?;
        let file = encrypted_file(settings, state);
        Ok(Self::over(backend, SecretBackendKind::Modal, file, state))
    }

    fn over(
        backend: Arc<dyn SecretBackend>,
        kind: SecretBackendKind,
        file: EncryptedFile,
        state: &Path,
    ) -> Self {
        Self {
            backend,
            kind,
            file,
            lock: state.join("vault.lock"),
            hashes: OnceCell::new(),
        }
    }

    /// What keeps the values.
    pub(crate) fn backend(&self) -> &Arc<dyn SecretBackend> {
        &self.backend
    }

    /// What it is called in records.
    pub(crate) const fn kind(&self) -> &'static str {
        match self.kind {
            SecretBackendKind::File => "file",
            SecretBackendKind::Modal => "modal",
        }
    }

    /// The keyed hashes of this installation.
    pub(crate) async fn hashes(&self) -> Result<&Fingerprinter, ApiError> {
        self.hashes
            .get_or_try_init(|| async {
                let file = self.file.clone();
                let made = tokio::task::spawn_blocking(move || file.fingerprinter()).await;
                let ended = |error| {
                    ApiError::new(ErrorCode::Internal, "the key could not be loaded").because(error)
                };
                made.map_err(ended)?.map_err(|error| refused(&error))
            })
            .await
    }

    /// Waits until no other process of this installation changes secrets. A change is two writes, to the
    /// back end and to the store; the lock keeps those of one change together.
    pub(crate) async fn alone(&self) -> Result<File, ApiError> {
        let path = self.lock.clone();
        let locked = tokio::task::spawn_blocking(move || {
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)?;
            flock(&file, FlockOperation::LockExclusive)?;
            Ok(file)
        });
        locked
            .await
            .unwrap_or_else(|error| Err(std::io::Error::other(error)))
            .map_err(io_error("lock the secrets of this installation"))
    }
}

/// `secrets.age` of the state directory, with the key that the settings name: `keyring`, `keyring:NAME`, or a
/// path, which is taken from the state directory when it is relative.
fn encrypted_file(settings: &Settings, state: &Path) -> EncryptedFile {
    let key = match settings.secrets.key.as_deref() {
        None => KeyLocation::File(state.join("secrets.key")),
        Some("keyring") => KeyLocation::Keyring(state.display().to_string()),
        Some(key) => match key.strip_prefix("keyring:") {
            Some(name) => KeyLocation::Keyring(name.to_owned()),
            None => KeyLocation::File(state.join(key)),
        },
    };
    EncryptedFile::new(state.join("secrets.age"), key)
}
