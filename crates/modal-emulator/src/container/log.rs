//! What a process wrote, kept from its first byte.
//!
//! Pipes are moved into files by `splice(2)`, so the bytes are not copied through this process; readers
//! wait for a watched number, not for the file.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use rustix::pipe::{SpliceFlags, splice};
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

/// Most bytes moved at once: as much as a pipe of ours holds.
const PIPE_BYTES: usize = 1 << 20;
/// Most bytes of one chunk of a reader.
const CHUNK_BYTES: u64 = 256 << 10;
/// How long what a terminal has still to pass on is waited for.
const TERMINAL_LINGER: Duration = Duration::from_millis(200);

/// How much of a log there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Extent {
    bytes: u64,
    ended: bool,
}

/// One stream of a process, in a file. Any number of readers read it, from any offset, at any time.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    path: Arc<Path>,
    extent: watch::Receiver<Extent>,
}

impl Log {
    /// Makes the file, and what writes it.
    pub(super) fn create(path: PathBuf) -> io::Result<(Self, Writer)> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)?;
        let (sender, extent) = watch::channel(Extent::default());
        let log = Self {
            path: path.into(),
            extent,
        };
        let writer = Writer {
            file,
            extent: sender,
        };
        Ok((log, writer))
    }

    /// Bytes written so far.
    pub(crate) fn len(&self) -> u64 {
        self.extent.borrow().bytes
    }

    /// Whether nothing will be added.
    /// Waits until nothing will be added.
    pub(super) async fn ended(&mut self) {
        // Without a writer nothing will be added either.
        drop(self.extent.wait_for(|extent| extent.ended).await);
    }

    /// Reads on from `offset`, now and as more comes.
    pub(crate) fn reader(&self, offset: u64) -> LogReader {
        LogReader {
            path: Arc::clone(&self.path),
            file: None,
            extent: self.extent.clone(),
            offset,
        }
    }
}

/// Follows a [`Log`].
#[derive(Debug)]
pub(crate) struct LogReader {
    path: Arc<Path>,
    file: Option<File>,
    extent: watch::Receiver<Extent>,
    offset: u64,
}

impl LogReader {
    /// Where the next chunk starts.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next bytes, at most 256 KiB, waiting for them; `None` at the end. Cancel-safe.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let offset = self.offset;
        let wanted = |extent: &Extent| extent.ended || extent.bytes > offset;
        // A writer that is gone without an end was this process's own end.
        let Ok(extent) = self.extent.wait_for(wanted).await.map(|extent| *extent) else {
            return Ok(None);
        };
        if extent.bytes <= offset {
            return Ok(None);
        }
        let length = (extent.bytes - offset).min(CHUNK_BYTES);
        let mut chunk = vec![0; usize::try_from(length).unwrap_or_default()];
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(File::open(&self.path)?),
        };
        // Written a moment ago, so in memory: no thread is worth it.
        file.read_exact_at(&mut chunk, offset)?;
        self.offset += length;
        Ok(Some(chunk.into()))
    }
}

/// Writes a [`Log`].
#[derive(Debug)]
pub(super) struct Writer {
    file: File,
    extent: watch::Sender<Extent>,
}

impl Writer {
    /// A log that stays empty.
    pub(super) fn end(self) {
        self.extent.send_modify(|extent| extent.ended = true);
    }

    /// Takes everything from a pipe until its end. Once `finish` says so, what is in the pipe at that
    /// moment is the log's last, and whatever others still write goes nowhere.
    pub(super) async fn drain_pipe(self, pipe: OwnedFd, finish: watch::Receiver<bool>) {
        // A larger pipe means fewer wake-ups; the default one works as well.
        let _ = rustix::pipe::fcntl_setpipe_size(&pipe, PIPE_BYTES);
        let file = &self.file;
        let mut at = 0;
        let moved = |pipe: &OwnedFd| {
            let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
            splice(pipe, None, file, Some(&mut at), PIPE_BYTES, flags)
        };
        let rest = self.drain(pipe, finish, None, moved).await;
        self.end();
        if let Some(rest) = rest {
            discard(&rest).await;
        }
    }

    /// Takes everything from a terminal until its end.
    pub(super) async fn drain_terminal(self, master: OwnedFd, finish: watch::Receiver<bool>) {
        let mut buffer = vec![0; 64 << 10];
        let file = &self.file;
        let mut at = 0;
        let moved = |master: &OwnedFd| {
            let length = match rustix::io::read(master, &mut *buffer) {
                // How a terminal says that nobody has it open any more.
                Err(Errno::IO) => 0,
                length => length?,
            };
            file.write_all_at(buffer.get(..length).unwrap_or_default(), at)
                .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
            at += u64::try_from(length).unwrap_or_default();
            Ok(length)
        };
        drop(
            self.drain(master, finish, Some(TERMINAL_LINGER), moved)
                .await,
        );
        self.end();
    }

    /// Moves until the end, or until `finish` and nothing is left; then the source is given back.
    async fn drain(
        &self,
        source: OwnedFd,
        mut finish: watch::Receiver<bool>,
        linger: Option<Duration>,
        mut moved: impl FnMut(&OwnedFd) -> rustix::io::Result<usize>,
    ) -> Option<AsyncFd<OwnedFd>> {
        let source = nonblocking(source).ok()?;
        let mut is_finishing = false;
        let lingering = tokio::time::sleep(Duration::MAX);
        tokio::pin!(lingering);
        loop {
            match moved(source.get_ref()) {
                Ok(0) => return None,
                Ok(length) => {
                    let length = u64::try_from(length).unwrap_or_default();
                    self.extent.send_modify(|extent| extent.bytes += length);
                    // Others have something to do as well.
                    tokio::task::consume_budget().await;
                    continue;
                }
                Err(Errno::AGAIN) if is_finishing && linger.is_none() => return Some(source),
                Err(Errno::AGAIN | Errno::INTR) => {}
                // The disk is full, most likely: the process must not hang for it.
                Err(_) => return Some(source),
            }
            tokio::select! {
                ready = source.readable() => match ready {
                    // Whether there is more is found out by the next try, which costs one call.
                    Ok(mut ready) => ready.clear_ready(),
                    Err(_) => return None,
                },
                _ = finish.wait_for(|finish| *finish), if !is_finishing => {
                    is_finishing = true;
                    if let Some(linger) = linger {
                        #[expect(clippy::disallowed_methods, reason = "a timer, not a date")]
                        lingering.as_mut().reset(tokio::time::Instant::now() + linger);
                    }
                }
                () = &mut lingering, if is_finishing => return Some(source),
            }
        }
    }
}

/// For tokio to wait on.
pub(super) fn nonblocking(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    fcntl_setfl(descriptor.as_fd(), OFlags::NONBLOCK)?;
    #[expect(
        deprecated,
        reason = "an owned descriptor stays open and the same for as long as it is watched"
    )]
    AsyncFd::new(descriptor)
}

/// Reads to the end, so that whoever writes neither hangs nor gets SIGPIPE.
async fn discard(source: &AsyncFd<OwnedFd>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(mut ready) = source.readable().await {
        match rustix::io::read(source.get_ref(), &mut *buffer) {
            Ok(0) => return,
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => ready.clear_ready(),
            Err(_) => return,
        }
    }
}

#[cfg(test)]
impl Log {
    pub(crate) fn is_ended(&self) -> bool {
        self.extent.borrow().ended
    }
}
