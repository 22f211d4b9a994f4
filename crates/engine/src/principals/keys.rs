//! The private keys of the people of this machine, and everybody's public keys.
//!
//! A private key is a file that its owner alone can read (`<kind>-<name>.key`, PKCS #8 in PEM, RFC 8410) in
//! a directory of that person, outside of the state directory: whoever copies the state can check
//! signatures and make none. Its public half is registered in the store when it is first used.
//!
//! Deliberately absent: keys of agents and pipelines. They approve nothing (`D-ART-4`), so they sign nothing.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _};
use moorline_api::ApiError;
use moorline_core::denial::Denial;
use moorline_core::error_code::ErrorCode;
use moorline_core::principal::{Principal, PrincipalChange, PublicKey, RegisteredKey};
use moorline_secrets::{Refusal as _, read_private};
use moorline_store::ChangePrincipal;
use rand::TryRng as _;
use rand::rngs::SysRng;
use zeroize::Zeroizing;

use crate::dirs::private_dir;
use crate::engine::Inner;
use crate::error::store_error;

/// The longest key file that is read; a key has about 120 bytes.
const MOST_BYTES: usize = 4096;

/// Where the private keys of this machine's people are.
#[derive(Debug, Clone)]
pub struct KeyPlace {
    /// The directory of key files.
    pub dir: PathBuf,
    /// One file instead, whoever acts.
    pub file: Option<PathBuf>,
    /// Whether nobody's key is here, as on a server: then nothing is read and nothing is made.
    pub elsewhere: bool,
}

impl KeyPlace {
    /// Key files in this directory.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            file: None,
            elsewhere: false,
        }
    }

    /// No keys: people keep their own, on their own machines, and send what they signed.
    pub fn elsewhere() -> Self {
        Self {
            dir: PathBuf::new(),
            file: None,
            elsewhere: true,
        }
    }

    /// The key file of a principal.
    pub fn of(&self, principal: &Principal) -> PathBuf {
        let name = || format!("{}-{}.key", principal.kind(), principal.name());
        self.file.clone().unwrap_or_else(|| self.dir.join(name()))
    }

    /// The private key of a principal; none when it has none here.
    ///
    /// # Errors
    /// When the file is no key, or others can read it.
    pub fn read(&self, principal: &Principal) -> Result<Option<SigningKey>, ApiError> {
        let path = self.of(principal);
        let refused = |why: String| {
            let message = format!("can not use the key file {}: {why}", path.display());
            ApiError::new(ErrorCode::Config, message)
        };
        let read = read_private("key file", &path, MOST_BYTES);
        let text = read.map_err(|error| {
            refused(error.problem().to_string())
                .hint(error.hint())
                .because(error)
        })?;
        let Some(text) = text else { return Ok(None) };
        let key = SigningKey::from_pkcs8_pem(&text).map_err(|_| {
            refused("it holds no ed25519 key (PKCS #8 in PEM)".to_owned())
                .hint("make one with `moorline principal keygen`")
        })?;
        Ok(Some(key))
    }

    /// The private key of a principal, made if there is none. The second value says that it is new.
    ///
    /// # Errors
    /// As [`KeyPlace::read`]; when the file can not be written; and `D-ART-4` for who is no person.
    pub fn read_or_make(&self, principal: &Principal) -> Result<(SigningKey, bool), ApiError> {
        if !principal.is_human() {
            let message = format!("{principal} can not have a key: only people approve");
            return Err(Denial::new(ErrorCode::Forbidden, "D-ART-4", message).into());
        }
        if self.elsewhere {
            let message = format!("the decision is not signed, and no key of {principal} is here");
            return Err(Denial::new(ErrorCode::Inputs, "D-ART-3", message)
                .hint("decide with `moorline`, which signs with your own key")
                .into());
        }
        if let Some(key) = self.read(principal)? {
            return Ok((key, false));
        }
        let path = self.of(principal);
        let failed = |why: String| {
            let message = format!("can not make the key file {}: {why}", path.display());
            ApiError::new(ErrorCode::Config, message)
                .hint("give another place with MOORLINE_KEY, or XDG_CONFIG_HOME")
        };
        let key = generate().map_err(|error| failed(error.to_string()))?;
        let pem = key
            .to_pkcs8_pem(LineEnding::LF)
            .map_err(|error| failed(error.to_string()))?;
        match write_new(&path, pem.as_bytes()) {
            Ok(()) => Ok((key, true)),
            // Another process made it in the meantime; one key is enough.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                match self.read(principal)? {
                    Some(key) => Ok((key, false)),
                    None => Err(failed(error.to_string())),
                }
            }
            Err(error) => Err(failed(error.to_string())),
        }
    }
}

/// The public half of a key, as it is registered.
pub(crate) fn public(key: &SigningKey) -> PublicKey {
    PublicKey::from(key.verifying_key())
}

