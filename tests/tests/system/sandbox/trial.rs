//! One attack program, run as a job of the real binary or as a plain child, and what it told.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{fmt, fs};

use moorline_testkit::coverage::{self, Backend};
use moorline_testkit::moorline::{Moorline, Output, Running};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The attack programs.
pub(crate) const ATTACKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/attacks");
/// Where a sandbox looks for programs; the controls shall find the same ones.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";
const DEADLINE: Duration = Duration::from_secs(40);
/// Nobody, on every system that has users.
const NOBODY: u32 = 65534;

/// As whom Moorline and the controls run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum User {
    /// Who runs the tests.
    Own,
    /// A user without any right. Needs root to become; for another user it is the same as [`User::Own`].
    Nobody,
}

impl User {
    /// Whether the user that runs the tests is root.
    pub(crate) fn is_root(self) -> bool {
        self == Self::Own && runs_as_root()
    }

    /// The command, as this user.
    pub(crate) fn wrap(self, command: &Command) -> Command {
        let mut wrapped = if self == Self::Nobody && runs_as_root() {
            let id = NOBODY.to_string();
            let mut wrapped = program("setpriv");
            wrapped.args([
                &format!("--reuid={id}"),
                &format!("--regid={id}"),
                "--clear-groups",
            ]);
            wrapped
                .args(["--inh-caps=-all", "--bounding-set=-all"])
                .arg(command.get_program());
            wrapped
        } else {
            program(command.get_program())
        };
        wrapped.args(command.get_args());
        same_surroundings(&mut wrapped, command);
        wrapped
    }
}

/// The command, started by the words of `before`.
fn after(before: &[&str], command: &Command) -> Command {
    let mut words = before.iter().map(OsStr::new).chain([command.get_program()]);
    let mut started = program(words.next().unwrap());
    started.args(words).args(command.get_args());
    same_surroundings(&mut started, command);
    started
}

/// Environment and working directory of another command, and no input.
fn same_surroundings(command: &mut Command, other: &Command) {
    command.env_clear();
    command.envs(
        other
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    command
        .current_dir(other.get_current_dir().unwrap_or_else(|| Path::new("/")))
        .stdin(Stdio::null());
}

fn runs_as_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").unwrap().uid() == 0
}

#[expect(
    clippy::disallowed_methods,
    reason = "test support: the subject is a process"
)]
fn program(name: impl AsRef<OsStr>) -> Command {
    Command::new(name)
}

/// Python, in the environment that a job has.
pub(crate) fn python() -> Command {
    let mut command = program("python3");
    command
        .env_clear()
        .env("PATH", PATH)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir("/");
    command
}

/// How a job is run.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// Program and arguments, each step one; the programs are those of [`ATTACKS`].
    pub(crate) program: Vec<String>,
    pub(crate) targets: Value,
    /// More members of the step.
    pub(crate) step: Value,
    /// More members of the spec.
    pub(crate) spec: Value,
    /// Steps that come before.
    pub(crate) before: Vec<Value>,
    /// More flags of `moorline run`.
    pub(crate) flags: Vec<String>,
}

impl Job {
    pub(crate) fn new(program: &[&str], targets: Value) -> Self {
        Self {
            program: program.iter().map(|&word| word.to_owned()).collect(),
            targets,
            step: json!({}),
            spec: json!({}),
            before: Vec::new(),
            flags: Vec::new(),
        }
    }

    /// With more members of the step.
    pub(crate) fn step(mut self, step: Value) -> Self {
        self.step = step;
        self
    }

    /// With more flags of `moorline run`.
    pub(crate) fn flags(mut self, flags: &[&str]) -> Self {
        self.flags.extend(flags.iter().map(|&flag| flag.to_owned()));
        self
    }

    /// As a plain process, with the control of its tree alone.
    pub(crate) fn without_a_sandbox(self) -> Self {
        self.flags(&["--isolation", "off"])
    }
}

/// A Moorline of its own with the attack programs at hand.
#[derive(Debug)]
pub(crate) struct Trial {
    pub(crate) moorline: Moorline,
    user: User,
}

