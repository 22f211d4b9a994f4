//! The tree that people look at (D-ART-2): a projection of the store, rebuilt at will.
//!
//! ```text
//! tree/pending_specs/<job>/<artifact>/   research that waits for a decision
//! tree/pending/<job>/<artifact>/         what else waits
//! tree/approved/<job>/<artifact>/        what may be promoted
//! tree/archive/<job>/<artifact>/         superseded, rejected, set aside
//! tree/approved/<job>/live.json          where the lanes point
//! tree/exports, tree/runs                links to what runs left
//! ```
//!
//! An entry holds `artifact.json`, the record, and `content`, a link to the kept files. It appears, moves and
//! goes in one step each; who deletes the tree loses nothing. Names of jobs are written so that each is one
//! segment of a path. Deliberately absent: anything that is read back from here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use moorline_api::{ApiError, ProjectReport};
use moorline_core::artifact::{Artifact, ArtifactState, Promotion};
use moorline_core::ids::ArtifactId;
use moorline_core::lane::Lane;
use moorline_store::ArtifactFilter;
use serde::Serialize;

use crate::bundle;
use crate::dirs::private_dir;
use crate::engine::Inner;
use crate::error::{io_error, store_error};

/// Directories of artifacts, by what is decided.
const PLACES: [&str; 4] = ["pending_specs", "pending", "approved", "archive"];
/// Links beside them, to directories of the state directory.
const LINKS: [&str; 2] = ["exports", "runs"];
const RECORD: &str = "artifact.json";
const LIVE: &str = "live.json";
/// Artifacts read at a time.
const PAGE: u32 = 200;

/// Where an artifact is shown.
const fn place(artifact: &Artifact) -> &'static str {
    match artifact.state {
        ArtifactState::Draft | ArtifactState::Pending | ArtifactState::RevisionsRequested => {
            if artifact.is_research() {
                "pending_specs"
            } else {
                "pending"
            }
        }
        ArtifactState::Approved => "approved",
        ArtifactState::Rejected | ArtifactState::Superseded | ArtifactState::Archived => "archive",
    }
}

/// A job's id as one segment of a path: other characters than letters, digits, `.`, `_` and `-`, and a dot at
/// the beginning, are written `%2F`.
fn segment(job_id: &str) -> String {
    let mut name = String::with_capacity(job_id.len());
    for (at, byte) in job_id.bytes().enumerate() {
        let plain =
            byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') || (byte == b'.' && at > 0);
        if plain {
            name.push(char::from(byte));
        } else {
            use std::fmt::Write as _;
            // Writing to a text never fails.
            let _ignored = write!(name, "%{byte:02X}");
        }
    }
    name
}

impl Inner {
    /// Brings the whole tree in line with the store.
    pub(crate) async fn project_all(&self) -> Result<ProjectReport, ApiError> {
        let mut jobs: BTreeMap<String, Vec<Artifact>> = BTreeMap::new();
        let mut filter = ArtifactFilter {
            limit: PAGE,
            ..ArtifactFilter::default()
        };
        loop {
            let page = self.store.artifacts_list(filter.clone()).await;
            let page = page.map_err(store_error)?;
            let Some(last) = page.last() else {
                break;
            };
            filter.before = Some(last.id);
            for artifact in page {
                jobs.entry(artifact.job_id.clone())
                    .or_default()
                    .push(artifact);
            }
        }
        let live = self.store.live_list().await.map_err(store_error)?;
        let tree = self.tree().map_err(io_error("make the tree"))?;
        let mut report = ProjectReport {
            tree: tree.root.clone(),
            ..ProjectReport::default()
        };
        let failed = |error| io_error(format!("write the tree {}", tree.root.display()))(error);
        for (job_id, artifacts) in &jobs {
            report.shown += u64::try_from(artifacts.len()).unwrap_or(u64::MAX);
            report.changed += tree.show(job_id, artifacts, &live).map_err(failed)?;
        }
        let known: BTreeSet<String> = jobs.keys().map(|job_id| segment(job_id)).collect();
        report.changed += tree.forget_others(&known).map_err(failed)?;
        Ok(report)
    }

    /// Brings the tree in line for one job, after a change. The store holds the truth, so a failure is told
    /// and nothing more: the next change, or `artifact project`, mends the tree.
    pub(crate) async fn refresh_tree(&self, job_id: &str) {
        if let Err(error) = self.project_job(job_id).await {
            tracing::warn!(
                job_id,
                error = %error,
                "the tree of artifacts was not brought in line; `moorline artifact project` does it"
            );
        }
    }

    async fn project_job(&self, job_id: &str) -> Result<(), ApiError> {
        let mut artifacts = Vec::new();
        let mut filter = ArtifactFilter {
            job_id: Some(job_id.to_owned()),
            limit: PAGE,
            ..ArtifactFilter::default()
        };
        loop {
            let page = self.store.artifacts_list(filter.clone()).await;
            let page = page.map_err(store_error)?;
            let Some(last) = page.last() else {
                break;
            };
            filter.before = Some(last.id);
            artifacts.extend(page);
        }
        let live = self.store.live_list().await.map_err(store_error)?;
        let tree = self.tree().map_err(io_error("make the tree"))?;
        tree.show(job_id, &artifacts, &live)
            .map(drop)
            .map_err(io_error(format!("write the tree {}", tree.root.display())))
    }

    /// The tree, locked against other processes until it is dropped.
    fn tree(&self) -> io::Result<Tree> {
        Tree::open(
            self.config.dirs.root().join("tree"),
            self.config.dirs.artifacts(),
        )
    }
}

/// The tree in a state directory.
struct Tree {
    root: PathBuf,
    artifacts: PathBuf,
    /// Unlocked when it is closed.
    _lock: File,
}

