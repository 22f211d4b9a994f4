//! `cargo xtask ci`: everything that a change has to pass, in one command.
//!
//! Every step runs, also after one has failed, so that one run tells all there is to mend. A table
//! of outcomes and times follows, and last the closing line of the tests.

mod deny;
mod tree;

use std::time::Duration;

use crate::cli::TestArguments;
use crate::clock;
use crate::error::{Error, Result};
use crate::output::{self, say, step};
use crate::product;
use crate::shell::Shell;
use crate::test;
use crate::workspace::Workspace;

/// The nextest profile of CI: a flaky test is retried, to learn that it is flaky, and fails.
const TEST_PROFILE: &str = "ci";

pub(crate) fn run(workspace: &Workspace) -> Result {
    let before = tree::snapshot(workspace)?;
    let mut steps = Steps::of(workspace);

    steps.run("format", || {
        // The names of the files are enough: `cargo fmt --all` mends them.
        let fmt = workspace.cargo().args(["fmt", "--all", "--", "--check"]);
        fmt.args(["--files-with-diff"]).run()
    });
    steps.run("lints", || {
        let clippy =
            workspace
                .cargo()
                .args(["clippy", "--workspace", "--all-targets", "--all-features"]);
        clippy.args(["--", "--deny", "warnings"]).run()
    });
    steps.run("documentation", || {
        let doc = workspace
            .cargo()
            .args(["doc", "--workspace", "--no-deps", "--all-features"]);
        doc.env("RUSTDOCFLAGS", "--deny warnings").run()
    });
    steps.run("dependencies", || deny::check(workspace));
    steps.run("generated files", || {
        product::run_gen(workspace, ["gen", "--check"])
    });
    let mut closing_line = None;
    steps.run("tests", || {
        let report = test::run_counted(workspace, &TestArguments::all(TEST_PROFILE))?;
        closing_line = Some(report.closing_line());
        if report.ok() {
            Ok(())
        } else {
            Err(Error::Told)
        }
    });
    steps.run("clean working tree", || {
        tree::unchanged_since(workspace, before.as_deref())
    });

    step("ci");
    steps.tell();
    let failed = steps.failed();
    if !failed.is_empty() {
        say!("failed: {}", failed.join(", "));
    }
    if let Some(line) = closing_line {
        say!("{line}");
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Error::Told)
    }
}

/// What has run so far: name, time, and whether it passed.
struct Steps<'a> {
    workspace: &'a Workspace,
    done: Vec<(&'static str, Duration, bool)>,
}

impl<'a> Steps<'a> {
    fn of(workspace: &'a Workspace) -> Self {
        let done = Vec::new();
        Self { workspace, done }
    }

    fn run(&mut self, name: &'static str, work: impl FnOnce() -> Result) {
        step(&format!("ci: {name}"));
        let start = clock::now();
        let result = work();
        if let Err(error) = &result {
            output::error(error);
        }
        self.done.push((name, start.elapsed(), result.is_ok()));
        // A disk that is full makes any step fail, with any message.
        if let Some(free) = free_gib(self.workspace) {
            say!("free on the disk of the checkout: {free} GiB");
        }
    }

    fn tell(&self) {
        for (name, time, passed) in &self.done {
            let verdict = if *passed { "passed" } else { "FAILED" };
            say!("{name:<20} {verdict} {:>7.1} s", time.as_secs_f64());
        }
        let all: Duration = self.done.iter().map(|(_, time, _)| *time).sum();
        say!("{:<27} {:>7.1} s", "all", all.as_secs_f64());
    }

    fn failed(&self) -> Vec<&'static str> {
        let failed = self.done.iter().filter(|(_, _, passed)| !passed);
        failed.map(|(name, _, _)| *name).collect()
    }
}

/// What is free where the checkout is, as `df` says it, in whole GiB (rounded up).
fn free_gib(workspace: &Workspace) -> Option<u64> {
    let df = Shell::new("df", workspace.root()).quiet();
    let told = df
        .args(["--output=avail", "--block-size=1G", "."])
        .capture()
        .ok()?;
    told.lines().nth(1)?.trim().parse().ok()
}
