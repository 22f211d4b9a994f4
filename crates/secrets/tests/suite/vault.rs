//! The encrypted file: the contract of back ends, many processes, damage, and nothing in clear.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use moorline_secrets::backend::conformance::{Backends, run_all};
use moorline_secrets::backend::{BackendError, SecretBackend, SecretPlace, SecretValues};
use moorline_secrets::vault::{EncryptedFile, KeyLocation};
use moorline_secrets::{Refusal as _, SecretValue};
use tempfile::TempDir;

struct Files(TempDir);

impl Backends for Files {
    fn open(&self, name: &str) -> Arc<dyn SecretBackend> {
        let directory = self.0.path().join(name);
        fs::create_dir_all(&directory).unwrap();
        Arc::new(file(&directory))
    }
}

fn file(directory: &Path) -> EncryptedFile {
    let key = KeyLocation::File(directory.join("secrets.key"));
    EncryptedFile::new(directory.join("secrets.age"), key)
}

fn place() -> SecretPlace {
    SecretPlace {
        lane: "dev".to_owned(),
        environment: String::new(),
        object: "TOKEN".parse().unwrap(),
    }
}

fn values(value: &str) -> SecretValues {
    [("TOKEN".parse().unwrap(), SecretValue::from(value))].into()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn the_encrypted_file_conforms() {
    let files = Files(tempfile::tempdir().unwrap());
    assert_eq!(run_all(&files).await, [] as [String; 0]);
}

/// L54: neither the file nor what is beside it shows a value; both are their owner's alone.
#[tokio::test]
async fn nothing_is_on_disk_in_clear() {
    let home = tempfile::tempdir().unwrap();
    file(home.path())
        .put(&place(), &values("hunter2-in-clear"))
        .await
        .unwrap();
    let mut names: Vec<String> = Vec::new();
    for entry in fs::read_dir(home.path()).unwrap() {
        let entry = entry.unwrap();
        let bytes = fs::read(entry.path()).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(
            !text.contains("hunter2") && !text.contains("aHVudGVyMi"),
            "{entry:?}"
        );
        assert_eq!(mode(&entry.path()), 0o600, "{entry:?}");
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["secrets.age", "secrets.key", "secrets.lock"]);
}

/// The file is plain age: its key opens it without Moorline.
#[tokio::test]
async fn the_key_file_opens_the_file_by_itself() {
    let home = tempfile::tempdir().unwrap();
    file(home.path())
        .put(&place(), &values("hunter2"))
        .await
        .unwrap();
    let key = fs::read_to_string(home.path().join("secrets.key")).unwrap();
    let identity = key.lines().find(|line| !line.starts_with('#')).unwrap();
    let identity: age::x25519::Identity = identity.parse().unwrap();
    let plain = age::decrypt(
        &identity,
        &fs::read(home.path().join("secrets.age")).unwrap(),
    )
    .unwrap();
    assert_eq!(
        String::from_utf8(plain).unwrap(),
        r#"{"version":1,"lanes":{"dev":{"TOKEN":{"TOKEN":"aHVudGVyMg=="}}}}"#
    );
}

/// A lost key is never replaced by a new one, which would make the file unreadable for good.
#[tokio::test]
async fn a_file_without_its_key_is_left_alone() {
    let home = tempfile::tempdir().unwrap();
    let file = file(home.path());
    file.put(&place(), &values("one")).await.unwrap();
    let (sealed, key) = (
        home.path().join("secrets.age"),
        home.path().join("secrets.key"),
    );
    let before = fs::read(&sealed).unwrap();
    fs::rename(&key, home.path().join("elsewhere")).unwrap();
    for done in [
        file.put(&place(), &values("two")).await,
        file.get(&place()).await.map(drop),
        file.remove(&place(), None).await.map(drop),
    ] {
        let error = done.unwrap_err();
        assert!(matches!(error, BackendError::Key { .. }), "{error:?}");
        assert!(
            error.to_string().ends_with("secrets.key is not there"),
            "{error}"
        );
    }
    assert_eq!(fs::read(&sealed).unwrap(), before);
    assert!(!key.exists());
    fs::rename(home.path().join("elsewhere"), &key).unwrap();
    assert_eq!(file.get(&place()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_key_that_others_can_read_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let file = file(home.path());
    file.put(&place(), &values("one")).await.unwrap();
    let key = home.path().join("secrets.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let error = file.get(&place()).await.unwrap_err();
    assert!(error.to_string().contains("its mode is 640"), "{error}");
    assert_eq!(error.hint(), format!("chmod 600 {}", key.display()));
}

#[tokio::test]
async fn damage_and_a_foreign_key_are_found_and_change_nothing() {
    let (home, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = file(home.path());
    file.put(&place(), &values("one")).await.unwrap();
    self::file(other.path())
        .put(&place(), &values("two"))
        .await
        .unwrap();
    let sealed = home.path().join("secrets.age");
    let intact = fs::read(&sealed).unwrap();
    let mut flipped = intact.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let foreign = fs::read(other.path().join("secrets.age")).unwrap();
    for damaged in [
        flipped,
        foreign,
        intact[..intact.len() - 3].to_vec(),
        b"hunter2".to_vec(),
    ] {
        fs::write(&sealed, &damaged).unwrap();
        let error = file.put(&place(), &values("three")).await.unwrap_err();
        assert!(matches!(error, BackendError::Damaged { .. }), "{error:?}");
        assert!(file.keys(&place()).await.is_err());
        assert_eq!(fs::read(&sealed).unwrap(), damaged, "it was written over");
    }
}

/// A crash between writing and renaming leaves the old file, and the next writer goes on.
#[tokio::test]
async fn what_a_crash_left_is_replaced() {
    let home = tempfile::tempdir().unwrap();
    let file = file(home.path());
    file.put(&place(), &values("one")).await.unwrap();
    fs::write(home.path().join("secrets.age.new"), b"half of it").unwrap();
    fs::write(home.path().join("secrets.key.new"), b"half of it").unwrap();
    file.put(&place(), &values("two")).await.unwrap();
    let found = file.get(&place()).await.unwrap();
    assert_eq!(found.values().next().unwrap().expose(), "two");
    assert!(!home.path().join("secrets.age.new").exists());
}

/// Where no keyring answers, the error says so and how to do without.
#[cfg(feature = "keyring")]
#[tokio::test]
async fn without_a_keyring_the_error_says_how_to_use_a_file() {
    let home = tempfile::tempdir().unwrap();
    let key = KeyLocation::Keyring("moorline-test-without-a-keyring".to_owned());
    let file = EncryptedFile::new(home.path().join("secrets.age"), key);
    let Err(error) = file.put(&place(), &values("one")).await else {
        // A developer's own session may have one, and then it is used.
        return;
    };
    assert!(
        error
            .to_string()
            .contains("no keyring answers on this machine"),
        "{error}"
    );
    assert!(error.hint().contains("secrets.key"), "{}", error.hint());
    assert!(!home.path().join("secrets.age").exists());
}
