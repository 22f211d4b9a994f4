//! What stands between a job and the host.
//!
//! Two back ends share one in-sandbox helper, [`init`]:
//! * **bubblewrap** ([`bwrap`]): namespaces for users, mounts, processes, network, IPC and host name; the
//!   file system is only what the attempt needs. The helper is process 1 in there.
//! * **process** ([`namespaces`]): what a process can take from itself, for machines without
//!   bubblewrap. The helper becomes the job.
//!
//! In both, the helper takes from itself all that the job shall not have, then starts the job, which
//! inherits the loss: capabilities, limits ([`rlimit`]), file access ([`landlock`]), system calls
//! ([`seccomp`]). The order matters and is kept in one place, [`init`]. What limits a whole tree is set from
//! outside ([`cgroup`]) or for the process namespace ([`tasks`]).
//!
//! Nothing secret is in an argument list: the job's command and environment go to the helper over a
//! socket ([`link`]) that no process of the job ever holds.

pub(crate) mod bwrap;
pub(crate) mod cgroup;
pub(crate) mod etc;
pub(crate) mod init;
pub(crate) mod landlock;
pub(crate) mod link;
mod mounts;
pub(crate) mod namespaces;
pub(crate) mod rlimit;
pub(crate) mod seccomp;
pub(crate) mod tasks;
pub(crate) mod trial;

/// Where the filtering proxy is reached from inside.
pub(crate) const PROXY_PORT: u16 = 3128;
