//! Following a log (`AppGetLogs`), and looking things up in it (`AppFetchLogs`, `AppCountLogs`).

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::stream;
use moorline_modal_proto::client::app_count_logs_response::LogBucket;
use moorline_modal_proto::client::{
    AppCountLogsRequest, AppCountLogsResponse, AppFetchLogsRequest, AppFetchLogsResponse,
    AppGetLogsRequest, AppState, FileDescriptor, TaskLogs, TaskLogsBatch,
};
use tokio::time::Sleep;
use tonic::Status;

use super::store::{Entry, Source};
use super::{AppLog, lock};
use crate::call::Call;
use crate::routes::{Answers, Rpcs};
use crate::services::apps::{self, parts};
use crate::world::World;

/// Lines that one answer holds at most.
const LINES: u32 = 20_000;
/// The longest span that can be asked for, in seconds.
const SPAN: u64 = 35 * 86_400;
/// Buckets of one answer.
const BUCKETS: u64 = 100_000;
/// Text that is read at a time for a follower.
const CHUNK: usize = 1 << 20;
/// The longest that a follower is served by one call.
const LONGEST: f32 = 600.0;

const SECOND: u64 = 1_000_000_000;

pub(crate) fn register(rpcs: &mut Rpcs<'_>) {
    rpcs.stream("AppGetLogs", get_logs);
    rpcs.read("AppFetchLogs", fetch_logs);
    rpcs.read("AppCountLogs", count_logs);
}

/// Which entries are asked for. Empty fields take all.
#[derive(Debug, Clone, Default)]
struct Filter {
    fd: i32,
    /// A function and its variants.
    functions: Vec<String>,
    variant: String,
    call: String,
    input: String,
    task: String,
    sandbox: String,
    text: String,
    /// Without what builds of images wrote, unless a build's task is asked for: they have logs of their own.
    no_images: bool,
}

impl Filter {
    fn wants(&self, source: &Source, fd: i32) -> bool {
        let is = |wanted: &str, value: Option<&String>| {
            wanted.is_empty() || value.is_some_and(|value| value == wanted)
        };
        (self.fd == 0 || self.fd == fd)
            && (self.functions.is_empty()
                || source
                    .function_id
                    .as_ref()
                    .is_some_and(|id| self.functions.contains(id)))
            && is(&self.variant, source.function_id.as_ref())
            && is(&self.call, source.function_call_id.as_ref())
            && is(&self.input, source.input_id.as_ref())
            && is(&self.task, Some(&source.task_id))
            && is(&self.sandbox, source.sandbox_id.as_ref())
            && !(self.no_images && self.task.is_empty() && source.image_id.is_some())
    }

    /// The lines of an entry that are asked for.
    fn lines<'e>(&self, entry: &'e Entry) -> impl DoubleEndedIterator<Item = &'e [u8]> {
        let lines: Vec<&[u8]> = entry.text.split_inclusive(|byte| *byte == b'\n').collect();
        let text = self.text.clone();
        lines.into_iter().filter(move |line| {
            text.is_empty() || String::from_utf8_lossy(line).contains(text.as_str())
        })
    }
}

/// Gathers lines into batches: one for each run of entries of one source.
#[derive(Default)]
struct Batches {
    batches: VecDeque<TaskLogsBatch>,
    source: Option<Arc<Source>>,
}

impl Batches {
    fn add(&mut self, entry: &Entry, lines: &[&[u8]]) {
        let same = self
            .source
            .as_ref()
            .is_some_and(|source| Arc::ptr_eq(source, &entry.source));
        if !same {
            let source = &entry.source;
            let text = |value: &Option<String>| value.clone().unwrap_or_default();
            self.batches.push_back(TaskLogsBatch {
                task_id: source.task_id.clone(),
                function_id: text(&source.function_id),
                input_id: text(&source.input_id),
                sandbox_id: text(&source.sandbox_id),
                image_id: text(&source.image_id),
                ..TaskLogsBatch::default()
            });
            self.source = Some(Arc::clone(source));
        }
        let Some(batch) = self.batches.back_mut() else {
            return;
        };
        batch.entry_id = entry_id(entry.number);
        batch
            .items
            .extend(lines.iter().map(|line| item(entry, line)));
    }
}

