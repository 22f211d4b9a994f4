//! Logs of apps: what their containers write, line by line, to be followed or looked up later.
//!
//! Writing is cheap: one lock, one copy. A line is told when it is whole, or has stood still for a moment (a
//! progress bar). Text is not kept over a restart of the emulator: the containers that wrote it are gone.

mod rpc;
mod store;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

pub(super) use self::rpc::register;
pub(crate) use self::store::Source;
use self::store::{ENTRY, Store};
use crate::clock;
use crate::world::World;

/// How long an unfinished line is held back.
const HOLD: Duration = Duration::from_millis(100);

/// Something that was written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Line {
    /// The app in whose log it goes.
    pub(crate) app_id: String,
    /// `ta-…` of the container that wrote it.
    pub(crate) task_id: String,
    pub(crate) function_id: Option<String>,
    pub(crate) function_call_id: Option<String>,
    pub(crate) input_id: Option<String>,
    pub(crate) sandbox_id: Option<String>,
    /// The image that was being built.
    pub(crate) image_id: Option<String>,
    /// A `FileDescriptor`: 1 stdout, 2 stderr, 3 a word of the system.
    pub(crate) fd: i32,
    /// Any bytes, as they were read: parts of lines, or many lines.
    pub(crate) data: Bytes,
}

/// Writes to the log of an app.
pub(crate) fn log(world: &World, line: Line) {
    let log = world.logs.of(&line.app_id);
    let source = Source {
        task_id: line.task_id,
        function_id: line.function_id,
        function_call_id: line.function_call_id,
        input_id: line.input_id,
        sandbox_id: line.sandbox_id,
        image_id: line.image_id,
    };
    let (new, told) = {
        let mut state = log.lock();
        let new = state.store.is_new(&source).then(|| source.clone());
        let source = state.store.intern(source);
        (new, state.write((source, line.fd), &line.data))
    };
    if let Some(new) = new {
        world.logs.place(&new.task_id, &line.app_id);
        world
            .logs
            .place(new.sandbox_id.as_deref().unwrap_or_default(), &line.app_id);
    }
    match told {
        Told::All => log.changed.notify_waiters(),
        Told::Held => {
            log.changed.notify_waiters();
            world.logs.release_later();
        }
    }
}

/// Nobody writes to the log of an app any more: its last words are told, whole or not.
pub(super) fn finish(world: &World, app_id: &str) {
    world.logs.of(app_id).lock().release(true);
}

/// The app of a log has stopped: its readers look again.
pub(super) fn wake(world: &World, app_id: &str) {
    world.logs.of(app_id).changed.notify_waiters();
}

/// The logs of all apps.
#[derive(Debug)]
pub(crate) struct Logs {
    shared: Arc<Shared>,
    dir: PathBuf,
    /// Task and sandbox ids to the app that they are of.
    places: Mutex<HashMap<String, String>>,
    tasks: TaskTracker,
    runtime: Handle,
}

#[derive(Debug, Default)]
struct Shared {
    apps: Mutex<HashMap<String, Arc<AppLog>>>,
    /// Unfinished lines are about to be released.
    releasing: AtomicBool,
}

/// The log of one app.
#[derive(Debug)]
struct AppLog {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    store: Store,
    /// Unfinished lines, by source and descriptor.
    held: HashMap<(u32, i32), Vec<u8>>,
}

/// What readers can see of something that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    All,
    /// An unfinished line is held back.
    Held,
}

impl Logs {
    /// Empty. Must be called in a tokio runtime.
    pub(crate) fn new(dir: PathBuf, tasks: TaskTracker) -> Self {
        Self {
            shared: Arc::default(),
            dir,
            places: Mutex::default(),
            tasks,
            runtime: Handle::current(),
        }
    }

    fn of(&self, app_id: &str) -> Arc<AppLog> {
        let mut apps = lock(&self.shared.apps);
        if let Some(log) = apps.get(app_id) {
            return Arc::clone(log);
        }
        let state = State {
            store: Store::new(&self.dir),
            held: HashMap::new(),
        };
        let log = Arc::new(AppLog {
            state: Mutex::new(state),
            changed: Notify::new(),
        });
        apps.insert(app_id.to_owned(), Arc::clone(&log));
        log
    }

    fn place(&self, id: &str, app_id: &str) {
        if !id.is_empty() {
            lock(&self.places).insert(id.to_owned(), app_id.to_owned());
        }
    }

    /// The app of a task or sandbox that wrote something.
    fn app_of(&self, id: &str) -> Option<String> {
        lock(&self.places).get(id).cloned()
    }

