//! What an attempt says while it runs: progress and metrics, from its log into the event log.
//!
//! The line protocol's messages stand in the log of the attempt, redacted by whoever ran it. The driver
//! follows that log and records them in batches, under its fencing token, so that people see them while the
//! job runs; what was said too late for that is read before the end is recorded. Which messages are kept, and
//! in which order, follows from the log alone. So each has a number, and a driver that took the attempt over,
//! or does not know whether a batch was kept, repeats it without recording anything twice
//! ([`Store::events_append`](moorline_store::Store::events_append)).
//!
//! # Bounds
//! * Of one second, [`PER_SECOND`] messages are kept, and beyond those the last progress of that second.
//! * Of an attempt, [`PER_ATTEMPT`] events are recorded. Either bound is told once, in an event.
//! * A text is cut at [`LONGEST_TEXT`] bytes.
//!
//! # What it costs
//! Nothing is followed in the first [`SETTLING`], and the log of an attempt that said nothing is not read at
//! all: the executor counts messages ([`LogStats::messages`](moorline_core::attempt::LogStats)). Following
//! waits for the executor to have something. There is at most one commit in [`PAUSE`] for each attempt.

use std::pin::pin;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use moorline_core::attempt::{Handle, Outcome};
use moorline_core::event::{EventKind, Level, NewEvent};
use moorline_core::protocol::{MAX_LINE, Message, Metric, PREFIX, Progress, parse_line};
use moorline_core::run::{LiveAttempt, Refusal, Run};
use moorline_executor::{LogChunk, LogCursor, LogStream};
use moorline_secrets::Redactor;
use moorline_store::{AppendEvents, StoreError};
use serde_json::{Map, Value, json};
use tracing::{debug, warn};

use crate::attempt::Plan;
use crate::engine::Inner;
use crate::error::is_unavailable;

/// Messages of one second of an attempt that are kept.
const PER_SECOND: u32 = 20;
/// Events that are recorded of one attempt, the word that there were more aside.
const PER_ATTEMPT: u64 = 5_000;
/// Bytes of a text that are kept.
const LONGEST_TEXT: usize = 2_000;
/// Age from which on an attempt is followed: most are over by then.
const SETTLING: Duration = Duration::from_millis(250);
/// Between two commits of what one attempt says.
const PAUSE: Duration = Duration::from_millis(100);
/// Before a store that did not answer is asked again.
const PATIENCE: Duration = Duration::from_secs(1);
/// Events of one batch.
const BATCH: usize = 256;

/// What one attempt has said as far as it was read, and what of it is to be recorded.
#[derive(Debug)]
pub(crate) struct Telling {
    /// Where to go on reading.
    cursor: LogCursor,
    /// The beginning of a long line.
    line: String,
    /// Whether the rest of the present line is of no interest.
    skipping: bool,
    /// Messages that were read.
    heard: u64,
    choice: Choice,
    /// Events that are not recorded yet.
    pending: Vec<NewEvent>,
    /// Number of the first of them.
    from: u64,
    /// Of the step's secrets; made when there is something to redact.
    redactor: Option<Redactor>,
    /// Set when another driver has the attempt: nothing more is recorded by this one.
    fenced: bool,
}

/// Which messages become events; decided by the log alone.
#[derive(Debug)]
struct Choice {
    step: String,
    attempt: Value,
    /// The second that counts at present, and how many of it were kept.
    second: i64,
    kept: u32,
    /// The last progress of that second, beyond those that are kept.
    held: Option<NewEvent>,
    /// Events that were chosen.
    chosen: u64,
    told_of_rate: bool,
}

impl Telling {
    pub(crate) fn new(plan: &Plan, live: &LiveAttempt) -> Self {
        Self {
            cursor: LogCursor::default(),
            line: String::new(),
            skipping: false,
            heard: 0,
            choice: Choice {
                step: plan.attempt.step.clone(),
                attempt: json!(live.id),
                second: i64::MIN,
                kept: 0,
                held: None,
                chosen: 0,
                told_of_rate: false,
            },
            pending: Vec::new(),
            from: 0,
            redactor: None,
            fenced: false,
        }
    }