fn generate() -> io::Result<SigningKey> {
    let mut seed = Zeroizing::new([0_u8; 32]);
    SysRng
        .try_fill_bytes(seed.as_mut_slice())
        .map_err(io::Error::other)?;
    Ok(SigningKey::from_bytes(&seed))
}

/// Writes a file that only its owner can read, whole or not at all; one that exists stays as it is.
fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or_else(|| Path::new("."));
    private_dir(dir)?;
    let partial = tempfile::Builder::new().prefix(".key-").tempfile_in(dir)?;
    {
        let mut file = OpenOptions::new()
            .write(true)
            .mode(0o600)
            .open(partial.path())?;
        file.write_all(content)?;
        file.sync_all()?;
    }
    // A link, unlike a rename, replaces nothing.
    fs::hard_link(partial.path(), path)?;
    File::open(dir)?.sync_all()
}

impl Inner {
    /// The key that a person of this machine signs with. It is made when there is none, and registered when
    /// it is the person's first one.
    ///
    /// # Errors
    /// * `D-ART-4` for who is no person.
    /// * `D-AUDIT-2` when the person has keys, and none of them is this machine's: whoever could add one by
    ///   using it could sign in anybody's name.
    pub(crate) async fn signing_key(&self, principal: &Principal) -> Result<SigningKey, ApiError> {
        let (key, _) = self.config.keys.read_or_make(principal)?;
        self.known_key(principal, public(&key)).await?;
        Ok(key)
    }

    /// Sees to it that a key is a valid one of a person: registers it when it is the person's first one.
    ///
    /// # Errors
    /// As [`Inner::signing_key`].
    pub(crate) async fn known_key(
        &self,
        principal: &Principal,
        key: PublicKey,
    ) -> Result<(), ApiError> {
        let now = self.now();
        let record = self.store.principal_get(principal).await;
        let record = record.map_err(store_error)?;
        if record.is_some_and(|record| record.valid_keys(now).any(|known| *known == key)) {
            return Ok(());
        }
        let change = ChangePrincipal {
            principal: principal.clone(),
            change: PrincipalChange::FirstKey(key),
            actor: principal.clone(),
            reason: "the first signature of this person".to_owned(),
            seen: None,
            now,
        };
        let changed = self.store.principal_change(change).await;
        changed.map(drop).map_err(store_error)
    }

    /// The keys that a principal signs or signed with, oldest first, each with the time in which it was valid.
    pub(crate) async fn public_keys(
        &self,
        principal: &Principal,
    ) -> Result<Vec<RegisteredKey>, ApiError> {
        let record = self.store.principal_get(principal).await;
        Ok(record
            .map_err(store_error)?
            .map(|record| record.keys)
            .unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    fn ada() -> Principal {
        "human:ada".parse().unwrap()
    }

    #[test]
    fn a_key_is_made_once_and_read_back() {
        let home = tempfile::tempdir().unwrap();
        let place = KeyPlace::new(home.path().join("keys"));
        assert!(place.read(&ada()).unwrap().is_none());
        let (made, new) = place.read_or_make(&ada()).unwrap();
        let (again, made_again) = place.read_or_make(&ada()).unwrap();
        assert!(new && !made_again);
        assert_eq!(made.verifying_key(), again.verifying_key());
        let path = place.of(&ada());
        assert_eq!(path, home.path().join("keys/human-ada.key"));
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("-----BEGIN PRIVATE KEY-----\n"), "PKCS #8");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(
            fs::read_dir(home.path().join("keys")).unwrap().count(),
            1,
            "nothing half-done stays behind"
        );
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let place = KeyPlace::new(home.path());
        place.read_or_make(&ada()).unwrap();
        let path = place.of(&ada());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = place.read(&ada()).unwrap_err();
        assert_eq!(error.code, ErrorCode::Config);
        assert!(error.message.contains("D-SEC-3"), "{}", error.message);
    }

    #[test]
    fn what_is_no_key_is_refused_and_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let place = KeyPlace {
            dir: home.path().to_owned(),
            file: Some(home.path().join("mine")),
            elsewhere: false,
        };
        fs::write(place.of(&ada()), "not a key\n").unwrap();
        fs::set_permissions(place.of(&ada()), fs::Permissions::from_mode(0o600)).unwrap();
        let error = place.read_or_make(&ada()).unwrap_err();
        assert!(error.message.ends_with("no ed25519 key (PKCS #8 in PEM)"));
        assert_eq!(
            fs::read_to_string(home.path().join("mine")).unwrap(),
            "not a key\n"
        );
    }

    #[test]
    fn agents_and_pipelines_get_no_key() {
        let home = tempfile::tempdir().unwrap();
        let place = KeyPlace::new(home.path());
        for who in ["agent:codex", "ci:github", "system:moorline"] {
            let error = place.read_or_make(&who.parse().unwrap()).unwrap_err();
            assert_eq!(error.code, ErrorCode::Forbidden, "{who}");
        }
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    }
}
