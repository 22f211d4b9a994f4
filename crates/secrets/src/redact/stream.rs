//! Redaction of text that comes in pieces.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use zeroize::{Zeroize as _, Zeroizing};

use super::patterns::LOOK_BEHIND;
use super::run::Run;
use super::scan::Scan;
use super::{Core, Redactor};

/// A long chunk is looked at in pieces of this size, which fit the processor's cache.
const PIECE: usize = 64 * 1024;

/// Redacts a byte stream, such as the log of a running job; made by [`Redactor::stream`].
///
/// The output is that of [`Redactor::redact_bytes`] on the whole stream, wherever the chunks are
/// cut. The bytes need not be UTF-8.
///
/// [`push`](Self::push) passes on all that can not become part of a secret by what follows. What
/// stays behind is at most as long as the longest form of a value, or 160 bytes. After a complete
/// line nothing stays behind, unless the line's end is the beginning of a value that has several
/// lines; within a line a last letter or digit may, since base64 of a value could begin in it.
///
/// ```
/// use moorline_secrets::Redactor;
///
/// let redactor = Redactor::builder().value("API_KEY", "correct horse").build();
/// let mut stream = redactor.stream();
/// let mut log = Vec::new();
/// stream.push(b"token: corr", &mut log);
/// assert_eq!(log, b"token: ");
/// stream.push(b"ect horse\nnext ", &mut log);
/// stream.finish(&mut log);
/// assert_eq!(log, b"token: [redacted:API_KEY]\nnext ");
/// ```
pub struct StreamRedactor {
    core: Arc<Core>,
    /// Context that was passed on already, then what was not.
    buffer: Zeroizing<Vec<u8>>,
    /// Where the context ends.
    certain: usize,
    /// Up to where `buffer` is covered by a marker that was written already; may lie before
    /// `certain`.
    covered: usize,
    /// Patterns under way that cover the buffer to its end and may go on.
    open: Vec<Run>,
    /// Indexes of the values that were found.
    found: BTreeSet<u32>,
    scan: Scan,
}

impl StreamRedactor {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self {
            core,
            buffer: Zeroizing::default(),
            certain: 0,
            covered: 0,
            open: Vec::new(),
            found: BTreeSet::new(),
            scan: Scan::default(),
        }
    }

    /// Takes the next bytes of the stream, and appends to `out` what is now certain.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        for piece in chunk.chunks(PIECE) {
            self.take(piece);
            self.advance(out, false);
        }
    }

    /// Ends the stream: appends the rest to `out`. Afterwards a new stream can be begun; what was
    /// [`found`](Self::found) stays known.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.advance(out, true);
        self.buffer.zeroize();
        self.certain = 0;
        self.covered = 0;
        self.open.clear();
    }

    /// The names of the values of which some form was found so far, in the order in which the redactor
    /// got them. Whoever looks for leaks need not look for markers.
    pub fn found(&self) -> impl Iterator<Item = &str> {
        self.found
            .iter()
            .filter_map(|&owner| self.core.names.get(owner as usize))
            .map(String::as_str)
    }

    /// How many bytes stay behind until more is known.
    pub fn pending(&self) -> usize {
        self.buffer.len() - self.certain
    }

    /// Appends to the buffer, and lets patterns that are under way go on.
    fn take(&mut self, piece: &[u8]) {
        let old = self.buffer.len();
        // Growing by hand: `Vec` would leave the old buffer behind unwiped.
        if self.buffer.capacity() - old < piece.len() {
            let mut larger = Vec::with_capacity((old + piece.len()).next_power_of_two());
            larger.extend_from_slice(&self.buffer);
            self.buffer = Zeroizing::new(larger);
        }
        self.buffer.extend_from_slice(piece);
        let (buffer, covered) = (&self.buffer, &mut self.covered);
        self.open.retain_mut(|run| {
            let end = run.end(buffer, old);
            *covered = (*covered).max(end.unwrap_or(buffer.len()));
            end.is_none()
        });
    }

    /// Writes out all that is certain.
    fn advance(&mut self, out: &mut Vec<u8>, end: bool) {
        self.scan.look(&self.core, &self.buffer, self.certain, end);
        self.scan.write(
            &self.core,
            &self.buffer,
            self.certain,
            &mut self.covered,
            out,
        );
        for hit in self.scan.certain_hits() {
            self.found.extend(hit.owner);
            if let Some(run) = hit.open
                && !self.open.contains(&run)
            {
                self.open.push(run);
            }
        }
        self.certain = self.scan.certain;
        self.forget();
    }

    /// Drops context that no pattern can look back to: patterns look back a bounded way, and never
    /// over the end of a line.
    fn forget(&mut self) {
        let context = self.certain.saturating_sub(LOOK_BEHIND)..self.certain;
        let line = self.buffer[context.clone()]
            .iter()
            .rposition(|&byte| byte == b'\n');
        let old = line.map_or(context.start, |newline| context.start + newline + 1);
        self.buffer.drain(..old);
        self.certain -= old;
        self.covered = self.covered.saturating_sub(old);
    }
}

impl fmt::Debug for StreamRedactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamRedactor")
            .field("pending", &self.pending())
            .finish_non_exhaustive()
    }
}

impl Redactor {
    /// Begins to redact a stream.
    pub fn stream(&self) -> StreamRedactor {
        StreamRedactor::new(Arc::clone(&self.core))
    }
}