    /// Takes the next piece of the log.
    fn take(&mut self, chunk: &LogChunk) {
        self.cursor = chunk.next;
        if chunk.stream != LogStream::Stdout {
            return;
        }
        if !self.skipping {
            // Most of a log is none of ours, however long its lines are.
            let begins = self.line.is_empty() && !chunk.text.starts_with(PREFIX);
            if begins || self.line.len() + chunk.text.len() > MAX_LINE {
                self.line = String::new();
                self.skipping = true;
            } else {
                self.line.push_str(&chunk.text);
            }
        }
        if !chunk.ends_line {
            return;
        }
        if !self.skipping {
            // A line that is not the contract fails the attempt at its end; here it says nothing.
            match parse_line(self.line.as_bytes()) {
                Some(Ok(Message::Progress(progress))) => {
                    self.heard += 1;
                    let event = self.choice.progress(&progress);
                    self.choice.put(event, chunk.at, &mut self.pending);
                }
                Some(Ok(Message::Metric(metric))) => {
                    self.heard += 1;
                    let event = self.choice.metric(&metric);
                    self.choice.put(event, chunk.at, &mut self.pending);
                }
                Some(Ok(Message::Result(_)) | Err(_)) | None => {}
            }
        }
        self.line.clear();
        self.skipping = false;
    }
}

impl Choice {
    fn progress(&self, progress: &Progress) -> NewEvent {
        let mut data = match serde_json::to_value(progress) {
            Ok(Value::Object(data)) => data,
            _ => Map::new(),
        };
        // The words of the line protocol, and those of the event.
        for (said, told) in [("pct", "progress_pct"), ("message", "output")] {
            if !data.contains_key(told)
                && let Some(value) = data.remove(said)
            {
                data.insert(told.to_owned(), value);
            }
        }
        data.values_mut().for_each(shorten);
        self.event(EventKind::RunProgress, data)
    }

    fn metric(&self, metric: &Metric) -> NewEvent {
        let mut name = json!(metric.name);
        shorten(&mut name);
        let data = Map::from_iter([
            ("metric".to_owned(), name),
            ("value".to_owned(), json!(metric.value)),
        ]);
        self.event(EventKind::RunMetric, data)
    }

    /// The word that not everything is told.
    fn capped(&self, what: String) -> NewEvent {
        let data = Map::from_iter([("output".to_owned(), Value::String(what))]);
        NewEvent {
            level: Level::Warn,
            ..self.event(EventKind::RunProgress, data)
        }
    }

    fn event(&self, kind: EventKind, mut data: Map<String, Value>) -> NewEvent {
        data.insert("step".to_owned(), json!(self.step));
        data.insert("attempt_id".to_owned(), self.attempt.clone());
        NewEvent {
            kind,
            level: Level::Info,
            data: Value::Object(data),
        }
    }

    /// Keeps a message that was said at this time, holds it back, or leaves it out.
    fn put(&mut self, event: NewEvent, at: Timestamp, to: &mut Vec<NewEvent>) {
        if at.as_second() != self.second {
            self.release(to);
            self.second = at.as_second();
            self.kept = 0;
        }
        if self.kept < PER_SECOND {
            self.kept += 1;
            self.choose(event, to);
            return;
        }
        if !self.told_of_rate {
            self.told_of_rate = true;
            let word = format!(
                "more than {PER_SECOND} messages in a second: of such seconds the first ones are \
                 kept, and the last progress"
            );
            self.choose(self.capped(word), to);
        }
        if event.kind == EventKind::RunProgress {
            self.held = Some(event);
        }
    }

    /// The second is over, or the attempt.
    fn release(&mut self, to: &mut Vec<NewEvent>) {
        if let Some(held) = self.held.take() {
            self.choose(held, to);
        }
    }

    fn choose(&mut self, event: NewEvent, to: &mut Vec<NewEvent>) {
        self.chosen = self.chosen.saturating_add(1);
        if self.chosen <= PER_ATTEMPT {
            to.push(event);
        } else if self.chosen == PER_ATTEMPT + 1 {
            let word = format!(
                "{PER_ATTEMPT} messages of this attempt are kept; what follows is in its log alone"
            );
            to.push(self.capped(word));
        }
    }
}

