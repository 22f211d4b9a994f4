//! What a sandbox's mounts need beyond what bubblewrap's arguments can say.

use std::io;
use std::path::Path;

use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::mount::{MountFlags, mount_remount};

use super::bwrap::DEVICES;

/// Who may not look into a process does not see it (proc(5)). By default the group 0 is exempt, which the
/// job of the machine's root is in; so the exempt one is a group that no one in the sandbox can have.
const HIDE_PROCESSES: &str = "hidepid=2,gid=65534";

/// Closes two doors. Needs `CAP_SYS_ADMIN` over the mounts, which the caller then gives up.
///
/// The devices are those of the machine. Where the machine's root runs the sandbox, the job is their owner
/// outside, whatever its number inside, and could change their mode for everyone. On a mount that is
/// read-only it can not, and still write to the device itself. (bubblewrap can make one read-only, but then
/// forbids the use of devices on it.)
///
/// Who may not look into a process shall not see it in `/proc` at all: this one, for the job.
pub(super) fn harden() -> io::Result<()> {
    for device in DEVICES {
        let path = format!("/dev/{device}");
        let flags = MountFlags::BIND | MountFlags::RDONLY | kept(Path::new(&path))?;
        mount_remount(path.as_str(), flags, "")?;
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount_remount("/proc", flags, HIDE_PROCESSES)?;
    Ok(())
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
