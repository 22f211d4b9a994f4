//! What every text-shaped type of this crate shares: quoting input in errors, and serde by text.
//!
//! Private to the crate. A type that has `FromStr` and `Display` gets `Serialize`, `Deserialize` and
//! `JsonSchema` from [`serde_as_text`], so that JSON can not hold what parsing would refuse.

use std::fmt::{self, Write as _};

/// How many characters of refused input an error repeats.
const SHOWN: usize = 120;

/// Input as an error message repeats it: in backticks, control characters escaped, cut when long.
pub(crate) fn quoted(text: &str) -> Quoted<'_> {
    Quoted(text)
}

/// See [`quoted`].
pub(crate) struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('`')?;
        for c in self.0.chars().take(SHOWN) {
            if c.is_control() {
                write!(f, "{}", c.escape_debug())?;
            } else {
                f.write_char(c)?;
            }
        }
        if self.0.chars().nth(SHOWN).is_some() {
            f.write_str("…")?;
        }
        f.write_char('`')
    }
}

/// Implements serde and JSON Schema for a type by its text form: a string with a pattern.
///
/// The pattern must accept every text that `FromStr` accepts, in ECMA 262 syntax; what it can not say,
/// parsing still refuses.
macro_rules! serde_as_text {
    ($type:ident, $pattern:literal, $description:literal) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(
                    deserializer,
                )?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "pattern": $pattern,
                    "description": $description,
                })
            }
        }
    };
}
pub(crate) use serde_as_text;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_input_is_one_line_and_bounded() {
        assert_eq!(quoted("a/b@1\n").to_string(), "`a/b@1\\n`");
        assert_eq!(quoted("é\u{1b}[31m").to_string(), "`é\\u{1b}[31m`");
        let long = quoted(&"x".repeat(10_000)).to_string();
        assert_eq!(long, format!("`{}…`", "x".repeat(SHOWN)));
    }
}
