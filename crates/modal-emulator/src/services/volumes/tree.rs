//! The live content of a volume: a directory that containers write too, so nothing in it is trusted.
//!
//! Every path is resolved by the kernel beneath the directory (`openat2`, `RESOLVE_BENEATH`): `..` is refused
//! and a symbolic link that a container planted leads nowhere outside. The emulator may be root; this is
//! what keeps `volume get` from reading the machine's files.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use moorline_modal_proto::client::FileEntry;
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, RawMode, ResolveFlags, Stat, fchmod, mkdirat, openat2,
    readlinkat, renameat, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;
use tonic::Status;

use super::walk::{entries, entry, kind, remove_directory, walk};

/// Directories deeper than this are refused: they are a loop or an attack.
pub(super) const MAX_DEPTH: usize = 128;

/// Why an operation on a path of a volume was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum TreeError {
    /// The path can not be one of a volume.
    #[error("'{path}' is no path of a volume: {why}")]
    Invalid { path: String, why: &'static str },
    #[error("'{path}' not found in the volume")]
    NotFound { path: String },
    #[error("'{path}' already exists")]
    Exists { path: String },
    #[error("'{path}' is a directory{hint}")]
    IsDirectory { path: String, hint: &'static str },
    #[error("'{path}' is not a directory")]
    NotADirectory { path: String },
    #[error("'{path}' leads out of the volume")]
    Escapes { path: String },
    #[error("'{path}' can not be used")]
    Io {
        path: String,
        #[source]
        source: io::Error,
    },
}

impl TreeError {
    fn of(errno: Errno, path: &Path) -> Self {
        let path = path.display().to_string();
        match errno {
            Errno::NOENT => Self::NotFound { path },
            Errno::EXIST | Errno::NOTEMPTY => Self::Exists { path },
            Errno::ISDIR => Self::IsDirectory { path, hint: "" },
            Errno::NOTDIR => Self::NotADirectory { path },
            Errno::XDEV | Errno::LOOP => Self::Escapes { path },
            Errno::NAMETOOLONG => Self::Invalid {
                path,
                why: "a name is longer than 255 bytes",
            },
            other => Self::Io {
                path,
                source: other.into(),
            },
        }
    }
}

impl From<TreeError> for Status {
    fn from(error: TreeError) -> Self {
        let text = match &error {
            TreeError::Io { source, .. } => format!("{error}: {source}"),
            _ => error.to_string(),
        };
        match error {
            TreeError::Invalid { .. } | TreeError::Escapes { .. } => Self::invalid_argument(text),
            TreeError::IsDirectory { .. } | TreeError::NotADirectory { .. } => {
                Self::invalid_argument(text)
            }
            TreeError::NotFound { .. } => Self::not_found(text),
            TreeError::Exists { .. } => Self::already_exists(text),
            TreeError::Io { .. } => Self::failed_precondition(text),
        }
    }
}

/// A path of a volume, relative to its root; the root itself is empty.
pub(super) fn normal(path: &str) -> Result<PathBuf, TreeError> {
    let invalid = |why| TreeError::Invalid {
        path: path.to_owned(),
        why,
    };
    if path.contains('\0') {
        return Err(invalid("it has a NUL in it"));
    }
    let mut normal = PathBuf::new();
    for name in path.split('/').filter(|name| !matches!(*name, "" | ".")) {
        if name == ".." {
            return Err(invalid("write it without `..`"));
        }
        normal.push(name);
    }
    Ok(normal)
}

/// A path of a volume that names something in it, not the root.
pub(super) fn normal_name(path: &str) -> Result<PathBuf, TreeError> {
    let name = normal(path)?;
    if name.as_os_str().is_empty() {
        return Err(TreeError::Invalid {
            path: path.to_owned(),
            why: "it is the volume itself",
        });
    }
    Ok(name)
}

/// What identifies one state of a file's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Stamp {
    pub(super) inode: u64,
    pub(super) size: u64,
    pub(super) modified: (i64, i64),
    pub(super) changed: (i64, i64),
}

impl Stamp {
    #[allow(
        clippy::useless_conversion,
        clippy::unnecessary_fallible_conversions,
        clippy::allow_attributes,
        reason = "the types of the fields differ between architectures"
    )]
    pub(super) fn of(stat: &Stat) -> Self {
        let time = |secs, nanos| (secs, i64::try_from(nanos).unwrap_or_default());
        Self {
            inode: u64::try_from(stat.st_ino).unwrap_or_default(),
            size: u64::try_from(stat.st_size).unwrap_or_default(),
            modified: time(
                i64::try_from(stat.st_mtime).unwrap_or_default(),
                stat.st_mtime_nsec,
            ),
            changed: time(
                i64::try_from(stat.st_ctime).unwrap_or_default(),
                stat.st_ctime_nsec,
            ),
        }
    }
}

