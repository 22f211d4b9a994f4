//! Reading the log of an attempt, also while it is written.

use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt as _};
use moorline_core::attempt::Handle;
use rustix::fs::inotify;
use rustix::io::Errno;

use super::handle;
use super::layout::AttemptDir;
use super::log_format::{LONGEST_TEXT, decode, frame_len};
use super::readiness::Readiness;
use super::records::Records;
use crate::executor::{ExecutorError, LogChunk, LogCursor};

/// Read at once; a whole frame always fits.
const CHUNK: usize = 2 * frame_len(LONGEST_TEXT);

/// The log from a cursor on.
pub(super) fn stream(
    records: Arc<Records>,
    handle: Handle,
    from: LogCursor,
    follow: bool,
) -> BoxStream<'static, Result<LogChunk, ExecutorError>> {
    let dir = records.dir(handle.attempt_id);
    let reader = Reader {
        records,
        dir,
        handle,
        file: None,
        offset: from.0,
        follow: None,
    };
    let begin = async move {
        let mut reader = reader;
        if follow {
            reader.follow = Follow::new(&reader)?;
        }
        Ok(reader)
    };
    let read = |reader: Result<Reader, ExecutorError>| match reader {
        Ok(reader) => stream::try_unfold(reader, next).boxed(),
        Err(error) => stream::once(async { Err(error) }).boxed(),
    };
    stream::once(begin)
        .flat_map(read)
        .flat_map(|chunks| match chunks {
            Ok(chunks) => stream::iter(chunks.into_iter().map(Ok)).left_stream(),
            Err(error) => stream::once(async { Err(error) }).right_stream(),
        })
        .boxed()
}

struct Reader {
    records: Arc<Records>,
    dir: AttemptDir,
    handle: Handle,
    file: Option<File>,
    offset: u64,
    /// `None` when the attempt is over, or nobody wants to wait.
    follow: Option<Follow>,
}

/// The next complete lines. `None` at the end.
async fn next(mut reader: Reader) -> Result<Option<(Vec<LogChunk>, Reader)>, ExecutorError> {
    loop {
        // Looked at before reading: what was written before the end is then read before the end is told.
        let over = match &reader.follow {
            Some(follow) => follow.is_over(&reader)?,
            None => true,
        };
        let chunks = reader.read()?;
        if !chunks.is_empty() {
            return Ok(Some((chunks, reader)));
        }
        match &reader.follow {
            Some(follow) if !over => follow.change().await?,
            _ => return Ok(None),
        }
    }
}

impl Reader {
    fn read(&mut self) -> Result<Vec<LogChunk>, ExecutorError> {
        let path = self.dir.log();
        let fail = |error| ExecutorError::io(format!("reading `{}`", path.display()), error);
        let file = match &self.file {
            Some(file) => file,
            None => match File::open(&path) {
                Ok(file) => self.file.insert(file),
                // Nothing was said yet.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                Err(error) => return Err(fail(error)),
            },
        };
        let mut bytes = vec![0; CHUNK];
        let length = file.read_at(&mut bytes, self.offset).map_err(fail)?;
        bytes.truncate(length);
        // A last line without its newline is still being written.
        let complete = memchr::memrchr(b'\n', &bytes).map_or(0, |end| end + 1);
        bytes.truncate(complete);
        let mut chunks = Vec::new();
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.offset += line.len() as u64;
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let frame = decode(line).ok_or_else(|| {
                fail(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "a line that is not of this log",
                ))
            })?;
            chunks.push(LogChunk {
                at: frame.at,
                stream: frame.stream,
                text: String::from_utf8_lossy(frame.text).into_owned(),
                ends_line: frame.ends_line,
                next: LogCursor(self.offset),
            });
        }
        Ok(chunks)
    }
}

/// Waiting for more: woken by the file system and by the supervisor's end, never by a timer.
struct Follow {
    changes: Readiness,
    supervisor: Readiness,
}

impl Follow {
    /// `None` when the supervisor is gone already.
    fn new(reader: &Reader) -> Result<Option<Self>, ExecutorError> {
        let fail = |error: io::Error| ExecutorError::io("following a log", error);
        let supervisor = handle::supervisor(&reader.handle)?;
        let Some(supervisor) = supervisor.open(&reader.records.boot_id).map_err(fail)? else {
            return Ok(None);
        };
        let watch = || -> io::Result<OwnedFd> {
            let fd = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
            let events = inotify::WatchFlags::MODIFY
                | inotify::WatchFlags::CREATE
                | inotify::WatchFlags::MOVED_TO;
            inotify::add_watch(&fd, reader.dir.path(), events)?;
            Ok(fd)
        };
        let changes = watch().and_then(Readiness::new).map_err(fail)?;
        let supervisor = Readiness::new(supervisor).map_err(fail)?;
        Ok(Some(Self {
            changes,
            supervisor,
        }))
    }

    fn is_over(&self, reader: &Reader) -> Result<bool, ExecutorError> {
        let path = reader.dir.exit();
        let there = path
            .try_exists()
            .map_err(|error| ExecutorError::io(format!("reading `{}`", path.display()), error))?;
        if there {
            return Ok(true);
        }
        let mut fds = [rustix::event::PollFd::new(
            &self.supervisor,
            rustix::event::PollFlags::IN,
        )];
        let now = rustix::time::Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        rustix::event::poll(&mut fds, Some(&now))
            .map(|ready| ready > 0)
            .map_err(|error| ExecutorError::io("looking for the supervisor", error.into()))
    }

    /// Waits until something in the attempt's directory has changed, or the supervisor has ended.
    async fn change(&self) -> Result<(), ExecutorError> {
        let result = tokio::select! {
            changed = self.changes.take(swallow) => changed,
            ended = self.supervisor.readable() => ended,
        };
        result.map_err(|error| ExecutorError::io("following a log", error))
    }
}

/// Takes the events out; what they say is seen by looking.
fn swallow(changes: BorrowedFd<'_>) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        match rustix::io::read(changes, &mut buffer) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
