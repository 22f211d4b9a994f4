//! Warm starts: the file system that a step prepared, kept as an image for the next run of the same step.
//!
//! A step that says that it installs dependencies while it runs (`installs_dependencies`) pays for that in
//! every run. After its first success its sandbox is held for a moment, its file system is snapshotted, and
//! the snapshot is the image of the next run with the same [`key`]. The cache is an index on this machine,
//! bounded in number, least recently used first out; the snapshots themselves have a time to live at Modal.
//! One that Modal does not know any more is dropped from the index, and the attempt starts cold.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use moorline_core::attempt::Attempt;
use moorline_core::content_id::ContentId;
use serde::{Deserialize, Serialize};

use crate::executor::ExecutorError;
use crate::local::layout::{self, IfThere};

/// Files that say what a job depends on, wherever they are in its directory.
const MANIFESTS: [&str; 16] = [
    "requirements.txt",
    "requirements.lock",
    "pyproject.toml",
    "setup.py",
    "setup.cfg",
    "uv.lock",
    "poetry.lock",
    "Pipfile.lock",
    "package.json",
    "package-lock.json",
    "pnpm-lock.yaml",
    "yarn.lock",
    "Cargo.lock",
    "go.sum",
    "Gemfile.lock",
    "apt.txt",
];

/// What a prepared file system is good for: this step of this job, on this image, with these dependencies.
pub(super) fn key(attempt: &Attempt, image: &str) -> io::Result<String> {
    let mut manifests = BTreeMap::new();
    find(&attempt.bundle, "", &mut manifests)?;
    let what = serde_json::json!({
        "job": attempt.job_id,
        "step": attempt.step,
        "lane": attempt.lane,
        "image": image,
        "argv": attempt.argv,
        "dependencies": manifests,
    });
    let hash = ContentId::of_json(&what)
        .map_err(io::Error::other)?
        .to_hex();
    // As long as a tag of the sandbox may be.
    Ok(super::handle::warm_tag(&hash))
}

fn find(dir: &Path, prefix: &str, found: &mut BTreeMap<String, String>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type()?;
        if kind.is_dir() {
            find(&entry.path(), &format!("{prefix}{name}/"), found)?;
        } else if MANIFESTS.contains(&name.as_str()) {
            let content = fs::read(entry.path())?;
            found.insert(
                format!("{prefix}{name}"),
                ContentId::of_bytes(&content).to_hex(),
            );
        }
    }
    Ok(())
}

/// One prepared file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    /// `im-…`
    image_id: String,
    used_at: Timestamp,
    expires_at: Timestamp,
}

/// The index of prepared file systems: one file, replaced whole. Two processes that write it at once may
/// lose an entry of each other; then a start is cold that could have been warm.
#[derive(Debug)]
pub(super) struct Index {
    path: PathBuf,
    most: usize,
}

impl Index {
    pub(super) fn new(root: &Path, most: usize) -> Self {
        Self {
            path: root.join("warm.json"),
            most,
        }
    }

    fn read(&self) -> BTreeMap<String, Entry> {
        // One that can not be read is one that has nothing: every start is cold then.
        layout::read(&self.path).ok().flatten().unwrap_or_default()
    }

    fn write(&self, entries: &BTreeMap<String, Entry>) -> Result<(), ExecutorError> {
        layout::publish(&self.path, entries, IfThere::Replace)
            .map(drop)
            .map_err(|error| ExecutorError::io(format!("writing `{}`", self.path.display()), error))
    }

    /// The image for a key, which counts as a use.
    pub(super) fn get(&self, key: &str, now: Timestamp) -> Result<Option<String>, ExecutorError> {
        let mut entries = self.read();
        let Some(entry) = entries.get_mut(key).filter(|entry| entry.expires_at > now) else {
            return Ok(None);
        };
        entry.used_at = now;
        let image = entry.image_id.clone();
        self.write(&entries)?;
        Ok(Some(image))
    }

    /// Adds an image. Gives those that had to go.
    pub(super) fn put(
        &self,
        key: String,
        image_id: String,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<Vec<String>, ExecutorError> {
        let mut entries = self.read();
        let mut gone: Vec<String> = Vec::new();
        let entry = Entry {
            image_id,
            used_at: now,
            expires_at,
        };
        gone.extend(entries.insert(key, entry).map(|old| old.image_id));
        entries.retain(|_, entry| {
            let fresh = entry.expires_at > now;
            gone.extend((!fresh).then(|| entry.image_id.clone()));
            fresh
        });
        while entries.len() > self.most {
            let oldest = entries.iter().min_by_key(|(_, entry)| entry.used_at);
            let Some(key) = oldest.map(|(key, _)| key.clone()) else {
                break;
            };
            gone.extend(entries.remove(&key).map(|entry| entry.image_id));
        }
        self.write(&entries)?;
        Ok(gone)
    }

    /// Forgets an image that is not there any more.
    pub(super) fn invalidate(&self, key: &str) -> Result<(), ExecutorError> {
        let mut entries = self.read();
        match entries.remove(key) {
            Some(_) => self.write(&entries),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modal::tests::attempt;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_key_changes_with_what_the_step_depends_on_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let mut attempt = attempt();
        attempt.bundle = dir.path().to_owned();
        fs::write(dir.path().join("requirements.txt"), "a==1").unwrap();
        let before = key(&attempt, "python@sha256:1").unwrap();
        fs::write(dir.path().join("main.py"), "print()").unwrap();
        attempt.number = 2;
        assert_eq!(key(&attempt, "python@sha256:1").unwrap(), before);
        assert_ne!(key(&attempt, "python@sha256:2").unwrap(), before);
        fs::create_dir(dir.path().join("sub")).unwrap();
        fs::write(dir.path().join("sub/uv.lock"), "").unwrap();
        assert_ne!(key(&attempt, "python@sha256:1").unwrap(), before);
    }

    #[test]
    fn the_entry_used_longest_ago_goes_first() {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::new(dir.path(), 2);
        let put = |key: &str, second| {
            index
                .put(key.to_owned(), format!("im-{key}"), at(second), at(1000))
                .unwrap()
        };
        assert_eq!(put("a", 1), Vec::<String>::new());
        assert_eq!(put("b", 2), Vec::<String>::new());
        assert_eq!(index.get("a", at(3)).unwrap(), Some("im-a".to_owned()));
        assert_eq!(put("c", 4), ["im-b"]);
        assert_eq!(index.get("b", at(5)).unwrap(), None);
        assert_eq!(index.get("a", at(1000)).unwrap(), None, "it has expired");
        index.invalidate("c").unwrap();
        assert_eq!(index.get("c", at(6)).unwrap(), None);
    }
}
