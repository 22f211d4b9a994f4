//! What follows the word `password`: `password=…`, `password = "…"`, `"password": "…"`, and the last also
//! inside a text that is itself quoted, with backslashes before the quotes.

use super::marker::{self, Length};
use super::patterns::{Verdict, skip};
use super::run::Run;

/// Judges what comes after the word, which ends at `after`.
pub(super) fn judge(text: &[u8], after: usize, end: bool) -> Verdict {
    match value(text, after, end) {
        Ok((start, run)) => judge_value(text, start, run, end),
        Err(verdict) => verdict,
    }
}

/// Where the value begins and how far it goes: after an optional quote, `=` or (after a quote) `:`, and
/// an optional quote.
fn value(text: &[u8], after: usize, end: bool) -> Result<(usize, Run), Verdict> {
    let quote = |at: usize| {
        text.get(at)
            .copied()
            .filter(|byte| matches!(byte, b'"' | b'\''))
    };
    let blank = |byte| matches!(byte, b' ' | b'\t');
    let backslash = |byte| byte == b'\\';

    let key_end = skip(text, after, backslash);
    let quoted_key = quote(key_end).is_some();
    let sign = skip(text, key_end + usize::from(quoted_key), blank);
    let (assigned, sign_end) = match text.get(sign) {
        Some(b'=') => (true, skip(text, sign, |byte| matches!(byte, b'=' | b'>'))),
        Some(b':') if quoted_key => (false, sign + 1),
        // A word that a text breaks off after holds nothing back: it stays in view for the next look.
        _ => return Err(Verdict::Pass),
    };
    let begin = skip(text, sign_end, blank);
    let at = skip(text, begin, backslash);
    match quote(at) {
        Some(quote) if at == begin => Ok((
            at + 1,
            Run::Quoted {
                quote,
                escaped: false,
            },
        )),
        Some(_) => Ok((at + 1, Run::Escaped)),
        None if at == text.len() && !end => Err(Verdict::Wait(begin)),
        // Backslashes that no quote follows are the value's own.
        None if assigned => Ok((begin, Run::Bare)),
        // `"password": null` and `"password": {`.
        None => Err(Verdict::Pass),
    }
}

/// A value is redacted unless it is empty, or a marker: redacting twice changes nothing.
fn judge_value(text: &[u8], start: usize, run: Run, end: bool) -> Verdict {
    let redact = Verdict::Redact {
        start,
        body: start,
        run,
    };
    let takes = |at: usize| text.get(at).map(|&byte| { run }.takes(byte));
    match takes(start) {
        Some(true) => {}
        None if !end => return Verdict::Wait(start),
        Some(false) | None => return Verdict::Pass,
    }
    match marker::length(&text[start..]) {
        Length::None => redact,
        Length::Unfinished if !end => Verdict::Wait(start),
        Length::Unfinished => redact,
        Length::Of(length) => match takes(start + length) {
            Some(true) => redact,
            None if !end => Verdict::Wait(start),
            Some(false) | None => Verdict::Pass,
        },
    }
}