fn item(entry: &Entry, line: &[u8]) -> TaskLogs {
    TaskLogs {
        data: String::from_utf8_lossy(line).into_owned(),
        timestamp: seconds(entry.time),
        timestamp_ns: entry.time,
        file_descriptor: entry.fd,
        function_call_id: entry.source.function_call_id.clone().unwrap_or_default(),
        input_id: entry.source.input_id.clone().unwrap_or_default(),
        container_id: entry.source.task_id.clone(),
        ..TaskLogs::default()
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds are enough")]
fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

/// The form in which the SDKs hand an entry's number back.
fn entry_id(number: u64) -> String {
    format!("{number}-0")
}

fn after(entry_id: &str) -> Result<u64, Status> {
    if entry_id.is_empty() {
        return Ok(0);
    }
    let number = entry_id
        .split('-')
        .next()
        .and_then(|number| number.parse::<u64>().ok());
    let number = number
        .ok_or_else(|| Status::invalid_argument(format!("`{entry_id}` is no entry id of a log")))?;
    Ok(number + 1)
}

/// A function and those that were made of it with parameters or options.
fn variants(world: &World, function: String) -> Vec<String> {
    if function.is_empty() {
        return Vec::new();
    }
    let mut all = parts::variants(world, &function);
    all.push(function);
    all
}

/// The app that is asked for: by its id, or that of one of its tasks or sandboxes.
fn app_of(world: &World, app: &str, task: &str, sandbox: &str) -> Result<String, Status> {
    if !app.is_empty() {
        return apps::get(world, app).map(|app| app.id);
    }
    let id = if task.is_empty() { sandbox } else { task };
    let running = || {
        let running = world.running.running();
        running
            .into_iter()
            .find(|(task, ..)| task == id)
            .map(|(_, _, app)| app)
    };
    let found = world.logs.app_of(id).or_else(running);
    found.ok_or_else(|| Status::not_found(format!("no log of '{id}'")))
}

/// What a follower is at.
struct Follower {
    world: Arc<World>,
    app_id: String,
    log: Arc<AppLog>,
    filter: Filter,
    /// The next entry.
    from: u64,
    batches: VecDeque<TaskLogsBatch>,
    /// None does not wait for more.
    until: Option<Pin<Box<Sleep>>>,
    done: bool,
}

async fn get_logs(
    world: Arc<World>,
    call: Call<AppGetLogsRequest>,
) -> Result<Answers<TaskLogsBatch>, Status> {
    let request = call.message;
    let app_id = app_of(
        &world,
        &request.app_id,
        &request.task_id,
        &request.sandbox_id,
    )?;
    let waits = request.timeout > 0.0;
    let follower = Follower {
        from: after(&request.last_entry_id)?,
        filter: Filter {
            fd: request.file_descriptor,
            functions: variants(&world, request.function_id),
            variant: request.parametrized_function_id,
            call: request.function_call_id,
            input: request.input_id,
            task: request.task_id,
            sandbox: request.sandbox_id,
            text: request.search_text,
            // A client of `modal run` shows them as it likes.
            no_images: false,
        },
        log: world.logs.of(&app_id),
        batches: VecDeque::new(),
        until: waits.then(|| {
            let time = Duration::from_secs_f32(request.timeout.min(LONGEST));
            Box::pin(tokio::time::sleep(time))
        }),
        done: false,
        app_id,
        world,
    };
    Ok(Box::pin(stream::try_unfold(follower, Follower::next)))
}

impl Follower {
    async fn next(mut self) -> Result<Option<(TaskLogsBatch, Self)>, Status> {
        loop {
            if let Some(batch) = self.batches.pop_front() {
                return Ok(Some((batch, self)));
            }
            if self.done {
                return Ok(None);
            }
            let log = Arc::clone(&self.log);
            let changed = log.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            // First whether it has ended, then what there is: what is written in between is not lost.
            let ended = self.ended();
            self.read()?;
            if !self.batches.is_empty() {
                continue;
            }
            if ended {
                self.done = true;
                let last = TaskLogsBatch {
                    app_done: true,
                    ..TaskLogsBatch::default()
                };
                return Ok(Some((last, self)));
            }
            let Some(until) = &mut self.until else {
                return Ok(None);
            };
            tokio::select! {
                () = changed => {}
                () = until => return Ok(None),
                () = self.world.stop.cancelled() => return Ok(None),
            }
        }
    }

    fn ended(&self) -> bool {
        apps::get(&self.world, &self.app_id).is_ok_and(|app| app.state() == AppState::Stopped)
    }

    /// Fills the batches with the next entries that are asked for, if there are any.
    fn read(&mut self) -> Result<(), Status> {
        let mut batches = Batches::default();
        loop {
            let (entries, next) = {
                let state = self.log.lock();
                let wanted = |source: &Source, fd| self.filter.wants(source, fd);
                let read = state.store.read(self.from, CHUNK, wanted);
                let (entries, next) = read.map_err(unreadable)?;
                (entries, next)
            };
            let more = next > self.from && !entries.is_empty();
            self.from = next;
            for entry in &entries {
                let lines: Vec<&[u8]> = self.filter.lines(entry).collect();
                if !lines.is_empty() {
                    batches.add(entry, &lines);
                }
            }
            if !more || !batches.batches.is_empty() {
                self.batches = batches.batches;
                return Ok(());
            }
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn unreadable(error: std::io::Error) -> Status {
    Status::data_loss(format!("the log could not be read: {error}"))
}

/// A span of time in nanoseconds, checked.
fn span(
    since: Option<prost_types::Timestamp>,
    until: Option<prost_types::Timestamp>,
) -> Result<(u64, u64), Status> {
    let nanos = |time: prost_types::Timestamp| {
        let seconds = u64::try_from(time.seconds).unwrap_or_default();
        seconds.saturating_mul(SECOND) + u64::try_from(time.nanos).unwrap_or_default()
    };
    let until = until.map_or_else(crate::clock::nanos, nanos);
    let since = since.map_or_else(|| until.saturating_sub(SPAN * SECOND), nanos);
    if since > until {
        return Err(Status::invalid_argument("`since` must be before `until`"));
    }
    // A second of grace: the two ends are rounded apart.
    if until - since > (SPAN + 1) * SECOND {
        return Err(Status::invalid_argument(
            "the time range cannot exceed 35 days",
        ));
    }
    Ok((since, until))
}

async fn fetch_logs(
    world: Arc<World>,
    call: Call<AppFetchLogsRequest>,
) -> Result<AppFetchLogsResponse, Status> {
    let request = call.message;
    let app_id = app_of(
        &world,
        &request.app_id,
        &request.task_id,
        &request.sandbox_id,
    )?;
    let (since, until) = span(request.since, request.until)?;
    let limit = match request.limit {
        0 => LINES,
        limit if limit <= LINES => limit,
        _ => {
            let text = format!("`limit` must not exceed {LINES}");
            return Err(Status::invalid_argument(text));
        }
    };
    let filter = Filter {
        fd: request.source,
        functions: variants(&world, request.function_id),
        variant: request.parametrized_function_id,
        call: request.function_call_id,
        input: String::new(),
        task: request.task_id,
        sandbox: request.sandbox_id,
        text: request.search_text,
        no_images: true,
    };
    let mut left = limit as usize;
    // Newest first, and how many of the first lines of an entry are too many.
    let mut found: Vec<(Entry, usize)> = Vec::new();
    let log = world.logs.of(&app_id);
    {
        let state = lock(&log.state);
        let take = |entry: Entry| {
            let lines = filter.lines(&entry).count();
            let skip = lines.saturating_sub(left);
            left -= lines - skip;
            if lines > 0 {
                found.push((entry, skip));
            }
            left > 0
        };
        let wanted = |source: &Source, fd| filter.wants(source, fd);
        state
            .store
            .newest(since, until, wanted, take)
            .map_err(unreadable)?;
    }
    let mut batches = Batches::default();
    for (entry, skip) in found.iter().rev() {
        let lines: Vec<&[u8]> = filter.lines(entry).skip(*skip).collect();
        batches.add(entry, &lines);
    }
    Ok(AppFetchLogsResponse {
        batches: batches.batches.into(),
    })
}

async fn count_logs(
    world: Arc<World>,
    call: Call<AppCountLogsRequest>,
) -> Result<AppCountLogsResponse, Status> {
    let request = call.message;
    let app_id = app_of(
        &world,
        &request.app_id,
        &request.task_id,
        &request.sandbox_id,
    )?;
    let (since, until) = span(request.since, request.until)?;
    let width = u64::from(request.bucket_secs) * SECOND;
    if width == 0 || (until - since) / width > BUCKETS {
        let text = "`bucket_secs` must be 1 or more, and large enough for the time range";
        return Err(Status::invalid_argument(text));
    }
    let filter = Filter {
        fd: request.source,
        functions: variants(&world, request.function_id),
        variant: request.parametrized_function_id,
        call: request.function_call_id,
        input: String::new(),
        task: request.task_id,
        sandbox: request.sandbox_id,
        text: request.search_text,
        no_images: true,
    };
    let mut counts: BTreeMap<u64, [u64; 3]> = BTreeMap::new();
    let mut at = since / width;
    while at * width < until {
        counts.insert(at, [0; 3]);
        at += 1;
    }
    let log = world.logs.of(&app_id);
    {
        let state = lock(&log.state);
        let take = |entry: Entry| {
            let lines = filter.lines(&entry).count() as u64;
            let counted = counts.entry(entry.time / width).or_default();
            match FileDescriptor::try_from(entry.fd) {
                Ok(FileDescriptor::Stdout) => counted[0] += lines,
                Ok(FileDescriptor::Stderr) => counted[1] += lines,
                _ => counted[2] += lines,
            }
            true
        };
        let wanted = |source: &Source, fd| filter.wants(source, fd);
        state
            .store
            .newest(since, until, wanted, take)
            .map_err(unreadable)?;
    }
    let buckets = counts
        .into_iter()
        .map(|(at, [stdout_logs, stderr_logs, system_logs])| {
            let start = i64::try_from(at * width / SECOND).unwrap_or(i64::MAX);
            LogBucket {
                bucket_start_at: Some(prost_types::Timestamp {
                    seconds: start,
                    nanos: 0,
                }),
                stdout_logs,
                stderr_logs,
                system_logs,
            }
        });
    Ok(AppCountLogsResponse {
        app_id,
        buckets: buckets.collect(),
    })
}
