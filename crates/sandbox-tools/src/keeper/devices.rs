//! `/dev` of a container: harmless devices of the machine, and terminals and shared memory of its own.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::mount::{MountFlags, mount, mount_bind, mount_remount};

/// Devices that a container has.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// Links that programs expect.
const LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("pts/ptmx", "ptmx"),
];

/// Makes it at `dev`.
pub(super) fn make(dev: &Path) -> io::Result<()> {
    let quiet = MountFlags::NOSUID | MountFlags::NOEXEC;
    mount("tmpfs", dev, "tmpfs", quiet, c"mode=755,size=64k")?;
    for name in DEVICES {
        let (host, target) = (Path::new("/dev").join(name), dev.join(name));
        fs::File::create(&target)?;
        mount_bind(&host, &target)?;
        // On a read-only mount a device can be written to, but not be given another mode or owner, which
        // it would have for the whole machine.
        read_only(&target)?;
    }
    for (target, link) in LINKS {
        symlink(target, dev.join(link))?;
    }
    for name in ["pts", "shm"] {
        fs::create_dir(dev.join(name))?;
    }
    mount(
        "devpts",
        dev.join("pts"),
        "devpts",
        quiet,
        c"newinstance,ptmxmode=0666,mode=620",
    )?;
    let guarded = MountFlags::NOSUID | MountFlags::NODEV;
    mount("shm", dev.join("shm"), "tmpfs", guarded, c"mode=1777").map_err(io::Error::from)
}

/// Refuses writing on the mount at a path.
pub(crate) fn read_only(path: &Path) -> io::Result<()> {
    let flags = MountFlags::BIND | MountFlags::RDONLY | kept(path)?;
    Ok(mount_remount(path, flags, "")?)
}

/// The flags of a mount that a change has to repeat: in a user namespace the kernel lets none of them go.
fn kept(path: &Path) -> io::Result<MountFlags> {
    let now = statvfs(path)?.f_flag;
    let pairs = [
        (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
        (StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
        (StatVfsMountFlags::NODIRATIME, MountFlags::NODIRATIME),
        (StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
    ];
    Ok(pairs
        .into_iter()
        .filter(|(flag, _)| now.contains(*flag))
        .fold(MountFlags::empty(), |all, (_, flag)| all | flag))
}
