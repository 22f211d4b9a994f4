//! The process tree of a job, and its end.
//!
//! The supervisor is a child subreaper: whoever loses its parent anywhere below becomes its child, also
//! after `setsid` and double forks. So "no child left" means "nothing of the job is left", and killing from
//! the top down ends everything: each kill brings the next generation up to be killed.
//!
//! Only own children are signalled, and a process group only while its leader is not yet reaped; their
//! ids can not be used again before that, so nothing else is ever hit.

use std::io;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, kill_process, kill_process_group, wait,
};

use super::clock::{monotonic, timespec};
use super::signals::Signals;
use crate::proc;
use crate::sandbox::cgroup::Groups;

/// How long to wait for killed processes to go. Only what hangs in the kernel takes longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The children of this supervisor.
#[derive(Debug)]
pub(super) struct Tree {
    /// The process that was started: the job, or the sandbox around it.
    main: Pid,
    /// How it ended, once it has been reaped.
    pub(super) status: Option<WaitStatus>,
    /// Whether no child is left at all.
    pub(super) empty: bool,
}

impl Tree {
    pub(super) const fn new(main: Pid) -> Self {
        Self {
            main,
            status: None,
            empty: false,
        }
    }

    /// Reaps every child that has ended.
    pub(super) fn reap(&mut self) -> io::Result<()> {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.main => self.status = Some(status),
                Ok(Some(_)) => {}
                Ok(None) => return Ok(()),
                Err(Errno::CHILD) => {
                    self.empty = true;
                    return Ok(());
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Sends a signal to the process group of the job, while it has one.
    pub(super) fn signal_group(&self, signal: Signal) -> io::Result<()> {
        if self.status.is_some() {
            return Ok(());
        }
        match kill_process_group(self.main, signal) {
            // The leader is a zombie and all others are gone.
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Kills everything and reaps it. False when something would not go.
    pub(super) fn end(&mut self, signals: &Signals, groups: Option<&Groups>) -> io::Result<bool> {
        self.reap()?;
        if !self.empty
            && let Some(groups) = groups
        {
            groups.close()?;
        }
        let deadline = monotonic() + PATIENCE;
        while !self.empty {
            self.signal_group(Signal::KILL)?;
            for child in proc::children()? {
                match kill_process(child, Signal::KILL) {
                    Ok(()) | Err(Errno::SRCH) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            let Some(left) = deadline.checked_sub(monotonic()) else {
                return Ok(false);
            };
            let mut fds = [PollFd::new(signals, PollFlags::IN)];
            match poll(&mut fds, Some(&timespec(left))) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            signals.take()?;
            self.reap()?;
        }
        Ok(true)
    }
}
