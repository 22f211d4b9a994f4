//! The files of one attempt, and how they are written.
//!
//! | file | by | what |
//! |---|---|---|
//! | `claim.json` | supervisor | [`Claim`]: who runs this attempt; made once, never changed |
//! | `cancel` | anyone | a line of JSON for each wish to end it: [`CancelRequest`] |
//! | `exit.json` | supervisor, or who finds it dead | the [`Outcome`]; made once, never changed |
//! | `log` | supervisor | framed lines, see [`log_format`](super::log_format); absent when nothing was said |
//! | `panic` | supervisor | its last words, if it failed; absent when all is well |
//! | `input.json` | supervisor | the input document; no secret is in it |
//! | `in/`, `tmp/` | supervisor | input copies and scratch space of a job without a sandbox |
//! | `out/` | job | its output files |
//!
//! Every record appears whole or not at all: it is written under a name of its own and renamed. The two
//! that are made once are renamed without replacement, so of several writers exactly one succeeds.
//!
//! Records survive the SIGKILL of every process here. They are not synced to the disk: after a power loss
//! the boot id differs, so nothing is taken to be running, and an outcome that did not reach the disk is
//! reported as lost, as the outputs that it would vouch for are not on the disk either.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use moorline_core::attempt::{Attempt, Outcome};
use moorline_core::ids::{AttemptId, RunId};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Paths of one attempt.
#[derive(Debug, Clone)]
pub(crate) struct AttemptDir(PathBuf);

impl AttemptDir {
    pub(crate) fn new(root: &Path, id: AttemptId) -> Self {
        Self(root.join(id.to_string()))
    }

    /// Makes the directory, for its owner alone, if it is not there.
    pub(crate) fn create(&self) -> io::Result<()> {
        private_dir(&self.0)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn claim(&self) -> PathBuf {
        self.0.join("claim.json")
    }

    pub(crate) fn exit(&self) -> PathBuf {
        self.0.join("exit.json")
    }

    pub(crate) fn cancel(&self) -> PathBuf {
        self.0.join("cancel")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    pub(crate) fn panic(&self) -> PathBuf {
        self.0.join("panic")
    }

    pub(crate) fn input_document(&self) -> PathBuf {
        self.0.join("input.json")
    }

    pub(crate) fn input(&self) -> PathBuf {
        self.0.join("in")
    }

    pub(crate) fn output(&self) -> PathBuf {
        self.0.join("out")
    }

    pub(crate) fn scratch(&self) -> PathBuf {
        self.0.join("tmp")
    }
}

/// Who runs an attempt: the point at which it is decided that it runs, and by whom.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Claim {
    pub(crate) attempt_id: AttemptId,
    pub(crate) run_id: RunId,
    pub(crate) owner: String,
    pub(crate) claimed_at: Timestamp,
    #[serde(flatten)]
    pub(crate) supervisor: ProcessRef,
    /// Cgroups made for it, so that whoever finds the supervisor dead can end what is left in them.
    #[serde(default)]
    pub(crate) cgroups: Vec<PathBuf>,
}

impl Claim {
    /// Takes an attempt so that nobody can start it any more.
    pub(crate) fn withdrawal(attempt: &Attempt, boot_id: &str, now: Timestamp) -> Self {
        Self {
            attempt_id: attempt.id,
            run_id: attempt.run_id,
            owner: attempt.owner.clone(),
            claimed_at: now,
            // No process has this id.
            supervisor: ProcessRef {
                pid: 0,
                start_time: 0,
                boot_id: boot_id.to_owned(),
            },
            cgroups: Vec::new(),
        }
    }

    /// Whether nobody runs this attempt, nor ever did.
    pub(crate) const fn is_withdrawal(&self) -> bool {
        self.supervisor.pid == 0
    }
}

/// One process of one boot: ids are used again, start times of one boot are not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessRef {
    pub(crate) pid: i32,
    /// Clock ticks since boot, field 22 of proc(5) `stat`.
    pub(crate) start_time: u64,
    pub(crate) boot_id: String,
}

/// The wish to end an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CancelRequest {
    pub(crate) grace_ms: u64,
}

