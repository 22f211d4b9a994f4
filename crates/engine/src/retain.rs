//! Retention: what is kept longer than its job wants is removed (`retention` of the job spec).
//!
//! | field | what is removed |
//! |---|---|
//! | `runs_days` | inputs, outputs and archive of runs that ended so long ago |
//! | `logs_days` | what the executor keeps of their attempts: logs and raw output files |
//! | `exports_days` | what they published |
//!
//! Summaries, events and the audit trail stay: that something ran, and what it came to, is never removed. Nor
//! is what `latest` points to, which a newer run takes the place of, nor what was set apart after a leak while
//! the source is quarantined.
//!
//! Where machines share a store, content that it keeps with an end of its own (uploads, a day) is removed after it
//! by whichever machine looks first: the one that took it may be gone.
//!
//! Only what is ours is touched (L58): a directory counts only when its name is the id of a run that the store
//! has and that is over, an attempt only when the store has it. Everything else is left as it is found. What
//! will be removed is audited before, so that a crash in the middle leaves a record and not a gap; a second
//! pass finds the rest.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use moorline_api::ApiError;
use moorline_core::audit::NewAudit;
use moorline_core::error_code::SourceState;
use moorline_core::ids::RunId;
use moorline_core::principal::Principal;
use moorline_core::run::Run;
use moorline_core::spec::Retention;
use rustix::fs::{FlockOperation, flock};
use serde_json::json;
use tracing::{debug, info, warn};

use crate::engine::{Engine, Inner};
use crate::error::{io_error, store_error};
use crate::export;

/// What a pass removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retained {
    /// Runs whose files were removed.
    pub runs: BTreeSet<RunId>,
    /// Runs whose logs were removed.
    pub logs: BTreeSet<RunId>,
    /// Runs whose exports were removed.
    pub exports: BTreeSet<RunId>,
    /// How much was removed that the store kept for other machines with an end of its own, such as uploads.
    pub expired: usize,
}

impl Engine {
    /// Removes what is kept longer than its job wants, as a worker does every hour.
    ///
    /// # Errors
    /// When the store can not be read or a directory not be removed. What was removed until then stays so.
    pub async fn retain(&self) -> Result<Retained, ApiError> {
        self.inner.retain().await
    }
}

impl Inner {
    pub(crate) async fn retain(&self) -> Result<Retained, ApiError> {
        let mut retained = Retained::default();
        self.retain_runs(&mut retained).await?;
        self.retain_exports(&mut retained).await?;
        self.retain_logs(&mut retained).await?;
        retained.expired = self.unshare_expired().await?;
        if retained != Retained::default() {
            info!(?retained, "removed what was kept long enough");
        }
        Ok(retained)
    }

    async fn retain_runs(&self, retained: &mut Retained) -> Result<(), ApiError> {
        for (id, dir) in run_dirs(&self.config.dirs.runs())? {
            let Some(run) = self.expired(id, |retention| retention.runs_days).await? else {
                continue;
            };
            let mut parts: Vec<PathBuf> = ["inputs", "outputs", "archive"]
                .iter()
                .map(|part| dir.join(part))
                .collect();
            if !self.is_quarantined(&run).await? {
                parts.push(export::quarantine_dir(&self.config.dirs, &run));
            }
            parts.retain(|part| part.exists());
            if parts.is_empty() {
                // What else is in there was put there by someone else; an empty directory is ours.
                let _kept = fs::remove_dir(&dir);
                continue;
            }
            self.audit_removal(&run, "files").await?;
            for part in parts {
                remove(&part)?;
            }
            self.unshare_files(&run).await?;
            let _kept = fs::remove_dir(&dir);
            retained.runs.insert(id);
        }
        Ok(())
    }

    async fn retain_exports(&self, retained: &mut Retained) -> Result<(), ApiError> {
        for job in entries(&self.config.dirs.exports())? {
            if !job.is_dir() || job.is_symlink() {
                continue;
            }
            for (id, dir) in run_dirs(&job)? {
                let Some(run) = self.expired(id, |retention| retention.exports_days).await? else {
                    continue;
                };
                if export::export_dir(&self.config.dirs, &run) != dir {
                    continue; // Not where we put it.
                }
                // Whoever publishes holds the same lock, so `latest` does not move meanwhile.
                let failed = || io_error(format!("lock {}", job.display()));
                let lock = fs::File::open(&job).map_err(failed())?;
                flock(&lock, FlockOperation::LockExclusive)
                    .map_err(|error| failed()(error.into()))?;
                let latest = fs::read_link(job.join("latest")).ok();
                if latest.is_some_and(|latest| latest == Path::new(&id.to_string())) {
                    continue;
                }
                self.audit_removal(&run, "exports").await?;
                remove(&dir)?;
                retained.exports.insert(id);
            }
        }
        Ok(())
    }

