//! The log of one app: entries in order, numbered for ever, the newest of them kept.
//!
//! An entry is a piece of whole lines of one source. Pieces gather in a segment in memory; a full segment goes
//! to a slot of one file (unlinked, so nothing is left behind), and the oldest slot is written over. So an app
//! costs at most [`SEGMENT`] bytes of memory for text, and `SEGMENT * SEGMENTS` of disk.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

/// Bytes of text of one segment.
pub(super) const SEGMENT: usize = 4 << 20;
/// Segments that are kept.
const SEGMENTS: u64 = 64;
/// Entries of one segment, however short they are.
const ENTRIES: usize = 1 << 16;
/// Bytes of one entry.
pub(super) const ENTRY: usize = 64 << 10;

/// Where lines come from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[expect(clippy::struct_field_names, reason = "as in the messages")]
pub(crate) struct Source {
    /// `ta-…`; empty for what no container wrote.
    pub(crate) task_id: String,
    pub(crate) function_id: Option<String>,
    pub(crate) function_call_id: Option<String>,
    pub(crate) input_id: Option<String>,
    pub(crate) sandbox_id: Option<String>,
    pub(crate) image_id: Option<String>,
}

/// One entry, as it is read.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Counted from 0 for each app.
    pub(super) number: u64,
    /// Nanoseconds since 1970; never less than that of the entry before.
    pub(super) time: u64,
    pub(super) source: Arc<Source>,
    /// A `FileDescriptor`.
    pub(super) fd: i32,
    pub(super) text: Bytes,
}

#[derive(Debug, Clone, Copy)]
struct Meta {
    time: u64,
    at: u32,
    len: u32,
    source: u32,
    fd: i32,
}

#[derive(Debug)]
struct Segment {
    /// Counted from 0: names the slot of the file.
    ordinal: u64,
    /// Number of its first entry.
    first: u64,
    metas: Vec<Meta>,
    /// None when it is in the file.
    text: Option<Vec<u8>>,
}

/// The entries of one app.
#[derive(Debug)]
pub(super) struct Store {
    dir: PathBuf,
    file: Option<File>,
    segments: VecDeque<Segment>,
    sources: Vec<Arc<Source>>,
    ids: HashMap<Arc<Source>, u32>,
    last_time: u64,
}

