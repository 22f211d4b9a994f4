//! Credentials that are known by their looks: the patterns of `D-SEC-6`.
//!
//! | pattern | what is redacted |
//! |---|---|
//! | `sk-…` (so `sk-ant-…`, `sk-proj-…`), `ghp_…` (also `gho_`, `ghu_`, `ghs_`, `ghr_`), `github_pat_…`, `AKIA…`, `r8_…`, `mlt_…` (our own) | the whole token |
//! | `Bearer …`, `Basic …` in any case | the credentials after the scheme |
//! | `password=…`, `password = "…"`, `"password": "…"` in any case | the value |
//!
//! A token must begin a word (`task-management` holds no `sk-`) and look like a key: a stretch of
//! letters and digits that is long, or has a digit. So `sk-learn`, `Basic authentication` and
//! `bearer of news` survive, and so do hashes, image digests and UUIDs, which begin like no
//! pattern. After an `Authorization:` any credentials count.
//!
//! Each pattern is a pure function of the text around its trigger: at most [`LOOK_BEHIND`] bytes
//! before the part that it redacts, and a bounded number from there on. A stream that keeps as much
//! decides as the whole text would. What follows the decision, up to the end of the token, is a
//! [`Run`].

use aho_corasick::{AhoCorasick, MatchKind};

use super::password;
use super::run::Run;

/// How far before the redacted part a pattern may look, in bytes.
pub(crate) const LOOK_BEHIND: usize = 96;
/// How far into the redacted part a pattern looks before it decides, in bytes.
const LOOK_AHEAD: usize = 64;
/// The most bytes that may stand between two parts of a pattern.
const GAP: usize = 8;

/// Tokens that tell themselves by their first letters, and what they go on with.
const TOKENS: [(&str, Run); 10] = [
    ("sk-", Run::Dashed),
    ("ghp_", Run::Alphanumeric),
    ("gho_", Run::Alphanumeric),
    ("ghu_", Run::Alphanumeric),
    ("ghs_", Run::Alphanumeric),
    ("ghr_", Run::Alphanumeric),
    ("github_pat_", Run::Dashed),
    ("AKIA", Run::Upper),
    ("r8_", Run::Alphanumeric),
    ("mlt_", Run::Dashed),
];

/// A word that announces a credential.
struct Keyword {
    /// In lower case.
    word: &'static str,
    /// Three letters of it that are rare in logs, which the search looks for in all eight cases.
    trigger: &'static str,
    /// Where in the word those are.
    trigger_at: usize,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Scheme,
    Password,
}

const KEYWORDS: [Keyword; 3] = [
    Keyword {
        word: "bearer ",
        trigger: "rer",
        trigger_at: 3,
        kind: Kind::Scheme,
    },
    Keyword {
        word: "basic ",
        trigger: "sic",
        trigger_at: 2,
        kind: Kind::Scheme,
    },
    Keyword {
        word: "password",
        trigger: "swo",
        trigger_at: 3,
        kind: Kind::Password,
    },
];

/// In how many mixes of cases three letters can be written.
const EACH_CASE: usize = 8;

/// What the text around a trigger says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing to redact here.
    Pass,
    /// It depends on what follows the text; nothing from here on may be let go.
    Wait(usize),
    /// Redact from `start` up to where `run`, which is to be followed from `body` on, ends.
    Redact {
        /// Where the redacted part begins.
        start: usize,
        /// Where the run begins; never before `start`.
        body: usize,
        /// What the rest consists of.
        run: Run,
    },
}

/// The patterns, ready to search with.
#[derive(Debug, Clone)]
pub(crate) struct Patterns {
    /// Finds triggers: the first letters of tokens, then the letters of keywords in each mix of
    /// cases. A vectorised search for few short literals is what the library is best at.
    triggers: AhoCorasick,
    /// Whether a byte occurs in the first letters of a token before the last of them.
    inner: [bool; 256],
    /// The most first letters that a token has.
    longest: usize,
}

