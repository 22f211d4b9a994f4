//! A random secret, and the search for it in every encoding it could leak by (L54).
//!
//! A test gives a [`Canary`] to the product as a secret, lets it work, and then looks for it in
//! every sink: outputs, logs, the store's files, the arguments of every process.
//!
//! ```
//! use moorline_testkit::canary::Canary;
//!
//! let canary = Canary::new();
//! let log = format!("authorization: {}", canary.value());
//! assert_eq!(canary.find_in(log.as_bytes()), Some("raw"));
//! assert_eq!(canary.find_in(b"authorization: ***"), None);
//! ```

use std::path::{Path, PathBuf};
use std::{fs, io};

use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::process;

/// A secret that occurs nowhere else, and the forms in which it could be written.
#[derive(Debug, Clone)]
pub struct Canary {
    value: String,
    forms: Vec<(&'static str, Vec<u8>)>,
}

/// A place where a canary was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leak {
    /// The file, or `/proc/PID/cmdline`.
    pub place: PathBuf,
    /// The form in which it was written there, such as `base64`.
    pub form: &'static str,
}

impl Default for Canary {
    fn default() -> Self {
        Self::new()
    }
}

impl Canary {
    /// A new one. It has characters that JSON, URLs and shells each treat differently, so that no
    /// two forms are the same.
    pub fn new() -> Self {
        Self::of(&format!(
            "canary-{}/+ \"\\&={}",
            random_hex(12),
            random_hex(12)
        ))
    }

    /// One with a value of the test's own choice, such as a key of a known provider's form. It
    /// should be at least 12 characters long, or it will be found by chance.
    pub fn of(value: &str) -> Self {
        let bytes = value.as_bytes();
        let hex = to_hex(bytes);
        let json = serde_json::Value::from(value).to_string();
        let url = utf8_percent_encode(value, NON_ALPHANUMERIC).to_string();
        let mut forms = vec![
            ("raw", bytes.to_vec()),
            ("json", json.trim_matches('"').as_bytes().to_vec()),
            ("hex", hex.as_bytes().to_vec()),
            ("hex", hex.to_uppercase().into_bytes()),
            ("url", url.as_bytes().to_vec()),
            ("url", url.replace("%20", "+").into_bytes()),
            ("url", lower_case_escapes(&url).into_bytes()),
        ];
        for shift in 0..3 {
            forms.push(("base64", base64_inside(&STANDARD_NO_PAD, bytes, shift)));
            forms.push(("base64url", base64_inside(&URL_SAFE_NO_PAD, bytes, shift)));
        }
        Self {
            value: value.to_owned(),
            forms,
        }
    }

    /// The secret itself.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Every form: its name, and the bytes to look for.
    pub fn forms(&self) -> &[(&'static str, Vec<u8>)] {
        &self.forms
    }

    /// The name of the first form that occurs in `bytes`.
    pub fn find_in(&self, bytes: &[u8]) -> Option<&'static str> {
        self.forms
            .iter()
            .find(|(_, form)| {
                bytes
                    .windows(form.len())
                    .any(|part| part == form.as_slice())
            })
            .map(|(name, _)| *name)
    }

    /// Where it occurs in the files below `root`; links are not followed.
    ///
    /// # Errors
    ///
    /// Whatever the file system says; a file that vanishes meanwhile is no error.
    pub fn leaks_below(&self, root: &Path) -> io::Result<Vec<Leak>> {
        let mut leaks = Vec::new();
        let mut pending = vec![root.to_owned()];
        while let Some(directory) = pending.pop() {
            for entry in fs::read_dir(&directory)? {
                let entry = entry?;
                let kind = entry.file_type()?;
                if kind.is_dir() {
                    pending.push(entry.path());
                } else if kind.is_file() {
                    let bytes = match fs::read(entry.path()) {
                        Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                        read => read?,
                    };
                    leaks.extend(self.find_in(&bytes).map(|form| Leak {
                        place: entry.path(),
                        form,
                    }));
                }
            }
        }
        Ok(leaks)
    }

    /// Where it occurs in the arguments of any process but this one (L18).
    ///
    /// # Errors
    ///
    /// Whatever the file system says when `/proc` can not be listed.
    pub fn leaks_in_arguments(&self) -> io::Result<Vec<Leak>> {
        let mine = std::process::id();
        let leaks = process::all()?
            .into_iter()
            .filter(|p| p.pid != mine)
            .filter_map(|process| {
                let form = self.find_in(process.argv.join("\0").as_bytes())?;
                Some(Leak {
                    place: format!("/proc/{}/cmdline", process.pid).into(),
                    form,
                })
            });
        Ok(leaks.collect())
    }
}

