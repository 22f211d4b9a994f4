//! One element of a command line.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, PAD};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One element of an `argv`: bytes, handed to the process exactly as they are (L24). No shell reads it.
///
/// In JSON it is a string, or `{"base64": "…"}` (RFC 4648, padded) for bytes that are not UTF-8. Text that
/// was given as base64 is written back as a string, so equal bytes have one canonical form.
///
/// ```
/// use moorline_core::spec::Arg;
///
/// let text: Arg = serde_json::from_str(r#""$(not run)""#).unwrap();
/// assert_eq!(text.as_bytes(), b"$(not run)");
/// let bytes: Arg = serde_json::from_str(r#"{"base64": "/w=="}"#).unwrap();
/// assert_eq!(bytes.as_bytes(), [0xff]);
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Arg(Vec<u8>);

/// Reads what the published pattern accepts: unused bits at the end may be set.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    PAD.with_decode_allow_trailing_bits(true),
);

impl Arg {
    /// The bytes that the process receives.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The element as text, when it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Whether it holds a NUL byte, which no operating system can pass on.
    pub fn has_nul(&self) -> bool {
        self.0.contains(&0)
    }
}

impl From<&str> for Arg {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl From<String> for Arg {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

impl From<Vec<u8>> for Arg {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

/// For people: bytes that are not UTF-8 show as replacement characters.
impl fmt::Display for Arg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for Arg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

impl Serialize for Arg {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(text) = self.as_str() {
            return serializer.serialize_str(text);
        }
        let mut object = serializer.serialize_struct("Arg", 1)?;
        object.serialize_field("base64", &BASE64.encode(&self.0))?;
        object.end()
    }
}

impl<'de> Deserialize<'de> for Arg {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a string or {\"base64\": \"…\"}")]
        enum Form {
            Text(String),
            Encoded(Encoded),
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Encoded {
            base64: String,
        }
        match Form::deserialize(deserializer)? {
            Form::Text(text) => Ok(text.into()),
            Form::Encoded(Encoded { base64 }) => BASE64
                .decode(base64)
                .map(Self)
                .map_err(|error| D::Error::custom(format!("an argument is not base64: {error}"))),
        }
    }
}

impl JsonSchema for Arg {
    fn schema_name() -> Cow<'static, str> {
        "Arg".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "One element of an argv: a string, or {\"base64\": \"…\"} for bytes that are not UTF-8. Passed on exactly; no shell reads it.",
            "type": ["string", "object"],
            "properties": {
                "base64": {
                    "description": "The bytes, in base64 with padding (RFC 4648).",
                    "type": "string",
                    "contentEncoding": "base64",
                    "pattern": "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)?$",
                },
            },
            "required": ["base64"],
            "additionalProperties": false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// L24, the part that is data: every argument survives JSON byte for byte.
    #[test]
    fn arguments_survive_json_byte_for_byte() {
        let long = "x".repeat(1 << 20);
        let corpus: [&[u8]; 9] = [
            b"",
            b"'\"'",
            b"$(id) `id` $HOME",
            b"line\nline\r\n",
            "\u{1f600} \u{7}".as_bytes(),
            b"\xff\xfe",
            b"ok\xc3",
            b"\x00",
            long.as_bytes(),
        ];
        for bytes in corpus {
            let arg = Arg::from(bytes.to_vec());
            let text = serde_json::to_string(&arg).unwrap();
            assert_eq!(
                serde_json::from_str::<Arg>(&text).unwrap().as_bytes(),
                bytes
            );
        }
    }

    #[test]
    fn text_has_one_form_and_bytes_another() {
        let from = |value| serde_json::from_value::<Arg>(value);
        assert_eq!(from(json!({"base64": "aGk="})).unwrap(), Arg::from("hi"));
        assert_eq!(serde_json::to_value(Arg::from("hi")).unwrap(), json!("hi"));
        let bytes = Arg::from(vec![0xff]);
        assert_eq!(
            serde_json::to_value(&bytes).unwrap(),
            json!({"base64": "/w=="})
        );
        for wrong in [
            json!(1),
            json!({}),
            json!({"base64": "?"}),
            json!({"base64": "", "x": 1}),
        ] {
            assert!(from(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