impl Patterns {
    #[expect(
        clippy::expect_used,
        reason = "fails only for more patterns than memory can hold"
    )]
    pub(crate) fn new() -> Self {
        let tokens = TOKENS.iter().map(|(literal, _)| (*literal).to_owned());
        let keywords = KEYWORDS
            .iter()
            .flat_map(|keyword| in_each_case(keyword.trigger));
        let triggers = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostFirst)
            .build(tokens.chain(keywords))
            .expect("a few dozen constants can be searched for");
        let mut inner = [false; 256];
        for (literal, _) in TOKENS {
            for &byte in &literal.as_bytes()[..literal.len() - 1] {
                inner[usize::from(byte)] = true;
            }
        }
        let longest = TOKENS
            .iter()
            .map(|(literal, _)| literal.len())
            .max()
            .unwrap_or(0);
        Self {
            triggers,
            inner,
            longest,
        }
    }

    /// Judges every trigger in `text` from `from` on. At the `end` of a stream nothing is waited
    /// for.
    pub(crate) fn search(
        &self,
        text: &[u8],
        from: usize,
        end: bool,
        mut judged: impl FnMut(Verdict),
    ) {
        for trigger in self.triggers.find_iter(&text[from..]) {
            let at = from + trigger.start();
            let index = trigger.pattern().as_usize();
            judged(match TOKENS.get(index) {
                Some((literal, run)) => judge_token(text, at, literal.len(), *run, end),
                None => judge_keyword(text, at, (index - TOKENS.len()) / EACH_CASE, end),
            });
        }
        if !end && let Some(at) = self.broken_off_token(text, from) {
            judged(Verdict::Wait(at));
        }
    }

    /// Where a token begins of whose first letters the text has only some.
    fn broken_off_token(&self, text: &[u8], from: usize) -> Option<usize> {
        let inner = |byte: &&u8| self.inner[usize::from(**byte)];
        let letters = text[from..]
            .iter()
            .rev()
            .take(self.longest)
            .take_while(inner)
            .count();
        (text.len() - letters..text.len()).find(|&at| {
            let rest = &text[at..];
            let begun = |literal: &[u8]| literal.len() > rest.len() && literal.starts_with(rest);
            TOKENS.iter().any(|(literal, _)| begun(literal.as_bytes())) && begins_word(text, at)
        })
    }
}

/// All the ways to write three letters in lower and upper case.
fn in_each_case(letters: &str) -> impl Iterator<Item = String> {
    (0..EACH_CASE).map(move |upper| {
        let cased = |(at, c): (usize, char)| match upper >> at & 1 {
            0 => c,
            _ => c.to_ascii_uppercase(),
        };
        letters.chars().enumerate().map(cased).collect()
    })
}

fn judge_token(text: &[u8], at: usize, prefix: usize, run: Run, end: bool) -> Verdict {
    if !begins_word(text, at) {
        return Verdict::Pass;
    }
    let body = at + prefix;
    match look_ahead(text, body, run, end, Looks::Token) {
        Some(true) => Verdict::Redact {
            start: at,
            body,
            run,
        },
        Some(false) => Verdict::Pass,
        None => Verdict::Wait(at),
    }
}

fn judge_keyword(text: &[u8], trigger: usize, index: usize, end: bool) -> Verdict {
    let keyword = &KEYWORDS[index];
    let Some(at) = trigger.checked_sub(keyword.trigger_at) else {
        return Verdict::Pass;
    };
    let after = at + keyword.word.len();
    // A word that the text breaks off in holds nothing back: it stays in view for the next look.
    let Some(word) = text.get(at..after) else {
        return Verdict::Pass;
    };
    if !word.eq_ignore_ascii_case(keyword.word.as_bytes()) {
        return Verdict::Pass;
    }
    match keyword.kind {
        Kind::Scheme => judge_credentials(text, at, after, end),
        Kind::Password => password::judge(text, after, end),
    }
}

/// What follows `Bearer` or `Basic`.
fn judge_credentials(text: &[u8], at: usize, after: usize, end: bool) -> Verdict {
    if !begins_word(text, at) {
        return Verdict::Pass;
    }
    let start = skip(text, after, |byte| byte == b' ');
    let looks = if follows_authorization(text, at) {
        Looks::Any
    } else {
        Looks::Credentials
    };
    match look_ahead(text, start, Run::Token68, end, looks) {
        Some(true) => Verdict::Redact {
            start,
            body: start,
            run: Run::Token68,
        },
        Some(false) => Verdict::Pass,
        None => Verdict::Wait(start),
    }
}

/// How much it takes to be a credential.
#[derive(Clone, Copy)]
enum Looks {
    /// After a token's own first letters: a stretch of 12 letters and digits, or 6 with a digit.
    Token,
    /// After `Bearer` or `Basic`, which words may follow: a stretch of 16, or 12 in mixed case, or
    /// 6 with a digit or padding.
    Credentials,
    /// After an `Authorization:` too: anything.
    Any,
}

