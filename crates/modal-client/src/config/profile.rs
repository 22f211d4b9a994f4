//! `~/.modal.toml`: a table for each profile, one of them active.

use std::path::Path;

use toml::{Table, Value};

use crate::error::{Error, ErrorKind, Result};

/// Reads the settings of the profile to use out of the file's text.
///
/// `wanted` is `MODAL_PROFILE`. A profile that the file does not have is empty, as for the official
/// client: its settings then come from the environment.
pub(super) fn select(text: &str, path: &Path, wanted: Option<&str>) -> Result<(String, Table)> {
    let bad = |what: String| Error::new(ErrorKind::Config, format!("{}: {what}", path.display()));
    // The parser's own message quotes the line, which may hold a token: only the place is told.
    let file: Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        bad(format!("line {line} is not valid TOML"))
    })?;
    let mut profiles = Vec::new();
    for (name, value) in file {
        match value {
            Value::Table(table) => profiles.push((name, table)),
            _ => {
                return Err(bad(format!(
                    "`{name}` stands outside a table; every setting belongs into a [profile]"
                )));
            }
        }
    }
    let active: Vec<&str> = profiles
        .iter()
        .filter(|(_, table)| is_active(table))
        .map(|(name, _)| name.as_str())
        .collect();
    if let [first, second, ..] = active[..] {
        return Err(bad(format!(
            "profiles `{first}` and `{second}` are both active; leave `active = true` in one of them"
        )));
    }
    let wanted = wanted.filter(|name| !name.is_empty());
    if wanted.is_none() && active.is_empty() && profiles.len() > 1 {
        return Err(bad(
            "none of several profiles is active; set `active = true` in one of them, or MODAL_PROFILE".into(),
        ));
    }
    let name = wanted
        .or_else(|| active.first().copied())
        .unwrap_or("default")
        .to_owned();
    let table = profiles
        .into_iter()
        .find(|(known, _)| *known == name)
        .map(|(_, table)| table);
    Ok((name, table.unwrap_or_default()))
}

fn is_active(table: &Table) -> bool {
    table
        .get("active")
        .and_then(Value::as_bool)
        .unwrap_or(false)
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes()
        .take(offset)
        .filter(|byte| *byte == b'\n')
        .count()
        + 1
}

/// A setting as text, as an environment variable would have it.
pub(super) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(flag) => Some(flag.to_string()),
        Value::Datetime(_) | Value::Array(_) | Value::Table(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pick(text: &str, wanted: Option<&str>) -> Result<(String, Table)> {
        select(text, Path::new("modal.toml"), wanted)
    }

    #[test]
    fn the_active_profile_is_taken_unless_one_is_named() {
        let text = "[a]\ntoken_id='1'\n[b]\ntoken_id='2'\nactive=true\n";
        assert_eq!(pick(text, None).unwrap().0, "b");
        assert_eq!(pick(text, Some("")).unwrap().0, "b");
        assert_eq!(pick(text, Some("a")).unwrap().0, "a");
        assert_eq!(pick(text, Some("absent")).unwrap().1, Table::new());
    }

    #[test]
    fn one_profile_that_is_not_active_is_not_taken_unless_it_is_the_default() {
        assert_eq!(pick("[default]\ntoken_id='1'", None).unwrap().1.len(), 1);
        assert_eq!(pick("[work]\ntoken_id='1'", None).unwrap().0, "default");
    }

    #[test]
    fn two_active_profiles_are_an_error_even_when_one_is_named() {
        let error = pick("[a]\nactive=true\n[b]\nactive=true", Some("a")).unwrap_err();
        assert!(error.to_string().contains("both active"), "{error}");
    }

    #[test]
    fn several_without_an_active_one_are_an_error_unless_one_is_named() {
        assert!(pick("[a]\n[b]", None).is_err());
        assert_eq!(pick("[a]\n[b]", Some("b")).unwrap().0, "b");
    }

    #[test]
    fn a_broken_file_is_told_by_line_and_never_by_content() {
        let error = pick("[a]\ntoken_secret = as-hunter2\n", None)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("line 2") && !error.contains("hunter2"),
            "{error}"
        );
    }
}