impl Trial {
    pub(crate) fn new(user: User) -> Self {
        let moorline = Moorline::new().unwrap();
        let trial = Self { moorline, user };
        trial.own_everything();
        let made = trial.run_command(["init"]);
        assert_eq!(made.code, Some(0), "{made}");
        trial
    }

    /// With a variable in the environment of every later command.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.moorline = self.moorline.env(name, value);
        self
    }

    /// Writes the job and gives its directory.
    pub(crate) fn write(&self, job: &Job) -> PathBuf {
        let directory = tempfile::Builder::new()
            .prefix("job-")
            .tempdir_in(self.moorline.work_dir())
            .unwrap()
            .keep();
        for entry in fs::read_dir(ATTACKS).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "py") {
                fs::copy(&path, directory.join(path.file_name().unwrap())).unwrap();
            }
        }
        fs::write(directory.join("victim.txt"), "as it was\n").unwrap();
        fs::write(directory.join("data.txt"), "an input\n").unwrap();
        let mut step: Map<String, Value> = job.step.as_object().cloned().unwrap();
        let argv: Vec<&str> = std::iter::once("python3")
            .chain(job.program.iter().map(String::as_str))
            .collect();
        step.insert("name".to_owned(), json!("attack"));
        step.insert("argv".to_owned(), json!(argv));
        let environment = step.entry("env").or_insert_with(|| json!({}));
        environment["PYTHONDONTWRITEBYTECODE"] = json!("1");
        step.entry("timeout_seconds").or_insert(json!(30));
        step.entry("grace_seconds").or_insert(json!(0));
        let mut steps = job.before.clone();
        steps.push(Value::Object(step));
        let mut spec = json!({
            "job_id": "attack",
            "inputs": {"data": {"description": "a file", "default": "data.txt"}},
            "params": {"targets": job.targets},
            "steps": steps,
        });
        spec.as_object_mut()
            .unwrap()
            .extend(job.spec.as_object().cloned().unwrap());
        fs::write(directory.join("job_spec.json"), spec.to_string()).unwrap();
        self.own_everything();
        directory
    }

    /// Runs the job to its end.
    pub(crate) fn run(&self, job: &Job) -> Ran {
        self.run_after(&[], job)
    }

    /// As [`Trial::run`], where `moorline` is started by the words of `before`.
    pub(crate) fn run_after(&self, before: &[&str], job: &Job) -> Ran {
        let command = self.user.wrap(&self.moorline.command(self.arguments(job)));
        let output = Running::start(&mut after(before, &command))
            .unwrap()
            .wait(DEADLINE)
            .unwrap();
        let summary: Value = serde_json::from_str(&output.stdout).unwrap_or_default();
        let told = match summary["run_id"].as_str() {
            Some(run) => tellings(&self.log(run)),
            None => BTreeMap::new(),
        };
        if summary["isolation"]["backend"] == "bubblewrap" {
            coverage::record(Backend::Bubblewrap).unwrap();
        }
        Ran {
            output,
            summary,
            told,
        }
    }

    /// The arguments by which `moorline` runs the job, which is written first.
    pub(crate) fn arguments(&self, job: &Job) -> Vec<String> {
        let mut arguments: Vec<String> = ["run", "--json", "--mode", "real"]
            .map(str::to_owned)
            .into();
        arguments.extend(job.flags.iter().cloned());
        arguments.push(self.write(job).display().to_string());
        arguments
    }

    /// The lines of a run's log, as its job wrote them.
    pub(crate) fn log(&self, run: &str) -> Vec<Value> {
        let output = self.run_command(["runs", "logs", run, "--json"]);
        assert_eq!(output.code, Some(0), "{output}");
        serde_json::from_str(&output.stdout).unwrap()
    }

    /// Runs a command of the binary to its end, as the user of this trial.
    pub(crate) fn run_command<I>(&self, arguments: I) -> Output
    where
        I: IntoIterator<Item: AsRef<OsStr>>,
    {
        self.start(arguments).wait(DEADLINE).unwrap()
    }

    /// Starts a command of the binary, as the user of this trial.
    pub(crate) fn start<I>(&self, arguments: I) -> Running
    where
        I: IntoIterator<Item: AsRef<OsStr>>,
    {
        Running::start(&mut self.user.wrap(&self.moorline.command(arguments))).unwrap()
    }

    /// Gives all files of this home to its user.
    fn own_everything(&self) {
        if self.user == User::Nobody && runs_as_root() {
            give(self.moorline.root());
        }
    }
}

