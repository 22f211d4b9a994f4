//! Files that no directory has any more and that a process still holds open. They take room on the disk,
//! and no walk through directories finds them.
//!
//! What is held by a mapping alone, or by a descriptor on its way through a socket, is not seen.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::proc;

/// Bytes on the disk of unnamed files on one device, of all descendants of this process.
///
/// A process that ends meanwhile, or can not be looked into, has none.
pub(super) fn measure(device: u64) -> io::Result<u64> {
    let mut seen = BTreeSet::new();
    let mut total: u64 = 0;
    let mut pending: Vec<i32> = proc::children()?
        .into_iter()
        .map(|pid| pid.as_raw_nonzero().get())
        .collect();
    while let Some(pid) = pending.pop() {
        pending.extend(children(pid).unwrap_or_default());
        for file in open_files(pid).unwrap_or_default() {
            let unnamed = file.is_file() && file.nlink() == 0 && file.dev() == device;
            if unnamed && seen.insert(file.ino()) {
                total = total.saturating_add(file.blocks().saturating_mul(512));
            }
        }
    }
    Ok(total)
}

fn children(pid: i32) -> io::Result<Vec<i32>> {
    let mut children = Vec::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let list = fs::read_to_string(thread?.path().join("children")).unwrap_or_default();
        children.extend(
            list.split_ascii_whitespace()
                .filter_map(|pid| pid.parse::<i32>().ok()),
        );
    }
    Ok(children)
}

fn open_files(pid: i32) -> io::Result<Vec<fs::Metadata>> {
    let entries = fs::read_dir(Path::new("/proc").join(pid.to_string()).join("fd"))?;
    // The links lead to the files themselves, also to those without a name.
    Ok(entries
        .filter_map(|entry| fs::metadata(entry.ok()?.path()).ok())
        .collect())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a real child holds the file")]
    fn a_file_without_a_name_counts_once_while_a_child_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let device = fs::metadata(dir.path()).unwrap().dev();
        let mut file = tempfile::tempfile_in(dir.path()).unwrap();
        file.write_all(&vec![1; 300_000]).unwrap();
        file.sync_all().unwrap();
        let mut child = Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        let size = measure(device).unwrap();
        assert!((300_000..400_000).contains(&size), "{size}");
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(measure(device).unwrap(), 0);
    }
}