/// Cuts what is too long, at the border of a character.
fn shorten(value: &mut Value) {
    let text = match value {
        Value::String(text) => text,
        Value::Array(_) | Value::Object(_) => {
            let mut text = value.to_string();
            if text.len() > LONGEST_TEXT {
                cut(&mut text);
                *value = Value::String(text);
            }
            return;
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => return,
    };
    if text.len() > LONGEST_TEXT {
        cut(text);
    }
}

fn cut(text: &mut String) {
    text.truncate(text.floor_char_boundary(LONGEST_TEXT));
    text.push('\u{2026}');
}

impl Inner {
    /// Records what a live attempt says, until `over`.
    pub(crate) async fn listen(
        &self,
        run: &Run,
        plan: &Plan,
        handle: &Handle,
        telling: &mut Telling,
        over: impl Future<Output = ()>,
    ) {
        let mut over = pin!(over.fuse());
        tokio::select! {
            () = &mut over => return,
            () = tokio::time::sleep(SETTLING) => {}
        }
        let mut lines = plan.executor.logs(handle, telling.cursor, true).fuse();
        loop {
            let chunk = tokio::select! {
                () = &mut over => return,
                chunk = lines.next() => chunk,
            };
            let Some(mut chunk) = readable(run, chunk) else {
                // The end of the attempt reads what is left.
                return over.await;
            };
            loop {
                telling.take(&chunk);
                if telling.pending.len() >= BATCH {
                    break;
                }
                match lines.next().now_or_never() {
                    Some(Some(Ok(next))) => chunk = next,
                    _ => break,
                }
            }
            while !telling.pending.is_empty() {
                // Not cut short by the end of the attempt: a batch that is on its way is waited for.
                let recorded = self.record_told(run, plan, telling).await;
                if telling.fenced {
                    return over.await;
                }
                let wait = if recorded { PAUSE } else { PATIENCE };
                tokio::select! {
                    () = &mut over => return,
                    () = tokio::time::sleep(wait) => {}
                }
            }
        }
    }

    /// Records what an attempt that is over said and nobody recorded. Before its end is recorded: afterwards
    /// nothing of it is accepted. That a part is missing is no reason for another end.
    pub(crate) async fn hear_out(
        &self,
        run: &Run,
        plan: &Plan,
        handle: &Handle,
        outcome: &Outcome,
        mut telling: Telling,
    ) {
        if outcome.log.messages > telling.heard && !telling.fenced {
            let mut lines = plan.executor.logs(handle, telling.cursor, false);
            while let Some(chunk) = readable(run, lines.next().await) {
                telling.take(&chunk);
                if telling.pending.len() >= BATCH
                    && !self.record_told(run, plan, &mut telling).await
                {
                    return;
                }
            }
        }
        telling.choice.release(&mut telling.pending);
        if !telling.pending.is_empty() && !telling.fenced {
            self.record_told(run, plan, &mut telling).await;
        }
    }

    /// Records what is pending; `false` when it is still to be recorded.
    async fn record_told(&self, run: &Run, plan: &Plan, telling: &mut Telling) -> bool {
        if telling.redactor.is_none() {
            // Whoever ran the attempt has redacted its log. Should the values not be had any more, what
            // looks like a secret is redacted all the same (L47).
            let secrets = match self.attempt_secrets(run, plan).await {
                // The store does not answer: nothing could be recorded either.
                Err(error) if is_unavailable(&error) => return false,
                found => found.unwrap_or_default(),
            };
            telling.redactor = Some(Redactor::from(&secrets.values));
        }
        let mut events = telling.pending.clone();
        if let Some(redactor) = &telling.redactor {
            for event in &mut events {
                redactor.redact_json(&mut event.data);
            }
        }
        let count = events.len();
        let append = AppendEvents {
            run: run.id,
            token: run.token,
            from: telling.from,
            events,
            now: self.now(),
        };
        match self.store.events_append(append).await {
            Ok(()) => {
                telling.pending.drain(..count);
                telling.from += count as u64;
                self.changed.notify_waiters();
                true
            }
            Err(StoreError::Refused(Refusal::Stale)) => {
                debug!(run = %run.id, "another driver records what the attempt says");
                telling.fenced = true;
                false
            }
            Err(error) => {
                warn!(run = %run.id, %error, "what the attempt says can not be recorded now");
                false
            }
        }
    }
}

/// The next piece of a log, if there is one.
fn readable(
    run: &Run,
    chunk: Option<Result<LogChunk, moorline_executor::ExecutorError>>,
) -> Option<LogChunk> {
    chunk?
        .inspect_err(|error| debug!(run = %run.id, %error, "the log can not be followed"))
        .ok()
}

#[cfg(test)]
#[path = "progress/tests.rs"]
mod tests;
