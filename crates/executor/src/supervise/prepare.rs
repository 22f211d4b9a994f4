//! What a job finds when it starts: its directories, its input document, its environment.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path};

use moorline_core::attempt::Attempt;
use moorline_core::spec::Arg;

use super::guest;
use super::request::SecretText;
use crate::local::layout::{AttemptDir, private_dir};
use crate::sandbox::bwrap;

/// Where commands are looked for, unless the step says otherwise.
pub(crate) const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The job's directories as the job sees them.
#[derive(Debug, Clone)]
pub(super) struct Places {
    pub(super) job: String,
    pub(super) input: String,
    pub(super) input_document: String,
    pub(super) output: String,
    pub(super) scratch: String,
}

impl Places {
    /// Without a sandbox a job sees the machine's own paths.
    pub(super) fn on_host(dir: &AttemptDir, attempt: &Attempt) -> Result<Self, String> {
        Ok(Self {
            job: text(&attempt.bundle)?,
            input: text(&dir.input())?,
            input_document: text(&dir.input_document())?,
            output: text(&dir.output())?,
            scratch: text(&dir.scratch())?,
        })
    }

    /// In a sandbox they are always the same.
    pub(super) fn in_sandbox() -> Self {
        Self {
            job: bwrap::JOB.to_owned(),
            input: bwrap::INPUT.to_owned(),
            input_document: format!("{}/input.json", bwrap::INPUT),
            output: bwrap::OUTPUT.to_owned(),
            scratch: bwrap::SCRATCH.to_owned(),
        }
    }

    /// In a machine of its own the paths are those of a sandbox as well. The outputs stay where the
    /// supervisor expects them; [`OUTPUT`](guest::OUTPUT) leads there where the root can be written.
    pub(super) fn in_guest(dir: &AttemptDir) -> io::Result<Self> {
        let output = dir.output();
        private_dir(&output)?;
        fs::create_dir_all(guest::SCRATCH)?;
        let seen = match std::os::unix::fs::symlink(&output, guest::OUTPUT) {
            Ok(()) => guest::OUTPUT.to_owned(),
            Err(_) => text(&output).map_err(io::Error::other)?,
        };
        Ok(Self {
            job: guest::JOB.to_owned(),
            input: guest::INPUT.to_owned(),
            input_document: format!("{}/input.json", guest::INPUT),
            output: seen,
            scratch: guest::SCRATCH.to_owned(),
        })
    }

    /// The job's working directory.
    pub(super) fn working_dir(&self, attempt: &Attempt) -> Result<String, String> {
        match &attempt.working_dir {
            None => Ok(self.job.clone()),
            Some(inside) if is_plain(Path::new(inside)) => Ok(format!("{}/{inside}", self.job)),
            Some(inside) => Err(format!(
                "the working directory `{inside}` is not below the job directory"
            )),
        }
    }

    /// The job's environment: defaults, then what the step sets, then its secrets, then the process
    /// contract, which nothing overrides.
    pub(super) fn environment(
        &self,
        attempt: &Attempt,
        secrets: BTreeMap<String, SecretText>,
    ) -> BTreeMap<String, SecretText> {
        let defaults = [
            ("PATH", PATH),
            ("HOME", &self.scratch),
            ("TMPDIR", &self.scratch),
            ("LANG", "C.UTF-8"),
        ];
        let contract = attempt.contract_env();
        let places = [
            ("MOORLINE_INPUT", &self.input_document),
            ("MOORLINE_OUTPUT_DIR", &self.output),
            ("MOORLINE_JOB_DIR", &self.job),
        ];
        let plain = |(name, value): (&str, &str)| (name.to_owned(), SecretText::new(value));
        let mut env: BTreeMap<_, _> = defaults.into_iter().map(plain).collect();
        env.extend(attempt.env.iter().map(|(name, value)| plain((name, value))));
        env.extend(secrets);
        env.extend(contract.iter().map(|(name, value)| plain((name, value))));
        env.extend(places.map(|(name, value)| plain((name, value))));
        env
    }
}

/// A path as text. Paths that are not can not be written into the input document either.
fn text(path: &Path) -> Result<String, String> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| format!("the path `{}` is not UTF-8", path.display()))
}

/// Makes the output directory and writes the input document.
pub(super) fn common(dir: &AttemptDir, attempt: &Attempt, places: &Places) -> io::Result<()> {
    private_dir(&dir.output())?;
    let document = serde_json::to_vec(&attempt.input_document(&places.input))?;
    fs::write(dir.input_document(), document)
}

/// Copies the inputs to where a job without a sandbox finds them, and makes its scratch directory.
///
/// Copies, so that a job that opens its input for writing does not change the original.
pub(super) fn on_host(dir: &AttemptDir, attempt: &Attempt) -> io::Result<()> {
    private_dir(&dir.scratch())?;
    if attempt.input_files().next().is_some() {
        private_dir(&dir.input())?;
    }
    for file in attempt.input_files() {
        let inside = inside(&file.path).map_err(io::Error::other)?;
        let target = dir.input().join(inside);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::copy(&file.source, &target).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", file.source.display()))
        })?;
    }
    Ok(())
}

/// An argument as the system takes it.
pub(crate) fn os_string(arg: &Arg) -> OsString {
    OsString::from_vec(arg.as_bytes().to_vec())
}

/// The path of an input below the input directory, which it can not leave.
pub(super) fn inside(path: &str) -> Result<&str, String> {
    if is_plain(Path::new(path)) {
        Ok(path)
    } else {
        Err(format!(
            "the input path `{path}` is not below the input directory"
        ))
    }
}

/// Whether a path is relative and stays below where it starts.
pub(crate) fn is_plain(path: &Path) -> bool {
    let mut components = path.components();
    components.all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}
