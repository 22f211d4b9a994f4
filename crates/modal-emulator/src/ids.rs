//! Identifiers in Modal's form: a prefix, a dash, 22 letters and digits.

use rand::RngExt as _;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A new identifier such as `ap-0a1B…`. The SDKs look at prefix and length.
pub(crate) fn new(prefix: &str) -> String {
    let mut rng = rand::rng();
    let mut id = String::with_capacity(prefix.len() + 23);
    id.push_str(prefix);
    id.push('-');
    for _ in 0..22 {
        let at = rng.random_range(0..ALPHABET.len());
        id.push(char::from(ALPHABET.get(at).copied().unwrap_or(b'0')));
    }
    id
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_id_has_the_form_that_the_command_line_tool_recognises() {
        let id = super::new("ap");
        assert_eq!(id.len(), 25);
        assert!(
            id.strip_prefix("ap-")
                .unwrap()
                .bytes()
                .all(|b| b.is_ascii_alphanumeric())
        );
        assert_ne!(id, super::new("ap"));
    }
}
