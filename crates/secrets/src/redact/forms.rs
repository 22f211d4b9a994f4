//! The texts that a secret value can appear as: what programs commonly do to a string before they
//! log it.
//!
//! [`add_forms`] lists them: as it is, inside JSON, inside a URL, as hex, and as base64 on its own
//! or within a longer base64 text. Deliberately absent: everything that cannot be undone by looking
//! at one contiguous run of bytes (compression, encryption, character by character output, hex
//! dumps in columns).

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use zeroize::Zeroizing;

/// Values shorter than this, in bytes, are not searched for: they would blank out ordinary text.
pub(crate) const MIN_VALUE_BYTES: usize = 4;

/// A line of a multi-line value is searched for by itself from this length on, in bytes.
const MIN_LINE_BYTES: usize = 16;

/// Column widths at which encoders break long base64: MIME and `base64(1)`, then PEM.
const WRAP_COLUMNS: [usize; 2] = [76, 64];

/// What a form may be surrounded by that still tells something of the value.
///
/// Six bits of a base64 digit can belong to two neighbouring bytes. A match inside longer base64
/// therefore takes the digit before it, the digit after it, and padding, along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Edges {
    /// The digit before the match holds bits of the value's first byte.
    pub(crate) before: bool,
    /// The digit after the match may hold bits of the value's last byte, or be padding.
    pub(crate) after: bool,
}

impl Edges {
    const NONE: Self = Self {
        before: false,
        after: false,
    };
}

/// Receives each form of a value.
pub(crate) trait FormSink {
    /// `form` is at least [`MIN_VALUE_BYTES`] long; the same form may come more than once.
    fn form(&mut self, form: &[u8], edges: Edges);
}

/// Hands every form of `value` to `sink`. Returns false, and hands over nothing, when the value is
/// shorter than [`MIN_VALUE_BYTES`] once white space around it is gone.
pub(crate) fn add_forms(value: &str, sink: &mut impl FormSink) -> bool {
    let value = value.trim_matches(|c: char| c.is_ascii_whitespace());
    if value.len() < MIN_VALUE_BYTES {
        return false;
    }
    sink.form(value.as_bytes(), Edges::NONE);
    if value.contains('\n') {
        add_lines(value, sink);
    }
    if !value.bytes().all(is_plain) {
        add_json(value, sink);
        add_minimal_url(value, sink);
    }
    add_hex(value.as_bytes(), sink);
    add_base64(value.as_bytes(), sink);
    true
}

/// Bytes that every JSON and URL encoder leaves alone.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

/// A value of several lines may be logged with either line ending, and line by line.
fn add_lines(value: &str, sink: &mut impl FormSink) {
    let unix = Zeroizing::new(value.replace("\r\n", "\n"));
    sink.form(unix.as_bytes(), Edges::NONE);
    sink.form(
        Zeroizing::new(unix.replace('\n', "\r\n")).as_bytes(),
        Edges::NONE,
    );
    for line in unix.lines().map(str::trim) {
        // The armour of PEM (RFC 7468) is the same for every key, and tells a reader what was
        // redacted.
        let armour = line.starts_with("-----") && line.ends_with("-----");
        if line.len() >= MIN_LINE_BYTES && !armour {
            sink.form(line.as_bytes(), Edges::NONE);
        }
    }
}

/// What a JSON encoder escapes beyond RFC 8259's minimum.
#[derive(Clone, Copy, PartialEq, Eq)]
struct JsonStyle {
    /// `/` as `\/` (PHP).
    slash: bool,
    /// Everything beyond ASCII as `\uXXXX` (Python, PHP).
    ascii: bool,
    /// `<`, `>`, `&` as `\u003c`, … (Go).
    html: bool,
}

fn add_json(value: &str, sink: &mut impl FormSink) {
    let minimal = JsonStyle {
        slash: false,
        ascii: false,
        html: false,
    };
    let once = json_escaped(value, minimal);
    // A log line that is JSON often carries JSON in a string.
    sink.form(json_escaped(&once, minimal).as_bytes(), Edges::NONE);
    sink.form(once.as_bytes(), Edges::NONE);
    // Where there is nothing to escape, a style gives what another has given already.
    let slash = value.contains('/');
    let ascii = !value.is_ascii();
    let html = value.contains(['<', '>', '&']);
    for style in [
        JsonStyle { slash, ..minimal },
        JsonStyle { ascii, ..minimal },
        JsonStyle {
            slash,
            ascii,
            ..minimal
        },
        JsonStyle { html, ..minimal },
    ] {
        if style != minimal {
            sink.form(json_escaped(value, style).as_bytes(), Edges::NONE);
        }
    }
}

