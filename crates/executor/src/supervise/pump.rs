//! From the job's pipes to its log: redacted, split into lines, capped; the reply is read on the way.
//!
//! Bytes go pipe, redactor, then both to the reply collector (standard output only) and to the log. The
//! reply is read before the cap, so a flood of log does not lose the result. Pipes are read to the end
//! whatever happens to the log: a job never blocks on a full disk or a full log.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use moorline_core::attempt::LogStats;
use moorline_core::clock::{Clock as _, SystemClock};
use moorline_core::protocol::{Reply, ReplyCollector};
use moorline_core::spec::ReplyRule;
use moorline_secrets::{Redactor, StreamRedactor};
use rustix::io::Errno;

use crate::executor::LogStream;
use crate::local::layout::{AttemptDir, private_append};
use crate::local::log_format::{LONGEST_TEXT, encode, frame_len, stamp};

/// Read from a pipe at once: as much as a pipe holds by default.
const CHUNK: usize = 64 * 1024;

/// Bytes of a sandbox's complaint that are worth passing on.
const MOST_WORDS: usize = 1024;

/// Both pipes of a job.
pub(super) struct Pump<'a> {
    redactor: &'a Redactor,
    sources: [Source; 2],
    log: LogFile,
    collector: ReplyCollector,
    chunk: Vec<u8>,
    written: u64,
    messages: u64,
    /// The first words on standard error, kept while they may be those of the sandbox.
    words: Vec<u8>,
    keep_words: bool,
}

struct Source {
    stream: LogStream,
    pipe: Option<OwnedFd>,
    /// Made when the first bytes come: many jobs say nothing.
    redactor: Option<StreamRedactor>,
    lines: Lines,
}

impl<'a> Pump<'a> {
    pub(super) fn new(dir: &AttemptDir, cap: u64, redactor: &'a Redactor) -> Self {
        let source = |stream| Source {
            stream,
            pipe: None,
            redactor: None,
            lines: Lines::default(),
        };
        Self {
            redactor,
            sources: [source(LogStream::Stdout), source(LogStream::Stderr)],
            log: LogFile::new(dir, cap),
            collector: ReplyCollector::new(),
            chunk: Vec::new(),
            written: 0,
            messages: 0,
            words: Vec::new(),
            keep_words: true,
        }
    }

    /// Every byte of the log file goes there as well, in the same order.
    pub(super) fn mirror(&mut self, to: OwnedFd) {
        self.log.mirror = Some(File::from(to));
    }

    /// Takes the reading ends, which must not block.
    pub(super) fn attach(&mut self, stdout: OwnedFd, stderr: OwnedFd) {
        self.sources[0].pipe = Some(stdout);
        self.sources[1].pipe = Some(stderr);
    }

    /// Whether what comes on standard error is to be kept for [`words`](Self::words).
    pub(super) const fn keep_words(&mut self, keep: bool) {
        self.keep_words = keep;
    }

    /// What was said on standard error before the job started.
    pub(super) fn words(&self) -> String {
        String::from_utf8_lossy(&self.words).into_owned()
    }

    /// The pipes that are still open, each with its index.
    pub(super) fn open_pipes(&self) -> impl Iterator<Item = (usize, BorrowedFd<'_>)> {
        let sources = self.sources.iter().enumerate();
        sources.filter_map(|(index, source)| Some((index, source.pipe.as_ref()?.as_fd())))
    }

