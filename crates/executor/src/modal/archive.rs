//! What is kept on this machine of attempts that are over: a directory each, in the layout of the local
//! executor's.
//!
//! | file | what |
//! |---|---|
//! | `handle.json` | the handle and the owner |
//! | `record.json` | the outcome and the list of outputs |
//! | `log` | the log, frame by frame |
//! | `out/` | the output files |
//!
//! An archive appears whole or not at all: it is filled under another name and renamed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use moorline_core::attempt::Handle;
use moorline_core::ids::AttemptId;
use serde::{Deserialize, Serialize};

use crate::executor::{CollectedFile, ExecutorError};
use crate::local::layout::{self, IfThere, absent_is_fine, private_dir};
use crate::supervise::guest::{GuestRecord, KEPT_LOG, KEPT_OUTPUTS, RECORD};

/// Names of what is being filled or removed begin with a dot.
const FILLING: &str = ".filling-";
const FORGOTTEN: &str = ".forgotten-";

/// The archives of one installation.
#[derive(Debug, Clone)]
pub(super) struct Archives {
    root: PathBuf,
}

/// Whose an archive is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Owned {
    owner: String,
    handle: Handle,
}

/// One archive that is being filled.
#[derive(Debug)]
pub(super) struct Filling {
    dir: PathBuf,
    target: PathBuf,
}

impl Archives {
    pub(super) fn open(root: &Path) -> Result<Self, ExecutorError> {
        let made = fs::create_dir_all(root).map_err(failed(root, "making"));
        made.map(|()| Self {
            root: root.to_owned(),
        })
    }

    fn dir(&self, id: AttemptId) -> PathBuf {
        self.root.join(id.to_string())
    }

    /// The record of an attempt, if it is archived.
    pub(super) fn record(&self, id: AttemptId) -> Result<Option<GuestRecord>, ExecutorError> {
        let path = self.dir(id).join(RECORD);
        layout::read(&path).map_err(failed(&path, "reading"))
    }

    /// The log of an attempt that is archived; one that said nothing has no file.
    pub(super) fn log(&self, id: AttemptId) -> PathBuf {
        self.dir(id).join(KEPT_LOG)
    }

    /// The output files of an archived attempt.
    pub(super) fn outputs(
        &self,
        id: AttemptId,
        record: GuestRecord,
    ) -> Result<Vec<CollectedFile>, ExecutorError> {
        let dir = self.dir(id).join(KEPT_OUTPUTS);
        let refused = |reason| ExecutorError::io(reason, io::ErrorKind::InvalidData.into());
        let files = record.outputs.map_err(refused)?;
        Ok(files
            .into_iter()
            .map(|file| CollectedFile {
                local: dir.join(&file.path),
                path: file.path,
                size: file.size,
            })
            .collect())
    }

    /// Begins an archive. What another process began for the same attempt is its own.
    pub(super) fn fill(&self, id: AttemptId) -> Result<Filling, ExecutorError> {
        let dir = self
            .root
            .join(format!("{FILLING}{id}-{}", uuid::Uuid::now_v7()));
        private_dir(&dir).map_err(failed(&dir, "making"))?;
        Ok(Filling {
            dir,
            target: self.dir(id),
        })
    }

    /// The handles of an owner's archived attempts.
    pub(super) fn owned(&self, owner: &str) -> Result<Vec<Handle>, ExecutorError> {
        let fail = failed(&self.root, "listing");
        let mut handles = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(&fail)? {
            let entry = entry.map_err(&fail)?;
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            let path = entry.path().join("handle.json");
            let kept: Option<Owned> = layout::read(&path).map_err(failed(&path, "reading"))?;
            handles.extend(
                kept.filter(|kept| kept.owner == owner)
                    .map(|kept| kept.handle),
            );
        }
        Ok(handles)
    }