impl CancelRequest {
    /// Adds a wish. Appended, so that a later one does not hide an earlier one with less grace.
    pub(crate) fn add(self, dir: &AttemptDir) -> io::Result<()> {
        let mut line = serde_json::to_vec(&self)?;
        line.push(b'\n');
        private_append(&dir.cancel())?.write_all(&line)
    }

    /// The wish with the least grace, if there is one.
    pub(crate) fn shortest(dir: &AttemptDir) -> io::Result<Option<Self>> {
        let text = match fs::read_to_string(dir.cancel()) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let wishes: Vec<Self> = text
            .lines()
            .map(serde_json::from_str)
            .collect::<Result<_, _>>()?;
        Ok(wishes.into_iter().min_by_key(|wish| wish.grace_ms))
    }
}

/// Makes a directory that only its owner can enter; one that exists is fine.
pub(crate) fn private_dir(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// What to do when a record is already there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfThere {
    Keep,
    Replace,
}

/// Writes a record, whole or not at all. False when one was there and was kept.
pub(crate) fn publish<T: Serialize>(path: &Path, record: &T, then: IfThere) -> io::Result<bool> {
    let bytes = serde_json::to_vec(record)?;
    // A thread id is unique on the machine while the thread lives.
    let thread = rustix::thread::gettid().as_raw_nonzero();
    let temporary = path.with_extension(format!("{thread}.tmp"));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    let moved = file.write_all(&bytes).and_then(|()| match then {
        IfThere::Replace => fs::rename(&temporary, path).map(|()| true),
        IfThere::Keep => rename_if_absent(&temporary, path),
    });
    if !matches!(moved, Ok(true)) {
        fs::remove_file(&temporary).or_else(absent_is_fine)?;
    }
    moved
}

fn rename_if_absent(from: &Path, to: &Path) -> io::Result<bool> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::EXIST) => Ok(false),
        // A file system without this kind of rename: a hard link is as exclusive.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => match fs::hard_link(from, to) {
            Ok(()) => fs::remove_file(from).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        },
        Err(error) => Err(error.into()),
    }
}

/// Reads a record; `None` when there is none.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(io::Error::from)
}

/// Reads the outcome. A record that is no longer readable (a power loss can leave an empty one) is `None`
/// with `damaged` set.
pub(crate) fn read_outcome(dir: &AttemptDir) -> io::Result<(Option<Outcome>, bool)> {
    match read(&dir.exit()) {
        Ok(outcome) => Ok((outcome, false)),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok((None, true)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok((None, true)),
        Err(error) => Err(error),
    }
}

/// Opens a file for appending that only its owner can read.
pub(crate) fn private_append(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
}

/// For removals: what is not there needs no removing.
pub(crate) fn absent_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound {
        Ok(())
    } else {
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_writers_of_one_record_exactly_one_succeeds() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("claim.json");
        let wins: Vec<u64> = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..16)
                .map(|n| {
                    let path = &path;
                    scope.spawn(move || {
                        let request = CancelRequest { grace_ms: n };
                        publish(path, &request, IfThere::Keep).unwrap().then_some(n)
                    })
                })
                .collect();
            writers
                .into_iter()
                .filter_map(|writer| writer.join().unwrap())
                .collect()
        });
        assert_eq!(wins.len(), 1);
        let kept: CancelRequest = read(&path).unwrap().unwrap();
        assert_eq!(kept, CancelRequest { grace_ms: wins[0] });
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            1,
            "no temporary file stays"
        );
    }

    #[test]
    fn the_shortest_wish_counts_whenever_it_came() {
        let home = tempfile::tempdir().unwrap();
        let dir = AttemptDir::new(home.path(), AttemptId::new(uuid::Uuid::nil()));
        dir.create().unwrap();
        assert_eq!(CancelRequest::shortest(&dir).unwrap(), None);
        for grace_ms in [10, 0, 30] {
            CancelRequest { grace_ms }.add(&dir).unwrap();
        }
        let shortest = CancelRequest { grace_ms: 0 };
        assert_eq!(CancelRequest::shortest(&dir).unwrap(), Some(shortest));
    }
}