    /// Reads what a pipe has, at most one chunk. False when there was nothing.
    pub(super) fn read(&mut self, index: usize) -> io::Result<bool> {
        let source = &mut self.sources[index];
        let Some(pipe) = &source.pipe else {
            return Ok(false);
        };
        self.chunk.resize(CHUNK, 0);
        let length = match rustix::io::read(pipe, &mut self.chunk) {
            Ok(length) => length,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        if length == 0 {
            self.close(index);
            return Ok(true);
        }
        self.written += length as u64;
        let redactor = source
            .redactor
            .get_or_insert_with(|| self.redactor.stream());
        let mut clean = Vec::with_capacity(length + 1024);
        redactor.push(self.chunk.get(..length).unwrap_or_default(), &mut clean);
        self.accept(index, &clean);
        Ok(true)
    }

    /// Ends a stream: what the redactor and the last line still hold is written out.
    fn close(&mut self, index: usize) {
        let source = &mut self.sources[index];
        source.pipe = None;
        let mut rest = Vec::new();
        if let Some(mut redactor) = source.redactor.take() {
            redactor.finish(&mut rest);
        }
        self.accept(index, &rest);
        let source = &mut self.sources[index];
        let (stream, log) = (source.stream, &mut self.log);
        source.lines.finish(|text| log.line(stream, true, text));
        self.log.flush();
    }

    fn accept(&mut self, index: usize, clean: &[u8]) {
        let source = &mut self.sources[index];
        let (stream, log) = (source.stream, &mut self.log);
        if stream == LogStream::Stdout {
            // Progress and metrics stay in the log as they are; whoever follows it reads them there.
            let messages = &mut self.messages;
            self.collector.push(clean, &mut |_| *messages += 1);
        }
        if stream == LogStream::Stderr && self.keep_words && self.words.len() < MOST_WORDS {
            self.words
                .extend(clean.iter().take(MOST_WORDS - self.words.len()));
        }
        log.now();
        source
            .lines
            .push(clean, |text, ends_line| log.line(stream, ends_line, text));
        log.flush();
    }

    /// A word of the supervisor's own, without secrets. It is kept also when the log is full.
    pub(super) fn say(&mut self, text: &str) {
        self.log.now();
        self.log.system(text);
        self.log.flush();
    }

    /// Ends both streams and sums up.
    pub(super) fn finish(mut self) -> (Reply, LogStats) {
        for index in 0..self.sources.len() {
            if self.sources[index].pipe.is_some() {
                self.close(index);
            }
        }
        let stats = LogStats {
            written: self.written,
            dropped: self.log.dropped,
            messages: self.messages,
        };
        if stats.dropped > 0 {
            let cap = self.log.cap;
            let dropped = stats.dropped;
            self.say(&format!(
                "log full at its limit of {cap} bytes: {dropped} more were dropped"
            ));
        }
        (self.collector.finish(ReplyRule::Optional), stats)
    }
}

/// The bytes of a stream since its last line end.
#[derive(Default)]
struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// Calls `emit` for each line, and for each piece of a line that is too long for one frame.
    fn push(&mut self, mut bytes: &[u8], mut emit: impl FnMut(&[u8], bool)) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at(end);
            bytes = rest.get(1..).unwrap_or_default();
            if self.partial.is_empty() {
                let line = split_long(line, &mut emit);
                emit(line, true);
            } else {
                self.partial.extend_from_slice(line);
                let line = split_long(&self.partial, &mut emit);
                emit(line, true);
                self.partial.clear();
            }
        }
        self.partial.extend_from_slice(bytes);
        if self.partial.len() > LONGEST_TEXT {
            let rest = split_long(&self.partial, &mut emit).len();
            self.partial.drain(..self.partial.len() - rest);
        }
    }

    fn finish(&mut self, mut emit: impl FnMut(&[u8])) {
        if !self.partial.is_empty() {
            emit(&self.partial);
            self.partial.clear();
        }
    }
}

/// Emits all of a line but its last piece, which is returned. Characters are not cut.
fn split_long<'a>(mut line: &'a [u8], emit: &mut impl FnMut(&[u8], bool)) -> &'a [u8] {
    while line.len() > LONGEST_TEXT {
        let is_inside = |at: &usize| line.get(*at).is_some_and(|byte| byte & 0xc0 == 0x80);
        let cut = (LONGEST_TEXT - 3..=LONGEST_TEXT)
            .rev()
            .find(|at| !is_inside(at));
        let (piece, rest) = line.split_at(cut.unwrap_or(LONGEST_TEXT));
        emit(piece, false);
        line = rest;
    }
    line
}

/// The log file, made when there is something to write.
struct LogFile {
    dir: AttemptDir,
    file: Option<File>,
    /// Where the same bytes go as well.
    mirror: Option<File>,
    /// Frames that are not yet in the file.
    buffer: Vec<u8>,
    stamp: String,
    cap: u64,
    size: u64,
    full: bool,
    dropped: u64,
}

impl LogFile {
    fn new(dir: &AttemptDir, cap: u64) -> Self {
        Self {
            dir: dir.clone(),
            file: None,
            mirror: None,
            buffer: Vec::new(),
            stamp: String::new(),
            cap,
            size: 0,
            full: false,
            dropped: 0,
        }
    }

