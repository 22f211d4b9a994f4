//! Redaction of structured data.

use serde_json::{Map, Value};

use super::Redactor;

/// Words that, at the end of a key, say that its value is a secret. `access_token`, `clientSecret`
/// and `X-API-Key` end in them; `secret_names`, `token_count` and `password_policy` do not.
const SENSITIVE: [&str; 12] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "authorization",
    "credential",
    "credentials",
    "apikey",
    "accesskey",
    "secretkey",
    "privatekey",
];

impl Redactor {
    /// Redacts every string of `value`, at any depth: texts and keys as [`Redactor::redact`] does,
    /// and the whole text where the key says that it is a secret (`password`, `token`, `api_key`,
    /// `secret`, `authorization`, … also as the last word of a longer key, in any spelling). A
    /// number that is a secret becomes a marker too.
    ///
    /// ```
    /// use moorline_secrets::Redactor;
    /// use serde_json::json;
    ///
    /// let redactor = Redactor::builder().value("PIN", "271828").build();
    /// let mut event = json!({"dbPassword": "x", "note": "pin 271828", "names": ["PIN"]});
    /// redactor.redact_json(&mut event);
    /// assert_eq!(
    ///     event,
    ///     json!({"dbPassword": "[redacted]", "note": "pin [redacted:PIN]", "names": ["PIN"]})
    /// );
    /// ```
    pub fn redact_json(&self, value: &mut Value) {
        self.redact_value(value, false);
    }

    fn redact_value(&self, value: &mut Value, sensitive: bool) {
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::String(text) => self.redact_text(text, sensitive),
            Value::Number(number) => {
                let mut text = number.to_string();
                self.redact_text(&mut text, false);
                if text != number.to_string() {
                    *value = Value::String(text);
                }
            }
            Value::Array(items) => {
                for item in items {
                    self.redact_value(item, sensitive);
                }
            }
            Value::Object(fields) => self.redact_fields(fields, sensitive),
        }
    }

    fn redact_fields(&self, fields: &mut Map<String, Value>, sensitive: bool) {
        let taken = std::mem::take(fields);
        for (mut key, mut value) in taken {
            self.redact_value(&mut value, sensitive || is_sensitive(&key));
            self.redact_text(&mut key, false);
            // Two keys may have become the same; neither value is lost.
            let mut name = key.clone();
            let mut copy = 2_u32;
            while fields.contains_key(&name) {
                name = format!("{key}#{copy}");
                copy += 1;
            }
            fields.insert(name, value);
        }
    }

    fn redact_text(&self, text: &mut String, whole: bool) {
        let redacted = self.redact(text).into_owned();
        *text = match redacted {
            // The name of the value tells more than that there was one.
            named if !whole || text.is_empty() || self.is_marker(&named) => named,
            _ => self.core.unnamed.clone(),
        };
    }

    fn is_marker(&self, text: &str) -> bool {
        use super::marker::{Length, length};
        text == self.core.unnamed || length(text.as_bytes()) == Length::Of(text.len())
    }
}

/// Whether the last word, or the last two together, of a key say that its value is a secret.
fn is_sensitive(key: &str) -> bool {
    let mut words: Vec<String> = Vec::new();
    let mut open = false;
    let mut lower = false;
    for c in key.chars() {
        if !c.is_alphanumeric() {
            open = false;
            continue;
        }
        // `dbPassword` is two words, `PASSWORD` one.
        if !open || (c.is_uppercase() && lower) {
            words.push(String::new());
        }
        open = true;
        lower = c.is_lowercase();
        if let Some(word) = words.last_mut() {
            word.extend(c.to_lowercase());
        }
    }
    let [.., last] = words.as_slice() else {
        return false;
    };
    let two = match words.as_slice() {
        [.., first, last] => format!("{first}{last}"),
        _ => String::new(),
    };
    SENSITIVE.contains(&last.as_str()) || SENSITIVE.contains(&two.as_str())
}
