//! Paths of outputs, relative to the output directory.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use super::{MAX_PATH, PathProblem, check_segment};
use crate::error_code::ErrorCode;
use crate::text::{quoted, serde_as_text};

/// The canonical path of an output, relative to the output directory.
///
/// Segments are joined by single `/`; none is empty, `.` or `..`, holds a backslash or a control character,
/// or has more than 255 bytes; the whole has at most 1024. Reading drops segments `.`, so `./a` is `a`.
/// A `%` is a character like any other: the path names a file, not a URL.
///
/// ```
/// use moorline_core::paths::OutputPath;
///
/// let path: OutputPath = "./exports/2026 01.jsonl".parse()?;
/// assert_eq!(path.as_str(), "exports/2026 01.jsonl");
/// assert!("exports/../../etc/passwd".parse::<OutputPath>().is_err());
/// # Ok::<(), moorline_core::paths::OutputPathError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutputPath(String);

serde_as_text!(
    OutputPath,
    r"^[^/\\\u0000-\u001f][^\\\u0000-\u001f]{0,1023}$",
    "Path relative to the output directory, without `..` (D-PROC-2)"
);

impl OutputPath {
    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path for the file system; relative.
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }

    /// The last segment.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl fmt::Display for OutputPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for OutputPath {
    type Err = OutputPathError;

    fn from_str(text: &str) -> Result<Self, OutputPathError> {
        canonical(text)
            .map(Self)
            .map_err(|problem| OutputPathError {
                text: text.to_owned(),
                problem,
            })
    }
}

fn canonical(text: &str) -> Result<String, PathProblem> {
    if text.is_empty() {
        return Err(PathProblem::Empty);
    }
    if text.starts_with('/') {
        return Err(PathProblem::Absolute);
    }
    let mut path = String::with_capacity(text.len());
    for segment in text.split('/').filter(|segment| *segment != ".") {
        check_segment(segment)?;
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(segment);
    }
    match path.len() {
        0 => Err(PathProblem::Empty),
        length if length > MAX_PATH => Err(PathProblem::Long),
        _ => Ok(path),
    }
}

/// The text is not a path that an output may have (`D-PROC-2`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is not a valid output path: {problem} (D-PROC-2)", quoted(.text))]
pub struct OutputPathError {
    text: String,
    problem: PathProblem,
}

impl OutputPathError {
    /// The code of this error.
    pub const CODE: ErrorCode = ErrorCode::Validation;

    /// What is wrong with the text.
    pub const fn problem(&self) -> &PathProblem {
        &self.problem
    }
}

/// Two outputs have the same path once canonical (`D-PROC-2`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("two outputs have the path `{0}` (D-PROC-2); give each a path of its own")]
pub struct DuplicateOutput(OutputPath);

impl DuplicateOutput {
    /// The code of this error.
    pub const CODE: ErrorCode = ErrorCode::OutputDuplicate;
}

/// Sorts the paths of all outputs of a run by their bytes.
///
/// # Errors
/// [`DuplicateOutput`] when two are the same: they would overwrite each other.
pub fn sort_unique(
    paths: impl IntoIterator<Item = OutputPath>,
) -> Result<Vec<OutputPath>, DuplicateOutput> {
    let mut sorted = BTreeSet::new();
    for path in paths {
        if let Some(path) = sorted.replace(path) {
            return Err(DuplicateOutput(path));
        }
    }
    Ok(sorted.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use std::path::Component;

    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> OutputPath {
        text.parse().unwrap()
    }

    #[test]
    fn paths_are_read_to_their_canonical_form() {
        for (text, canonical) in [
            ("a", "a"),
            ("./a", "a"),
            ("a/./b/././c", "a/b/c"),
            ("exports/tx 2026-01.jsonl", "exports/tx 2026-01.jsonl"),
            ("100%.csv", "100%.csv"),
            ("%2e%2e/a", "%2e%2e/a"),
            (".hidden/..a/b..", ".hidden/..a/b.."),
            ("é/名.txt", "é/名.txt"),
        ] {
            assert_eq!(path(text).as_str(), canonical);
        }
        assert_eq!(path("a/b.csv").file_name(), "b.csv");
        assert_eq!(path("b.csv").file_name(), "b.csv");
    }

    #[test]
    fn paths_that_escape_or_confuse_are_refused() {
        use PathProblem as P;
        for (text, problem) in [
            ("", P::Empty),
            (".", P::Empty),
            ("./.", P::Empty),
            ("/etc/passwd", P::Absolute),
            ("//a", P::Absolute),
            ("..", P::DotSegment("..")),
            ("a/../b", P::DotSegment("..")),
            ("a/..", P::DotSegment("..")),
            ("a//b", P::EmptySegment),
            ("a/", P::EmptySegment),
            ("a\0b", P::Character('\0')),
            ("a\nb", P::Character('\n')),
            ("a\\..\\b", P::Character('\\')),
            (&"a".repeat(256), P::LongSegment),
            (&format!("{}a", "a/".repeat(512)), P::Long),
        ] {
            let error = text.parse::<OutputPath>().unwrap_err();
            assert_eq!(
                error,
                OutputPathError {
                    text: text.to_owned(),
                    problem
                }
            );
        }
        assert_eq!(
            "a\u{7f}/b".parse::<OutputPath>().unwrap_err().to_string(),
            "`a\\u{7f}/b` is not a valid output path: it contains U+007F, which paths may not hold \
             (D-PROC-2)"
        );
        assert_eq!(path(&"a".repeat(255)).as_str().len(), 255);
        assert_eq!(
            path(&format!("{}aa", "a/".repeat(511))).as_str().len(),
            1024
        );
    }

    /// L08: what is the same path once canonical is refused.
    #[test]
    fn outputs_with_one_canonical_path_are_refused() {
        let sorted = sort_unique(["b", "a/c", "a", "./é"].map(path)).unwrap();
        assert_eq!(sorted, ["a", "a/c", "b", "é"].map(path));
        assert_eq!(
            sort_unique(["b", "a/b", "./a/./b"].map(path))
                .unwrap_err()
                .to_string(),
            "two outputs have the path `a/b` (D-PROC-2); give each a path of its own"
        );
    }

    proptest! {
        /// L07: canonicalisation is idempotent and never escapes.
        #[test]
        fn reading_twice_changes_nothing_and_no_path_leaves_its_root(
            text in prop_oneof!["[a.%/\\\\0-]{0,16}", "\\PC{0,24}", "((\\.|\\.\\.|a|%2e|%2f|é)/?){0,8}"],
        ) {
            if let Ok(path) = text.parse::<OutputPath>() {
                prop_assert_eq!(path.as_str().parse(), Ok(path.clone()));
                let normal = |c: Component<'_>| matches!(c, Component::Normal(_));
                prop_assert!(path.as_path().components().all(normal), "{path}");
                prop_assert_eq!(path.as_path().components().count(), path.as_str().split('/').count());
            }
        }
    }
}
