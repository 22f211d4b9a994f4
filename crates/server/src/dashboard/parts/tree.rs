//! A JSON document for people: members as a list of terms, lists as lists, text as text.

use std::fmt;

use askama::filters::HtmlSafe;
use serde_json::{Map, Value};

use super::Escaped;

/// Deeper than this a document is shown as JSON.
const DEEPEST: usize = 8;

/// A document.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tree(pub(crate) Value);

impl Tree {
    /// The members of an object.
    pub(crate) fn of(members: &Map<String, Value>) -> Self {
        Self(Value::Object(members.clone()))
    }

    /// Whether there is nothing to show.
    pub(crate) fn is_empty(&self) -> bool {
        match &self.0 {
            Value::Null => true,
            Value::Object(members) => members.is_empty(),
            Value::Array(items) => items.is_empty(),
            _ => false,
        }
    }
}

/// A scalar, or what a short list of scalars comes to, in one line; none for what needs more.
pub(crate) fn inline(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some("–".to_owned()),
        Value::Bool(true) => Some("yes".to_owned()),
        Value::Bool(false) => Some("no".to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// A member's name as words: `problem_fit` is `problem fit`.
fn words(key: &str) -> String {
    key.replace(['_', '-'], " ")
}

fn write(value: &Value, depth: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match value {
        Value::Object(members) if members.is_empty() => {
            f.write_str("<span class=\"none\">–</span>")
        }
        Value::Array(items) if items.is_empty() => f.write_str("<span class=\"none\">–</span>"),
        Value::Object(_) | Value::Array(_) if depth >= DEEPEST => {
            write!(f, "<code>{}</code>", Escaped(&value.to_string()))
        }
        Value::Object(members) => {
            f.write_str("<dl class=\"tree\">")?;
            for (key, member) in members {
                let deep = if matches!(member, Value::Object(_)) {
                    " class=\"deep\""
                } else {
                    ""
                };
                write!(
                    f,
                    "<div{deep}><dt title=\"{}\">{}</dt><dd>",
                    Escaped(key),
                    Escaped(&words(key))
                )?;
                write(member, depth + 1, f)?;
                f.write_str("</dd></div>")?;
            }
            f.write_str("</dl>")
        }
        Value::Array(items) => {
            f.write_str("<ul class=\"tree\">")?;
            for item in items {
                f.write_str("<li>")?;
                write(item, depth + 1, f)?;
                f.write_str("</li>")?;
            }
            f.write_str("</ul>")
        }
        Value::Number(number) => write!(f, "<span class=\"num\">{number}</span>"),
        scalar => {
            let text = inline(scalar).unwrap_or_default();
            write!(f, "<span class=\"text\">{}</span>", Escaped(&text))
        }
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(&self.0, 0, f)
    }
}

impl HtmlSafe for Tree {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_and_items_are_lists_and_text_is_escaped() {
        let html = Tree(json!({"problem_fit": 0.4, "notes": ["<b>"], "go": true})).to_string();
        assert_eq!(
            html,
            "<dl class=\"tree\">\
             <div><dt title=\"go\">go</dt><dd><span class=\"text\">yes</span></dd></div>\
             <div><dt title=\"notes\">notes</dt><dd><ul class=\"tree\"><li><span class=\"text\">&lt;b&gt;</span></li></ul></dd></div>\
             <div><dt title=\"problem_fit\">problem fit</dt><dd><span class=\"num\">0.4</span></dd></div>\
             </dl>"
        );
    }

    #[test]
    fn a_deep_document_ends_as_json() {
        let mut deep = json!("end");
        for _ in 0..20 {
            deep = json!({ "in": deep });
        }
        let html = Tree(deep).to_string();
        assert_eq!(html.matches("<dl").count(), DEEPEST);
        assert!(html.contains("<code>"), "{html}");
    }
}