    /// Removes an archive; one that is not there is fine.
    pub(super) fn remove(&self, id: AttemptId) -> Result<(), ExecutorError> {
        let dir = self.dir(id);
        // First out of sight, in one step: half of an archive is never seen.
        let forgotten = self.root.join(format!("{FORGOTTEN}{id}"));
        let gone = fs::rename(&dir, &forgotten).or_else(absent_is_fine);
        gone.and_then(|()| fs::remove_dir_all(&forgotten).or_else(absent_is_fine))
            .map_err(failed(&dir, "removing"))
    }
}

impl Filling {
    /// Where the log goes.
    pub(super) fn log(&self) -> PathBuf {
        self.dir.join(KEPT_LOG)
    }

    /// Where an output file goes, below a directory that is made for it. Its path must be plain: it comes
    /// from inside a sandbox.
    pub(super) fn output(&self, path: &str) -> Result<PathBuf, ExecutorError> {
        if path.is_empty() || !crate::supervise::prepare::is_plain(Path::new(path)) {
            let what = format!("the output path `{path}` is not below the output directory");
            return Err(ExecutorError::io(what, io::ErrorKind::InvalidData.into()));
        }
        let file = self.dir.join(KEPT_OUTPUTS).join(path);
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent).map_err(failed(parent, "making"))?;
        }
        Ok(file)
    }

    /// Makes the archive visible. One that was there first stays.
    pub(super) fn finish(
        self,
        owner: &str,
        handle: &Handle,
        record: &GuestRecord,
    ) -> Result<(), ExecutorError> {
        let owned = Owned {
            owner: owner.to_owned(),
            handle: handle.clone(),
        };
        layout::publish(&self.dir.join("handle.json"), &owned, IfThere::Replace)
            .and_then(|_| layout::publish(&self.dir.join(RECORD), record, IfThere::Replace))
            .and_then(|_| match fs::rename(&self.dir, &self.target) {
                // A directory that holds something is not replaced.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists
                    ) =>
                {
                    fs::remove_dir_all(&self.dir)
                }
                other => other,
            })
            .map_err(failed(&self.target, "writing"))
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        // Gone already when it was finished.
        let _left = fs::remove_dir_all(&self.dir);
    }
}

fn failed(path: &Path, doing: &'static str) -> impl Fn(io::Error) -> ExecutorError + use<> {
    let what = format!("{doing} `{}`", path.display());
    move |error| ExecutorError::io(what.clone(), error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modal::outcome::{SandboxEnd, without_record};
    use crate::supervise::guest::KeptFile;

    #[test]
    fn an_archive_appears_whole_is_listed_and_goes() {
        let home = tempfile::tempdir().unwrap();
        let archives = Archives::open(home.path()).unwrap();
        let id = AttemptId::new(uuid::Uuid::from_u128(7));
        let handle = Handle {
            executor: "modal".to_owned(),
            attempt_id: id,
            data: serde_json::Value::Null,
        };
        let record = GuestRecord {
            outcome: without_record(&SandboxEnd::TimedOut, false, jiff::Timestamp::UNIX_EPOCH),
            outputs: Ok(vec![KeptFile {
                path: "a/b".to_owned(),
                size: 1,
            }]),
        };
        for _ in 0..2 {
            let filling = archives.fill(id).unwrap();
            fs::write(filling.output("a/b").unwrap(), "x").unwrap();
            for path in ["", "../b", "/b"] {
                assert!(filling.output(path).is_err(), "{path}");
            }
            filling.finish("me", &handle, &record).unwrap();
        }
        assert_eq!(archives.record(id).unwrap().as_ref(), Some(&record));
        let files = archives.outputs(id, record).unwrap();
        assert_eq!(fs::read_to_string(&files[0].local).unwrap(), "x");
        assert_eq!(archives.owned("me").unwrap(), [handle]);
        assert_eq!(archives.owned("another").unwrap(), []);
        archives.remove(id).unwrap();
        archives.remove(id).unwrap();
        assert_eq!(archives.record(id).unwrap(), None);
        assert_eq!(
            fs::read_dir(home.path()).unwrap().count(),
            0,
            "nothing is left"
        );
    }
}
