//! Telling what changes, by inotify(7).

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use rustix::time::{ClockId, Timespec, clock_gettime};
use serde::Serialize;

use super::Error;

/// How long the other half of a rename is waited for; both are written by one system call.
const OTHER_HALF: Duration = Duration::from_millis(10);

/// One line of output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Event {
    event_type: Type,
    paths: Vec<PathBuf>,
}

/// Kinds of events; the clients make `Modify` of those of a rename.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
enum Type {
    Access,
    Create,
    Modify,
    Remove,
    /// From the first path to the second.
    Rename,
    /// To somewhere that is not watched.
    RenameFrom,
    /// From somewhere that is not watched.
    RenameTo,
}

impl Type {
    const fn name(self) -> &'static str {
        match self {
            Self::Access => "Access",
            Self::Create => "Create",
            Self::Modify => "Modify",
            Self::Remove => "Remove",
            Self::Rename => "Rename",
            Self::RenameFrom => "RenameFrom",
            Self::RenameTo => "RenameTo",
        }
    }
}

/// Writes events until the time is over, standard input ends, or nobody reads them.
pub(super) fn watch(
    path: &str,
    recursive: bool,
    filter: Option<&[String]>,
    timeout_secs: Option<u64>,
) -> Result<(), Error> {
    let path = fs::canonicalize(path)?;
    let mut watcher = Watcher::new(recursive)?;
    watcher.add(&path, &mut Vec::new())?;
    let deadline = timeout_secs.map(|seconds| now() + Duration::from_secs(seconds));
    let input = io::stdin();
    loop {
        let half = watcher.half.as_ref().map(|_| OTHER_HALF);
        let left = deadline.map(|deadline| deadline.saturating_sub(now()));
        let wait = half.into_iter().chain(left).min().map(timespec);
        let mut fds = [
            PollFd::new(&watcher.inotify, PollFlags::IN),
            PollFd::from_borrowed_fd(input.as_fd(), PollFlags::IN),
        ];
        match poll(&mut fds, wait.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let [has_events, has_input] = fds.map(|fd| !fd.revents().is_empty());
        let events = if has_events {
            watcher.read()?
        } else {
            watcher.single().into_iter().collect()
        };
        match tell(&events, filter) {
            // Nobody listens any more.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            told => told?,
        }
        let is_over = deadline.is_some_and(|deadline| now() >= deadline);
        if is_over || watcher.watched.is_empty() || (has_input && is_ended()?) {
            return Ok(());
        }
    }
}

/// Takes input, which means nothing. Whether it has ended.
fn is_ended() -> io::Result<bool> {
    let mut buffer = [0; 4096];
    Ok(rustix::io::read(io::stdin(), &mut buffer)? == 0)
}

fn tell(events: &[Event], filter: Option<&[String]>) -> io::Result<()> {
    let mut lines = Vec::new();
    for event in events {
        let name = event.event_type.name();
        if filter.is_none_or(|filter| filter.iter().any(|wanted| wanted == name)) {
            serde_json::to_writer(&mut lines, event)?;
            lines.push(b'\n');
        }
    }
    let mut output = io::stdout().lock();
    output.write_all(&lines)?;
    output.flush()
}

struct Watcher {
    inotify: OwnedFd,
    recursive: bool,
    /// What is watched, by the kernel's number.
    watched: HashMap<i32, PathBuf>,
    /// The first half of a rename: its cookie, and from where.
    half: Option<(u32, PathBuf)>,
}

impl Watcher {
    fn new(recursive: bool) -> io::Result<Self> {
        Ok(Self {
            inotify: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?,
            recursive,
            watched: HashMap::new(),
            half: None,
        })
    }

    /// Watches a path and, if so asked, all directories below. What is found below comes to `found`.
    fn add(&mut self, path: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
        let flags = WatchFlags::CREATE
            | WatchFlags::MODIFY
            | WatchFlags::ATTRIB
            | WatchFlags::OPEN
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVE
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF;
        let number = inotify::add_watch(&self.inotify, path, flags)?;
        self.watched.insert(number, path.to_path_buf());
        if !self.recursive || !fs::symlink_metadata(path)?.is_dir() {
            return Ok(());
        }
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            found.push(entry.path());
            if entry.file_type()?.is_dir() {
                self.add_found(&entry.path(), found)?;
            }
        }
        Ok(())
    }

    /// As [`add`](Self::add), of something that may be gone again.
    fn add_found(&mut self, path: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
        match self.add(path, found) {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound
                        | io::ErrorKind::NotADirectory
                        | io::ErrorKind::PermissionDenied
                ) =>
            {
                Ok(())
            }
            added => added,
        }
    }

    /// The events that are there.
    fn read(&mut self) -> io::Result<Vec<Event>> {
        let mut raw = Vec::new();
        let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
        let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) => raw.push(Raw {
                    watch: event.wd(),
                    flags: event.events(),
                    cookie: event.cookie(),
                    name: event
                        .file_name()
                        .map(|name| PathBuf::from(OsStr::from_bytes(name.to_bytes()))),
                }),
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let mut events = Vec::new();
        // Told already, because they were found in a directory that was new.
        let mut told = HashSet::new();
        for event in raw {
            self.take(&event, &mut events, &mut told)?;
        }
        Ok(events)
    }

    fn take(
        &mut self,
        raw: &Raw,
        events: &mut Vec<Event>,
        told: &mut HashSet<PathBuf>,
    ) -> io::Result<()> {
        if raw.flags.contains(ReadFlags::IGNORED) {
            self.watched.remove(&raw.watch);
            return Ok(());
        }
        let Some(watched) = self.watched.get(&raw.watch) else {
            return Ok(());
        };
        let path = match &raw.name {
            Some(name) => watched.join(name),
            None => watched.clone(),
        };
        if raw.flags.contains(ReadFlags::MOVED_TO)
            && let Some((cookie, from)) = self.half.take()
        {
            if cookie == raw.cookie {
                self.renamed(&from, &path);
                events.push(Event {
                    event_type: Type::Rename,
                    paths: vec![from, path],
                });
                return Ok(());
            }
            self.half = Some((cookie, from));
        }
        events.extend(self.single());
        if raw.flags.contains(ReadFlags::MOVED_FROM) {
            self.half = Some((raw.cookie, path));
            return Ok(());
        }
        let Some(event_type) = kind(raw) else {
            return Ok(());
        };
        let is_new = matches!(event_type, Type::Create | Type::RenameTo);
        if event_type == Type::Create && told.contains(&path) {
            return Ok(());
        }
        events.push(Event {
            event_type,
            paths: vec![path.clone()],
        });
        if is_new && self.recursive && raw.flags.contains(ReadFlags::ISDIR) {
            let mut found = Vec::new();
            self.add_found(&path, &mut found)?;
            for path in found {
                told.insert(path.clone());
                events.push(Event {
                    event_type: Type::Create,
                    paths: vec![path],
                });
            }
        }
        Ok(())
    }

    /// A first half whose other did not come.
    fn single(&mut self) -> Option<Event> {
        let (_, from) = self.half.take()?;
        Some(Event {
            event_type: Type::RenameFrom,
            paths: vec![from],
        })
    }

    /// Directories below a renamed one are watched still, by other names.
    fn renamed(&mut self, from: &Path, to: &Path) {
        for path in self.watched.values_mut() {
            if let Ok(rest) = path.strip_prefix(from) {
                *path = if rest.as_os_str().is_empty() {
                    to.to_path_buf()
                } else {
                    to.join(rest)
                };
            }
        }
    }
}

