//! What is inside the encrypted file: lanes, objects, keys, values.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::backend::SecretValues;
use crate::name::EnvKey;
use crate::policy::ObjectName;
use crate::value::SecretValue;

/// The version that is written, and the only one that is read.
const VERSION: u32 = 1;

/// Every secret of an installation.
#[derive(Debug, Default)]
pub(super) struct Document {
    pub(super) lanes: BTreeMap<String, BTreeMap<ObjectName, SecretValues>>,
}

/// Why the text inside the file is not such a document. Shows nothing of it.
#[derive(Debug, thiserror::Error)]
pub(super) enum DocumentError {
    #[error("it is not a document of secrets, at line {line}, column {column}")]
    Json { line: usize, column: usize },
    #[error("it was written by a newer version (format {0})")]
    Version(u32),
    #[error("the value of `{0}` is not base64 of UTF-8 text")]
    Value(EnvKey),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<'t> {
    version: u32,
    #[serde(borrow)]
    lanes: BTreeMap<Cow<'t, str>, BTreeMap<ObjectName, BTreeMap<EnvKey, &'t str>>>,
}

impl Document {
    /// Reads it. Values are decoded straight out of `bytes`, which the caller wipes.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        let wire: Wire<'_> =
            serde_json::from_slice(bytes).map_err(|error| DocumentError::Json {
                line: error.line(),
                column: error.column(),
            })?;
        if wire.version != VERSION {
            return Err(DocumentError::Version(wire.version));
        }
        let mut document = Self::default();
        for (lane, objects) in wire.lanes {
            let kept = document.lanes.entry(lane.into_owned()).or_default();
            for (object, values) in objects {
                let values = values
                    .into_iter()
                    .map(|(key, text)| match decode(text) {
                        Some(value) => Ok((key, value)),
                        None => Err(DocumentError::Value(key)),
                    })
                    .collect::<Result<_, _>>()?;
                kept.insert(object, values);
            }
        }
        Ok(document)
    }

    /// Writes it, into a buffer that never moves and is wiped.
    pub(super) fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
        let mut size = 64;
        let mut texts: Vec<Zeroizing<String>> = Vec::new();
        for (lane, object, key, value) in self.entries() {
            let text = encode(value);
            size += lane.len() + object.as_str().len() + key.as_str().len() + text.len() + 32;
            texts.push(text);
        }
        let mut texts = texts.iter();
        let mut lanes: BTreeMap<Cow<'_, str>, BTreeMap<ObjectName, BTreeMap<EnvKey, &str>>> =
            BTreeMap::new();
        for (lane, object, key, _) in self.entries() {
            let text = texts.next().map_or("", |text| text.as_str());
            let objects = lanes.entry(Cow::Borrowed(lane)).or_default();
            let keys = objects.entry(object.clone()).or_default();
            keys.insert(key.clone(), text);
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(size));
        let version = VERSION;
        serde_json::to_writer(&mut *bytes, &Wire { version, lanes })?;
        Ok(bytes)
    }

    /// Every value, in an order that does not change.
    fn entries(&self) -> impl Iterator<Item = (&str, &ObjectName, &EnvKey, &SecretValue)> {
        self.lanes.iter().flat_map(|(lane, objects)| {
            objects.iter().flat_map(move |(object, values)| {
                values
                    .iter()
                    .map(move |(key, value)| (lane.as_str(), object, key, value))
            })
        })
    }
}

fn encode(value: &SecretValue) -> Zeroizing<String> {
    let bytes = value.expose().as_bytes();
    let mut text = Zeroizing::new(String::with_capacity(bytes.len().div_ceil(3) * 4));
    STANDARD.encode_string(bytes, &mut text);
    text
}

fn decode(text: &str) -> Option<SecretValue> {
    let mut bytes = Zeroizing::new(vec![0; base64::decoded_len_estimate(text.len())]);
    let length = STANDARD.decode_slice(text, &mut bytes).ok()?;
    let value = std::str::from_utf8(bytes.get(..length)?).ok()?;
    Some(value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Document {
        let mut document = Document::default();
        let objects = document.lanes.entry("dev".to_owned()).or_default();
        let values = objects.entry("CHASE".parse().unwrap()).or_default();
        values.insert("COOKIE".parse().unwrap(), "hunter2 \"é\" \n".into());
        values.insert("USER".parse().unwrap(), "ada".into());
        document
    }

    #[test]
    fn what_is_written_is_read_back_and_fits_its_buffer() {
        let bytes = document().to_bytes().unwrap();
        assert_eq!(
            std::str::from_utf8(&bytes).unwrap(),
            r#"{"version":1,"lanes":{"dev":{"CHASE":{"COOKIE":"aHVudGVyMiAiw6kiIAo=","USER":"YWRh"}}}}"#
        );
        let read = Document::parse(&bytes).unwrap();
        let values: Vec<(&str, &str)> = read
            .entries()
            .map(|(_, _, key, value)| (key.as_str(), value.expose()))
            .collect();
        assert_eq!(values, [("COOKIE", "hunter2 \"é\" \n"), ("USER", "ada")]);
        // A buffer that grew would have left a copy of what it held.
        let estimate = 64 + 2 * (3 + 5 + 32) + 6 + 4 + 20 + 4;
        assert!(bytes.len() <= estimate && bytes.capacity() <= estimate * 2);
    }

    #[test]
    fn what_is_no_document_is_refused_without_being_shown() {
        for (text, shown) in [
            (
                "hunter2",
                "it is not a document of secrets, at line 1, column 1",
            ),
            (
                r#"{"version":2,"lanes":{}}"#,
                "it was written by a newer version (format 2)",
            ),
            (
                r#"{"version":1,"lanes":{"dev":{"A":{"KEY":"hunter2!"}}}}"#,
                "the value of `KEY` is not base64 of UTF-8 text",
            ),
            (
                r#"{"version":1,"lanes":{"dev":{"A":{"KEY":"//4="}}}}"#,
                "the value of `KEY` is not base64 of UTF-8 text",
            ),
        ] {
            assert_eq!(
                Document::parse(text.as_bytes()).unwrap_err().to_string(),
                shown
            );
        }
    }
}
