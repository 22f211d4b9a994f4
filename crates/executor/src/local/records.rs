//! The state of attempts, as their directories and `/proc` tell it.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use moorline_core::attempt::{Attempt, Exit, Handle, Isolation, LogStats, Outcome, Usage};
use moorline_core::clock::{Clock as _, SystemClock};
use moorline_core::ids::AttemptId;
use moorline_core::protocol::Reply;

use super::layout::{self, AttemptDir, Claim, IfThere};
use super::{handle, sweep};
use crate::executor::ExecutorError;

/// Begins the name of a directory that is being removed.
const FORGOTTEN: &str = ".forgotten-";

/// The attempts below one directory, seen in one boot.
#[derive(Debug)]
pub(crate) struct Records {
    pub(crate) root: PathBuf,
    pub(crate) boot_id: String,
}

/// What is known of an attempt.
pub(crate) enum State {
    /// Its supervisor runs; the descriptor becomes readable when it has ended.
    Running(OwnedFd),
    Over(Box<Outcome>),
}

impl Records {
    pub(crate) fn dir(&self, id: AttemptId) -> AttemptDir {
        AttemptDir::new(&self.root, id)
    }

    pub(crate) fn claim(&self, id: AttemptId) -> Result<Option<Claim>, ExecutorError> {
        let path = self.dir(id).claim();
        layout::read(&path)
            .map_err(|error| ExecutorError::io(format!("reading `{}`", path.display()), error))
    }

    /// The outcome, or the supervisor that will write it.
    pub(crate) fn look(&self, handle: &Handle) -> Result<State, ExecutorError> {
        let supervisor = handle::supervisor(handle)?;
        let dir = self.dir(handle.attempt_id);
        if !dir.path().exists() {
            // Forgotten, or of another machine: its process id means nothing here.
            return Err(not_found(handle));
        }
        if let (Some(outcome), _) = read_outcome(&dir)? {
            return Ok(State::Over(Box::new(outcome)));
        }
        let alive = supervisor
            .open(&self.boot_id)
            .map_err(|error| ExecutorError::io("looking for the supervisor", error))?;
        if let Some(fd) = alive {
            return Ok(State::Running(fd));
        }
        // It may have written the record between the two looks.
        match read_outcome(&dir)? {
            (Some(outcome), _) => Ok(State::Over(Box::new(outcome))),
            (None, damaged) => self.lose(handle, &dir, damaged),
        }
    }

    /// Declares an attempt lost, for good, after ending what may be left of it.
    fn lose(
        &self,
        handle: &Handle,
        dir: &AttemptDir,
        damaged: bool,
    ) -> Result<State, ExecutorError> {
        let Some(claim) = self.claim(handle.attempt_id)? else {
            return Err(not_found(handle));
        };
        // A handle can be wrong; the claim is what decided who runs the attempt.
        if claim.supervisor != handle::supervisor(handle)? {
            return self.look(&handle::make(handle.attempt_id, &claim.supervisor)?);
        }
        let same_boot = claim.supervisor.boot_id == self.boot_id;
        if same_boot && !claim.is_withdrawal() {
            sweep::sweep(claim.attempt_id, &claim.cgroups).map_err(|error| {
                ExecutorError::io("ending what is left of a lost attempt", error)
            })?;
        }
        let pid = claim.supervisor.pid;
        let reason = match fs::read_to_string(dir.panic()) {
            Ok(panic) => format!("its supervisor, process {pid}, failed: {}", panic.trim()),
            Err(_) if same_boot => {
                format!("its supervisor, process {pid}, ended without an exit record")
            }
            Err(_) => "the machine was restarted while it ran".to_owned(),
        };
        let exit = if claim.is_withdrawal() {
            let reason = "it was withdrawn before it started".to_owned();
            Exit::NotStarted { reason }
        } else {
            Exit::Lost { reason }
        };
        let outcome = Outcome {
            exit,
            limits_hit: Vec::new(),
            started_at: (!claim.is_withdrawal()).then_some(claim.claimed_at),
            ended_at: SystemClock.now(),
            usage: Usage::default(),
            isolation: Isolation::default(),
            reply: Reply::None,
            egress_denied: Vec::new(),
            log: LogStats::default(),
        };
        let then = if damaged {
            IfThere::Replace
        } else {
            IfThere::Keep
        };
        let ours = layout::publish(&dir.exit(), &outcome, then)
            .map_err(|error| ExecutorError::io("writing the exit record", error))?;
        if ours {
            return Ok(State::Over(Box::new(outcome)));
        }
        // Another process declared it first, and its words are the ones that stay.
        let (outcome, _) = read_outcome(dir)?;
        outcome
            .map(|outcome| State::Over(Box::new(outcome)))
            .ok_or_else(|| not_found(handle))
    }

