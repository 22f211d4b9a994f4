//! What can go wrong in any command.

use std::io;

use moorline_testkit::postgres::PostgresError;

pub(crate) type Result<T = ()> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The operating system refused something.
    #[error("could not {what}")]
    Io { what: String, source: io::Error },
    /// A program ran and said no. It has printed why.
    #[error("`{command}` failed ({status})")]
    Failed { command: String, status: String },
    /// What is wrong and what to do about it, in one sentence.
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    #[error("{what} is not the JSON that it should be")]
    Json {
        what: String,
        source: serde_json::Error,
    },
    #[cfg(feature = "product")]
    #[error("sqlite refused")]
    Sqlite(#[from] rusqlite::Error),
    /// The command has told it all already.
    #[error("failed")]
    Told,
}

impl Error {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
