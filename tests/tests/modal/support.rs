//! An emulator, and the official clients to run against it.

use std::ffi::OsStr;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use moorline_modal_emulator::{Effect, Emulator, EmulatorOptions, FaultPlan};
use moorline_testkit::moorline::binary;
use moorline_testkit::wait;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// For one script; a hung one is killed.
const PATIENCE: Duration = Duration::from_secs(55);

/// A running emulator with a world of its own.
#[derive(Debug)]
pub(crate) struct Emu {
    runtime: Runtime,
    emulator: Option<Emulator>,
    home: TempDir,
}

/// What a program printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Emu {
    /// Starts one.
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// Starts one with other options.
    pub(crate) fn start_with(change: impl FnOnce(&mut EmulatorOptions)) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let mut options = EmulatorOptions {
            python: python(),
            helper: binary("modal-sandbox-fs-tools").unwrap(),
            ..EmulatorOptions::default()
        };
        change(&mut options);
        let emulator = runtime.block_on(Emulator::start(options)).unwrap();
        let home = tempfile::tempdir().unwrap();
        Self {
            runtime,
            emulator: Some(emulator),
            home,
        }
    }

    /// The emulator itself.
    pub(crate) fn emulator(&self) -> &Emulator {
        self.emulator.as_ref().unwrap()
    }

    /// Runs our own async code beside it.
    pub(crate) fn block_on<F: Future>(&self, work: F) -> F::Output {
        self.runtime.block_on(work)
    }

    /// What really happened, by kind.
    pub(crate) fn effects(&self, what: &str) -> Vec<Effect> {
        self.emulator().journal().effects(Some(what))
    }

    /// Faults from now on.
    pub(crate) fn faults(&self, plan: &str) {
        let plan: FaultPlan = serde_json::from_str(plan).unwrap();
        self.emulator().set_faults(plan);
    }

    /// Runs a scenario for the official Python SDK, e.g. `functions/calls.py`; it must succeed.
    pub(crate) fn python<S: AsRef<OsStr>>(&self, script: &str, args: &[S]) -> Ran {
        let mut command = self.command(&python());
        command.arg(scenarios().join(script)).args(args);
        done(script, command)
    }

    /// Runs the official command line tool; it must succeed.
    pub(crate) fn modal<S: AsRef<OsStr>>(&self, args: &[S]) -> Ran {
        let ran = self.try_modal(args);
        assert!(ran.status.success(), "{ran:#?}");
        ran
    }

    /// Runs the official command line tool.
    pub(crate) fn try_modal<S: AsRef<OsStr>>(&self, args: &[S]) -> Ran {
        let mut command = self.command(&python());
        command.args(["-m", "modal"]).args(args);
        run(command)
    }

    /// Runs a scenario for the official JavaScript SDK, e.g. `sandboxes/exec.mjs`; it must succeed.
    pub(crate) fn node(&self, script: &str) -> Ran {
        let packages = target().join("npm");
        assert!(
            packages.join("node_modules/modal").is_dir(),
            "the JavaScript SDK is not installed; run `cargo xtask setup`"
        );
        // Modules are looked for beside the script, so a copy is laid beside the packages.
        let copy = packages.join(format!("{}-{script}", std::process::id()).replace('/', "-"));
        std::fs::copy(scenarios().join(script), &copy).unwrap();
        let mut command = self.command(Path::new("node"));
        command.arg(&copy);
        let ran = done(script, command);
        std::fs::remove_file(copy).unwrap();
        ran
    }

    /// A command in a clean environment that knows where the server is.
    #[expect(
        clippy::disallowed_methods,
        reason = "a client is a program of its own; it finds its tools as this one does"
    )]
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.home.path())
            .env("COLUMNS", "200")
            .envs(self.emulator().environment())
            .current_dir(self.home.path());
        command
    }

    /// The directory in which commands run.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Stops it, and waits for that.
    pub(crate) fn stop(mut self) {
        let emulator = self.emulator.take().unwrap();
        self.runtime.block_on(emulator.stop());
    }
}

fn done(script: &str, command: Command) -> Ran {
    let ran = run(command);
    assert!(
        ran.status.success(),
        "{script}: {}\n{}\n{}",
        ran.status,
        ran.stdout,
        ran.stderr
    );
    ran
}

/// Runs a command to its end.
pub(crate) fn run(mut command: Command) -> Ran {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let drain = |mut pipe: Box<dyn std::io::Read + Send>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            pipe.read_to_end(&mut bytes).map(|_| bytes)
        })
    };
    let stdout = drain(Box::new(child.stdout.take().unwrap()));
    let stderr = drain(Box::new(child.stderr.take().unwrap()));
    let ended = wait::until(PATIENCE, "the end of the program", || {
        child.try_wait().unwrap().is_some()
    });
    if ended.is_err() {
        child.kill().unwrap();
    }
    let status = child.wait().unwrap();
    let text =
        |bytes: std::io::Result<Vec<u8>>| String::from_utf8_lossy(&bytes.unwrap()).into_owned();
    Ran {
        status,
        stdout: text(stdout.join().unwrap()),
        stderr: text(stderr.join().unwrap()),
    }
}

/// The scenarios of this suite.
pub(crate) fn scenarios() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("modal")
}

/// The Python that has the official package.
pub(crate) fn python() -> PathBuf {
    let python = target().join("venv/bin/python");
    assert!(
        python.is_file(),
        "the Python environment is not there; run `cargo xtask setup`"
    );
    python
}

/// The target directory: where the helper binary lies, one further up.
fn target() -> PathBuf {
    let helper = binary("modal-sandbox-fs-tools").unwrap();
    helper.ancestors().nth(2).unwrap().to_owned()
}