    /// Sets the time that the next frames carry.
    fn now(&mut self) {
        if !self.full {
            self.stamp = stamp(SystemClock.now());
        }
    }

    fn line(&mut self, stream: LogStream, ends_line: bool, text: &[u8]) {
        let frame = frame_len(text.len()) as u64;
        // Once full it stays full, so that what is missing is missing at the end only.
        self.full |= self.size + frame > self.cap;
        if self.full {
            self.dropped += text.len() as u64 + u64::from(ends_line);
        } else {
            self.size += frame;
            encode(&mut self.buffer, &self.stamp, stream, ends_line, text);
        }
    }

    fn system(&mut self, text: &str) {
        let now = stamp(SystemClock.now());
        for line in text.lines() {
            let line = split_long(line.as_bytes(), &mut |_, _| {});
            encode(&mut self.buffer, &now, LogStream::System, true, line);
        }
    }

    /// Writes the frames out. When the disk refuses, they count as dropped.
    fn flush(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        if self.write().is_err() {
            self.dropped += self.buffer.len() as u64;
            self.full = true;
        }
        self.buffer.clear();
    }

    fn write(&mut self) -> io::Result<()> {
        if self.file.is_none() {
            self.file = Some(private_append(&self.dir.log())?);
        }
        if let Some(file) = &mut self.file {
            file.write_all(&self.buffer)?;
        }
        if let Some(mirror) = &mut self.mirror
            && mirror.write_all(&self.buffer).is_err()
        {
            // Whoever reads it is gone; the file has it all.
            self.mirror = None;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(chunks: &[&[u8]]) -> Vec<(Vec<u8>, bool)> {
        let mut lines = Lines::default();
        let mut out = Vec::new();
        for chunk in chunks {
            lines.push(chunk, |text, ends_line| {
                out.push((text.to_vec(), ends_line));
            });
        }
        lines.finish(|text| out.push((text.to_vec(), true)));
        out
    }

    #[test]
    fn lines_are_the_same_wherever_the_chunks_are_cut() {
        let text = b"one\n\ntwo \xff\r\nrest";
        let whole = lines_of(&[text]);
        let expected: [&[u8]; 4] = [b"one", b"", b"two \xff\r", b"rest"];
        assert_eq!(whole, expected.map(|line| (line.to_vec(), true)));
        for cut in 0..text.len() {
            let (a, b) = text.split_at(cut);
            assert_eq!(lines_of(&[a, b]), whole, "cut at {cut}");
        }
    }

    #[test]
    fn a_long_line_is_split_between_characters() {
        let line = "\u{20ac}".repeat(LONGEST_TEXT);
        for chunk in [1000, 65_536, line.len()] {
            let chunks: Vec<&[u8]> = line.as_bytes().chunks(chunk).collect();
            let pieces = lines_of(&chunks);
            let (last, first) = pieces.split_last().unwrap();
            assert!(first.iter().all(|(_, ends_line)| !ends_line) && last.1);
            let text: Vec<u8> = pieces.iter().flat_map(|(text, _)| text.clone()).collect();
            assert_eq!(text, line.as_bytes());
            for (piece, _) in &pieces {
                assert!(piece.len() <= LONGEST_TEXT);
                std::str::from_utf8(piece).unwrap();
            }
        }
    }

    #[test]
    fn a_full_log_stays_full_and_counts_what_it_drops() {
        let home = tempfile::tempdir().unwrap();
        let dir = AttemptDir::new(
            home.path(),
            moorline_core::ids::AttemptId::new(uuid::Uuid::nil()),
        );
        dir.create().unwrap();
        let mut log = LogFile::new(&dir, frame_len(5) as u64 + 10);
        log.now();
        log.line(LogStream::Stdout, true, b"hello");
        log.line(LogStream::Stdout, true, b"world");
        log.line(LogStream::Stdout, true, b"");
        log.system("full");
        log.flush();
        let text = std::fs::read_to_string(dir.log()).unwrap();
        let texts: Vec<&str> = text.lines().filter_map(|line| line.get(28..)).collect();
        assert_eq!(texts, ["o hello", "s full"]);
        assert_eq!(log.dropped, 7);
    }
}
