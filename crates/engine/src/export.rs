//! Effects of a run that is over: publish its outputs, or archive them. Each is idempotent, so a crash
//! between the effect and its outbox row being done only repeats it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use moorline_core::error_code::{FailureClass, OutputsRule};
use moorline_core::event::{EventKind, Level, NewEvent};
use moorline_core::run::{Effect, Run};
use rustix::fs::{FlockOperation, flock};
use serde_json::json;

use crate::dirs::{StateDirs, private_dir};
use crate::files;

/// Where the outputs of a step are kept.
pub(crate) fn kept_outputs(dirs: &StateDirs, run: &Run, step: &str) -> PathBuf {
    dirs.run(run.id).join("outputs").join(step)
}

/// Where what did not become an output is kept, for people.
pub(crate) fn archive_dir(dirs: &StateDirs, run: &Run) -> PathBuf {
    dirs.run(run.id).join("archive")
}

/// Where what holds a secret is set apart, for the person who looks into the leak.
pub(crate) fn quarantine_dir(dirs: &StateDirs, run: &Run) -> PathBuf {
    dirs.run(run.id).join("quarantine")
}

/// Where the files of a run that failed with this class are kept; `None` where the matrix keeps none.
pub(crate) fn kept_apart(dirs: &StateDirs, run: &Run, class: FailureClass) -> Option<PathBuf> {
    match class.rule().outputs {
        OutputsRule::None => None,
        OutputsRule::Quarantined => Some(quarantine_dir(dirs, run)),
        OutputsRule::KeptOutOfExports | OutputsRule::Archived | OutputsRule::PartialArchived => {
            Some(archive_dir(dirs, run))
        }
    }
}

/// Where a successful run's outputs are published: `exports/<job>/<run>`, with `latest` beside it.
pub(crate) fn export_dir(dirs: &StateDirs, run: &Run) -> PathBuf {
    dirs.exports()
        .join(safe_name(&run.job_id))
        .join(run.id.to_string())
}

/// Carries an effect out. Returns the event that tells of it.
pub(crate) fn carry_out(
    dirs: &StateDirs,
    run: &Run,
    effect: &Effect,
) -> io::Result<Option<NewEvent>> {
    match effect {
        Effect::Export => publish(dirs, run).map(Some),
        Effect::Archive => archive(dirs, run).map(|()| None),
        // These are part of the transaction that ended the run.
        Effect::Summarise
        | Effect::Source { .. }
        | Effect::Alert { .. }
        | Effect::Remind { .. }
        | Effect::Withdraw { .. } => Ok(None),
    }
}

/// All outputs become visible in one rename, or none does (D-RUN-6).
///
/// A lock on the job's directory keeps two processes that publish at the same time apart: without it,
/// one could take the other's half-made copy for its own, or move `latest` back.
fn publish(dirs: &StateDirs, run: &Run) -> io::Result<NewEvent> {
    let target = export_dir(dirs, run);
    let parent = target.parent().unwrap_or(&target);
    fs::create_dir_all(parent)?;
    let lock = fs::File::open(parent)?;
    flock(&lock, FlockOperation::LockExclusive)?;
    let staging = parent.join(format!(".staging-{}", run.id));
    // A process that was killed may have left it; its content is not known to be whole.
    match fs::remove_dir_all(&staging) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let exported: Vec<(PathBuf, &str)> = run
        .steps
        .iter()
        .flat_map(|step| {
            let kept = kept_outputs(dirs, run, &step.name);
            let exported = step.outputs.iter().filter(|output| output.export);
            exported.map(move |output| (kept.join(&output.path), output.path.as_str()))
        })
        .collect();
    if !target.exists() {
        fs::create_dir(&staging)?;
        for (kept, path) in &exported {
            files::place(kept, &staging.join(path))?;
        }
        files::sync_tree(&staging)?;
        fs::rename(&staging, &target)?;
    }
    let latest = parent.join("latest");
    let current = fs::read_link(&latest).ok();
    let name = run.id.to_string();
    // Ids sort by time: a run that ends late never takes `latest` back from a newer one.
    if current
        .as_deref()
        .and_then(|c| c.to_str())
        .is_none_or(|c| c < name.as_str())
    {
        files::relink(Path::new(&name), &latest)?;
    }
    lock.sync_all()?;
    let data = json!({"to": target, "files": exported.len()});
    Ok(NewEvent {
        kind: EventKind::ExportPublished,
        level: Level::Info,
        data,
    })
}

/// What a run left that did not succeed is kept apart, for people (D-RUN-7): what its attempts wrote was put
/// there as each ended, and the outputs of the steps that were done follow now. After a leak everything goes
/// into quarantine, also what an earlier attempt had left in the archive.
fn archive(dirs: &StateDirs, run: &Run) -> io::Result<()> {
    let class = run.failure.as_ref().map(|failure| failure.class);
    let Some(apart) = class.and_then(|class| kept_apart(dirs, run, class)) else {
        return Ok(());
    };
    let mut moved = vec![(dirs.run(run.id).join("outputs"), apart.join("outputs"))];
    if class == Some(FailureClass::Leak) {
        moved.push((archive_dir(dirs, run), apart.join("archive")));
    }
    for (from, to) in moved {
        if !from.exists() {
            continue;
        }
        private_dir(&apart)?;
        match fs::rename(&from, &to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// A job id as a file name: everything but letters, digits, `-`, `_` and `.` becomes `_`; an id that is
/// changed by that gets a piece of its hash, so that two ids never share a directory.
fn safe_name(id: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !id.is_empty() && id.len() <= 100 && !id.starts_with('.') && id.chars().all(plain) {
        return id.to_owned();
    }
    let kept: String = id
        .chars()
        .take(80)
        .map(|c| if plain(c) { c } else { '_' })
        .collect();
    let hash = moorline_core::content_id::ContentId::of_bytes(id.as_bytes()).to_string();
    let tail = hash
        .trim_start_matches("b3:")
        .get(..8)
        .unwrap_or_default()
        .to_owned();
    format!("{}-{tail}", kept.trim_start_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_ids_become_distinct_file_names() {
        assert_eq!(safe_name("bank-statement"), "bank-statement");
        let odd = safe_name("../../etc");
        assert!(!odd.contains('/') && !odd.starts_with('.'), "{odd}");
        assert_ne!(safe_name("a/b"), safe_name("a_b"));
    }
}
