//! What a job finds when it starts: its directories, its input document, its environment.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path, PathBuf};

use moorline_core::attempt::Attempt;
use moorline_core::spec::Arg;

use super::request::SecretText;
use crate::local::layout::{AttemptDir, private_dir};

/// Where commands are looked for, unless the step says otherwise.
pub(crate) const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The job's directories as the job sees them.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) job: PathBuf,
    pub(super) input: PathBuf,
    pub(super) input_document: PathBuf,
    pub(super) output: PathBuf,
    pub(super) scratch: PathBuf,
}

impl Places {
    /// Without a sandbox a job sees the host's paths.
    pub(super) fn on_host(dir: &AttemptDir, attempt: &Attempt) -> Self {
        Self {
            job: attempt.bundle.clone(),
            input: dir.input(),
            input_document: dir.input_document(),
            output: dir.output(),
            scratch: dir.scratch(),
        }
    }

    /// The job's working directory.
    pub(super) fn working_dir(&self, attempt: &Attempt) -> Result<PathBuf, String> {
        let Some(inside) = &attempt.working_dir else { return Ok(self.job.clone()) };
        if is_plain(Path::new(inside)) {
            Ok(self.job.join(inside))
        } else {
            Err(format!("the working directory `{inside}` is not below the job directory"))
        }
    }

    /// The job's environment: defaults, then what the step sets, then its secrets, then the process
    /// contract, which nothing overrides.
    pub(super) fn environment(
        &self,
        attempt: &Attempt,
        secrets: &BTreeMap<String, SecretText>,
    ) -> BTreeMap<String, OsString> {
        let scratch = self.scratch.as_os_str();
        let mut env: BTreeMap<String, OsString> = [
            ("PATH", OsString::from(PATH)),
            ("HOME", scratch.to_owned()),
            ("TMPDIR", scratch.to_owned()),
            ("LANG", OsString::from("C.UTF-8")),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        env.extend(attempt.env.iter().map(|(name, value)| (name.clone(), value.into())));
        env.extend(secrets.iter().map(|(name, value)| (name.clone(), value.expose().into())));
        let contract = attempt.contract_env();
        env.extend(contract.into_iter().map(|(name, value)| (name.to_owned(), value.into())));
        for (name, path) in [
            ("MOORLINE_INPUT", &self.input_document),
            ("MOORLINE_OUTPUT_DIR", &self.output),
            ("MOORLINE_JOB_DIR", &self.job),
        ] {
            env.insert(name.to_owned(), path.clone().into());
        }
        env
    }
}

/// Makes the output directory and writes the input document.
pub(super) fn common(dir: &AttemptDir, attempt: &Attempt, places: &Places) -> io::Result<()> {
    private_dir(&dir.output())?;
    let input = places.input.to_str().ok_or_else(|| invalid("the path of the inputs is not UTF-8"))?;
    let document = serde_json::to_vec(&attempt.input_document(input))?;
    fs::write(dir.input_document(), document)
}

/// Copies the inputs to where a job without a sandbox finds them, and makes its scratch directory.
///
/// Copies, so that a job that opens its input for writing does not change the original.
pub(super) fn on_host(dir: &AttemptDir, attempt: &Attempt) -> io::Result<()> {
    private_dir(&dir.scratch())?;
    private_dir(&dir.input())?;
    for file in attempt.input_files() {
        let inside = Path::new(&file.path);
        if !is_plain(inside) {
            return Err(invalid(&format!("the input path `{}` is not plain", file.path)));
        }
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
pub(super) fn os_string(arg: &Arg) -> OsString {
    OsString::from_vec(arg.as_bytes().to_vec())
}

/// Whether a path is relative and stays below where it starts.
pub(crate) fn is_plain(path: &Path) -> bool {
    let mut components = path.components();
    components.all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}
