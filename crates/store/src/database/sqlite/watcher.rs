//! How a process learns of the commits of others on the same file.
//!
//! Every commit appends to the write-ahead log, which the kernel tells of (inotify). It tells of the write,
//! while the commit is seen by others a moment later, when it is on the disk: so the thread looks a few times,
//! at growing distances, after the last write. A look is one row of a page that is in the cache, some
//! microseconds; a file that is written all the time is looked at once in a millisecond.
//!
//! Where the kernel has no more watches to give (they are limited for each user), a look once a second is what
//! is left. It is done in any case, for a commit that took long to reach the disk.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::Connection;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::inotify;

use super::connection;
use crate::database::changes::Bell;
use crate::database::sql;
use crate::error::StoreError;

/// When to look after the last write to the log, milliseconds from one look to the next.
const LOOKS: [u64; 7] = [1, 2, 4, 8, 16, 32, 64];

/// Between two looks while nothing is written.
const IDLE: Duration = Duration::from_secs(1);

/// A thread that waits for commits; ends with this value.
#[derive(Debug)]
pub(super) struct Watcher {
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Begins to watch a store that is open.
    pub(super) fn start(path: &Path, bell: Bell) -> Result<Self, StoreError> {
        let starting = |error: io::Error| {
            StoreError::unavailable("starting to watch the store for commits of others", error)
        };
        let connection = connection::open_for_reading(path)?;
        let stop = eventfd(0, EventfdFlags::CLOEXEC).map_err(|error| starting(error.into()))?;
        let stop = Arc::new(stop);
        let log = watch(&log_of(path))
            .inspect_err(|error| {
                tracing::info!(%error, "commits of other processes are looked for once a second");
            })
            .ok();
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("moorline-watch".to_owned())
            .spawn(move || follow(&connection, log.as_ref(), &stopped, &bell))
            .map_err(starting)?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // It can only fail for a counter that is full, which the thread sees as well.
        let _ignored = rustix::io::write(&*self.stop, &1_u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// The write-ahead log of a file; it is there for as long as any connection is open.
fn log_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

fn watch(log: &Path) -> io::Result<OwnedFd> {
    let watches = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    inotify::add_watch(&watches, log, inotify::WatchFlags::MODIFY)?;
    Ok(watches)
}

/// The life of the thread.
fn follow(connection: &Connection, log: Option<&OwnedFd>, stop: &OwnedFd, bell: &Bell) {
    let mut looks = LOOKS.into_iter();
    loop {
        // A look that fails is repeated; whoever works with the store is told of the reason there.
        if let Ok(newest) = newest(connection) {
            bell.ring(newest);
        }
        let pause = looks.next().map_or(IDLE, Duration::from_millis);
        match wait(log, stop, pause) {
            Woken::Stopped => return,
            Woken::Written => {
                // What is written all the time is looked at once in a millisecond.
                thread::sleep(Duration::from_millis(1));
                log.map(drain);
                looks = LOOKS.into_iter();
            }
            Woken::Time => {}
        }
    }
}

fn newest(connection: &Connection) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare_cached(sql::EVENT_NEWEST)?;
    let newest: i64 = statement.query_row([], |row| row.get(0))?;
    Ok(newest.unsigned_abs())
}

enum Woken {
    Stopped,
    Written,
    Time,
}

fn wait(log: Option<&OwnedFd>, stop: &OwnedFd, pause: Duration) -> Woken {
    let timeout = Timespec::try_from(pause).ok();
    let mut fds: Vec<PollFd<'_>> = [Some(stop), log]
        .into_iter()
        .flatten()
        .map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN))
        .collect();
    if poll(&mut fds, timeout.as_ref()).is_err() {
        // Interrupted by a signal.
        return Woken::Time;
    }
    match fds.iter().position(|fd| !fd.revents().is_empty()) {
        Some(0) => Woken::Stopped,
        Some(_) => Woken::Written,
        None => Woken::Time,
    }
}

/// Takes what the kernel has told so far; which of it does not matter.
fn drain(log: &OwnedFd) {
    let mut buffer = [0_u8; 4096];
    while rustix::io::read(log, &mut buffer).is_ok_and(|n| n == buffer.len()) {}
}