fn json_escaped(value: &str, style: JsonStyle) -> Zeroizing<String> {
    // Six bytes for one is the most that JSON needs, so that the buffer never moves and leaves a
    // copy.
    let mut out = Zeroizing::new(String::with_capacity(value.len() * 6));
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '/' if style.slash => out.push_str("\\/"),
            '<' | '>' | '&' if style.html => push_u_escape(&mut out, c),
            c if c < ' ' || (style.ascii && !c.is_ascii()) => push_u_escape(&mut out, c),
            c => out.push(c),
        }
    }
    out
}

fn push_u_escape(out: &mut String, c: char) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        // Writing to a `String` can not fail.
        let _ = write!(out, "\\u{unit:04x}");
    }
}

/// What RFC 3986 leaves alone besides letters and digits.
const RFC3986: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');
/// JavaScript's `encodeURIComponent`.
const COMPONENT: AsciiSet = RFC3986
    .remove(b'!')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');
/// JavaScript's `encodeURI`.
const WHOLE: AsciiSet = COMPONENT
    .remove(b';')
    .remove(b',')
    .remove(b'/')
    .remove(b'?')
    .remove(b':')
    .remove(b'@')
    .remove(b'&')
    .remove(b'=')
    .remove(b'+')
    .remove(b'$')
    .remove(b'#');

/// How URL encoders differ: what they encode, and the characters of which a value must have one for it
/// to make a difference to RFC 3986's form.
static URL_STYLES: [(AsciiSet, &str); 5] = [
    (RFC3986, ""),
    (COMPONENT, "!*'()"),
    (WHOLE, "!*'();,/?:@&=+$#"),
    // Python's `quote`.
    (RFC3986.remove(b'/'), "/"),
    // HTML forms (WHATWG URL).
    (RFC3986.add(b'~').remove(b'*'), "~*"),
];

fn add_minimal_url(value: &str, sink: &mut impl FormSink) {
    for (set, differs) in &URL_STYLES {
        if !differs.is_empty() && !value.contains(|c| differs.contains(c)) {
            continue;
        }
        let upper = percent_encoded(value.as_bytes(), set);
        sink.form(lower_hex_escapes(&upper).as_bytes(), Edges::NONE);
        if upper.contains("%20") {
            let form = Zeroizing::new(upper.replace("%20", "+"));
            sink.form(lower_hex_escapes(&form).as_bytes(), Edges::NONE);
            sink.form(form.as_bytes(), Edges::NONE);
        }
        sink.form(upper.as_bytes(), Edges::NONE);
    }
}

fn percent_encoded(value: &[u8], set: &'static AsciiSet) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(value.len() * 3));
    out.extend(percent_encode(value, set));
    out
}

/// The same with `%2f` for `%2F`.
fn lower_hex_escapes(encoded: &str) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(encoded.len()));
    let mut digits = 0;
    for c in encoded.chars() {
        out.push(if digits > 0 {
            c.to_ascii_lowercase()
        } else {
            c
        });
        digits = if c == '%' {
            2
        } else {
            usize::saturating_sub(digits, 1)
        };
    }
    out
}

/// Plain hex, and hex with a percent sign before every byte: the fullest form of URL encoding.
fn add_hex(value: &[u8], sink: &mut impl FormSink) {
    for digits in [b"0123456789abcdef", b"0123456789ABCDEF"] {
        let mut hex = Zeroizing::new(Vec::with_capacity(value.len() * 2));
        let mut percent = Zeroizing::new(Vec::with_capacity(value.len() * 3));
        for &byte in value {
            let pair = [
                digits[usize::from(byte >> 4)],
                digits[usize::from(byte & 15)],
            ];
            hex.extend_from_slice(&pair);
            percent.push(b'%');
            percent.extend_from_slice(&pair);
        }
        sink.form(&hex, Edges::NONE);
        sink.form(&percent, Edges::NONE);
    }
}

