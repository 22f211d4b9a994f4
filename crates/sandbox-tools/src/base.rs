//! The lowest layer of every container: what is there beside the machine's system.
//!
//! A container's root is empty but for what [`build`] makes: homes, `/tmp` and `/run`, all private. The
//! machine's system is mounted in it, directory by directory ([`System`]), each as an overlay of its own
//! below a writable layer. So nothing else of the machine is ever seen, whatever is added to it later.
//!
//! A layer is a directory with `root/`, for the root, and `system/<path>/`, for each directory of the
//! system; files of the latter may be in `root/<path>/` as well. In this layer they hold *whiteouts* (character devices 0/0, which overlayfs takes for "not
//! here") over what is secret.
//!
//! Deliberately absent: a choice; a container engine's images are another project.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

/// Where a system is: seen where they exist. Links among them are links inside.
const SYSTEM: [&str; 11] = [
    "/bin",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix",
    "/opt",
    "/sbin",
    "/usr",
    "/var/lib/dpkg",
];
/// Of it, what is not seen.
const SECRET: [&str; 17] = [
    "/etc/NetworkManager",
    "/etc/docker",
    "/etc/gshadow",
    "/etc/gshadow-",
    "/etc/ipsec.secrets",
    "/etc/krb5.keytab",
    "/etc/kubernetes",
    "/etc/letsencrypt",
    "/etc/machine-id",
    "/etc/netplan",
    "/etc/openvpn",
    "/etc/ppp",
    "/etc/shadow-",
    "/etc/ssl/private",
    "/etc/sudoers",
    "/etc/sudoers.d",
    "/etc/wireguard",
];
/// Directories that are there, with their modes.
const PRIVATE: [(&str, u32); 22] = [
    ("root", 0o700),
    ("home", 0o755),
    ("tmp", 0o1777),
    ("run", 0o755),
    ("run/lock", 0o1777),
    ("mnt", 0o755),
    ("media", 0o755),
    ("srv", 0o755),
    ("boot", 0o755),
    ("dev", 0o755),
    ("proc", 0o555),
    ("sys", 0o555),
    ("var", 0o755),
    ("var/cache", 0o755),
    ("var/cache/apt/archives/partial", 0o700),
    ("var/lib", 0o755),
    ("var/lib/apt/lists/partial", 0o700),
    ("var/local", 0o755),
    ("var/log", 0o755),
    ("var/spool", 0o755),
    ("var/tmp", 0o1777),
    ("__modal/.bin", 0o755),
];
/// Links that are there.
const LINKS: [(&str, &str); 2] = [("/run", "var/run"), ("/run/lock", "var/lock")];

/// The directories of the machine that containers see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct System {
    directories: Vec<PathBuf>,
}

impl System {
    /// The usual ones, and `more`, which may be links to directories.
    ///
    /// # Errors
    /// When one of `more` does not exist, is no directory, or is the root.
    pub fn new(more: &[PathBuf]) -> io::Result<Self> {
        let mut found = BTreeSet::new();
        for path in SYSTEM {
            let meta = fs::symlink_metadata(path);
            if meta.is_ok_and(|meta| meta.is_dir()) {
                found.insert(PathBuf::from(path));
            }
        }
        for path in more {
            let path = fs::canonicalize(path).map_err(|error| told(&error, path))?;
            if !path.is_dir() || path == Path::new("/") {
                return Err(told(&ErrorKind::NotADirectory.into(), &path));
            }
            found.insert(path);
        }
        // One inside of another comes with it.
        let directories = found.iter().filter(|path| {
            !found
                .iter()
                .any(|other| other != *path && path.starts_with(other))
        });
        Ok(Self {
            directories: directories.cloned().collect(),
        })
    }

    /// Absolute paths, none inside of another.
    pub fn directories(&self) -> &[PathBuf] {
        &self.directories
    }

    /// That of them which `path` is in.
    pub fn holding(&self, path: &Path) -> Option<&Path> {
        let found = self.directories.iter().find(|dir| path.starts_with(dir));
        found.map(PathBuf::as_path)
    }
}

/// Makes the layer in `dir`, which must not exist. `hostname` is the containers'.
///
/// # Errors
/// Those of the file system, with the path.
pub fn build(dir: &Path, system: &System, hostname: &str) -> io::Result<()> {
    let layer = Layer { dir, system };
    let root = dir.join("root");
    directory(&root, 0o755)?;
    for (name, mode) in PRIVATE {
        directory(&root.join(name), mode)?;
    }
    for path in SYSTEM {
        // What is a link on the machine is the same link inside.
        if let Ok(target) = fs::read_link(path) {
            link(&target, &root.join(relative(Path::new(path))))?;
        }
    }
    for (target, name) in LINKS {
        link(Path::new(target), &root.join(name))?;
    }
    for path in system.directories() {
        directory(&root.join(relative(path)), 0o755)?;
    }
    file(
        &root.join(relative(Path::new(crate::TOOL_PATH))),
        b"",
        0o755,
    )?;
    for path in SECRET {
        layer.hide(Path::new(path))?;
    }
    layer.etc(hostname)
}

/// Where in a layer the part of a directory of the system is.
pub(crate) fn part(system: &Path) -> PathBuf {
    Path::new("system").join(relative(system))
}

