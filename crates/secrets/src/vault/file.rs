//! The encrypted file itself.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::iter;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use age::secrecy::ExposeSecret as _;
use age::x25519::Identity;
use age::{Decryptor, Encryptor};
use async_trait::async_trait;
use rustix::fs::{FlockOperation, flock};
use zeroize::Zeroizing;

use super::document::Document;
use super::fingerprint::Fingerprinter;
use super::key::KeyLocation;
use crate::backend::{BackendError, KeptObject, SecretBackend, SecretPlace, SecretValues};
use crate::name::EnvKey;
use crate::source::{Origin, private};

/// The most bytes of the file: far more than all secrets of an installation take.
const LIMIT: usize = 16 << 20;

/// Every secret of every lane of an installation, in one encrypted file.
///
/// Making the value does nothing; the key is made at the first `put`. See [the module](super) for format
/// and guarantees. The methods of [`SecretBackend`] need a tokio runtime, on whose blocking threads they work.
///
/// ```
/// use moorline_secrets::backend::{SecretBackend as _, SecretPlace};
/// use moorline_secrets::vault::{EncryptedFile, KeyLocation};
/// use moorline_secrets::SecretValue;
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// # runtime.block_on(async {
/// let directory = tempfile::tempdir()?;
/// let key = KeyLocation::File(directory.path().join("secrets.key"));
/// let file = EncryptedFile::new(directory.path().join("secrets.age"), key);
/// let place = SecretPlace {
///     lane: "dev".to_owned(),
///     environment: String::new(),
///     object: "OPENAI_API_KEY".parse()?,
/// };
/// let values = [("OPENAI_API_KEY".parse()?, SecretValue::from("hunter2"))].into();
/// file.put(&place, &values).await?;
/// assert_eq!(file.keys(&place).await?.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct EncryptedFile {
    path: PathBuf,
    key: KeyLocation,
}

impl EncryptedFile {
    /// The file at `path`, which its key opens. Nothing is read or made.
    pub fn new(path: impl Into<PathBuf>, key: KeyLocation) -> Self {
        let path = path.into();
        Self { path, key }
    }

    /// The hashes that belong to the key of this installation, which is made if there is none yet.
    ///
    /// Blocks on the disk, and where the key is in a keyring on that.
    ///
    /// # Errors
    /// [`BackendError::Key`].
    pub fn fingerprinter(&self) -> Result<Fingerprinter, BackendError> {
        let identity = if let Some(identity) = self.key.load(&self.origin())? {
            identity
        } else {
            let _lock = self.lock()?;
            self.identity_for_writing()?
        };
        Ok(Fingerprinter::derive(
            identity.to_string().expose_secret().as_bytes(),
        ))
    }

    /// Everything that is kept; an empty document when there is no file.
    fn read(&self) -> Result<Document, BackendError> {
        let Some(sealed) = self.sealed()? else {
            return Ok(Document::default());
        };
        let Some(identity) = self.key.load(&self.origin())? else {
            return Err(self.without_key());
        };
        self.open(&identity, &sealed)
    }

    /// Changes what is kept, alone among all processes. `change` says whether it changed anything.
    fn update(&self, change: impl FnOnce(&mut Document) -> bool) -> Result<bool, BackendError> {
        let _lock = self.lock()?;
        let identity = self.identity_for_writing()?;
        let mut document = match self.sealed()? {
            Some(sealed) => self.open(&identity, &sealed)?,
            None => Document::default(),
        };
        if !change(&mut document) {
            return Ok(false);
        }
        let plain = document
            .to_bytes()
            .map_err(|error| self.unavailable("write it", error.into()))?;
        let sealed =
            seal(&identity, &plain).map_err(|error| self.unavailable("encrypt it", error))?;
        self.replace(&sealed)
            .map_err(|error| self.unavailable("write it", error))?;
        Ok(true)
    }

    /// The key, made where there is none; under the lock. A file without its key stays as it is.
    fn identity_for_writing(&self) -> Result<Identity, BackendError> {
        let origin = self.origin();
        if let Some(identity) = self.key.load(&origin)? {
            return Ok(identity);
        }
        if self.path.exists() {
            return Err(self.without_key());
        }
        self.key.create(&origin)
    }

    fn without_key(&self) -> BackendError {
        BackendError::Key {
            origin: self.origin(),
            problem: format!("{} is not there", self.key.shown()),
            hint: "put the key back from a backup, or point `secrets.key` in moorline.toml to it; without it \
                   what is kept can not be read"
                .to_owned(),
            source: None,
        }
    }

    fn sealed(&self) -> Result<Option<Zeroizing<Vec<u8>>>, BackendError> {
        private::read(&self.path, &self.origin(), LIMIT).map_err(|error| BackendError::Damaged {
            origin: self.origin(),
            problem: error.problem().to_string(),
            source: Some(Box::new(error)),
        })
    }

    fn open(&self, identity: &Identity, sealed: &[u8]) -> Result<Document, BackendError> {
        let damaged = |problem: &str, source: Box<dyn std::error::Error + Send + Sync>| {
            BackendError::Damaged {
                origin: self.origin(),
                problem: problem.to_owned(),
                source: Some(source),
            }
        };
        let plain = unseal(identity, sealed).map_err(|error| {
            damaged(
                "it was damaged, or encrypted to another key",
                Box::new(error),
            )
        })?;
        Document::parse(&plain)
            .map_err(|error| damaged("what it holds is not understood", Box::new(error)))
    }

