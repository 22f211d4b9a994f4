//! Write prefixes: where a processor's outputs go, as a template (`D-PROC-4`).

use std::fmt;

use uuid::Uuid;

use super::{MAX_PATH, PathProblem, check_segment};
use crate::error_code::ErrorCode;
use crate::text::quoted;

/// The one placeholder.
const PLACEHOLDER: &str = "{execution_id}";

/// The directories under which write prefixes may lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedRoots(Vec<String>);

impl AllowedRoots {
    /// Takes the roots, each absolute and ending with `/`; no placeholder.
    ///
    /// # Errors
    /// [`PrefixError`] for the first that is not a canonical path.
    pub fn new<'a>(roots: impl IntoIterator<Item = &'a str>) -> Result<Self, PrefixError> {
        let read = |text: &str| match canonical(text) {
            Ok(root) if root.contains('{') => Err(PrefixError::new(text, PathProblem::Placeholder)),
            Ok(root) => Ok(root),
            Err(problem) => Err(PrefixError::new(text, problem)),
        };
        roots
            .into_iter()
            .map(read)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl fmt::Display for AllowedRoots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, root) in self.0.iter().enumerate() {
            let separator = if position == 0 { "" } else { ", " };
            write!(f, "{separator}`{root}`")?;
        }
        Ok(())
    }
}

/// Where a processor writes: an absolute directory under an allowed root, ending with `/`, in which
/// `{execution_id}` stands for the id of the execution (`D-PROC-4`).
///
/// Percent-encoding is decoded once, when it is read. What could hide behind it is refused rather than
/// decoded: `/`, `\`, `%`, braces and control characters. So a canonical prefix holds no `%`, and reading
/// it again changes nothing.
///
/// ```
/// use moorline_core::paths::{AllowedRoots, WritePrefix};
/// use uuid::Uuid;
///
/// let roots = AllowedRoots::new(["/artifacts/"])?;
/// let prefix = WritePrefix::parse("/artifacts/my%20job/{execution_id}/", &roots)?;
/// assert_eq!(prefix.as_str(), "/artifacts/my job/{execution_id}/");
/// assert_eq!(
///     prefix.render(Uuid::nil()),
///     "/artifacts/my job/00000000-0000-0000-0000-000000000000/",
/// );
/// # Ok::<(), moorline_core::paths::PrefixError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WritePrefix(String);

impl WritePrefix {
    /// Reads a prefix.
    ///
    /// # Errors
    /// [`PrefixError`] when it is not canonical once decoded, or lies under none of the roots.
    pub fn parse(text: &str, roots: &AllowedRoots) -> Result<Self, PrefixError> {
        let prefix = canonical(text).map_err(|problem| PrefixError::new(text, problem))?;
        if !roots.0.iter().any(|root| prefix.starts_with(root)) {
            return Err(PrefixError::new(
                text,
                PathProblem::OutsideRoots(roots.to_string()),
            ));
        }
        Ok(Self(prefix))
    }

    /// The canonical text, with the placeholder.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The directory of one execution; absolute, ends with `/`.
    pub fn render(&self, execution_id: Uuid) -> String {
        fill(&self.0, execution_id)
    }
}

impl fmt::Display for WritePrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

fn fill(template: &str, execution_id: Uuid) -> String {
    template.replace(
        PLACEHOLDER,
        execution_id
            .as_hyphenated()
            .encode_lower(&mut Uuid::encode_buffer()),
    )
}

fn canonical(text: &str) -> Result<String, PathProblem> {
    if text.is_empty() {
        return Err(PathProblem::Empty);
    }
    let decoded = decode(text)?;
    let inner = decoded.strip_prefix('/').ok_or(PathProblem::NotAbsolute)?;
    let inner = inner.strip_suffix('/').ok_or(PathProblem::NoFinalSlash)?;
    for segment in inner.split('/') {
        // lengths are those of the directory that will be written to
        let segment = fill(segment, Uuid::nil());
        check_segment(&segment)?;
        if segment.contains(['{', '}']) {
            return Err(PathProblem::Placeholder);
        }
    }
    if fill(&decoded, Uuid::nil()).len() > MAX_PATH {
        return Err(PathProblem::Long);
    }
    Ok(decoded)
}

/// Decodes `%XX` once.
fn decode(text: &str) -> Result<String, PathProblem> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || {
            char::from(bytes.next()?)
                .to_digit(16)
                .and_then(|d| u8::try_from(d).ok())
        };
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(PathProblem::Encoding);
        };
        let byte = high << 4 | low;
        if byte.is_ascii_control() || b"/\\%{}".contains(&byte) {
            return Err(PathProblem::Encoded(byte.into()));
        }
        decoded.push(byte);
    }
    String::from_utf8(decoded).map_err(|_| PathProblem::Encoding)
}

/// The text is not a write prefix (`D-PROC-4`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is not a valid write prefix: {problem} (D-PROC-4); write it like `/artifacts/{{execution_id}}/`",
    quoted(.text)
)]
pub struct PrefixError {
    text: String,
    problem: PathProblem,
}

impl PrefixError {
    /// The code of this error.
    pub const CODE: ErrorCode = ErrorCode::PrefixTemplate;

    fn new(text: &str, problem: PathProblem) -> Self {
        Self {
            text: text.to_owned(),
            problem,
        }
    }