impl Store {
    /// Empty. A file is made in `dir` when one is needed.
    pub(super) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            file: None,
            segments: VecDeque::new(),
            sources: Vec::new(),
            ids: HashMap::new(),
            last_time: 0,
        }
    }

    /// Whether a source has written nothing yet.
    pub(super) fn is_new(&self, source: &Source) -> bool {
        !self.ids.contains_key(source)
    }

    /// A small number for a source.
    pub(super) fn intern(&mut self, source: Source) -> u32 {
        if let Some(id) = self.ids.get(&source) {
            return *id;
        }
        let source = Arc::new(source);
        let id = u32::try_from(self.sources.len()).unwrap_or(u32::MAX);
        self.sources.push(Arc::clone(&source));
        self.ids.insert(source, id);
        id
    }

    /// The number of the next entry.
    pub(super) fn next(&self) -> u64 {
        self.segments
            .back()
            .map_or(0, |last| last.first + last.metas.len() as u64)
    }

    /// Adds an entry of at most [`ENTRY`] bytes.
    pub(super) fn push(&mut self, time: u64, source: u32, fd: i32, text: &[u8]) {
        let next = self.next();
        let full = self.segments.back().is_none_or(|last| {
            let held = last.text.as_ref().map_or(SEGMENT, Vec::len);
            held + text.len() > SEGMENT || last.metas.len() >= ENTRIES
        });
        if full {
            self.seal();
            let ordinal = self.segments.back().map_or(0, |last| last.ordinal + 1);
            self.segments.push_back(Segment {
                ordinal,
                first: next,
                metas: Vec::new(),
                text: Some(Vec::new()),
            });
            while self.segments.len() as u64 > SEGMENTS {
                self.segments.pop_front();
            }
        }
        self.last_time = self.last_time.max(time);
        let time = self.last_time;
        if let Some(segment) = self.segments.back_mut()
            && let Some(held) = &mut segment.text
            && let (Ok(at), Ok(len)) = (u32::try_from(held.len()), u32::try_from(text.len()))
        {
            held.extend_from_slice(text);
            segment.metas.push(Meta {
                time,
                at,
                len,
                source,
                fd,
            });
        }
    }

    /// Moves the text of the newest segment to the file. It stays in memory if the disk refuses it.
    fn seal(&mut self) {
        let Some(last) = self.segments.back_mut() else {
            return;
        };
        let Some(text) = &last.text else { return };
        let written = (|| {
            if self.file.is_none() {
                self.file = Some(tempfile::tempfile_in(&self.dir)?);
            }
            let Some(file) = &self.file else {
                return Ok(());
            };
            file.write_all_at(text, slot(last.ordinal))
        })();
        match written {
            Ok(()) => last.text = None,
            Err(error) => tracing::warn!(%error, "a log stays in memory"),
        }
    }

    /// Entries from number `from` on that `wanted` accepts, about `most` bytes of them, oldest first; and the
    /// number to go on from.
    pub(super) fn read(
        &self,
        from: u64,
        most: usize,
        wanted: impl Fn(&Source, i32) -> bool,
    ) -> io::Result<(Vec<Entry>, u64)> {
        let (mut entries, mut bytes) = (Vec::new(), 0);
        let begin = self
            .segments
            .partition_point(|s| s.first + s.metas.len() as u64 <= from);
        for segment in self.segments.iter().skip(begin) {
            let skipped = usize::try_from(from.saturating_sub(segment.first)).unwrap_or(usize::MAX);
            for (at, meta) in segment.metas.iter().enumerate().skip(skipped) {
                let number = segment.first + at as u64;
                if bytes >= most {
                    return Ok((entries, number));
                }
                if let Some(entry) = self.entry(segment, number, *meta, &wanted)? {
                    bytes += entry.text.len();
                    entries.push(entry);
                }
            }
        }
        Ok((entries, self.next()))
    }

    /// Entries with `since <= time < until`, newest first, until `take` answers false.
    pub(super) fn newest(
        &self,
        since: u64,
        until: u64,
        wanted: impl Fn(&Source, i32) -> bool,
        mut take: impl FnMut(Entry) -> bool,
    ) -> io::Result<()> {
        for segment in self.segments.iter().rev() {
            if segment
                .metas
                .first()
                .is_none_or(|first| first.time >= until)
            {
                continue;
            }
            if segment.metas.last().is_none_or(|last| last.time < since) {
                return Ok(());
            }
            let begin = segment.metas.partition_point(|meta| meta.time < since);
            let end = segment.metas.partition_point(|meta| meta.time < until);
            for at in (begin..end).rev() {
                let Some(meta) = segment.metas.get(at) else {
                    continue;
                };
                let number = segment.first + at as u64;
                if let Some(entry) = self.entry(segment, number, *meta, &wanted)?
                    && !take(entry)
                {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn entry(
        &self,
        segment: &Segment,
        number: u64,
        meta: Meta,
        wanted: impl Fn(&Source, i32) -> bool,
    ) -> io::Result<Option<Entry>> {
        let Some(source) = self.sources.get(meta.source as usize) else {
            return Ok(None);
        };
        if !wanted(source, meta.fd) {
            return Ok(None);
        }
        let (at, len) = (meta.at as usize, meta.len as usize);
        let text = match (&segment.text, &self.file) {
            (Some(text), _) => Bytes::copy_from_slice(text.get(at..at + len).unwrap_or_default()),
            (None, Some(file)) => {
                let mut text = vec![0; len];
                file.read_exact_at(&mut text, slot(segment.ordinal) + u64::from(meta.at))?;
                text.into()
            }
            (None, None) => Bytes::new(),
        };
        let source = Arc::clone(source);
        Ok(Some(Entry {
            number,
            time: meta.time,
            source,
            fd: meta.fd,
            text,
        }))
    }
}

/// Where the text of a segment is in the file.
fn slot(ordinal: u64) -> u64 {
    (ordinal % SEGMENTS) * SEGMENT as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(task: &str) -> Source {
        Source {
            task_id: task.to_owned(),
            ..Source::default()
        }
    }

    fn read(store: &Store, from: u64) -> Vec<(u64, String)> {
        let (entries, _) = store.read(from, usize::MAX, |_, _| true).unwrap();
        let text = |entry: &Entry| String::from_utf8_lossy(&entry.text).into_owned();
        entries
            .iter()
            .map(|entry| (entry.number, text(entry)))
            .collect()
    }

    #[test]
    fn a_reader_goes_on_where_it_stopped() {
        let mut store = Store::new(Path::new("/nonexistent"));
        assert!(store.is_new(&source("ta-1")));
        let one = store.intern(source("ta-1"));
        assert!(!store.is_new(&source("ta-1")));
        assert_eq!(store.intern(source("ta-1")), one);
        let two = store.intern(source("ta-2"));
        store.push(5, one, 1, b"a\n");
        store.push(4, two, 2, b"b\n");
        let (entries, next) = store.read(0, 1, |_, _| true).unwrap();
        assert_eq!((entries.len(), next), (1, 1));
        assert_eq!(read(&store, next), [(1, "b\n".to_owned())]);
        assert_eq!(read(&store, 2), []);
        let (entries, next) = store
            .read(0, 100, |source, _| source.task_id == "ta-2")
            .unwrap();
        assert_eq!((entries[0].time, next), (5, 2), "time does not go back");
    }

    #[test]
    fn what_is_in_the_file_reads_like_what_is_in_memory_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::new(dir.path());
        let one = store.intern(source("ta-1"));
        let piece = vec![b'x'; ENTRY];
        let per_segment = (SEGMENT / ENTRY) as u64;
        let total = per_segment * (SEGMENTS + 2);
        for n in 0..total {
            let mut piece = piece.clone();
            piece[..8].copy_from_slice(&n.to_le_bytes());
            store.push(n, one, 1, &piece);
        }
        assert_eq!(store.next(), total);
        let first = store.segments[0].first;
        assert_eq!(first, 2 * per_segment);
        let mut from = 0;
        let mut expected = first;
        while from < total {
            let (entries, next) = store.read(from, SEGMENT, |_, _| true).unwrap();
            for entry in entries {
                assert_eq!(entry.number, expected);
                assert_eq!(entry.text[..8], expected.to_le_bytes());
                expected += 1;
            }
            from = next;
        }
        assert_eq!(expected, total);
        let mut newest = Vec::new();
        let all = |_: &Source, _| true;
        let take = |entry: Entry| {
            newest.push(entry.number);
            newest.len() < 3
        };
        store.newest(0, total - 1, all, take).unwrap();
        assert_eq!(newest, [total - 2, total - 3, total - 4]);
    }
}
