//! `{{key}}` in the command line and the environment of a step: what stands there comes from the run's state.
//!
//! A key is a letter or `_`, then letters, digits, `_`, `-`; there is no space between it and the braces.
//! Everything else is left as it is, so that braces of other programs need no escape. What is put in is not
//! looked through again, and no shell reads it: a value stays inside the argument that it was put into.

use serde_json::{Map, Value};

/// What a state can not fill in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The state has no such key.
    #[error("`{{{{{key}}}}}` stands for a key that the run's state does not have (D-FLOW-1e)")]
    Missing {
        /// The key.
        key: String,
    },
    /// The value holds a NUL byte, which no process can be given.
    #[error(
        "`{{{{{key}}}}}` stands for a value with a NUL byte, which no process can be given (D-RUN-5)"
    )]
    Nul {
        /// The key.
        key: String,
    },
}

/// Whether a text can be a key of the state that is declared: see the [module](self).
pub(crate) fn is_key(text: &str) -> bool {
    text.len() <= 128
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// A piece of a template.
enum Piece<'a> {
    Plain(&'a [u8]),
    Key(&'a str),
}

fn pieces(template: &[u8]) -> Vec<Piece<'_>> {
    let mut found = Vec::new();
    let (mut plain, mut rest) = (template, template);
    while let Some(open) = memchr::memmem::find(rest, b"{{") {
        let after = rest.get(open + 2..).unwrap_or_default();
        let key = memchr::memmem::find(after, b"}}")
            .and_then(|close| std::str::from_utf8(after.get(..close)?).ok())
            .filter(|key| is_key(key));
        if let Some(key) = key {
            let before = plain.len() - rest.len() + open;
            found.push(Piece::Plain(plain.get(..before).unwrap_or_default()));
            found.push(Piece::Key(key));
            rest = after.get(key.len() + 2..).unwrap_or_default();
            plain = rest;
        } else {
            rest = rest.get(open + 1..).unwrap_or_default();
        }
    }
    found.push(Piece::Plain(plain));
    found
}

/// The keys that a template asks for, in order; one that it asks for twice stands twice.
///
/// ```
/// use moorline_core::workflow::keys;
///
/// assert_eq!(keys(b"--segment={{segment}} {{ x }} {{{name}}}"), ["segment", "name"]);
/// ```
pub fn keys(template: &[u8]) -> Vec<&str> {
    pieces(template)
        .into_iter()
        .filter_map(|piece| match piece {
            Piece::Key(key) => Some(key),
            Piece::Plain(_) => None,
        })
        .collect()
}

/// Fills a template in. A string of the state is put in as it is, everything else as compact JSON. Null is
/// the same as nothing.
///
/// # Errors
/// A key that the state does not have, or a value that no process can be given.
///
/// ```
/// use moorline_core::workflow::render;
/// use serde_json::json;
///
/// let state = json!({"segment": "small firms", "ratio": 0.0});
/// let filled = render(b"{{segment}}: {{ratio}}", state.as_object().unwrap())?;
/// assert_eq!(filled, b"small firms: 0.0");
/// # Ok::<(), moorline_core::workflow::RenderError>(())
/// ```
pub fn render(template: &[u8], state: &Map<String, Value>) -> Result<Vec<u8>, RenderError> {
    let mut filled = Vec::with_capacity(template.len());
    for piece in pieces(template) {
        match piece {
            Piece::Plain(bytes) => filled.extend_from_slice(bytes),
            Piece::Key(key) => {
                let text = match state.get(key) {
                    None | Some(Value::Null) => {
                        return Err(RenderError::Missing {
                            key: key.to_owned(),
                        });
                    }
                    Some(Value::String(text)) => text.clone(),
                    Some(other) => other.to_string(),
                };
                if text.contains('\0') {
                    return Err(RenderError::Nul {
                        key: key.to_owned(),
                    });
                }
                filled.extend_from_slice(text.as_bytes());
            }
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_no_key_is_left_as_it_is() {
        let state = json!({"a": "{{b}}", "b": 1, "n": null, "l": [1, "x"]});
        let filled = |template: &[u8]| render(template, state.as_object().unwrap());
        let cases: [(&[u8], &[u8]); 9] = [
            (b"", b""),
            (b"plain", b"plain"),
            (b"{{a}}", b"{{b}}"),
            (b"x{{b}}y{{b}}", b"x1y1"),
            (b"{{{b}}}", b"{1}"),
            (b"{{ b }} {{}} {{b", b"{{ b }} {{}} {{b"),
            (b"{{l}}", b"[1,\"x\"]"),
            (b"\xff{{b}}\xfe", b"\xff1\xfe"),
            (b"{{a b}}{{b}}", b"{{a b}}1"),
        ];
        for (template, expected) in cases {
            assert_eq!(filled(template).unwrap(), expected, "{template:?}");
        }
        let missing = |key: &str| RenderError::Missing {
            key: key.to_owned(),
        };
        assert_eq!(filled(b"{{c}}"), Err(missing("c")));
        assert_eq!(filled(b"{{n}}"), Err(missing("n")));
        assert_eq!(
            missing("c").to_string(),
            "`{{c}}` stands for a key that the run's state does not have (D-FLOW-1e)"
        );
    }

    #[test]
    fn a_value_with_a_nul_byte_is_refused() {
        let state = json!({"a": "x\u{0}y"});
        assert_eq!(
            render(b"{{a}}", state.as_object().unwrap()),
            Err(RenderError::Nul {
                key: "a".to_owned()
            })
        );
    }
}