/// What the kernel tells.
struct Raw {
    watch: i32,
    flags: ReadFlags,
    cookie: u32,
    /// Absent when it is of what is watched itself.
    name: Option<PathBuf>,
}

/// What it is to the clients; `None` for what is told otherwise.
fn kind(raw: &Raw) -> Option<Type> {
    let is = |flag| raw.flags.contains(flag);
    // A directory that is watched itself tells as well; its parent told already, or nobody asked.
    let is_own = raw.name.is_none() && is(ReadFlags::ISDIR);
    if is(ReadFlags::CREATE) {
        Some(Type::Create)
    } else if is(ReadFlags::MOVED_TO) {
        Some(Type::RenameTo)
    } else if is(ReadFlags::DELETE) || is(ReadFlags::DELETE_SELF) {
        Some(Type::Remove)
    } else if is(ReadFlags::MOVE_SELF) {
        Some(Type::RenameFrom)
    } else if is(ReadFlags::MODIFY) || is(ReadFlags::ATTRIB) {
        Some(Type::Modify)
    } else if !is_own && (is(ReadFlags::OPEN) || is(ReadFlags::CLOSE_WRITE)) {
        Some(Type::Access)
    } else {
        None
    }
}

/// Since the machine's start.
fn now() -> Duration {
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}
