//! What stands in the place of a secret: `[redacted]`, or `[redacted:NAME]` when it is known whose
//! value it was.

const BEGIN: &str = "[redacted";
/// The longest marker that is recognised as one, in bytes.
const LONGEST: usize = 160;

/// What replaces something that only looks like a secret.
pub(crate) const UNNAMED: &str = "[redacted]";
/// What replaces a secret when a marker itself would contain one. Shorter than any value that is
/// searched for.
pub(crate) const LAST_RESORT: &str = "***";

/// What replaces the value of this name, of which it shows at most 128 characters.
pub(crate) fn named(name: &str) -> String {
    let shown = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') {
            c
        } else {
            '_'
        }
    };
    let name: String = name.chars().take(128).map(shown).collect();
    format!("{BEGIN}:{name}]")
}

/// How long the marker is that a text begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// It begins with none.
    None,
    /// It is the beginning of one.
    Unfinished,
    /// In bytes.
    Of(usize),
}

/// Whether `text` begins with a marker.
pub(crate) fn length(text: &[u8]) -> Length {
    let common = text.len().min(BEGIN.len());
    if text[..common] != BEGIN.as_bytes()[..common] {
        return Length::None;
    }
    let name =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'_' | b'-' | b'.');
    let rest = &text[common..];
    match rest
        .iter()
        .take(LONGEST - BEGIN.len())
        .position(|byte| !name(byte))
    {
        Some(last) if rest[last] == b']' => Length::Of(common + last + 1),
        None if text.len() < LONGEST => Length::Unfinished,
        _ => Length::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_told_from_text() {
        for (text, expected) in [
            ("[redacted]", Length::Of(10)),
            ("[redacted] and more", Length::Of(10)),
            ("[redacted:A_KEY-1.x]&", Length::Of(20)),
            ("[reda", Length::Unfinished),
            ("[redacted:A", Length::Unfinished),
            ("", Length::Unfinished),
            ("[redacted A]", Length::None),
            ("redacted", Length::None),
        ] {
            assert_eq!(length(text.as_bytes()), expected, "{text}");
        }
        let long = format!("[redacted:{}]", "a".repeat(LONGEST));
        assert_eq!(length(long.as_bytes()), Length::None);
    }
}
