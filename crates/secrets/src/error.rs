//! What can be wrong, and what to do about it.
//!
//! Every error names the code of its row in the error table, the rule that refused, and a hint for
//! whoever has to mend it. None ever holds a value: messages are made of names, places and lengths.

use std::fmt;

use crate::name::EnvKey;
use crate::reference::SecretRef;
use crate::source::Origin;

/// The code of a missing secret (`D-SEC-5`).
pub const ERR_MISSING_SECRET: &str = "ERR_MISSING_SECRET";
/// The code of every other refusal here: the configuration has to change.
pub const ERR_CONFIG: &str = "ERR_CONFIG";

/// What an error tells beside its message, for whoever prints it or answers with it.
pub trait Refusal: std::error::Error {
    /// Its code in the error table, such as [`ERR_MISSING_SECRET`].
    fn code(&self) -> &'static str;

    /// The rule that refused, such as `D-SEC-5`.
    fn rule(&self) -> &'static str;

    /// What to do about it.
    fn hint(&self) -> String;
}

/// Keys that a run in real mode needs and no source has (`D-SEC-5`): all of them, in the order in
/// which they were asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct MissingSecrets {
    pub(crate) missing: Vec<MissingKey>,
    pub(crate) searched: Vec<Origin>,
}

/// One missing key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingKey {
    /// The secret that should have it.
    pub secret: SecretRef,
    /// The environment variable.
    pub key: EnvKey,
    /// Where it is set, but to the empty string, which counts as missing.
    pub empty_in: Option<Origin>,
}

impl MissingSecrets {
    /// The keys, never empty.
    pub fn missing(&self) -> &[MissingKey] {
        &self.missing
    }

    /// The sources that were asked, in their order.
    pub fn searched(&self) -> &[Origin] {
        &self.searched
    }
}

impl Refusal for MissingSecrets {
    fn code(&self) -> &'static str {
        ERR_MISSING_SECRET
    }

    fn rule(&self) -> &'static str {
        "D-SEC-5"
    }

    fn hint(&self) -> String {
        "keep every key that is named: `moorline secrets set NAME --key KEY --lane LANE`; in the lane \
         `dev` the environment or a secrets file of mode 600 will do; `moorline secrets check` shows \
         what is there; mock mode needs no secrets"
            .to_owned()
    }
}

impl fmt::Display for MissingSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.missing.len() == 1 {
            "a secret is missing: "
        } else {
            "secrets are missing: "
        })?;
        for (
            at,
            MissingKey {
                secret,
                key,
                empty_in,
            },
        ) in self.missing.iter().enumerate()
        {
            if at > 0 {
                f.write_str(", ")?;
            }
            write!(f, "`{key}`")?;
            if secret.default_key().as_ref() != Some(key) {
                write!(f, " of secret `{secret}`")?;
            }
            if let Some(origin) = empty_in {
                write!(f, " (empty in {origin})")?;
            }
        }
        f.write_str("; searched: ")?;
        if self.searched.is_empty() {
            return f.write_str("nothing, as no source is configured");
        }
        for (at, origin) in self.searched.iter().enumerate() {
            write!(f, "{}{origin}", if at > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

/// Why a step can not be given its secrets.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// Keys that no source has.
    #[error(transparent)]
    Missing(#[from] MissingSecrets),
    /// A secret was asked for in mock mode (`D-SEC-4`).
    #[error("secret `{secret}` was asked for in mock mode, which gives none (D-SEC-4)")]
    Mock {
        /// What was asked for.
        secret: SecretRef,
    },
    /// Two secrets of one step want to set the same environment variable.
    #[error("secrets `{first}` and `{second}` both set `{key}`")]
    Duplicate {
        /// The environment variable.
        key: EnvKey,
        /// The secret that came first.
        first: SecretRef,
        /// The other.
        second: SecretRef,
    },
    /// A value that no environment variable can hold.
    #[error(
        "the value of `{key}` from {origin} holds a NUL byte, which no environment variable can"
    )]
    Nul {
        /// The environment variable.
        key: EnvKey,
        /// Which source has it.
        origin: Origin,
    },
    /// A source could not be read. The ones after it are not asked, since they may hold an older
    /// value.
    #[error(transparent)]
    Source(#[from] SourceError),
}

impl Refusal for ResolveError {
    fn code(&self) -> &'static str {
        match self {
            Self::Missing(missing) => missing.code(),
            Self::Mock { .. } | Self::Duplicate { .. } | Self::Nul { .. } | Self::Source(_) => {
                ERR_CONFIG
            }
        }
    }

    fn rule(&self) -> &'static str {
        match self {
            Self::Missing(missing) => missing.rule(),
            Self::Mock { .. } | Self::Duplicate { .. } => "D-SEC-4",
            Self::Nul { .. } => "D-SEC-3",
            Self::Source(source) => source.rule(),
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::Missing(missing) => missing.hint(),
            Self::Mock { .. } => "run in real mode, or let the step do without".to_owned(),
            Self::Duplicate { .. } => "give one of them another key, or leave one out".to_owned(),
            Self::Nul { .. } => "encode the value, for example as base64".to_owned(),
            Self::Source(source) => source.hint(),
        }
    }
}

