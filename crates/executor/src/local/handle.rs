//! Handles, and finding the supervisor behind one.

use std::io;
use std::os::fd::OwnedFd;

use moorline_core::attempt::Handle;
use moorline_core::ids::AttemptId;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::layout::ProcessRef;
use crate::executor::ExecutorError;
use crate::{handle, proc};

/// Name of the executor in its handles.
pub(crate) const NAME: &str = "local";

/// The handle of an attempt under this supervisor.
pub(crate) fn make(id: AttemptId, supervisor: &ProcessRef) -> Result<Handle, ExecutorError> {
    handle::encode(NAME, id, supervisor)
}

/// The supervisor that a handle names.
pub(crate) fn supervisor(handle: &Handle) -> Result<ProcessRef, ExecutorError> {
    handle::decode(NAME, handle)
}

impl ProcessRef {
    /// A descriptor of the process if it still runs, which stays its own whatever happens to its id.
    pub(crate) fn open(&self, boot_id: &str) -> io::Result<Option<OwnedFd>> {
        if self.boot_id != boot_id {
            return Ok(None);
        }
        let Some(pid) = Pid::from_raw(self.pid) else {
            return Ok(None);
        };
        let fd = match pidfd_open(pid, PidfdFlags::NONBLOCK) {
            Ok(fd) => fd,
            // EINVAL: the id is that of a thread now.
            Err(Errno::SRCH | Errno::INVAL) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // Asked after opening: if the start time is right now, the descriptor is of that process.
        let same = proc::stat(self.pid)?
            .is_some_and(|stat| stat.start_time == self.start_time && !stat.is_over());
        Ok(same.then_some(fd))
    }
}
