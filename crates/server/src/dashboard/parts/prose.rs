//! Sentences that rules and people wrote: commands in backquotes stand as commands, and content ids are shortened.

use std::fmt;

use askama::filters::HtmlSafe;

use super::Escaped;
use super::id::shortened;

/// A sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prose(pub(crate) String);

/// Characters of a content id: `b3:` and 64 digits.
const CONTENT_ID: usize = 67;

impl fmt::Display for Prose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<&str> = self.0.split('`').collect();
        // A backquote alone is a backquote.
        if parts.len().is_multiple_of(2) {
            return words(&self.0, f);
        }
        for (at, part) in parts.into_iter().enumerate() {
            if at % 2 == 0 {
                words(part, f)?;
            } else {
                write!(f, "<code>{}</code>", Escaped(part))?;
            }
        }
        Ok(())
    }
}

fn words(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for word in text.split_inclusive(' ') {
        match word.split_at_checked(CONTENT_ID) {
            Some((id, rest)) if is_content_id(id) => write!(
                f,
                "<code title=\"{}\">{}</code>{}",
                Escaped(id),
                Escaped(&shortened(id)),
                Escaped(rest)
            )?,
            _ => write!(f, "{}", Escaped(word))?,
        }
    }
    Ok(())
}

fn is_content_id(word: &str) -> bool {
    let digits = word.strip_prefix("b3:").unwrap_or_default();
    !digits.is_empty() && digits.chars().all(|c| c.is_ascii_hexdigit())
}

impl HtmlSafe for Prose {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_stand_as_commands_and_content_ids_are_shortened() {
        let id = format!("b3:{}", "0a".repeat(32));
        let text = Prose(format!("promoted {id}: see `moorline <x>`")).to_string();
        assert_eq!(
            text,
            format!(
                "promoted <code title=\"{id}\">b3:0a0a0…0a0a</code>: see <code>moorline &lt;x&gt;</code>"
            )
        );
        assert_eq!(
            Prose("it`s & b3:12".to_owned()).to_string(),
            "it`s &amp; b3:12"
        );
    }
}
