//! Limits that each process carries (setrlimit(2)).

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

/// Limits for the job and everything that it starts. They are hard: nothing below can raise them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rlimits {
    /// Bytes of one file.
    pub(crate) file_bytes: Option<u64>,
    /// Bytes of writable private memory of one process.
    pub(crate) data_bytes: Option<u64>,
    /// Open files of one process.
    pub(crate) open_files: Option<u64>,
    /// Processes and threads of this user in this user namespace. The kernel exempts the machine's root.
    pub(crate) tasks: Option<u64>,
}

/// Applies the limits, and forbids core dumps, which could carry secrets to the disk.
pub(crate) fn apply(limits: &Rlimits) -> io::Result<()> {
    // One byte, which no dump fits into. Zero would forbid files only: where `core_pattern` names a
    // program (core(5)), the kernel looks for the value one.
    lower(Resource::Core, 1)?;
    for (resource, limit) in [
        (Resource::Fsize, limits.file_bytes),
        (Resource::Data, limits.data_bytes),
        (Resource::Nofile, limits.open_files),
        (Resource::Nproc, limits.tasks),
    ] {
        if let Some(limit) = limit {
            lower(resource, limit)?;
        }
    }
    Ok(())
}

/// Sets both limits; what is lower already stays.
fn lower(resource: Resource, limit: u64) -> io::Result<()> {
    let now = getrlimit(resource);
    let limit = now.maximum.map_or(limit, |maximum| maximum.min(limit));
    setrlimit(
        resource,
        Rlimit {
            current: Some(limit),
            maximum: Some(limit),
        },
    )?;
    Ok(())
}
