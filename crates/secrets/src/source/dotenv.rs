//! The grammar of secret files; [`FileSource`](super::FileSource) documents it.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use crate::name::EnvKey;
use crate::value::SecretValue;

/// What is wrong with a line. Never shows what is on it after the `=`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LineError {
    /// Counted from 1.
    pub(super) line: usize,
    pub(super) problem: String,
}

pub(super) fn parse(text: &str) -> Result<BTreeMap<EnvKey, SecretValue>, LineError> {
    let mut values = BTreeMap::new();
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut line = 1;
    while !rest.is_empty() {
        let (entry, after) = entry(rest).map_err(|problem| LineError { line, problem })?;
        if let Some((key, value)) = entry
            && values.insert(key.clone(), value).is_some()
        {
            return Err(LineError {
                line,
                problem: format!("`{key}` is set a second time"),
            });
        }
        let taken = rest.len() - after.len();
        line += rest
            .bytes()
            .take(taken)
            .filter(|&byte| byte == b'\n')
            .count();
        rest = after;
    }
    Ok(values)
}

/// A key and its value, if the line has any; and what follows it.
type Entry<'t> = (Option<(EnvKey, SecretValue)>, &'t str);

/// Reads one line, or more if a quoted value goes on.
fn entry(text: &str) -> Result<Entry<'_>, String> {
    let end = text.find('\n').unwrap_or(text.len());
    let (whole, after) = text.split_at(end);
    let after = after.strip_prefix('\n').unwrap_or(after);
    let line = whole.trim_start();
    if line.trim_end().is_empty() || line.starts_with('#') {
        return Ok((None, after));
    }
    let line = line.strip_prefix("export ").map_or(line, str::trim_start);
    let (key, value) = line.split_once('=').ok_or("there is no `=`")?;
    let key: EnvKey = key.trim_end().parse().map_err(|error| format!("{error}"))?;
    let value = value.trim_start_matches([' ', '\t']);
    if let Some(quote @ ('"' | '\'')) = value.chars().next() {
        // What follows the quote, over the end of the line.
        let inner = text.get(end - value.len() + 1..).unwrap_or_default();
        let (value, after) =
            quoted(inner, quote).map_err(|problem| format!("the value of `{key}` {problem}"))?;
        return Ok((Some((key, value)), after));
    }
    let value = value.trim_end();
    if value.contains([' ', '\t', '#', '"', '\'']) {
        return Err(format!(
            "the value of `{key}` has blanks, `#` or quotes, and none around it"
        ));
    }
    Ok((Some((key, SecretValue::from(value))), after))
}

/// The value up to the closing quote, and what follows its line.
fn quoted(inner: &str, quote: char) -> Result<(SecretValue, &str), &'static str> {
    // Unescaping only shortens, so the buffer never moves and leaves a copy.
    let mut value = Zeroizing::new(String::with_capacity(inner.len()));
    let mut chars = inner.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            _ if c == quote => {
                let rest = inner.get(at + 1..).unwrap_or_default();
                let (tail, after) = rest.split_once('\n').unwrap_or((rest, ""));
                let tail = tail.trim();
                if !(tail.is_empty() || tail.starts_with('#')) {
                    return Err("goes on after its closing quote");
                }
                return Ok((SecretValue::from(value.as_str()), after));
            }
            '\\' if quote == '"' => value.push(match chars.next() {
                Some((_, 'n')) => '\n',
                Some((_, 'r')) => '\r',
                Some((_, 't')) => '\t',
                Some((_, same @ ('"' | '\\' | '$'))) => same,
                _ => {
                    return Err(
                        "has a backslash before something that needs none; write `\\\\` for one",
                    );
                }
            }),
            c => value.push(c),
        }
    }
    Err("has no closing quote")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Vec<(String, String)> {
        let exposed =
            |(key, value): (EnvKey, SecretValue)| (key.to_string(), value.expose().to_owned());
        parse(text).unwrap().into_iter().map(exposed).collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn every_way_to_write_a_value() {
        let text = "\u{feff}# comment\n\n  A=plain=with=$signs  \r\nexport B='it''s'\n"
            .replace("''", " # ")
            + "C = \"two\\nlines\\t\\\"\\\\\\$\" # comment\nD=\"-----BEGIN\nkey\n-----END\"\nE=\nF=''\nG=last";
        assert_eq!(
            parsed(&text),
            pairs(&[
                ("A", "plain=with=$signs"),
                ("B", "it # s"),
                ("C", "two\nlines\t\"\\$"),
                ("D", "-----BEGIN\nkey\n-----END"),
                ("E", ""),
                ("F", ""),
                ("G", "last"),
            ])
        );
    }

    #[test]
    fn an_error_names_line_and_key_and_never_shows_the_value() {
        for (text, line, problem) in [
            ("hunter2", 1, "there is no `=`"),
            (
                "\nA=hunter2 x",
                2,
                "the value of `A` has blanks, `#` or quotes, and none around it",
            ),
            (
                "A='1'\nB=hunter2#",
                2,
                "the value of `B` has blanks, `#` or quotes, and none around it",
            ),
            ("A='hunter2\n\n", 1, "the value of `A` has no closing quote"),
            (
                "A='hunter2' x",
                1,
                "the value of `A` goes on after its closing quote",
            ),
            ("A=\"1\n2\"\nB=1\nA=hunter2", 4, "`A` is set a second time"),
            (
                "A=\"hunter\\2\"",
                1,
                "the value of `A` has a backslash before something that needs none; write `\\\\` for one",
            ),
            (
                "1A=hunter2",
                1,
                "`1A` is not an environment variable for a secret: write letters, digits and `_`, and no digit first",
            ),
        ] {
            assert_eq!(
                parse(text).unwrap_err(),
                LineError {
                    line,
                    problem: problem.to_owned()
                },
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_written_in_quotes_is_read_back(value in "[^\u{0}]{0,40}", next in "[a-z0-9]{1,8}") {
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$");
            let text = format!("A=\"{escaped}\"\nB={next}\n");
            prop_assert_eq!(parsed(&text), pairs(&[("A", &value), ("B", &next)]));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[AB=\"' \\\\#\n\r\tx]{0,30}") {
            drop(parse(&text));
        }
    }
}