    async fn retain_logs(&self, retained: &mut Retained) -> Result<(), ApiError> {
        let owner = self.config.dirs.root().display().to_string();
        for (name, executor) in &self.executors {
            let owned = match executor.find_owned(&owner).await {
                Ok(owned) => owned,
                // One that can not be asked, as where it is not set up, is asked again; it holds nothing up.
                Err(error) => {
                    debug!(executor = name, %error, "could not look for logs to remove");
                    continue;
                }
            };
            for handle in owned {
                let attempt = handle.attempt_id;
                let run = self.store.attempt_run(attempt).await.map_err(store_error)?;
                let Some(run) = run else { continue };
                let Some(run) = self.expired(run, |retention| retention.logs_days).await? else {
                    continue;
                };
                if retained.logs.insert(run.id) {
                    self.audit_removal(&run, "logs").await?;
                }
                self.unshare_log(attempt).await?;
                if let Err(error) = executor.forget(&handle).await {
                    warn!(%attempt, %error, "could not remove the log of an attempt");
                }
            }
        }
        Ok(())
    }

    /// A run that the store has, that is over with nothing left to carry out, and whose job says that this
    /// long after its end something of it is removed.
    async fn expired(
        &self,
        id: RunId,
        days: impl Fn(&Retention) -> Option<u32>,
    ) -> Result<Option<Run>, ApiError> {
        let Some(run) = self.store.run_get(id).await.map_err(store_error)? else {
            return Ok(None);
        };
        let Some(ended) = run.ended_at else {
            return Ok(None);
        };
        let spec = self.spec_of(&run).await?;
        let Some(days) = days(&spec.retention) else {
            return Ok(None);
        };
        if !is_past(ended, days, self.now()) {
            return Ok(None);
        }
        let pending = self.store.outbox_pending(Some(id)).await;
        let pending = pending.map_err(store_error)?;
        Ok(pending.is_empty().then_some(run))
    }

    async fn is_quarantined(&self, run: &Run) -> Result<bool, ApiError> {
        let Some(source) = &run.source_id else {
            return Ok(false);
        };
        let source = self.store.source_get(source).await.map_err(store_error)?;
        Ok(source.is_some_and(|source| source.state == SourceState::Quarantined))
    }

    async fn audit_removal(&self, run: &Run, what: &str) -> Result<(), ApiError> {
        let record = NewAudit {
            actor: Principal::system().to_string(),
            operation: "run.retain".to_owned(),
            subject: format!("run/{}", run.id),
            reason: Some(format!("the job keeps its {what} no longer")),
            data: json!({"removed": what}),
            at: self.now(),
        };
        self.store.audit_append(record).await.map_err(store_error)
    }
}

fn is_past(ended: Timestamp, days: u32, now: Timestamp) -> bool {
    let hours = i64::from(days) * 24;
    ended
        .checked_add(jiff::SignedDuration::from_hours(hours))
        .is_ok_and(|until| until <= now)
}

/// Directories whose name is the id of a run, in the order of the runs. Links are not followed.
fn run_dirs(parent: &Path) -> Result<Vec<(RunId, PathBuf)>, ApiError> {
    let mut found: Vec<(RunId, PathBuf)> = entries(parent)?
        .into_iter()
        .filter(|path| path.is_dir() && !path.is_symlink())
        .filter_map(|path| Some((path.file_name()?.to_str()?.parse().ok()?, path)))
        .collect();
    found.sort_unstable();
    Ok(found)
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, ApiError> {
    let listed = fs::read_dir(dir).and_then(|entries| {
        entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<io::Result<Vec<_>>>()
    });
    match listed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed.map_err(io_error(format!("list {}", dir.display()))),
    }
}

fn remove(dir: &Path) -> Result<(), ApiError> {
    match fs::remove_dir_all(dir) {
        // Another worker was quicker.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(io_error(format!("remove {}", dir.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_twenty_four_hours_after_the_end() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let ended = at("2026-03-28T12:00:00Z");
        assert!(!is_past(ended, 1, at("2026-03-29T11:59:59Z")));
        assert!(is_past(ended, 1, at("2026-03-29T12:00:00Z")));
        assert!(!is_past(ended, u32::MAX, at("2026-03-29T12:00:00Z")));
    }

    #[test]
    fn only_directories_named_as_runs_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let run = "01980000-0000-7000-8000-000000000001";
        for name in [run, "latest-things", ".staging-x"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let linked = dir.path().join("01980000-0000-7000-8000-000000000002");
        std::os::unix::fs::symlink(dir.path().join(run), linked).unwrap();
        let found = run_dirs(dir.path()).unwrap();
        assert_eq!(found, [(run.parse().unwrap(), dir.path().join(run))]);
        assert_eq!(run_dirs(&dir.path().join("none")).unwrap(), []);
    }
}
