//! From a stream of bytes to a [`Reply`], in bounded memory.

use super::{BadLine, MAX_LINE, Message, PREFIX, Reply, StepResult, parse_line, too_long};
use crate::spec::ReplyRule;

/// Reads a job's standard output as it comes, in chunks of any size, and keeps its reply.
///
/// Holds at most one protocol line ([`MAX_LINE`]); log passes through without being held, however long its
/// lines are.
///
/// ```
/// use moorline_core::protocol::{Reply, ReplyCollector};
/// use moorline_core::spec::ReplyRule;
///
/// let mut collector = ReplyCollector::new();
/// for chunk in ["working\n::moor", "line {\"type\":\"result\",\"status\":", "\"success\"}\n"] {
///     collector.push(chunk.as_bytes(), &mut |message| drop(message));
/// }
/// let done = Reply::Success { transaction_count: None, data: serde_json::Value::Null };
/// assert_eq!(collector.finish(ReplyRule::Required), done);
/// ```
#[derive(Debug, Default)]
pub struct ReplyCollector {
    /// The start of a line that may yet be one of the protocol.
    held: Vec<u8>,
    /// Whether the rest of the present line is plain log, or is given up on.
    skipping: bool,
    /// Number of the present line, from 0.
    line: u64,
    result: Option<StepResult>,
    /// The first thing that was not the contract.
    bad: Option<String>,
}

impl ReplyCollector {
    /// Before any output.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of output. Progress and metrics go to `sink` at once; the result is kept.
    pub fn push(&mut self, mut chunk: &[u8], sink: &mut dyn FnMut(Message)) {
        while !chunk.is_empty() {
            if !self.skipping && !self.may_be_protocol(chunk) {
                self.held.clear();
                self.skipping = true;
            }
            let end = memchr::memchr(b'\n', chunk);
            let (rest_of_line, next) = match end {
                Some(end) => (chunk.get(..end), chunk.get(end + 1..)),
                None => (Some(chunk), None),
            };
            if !self.skipping {
                self.hold(rest_of_line.unwrap_or_default());
            }
            if end.is_some() {
                self.end_line(sink);
            }
            chunk = next.unwrap_or_default();
        }
    }

    /// What the output came to. A result in a last line without line feed counts; progress that comes so
    /// late is dropped. With [`ReplyRule::Required`], no result is a bad reply.
    pub fn finish(mut self, rule: ReplyRule) -> Reply {
        self.end_line(&mut |_| {});
        if let Some(reason) = self.bad {
            return Reply::Bad { reason };
        }
        match self.result {
            Some(result) => result.into(),
            None if rule == ReplyRule::Required => Reply::Bad {
                reason: "it sent no result line, and its step requires one".to_owned(),
            },
            None => Reply::None,
        }
    }

    /// Whether the line that is held, continued by `more`, can be one of the protocol.
    fn may_be_protocol(&self, more: &[u8]) -> bool {
        let prefix = PREFIX.as_bytes();
        let held = self.held.len().min(prefix.len());
        prefix
            .iter()
            .skip(held)
            .zip(more)
            .all(|(expected, byte)| expected == byte)
    }

    fn hold(&mut self, bytes: &[u8]) {
        if self.held.len() + bytes.len() > MAX_LINE {
            self.refuse(&too_long());
            self.held = Vec::new();
            self.skipping = true;
        } else {
            self.held.extend_from_slice(bytes);
        }
    }

    fn end_line(&mut self, sink: &mut dyn FnMut(Message)) {
        if !self.skipping {
            match parse_line(&self.held) {
                None => {}
                Some(Err(bad)) => self.refuse(&bad),
                Some(Ok(Message::Result(_))) if self.result.is_some() => {
                    self.refuse(&BadLine("a second result".to_owned()));
                }
                Some(Ok(Message::Result(result))) => self.result = Some(result),
                Some(Ok(message)) => sink(message),
            }
        }
        self.held.clear();
        self.skipping = false;
        self.line += 1;
    }

    fn refuse(&mut self, bad: &BadLine) {
        let line = self.line + 1;
        self.bad
            .get_or_insert_with(|| format!("line {line} of its output: {bad}"));
    }
}
