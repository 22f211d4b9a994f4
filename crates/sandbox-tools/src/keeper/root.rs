//! The root of a container, out of layers (see [`base`](crate::base)) and directories of the machine.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, unmount,
};

use super::paths::{Kind, by_descriptor, make, open};
use super::{Plan, devices};
use crate::base;
use crate::copy::{self, As};

/// A built root.
#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
    descriptor: OwnedFd,
    layer: PathBuf,
    /// Paths at which directories were mounted later, newest last.
    mounted: Vec<String>,
}

impl Root {
    /// Builds it, in a mount namespace that is this process's own.
    pub(super) fn build(plan: &Plan) -> io::Result<Self> {
        let (path, layer) = (plan.dir.join("root"), plan.dir.join("layer"));
        let upper = layer.join("root");
        let work = plan.dir.join("work");
        for dir in [&path, &upper, &work.join("root")] {
            fs::create_dir_all(dir).map_err(|error| told("making", dir, &error))?;
        }
        fs::set_permissions(&upper, fs::Permissions::from_mode(0o755))?;
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private)?;

        let lowers = plan.layers.iter().map(|dir| dir.join("root"));
        let lowers: Vec<PathBuf> = lowers.filter(|dir| dir.is_dir()).collect();
        overlay(&path, &lowers, &upper, &work.join("root"))
            .map_err(|error| told("mounting an overlay at", &path, &error))?;
        // What is mounted here appears in the container, also later.
        mount_change(&path, MountPropagationFlags::SHARED)?;

        let descriptor = directory(&path)?;
        let root = Self {
            path,
            descriptor,
            layer,
            mounted: Vec::new(),
        };
        devices::make(&root.path.join("dev")).map_err(|error| told("making", "/dev", &error))?;
        for (index, system) in plan.system.iter().enumerate() {
            root.system(plan, system, &work.join(format!("system-{index}")))
                .map_err(|error| told("showing", system, &error))?;
        }
        root.bind(&plan.helper, crate::TOOL_PATH, true)?;
        for mount in &plan.mounts {
            root.bind(&mount.source, &mount.target, mount.read_only)?;
        }
        Ok(root)
    }

    /// On the host, in this process's mounts.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Shows a directory of the machine, below a writable layer.
    fn system(&self, plan: &Plan, system: &Path, work: &Path) -> io::Result<()> {
        let inside = base::part(system);
        let upper = self.layer.join(&inside);
        fs::create_dir_all(&upper)?;
        fs::create_dir_all(work)?;
        // The merged directory looks like its topmost part.
        fs::set_permissions(&upper, fs::metadata(system)?.permissions())?;
        // Layers that were made by hand may have all of their files in `root/`.
        let below_root = Path::new("root").join(base::relative(system));
        let parts = |layer: &PathBuf| [layer.join(&inside), layer.join(&below_root)];
        let layers = plan.layers.iter().flat_map(parts);
        let mut lowers: Vec<PathBuf> = layers.filter(|dir| dir.is_dir()).collect();
        lowers.push(system.to_path_buf());
        let text = system.to_str().ok_or(io::ErrorKind::InvalidInput)?;
        let target = make(&self.descriptor, text, Kind::Directory)?;
        overlay(&by_descriptor(&target), &lowers, &upper, work)
    }

    fn bind(&self, source: &Path, target: &str, is_read_only: bool) -> io::Result<()> {
        let bound = || {
            let kind = if fs::metadata(source)?.is_dir() {
                Kind::Directory
            } else {
                Kind::File
            };
            let place = make(&self.descriptor, target, kind)?;
            mount_bind(source, by_descriptor(&place))?;
            if is_read_only {
                let mounted = open(&self.descriptor, target)?;
                devices::read_only(&by_descriptor(&mounted))?;
            }
            Ok(())
        };
        bound().map_err(|error: io::Error| {
            let what = format!("mounting `{}` at", source.display());
            told(&what, target, &error)
        })
    }

    pub(super) fn mount_directory(
        &mut self,
        path: &str,
        source: &Path,
        layer: &Path,
    ) -> io::Result<()> {
        let (upper, work) = (layer.join("upper"), layer.join("work"));
        fs::create_dir_all(&upper)?;
        fs::create_dir_all(&work)?;
        fs::set_permissions(&upper, fs::metadata(source)?.permissions())?;
        let target = make(&self.descriptor, path, Kind::Directory)?;
        overlay(
            &by_descriptor(&target),
            &[source.to_path_buf()],
            &upper,
            &work,
        )?;
        self.mounted.push(path.to_owned());
        Ok(())
    }

    pub(super) fn unmount_directory(&mut self, path: &str) -> io::Result<()> {
        let found = self.mounted.iter().rposition(|mounted| mounted == path);
        let index = found.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                format!("nothing was mounted at `{path}`"),
            )
        })?;
        let mounted = open(&self.descriptor, path)?;
        unmount(by_descriptor(&mounted), UnmountFlags::DETACH)?;
        self.mounted.remove(index);
        Ok(())
    }

    /// The container's processes must be stopped: else they could lead the copy astray.
    pub(super) fn copy_directory(&self, path: &str, into: &Path) -> io::Result<()> {
        let from = open(&self.descriptor, path)?;
        let stat = rustix::fs::fstat(&from)?;
        if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        copy::tree(&by_descriptor(&from).join("."), into, As::Plain)
    }

    pub(super) fn copy_layer(&self, into: &Path) -> io::Result<()> {
        copy::tree(&self.layer, into, As::Layer)
    }
}

fn directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, Mode::empty());
    opened.map_err(|error| told("opening", path, &error.into()))
}

/// Mounts an overlay. Its directories are named by descriptors, so that neither their length nor the
/// characters in them matter.
fn overlay(target: &Path, lowers: &[PathBuf], upper: &Path, work: &Path) -> io::Result<()> {
    let opened = lowers.iter().map(|lower| directory(lower));
    let opened: Vec<OwnedFd> = opened.collect::<io::Result<_>>()?;
    let (upper, work) = (directory(upper)?, directory(work)?);
    let named = |descriptor: &OwnedFd| by_descriptor(descriptor).display().to_string();
    let lowers: Vec<String> = opened.iter().map(named).collect();
    let mut options = format!(
        "lowerdir={},upperdir={},workdir={}",
        lowers.join(":"),
        named(&upper),
        named(&work)
    );
    if !base::is_machine_root() {
        options.push_str(",userxattr");
    }
    // No device of the machine's disks works inside.
    let flags = MountFlags::NODEV;
    // What is in a container need not survive the machine's crash, so nothing waits for the disk.
    let volatile = CString::new(format!("{options},volatile"))?;
    match mount("overlay", target, "overlay", flags, volatile.as_c_str()) {
        Err(Errno::INVAL) => {
            let options = CString::new(options)?;
            Ok(mount(
                "overlay",
                target,
                "overlay",
                flags,
                options.as_c_str(),
            )?)
        }
        mounted => Ok(mounted?),
    }
}

fn told(what: &str, path: impl AsRef<Path>, error: &io::Error) -> io::Error {
    let text = format!("{what} `{}`: {error}", path.as_ref().display());
    io::Error::new(error.kind(), text)
}
