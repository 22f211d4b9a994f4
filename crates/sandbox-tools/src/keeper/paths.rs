//! Paths inside a root, seen from outside of it. The container's links never lead out.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, mkdirat, openat, openat2};
use rustix::io::Errno;

/// What a missing path is to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    File,
}

/// A path that leads to what a descriptor stands for, for calls that take none.
pub(super) fn by_descriptor(descriptor: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", descriptor.as_raw_fd()))
}

/// Opens what is at `path` inside, the topmost mount of it.
pub(super) fn open(root: impl AsFd, path: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    Ok(openat2(root, path, flags, Mode::empty(), resolve)?)
}

/// As [`open`], and makes what is missing.
pub(super) fn make(root: impl AsFd, path: &str, kind: Kind) -> io::Result<OwnedFd> {
    let names = names(path)?;
    let mut at = open(&root, "/")?;
    let mut sofar = String::new();
    for (index, name) in names.iter().enumerate() {
        sofar.push('/');
        sofar.push_str(name);
        let is_last = index + 1 == names.len();
        at = match open(&root, &sofar) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if is_last && kind == Kind::File {
                    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
                    openat(&at, *name, flags, Mode::from_raw_mode(0o644))?;
                } else {
                    match mkdirat(&at, *name, Mode::from_raw_mode(0o755)) {
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                open(&root, &sofar)?
            }
            found => found?,
        };
    }
    Ok(at)
}

fn names(path: &str) -> io::Result<Vec<&str>> {
    let invalid = || {
        let why = format!("`{path}` is not an absolute path without `..`");
        io::Error::new(io::ErrorKind::InvalidInput, why)
    };
    if !path.starts_with('/') {
        return Err(invalid());
    }
    let mut names = Vec::new();
    for component in Path::new(path).components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => names.push(name.to_str().ok_or_else(invalid)?),
            Component::ParentDir | Component::Prefix(_) => return Err(invalid()),
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_inside_does_not_lead_out() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc", dir.path().join("etc-link")).unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        let root = std::fs::File::open(dir.path()).unwrap();
        make(&root, "/etc-link/new/deep", Kind::Directory).unwrap();
        make(&root, "/a/file", Kind::File).unwrap();
        assert!(dir.path().join("etc/new/deep").is_dir());
        assert!(dir.path().join("a/file").is_file());
        assert!(open(&root, "/etc-link/passwd").is_err());
        assert!(make(&root, "/../up", Kind::Directory).is_err());
        assert!(make(&root, "relative", Kind::Directory).is_err());
    }
}
