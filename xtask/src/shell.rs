//! Programs that the commands run: announced, without standard input, with one kind of error.

use std::ffi::OsStr;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use moorline_testkit::env;

use crate::error::{Error, Result};
use crate::output::say;

/// A program to be run.
#[derive(Debug)]
pub(crate) struct Shell {
    command: Command,
    shown: String,
    quiet: bool,
}

/// Which output [`Shell::watch`] reads along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

impl Shell {
    /// `program` in `directory`.
    #[expect(
        clippy::disallowed_methods,
        reason = "automation is the running of other programs"
    )]
    pub(crate) fn new(program: impl AsRef<Path>, directory: &Path) -> Self {
        let program = program.as_ref();
        let shown = program
            .file_name()
            .unwrap_or(program.as_os_str())
            .to_string_lossy();
        let mut command = Command::new(program);
        command.current_dir(directory).stdin(Stdio::null());
        Self {
            command,
            shown: shown.into_owned(),
            quiet: false,
        }
    }

    /// The cargo that runs this command.
    pub(crate) fn cargo(directory: &Path) -> Self {
        let program = env::read("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
        let mut cargo = Self::new(program, directory);
        // Set for us by the `cargo run` that we are in. Handed on, they would change what cargo
        // holds to be fresh, wherever a build script watches one of them.
        for (name, _) in std::env::vars_os() {
            let ours = ["CARGO_MANIFEST_", "CARGO_PKG_"];
            if name
                .to_str()
                .is_some_and(|name| ours.iter().any(|start| name.starts_with(start)))
            {
                cargo.command.env_remove(name);
            }
        }
        cargo
    }

    pub(crate) fn args(mut self, arguments: impl IntoIterator<Item: AsRef<OsStr>>) -> Self {
        for argument in arguments {
            self.shown = format!("{} {}", self.shown, argument.as_ref().to_string_lossy());
            self.command.arg(argument);
        }
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Does not announce it.
    pub(crate) fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// Runs it with its outputs going where ours go.
    pub(crate) fn run(mut self) -> Result {
        self.announce();
        let status = self.command.status().map_err(self.not_started())?;
        self.judge(status)
    }

    /// As [`Shell::run`], for a program that has said itself why it failed.
    pub(crate) fn run_for_us(self) -> Result {
        self.run().map_err(|error| match error {
            Error::Failed { .. } => Error::Told,
            other => other,
        })
    }

    /// Runs it and gives its standard output.
    pub(crate) fn capture(mut self) -> Result<String> {
        self.announce();
        let failed = self.not_started();
        let output = self
            .command
            .stderr(Stdio::inherit())
            .output()
            .map_err(failed)?;
        self.judge(output.status)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Whether it runs and succeeds; it prints nothing.
    pub(crate) fn succeeds(mut self) -> bool {
        self.command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    /// Runs it to its end, passes one of its outputs through line by line, and gives that too.
    /// Whether it succeeded is for the caller to judge.
    pub(crate) fn watch(mut self, stream: Stream) -> Result<(ExitStatus, String)> {
        self.announce();
        let failed = self.not_started();
        match stream {
            Stream::Stdout => self.command.stdout(Stdio::piped()),
            Stream::Stderr => self.command.stderr(Stdio::piped()),
        };
        let mut child = self.command.spawn().map_err(failed)?;
        let seen = match stream {
            Stream::Stdout => child
                .stdout
                .take()
                .map(|pipe| pass_through(pipe, io::stdout())),
            Stream::Stderr => child
                .stderr
                .take()
                .map(|pipe| pass_through(pipe, io::stderr())),
        };
        let status = child.wait().map_err(self.not_started())?;
        Ok((status, seen.unwrap_or_default()))
    }

    fn announce(&self) {
        if !self.quiet {
            say!("$ {}", self.shown);
        }
    }

    fn not_started(&self) -> impl FnOnce(io::Error) -> Error + use<> {
        Error::io(format!("run `{}`", self.shown))
    }

    fn judge(&self, status: ExitStatus) -> Result {
        if status.success() {
            return Ok(());
        }
        Err(Error::Failed {
            command: self.shown.clone(),
            status: status.to_string(),
        })
    }
}

/// Copies lines as they come; invalid UTF-8 is replaced in what is handed back.
fn pass_through(from: impl Read, mut to: impl Write) -> String {
    let mut reader = BufReader::new(from);
    let (mut seen, mut line) = (Vec::new(), Vec::new());
    // An error of a pipe means the same as its end, and a closed terminal is nobody's loss.
    while reader
        .read_until(b'\n', &mut line)
        .is_ok_and(|count| count > 0)
    {
        drop(to.write_all(&line).and_then(|()| to.flush()));
        seen.append(&mut line);
    }
    String::from_utf8_lossy(&seen).into_owned()
}

/// The full path of `program` on the `PATH`.
pub(crate) fn which(program: &str) -> Option<PathBuf> {
    let path = env::read("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file())
}
