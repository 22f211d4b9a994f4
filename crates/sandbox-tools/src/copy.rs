//! Copies a tree of files with all that makes it what it is: modes, owners, times, links, extended
//! attributes, holes aside, and overlayfs's whiteouts.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, lchown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags, lgetxattr, llistxattr,
    lsetxattr, mknodat, utimensat,
};
use rustix::io::Errno;

/// What of the extended attributes is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum As {
    /// All: a layer of an overlay stays one.
    Layer,
    /// Those that are not overlayfs's own, and no whiteouts.
    Plain,
}

/// Copies `from` to `to`, which must not exist. What ends while it is copied is left out.
pub(crate) fn tree(from: &Path, to: &Path, kind: As) -> io::Result<()> {
    let mut copy = Copy {
        kind,
        links: HashMap::new(),
    };
    copy.entry(from, to)
}

struct Copy {
    kind: As,
    /// Where a file with several names was copied first, by device and inode.
    links: HashMap<(u64, u64), PathBuf>,
}

impl Copy {
    fn entry(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let meta = fs::symlink_metadata(from).map_err(|error| told(&error, from))?;
        let kind = meta.file_type();
        if kind.is_dir() {
            fs::create_dir(to).map_err(|error| told(&error, to))?;
            for entry in fs::read_dir(from).map_err(|error| told(&error, from))? {
                let name = entry?.file_name();
                let (inner, target) = (from.join(&name), to.join(&name));
                match self.entry(&inner, &target) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound && !inner.exists() => {}
                    copied => copied?,
                }
            }
        } else if meta.nlink() > 1 {
            if let Some(first) = self.links.get(&(meta.dev(), meta.ino())) {
                return fs::hard_link(first, to).map_err(|error| told(&error, to));
            }
            self.links
                .insert((meta.dev(), meta.ino()), to.to_path_buf());
            self.file(from, to, &meta)?;
        } else {
            self.file(from, to, &meta)?;
        }
        if fs::symlink_metadata(to).is_ok() {
            self.attributes(from, to, &meta)
                .map_err(|error| told(&error, to))?;
        }
        Ok(())
    }

    /// Everything that is no directory. Sockets are left out: nobody listens on a copy.
    fn file(&self, from: &Path, to: &Path, meta: &fs::Metadata) -> io::Result<()> {
        let kind = meta.file_type();
        let is_whiteout = kind.is_char_device() && meta.rdev() == 0;
        if kind.is_symlink() {
            symlink(fs::read_link(from)?, to)
        } else if kind.is_file() {
            fs::copy(from, to).map(drop)
        } else if kind.is_fifo() {
            node(to, FileType::Fifo, 0)
        } else if is_whiteout && self.kind == As::Layer {
            node(to, FileType::CharacterDevice, 0)
        } else {
            Ok(())
        }
        .map_err(|error| told(&error, from))
    }

    fn attributes(&self, from: &Path, to: &Path, meta: &fs::Metadata) -> io::Result<()> {
        match lchown(to, Some(meta.uid()), Some(meta.gid())) {
            // As a user who is not root all files are one's own.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            owned => owned?,
        }
        if !meta.file_type().is_symlink() {
            let mode = fs::Permissions::from_mode(meta.mode() & 0o7777);
            fs::set_permissions(to, mode)?;
        }
        self.extended(from, to)?;
        let times = Timestamps {
            last_access: Timespec {
                tv_sec: meta.atime(),
                tv_nsec: meta.atime_nsec(),
            },
            last_modification: Timespec {
                tv_sec: meta.mtime(),
                tv_nsec: meta.mtime_nsec(),
            },
        };
        Ok(utimensat(CWD, to, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    fn extended(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut names = vec![0_u8; 64 * 1024];
        let length = match llistxattr(from, &mut names) {
            Err(Errno::OPNOTSUPP) => return Ok(()),
            length => length?,
        };
        let names = names.get(..length).unwrap_or_default();
        let mut value = vec![0_u8; 64 * 1024];
        for name in names
            .split(|byte| *byte == 0)
            .filter(|name| !name.is_empty())
        {
            let is_overlay =
                name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.");
            if is_overlay && self.kind == As::Plain {
                continue;
            }
            let length = match lgetxattr(from, name, &mut value) {
                Err(Errno::NODATA) => continue,
                length => length?,
            };
            let value = value.get(..length).unwrap_or_default();
            match lsetxattr(to, name, value, XattrFlags::empty()) {
                // What only a greater power may set, it has set on the source alone.
                Ok(()) | Err(Errno::PERM | Errno::OPNOTSUPP | Errno::ACCESS) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn node(path: &Path, kind: FileType, device: u64) -> io::Result<()> {
    Ok(mknodat(CWD, path, kind, Mode::RUSR | Mode::WUSR, device)?)
}

fn told(error: &io::Error, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("`{}`: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_keeps_modes_links_times_attributes_and_whiteouts() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("inner")).unwrap();
        fs::write(from.join("inner/a"), b"content").unwrap();
        fs::set_permissions(from.join("inner/a"), fs::Permissions::from_mode(0o4751)).unwrap();
        fs::hard_link(from.join("inner/a"), from.join("b")).unwrap();
        symlink("nowhere", from.join("link")).unwrap();
        node(&from.join("gone"), FileType::CharacterDevice, 0).unwrap();
        let opaque = if crate::base::is_machine_root() {
            "trusted.overlay.opaque"
        } else {
            "user.overlay.opaque"
        };
        lsetxattr(from.join("inner"), opaque, b"y", XattrFlags::empty()).unwrap();
        tree(&from, &to, As::Layer).unwrap();

        let (old, new) = (
            fs::metadata(from.join("inner/a")).unwrap(),
            fs::metadata(to.join("inner/a")).unwrap(),
        );
        assert_eq!(fs::read(to.join("b")).unwrap(), b"content");
        assert_eq!(new.mode(), old.mode());
        assert_eq!(new.mtime_nsec(), old.mtime_nsec());
        assert_eq!(fs::metadata(to.join("b")).unwrap().ino(), new.ino());
        assert_eq!(
            fs::read_link(to.join("link")).unwrap(),
            Path::new("nowhere")
        );
        let gone = fs::symlink_metadata(to.join("gone")).unwrap();
        assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
        let mut value = [0; 8];
        let length = lgetxattr(to.join("inner"), opaque, &mut value).unwrap();
        assert_eq!(&value[..length], b"y");

        let plain = dir.path().join("plain");
        tree(&from, &plain, As::Plain).unwrap();
        assert!(!plain.join("gone").exists());
        let found = lgetxattr(plain.join("inner"), opaque, &mut value);
        assert_eq!(found, Err(Errno::NODATA));
    }
}
