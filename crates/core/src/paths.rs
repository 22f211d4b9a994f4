//! Paths that jobs write to: relative [`OutputPath`]s and absolute [`WritePrefix`]es (`D-PROC-2`, `-4`).
//!
//! Both are made canonical once, when they are read, and are values of a type from then on. Canonical
//! means: reading the text again gives the same text (so nothing is decoded twice), two paths that mean
//! the same place are equal, and none leads out of the directory that it is joined to.
//!
//! Deliberately absent: the file system. A path that is canonical here may still meet a symbolic link
//! there; whoever opens it must open beneath its root without following links.

mod output;
mod prefix;

pub use output::{DuplicateOutput, OutputPath, OutputPathError, sort_unique};
pub use prefix::{AllowedRoots, PrefixError, WritePrefix};

/// The most bytes of one segment: what Linux file systems take.
const MAX_SEGMENT: usize = 255;

/// The most bytes of a whole path: what object stores take as a key.
const MAX_PATH: usize = 1024;

/// Why a text is not a path that may be written to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathProblem {
    /// Nothing is left.
    #[error("it is empty")]
    Empty,
    /// An output path that starts at the root.
    #[error("it is absolute; write it relative to the output directory")]
    Absolute,
    /// A prefix that does not start at the root.
    #[error("it is not absolute; start it with `/`")]
    NotAbsolute,
    /// A prefix that does not end in `/`.
    #[error("it does not end with `/`")]
    NoFinalSlash,
    /// Nothing between two `/`, or after the last.
    #[error("it has an empty segment")]
    EmptySegment,
    /// A segment `..`, or in a prefix `.`, also when percent-encoded.
    #[error("it has the segment `{0}`")]
    DotSegment(&'static str),
    /// A character that no segment may hold.
    #[error("it contains {}, which paths may not hold", describe(*.0))]
    Character(char),
    /// A percent-encoded character that may not be encoded, such as `/`.
    #[error("it contains {} in percent-encoded form", describe(*.0))]
    Encoded(char),
    /// A `%` without two hex digits behind it, or bytes that are not UTF-8.
    #[error("its percent-encoding is broken")]
    Encoding,
    /// `{` or `}` other than of `{execution_id}`.
    #[error("it has a placeholder other than `{{execution_id}}`")]
    Placeholder,
    /// A segment of more than 255 bytes.
    #[error("it has a segment of more than {MAX_SEGMENT} bytes")]
    LongSegment,
    /// More than 1024 bytes.
    #[error("it has more than {MAX_PATH} bytes")]
    Long,
    /// A prefix outside of every allowed root.
    #[error("it is not under an allowed root; those are {0}")]
    OutsideRoots(String),
}

/// A character as an error names it.
fn describe(c: char) -> String {
    if c.is_control() {
        format!("U+{:04X}", u32::from(c))
    } else {
        format!("`{c}`")
    }
}

/// Checks what holds for every segment of every path.
///
/// A backslash is refused since it separates segments on other systems, control characters since they
/// forge lines in logs and listings.
fn check_segment(segment: &str) -> Result<(), PathProblem> {
    if segment.is_empty() {
        return Err(PathProblem::EmptySegment);
    }
    if segment == ".." {
        return Err(PathProblem::DotSegment(".."));
    }
    if segment == "." {
        return Err(PathProblem::DotSegment("."));
    }
    if segment.len() > MAX_SEGMENT {
        return Err(PathProblem::LongSegment);
    }
    match segment.chars().find(|c| c.is_control() || *c == '\\') {
        Some(c) => Err(PathProblem::Character(c)),
        None => Ok(()),
    }
}
