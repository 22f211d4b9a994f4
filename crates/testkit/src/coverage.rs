//! The record of which back ends the suite really ran on (L76).
//!
//! A test that has worked against a back end calls [`record`]. `cargo xtask test` gives all test
//! processes one directory and, at the end, fails when a back end of [`Backend::ALL`] left no
//! mark: a suite can not become green by losing a back end.

use std::path::Path;
use std::{fmt, fs, io};

use crate::env;

/// A back end that the suite has to cover on every machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Backend {
    /// The embedded store.
    Sqlite,
    /// The store for many machines, on a real server.
    Postgres,
    /// The local executor inside bubblewrap.
    Bubblewrap,
}

impl Backend {
    /// All that are required.
    pub const ALL: [Self; 3] = [Self::Sqlite, Self::Postgres, Self::Bubblewrap];

    /// The name of its marker file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::Bubblewrap => "bubblewrap",
        }
    }

    /// The required back ends that left no mark in `directory`.
    ///
    /// ```
    /// use moorline_testkit::coverage::Backend;
    ///
    /// let empty = tempfile::tempdir()?;
    /// assert_eq!(Backend::missing_from(empty.path()), Backend::ALL);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn missing_from(directory: &Path) -> Vec<Self> {
        Self::ALL
            .into_iter()
            .filter(|backend| !directory.join(backend.name()).is_file())
            .collect()
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Leaves a mark that a test has worked against `backend`.
///
/// Call it after the work, from a test of the product. Where [`env::COVERAGE_DIR`] is not set (a
/// plain `cargo test`) it does nothing.
///
/// # Errors
///
/// Whatever the file system says when the mark can not be written.
pub fn record(backend: Backend) -> io::Result<()> {
    match env::read(env::COVERAGE_DIR) {
        Some(directory) => record_in(Path::new(&directory), backend),
        None => Ok(()),
    }
}

fn record_in(directory: &Path, backend: Backend) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    fs::write(directory.join(backend.name()), "")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// L76: a back end that no test reached is found.
    #[test]
    fn names_the_back_ends_without_a_mark() {
        let directory = tempfile::tempdir().unwrap();
        let markers = directory.path().join("markers");
        record_in(&markers, Backend::Sqlite).unwrap();
        record_in(&markers, Backend::Sqlite).unwrap();
        assert_eq!(
            Backend::missing_from(&markers),
            [Backend::Postgres, Backend::Bubblewrap]
        );
    }
}
