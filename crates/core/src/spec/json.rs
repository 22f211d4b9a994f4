//! Reading JSON that people review: one text must mean one thing to every reader.

use serde_json::Value;

use super::violation::Violation;
use crate::canonical::{self, CanonicalError, MAX_SAFE_INTEGER};

/// A document, and the first thing in it that other readers may read differently (RFC 7493), such as a
/// repeated member.
pub(super) type Document = (Value, Option<Violation>);

/// Reads a document.
///
/// # Errors
/// The text is not JSON at all: one violation with line and column.
pub(super) fn read(bytes: &[u8]) -> Result<Document, Violation> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let message = format!("is not UTF-8 from byte {} on", error.valid_up_to());
        Violation::new("", "json", message).with_hint("JSON is UTF-8 (RFC 8259, section 8.1)")
    })?;
    let ambiguous = match canonical::read(text) {
        Ok(value) => return Ok((value, None)),
        Err(error) => error,
    };
    match (serde_json::from_str(text), ambiguous) {
        (Ok(value), CanonicalError::Text(error)) => Ok((value, Some(located(&error, "")))),
        (Ok(value), other) => Ok((value, Some(Violation::new("", "json", other.to_string())))),
        (Err(error), _) => Err(hinted(text, located(&error, "is not JSON: "))),
    }
}

/// An error of the reader, with its place said in words of our own.
fn located(error: &serde_json::Error, what: &str) -> Violation {
    let full = error.to_string();
    let reason = full
        .rsplit_once(" at line ")
        .map_or(full.as_str(), |(reason, _)| reason);
    let message = format!(
        "{what}line {}, column {}: {reason}",
        error.line(),
        error.column()
    );
    Violation::new("", "json", message)
}

/// Writes integers that came as `10.0` or `1e1` as `10`: by JSON Schema they are integers, and canonical
/// JSON writes them so.
pub(super) fn plain_integers(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(plain_integers),
        Value::Object(members) => members.values_mut().for_each(plain_integers),
        Value::Number(number) if number.is_f64() => {
            if let Some(integer) = number.as_f64().and_then(exact_integer) {
                *number = integer.into();
            }
        }
        _ => {}
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "checked here"
)]
fn exact_integer(number: f64) -> Option<i64> {
    let fits = number.fract() == 0.0 && number.abs() <= MAX_SAFE_INTEGER as f64;
    fits.then_some(number as i64)
}

fn hinted(text: &str, violation: Violation) -> Violation {
    let start = text.trim_start();
    if text.is_empty() {
        violation.with_hint("the file is empty")
    } else if text.starts_with('\u{feff}') {
        violation.with_hint("remove the byte order mark at the start of the file")
    } else if start.starts_with("---") || start.starts_with("job_id:") {
        violation.with_hint("it looks like YAML; a job spec is JSON")
    } else if violation.message.ends_with(": trailing comma") {
        violation.with_hint("remove the comma before the closing bracket")
    } else {
        violation
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plain_json_is_read_as_it_is() {
        let text = r#"{"a": [1, -2, 0.5, true, null, "\u00fc\n"], "b": {"c": 9007199254740991}}"#;
        let number = 9_007_199_254_740_991_u64;
        let expected = json!({"a": [1, -2, 0.5, true, null, "\u{fc}\n"], "b": {"c": number}});
        assert_eq!(read(text.as_bytes()), Ok((expected, None)));
    }

    #[test]
    fn a_repeated_member_is_named_with_its_place() {
        let (value, ambiguous) = read(b"{\"a\": 1,\n \"a\": 2}").unwrap();
        assert_eq!(value, json!({"a": 2}));
        let message = ambiguous.unwrap().message;
        assert_eq!(
            message,
            "line 2, column 4: the key `a` stands twice in one object"
        );
    }

    #[test]
    fn text_that_is_not_json_is_one_violation_with_its_place() {
        let cases = [
            ("{\"a\": 1,\n \"b\" 2}", "line 2, column 6: expected `:`"),
            ("{\"a\": [1,]}", "line 1, column 10: trailing comma"),
            ("", "line 1, column 0: EOF while parsing a value"),
            ("{} x", "line 1, column 4: trailing characters"),
        ];
        for (text, place) in cases {
            let violation = read(text.as_bytes()).unwrap_err();
            assert_eq!(
                (violation.pointer.as_str(), violation.rule.as_str()),
                ("", "json")
            );
            assert_eq!(violation.message, format!("is not JSON: {place}"));
        }
        let deep = "[".repeat(200);
        assert!(
            read(deep.as_bytes())
                .unwrap_err()
                .message
                .contains("recursion limit exceeded")
        );
        assert_eq!(
            read(b"\"\xff\"").unwrap_err().message,
            "is not UTF-8 from byte 1 on"
        );
        let yaml = read(b"job_id: x").unwrap_err().hint;
        assert_eq!(
            yaml.as_deref(),
            Some("it looks like YAML; a job spec is JSON")
        );
    }
}
