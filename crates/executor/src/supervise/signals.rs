//! Signals as something to poll: no handler runs, nothing is interrupted.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// The signals that matter to a supervisor, blocked and readable.
///
/// SIGTERM asks for the end of the attempt; SIGCHLD tells of an ended child; SIGINT and SIGHUP are
/// swallowed, for a supervisor does not belong to the terminal that its launcher was started from.
#[derive(Debug)]
pub(crate) struct Signals {
    fd: SignalFd,
    set: SigSet,
}

/// What has arrived.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Arrived {
    pub(crate) terminate: bool,
    pub(crate) child: bool,
}

impl Signals {
    /// Blocks the signals. Call it while this thread is the only one: others inherit its mask.
    pub(crate) fn block() -> io::Result<Self> {
        let mut set = SigSet::empty();
        for signal in [
            Signal::SIGTERM,
            Signal::SIGCHLD,
            Signal::SIGINT,
            Signal::SIGHUP,
        ] {
            set.add(signal);
        }
        set.thread_block()?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        Ok(Self {
            fd: SignalFd::with_flags(&set, flags)?,
            set,
        })
    }

    /// Does something with the signals not blocked, such as starting a process that shall not inherit the
    /// mask. Those that come meanwhile act by default, which for process 1 is not at all.
    pub(crate) fn lifted<T>(&self, act: impl FnOnce() -> T) -> io::Result<T> {
        self.set.thread_unblock()?;
        let result = act();
        self.set.thread_block()?;
        Ok(result)
    }

    /// Takes all that has arrived since the last call.
    pub(crate) fn take(&self) -> io::Result<Arrived> {
        let mut arrived = Arrived::default();
        while let Some(info) = self.fd.read_signal()? {
            match Signal::try_from(info.ssi_signo.cast_signed()) {
                Ok(Signal::SIGTERM) => arrived.terminate = true,
                Ok(Signal::SIGCHLD) => arrived.child = true,
                _ => {}
            }
        }
        Ok(arrived)
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
