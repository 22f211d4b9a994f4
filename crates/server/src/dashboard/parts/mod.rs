//! Small pieces of HTML that many pages use. Each writes itself, escapes what it is given, and is put into a
//! template as it is.
//!
//! | module | what |
//! |---|---|
//! | [`badge`] | a state, by colour, shape and word |
//! | [`id`] | a long id, shortened |
//! | [`prose`] | sentences, with commands and ids in them |
//! | [`size`] | bytes and durations in words |
//! | [`time`] | points in time, relative, with the whole time behind |
//! | [`tree`] | a JSON document, for people |

pub(crate) mod badge;
pub(crate) mod id;
pub(crate) mod prose;
pub(crate) mod size;
pub(crate) mod time;
pub(crate) mod tree;

use std::fmt;

pub(crate) use badge::{Badge, Tone};
pub(crate) use id::Id;
pub(crate) use prose::Prose;
pub(crate) use time::{Countdown, Moment};
pub(crate) use tree::Tree;

/// Text that can stand in HTML, between tags and in a quoted attribute.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(at) = rest.find(['&', '<', '>', '"', '\'']) {
            let (plain, special) = rest.split_at(at);
            f.write_str(plain)?;
            let mut chars = special.chars();
            f.write_str(match chars.next() {
                Some('&') => "&amp;",
                Some('<') => "&lt;",
                Some('>') => "&gt;",
                Some('"') => "&quot;",
                _ => "&#39;",
            })?;
            rest = chars.as_str();
        }
        f.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_html_would_read_is_escaped_and_nothing_else() {
        assert_eq!(Escaped("déjà vu – ok").to_string(), "déjà vu – ok");
        assert_eq!(
            Escaped(r#"<a href="x" title='&'>"#).to_string(),
            "&lt;a href=&quot;x&quot; title=&#39;&amp;&#39;&gt;"
        );
    }
}