impl Looks {
    /// Whether `text` has the looks. Once true it stays so, however the text goes on.
    fn has(self, text: &[u8]) -> bool {
        if matches!(self, Self::Any) {
            return !text.is_empty();
        }
        let mut stretch = Stretch::default();
        text.iter().any(|&byte| {
            let length = stretch.length;
            if !byte.is_ascii_alphanumeric() {
                stretch = Stretch::default();
                return matches!(self, Self::Credentials) && byte == b'=' && length >= 6;
            }
            stretch.take(byte);
            let Stretch {
                length,
                digit,
                lower,
                inner_upper,
            } = stretch;
            (length >= 6 && digit)
                || match self {
                    Self::Token => length >= 12,
                    _ => length >= 16 || (length >= 12 && lower && inner_upper),
                }
        })
    }
}

/// Letters and digits in a row.
#[derive(Clone, Copy, Default)]
struct Stretch {
    length: usize,
    digit: bool,
    lower: bool,
    /// An upper-case letter that is not the first.
    inner_upper: bool,
}

impl Stretch {
    fn take(&mut self, byte: u8) {
        self.digit |= byte.is_ascii_digit();
        self.lower |= byte.is_ascii_lowercase();
        self.inner_upper |= self.length > 0 && byte.is_ascii_uppercase();
        self.length += 1;
    }
}

/// Whether what `run` takes from `start` on has the looks; none if the text ends before that is
/// certain.
fn look_ahead(text: &[u8], start: usize, mut run: Run, end: bool, looks: Looks) -> Option<bool> {
    let window = text.get(start..).unwrap_or_default();
    let window = &window[..window.len().min(LOOK_AHEAD)];
    let taken = window.iter().position(|&byte| !run.takes(byte));
    if looks.has(&window[..taken.unwrap_or(window.len())]) {
        return Some(true);
    }
    let certain = end || taken.is_some() || window.len() == LOOK_AHEAD;
    certain.then_some(false)
}

/// The place after at most [`GAP`] bytes that are wanted.
pub(super) fn skip(text: &[u8], from: usize, wanted: impl Fn(u8) -> bool) -> usize {
    from + text
        .iter()
        .skip(from)
        .take(GAP)
        .take_while(|&&byte| wanted(byte))
        .count()
}

/// Whether what stands at `at` begins a word.
///
/// A letter or digit before it makes it part of a longer word, unless that letter ends an escape:
/// of JSON (`\n`, `\u0022`), of a URL (`%3D`), or of a terminal's colours (`ESC [ 31 m`).
fn begins_word(text: &[u8], at: usize) -> bool {
    let before = &text[..at];
    let hex = |bytes: &[u8]| bytes.iter().all(u8::is_ascii_hexdigit);
    match before {
        [] => true,
        [.., last] if !last.is_ascii_alphanumeric() => true,
        [.., b'\\', b'n' | b'r' | b't' | b'b' | b'f'] => true,
        [.., b'%', a, b] if hex(&[*a, *b]) => true,
        [.., b'\\', b'u', a, b, c, d] if hex(&[*a, *b, *c, *d]) => true,
        [colour @ .., b'm'] => {
            let number = colour.len() - colour.len().min(2 * GAP);
            let escape = colour[number..]
                .iter()
                .rposition(|byte| !(byte.is_ascii_digit() || *byte == b';'))
                .map_or(&[][..], |last| &colour[..=number + last]);
            escape.ends_with(b"\x1b[")
        }
        _ => false,
    }
}

/// Whether `Authorization:` (`=`, `=>`, quotes and blanks allowed) stands directly before `at`.
fn follows_authorization(text: &[u8], at: usize) -> bool {
    const NAME: &[u8] = b"authorization";
    let between = |byte: &&u8| {
        matches!(
            byte,
            b' ' | b'\t' | b'"' | b'\'' | b'\\' | b':' | b'=' | b'>'
        )
    };
    let gap = text[..at]
        .iter()
        .rev()
        .take(2 * GAP)
        .take_while(between)
        .count();
    let (name, gap) = text[..at].split_at(at - gap);
    gap.iter().any(|byte| matches!(byte, b':' | b'='))
        && name.len() >= NAME.len()
        && name[name.len() - NAME.len()..].eq_ignore_ascii_case(NAME)
}
