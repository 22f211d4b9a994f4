//! The programs that run tests, and how each is counted.

use std::fs;
use std::path::{Path, PathBuf};

use super::count::{self, Count};
use crate::error::{Error, Result};
use crate::output::say;
use crate::shell::{Shell, Stream};
use crate::workspace::Workspace;

/// What every runner gets.
pub(super) struct Surroundings<'a> {
    pub(super) workspace: &'a Workspace,
    /// Environment of the tests.
    pub(super) variables: Vec<(&'static str, String)>,
}

impl Surroundings<'_> {
    fn hand_to(&self, command: Shell) -> Shell {
        self.variables
            .iter()
            .fold(command, |command, (name, value)| command.env(name, value))
    }
}

/// A count, or why there is none.
type Counted = std::result::Result<Count, String>;

/// Runs the tests. An error is for what keeps the other runners from running as well.
type Run = Box<dyn Fn(&Surroundings<'_>) -> Result<Counted>>;

/// One way of running some of the tests.
pub(super) struct Runner {
    pub(super) name: String,
    pub(super) run: Run,
}

/// The Rust tests: with nextest under `profile` where it is wanted and can be had.
pub(super) fn rust(
    surroundings: &Surroundings<'_>,
    profile: Option<&str>,
    arguments: &[String],
) -> Runner {
    let arguments = arguments.to_vec();
    match profile {
        Some(profile) if has_nextest(surroundings.workspace) => {
            let profile = profile.to_owned();
            Runner {
                name: "cargo nextest".to_owned(),
                run: Box::new(move |all| nextest(all, &profile, &arguments)),
            }
        }
        wanted => {
            if wanted.is_some() {
                say!("cargo-nextest is not installed or too old: plain `cargo test` is used");
            }
            let everything_but_docs = "--all-targets".to_owned();
            let arguments = std::iter::once(everything_but_docs)
                .chain(arguments)
                .collect();
            cargo_test("cargo test", arguments)
        }
    }
}

/// The examples in the documentation of the crates.
pub(super) fn documentation() -> Runner {
    cargo_test("cargo test --doc", vec!["--doc".to_owned()])
}

/// The unit tests of each example that brings some, found as `python3 -m unittest` finds them when
/// it is run in the directory of the example.
pub(super) fn python_examples(workspace: &Workspace) -> Result<Vec<Runner>> {
    let mut runners = Vec::new();
    for example in entries(&workspace.root().join("examples"))? {
        if !example.is_dir() || !has_python_tests(&example)? {
            continue;
        }
        let shown = example
            .strip_prefix(workspace.root())
            .unwrap_or(&example)
            .display();
        runners.push(Runner {
            name: format!("python3 -m unittest, {shown}"),
            run: Box::new(move |all| unittest(all, &example)),
        });
    }
    Ok(runners)
}

/// The version that .config/nextest.toml asks for is checked by nextest itself.
fn has_nextest(workspace: &Workspace) -> bool {
    workspace
        .cargo()
        .args(["nextest", "show-config", "version"])
        .quiet()
        .succeeds()
}

fn nextest(all: &Surroundings<'_>, profile: &str, arguments: &[String]) -> Result<Counted> {
    let report = all
        .workspace
        .root()
        .join("target/nextest")
        .join(profile)
        .join("junit.xml");
    // That of an earlier run must not be taken for that of this one.
    if report.exists() {
        fs::remove_file(&report).map_err(Error::io("remove the last JUnit report"))?;
    }
    let command = all
        .workspace
        .cargo()
        .args(["nextest", "run", "--all-features"])
        .args(packages(arguments));
    let outcome = all
        .hand_to(command)
        .args(["--profile", profile, "--no-fail-fast"])
        .args(arguments)
        .run();
    let counted = fs::read_to_string(&report)
        .ok()
        .and_then(|text| count::junit(&text));
    Ok(judge(
        outcome.is_ok(),
        counted,
        &format!("there is no count in {}", report.display()),
    ))
}

fn cargo_test(name: &'static str, arguments: Vec<String>) -> Runner {
    Runner {
        name: name.to_owned(),
        run: Box::new(move |all| {
            let command = all
                .workspace
                .cargo()
                .args(["test", "--all-features", "--no-fail-fast"])
                .args(packages(&arguments));
            let (status, output) = all
                .hand_to(command)
                .args(&arguments)
                .watch(Stream::Stdout)?;
            let counted = count::libtest(&output);
            Ok(judge(
                status.success(),
                counted,
                "there is no line `test result: …`",
            ))
        }),
    }
}

fn unittest(all: &Surroundings<'_>, example: &Path) -> Result<Counted> {
    let command = Shell::new("python3", example).env("PYTHONDONTWRITEBYTECODE", "1");
    let (status, output) = all
        .hand_to(command)
        .args(["-m", "unittest", "discover"])
        .watch(Stream::Stderr)?;
    let counted = count::unittest(&output).filter(|count| *count != Count::default());
    Ok(judge(status.success(), counted, "it ran no test"))
}

/// The whole workspace, unless the caller chose packages.
fn packages(arguments: &[String]) -> Option<&'static str> {
    let chosen = arguments
        .iter()
        .any(|argument| argument.starts_with("-p") || argument.starts_with("--package"));
    (!chosen).then_some("--workspace")
}

/// A runner that fails without a failed test, or succeeds without a count, has told us nothing.
fn judge(success: bool, counted: Option<Count>, uncounted: &str) -> Counted {
    match counted {
        Some(count) if success == (count.failed == 0) => Ok(count),
        Some(count) if count.failed == 0 => Err(format!(
            "the runner failed, with {} tests passed and none failed",
            count.passed
        )),
        Some(count) => Err(format!(
            "the runner succeeded, with {} tests failed",
            count.failed
        )),
        None => Err(uncounted.to_owned()),
    }
}

fn has_python_tests(directory: &Path) -> Result<bool> {
    for path in entries(directory)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_test = name.starts_with("test") && name.ends_with(".py");
        // It goes into packages alone: a template's tests are run by the job that fills it in.
        let is_package = path.join("__init__.py").is_file();
        if is_test || (is_package && has_python_tests(&path)?) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// In the order of their names.
fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let failed = || Error::io(format!("list {}", directory.display()));
    let mut found = fs::read_dir(directory)
        .map_err(failed())?
        .map(|entry| entry.map(|entry| entry.path()).map_err(failed()))
        .collect::<Result<Vec<_>>>()?;
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chosen_packages_replace_the_workspace() {
        let packages = |arguments: &[&str]| {
            packages(&arguments.iter().map(|&a| a.to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(packages(&["name_of_a_test"]), Some("--workspace"));
        assert_eq!(packages(&["--profile", "ci"]), Some("--workspace"));
        assert_eq!(packages(&["-p", "moorline-store"]), None);
        assert_eq!(packages(&["--package=moorline-store"]), None);
    }

    /// L76: a suite can not become green by not being counted.
    #[test]
    fn a_runner_and_its_count_have_to_agree() {
        let (good, bad) = (
            Count {
                passed: 3,
                failed: 0,
            },
            Count {
                passed: 2,
                failed: 1,
            },
        );
        assert_eq!(judge(true, Some(good), "-"), Ok(good));
        assert_eq!(judge(false, Some(bad), "-"), Ok(bad));
        assert!(judge(false, Some(good), "-").is_err());
        assert!(judge(true, Some(bad), "-").is_err());
        assert_eq!(judge(true, None, "no count"), Err("no count".to_owned()));
    }
}
