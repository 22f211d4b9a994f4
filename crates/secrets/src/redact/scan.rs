//! One look at a piece of text: what is to be redacted in it, and from where on that is not yet
//! certain.

use super::needles::Found;
use super::patterns::{LOOK_BEHIND, Verdict};
use super::run::Run;
use super::{Core, needles::Needles};

/// A part of the text that is to be redacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) start: usize,
    pub(super) end: usize,
    /// The index of the value it is a form of; none for a pattern.
    pub(super) owner: Option<u32>,
    /// For a pattern that goes on to the end of the text: what may follow in the next piece.
    pub(super) open: Option<Run>,
}

/// The findings of one look.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// In the order in which they are to be redacted; they may overlap.
    pub(super) hits: Vec<Hit>,
    /// Everything before this place is certain.
    pub(super) certain: usize,
    /// The last hit of each kind of run. What begins inside it ends where it ends, so a text that
    /// is full of triggers is still read only once per kind.
    runs: Vec<(Run, Hit)>,
}

impl Scan {
    /// Looks at `text`, of which `from` bytes are certain already and only there for context. At
    /// the `end` of a stream everything is certain.
    pub(super) fn look(&mut self, core: &Core, text: &[u8], from: usize, end: bool) {
        self.hits.clear();
        self.certain = text.len();
        self.find_values(&core.needles, text, from, end);
        self.find_patterns(core, text, from, end);
        // A value in front of what is named after a pattern; the longest value in front of the
        // others. Which one is first decides under whose name overlapping hits are redacted.
        self.hits.sort_unstable_by_key(|hit| {
            (
                hit.start,
                hit.owner.is_none(),
                usize::MAX - hit.end,
                hit.owner,
            )
        });
    }

    fn find_values(&mut self, needles: &Needles, text: &[u8], from: usize, end: bool) {
        let hits = &mut self.hits;
        let mut undecided = text.len();
        let unfinished = needles.search(text, from, |found| {
            let hit = widened(found, text, from);
            // The edge after it can not be told yet.
            if found.edges.after && hit.end == text.len() {
                undecided = undecided.min(hit.start);
            }
            hits.push(hit);
        });
        if !end {
            self.wait(undecided.min(unfinished));
            // A digit is kept back for the match that may begin behind it.
            let last = self.certain.checked_sub(1);
            if needles.widen_before() && last.is_some_and(|last| is_digit(text[last])) {
                self.certain = from.max(self.certain - 1);
            }
        }
    }

    fn find_patterns(&mut self, core: &Core, text: &[u8], from: usize, end: bool) {
        self.runs.clear();
        let context = from.saturating_sub(LOOK_BEHIND);
        core.patterns
            .search(text, context, end, |verdict| match verdict {
                Verdict::Redact { start, body, run } if start >= from => {
                    let hit = self.followed(text, start, body, run);
                    self.hits.push(hit);
                }
                Verdict::Wait(at) if at >= from => self.wait(at),
                // Decided at an earlier look, with more context.
                Verdict::Redact { .. } | Verdict::Wait(_) | Verdict::Pass => {}
            });
    }

    /// The hit of a pattern, followed to its end.
    fn followed(&mut self, text: &[u8], start: usize, body: usize, run: Run) -> Hit {
        let known = self.runs.iter().position(|(kind, _)| *kind == run);
        if let Some((_, last)) = known.map(|known| self.runs[known])
            && body < last.end
        {
            return Hit { start, ..last };
        }
        let mut rest = run;
        let taken = rest.end(text, body);
        let hit = Hit {
            start,
            end: taken.unwrap_or(text.len()),
            owner: None,
            open: taken.is_none().then_some(rest),
        };
        match known {
            Some(known) => self.runs[known].1 = hit,
            None => self.runs.push((run, hit)),
        }
        hit
    }

    /// Writes what is certain, `from` on, with markers in the places of the hits. The text before
    /// `covered` is under a marker that was written already; afterwards `covered` tells how far the
    /// last marker reaches.
    pub(super) fn write(
        &self,
        core: &Core,
        text: &[u8],
        from: usize,
        covered: &mut usize,
        out: &mut Vec<u8>,
    ) {
        let mut written = from;
        for hit in self.certain_hits() {
            if hit.start >= *covered {
                out.extend_from_slice(&text[written.max(*covered)..hit.start]);
                out.extend_from_slice(core.marker(hit.owner));
            }
            written = hit.start;
            *covered = hit.end.max(*covered);
        }
        let rest = written.max(*covered).min(self.certain);
        out.extend_from_slice(&text[rest..self.certain]);
    }

    /// The hits that nothing to come can change, but for how far an open one reaches.
    pub(super) fn certain_hits(&self) -> impl Iterator<Item = &Hit> {
        self.hits.iter().take_while(|hit| hit.start < self.certain)
    }

    fn wait(&mut self, at: usize) {
        self.certain = self.certain.min(at);
    }
}

/// The match with the neighbours that belong to it, as far as they are not passed on yet.
fn widened(found: Found, text: &[u8], from: usize) -> Hit {
    let Found {
        mut start,
        mut end,
        owner,
        edges,
    } = found;
    if edges.before && start > from && is_digit(text[start - 1]) {
        start -= 1;
    }
    if edges.after {
        if text.get(end).is_some_and(|&byte| is_digit(byte)) {
            end += 1;
        }
        end += text[end..]
            .iter()
            .take(2)
            .take_while(|&&byte| byte == b'=')
            .count();
    }
    Hit {
        start,
        end,
        owner: Some(owner),
        open: None,
    }
}

/// Whether this is a digit of base64, in either alphabet.
fn is_digit(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}
