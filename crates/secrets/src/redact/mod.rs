//! Finds secrets in text and puts `[redacted:NAME]` in their place (`D-SEC-6`).
//!
//! | module | purpose |
//! |---|---|
//! | `forms` | the texts that a value can appear as |
//! | `needles` | finds any of those in a text, also where the text breaks off |
//! | `patterns`, `password`, `run` | credentials known by their looks, and how far they go |
//! | `scan` | one look at a piece of text: values and patterns together |
//! | `stream`, `json` | what a look is used for |
//! | `marker` | what stands in the place of a secret |

mod forms;
mod json;
mod marker;
mod needles;
mod password;
mod patterns;
mod run;
mod scan;
mod stream;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use needles::{Needles, NeedlesBuilder};
use patterns::Patterns;
use scan::Scan;
pub use stream::StreamRedactor;

use crate::{SecretEnv, SecretValue};

/// Redacts text, bytes, JSON and streams (`D-SEC-6`).
///
/// It is made of the values that one attempt is given. It looks for the values first, in every form
/// that programs commonly write them in, then for what looks like a credential of a known kind:
///
/// | looked for | forms |
/// |---|---|
/// | a value | as it is; escaped for JSON; URL-encoded, fully or where needed; hex |
/// | | base64 in both alphabets, alone or inside longer base64 |
/// | a value of several lines | also with CR LF, and each line of 16 bytes or more by itself |
/// | a known kind | `sk-…`, `ghp_…`, `github_pat_…`, `AKIA…`, `r8_…`, `mlt_…` |
/// | | `Bearer …`, `Basic …`, `password=…` |
///
/// Values shorter than four bytes are not looked for, since they would blank out ordinary text;
/// [`too_short`](Self::too_short) names them, so that a caller can say so. Where hits overlap, all
/// that any of them covers goes under one marker. Content hashes, image digests and UUIDs survive,
/// unless a value occurs in one.
///
/// Deliberately absent: guessing by entropy, which can not tell a key from a content hash, and forms
/// that no contiguous run of bytes shows: compressed, encrypted, or base64 of something longer that
/// was then broken into lines (a value's own base64 is found also when it is broken into lines).
///
/// Cheap to clone; clones share their tables. Made by [`Redactor::builder`] or from a [`SecretEnv`].
/// The default one knows no values, only patterns.
///
/// ```
/// use moorline_secrets::Redactor;
///
/// let redactor = Redactor::builder().value("API_KEY", "correct horse").build();
/// assert_eq!(redactor.redact("q=correct%20horse"), "q=[redacted:API_KEY]");
/// assert_eq!(redactor.redact("Authorization: Bearer abc"), "Authorization: Bearer [redacted]");
/// assert_eq!(redactor.redact("a task-management tool"), "a task-management tool");
/// ```
#[derive(Clone)]
pub struct Redactor {
    core: Arc<Core>,
}

/// What clones and streams of a redactor share.
struct Core {
    needles: Needles,
    patterns: Patterns,
    /// By index of the value: its name.
    names: Vec<String>,
    /// By index of the value: what replaces it.
    markers: Vec<String>,
    /// What replaces the match of a pattern.
    unnamed: String,
    too_short: Vec<String>,
}

impl Core {
    fn marker(&self, owner: Option<u32>) -> &[u8] {
        owner
            .and_then(|owner| self.markers.get(owner as usize))
            .unwrap_or(&self.unnamed)
            .as_bytes()
    }
}

impl Redactor {
    /// Begins with no values.
    pub fn builder() -> RedactorBuilder {
        RedactorBuilder {
            needles: NeedlesBuilder::default(),
            names: Vec::new(),
            markers: Vec::new(),
            too_short: Vec::new(),
        }
    }

    /// The text without secrets; borrowed when there were none.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self.redact_bytes(text.as_bytes()) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            // Hits begin and end at characters, so the lossy path is never taken.
            Cow::Owned(bytes) => Cow::Owned(
                String::from_utf8(bytes)
                    .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
            ),
        }
    }

    /// The bytes, which need not be UTF-8, without secrets; borrowed when there were none.
    pub fn redact_bytes<'t>(&self, bytes: &'t [u8]) -> Cow<'t, [u8]> {
        let mut scan = Scan::default();
        scan.look(&self.core, bytes, 0, true);
        if scan.hits.is_empty() {
            return Cow::Borrowed(bytes);
        }
        let mut out = Vec::with_capacity(bytes.len());
        scan.write(&self.core, bytes, 0, &mut 0, &mut out);
        Cow::Owned(out)
    }

    /// The names of values that are too short to be looked for (`< 4` bytes without white space
    /// around).
    pub fn too_short(&self) -> &[String] {
        &self.core.too_short
    }
}

impl Default for Redactor {
    fn default() -> Self {
        Self::builder().build()
    }
}

impl From<&SecretEnv> for Redactor {
    fn from(env: &SecretEnv) -> Self {
        Self::builder().env(env).build()
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor")
            .field("values", &self.core.markers.len())
            .finish_non_exhaustive()
    }
}

/// Collects the values that a [`Redactor`] looks for.
#[must_use = "a builder redacts nothing; call `build`"]
pub struct RedactorBuilder {
    needles: NeedlesBuilder,
    names: Vec<String>,
    markers: Vec<String>,
    too_short: Vec<String>,
}

impl RedactorBuilder {
    /// Adds a value. Its name is what the marker shows; characters that are no part of names become
    /// `_`.
    pub fn value(mut self, name: &str, value: &str) -> Self {
        // More values than that do not fit into memory.
        self.needles
            .owner(u32::try_from(self.markers.len()).unwrap_or(u32::MAX));
        if forms::add_forms(value, &mut self.needles) {
            self.names.push(name.to_owned());
            self.markers.push(marker::named(name));
        } else {
            self.too_short.push(name.to_owned());
        }
        self
    }

    /// Adds a value.
    pub fn secret(self, name: &str, value: &SecretValue) -> Self {
        self.value(name, value.expose())
    }

    /// Adds all that an attempt is given, under the names of the environment variables.
    pub fn env(self, env: &SecretEnv) -> Self {
        env.iter()
            .fold(self, |this, (key, value)| this.secret(key.as_str(), value))
    }

    /// Builds the tables: tens of microseconds for a handful of values, a few hundred for fifty.
    pub fn build(self) -> Redactor {
        let Self {
            needles,
            names,
            mut markers,
            too_short,
        } = self;
        let needles = needles.build();
        // A marker must not tell a value, as the name `PROD_KEY` does when the value is `PROD`.
        let safe = |text: &str| !needles.occur_in(text.as_bytes());
        let unnamed = if safe(marker::UNNAMED) {
            marker::UNNAMED
        } else {
            marker::LAST_RESORT
        };
        for marker in &mut markers {
            if !safe(marker) {
                unnamed.clone_into(marker);
            }
        }
        let unnamed = unnamed.to_owned();
        let core = Core {
            needles,
            patterns: Patterns::new(),
            names,
            markers,
            unnamed,
            too_short,
        };
        Redactor {
            core: Arc::new(core),
        }
    }
}

impl fmt::Debug for RedactorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedactorBuilder")
            .field("values", &self.markers.len())
            .finish_non_exhaustive()
    }
}
