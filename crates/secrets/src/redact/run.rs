//! How far a credential goes once it is known where it begins.

/// What a credential consists of: it ends at the first byte that does not belong.
///
/// A run carries the little state it needs to go on in the next chunk of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Run {
    /// Letters and digits.
    Alphanumeric,
    /// Upper-case letters and digits.
    Upper,
    /// Letters, digits, `-` and `_`.
    Dashed,
    /// RFC 9110's `token68`: letters, digits, `-`, `.`, `_`, `~`, `+`, `/`, `=`.
    Token68,
    /// Up to white space, a quote, or `&`.
    Bare,
    /// Up to the quote that opened it, or the end of the line. A backslash takes the next byte with
    /// it.
    Quoted {
        /// The quote.
        quote: u8,
        /// The byte before was a backslash that counts.
        escaped: bool,
    },
    /// Within a text that is itself quoted: up to the backslash before the quote, or the end of the
    /// line.
    Escaped,
}

impl Run {
    /// Whether the byte belongs to it; only [`Run::Quoted`] remembers what it was shown.
    pub(crate) fn takes(&mut self, byte: u8) -> bool {
        match self {
            Self::Alphanumeric => byte.is_ascii_alphanumeric(),
            Self::Upper => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Self::Dashed => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'),
            Self::Token68 => {
                byte.is_ascii_alphanumeric()
                    || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=')
            }
            Self::Bare => {
                !byte.is_ascii_whitespace()
                    && !byte.is_ascii_control()
                    && !matches!(byte, b'"' | b'\'' | b'`' | b'&')
            }
            Self::Quoted { quote, escaped } => {
                if byte == b'\n' || (byte == *quote && !*escaped) {
                    return false;
                }
                *escaped = byte == b'\\' && !*escaped;
                true
            }
            Self::Escaped => !matches!(byte, b'\n' | b'\\' | b'"' | b'\''),
        }
    }

    /// Where it ends in `text`, when it goes on at `from`; none when the text ends first.
    pub(crate) fn end(&mut self, text: &[u8], from: usize) -> Option<usize> {
        text[from..]
            .iter()
            .position(|&byte| !self.takes(byte))
            .map(|taken| from + taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_run_ends_where_its_kind_of_credential_does() {
        let quoted = |quote| Run::Quoted {
            quote,
            escaped: false,
        };
        for (mut run, text, end) in [
            (Run::Alphanumeric, "aZ9-x", Some(3)),
            (Run::Upper, "AZ9a", Some(3)),
            (Run::Dashed, "a-_Z9.x", Some(5)),
            (Run::Token68, "aZ9-._~+/== x", Some(11)),
            (Run::Bare, "p;a,s\\é&x", Some(8)),
            (Run::Bare, "pass\tword", Some(4)),
            (quoted(b'"'), r#"a b\"c\\"d"#, Some(8)),
            (quoted(b'\''), "a\"b'c", Some(3)),
            (quoted(b'"'), "a b\nc\"", Some(3)),
            (Run::Escaped, r#"a b\"c"#, Some(3)),
            (Run::Dashed, "abc", None),
        ] {
            assert_eq!(run.end(text.as_bytes(), 0), end, "{run:?} in {text}");
        }
    }

    #[test]
    fn a_quoted_run_remembers_a_backslash_at_the_end_of_a_chunk() {
        let mut run = Run::Quoted {
            quote: b'"',
            escaped: false,
        };
        assert_eq!(run.end(b"a\\", 0), None);
        assert_eq!(run.end(b"\"b\"", 0), Some(2));
    }
}