/// Base64 (RFC 4648, both alphabets) of the value at each of the three places that it can have
/// within the three bytes that four digits stand for.
fn add_base64(value: &[u8], sink: &mut impl FormSink) {
    let mut padded = Zeroizing::new(Vec::with_capacity(value.len() + 2));
    for offset in 0..3 {
        padded.clear();
        padded.resize(offset, 0);
        padded.extend_from_slice(value);
        // The digits that depend on the value alone: from the first that begins inside it to the
        // last that ends inside it.
        let first = (offset * 8).div_ceil(6);
        let last = padded.len() * 8 / 6;
        let edges = Edges {
            before: offset != 0,
            after: !padded.len().is_multiple_of(3),
        };
        for engine in [&STANDARD, &URL_SAFE] {
            let encoded = Zeroizing::new(engine.encode(&*padded));
            if let Some(core) = encoded.as_bytes().get(first..last) {
                sink.form(core, edges);
            }
            if offset == 0 {
                add_wrapped(encoded.as_bytes(), sink);
            }
        }
    }
}

/// The lines of base64 that was too long for one.
fn add_wrapped(encoded: &[u8], sink: &mut impl FormSink) {
    for columns in WRAP_COLUMNS {
        if encoded.len() > columns {
            for line in encoded
                .chunks(columns)
                .filter(|line| line.len() >= MIN_LINE_BYTES)
            {
                sink.form(line, Edges::NONE);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[derive(Default)]
    struct Listed(BTreeSet<String>);

    impl FormSink for Listed {
        fn form(&mut self, form: &[u8], _: Edges) {
            self.0.insert(String::from_utf8(form.to_vec()).unwrap());
        }
    }

    fn listed(value: &str) -> BTreeSet<String> {
        let mut sink = Listed::default();
        assert!(add_forms(value, &mut sink));
        sink.0
    }

    #[test]
    fn a_plain_token_has_its_exact_hex_percent_and_base64_forms_only() {
        let expected = [
            "abcd1", // exact
            "6162636431",
            "%61%62%63%64%31",
            "YWJjZD", // at offset 0: YWJjZDE=
            "FiY2Qx", // at offset 1: .AFiY2Qx -> the digit before is shared
            "hYmNkM", // at offset 2
        ];
        assert_eq!(listed("abcd1"), expected.map(str::to_owned).into());
    }

    #[test]
    fn special_characters_add_the_json_and_url_forms_that_encoders_make() {
        let forms = listed("p\"w/<é ~");
        for form in [
            r#"p\"w/<é ~"#,
            r#"p\\\"w/<é ~"#,
            r#"p\"w\/<é ~"#,
            r#"p\"w/<\u00e9 ~"#,
            r#"p\"w\/<\u00e9 ~"#,
            r#"p\"w/\u003cé ~"#,
            "p%22w%2F%3C%C3%A9%20~",
            "p%22w%2f%3c%c3%a9%20~",
            "p%22w%2F%3C%C3%A9+~",
            "p%22w/%3C%C3%A9%20~",
            "p%22w%2F%3C%C3%A9+%7E",
            "p%22w%2f%3c%c3%a9+%7e",
        ] {
            assert!(forms.contains(form), "{form} is not among {forms:#?}");
        }
    }

    #[test]
    fn a_multi_line_value_is_also_searched_for_line_by_line_without_its_armour() {
        let forms = listed(
            "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG\nshort\n-----END PRIVATE KEY-----\n",
        );
        assert!(forms.contains("MIIEvQIBADANBgkqhkiG"));
        assert!(!forms.contains("short"));
        assert!(!forms.contains("-----BEGIN PRIVATE KEY-----"));
        assert!(forms.iter().any(|form| form.contains("KEY-----\r\nMIIE")));
        assert!(forms.iter().any(|form| form.contains(r"KEY-----\nMIIE")));
    }

    #[test]
    fn white_space_around_a_value_is_not_part_of_it() {
        assert_eq!(listed("  abcd1\r\n"), listed("abcd1"));
    }

    #[test]
    fn a_value_below_four_bytes_has_no_forms() {
        let mut sink = Listed::default();
        for value in ["", "abc", " abc\n"] {
            assert!(!add_forms(value, &mut sink));
        }
        assert_eq!(sink.0, BTreeSet::new());
    }

    #[test]
    fn long_base64_is_searched_for_by_its_lines() {
        let value = "k".repeat(100);
        let whole = STANDARD.encode(&value);
        let forms = listed(&value);
        for line in [whole.get(..76), whole.get(76..), whole.get(64..128)] {
            assert!(forms.contains(line.unwrap()));
        }
    }
}
