//! Output files of an attempt: what is taken and what is refused.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::executor::{CollectedFile, ExecutorError};

/// Every regular file below `root`, by path.
///
/// A symbolic link, a device or a name that is not UTF-8 is an error that names it: what the job meant by
/// it can not be told, and following a link could carry a file of the host out.
pub(crate) fn collect(root: &Path) -> Result<Vec<CollectedFile>, ExecutorError> {
    let mut files = Vec::new();
    match walk(root, "", &mut files) {
        // The job was never started.
        Err(ExecutorError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
        other => other?,
    }
    files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn walk(dir: &Path, prefix: &str, files: &mut Vec<CollectedFile>) -> Result<(), ExecutorError> {
    let fail =
        |error| ExecutorError::io(format!("reading the outputs in `{}`", dir.display()), error);
    for entry in fs::read_dir(dir).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            return Err(refused(
                prefix,
                &name.to_string_lossy(),
                "has a name that is not UTF-8",
            ));
        };
        let path = if prefix.is_empty() {
            name.to_owned()
        } else {
            format!("{prefix}/{name}")
        };
        let meta = entry.metadata().map_err(fail)?;
        let kind = meta.file_type();
        if kind.is_dir() {
            walk(&entry.path(), &path, files)?;
        } else if kind.is_file() {
            make_plain(&entry.path(), &meta).map_err(fail)?;
            files.push(CollectedFile {
                path,
                local: entry.path(),
                size: meta.len(),
            });
        } else {
            let what = if kind.is_symlink() {
                "is a symbolic link"
            } else {
                "is no regular file"
            };
            return Err(refused(prefix, name, what));
        }
    }
    Ok(())
}

/// Takes from a file what only a program of the host would need: to run as its owner, and to be changed by
/// others. In a sandbox of root the files of a job belong to root.
fn make_plain(path: &Path, meta: &fs::Metadata) -> io::Result<()> {
    let mode = meta.permissions().mode() & 0o7777;
    let plain = (mode & 0o755) | 0o600;
    if mode == plain {
        Ok(())
    } else {
        fs::set_permissions(path, Permissions::from_mode(plain))
    }
}

fn refused(prefix: &str, name: &str, what: &str) -> ExecutorError {
    let slash = if prefix.is_empty() { "" } else { "/" };
    let reason = format!("the output `{prefix}{slash}{name}` {what}: write regular files only");
    ExecutorError::io(reason, io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::symlink;

    #[test]
    fn regular_files_come_sorted_with_their_sizes() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        for (path, text) in [("z", "1"), ("a/b/c", "22"), ("a/.hidden", "")] {
            fs::write(dir.path().join(path), text).unwrap();
        }
        let file = |path: &str, size| CollectedFile {
            path: path.to_owned(),
            local: dir.path().join(path),
            size,
        };
        let expected = [file("a/.hidden", 0), file("a/b/c", 2), file("z", 1)];
        assert_eq!(collect(dir.path()).unwrap(), expected);
        assert_eq!(collect(&dir.path().join("absent")).unwrap(), []);
    }

    #[test]
    fn no_file_runs_as_its_owner_or_can_be_changed_by_others() {
        let dir = tempfile::tempdir().unwrap();
        for (name, before, after) in [
            ("a", 0o6777, 0o755),
            ("b", 0o000, 0o600),
            ("c", 0o640, 0o640),
        ] {
            let path = dir.path().join(name);
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, Permissions::from_mode(before)).unwrap();
            collect(dir.path()).unwrap();
            assert_eq!(
                fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
                after
            );
        }
    }

    #[test]
    fn links_sockets_and_odd_names_are_refused_by_name() {
        for (make, reason) in [
            (
                (|dir: &Path| symlink("/etc/passwd", dir.join("sub/link")).unwrap()) as fn(&Path),
                "the output `sub/link` is a symbolic link: write regular files only",
            ),
            (
                |dir| drop(std::os::unix::net::UnixListener::bind(dir.join("sock")).unwrap()),
                "the output `sock` is no regular file: write regular files only",
            ),
            (
                |dir| fs::write(dir.join(OsStr::from_bytes(b"\xff")), "").unwrap(),
                "the output `\u{fffd}` has a name that is not UTF-8: write regular files only",
            ),
        ] {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join("sub")).unwrap();
            make(dir.path());
            assert_eq!(collect(dir.path()).unwrap_err().to_string(), reason);
        }
    }
}