/// A source that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{origin}: {problem}")]
pub struct SourceError {
    pub(crate) origin: Origin,
    #[source]
    pub(crate) cause: Option<std::io::Error>,
    pub(crate) problem: SourceProblem,
}

/// What is wrong with a source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SourceProblem {
    /// The operating system refused.
    #[error("can not be read")]
    Io,
    /// Others can read the file, or change the directory.
    #[error("its mode is {mode:03o}, so others can {what} (D-SEC-3)")]
    Mode {
        /// The permission bits.
        mode: u32,
        /// `read or change it`, or, of a directory, `change what is in it`.
        what: &'static str,
    },
    /// It belongs to someone else.
    #[error("it belongs to user {owner}, and this process runs as user {user} (D-SEC-3)")]
    Owner {
        /// The user id that it belongs to.
        owner: u32,
        /// The effective user id of this process.
        user: u32,
    },
    /// A directory, a pipe or a device where a file should be, or the other way round.
    #[error("it is not a {wanted}")]
    NotA {
        /// `regular file` or `directory`.
        wanted: &'static str,
    },
    /// More than any secret needs.
    #[error("it holds more than {limit} bytes")]
    TooLong {
        /// The most that is read.
        limit: usize,
    },
    /// The value of a key is not UTF-8.
    #[error("the value of `{key}` is not UTF-8")]
    NotUtf8 {
        /// The environment variable.
        key: EnvKey,
    },
    /// A file that is not UTF-8.
    #[error("it is not UTF-8 text")]
    NotText,
    /// A line of a file that is not `KEY=VALUE`.
    #[error("line {line}: {problem}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// The person at the prompt gave up.
    #[error("the prompt for `{label}` was interrupted")]
    Interrupted {
        /// What was asked for.
        label: String,
    },
    /// Standard input gave its one value to another key.
    #[error("standard input holds one value, and `{key}` is the second that was asked for")]
    StdinSpent {
        /// The second key.
        key: EnvKey,
    },
}

impl SourceError {
    pub(crate) const fn new(origin: Origin, problem: SourceProblem) -> Self {
        Self {
            origin,
            cause: None,
            problem,
        }
    }

    pub(crate) fn io(origin: Origin, cause: impl Into<std::io::Error>) -> Self {
        Self {
            origin,
            cause: Some(cause.into()),
            problem: SourceProblem::Io,
        }
    }

    /// What a source that is not of this crate reports when it can not be read. The cause must hold
    /// no value.
    pub fn unavailable(origin: Origin, cause: std::io::Error) -> Self {
        Self::io(origin, cause)
    }

    /// Which source.
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What is wrong.
    pub const fn problem(&self) -> &SourceProblem {
        &self.problem
    }
}

impl Refusal for SourceError {
    fn code(&self) -> &'static str {
        ERR_CONFIG
    }

    fn rule(&self) -> &'static str {
        "D-SEC-3"
    }

    fn hint(&self) -> String {
        let path = self
            .origin
            .path()
            .map_or_else(|| "FILE".to_owned(), |path| path.display().to_string());
        match &self.problem {
            SourceProblem::Mode {
                what: "change what is in it",
                ..
            } => format!("chmod 700 {path}"),
            SourceProblem::Mode { .. } => format!("chmod 600 {path}"),
            SourceProblem::Owner { user, .. } => {
                format!("chown {user} {path}, or keep the secrets in a file of your own")
            }
            SourceProblem::Io => "see that it exists and that this user may read it".to_owned(),
            SourceProblem::NotA { .. } => {
                "give a file of KEY=VALUE lines, or a directory with one file per key".to_owned()
            }
            SourceProblem::TooLong { .. } => "keep nothing but secrets in it".to_owned(),
            SourceProblem::NotUtf8 { .. } | SourceProblem::NotText => {
                "encode the value, for example as base64".to_owned()
            }
            SourceProblem::Line { .. } => {
                "write KEY=VALUE, with quotes around a value that has blanks, `#` or line ends"
                    .to_owned()
            }
            SourceProblem::Interrupted { .. } => "answer the prompt, or set the key".to_owned(),
            SourceProblem::StdinSpent { .. } => "set all keys but one in another source".to_owned(),
        }
    }
}
