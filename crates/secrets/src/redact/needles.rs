//! Finds any of a few thousand byte strings in a log, and tells how much of the log's end may yet
//! become one.
//!
//! The search is Wu and Manber's ("A fast algorithm for multi-pattern searching", 1994): a table
//! says for every block of three bytes how far the search may jump when it meets the block, so most
//! of a log is never looked at. It is written here, and is not an Aho-Corasick automaton, for three
//! reasons. An automaton over the forms of 50 secrets took 2 ms to build and then read 200 MB/s, or
//! as a table of states 22 ms and 16 MB for 500 MB/s, where this takes 0.1 ms and reads more than
//! 1 GB/s; a supervisor process per job can not wait longer. It stops at the first of two matches
//! that overlap, unless it is slowed down further. And it does not tell which unfinished match the
//! text ends in, without which a stream would hold back as much as the longest secret after every
//! line.

use std::ops::Range;

use zeroize::Zeroizing;

use super::forms::{Edges, FormSink, MIN_VALUE_BYTES};

/// Bytes in a block: what one look at the text reads.
const BLOCK: usize = 3;
/// Blocks are hashed to this many bits.
const HASH_BITS: u32 = 14;
/// The longest common prefix length that is used; a longer one would fill the table and jump less.
const MAX_WINDOW: usize = 16;

/// One byte string to find: a range of the arena, and whose value it is a form of.
#[derive(Debug, Clone)]
struct Needle {
    range: Range<usize>,
    owner: u32,
    edges: Edges,
}

/// Collects needles. The bytes are kept in one buffer that is wiped when it is dropped.
#[derive(Default)]
pub(crate) struct NeedlesBuilder {
    arena: Zeroizing<Vec<u8>>,
    needles: Vec<Needle>,
    owner: u32,
}

impl NeedlesBuilder {
    /// The forms that follow are of the value with this index.
    pub(crate) fn owner(&mut self, owner: u32) {
        self.owner = owner;
    }

    /// Sorts what was collected and fills the tables.
    pub(crate) fn build(self) -> Needles {
        let Self {
            arena, mut needles, ..
        } = self;
        needles.sort_by(|a, b| {
            arena[a.range.clone()]
                .cmp(&arena[b.range.clone()])
                .then(a.owner.cmp(&b.owner))
        });
        needles.dedup_by(|later, first| {
            let same = arena[later.range.clone()] == arena[first.range.clone()];
            if same {
                first.edges.before |= later.edges.before;
                first.edges.after |= later.edges.after;
            }
            same
        });
        Needles::new(arena, needles)
    }
}

impl FormSink for NeedlesBuilder {
    fn form(&mut self, form: &[u8], edges: Edges) {
        debug_assert!(
            form.len() >= MIN_VALUE_BYTES,
            "a form is never shorter than its value"
        );
        let start = self.arena.len();
        // Growing by hand: `Vec` would leave the old buffer behind unwiped.
        if self.arena.capacity() - start < form.len() {
            let mut larger = Vec::with_capacity((start + form.len()).next_power_of_two().max(4096));
            larger.extend_from_slice(&self.arena);
            self.arena = Zeroizing::new(larger);
        }
        self.arena.extend_from_slice(form);
        self.needles.push(Needle {
            range: start..start + form.len(),
            owner: self.owner,
            edges,
        });
    }
}

/// A needle that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    /// Where it begins.
    pub(crate) start: usize,
    /// Where it ends.
    pub(crate) end: usize,
    /// The index of the value that it is a form of.
    pub(crate) owner: u32,
    /// Neighbours that belong to it.
    pub(crate) edges: Edges,
}

/// The byte strings to find, ready to search with.
pub(crate) struct Needles {
    arena: Zeroizing<Vec<u8>>,
    /// Sorted by their bytes, none twice.
    all: Vec<Needle>,
    /// How many leading bytes of each needle the search looks at; 0 when there are no needles.
    window: usize,
    /// By block hash: how far the search may move on; 0 where the window of a needle may end.
    shift: Box<[u8]>,
    /// Hash of the window's last block, and the needle; sorted.
    ends: Vec<(u16, u32)>,
    /// Whether a byte occurs in any needle before its last place, in other words whether a text
    /// that ends with the byte can end within a needle.
    inner: [bool; 256],
    /// Whether the digit before a match may belong to it, for any needle.
    before: bool,
}

