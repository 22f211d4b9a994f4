//! Where PostgreSQL's programs are on this machine.

use std::path::{Path, PathBuf};

use crate::env;

/// Debian's place: one directory per major version, none of them on the `PATH`.
const DEBIAN_ROOT: &str = "/usr/lib/postgresql";

/// The directory that holds `initdb`, `pg_ctl`, `postgres` and `psql`.
///
/// Looked for on the `PATH` first (following links, since the programs find each other by their
/// real place), then under `/usr/lib/postgresql`, newest version first.
pub fn find() -> Option<PathBuf> {
    let on_path = env::read("PATH").and_then(|path| {
        std::env::split_paths(&path)
            .filter_map(|directory| directory.join("initdb").canonicalize().ok())
            .find_map(|initdb| {
                initdb
                    .parent()
                    .filter(|d| is_complete(d))
                    .map(Path::to_owned)
            })
    });
    on_path.or_else(|| newest_under(Path::new(DEBIAN_ROOT)))
}

fn newest_under(root: &Path) -> Option<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir(root)
        .ok()?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(_, directory)| is_complete(directory))
        .collect();
    versions.sort();
    versions.pop().map(|(_, directory)| directory)
}

fn is_complete(directory: &Path) -> bool {
    ["initdb", "pg_ctl", "postgres", "psql"]
        .iter()
        .all(|name| directory.join(name).is_file())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn takes_the_newest_complete_version() {
        let root = tempfile::tempdir().unwrap();
        for (version, complete) in [("9", true), ("15", true), ("18", false)] {
            let bin = root.path().join(version).join("bin");
            fs::create_dir_all(&bin).unwrap();
            let programs: &[&str] = if complete {
                &["initdb", "pg_ctl", "postgres", "psql"]
            } else {
                &["psql"]
            };
            for program in programs {
                fs::write(bin.join(program), "").unwrap();
            }
        }
        assert_eq!(newest_under(root.path()), Some(root.path().join("15/bin")));
    }
}
