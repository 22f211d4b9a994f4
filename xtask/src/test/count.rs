//! Counting tests from what their runners write.
//!
//! nextest's JUnit report is a stable format. libtest has none on a stable compiler, but its
//! summary line has kept its form since 1.0; the same holds for Python's unittest.

use std::fmt;
use std::ops::AddAssign;

/// Tests that passed and tests that did not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) passed: u64,
    pub(super) failed: u64,
}

impl Count {
    /// For something that should have been tested and was not.
    pub(super) const ONE_FAILED: Self = Self {
        passed: 0,
        failed: 1,
    };
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// The counts on the root element of a JUnit report; `None` when it is not one.
pub(super) fn junit(report: &str) -> Option<Count> {
    let (_, root) = report.split_once("<testsuites ")?;
    let (attributes, _) = root.split_once('>')?;
    let number = |name: &str| {
        let (_, value) = attributes.split_once(&format!("{name}=\""))?;
        value.split_once('"')?.0.parse::<u64>().ok()
    };
    let failed = number("failures")? + number("errors")?;
    Some(Count {
        passed: number("tests")?.checked_sub(failed)?,
        failed,
    })
}

/// The sum over every `test result: …` line of libtest; `None` when there is no such line.
pub(super) fn libtest(output: &str) -> Option<Count> {
    let mut sum = None;
    for line in output.lines() {
        let Some(result) = line.trim_start().strip_prefix("test result: ") else {
            continue;
        };
        let (passed, failed) = (before(result, " passed")?, before(result, " failed")?);
        *sum.get_or_insert_with(Count::default) += Count { passed, failed };
    }
    sum
}

/// Python's unittest: `Ran 7 tests in …`, then `OK` or `FAILED (failures=1, errors=2)`.
pub(super) fn unittest(output: &str) -> Option<Count> {
    let ran = output.lines().rev().find_map(|line| {
        let (count, _) = line.strip_prefix("Ran ")?.split_once(" test")?;
        count.parse::<u64>().ok()
    })?;
    let verdict = output
        .lines()
        .rev()
        .find(|line| line.starts_with("OK") || line.starts_with("FAILED ("))?;
    let number = |name: &str| {
        let (_, value) = verdict.split_once(&format!("{name}="))?;
        value.split([',', ')']).next()?.parse::<u64>().ok()
    };
    let failed = ["failures", "errors", "unexpected successes"]
        .into_iter()
        .map(|name| number(name).unwrap_or(0))
        .sum::<u64>();
    // A skipped test proves nothing, so it is not counted as passed.
    let skipped = number("skipped").unwrap_or(0);
    Some(Count {
        passed: ran.checked_sub(failed + skipped)?,
        failed,
    })
}

/// The number that stands before `unit`.
fn before(text: &str, unit: &str) -> Option<u64> {
    let (head, _) = text.split_once(unit)?;
    head.rsplit([' ', ';']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_a_junit_report_by_its_root() {
        let report = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="nextest-run" tests="12" failures="2" errors="1" uuid="x" time="3.4">
    <testsuite name="moorline-core" tests="5" disabled="0" errors="0" failures="0">"#;
        assert_eq!(
            junit(report),
            Some(Count {
                passed: 9,
                failed: 3
            })
        );
        assert_eq!(junit("<testsuites tests=\"1\">"), None);
        assert_eq!(junit(""), None);
    }

    #[test]
    fn sums_the_result_lines_of_libtest() {
        let output = "running 2 tests\n\
            test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
            \n\
            test result: FAILED. 10 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(
            libtest(output),
            Some(Count {
                passed: 12,
                failed: 3
            })
        );
        assert_eq!(libtest("error: could not compile"), None);
    }

    #[test]
    fn reads_the_verdict_of_unittest() {
        let output = "....\n-----\nRan 4 tests in 0.002s\n\nOK\n";
        assert_eq!(
            unittest(output),
            Some(Count {
                passed: 4,
                failed: 0
            })
        );
        let output = "Ran 9 tests in 1s\n\nFAILED (failures=1, errors=2, skipped=1)\n";
        assert_eq!(
            unittest(output),
            Some(Count {
                passed: 5,
                failed: 3
            })
        );
        assert_eq!(
            unittest("Ran 1 test in 1s\n\nOK (skipped=1)"),
            Some(Count::default())
        );
        assert_eq!(unittest("Traceback (most recent call last):"), None);
    }
}
