//! What the suite found.

use std::fmt;

use crate::executor::ExecutorError;

use super::{Case, Lack};

/// The result of a whole run, with a line for each case when it is displayed.
#[derive(Debug)]
pub struct Report {
    /// The executor that was tested.
    pub executor: String,
    /// Every case of [`CASES`](super::CASES), in its order.
    pub cases: Vec<CaseReport>,
}

/// The result of one case.
#[derive(Debug)]
pub struct CaseReport {
    /// Which.
    pub case: &'static Case,
    /// What came of it.
    pub verdict: Verdict,
}

/// What came of a case.
#[derive(Debug)]
pub enum Verdict {
    /// The clause holds, as far as the case can tell.
    Passed,
    /// It does not.
    Failed(Failure),
    /// Not tried: the harness declared that the executor can not have what it needs.
    Skipped(Lack),
}

/// What was seen instead of what the contract says.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Failure {
    what: String,
}

impl Report {
    /// Whether no case failed.
    pub fn is_passed(&self) -> bool {
        self.failed().next().is_none()
    }

    /// The cases that failed.
    pub fn failed(&self) -> impl Iterator<Item = &CaseReport> {
        self.cases
            .iter()
            .filter(|case| matches!(case.verdict, Verdict::Failed(_)))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count =
            |wanted: fn(&Verdict) -> bool| self.cases.iter().filter(|c| wanted(&c.verdict)).count();
        writeln!(
            f,
            "conformance of the `{}` executor: {} passed, {} failed, {} skipped",
            self.executor,
            count(|verdict| matches!(verdict, Verdict::Passed)),
            count(|verdict| matches!(verdict, Verdict::Failed(_))),
            count(|verdict| matches!(verdict, Verdict::Skipped(_))),
        )?;
        self.cases
            .iter()
            .try_for_each(|case| writeln!(f, "  {case}"))
    }
}

impl fmt::Display for CaseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Case { name, clause, .. } = self.case;
        match &self.verdict {
            Verdict::Passed => write!(f, "ok    {name}"),
            Verdict::Skipped(Lack { feature, why }) => {
                write!(f, "skip  {name} (no {feature}: {why})")
            }
            Verdict::Failed(failure) => {
                write!(
                    f,
                    "FAIL  {name}: {failure}\n        the contract says: {clause}"
                )
            }
        }
    }
}

impl Failure {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into() }
    }
}

/// Adds what was being done to an error of the executor, which then fails the case.
pub(super) trait During<T> {
    fn during(self, what: &str) -> Result<T, Failure>;
}

impl<T> During<T> for Result<T, ExecutorError> {
    fn during(self, what: &str) -> Result<T, Failure> {
        self.map_err(|error| {
            let mut text = format!("{what} failed: {error}");
            let mut cause = std::error::Error::source(&error);
            while let Some(error) = cause {
                text.push_str(": ");
                text.push_str(&error.to_string());
                cause = error.source();
            }
            Failure::new(text)
        })
    }
}

impl<T> During<T> for std::io::Result<T> {
    fn during(self, what: &str) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(format!("{what} failed: {error}")))
    }
}

/// Fails with `what` unless `holds`.
pub(super) fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), Failure> {
    if holds {
        Ok(())
    } else {
        Err(Failure::new(what()))
    }
}

/// Fails unless both are the same.
pub(super) fn same<T: fmt::Debug + PartialEq>(
    what: &str,
    seen: &T,
    expected: &T,
) -> Result<(), Failure> {
    ensure(seen == expected, || {
        format!("{what} is {seen:?} instead of {expected:?}")
    })
}