struct Layer<'a> {
    dir: &'a Path,
    system: &'a System,
}

impl Layer<'_> {
    /// Where the layer's part at a path of the machine is, with the directories that lead there. They look
    /// like the machine's, so that what is merged keeps its mode. `None` when the path is not seen at all.
    fn place(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        let Some(holding) = self.system.holding(path) else {
            return Ok(None);
        };
        let parents: Vec<&Path> = path.ancestors().skip(1).collect();
        for parent in parents.into_iter().rev() {
            if parent.starts_with(holding) {
                let target = self.dir.join(part(parent));
                if !target.exists() {
                    let mode = fs::metadata(parent).map_or(0o755, |meta| meta.permissions().mode());
                    directory(&target, mode & 0o7777)?;
                }
            }
        }
        Ok(Some(self.dir.join(part(path))))
    }

    /// Lets a path of the machine be not there.
    fn hide(&self, path: &Path) -> io::Result<()> {
        if fs::symlink_metadata(path).is_err() {
            return Ok(());
        }
        let Some(target) = self.place(path)? else {
            return Ok(());
        };
        let whiteout = FileType::CharacterDevice;
        mknodat(CWD, &target, whiteout, Mode::empty(), makedev(0, 0))
            .map_err(|error| told(&error.into(), &target))
    }

    /// Files of `/etc` that are the containers' own.
    fn etc(&self, hostname: &str) -> io::Result<()> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let mut shadow = String::new();
        for line in read("/etc/passwd").lines() {
            if let Some(name) = line.split(':').next().filter(|name| !name.is_empty()) {
                shadow.push_str(name);
                shadow.push_str(":*:19000:0:99999:7:::\n");
            }
        }
        let hosts = format!("127.0.0.1\tlocalhost {hostname}\n{}", read("/etc/hosts"));
        let files = [
            ("/etc/shadow", shadow, 0o640),
            ("/etc/hosts", hosts, 0o644),
            ("/etc/hostname", format!("{hostname}\n"), 0o644),
            // On the machine it is often a link to somewhere below `/run`.
            ("/etc/resolv.conf", read("/etc/resolv.conf"), 0o644),
        ];
        for (path, content, mode) in files {
            if let Some(target) = self.place(Path::new(path))? {
                file(&target, content.as_bytes(), mode)?;
            }
        }
        let keys = fs::read_dir("/etc/ssh").into_iter().flatten();
        for key in keys.filter_map(Result::ok) {
            if key.file_name().to_string_lossy().starts_with("ssh_host_") {
                self.hide(&key.path())?;
            }
        }
        Ok(())
    }
}

fn directory(path: &Path, mode: u32) -> io::Result<()> {
    fs::create_dir_all(path)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
        .map_err(|error| told(&error, path))
}

fn file(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    fs::write(path, content)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
        .map_err(|error| told(&error, path))
}

fn link(target: &Path, path: &Path) -> io::Result<()> {
    symlink(target, path).map_err(|error| told(&error, path))
}

/// Whether this process is the machine's root, and not that of some user namespace: the kernel then lets
/// overlays keep their notes in attributes that no one else can write.
pub(crate) fn is_machine_root() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let outside = map.split_ascii_whitespace().nth(1);
    rustix::process::geteuid().is_root() && outside == Some("0")
}

/// An absolute path without its `/`.
pub(crate) fn relative(path: &Path) -> PathBuf {
    let normal = |component| match component {
        Component::Normal(name) => Some(name),
        _ => None,
    };
    path.components().filter_map(normal).collect()
}

fn told(error: &io::Error, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("`{}`: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

    use super::*;

    #[test]
    fn the_base_has_private_places_and_hides_secrets() {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("base");
        let system = System::new(&[place.path().to_path_buf()]).unwrap();
        build(&dir, &system, "modal").unwrap();
        let mode = |path: &str| fs::metadata(dir.join(path)).unwrap().mode() & 0o7777;
        assert_eq!(mode("root/tmp"), 0o1777);
        assert_eq!(mode("root/root"), 0o700);
        assert_eq!(mode("system/etc/shadow"), 0o640);
        let shadow = fs::read_to_string(dir.join("system/etc/shadow")).unwrap();
        assert!(!shadow.contains('$'));
        if Path::new("/etc/gshadow").exists() {
            let hidden = fs::symlink_metadata(dir.join("system/etc/gshadow")).unwrap();
            assert!(hidden.file_type().is_char_device() && hidden.rdev() == 0);
        }
        assert!(dir.join("root").join(relative(place.path())).is_dir());
    }

    #[test]
    fn a_directory_of_the_system_is_seen_once() {
        let place = tempfile::tempdir().unwrap();
        let outer = fs::canonicalize(place.path()).unwrap();
        let inner = outer.join("inner");
        fs::create_dir(&inner).unwrap();
        let bare = System::new(&[]).unwrap();
        let more = ["/usr/bin".into(), inner, outer.clone()];
        let mut expected = bare.directories().to_vec();
        expected.push(outer.clone());
        expected.sort();
        let system = System::new(&more).unwrap();
        assert_eq!(system.directories(), expected);
        assert_eq!(system.holding(&outer.join("x")), Some(outer.as_path()));
        assert_eq!(system.holding(Path::new("/nowhere")), None);
        assert!(System::new(&["/no/such/place".into()]).is_err());
    }
}
