//! File contents by their SHA-256, each once: what mounts and volumes of version 1 are made of.

use std::fmt::Write as _;
use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// Contents in `DIR/content/<hash>`; nothing in it is ever changed.
#[derive(Debug)]
pub(crate) struct Content {
    dir: PathBuf,
}

/// Lower case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// A SHA-256 in hexadecimal, lower case.
pub(crate) fn is_sha256(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The SHA-256 of a file.
pub(crate) fn hash_file(path: &Path) -> io::Result<[u8; 32]> {
    let mut hasher = Sha256::new();
    let mut file = File::open(path)?;
    let mut piece = vec![0; 256 << 10];
    loop {
        match file.read(&mut piece)? {
            0 => break,
            read => hasher.update(piece.get(..read).unwrap_or_default()),
        }
    }
    Ok(hasher.finalize().into())
}

impl Content {
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let dir = dir.join("content");
        fs::create_dir_all(&dir)?;
        Ok(Self { dir })
    }

    /// Where the content with this hash is or would be. `sha256` must be one.
    fn path(&self, sha256: &str) -> PathBuf {
        self.dir.join(sha256)
    }

    /// Whether the content is here.
    pub(crate) fn has(&self, sha256: &str) -> bool {
        is_sha256(sha256) && self.path(sha256).exists()
    }

    /// Stores bytes, and tells their hash.
    pub(crate) fn put(&self, bytes: &[u8]) -> io::Result<String> {
        let sha256 = hex(&Sha256::digest(bytes));
        if !self.has(&sha256) {
            let mut part = tempfile::NamedTempFile::new_in(&self.dir)?;
            part.write_all(bytes)?;
            self.keep(part.path(), &sha256)?;
        }
        Ok(sha256)
    }

    /// Takes in a file whose content has this hash, as another name of it.
    pub(crate) fn keep(&self, file: &Path, sha256: &str) -> io::Result<()> {
        fs::set_permissions(file, Permissions::from_mode(0o644))?;
        match fs::hard_link(file, self.path(sha256)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        }
    }

    /// A file with this content and mode that must not be changed: it is shared.
    pub(crate) fn shared(&self, sha256: &str, mode: u32) -> io::Result<PathBuf> {
        let mode = mode & 0o7777;
        let path = self.path(sha256);
        if mode == 0o644 {
            return Ok(path);
        }
        let with_mode = self.dir.join(format!("{sha256}.{mode:o}"));
        if !with_mode.exists() {
            let part = tempfile::NamedTempFile::new_in(&self.dir)?;
            fs::copy(&path, part.path())?;
            fs::set_permissions(part.path(), Permissions::from_mode(mode))?;
            part.persist(&with_mode).map_err(|error| error.error)?;
        }
        Ok(with_mode)
    }

    /// A copy of this content at `target`, which is replaced.
    pub(crate) fn copy_to(&self, sha256: &str, target: &Path) -> io::Result<u64> {
        fs::copy(self.path(sha256), target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_is_kept_once_and_shared_with_every_mode() {
        let dir = tempfile::tempdir().unwrap();
        let content = Content::open(dir.path()).unwrap();
        let sha256 = content.put(b"hello").unwrap();
        assert_eq!(sha256, content.put(b"hello").unwrap());
        assert!(content.has(&sha256) && !content.has(&"0".repeat(64)) && !content.has("../hello"));
        for mode in [0o644, 0o755, 0o600] {
            let file = content.shared(&sha256, mode).unwrap();
            assert_eq!(fs::read(&file).unwrap(), b"hello");
            assert_eq!(
                fs::metadata(&file).unwrap().permissions().mode() & 0o7777,
                mode
            );
        }
        assert_eq!(
            hex(&hash_file(&content.shared(&sha256, 0o755).unwrap()).unwrap()),
            sha256
        );
    }
}