    /// Tells unfinished lines soon, unless that is already under way.
    fn release_later(&self) {
        if self.shared.releasing.swap(true, Ordering::Relaxed) {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let release = async move {
            tokio::time::sleep(HOLD).await;
            shared.releasing.store(false, Ordering::Relaxed);
            let apps: Vec<Arc<AppLog>> = lock(&shared.apps).values().cloned().collect();
            for log in apps {
                if log.lock().release(false) {
                    log.changed.notify_waiters();
                }
            }
        };
        self.tasks.spawn_on(release, &self.runtime);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AppLog {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    /// Adds what was written, but for an unfinished line at its end.
    fn write(&mut self, stream: (u32, i32), data: &[u8]) -> Told {
        let time = clock::nanos();
        let Some(end) = data.iter().rposition(|byte| *byte == b'\n') else {
            let held = self.held.entry(stream).or_default();
            held.extend_from_slice(data);
            if held.len() >= ENTRY {
                let text = std::mem::take(held);
                self.push(time, stream, &text);
            }
            let holds = self.held.get(&stream).is_some_and(|held| !held.is_empty());
            return if holds { Told::Held } else { Told::All };
        };
        let (whole, rest) = data.split_at(end + 1);
        match self.held.remove(&stream) {
            Some(mut held) if !held.is_empty() => {
                held.extend_from_slice(whole);
                self.push(time, stream, &held);
            }
            _ => self.push(time, stream, whole),
        }
        if rest.is_empty() {
            return Told::All;
        }
        self.held.insert(stream, rest.to_vec());
        Told::Held
    }

    /// Adds entries for some text, cut where a line ends, or else a character does.
    fn push(&mut self, time: u64, (source, fd): (u32, i32), mut text: &[u8]) {
        while let Some((piece, _)) = text.split_at_checked(ENTRY) {
            let cut = match piece.iter().rposition(|byte| *byte == b'\n') {
                Some(newline) => newline + 1,
                None => ENTRY - unfinished(piece),
            };
            let (piece, rest) = text.split_at(cut);
            self.store.push(time, source, fd, piece);
            text = rest;
        }
        if !text.is_empty() {
            self.store.push(time, source, fd, text);
        }
    }

    /// Adds the unfinished lines; `last`: also unfinished characters. Answers whether there was anything.
    fn release(&mut self, last: bool) -> bool {
        let time = clock::nanos();
        let mut any = false;
        for (stream, mut held) in std::mem::take(&mut self.held) {
            let keep = if last { 0 } else { unfinished(&held) };
            let rest = held.split_off(held.len() - keep);
            if !held.is_empty() {
                any = true;
                self.push(time, stream, &held);
            }
            if !rest.is_empty() {
                self.held.insert(stream, rest);
            }
        }
        any
    }
}

/// How many bytes at the end are the beginning of a character.
fn unfinished(text: &[u8]) -> usize {
    let tail = text.len().saturating_sub(3);
    let Some(tail) = text.get(tail..) else {
        return 0;
    };
    for (back, byte) in tail.iter().rev().enumerate() {
        let length = match byte {
            0xC2..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF4 => 4,
            0x80..=0xBF => continue,
            _ => return 0,
        };
        return if length > back + 1 { back + 1 } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    fn state() -> State {
        State {
            store: Store::new(Path::new("/nonexistent")),
            held: HashMap::new(),
        }
    }

    fn texts(state: &State) -> Vec<String> {
        let (entries, _) = state.store.read(0, usize::MAX, |_, _| true).unwrap();
        entries
            .iter()
            .map(|entry| String::from_utf8(entry.text.to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn a_line_that_comes_in_parts_is_told_whole() {
        let mut state = state();
        let source = state.store.intern(Source::default());
        assert_eq!(state.write((source, 1), b"hel"), Told::Held);
        assert_eq!(state.write((source, 2), b"other\n"), Told::All);
        assert_eq!(state.write((source, 1), b"lo\nnext\npart"), Told::Held);
        assert_eq!(texts(&state), ["other\n", "hello\nnext\n"]);
        assert!(state.release(false));
        assert!(!state.release(false));
        assert_eq!(texts(&state), ["other\n", "hello\nnext\n", "part"]);
    }

    #[test]
    fn a_character_is_not_cut_in_two() {
        let mut state = state();
        let source = state.store.intern(Source::default());
        let euro = "€".as_bytes();
        state.write((source, 1), &euro[..2]);
        assert!(!state.release(false));
        state.write((source, 1), &euro[2..]);
        assert!(state.release(false));
        assert_eq!(texts(&state), ["€"]);
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read_again_in_order(
            text in "[aé€😀\n]{0,400}",
            cuts in proptest::collection::vec(1usize..40, 1..20),
            release in any::<bool>(),
        ) {
            let mut state = state();
            let source = state.store.intern(Source::default());
            let mut rest = text.as_bytes();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, next) = rest.split_at((*cut).min(rest.len()));
                state.write((source, 1), piece);
                if release {
                    state.release(false);
                }
                rest = next;
            }
            state.release(true);
            prop_assert_eq!(texts(&state).concat(), text);
        }
    }
}