/// A directory, and what is beneath it.
#[derive(Debug)]
pub(super) struct Tree {
    root: OwnedFd,
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or_else(|| Path::new(""))
}

fn name(path: &Path) -> &Path {
    path.file_name().map_or_else(|| Path::new(""), Path::new)
}

impl Tree {
    pub(super) fn open(dir: &Path) -> Result<Self, TreeError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let root = rustix::fs::openat(CWD, dir, flags, Mode::empty());
        let root = root.map_err(|errno| TreeError::of(errno, Path::new("")))?;
        Ok(Self { root })
    }

    fn at(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let inside = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        loop {
            match openat2(
                &self.root,
                inside,
                flags | OFlags::CLOEXEC,
                Mode::empty(),
                resolve,
            ) {
                // The kernel lost a race against a rename: RESOLVE_BENEATH asks to come again.
                Err(Errno::AGAIN | Errno::INTR) => {}
                opened => return opened,
            }
        }
    }

    fn directory(&self, path: &Path) -> Result<OwnedFd, TreeError> {
        let opened = self.at(path, OFlags::RDONLY | OFlags::DIRECTORY);
        opened.map_err(|errno| TreeError::of(errno, path))
    }

    /// What is at a path, not following a link at its end; `None` when nothing is.
    fn look(&self, path: &Path) -> Result<Option<Stat>, TreeError> {
        let found = if path.as_os_str().is_empty() {
            rustix::fs::fstat(&self.root)
        } else {
            let dir = self.at(parent(path), OFlags::PATH | OFlags::DIRECTORY);
            dir.and_then(|dir| statat(dir, name(path), AtFlags::SYMLINK_NOFOLLOW))
        };
        match found {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(TreeError::of(errno, path)),
        }
    }

    /// Whether anything has this path.
    pub(super) fn exists(&self, path: &Path) -> Result<bool, TreeError> {
        Ok(self.look(path)?.is_some())
    }

    fn is_directory(&self, path: &Path) -> Result<bool, TreeError> {
        Ok(self
            .look(path)?
            .is_some_and(|stat| kind(stat.st_mode) == FileType::Directory))
    }

    /// Whether a path is a directory, or a link to one inside.
    pub(super) fn leads_to_directory(&self, path: &Path) -> bool {
        self.at(path, OFlags::PATH | OFlags::DIRECTORY).is_ok()
    }

    /// Where a directory beneath really is, without links on the way.
    pub(super) fn real_path(&self, path: &Path) -> Result<PathBuf, TreeError> {
        use std::os::fd::AsRawFd as _;
        let dir = self.directory(path)?;
        let real = std::fs::read_link(format!("/proc/self/fd/{}", dir.as_raw_fd()));
        real.map_err(|source| TreeError::Io {
            path: path.display().to_string(),
            source,
        })
    }

    /// A regular file for reading, and its state.
    pub(super) fn file(&self, path: &Path) -> Result<(File, Stamp), TreeError> {
        // Without NONBLOCK a fifo would block until somebody writes to it.
        let file = self.at(path, OFlags::RDONLY | OFlags::NONBLOCK);
        let file = File::from(file.map_err(|errno| TreeError::of(errno, path))?);
        let stat = rustix::fs::fstat(&file).map_err(|errno| TreeError::of(errno, path))?;
        let shown = path.display().to_string();
        match kind(stat.st_mode) {
            FileType::RegularFile => Ok((file, Stamp::of(&stat))),
            FileType::Directory => Err(TreeError::IsDirectory {
                path: shown,
                hint: "",
            }),
            _ => Err(TreeError::Invalid {
                path: shown,
                why: "it is no regular file",
            }),
        }
    }

    /// Makes a directory and what leads to it.
    pub(super) fn make_directories(&self, path: &Path) -> Result<(), TreeError> {
        let mut made = PathBuf::new();
        for component in path {
            let above = self.directory(&made)?;
            made.push(component);
            match mkdirat(&above, component, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(TreeError::of(errno, &made)),
            }
        }
        if path.as_os_str().is_empty() || self.is_directory(path)? {
            return Ok(());
        }
        // A link to a directory is as good, as long as it stays inside.
        self.directory(path).map(drop)
    }

    /// Moves a complete file into the volume, replacing a file there; makes the directories above it.
    pub(super) fn place(&self, staged: &Path, mode: u32, path: &Path) -> Result<Stamp, TreeError> {
        if self.is_directory(path)? {
            let hint = ", and a file does not replace it";
            return Err(TreeError::IsDirectory {
                path: path.display().to_string(),
                hint,
            });
        }
        self.make_directories(parent(path))?;
        let dir = self.directory(parent(path))?;
        let io = |source| TreeError::Io {
            path: path.display().to_string(),
            source,
        };
        let file = File::open(staged).map_err(io)?;
        let mode = Mode::from_raw_mode((mode & 0o7777) as RawMode);
        fchmod(&file, mode).map_err(|errno| TreeError::of(errno, path))?;
        renameat(CWD, staged, dir, name(path)).map_err(|errno| TreeError::of(errno, path))?;
        let stat = rustix::fs::fstat(&file).map_err(|errno| TreeError::of(errno, path))?;
        Ok(Stamp::of(&stat))
    }

    /// Removes a file, or with `recursive` a directory and all in it.
    pub(super) fn remove(&self, path: &Path, recursive: bool) -> Result<(), TreeError> {
        let shown = || path.display().to_string();
        let Some(stat) = self.look(path)? else {
            return Err(TreeError::NotFound { path: shown() });
        };
        let dir = self.directory(parent(path))?;
        if kind(stat.st_mode) != FileType::Directory {
            return unlinkat(dir, name(path), AtFlags::empty())
                .map_err(|errno| TreeError::of(errno, path));
        }
        if !recursive {
            let hint = ": remove it with the recursive option (-r)";
            return Err(TreeError::IsDirectory {
                path: shown(),
                hint,
            });
        }
        remove_directory(dir.as_fd(), name(path), 0).map_err(|errno| TreeError::of(errno, path))
    }

    /// The entries of a directory, sorted by path, or the one entry that a file is.
    pub(super) fn list(&self, path: &Path, recursive: bool) -> Result<Vec<FileEntry>, TreeError> {
        let Some(stat) = self.look(path)? else {
            return Err(TreeError::NotFound {
                path: path.display().to_string(),
            });
        };
        // A link at the end is followed, when it leads to a directory inside.
        if !matches!(kind(stat.st_mode), FileType::Directory | FileType::Symlink) {
            return Ok(vec![entry(path, &stat)]);
        }
        let dir = match self.directory(path) {
            Ok(dir) => dir,
            Err(_) if kind(stat.st_mode) == FileType::Symlink => {
                return Ok(vec![entry(path, &stat)]);
            }
            Err(error) => return Err(error),
        };
        let mut entries = Vec::new();
        walk(dir.as_fd(), path, recursive, 0, &mut entries)
            .map_err(|errno| TreeError::of(errno, path))?;
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(entries)
    }

    /// Copies as `cp` does: into `to` when it is a directory, else to it. `staging` makes the path of a new
    /// file on the same file system.
    pub(super) fn copy(
        &self,
        from: &Path,
        to: &Path,
        recursive: bool,
        staging: &dyn Fn() -> PathBuf,
    ) -> Result<(), TreeError> {
        let Some(stat) = self.look(from)? else {
            return Err(TreeError::NotFound {
                path: from.display().to_string(),
            });
        };
        let to = if self.is_directory(to)? {
            to.join(name(from))
        } else {
            to.to_owned()
        };
        if kind(stat.st_mode) == FileType::Directory {
            let shown = from.display().to_string();
            if !recursive {
                let hint = ": copy it with the recursive option (-r)";
                return Err(TreeError::IsDirectory { path: shown, hint });
            }
            if to.starts_with(from) {
                return Err(TreeError::Invalid {
                    path: shown,
                    why: "it can not be copied into itself",
                });
            }
        }
        if !parent(&to).as_os_str().is_empty() {
            self.directory(parent(&to))?;
        }
        self.copy_entry(from, &to, &stat, 0, staging)
    }

    fn copy_entry(
        &self,
        from: &Path,
        to: &Path,
        stat: &Stat,
        depth: usize,
        staging: &dyn Fn() -> PathBuf,
    ) -> Result<(), TreeError> {
        let errno = |errno| TreeError::of(errno, from);
        match kind(stat.st_mode) {
            FileType::Directory if depth >= MAX_DEPTH => Err(errno(Errno::LOOP)),
            FileType::Directory => {
                self.make_directories(to)?;
                for (name, stat) in entries(self.directory(from)?.as_fd()).map_err(errno)? {
                    self.copy_entry(
                        &from.join(&name),
                        &to.join(&name),
                        &stat,
                        depth + 1,
                        staging,
                    )?;
                }
                Ok(())
            }
            FileType::Symlink => {
                let dir = self.directory(parent(from))?;
                let target = readlinkat(dir, name(from), Vec::new()).map_err(errno)?;
                let dir = self.directory(parent(to))?;
                symlinkat(&*target, dir, name(to)).map_err(|errno| TreeError::of(errno, to))
            }
            FileType::RegularFile => {
                let (mut source, _) = self.file(from)?;
                let staged = staging();
                let io = |source| TreeError::Io {
                    path: from.display().to_string(),
                    source,
                };
                let mut copy = File::create_new(&staged).map_err(io)?;
                let done = io::copy(&mut source, &mut copy).map_err(io);
                let placed = done.and_then(|_| self.place(&staged, stat.st_mode, to));
                if placed.is_err() {
                    // The first failure is the one to tell.
                    drop(std::fs::remove_file(&staged));
                }
                placed.map(drop)
            }
            // Sockets and fifos have no content.
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