    /// Waits until no other process changes the file.
    fn lock(&self) -> Result<File, BackendError> {
        let lock = || {
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(self.path.with_extension("lock"))?;
            flock(&file, FlockOperation::LockExclusive)?;
            Ok(file)
        };
        lock().map_err(|error| self.unavailable("lock it", error))
    }

    /// Puts new content in place at once, on the disk when this returns.
    fn replace(&self, sealed: &[u8]) -> io::Result<()> {
        let mut draft = self.path.as_os_str().to_owned();
        draft.push(".new");
        let mut file = new_file(Path::new(&draft))?;
        file.write_all(sealed)?;
        file.sync_all()?;
        std::fs::rename(&draft, &self.path)?;
        let directory = self.path.parent().filter(|dir| !dir.as_os_str().is_empty());
        File::open(directory.unwrap_or_else(|| Path::new(".")))?.sync_all()
    }

    fn unavailable(&self, doing: &str, error: io::Error) -> BackendError {
        BackendError::unavailable(self.origin(), doing, error)
    }

    /// Does blocking work on the runtime's threads for that.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, BackendError> + Send + 'static,
    ) -> Result<T, BackendError> {
        let this = self.clone();
        match tokio::task::spawn_blocking(move || work(&this)).await {
            Ok(done) => done,
            Err(error) => Err(self.unavailable("finish", io::Error::other(error))),
        }
    }
}

/// A file of mode 600 that nobody has open: what a crash left under that name goes first.
pub(super) fn new_file(path: &Path) -> io::Result<File> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Encrypts; the file key is new each time.
fn seal(identity: &Identity, plain: &[u8]) -> io::Result<Vec<u8>> {
    let recipient = identity.to_public();
    let recipients: &dyn age::Recipient = &recipient;
    let encryptor = Encryptor::with_recipients(iter::once(recipients)).map_err(io::Error::other)?;
    let mut sealed = Vec::new();
    let mut writer = encryptor
        .wrap_output(&mut sealed)
        .map_err(io::Error::other)?;
    writer.write_all(plain)?;
    writer.finish()?;
    Ok(sealed)
}

fn unseal(identity: &Identity, sealed: &[u8]) -> io::Result<Zeroizing<Vec<u8>>> {
    let identities: &dyn age::Identity = identity;
    let decryptor = Decryptor::new_buffered(sealed).map_err(io::Error::other)?;
    let mut reader = decryptor
        .decrypt(iter::once(identities))
        .map_err(io::Error::other)?;
    // Shorter than what it comes from, with room to see the end: the buffer never moves.
    let mut plain = Zeroizing::new(Vec::with_capacity(sealed.len()));
    reader.read_to_end(&mut plain)?;
    Ok(plain)
}

#[async_trait]
impl SecretBackend for EncryptedFile {
    fn origin(&self) -> Origin {
        Origin::at("encrypted file", &self.path)
    }

    fn is_readable(&self) -> bool {
        true
    }

    async fn put(&self, place: &SecretPlace, values: &SecretValues) -> Result<(), BackendError> {
        let (place, values) = (place.clone(), values.clone());
        self.blocking(move |file| {
            file.update(|document| {
                let objects = document.lanes.entry(place.lane).or_default();
                objects.entry(place.object).or_default().extend(values);
                true
            })
        })
        .await
        .map(drop)
    }

    async fn keys(&self, place: &SecretPlace) -> Result<BTreeSet<EnvKey>, BackendError> {
        Ok(self.get(place).await?.into_keys().collect())
    }

    async fn get(&self, place: &SecretPlace) -> Result<SecretValues, BackendError> {
        let place = place.clone();
        self.blocking(move |file| {
            let mut document = file.read()?;
            let objects = document.lanes.get_mut(&place.lane);
            Ok(objects
                .and_then(|objects| objects.remove(&place.object))
                .unwrap_or_default())
        })
        .await
    }

    async fn list(&self, lane: &str, _: &str) -> Result<Vec<KeptObject>, BackendError> {
        let lane = lane.to_owned();
        self.blocking(move |file| {
            let objects = file.read()?.lanes.remove(&lane).unwrap_or_default();
            Ok(objects
                .into_iter()
                .map(|(object, values)| KeptObject {
                    object,
                    keys: values.into_keys().collect(),
                })
                .collect())
        })
        .await
    }

    async fn remove(
        &self,
        place: &SecretPlace,
        keys: Option<&BTreeSet<EnvKey>>,
    ) -> Result<bool, BackendError> {
        let (place, keys) = (place.clone(), keys.cloned());
        self.blocking(move |file| {
            // Nothing is made for a removal: without a file there is nothing to remove.
            if file.sealed()?.is_none() {
                return Ok(false);
            }
            file.update(|document| {
                let Some(objects) = document.lanes.get_mut(&place.lane) else {
                    return false;
                };
                let Some(values) = objects.get_mut(&place.object) else {
                    return false;
                };
                let before = values.len();
                match &keys {
                    Some(keys) => values.retain(|key, _| !keys.contains(key)),
                    None => values.clear(),
                }
                let changed = values.len() < before;
                if values.is_empty() {
                    objects.remove(&place.object);
                }
                document.lanes.retain(|_, objects| !objects.is_empty());
                changed
            })
        })
        .await
    }
}