    /// What is wrong with the text.
    pub const fn problem(&self) -> &PathProblem {
        &self.problem
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::*;

    fn roots() -> AllowedRoots {
        AllowedRoots::new(["/artifacts/", "/mnt/out/"]).unwrap()
    }

    #[test]
    fn prefixes_are_decoded_once_and_filled() {
        for (text, canonical) in [
            ("/artifacts/{execution_id}/", "/artifacts/{execution_id}/"),
            ("/artifacts/", "/artifacts/"),
            (
                "/mnt/out/a-{execution_id}/b/",
                "/mnt/out/a-{execution_id}/b/",
            ),
            ("/artifacts/a%20b%2Ec/", "/artifacts/a b.c/"),
            ("/artifacts/%C3%A9/", "/artifacts/é/"),
            ("/%61rtifacts/", "/artifacts/"),
        ] {
            assert_eq!(
                WritePrefix::parse(text, &roots()).unwrap().as_str(),
                canonical
            );
        }
    }

    /// L06: what hides, escapes or is unknown is refused.
    #[test]
    fn prefixes_that_hide_or_escape_are_refused() {
        use PathProblem as P;
        let outside = || P::OutsideRoots("`/artifacts/`, `/mnt/out/`".to_owned());
        for (text, problem) in [
            ("", P::Empty),
            ("artifacts/", P::NotAbsolute),
            ("/artifacts/{execution_id}", P::NoFinalSlash),
            ("/", P::NoFinalSlash),
            ("//", P::EmptySegment),
            ("/artifacts/%2e%2e/", P::DotSegment("..")),
            ("/artifacts/.%2E/etc/", P::DotSegment("..")),
            ("/artifacts/../etc/", P::DotSegment("..")),
            ("/artifacts/./a/", P::DotSegment(".")),
            ("/artifacts/%2e/a/", P::DotSegment(".")),
            ("/artifacts//a/", P::EmptySegment),
            ("//artifacts/a/", P::EmptySegment),
            ("/artifacts/a%2Fb/", P::Encoded('/')),
            ("/artifacts/a%2f", P::Encoded('/')),
            ("/artifacts/a%5cb/", P::Encoded('\\')),
            ("/artifacts/%252e%252e/", P::Encoded('%')),
            ("/artifacts/%00/", P::Encoded('\0')),
            ("/artifacts/a%0Ab/", P::Encoded('\n')),
            ("/artifacts/%7Bexecution_id%7D/", P::Encoded('{')),
            ("/artifacts/a\0b/", P::Character('\0')),
            ("/artifacts/a\\b/", P::Character('\\')),
            ("/artifacts/%/", P::Encoding),
            ("/artifacts/%4", P::Encoding),
            ("/artifacts/%zz/", P::Encoding),
            ("/artifacts/%+1/", P::Encoding),
            ("/artifacts/%ff/", P::Encoding),
            ("/artifacts/{run_id}/", P::Placeholder),
            ("/artifacts/{}/", P::Placeholder),
            ("/artifacts/{execution_id/", P::Placeholder),
            ("/artifacts/{{execution_id}}/", P::Placeholder),
            ("/artifacts/{EXECUTION_ID}/", P::Placeholder),
            (&format!("/artifacts/{}/", "a".repeat(256)), P::LongSegment),
            (
                &format!("/artifacts/{}{{execution_id}}/", "a".repeat(220)),
                P::LongSegment,
            ),
            (&format!("/artifacts/{}", "a/".repeat(600)), P::Long),
            ("/etc/{execution_id}/", outside()),
            ("/artifacts2/a/", outside()),
            ("/mnt/", outside()),
        ] {
            let error = WritePrefix::parse(text, &roots()).unwrap_err();
            assert_eq!(error, PrefixError::new(text, problem));
        }
        assert_eq!(
            WritePrefix::parse("/tmp/", &roots())
                .unwrap_err()
                .to_string(),
            "`/tmp/` is not a valid write prefix: it is not under an allowed root; those are \
             `/artifacts/`, `/mnt/out/` (D-PROC-4); write it like `/artifacts/{execution_id}/`"
        );
    }

    #[test]
    fn roots_are_canonical_and_hold_no_placeholder() {
        for (text, problem) in [
            ("/artifacts", PathProblem::NoFinalSlash),
            ("/a/../", PathProblem::DotSegment("..")),
            ("/{execution_id}/", PathProblem::Placeholder),
        ] {
            assert_eq!(
                AllowedRoots::new([text]),
                Err(PrefixError::new(text, problem))
            );
        }
        let none = AllowedRoots::new([]).unwrap();
        assert!(WritePrefix::parse("/artifacts/", &none).is_err());
    }

    proptest! {
        /// L07: canonicalisation is idempotent and never escapes.
        #[test]
        fn reading_twice_changes_nothing_and_no_prefix_leaves_its_root(
            tail in prop_oneof![
                "[a.%/\\\\{}0-]{0,16}",
                "\\PC{0,24}",
                "((\\.|\\.\\.|a|%2e|%2E|%2f|%25|%C3%A9|\\{execution_id\\})/?){0,8}",
            ],
            root in prop_oneof!["/artifacts/", "/mnt/out/", "/"],
        ) {
            let roots = roots();
            if let Ok(prefix) = WritePrefix::parse(&format!("{root}{tail}/"), &roots) {
                prop_assert_eq!(WritePrefix::parse(prefix.as_str(), &roots), Ok(prefix.clone()));
                let rendered = prefix.render(Uuid::max());
                let path = Path::new(&rendered);
                prop_assert!(path.starts_with("/artifacts") || path.starts_with("/mnt/out"));
                let plain = |c: Component<'_>| matches!(c, Component::Normal(_) | Component::RootDir);
                prop_assert!(path.components().all(plain), "{prefix}");
                prop_assert!(!rendered.contains(['{', '%']), "{prefix}");
            }
        }
    }
}