fn give(path: &Path) {
    chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    if path.is_dir() {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path());
        }
    }
}

/// A run that is over.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) output: Output,
    /// The run summary; null when there was no run.
    pub(crate) summary: Value,
    /// What each attack told, by its name.
    pub(crate) told: BTreeMap<String, Telling>,
}

impl Ran {
    /// Status and error code, such as `failed ERR_LIMIT_PIDS`.
    pub(crate) fn ending(&self) -> String {
        let status = self.summary["status"].as_str().unwrap_or("no run");
        let code = self.summary["failure"]["code"].as_str().unwrap_or_default();
        format!("{status} {code}").trim_end().to_owned()
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            output,
            summary,
            told,
        } = self;
        writeln!(f, "{}: {}", self.ending(), summary["failure"]["reason"])?;
        writeln!(f, "{:#}", summary["isolation"]["missing"])?;
        write!(
            f,
            "{told:#?}\nexit code {:?}, standard error:\n{}",
            output.code, output.stderr
        )
    }
}

/// The line that an attack prints.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Telling {
    attack: String,
    pub(crate) succeeded: bool,
    pub(crate) detail: String,
}

pub(crate) fn tellings(log: &[Value]) -> BTreeMap<String, Telling> {
    let lines = log.iter().filter(|line| line["stream"] == "stdout");
    parse(lines.filter_map(|line| line["text"].as_str()))
}

fn parse<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeMap<String, Telling> {
    lines
        .filter_map(|line| serde_json::from_str::<Telling>(line).ok())
        .map(|telling| (telling.attack.clone(), telling))
        .collect()
}

/// Runs an attack program as a child of the test, after the words of `before`, with directories as a job has
/// them.
pub(crate) fn directly(before: &[&str], job: &Job) -> BTreeMap<String, Telling> {
    let home = tempfile::tempdir().unwrap();
    let output = home.path().join("out");
    fs::create_dir(&output).unwrap();
    let (file, arguments) = job.program.split_first().unwrap();
    let words = before.iter().copied().chain(["python3"]);
    let mut words = words
        .map(str::to_owned)
        .chain([format!("{ATTACKS}/{file}")]);
    let mut command = program(words.next().unwrap());
    command
        .args(words)
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("ATTACK_TARGETS", job.targets.to_string())
        .env("MOORLINE_OUTPUT_DIR", &output)
        .env("MOORLINE_JOB_DIR", home.path())
        .env("MOORLINE_INPUT", home.path().join("input.json"));
    let output = Running::start(&mut command)
        .unwrap()
        .wait(DEADLINE)
        .unwrap();
    parse(output.stdout.lines())
}

/// Fails for every attack that did not end as it should have, all at once and by name. Answers how many
/// there were.
pub(crate) fn expect(
    what: &str,
    told: &BTreeMap<String, Telling>,
    shall_succeed: impl Fn(&str) -> bool,
) -> usize {
    let wrong: Vec<String> = told
        .values()
        .filter(|telling| telling.succeeded != shall_succeed(&telling.attack))
        .map(|telling| {
            let did = if telling.succeeded {
                "succeeded"
            } else {
                "failed"
            };
            format!("attack `{}` {did}: {}", telling.attack, telling.detail)
        })
        .collect();
    assert!(wrong.is_empty(), "{what}:\n{}", wrong.join("\n"));
    told.len()
}

/// The command in a mount namespace of its own in which bubblewrap is not installed: its file is covered by
/// something that is no program.
pub(crate) fn hidden_bwrap(command: &Command) -> Command {
    let cover = "for file in /usr/bin/bwrap /usr/local/bin/bwrap /bin/bwrap; do \
                 [ ! -f \"$file\" ] || mount --bind /dev/null \"$file\"; done; exec \"$@\"";
    let as_root: &[&str] = if runs_as_root() {
        &[]
    } else {
        &["--user", "--map-root-user"]
    };
    after(
        &[&["unshare"], as_root, &["--mount", "sh", "-c", cover, "sh"]].concat(),
        command,
    )
}
