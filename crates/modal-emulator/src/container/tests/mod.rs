//! Containers as a whole: real processes, mounts and networks of this machine.

mod exec;
mod files;
mod life;
mod network;
mod output;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::{Container, ContainerSpec, Exec, Exit, Log, Process, Runtime, RuntimeOptions};

/// A runtime in a directory of its own.
struct Bench {
    state: tempfile::TempDir,
    runtime: Runtime,
}

impl Bench {
    fn new() -> Self {
        Self::with_system(Vec::new())
    }

    fn with_system(system: Vec<PathBuf>) -> Self {
        // Not in `/tmp` alone: what containers see of this directory is part of the tests.
        let state = tempfile::tempdir_in(target()).unwrap();
        let options = RuntimeOptions {
            state_dir: state.path().join("state"),
            helper: helper(),
            system,
        };
        let runtime = Runtime::new(&options).unwrap();
        Self { state, runtime }
    }

    /// A path outside of all containers.
    fn path(&self, name: &str) -> PathBuf {
        self.state.path().join(name)
    }

    async fn start(&self, spec: ContainerSpec) -> Arc<Container> {
        self.runtime.start(spec).await.unwrap()
    }

    async fn bare(&self) -> Arc<Container> {
        self.start(spec("bare")).await
    }
}

#[expect(clippy::disallowed_methods, reason = "tests tell how long things take")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

fn spec(id: &str) -> ContainerSpec {
    ContainerSpec {
        id: id.to_owned(),
        ..ContainerSpec::default()
    }
}

/// Where this test was built.
fn target() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().to_path_buf()
}

/// The helper beside this test. A build of this crate's tests alone does not build it.
fn helper() -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    let path = target().join(moorline_sandbox_tools::TOOL_NAME);
    BUILT.get_or_init(|| {
        let changed = |path: &Path| {
            std::fs::metadata(path)
                .and_then(|meta| meta.modified())
                .ok()
        };
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sandbox-tools/src");
        let is_new = newest(&sources) <= changed(&path);
        if !is_new {
            #[expect(
                clippy::disallowed_methods,
                reason = "the helper of these tests is built by cargo"
            )]
            let mut cargo = std::process::Command::new(env!("CARGO"));
            let build = ["build", "--quiet", "--package", "moorline-sandbox-tools"];
            let status = cargo.args(build).status().unwrap();
            assert!(status.success(), "building the helper: {status}");
        }
    });
    path
}

/// When something in a directory was changed last.
fn newest(dir: &Path) -> Option<std::time::SystemTime> {
    let entries = std::fs::read_dir(dir).ok()?.flatten();
    let times = entries.map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => newest(&entry.path()),
        _ => entry.metadata().and_then(|meta| meta.modified()).ok(),
    });
    times.max().flatten()
}

fn command(argv: &[&str]) -> Exec {
    Exec {
        argv: argv.iter().map(|&word| word.to_owned()).collect(),
        ..Exec::default()
    }
}

fn shell(script: &str) -> Exec {
    command(&["/bin/sh", "-c", script])
}

/// All of a log.
async fn read(log: &Log) -> Vec<u8> {
    read_from(log, 0).await
}

async fn read_from(log: &Log, offset: u64) -> Vec<u8> {
    let mut reader = log.reader(offset);
    let mut all = Vec::new();
    while let Some(chunk) = reader.next().await.unwrap() {
        all.extend_from_slice(&chunk);
    }
    all
}

async fn text(log: &Log) -> String {
    String::from_utf8(read(log).await).unwrap()
}

/// Output, errors and end of a script.
async fn run(container: &Container, script: &str) -> (String, String, Exit) {
    let process = container.exec(shell(script)).await.unwrap();
    told(&process).await
}

async fn told(process: &Process) -> (String, String, Exit) {
    process.close_stdin().await;
    let exit = process.wait().await;
    (
        text(process.stdout()).await,
        text(process.stderr()).await,
        exit,
    )
}

/// The output of a script that succeeds.
async fn output(container: &Container, script: &str) -> String {
    let (stdout, stderr, exit) = run(container, script).await;
    assert_eq!((stderr.as_str(), exit), ("", Exit::Code(0)), "{script}");
    stdout
}

/// Processes of this machine whose environment or arguments hold `marker`.
fn marked(marker: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap() {
        let path = entry.unwrap().path();
        for file in ["environ", "cmdline"] {
            let text = std::fs::read(path.join(file)).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            if text.contains(marker) {
                found.push(format!("{}: {text}", path.display()));
                break;
            }
        }
    }
    found
}

/// Mounts that this test can see and that have to do with `path`.
fn mounts(path: &Path) -> Vec<String> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let path = path.to_str().unwrap();
    mounts
        .lines()
        .filter(|line| line.contains(path))
        .map(str::to_owned)
        .collect()
}
