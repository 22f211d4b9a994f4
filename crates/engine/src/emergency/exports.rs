//! Published outputs, set aside: out of the way of whoever reads them, and still there.

use std::fs;
use std::io;
use std::path::Path;

use moorline_core::ids::RunId;
use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};

use crate::dirs::{StateDirs, private_dir};
use crate::files;

/// Runs that have published outputs, oldest first.
pub(super) fn published(dirs: &StateDirs) -> io::Result<Vec<(String, RunId)>> {
    let mut found = Vec::new();
    for job in entries(&dirs.exports())? {
        for run in entries(&dirs.exports().join(&job))? {
            // `latest`, and what a process that was killed left half-made, are not of this form.
            if let Ok(run) = run.parse() {
                found.push((job.clone(), run));
            }
        }
    }
    found.sort_by_key(|(_, run)| *run);
    Ok(found)
}

/// Moves what a run published to `to/<job>/<run>`, in one rename, and points `latest` to the newest run that
/// is left. What was moved before is fine. Publishing takes the same lock, so that neither sees the other
/// half-way.
pub(super) fn set_aside(dirs: &StateDirs, job: &str, run: RunId, to: &Path) -> io::Result<()> {
    let from = dirs.exports().join(job);
    let lock = fs::File::open(&from)?;
    flock(&lock, FlockOperation::LockExclusive)?;
    let name = run.to_string();
    let kept = to.join(job);
    private_dir(&kept)?;
    match renameat_with(
        CWD,
        from.join(&name),
        CWD,
        kept.join(&name),
        RenameFlags::NOREPLACE,
    ) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    fs::File::open(&kept)?.sync_all()?;
    point_latest(&from)?;
    lock.sync_all()
}

/// `latest` names the newest run of a job that is there; without one there is no `latest`.
fn point_latest(job: &Path) -> io::Result<()> {
    let latest = job.join("latest");
    let runs = entries(job)?;
    let newest = runs
        .iter()
        .filter(|name| name.parse::<RunId>().is_ok())
        .max();
    match newest {
        Some(newest) => files::relink(Path::new(newest), &latest),
        None => match fs::remove_file(&latest) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        },
    }
}

/// Names in a directory; none where there is no such directory.
fn entries(dir: &Path) -> io::Result<Vec<String>> {
    let listed = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut names = Vec::new();
    for entry in listed {
        names.extend(entry?.file_name().into_string().ok());
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn what_is_set_aside_is_whole_and_latest_names_what_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = StateDirs::new(dir.path());
        let [first, second] = [1, 2].map(|n| RunId::new(Uuid::from_u128(n)));
        let job = dirs.exports().join("bank");
        for run in [first, second] {
            let dir = job.join(run.to_string());
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("tx.jsonl"), run.to_string()).unwrap();
        }
        std::os::unix::fs::symlink(second.to_string(), job.join("latest")).unwrap();
        fs::create_dir(job.join(".staging-x")).unwrap();
        let runs = vec![("bank".to_owned(), first), ("bank".to_owned(), second)];
        assert_eq!(published(&dirs).unwrap(), runs);

        let to = dir.path().join("aside");
        let text =
            |run: RunId| fs::read_to_string(to.join(format!("bank/{run}/tx.jsonl"))).unwrap();
        for _ in 0..2 {
            set_aside(&dirs, "bank", second, &to).unwrap();
            assert_eq!(published(&dirs).unwrap(), [("bank".to_owned(), first)]);
            assert_eq!(
                fs::read_link(job.join("latest")).unwrap(),
                Path::new(&first.to_string())
            );
        }
        set_aside(&dirs, "bank", first, &to).unwrap();
        assert_eq!(published(&dirs).unwrap(), []);
        assert!(fs::symlink_metadata(job.join("latest")).is_err());
        assert_eq!(
            [text(first), text(second)],
            [first.to_string(), second.to_string()]
        );
    }
}