impl Needles {
    fn new(arena: Zeroizing<Vec<u8>>, needles: Vec<Needle>) -> Self {
        let shortest = needles
            .iter()
            .map(|needle| needle.range.len())
            .min()
            .unwrap_or(0);
        let window = shortest.min(MAX_WINDOW);
        let mut this = Self {
            before: needles.iter().any(|needle| needle.edges.before),
            arena,
            all: needles,
            window,
            shift: Box::default(),
            ends: Vec::new(),
            inner: [false; 256],
        };
        if window >= BLOCK {
            this.fill_tables();
        }
        this
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the window is at most MAX_WINDOW, and \
        4 GiB of needles do not fit a process that redacts"
    )]
    fn fill_tables(&mut self) {
        let mut shift = vec![(self.window - BLOCK + 1) as u8; 1 << HASH_BITS];
        self.ends.reserve_exact(self.all.len());
        for (index, needle) in self.all.iter().enumerate() {
            let bytes = &self.arena[needle.range.clone()];
            for &byte in &bytes[..bytes.len() - 1] {
                self.inner[usize::from(byte)] = true;
            }
            for (at, block) in bytes[..self.window].windows(BLOCK).enumerate() {
                let slot = &mut shift[hash(block)];
                *slot = (*slot).min((self.window - BLOCK - at) as u8);
            }
            let last = &bytes[self.window - BLOCK..self.window];
            self.ends.push((hash(last) as u16, index as u32));
        }
        self.ends.sort_unstable();
        self.shift = shift.into_boxed_slice();
    }

    /// Whether any needle can have a digit before it that belongs to it.
    pub(crate) fn widen_before(&self) -> bool {
        self.before
    }

    /// Calls `found` for every needle that begins at `from` or later, overlapping ones too, and
    /// returns where the earliest needle begins that the text breaks off in, or the text's length.
    pub(crate) fn search(&self, text: &[u8], from: usize, mut found: impl FnMut(Found)) -> usize {
        if self.all.is_empty() {
            return text.len();
        }
        let mut unfinished = text.len();
        let mut at = from + self.window - BLOCK;
        while let Some(block) = text.get(at..at + BLOCK) {
            let hash = hash(block);
            let shift = self.shift[hash];
            if shift != 0 {
                at += usize::from(shift);
                continue;
            }
            let start = at + BLOCK - self.window;
            if self.check(text, start, hash, &mut found) {
                unfinished = unfinished.min(start);
            }
            at += 1;
        }
        let tail = text.len().saturating_sub(self.window - 1).max(from);
        unfinished.min(self.unfinished_in_tail(text, tail))
    }

    /// Whether any needle occurs in the text.
    pub(crate) fn occur_in(&self, text: &[u8]) -> bool {
        let mut any = false;
        self.search(text, 0, |_| any = true);
        any
    }

    /// Compares the needles whose window ends in this block. Returns whether one of them agrees
    /// with the text but is longer than what there is of it.
    fn check(&self, text: &[u8], start: usize, hash: usize, found: &mut impl FnMut(Found)) -> bool {
        let rest = &text[start..];
        let first = self
            .ends
            .partition_point(|&(end, _)| usize::from(end) < hash);
        let mut unfinished = false;
        for &(end, index) in &self.ends[first..] {
            if usize::from(end) != hash {
                break;
            }
            let needle = &self.all[index as usize];
            let bytes = &self.arena[needle.range.clone()];
            if rest.starts_with(bytes) {
                let (owner, edges) = (needle.owner, needle.edges);
                found(Found {
                    start,
                    end: start + bytes.len(),
                    owner,
                    edges,
                });
            } else if rest.len() < bytes.len() && bytes.starts_with(rest) {
                unfinished = true;
            }
        }
        unfinished
    }

    /// The same for places too near the end for a whole window.
    fn unfinished_in_tail(&self, text: &[u8], from: usize) -> usize {
        // Whatever is unfinished consists of inner bytes up to the end; after a newline there is
        // nothing, unless a secret has several lines.
        let first = text[from..]
            .iter()
            .rposition(|&byte| !self.inner[usize::from(byte)])
            .map_or(from, |outer| from + outer + 1);
        (first..text.len())
            .find(|&start| self.is_begun_by(&text[start..]))
            .unwrap_or(text.len())
    }

    /// Whether a needle begins with this text, which is shorter than the window.
    fn is_begun_by(&self, text: &[u8]) -> bool {
        // A block that no window has, the table tells without a search.
        let known = |block| usize::from(self.shift[hash(block)]) <= self.window - BLOCK;
        if text.get(..BLOCK).is_some_and(|block| !known(block)) {
            return false;
        }
        let bytes = |needle: &Needle| &self.arena[needle.range.clone()];
        let next = self.all.partition_point(|needle| bytes(needle) < text);
        self.all
            .get(next)
            .is_some_and(|needle| bytes(needle).starts_with(text))
    }
}

/// A block's place in the tables.
fn hash(block: &[u8]) -> usize {
    let word = match block {
        &[a, b, c] => u32::from_le_bytes([a, b, c, 0]),
        _ => 0,
    };
    // Fibonacci hashing: the upper bits of the product depend on all of the block's.
    (word.wrapping_mul(0x9E37_79B1) >> (u32::BITS - HASH_BITS)) as usize
}