impl Tree {
    fn open(root: PathBuf, artifacts: PathBuf) -> io::Result<Self> {
        private_dir(&root)?;
        let lock = File::create(root.join(".lock"))?;
        lock.lock()?;
        for place in PLACES {
            private_dir(&root.join(place))?;
        }
        for name in LINKS {
            let link = root.join(name);
            match std::os::unix::fs::symlink(Path::new("..").join(name), &link) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        Ok(Self {
            root,
            artifacts,
            _lock: lock,
        })
    }

    /// Shows exactly these artifacts of a job. Returns how many entries changed.
    fn show(&self, job_id: &str, artifacts: &[Artifact], live: &[Promotion]) -> io::Result<u64> {
        let job = segment(job_id);
        let mut changed = 0;
        let mut wanted: BTreeSet<(&'static str, String)> = BTreeSet::new();
        for artifact in artifacts {
            let place = place(artifact);
            let name = artifact.id.to_string();
            changed += u64::from(self.show_one(place, &job, &name, artifact)?);
            wanted.insert((place, name));
        }
        for place in PLACES {
            let dir = self.root.join(place).join(&job);
            for name in names(&dir)? {
                if name != LIVE && !wanted.contains(&(place, name.clone())) {
                    self.take_away(&dir.join(&name))?;
                    changed += 1;
                }
            }
        }
        let lanes: BTreeMap<&Lane, ArtifactId> = live
            .iter()
            .filter(|promotion| promotion.job_id == job_id)
            .map(|promotion| (&promotion.lane, promotion.artifact))
            .collect();
        let file = self.root.join("approved").join(&job).join(LIVE);
        if lanes.is_empty() {
            if file.exists() {
                fs::remove_file(&file)?;
                changed += 1;
            }
        } else {
            private_dir(&self.root.join("approved").join(&job))?;
            changed += u64::from(self.write(&file, &lanes)?);
        }
        for place in PLACES {
            // Goes only when nothing is in it.
            drop(fs::remove_dir(self.root.join(place).join(&job)));
        }
        Ok(changed)
    }

    /// Shows one artifact at its place: it moves there from where it was, or is made anew.
    fn show_one(
        &self,
        place: &str,
        job: &str,
        name: &str,
        artifact: &Artifact,
    ) -> io::Result<bool> {
        let dir = self.root.join(place).join(job);
        let entry = dir.join(name);
        let mut changed = false;
        if !entry.is_dir() {
            private_dir(&dir)?;
            let elsewhere = PLACES
                .iter()
                .map(|place| self.root.join(place).join(job).join(name))
                .find(|other| other.is_dir());
            match elsewhere {
                Some(elsewhere) => fs::rename(elsewhere, &entry)?,
                None => self.make(&entry, artifact)?,
            }
            changed = true;
        }
        let target = self.content(artifact);
        let link = entry.join("content");
        if fs::read_link(&link).ok().as_deref() != Some(target.as_path()) {
            crate::files::relink(&target, &link)?;
            changed = true;
        }
        Ok(self.write(&entry.join(RECORD), artifact)? || changed)
    }

    fn make(&self, entry: &Path, artifact: &Artifact) -> io::Result<()> {
        let staging = self.staging()?;
        let fresh = staging.path().join("entry");
        fs::create_dir(&fresh)?;
        std::os::unix::fs::symlink(self.content(artifact), fresh.join("content"))?;
        fs::write(fresh.join(RECORD), text(artifact)?)?;
        fs::rename(&fresh, entry)
    }

    /// The kept content, as seen from an entry: the state directory can be moved.
    fn content(&self, artifact: &Artifact) -> PathBuf {
        let kept = bundle::location(&self.artifacts, &artifact.content);
        let name = kept.file_name().unwrap_or_default();
        Path::new("../../../../artifacts").join(name)
    }

    /// Replaces a file in one step, if it says something else. Returns whether it did.
    fn write<T: Serialize>(&self, file: &Path, document: &T) -> io::Result<bool> {
        let text = text(document)?;
        if fs::read_to_string(file).ok().as_deref() == Some(text.as_str()) {
            return Ok(false);
        }
        let staging = self.staging()?;
        let fresh = staging.path().join("file");
        fs::write(&fresh, text)?;
        fs::rename(&fresh, file)?;
        Ok(true)
    }

    /// Takes an entry away in one step.
    fn take_away(&self, entry: &Path) -> io::Result<()> {
        let staging = self.staging()?;
        fs::rename(entry, staging.path().join("gone"))
    }

    /// Takes away jobs that the store does not know.
    fn forget_others(&self, known: &BTreeSet<String>) -> io::Result<u64> {
        let mut gone = 0;
        for place in PLACES {
            for name in names(&self.root.join(place))? {
                if !known.contains(&name) {
                    self.take_away(&self.root.join(place).join(&name))?;
                    gone += 1;
                }
            }
        }
        Ok(gone)
    }

    fn staging(&self) -> io::Result<tempfile::TempDir> {
        tempfile::Builder::new()
            .prefix(".staging-")
            .tempdir_in(&self.root)
    }
}

/// What is in a directory; nothing when there is none.
fn names(dir: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect()
}

fn text<T: Serialize>(document: &T) -> io::Result<String> {
    let mut text = serde_json::to_string_pretty(document).map_err(io::Error::other)?;
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_job_is_one_segment_of_a_path() {
        for (job_id, name) in [
            ("bank-daily", "bank-daily"),
            ("a/../b", "a%2F..%2Fb"),
            ("..", "%2E."),
            (".lock", "%2Elock"),
            ("é b", "%C3%A9%20b"),
        ] {
            assert_eq!(segment(job_id), name);
        }
    }
}