impl Canary {
    /// Where it occurs in the environment of any process but this one and those that `may` have it, as the
    /// job does that was given it. A process that this user may not look into is left out.
    ///
    /// # Errors
    ///
    /// Whatever the file system says when `/proc` can not be listed.
    pub fn leaks_in_environments(
        &self,
        may: impl Fn(&process::Process) -> bool,
    ) -> io::Result<Vec<Leak>> {
        let mine = std::process::id();
        let leaks = process::all()?
            .into_iter()
            .filter(|process| process.pid != mine && !may(process))
            .filter_map(|process| {
                let place = PathBuf::from(format!("/proc/{}/environ", process.pid));
                let form = self.find_in(&fs::read(&place).ok()?)?;
                Some(Leak { place, form })
            });
        Ok(leaks.collect())
    }
}

/// The part of the base64 text that does not depend on what stands before and after, where `shift`
/// bytes of an unknown text precede within the same group of three.
fn base64_inside(engine: &impl base64::Engine, secret: &[u8], shift: usize) -> Vec<u8> {
    let mut padded = vec![0; shift];
    padded.extend_from_slice(secret);
    let text = engine.encode(&padded).into_bytes();
    // The first 8 bits of unknown text reach into 2 characters, 16 bits into 3.
    let first = if shift == 0 { 0 } else { shift + 1 };
    // Only characters whose 6 bits are all of the secret are sure.
    let last = padded.len() * 8 / 6;
    text.get(first..last).unwrap_or_default().to_vec()
}

fn lower_case_escapes(url: &str) -> String {
    let mut left = 0;
    url.chars()
        .map(|c| {
            if c == '%' {
                left = 2;
                return c;
            }
            let escaped = left > 0;
            left = if escaped { left - 1 } else { 0 };
            if escaped { c.to_ascii_lowercase() } else { c }
        })
        .collect()
}

/// `bytes` random bytes as lower-case hexadecimal digits.
///
/// # Panics
///
/// On a machine without `/dev/urandom`, where nothing here would work.
#[expect(
    clippy::expect_used,
    reason = "a Linux without its random device runs no test at all"
)]
pub fn random_hex(bytes: usize) -> String {
    use io::Read as _;

    let mut random = vec![0; bytes];
    fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut random))
        .expect("/dev/urandom is readable");
    to_hex(&random)
}

fn to_hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a string can not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    use super::*;

    #[test]
    fn two_canaries_differ() {
        assert_ne!(Canary::new().value(), Canary::new().value());
    }

    /// L54: wherever the secret begins within a base64 text, it is found.
    #[test]
    fn finds_base64_at_every_alignment() {
        let canary = Canary::new();
        for before in 0..7 {
            for after in 0..4 {
                let text = format!(
                    "{}{}{}",
                    "x".repeat(before),
                    canary.value(),
                    "y".repeat(after)
                );
                assert_eq!(
                    canary.find_in(STANDARD.encode(&text).as_bytes()),
                    Some("base64")
                );
                assert!(canary.find_in(URL_SAFE.encode(&text).as_bytes()).is_some());
            }
        }
    }

    /// L54: the encodings in which a secret turns up in logs and URLs.
    #[test]
    fn finds_every_text_encoding() {
        let canary = Canary::of("s3cret/+ \"value\\");
        for (text, form) in [
            ("a=s3cret/+ \"value\\;", "raw"),
            (r#"{"a":"s3cret/+ \"value\\"}"#, "json"),
            ("x=s3cret%2F%2B%20%22value%5C&y", "url"),
            ("x=s3cret%2f%2b%20%22value%5c&y", "url"),
            ("x=s3cret%2F%2B+%22value%5C&y", "url"),
            ("733363726574", "none"),
            ("0x7333637265742f2b202276616c75655c", "hex"),
            ("7333637265742F2B202276616C75655C", "hex"),
        ] {
            assert_eq!(
                canary.find_in(text.as_bytes()).unwrap_or("none"),
                form,
                "{text}"
            );
        }
    }

    #[test]
    fn finds_it_in_files_below_a_directory() {
        let canary = Canary::new();
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("a/b");
        fs::create_dir_all(&deep).unwrap();
        fs::write(root.path().join("clean"), "nothing").unwrap();
        fs::write(deep.join("log"), format!("token {}", canary.value())).unwrap();
        let expected = [Leak {
            place: deep.join("log"),
            form: "raw",
        }];
        assert_eq!(canary.leaks_below(root.path()).unwrap(), expected);
        assert_eq!(canary.leaks_in_arguments().unwrap(), []);
    }
}