    /// Takes an attempt away from every supervisor that has not taken it yet. The handle of one that has.
    pub(crate) fn withdraw(&self, attempt: &Attempt) -> Result<Option<Handle>, ExecutorError> {
        let dir = self.dir(attempt.id);
        let fail = |error| ExecutorError::io(format!("withdrawing attempt {}", attempt.id), error);
        let withdrawal = Claim::withdrawal(attempt, &self.boot_id, SystemClock.now());
        let taken = dir
            .create()
            .and_then(|()| layout::publish(&dir.claim(), &withdrawal, IfThere::Keep));
        let claim = if taken.map_err(fail)? {
            withdrawal
        } else {
            let claim = self.claim(attempt.id)?;
            claim.ok_or_else(|| fail(io::ErrorKind::NotFound.into()))?
        };
        let handle = handle::make(attempt.id, &claim.supervisor)?;
        if claim.is_withdrawal() {
            // Leaves the record of it.
            self.look(&handle)?;
            return Ok(None);
        }
        Ok(Some(handle))
    }

    /// Every attempt of an owner.
    pub(crate) fn owned(&self, owner: &str) -> Result<Vec<Handle>, ExecutorError> {
        let fail = |error| self.listing(error);
        let mut handles = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(fail)? {
            let name = entry.map_err(fail)?.file_name();
            let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // Without a claim nothing was started there, and nothing was where it was withdrawn.
            let Some(claim) = self.claim(id)? else {
                continue;
            };
            if claim.owner == owner && !claim.is_withdrawal() {
                handles.push(handle::make(id, &claim.supervisor)?);
            }
        }
        handles.sort_unstable_by_key(|handle| handle.attempt_id);
        Ok(handles)
    }

    /// Removes an attempt that is over; one that is not there is fine.
    pub(crate) fn forget(&self, handle: &Handle) -> Result<(), ExecutorError> {
        let dir = self.dir(handle.attempt_id);
        // First out of sight, in one step: half of an attempt is never seen.
        let forgotten = self.root.join(format!("{FORGOTTEN}{}", handle.attempt_id));
        let gone = fs::rename(dir.path(), &forgotten).or_else(layout::absent_is_fine);
        gone.and_then(|()| remove_all(&forgotten)).map_err(|error| {
            ExecutorError::io(format!("removing `{}`", dir.path().display()), error)
        })
    }

    /// Goes on with removals that were interrupted.
    pub(crate) fn tidy(&self) -> Result<(), ExecutorError> {
        let fail = |error| self.listing(error);
        for entry in fs::read_dir(&self.root).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            if entry.file_name().to_string_lossy().starts_with(FORGOTTEN) {
                remove_all(&entry.path()).map_err(fail)?;
            }
        }
        Ok(())
    }

    fn listing(&self, error: io::Error) -> ExecutorError {
        ExecutorError::io(format!("listing `{}`", self.root.display()), error)
    }
}

pub(crate) fn not_found(handle: &Handle) -> ExecutorError {
    ExecutorError::NotFound {
        what: format!("attempt {}", handle.attempt_id),
    }
}

fn read_outcome(dir: &AttemptDir) -> Result<(Option<Outcome>, bool), ExecutorError> {
    layout::read_outcome(dir)
        .map_err(|error| ExecutorError::io(format!("reading `{}`", dir.exit().display()), error))
}

/// Removes a directory, also when the job has closed directories in it to everyone.
fn remove_all(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(dir)?;
            fs::remove_dir_all(dir)
        }
        other => other.or_else(layout::absent_is_fine),
    }
}

fn open_up(dir: &Path) -> io::Result<()> {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_the_job_closed_is_removed_all_the_same() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("attempt");
        fs::create_dir_all(dir.join("out/closed")).unwrap();
        fs::write(dir.join("out/closed/file"), "").unwrap();
        fs::set_permissions(dir.join("out/closed"), fs::Permissions::from_mode(0o000)).unwrap();
        remove_all(&dir).unwrap();
        assert!(!dir.exists());
        remove_all(&dir).unwrap();
    }
}
