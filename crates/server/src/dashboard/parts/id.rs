//! Long ids, shortened: the whole one is in the title and goes to the clipboard by a button.

use std::fmt;

use askama::filters::HtmlSafe;

use super::Escaped;

/// How many characters of an id are shown at its beginning.
const HEAD: usize = 8;
/// And at its end.
const TAIL: usize = 4;

/// An id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Id {
    text: String,
    href: Option<String>,
}

impl Id {
    /// An id that leads nowhere.
    pub(crate) fn plain(id: impl fmt::Display) -> Self {
        Self {
            text: id.to_string(),
            href: None,
        }
    }

    /// An id that leads to the page of what it names, below `base`.
    pub(crate) fn below(base: &str, id: impl fmt::Display) -> Self {
        let text = id.to_string();
        Self {
            href: Some(format!("{base}/{text}")),
            text,
        }
    }

    /// The whole id.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

/// An id by its beginning and its end.
pub(crate) fn shortened(id: &str) -> String {
    if id.chars().count() <= HEAD + TAIL + 3 {
        return id.to_owned();
    }
    let head: String = id.chars().take(HEAD).collect();
    let mut tail: Vec<char> = id.chars().rev().take(TAIL).collect();
    tail.reverse();
    format!("{head}…{}", tail.into_iter().collect::<String>())
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = Escaped(&self.text);
        let short = shortened(&self.text);
        f.write_str("<span class=\"id\">")?;
        if let Some(href) = &self.href {
            write!(f, "<a href=\"{}\">", Escaped(href))?;
        }
        write!(f, "<code title=\"{whole}\">{}</code>", Escaped(&short))?;
        if self.href.is_some() {
            f.write_str("</a>")?;
        }
        write!(
            f,
            "<button type=\"button\" class=\"copy\" data-copy=\"{whole}\" aria-label=\"Copy {}\"></button></span>",
            Escaped(&short)
        )
    }
}

impl HtmlSafe for Id {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_ids_keep_both_ends_and_short_ones_all() {
        assert_eq!(
            shortened("01933f2a-71c0-7a55-9d10-0123456789ab"),
            "01933f2a…89ab"
        );
        assert_eq!(shortened("nightly-report"), "nightly-report");
    }

    #[test]
    fn the_whole_id_is_in_title_and_button() {
        let id = "01933f2a-71c0-7a55-9d10-0123456789ab";
        let html = Id::below("/runs", id).to_string();
        assert!(html.contains(&format!("href=\"/runs/{id}\"")), "{html}");
        assert!(html.contains(&format!("title=\"{id}\"")), "{html}");
        assert!(html.contains(&format!("data-copy=\"{id}\"")), "{html}");
    }
}
