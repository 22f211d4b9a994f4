//! Finding out what this machine gives, by trying: whether bubblewrap works can be forbidden in a dozen
//! places (`AppArmor`, a container's seccomp profile, a sysctl), and only trying tells.
//!
//! Trials run in a process of their own ([`main`]), since a process can not take back what it lays upon
//! itself. The launcher gives it a [`Question`] on standard input and reads [`Findings`] from its output.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, waitpid,
};
use serde::{Deserialize, Serialize};

use super::bwrap::{self, Sandbox};
use super::link::{Confine, FileAccess, Link, Namespaces, Orders, Report};
use crate::local::INIT;
use crate::supervise::clock::{monotonic, timespec};
use crate::supervise::spawn::{self, Program};

/// How long one trial may take.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);
/// Tasks of a trial; its number does not matter.
const TASKS: u32 = 64;

/// What is to be tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Question {
    /// bubblewrap, if it is installed.
    pub(crate) bwrap: Option<PathBuf>,
    pub(crate) helper: PathBuf,
    pub(crate) etc: PathBuf,
}

/// What this machine gives. Each error is a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Findings {
    /// Namespaces and mounts by bubblewrap, with its version.
    pub(crate) sandbox: Result<String, String>,
    /// A bound on the tasks of a process namespace.
    pub(crate) tasks: Result<(), String>,
    /// Landlock, with what it enforces.
    pub(crate) landlock: Result<String, String>,
    pub(crate) seccomp: Result<(), String>,
    /// Namespaces without bubblewrap.
    pub(crate) namespaces: Result<(), String>,
    /// Kernel release.
    pub(crate) kernel: String,
    /// Whether this is the machine's root, whom some limits do not hold.
    pub(crate) root: bool,
}

/// Tries everything. The exit code is for a person who looks.
pub(crate) fn main() -> i32 {
    let answer = || -> io::Result<()> {
        let mut question = Vec::new();
        io::stdin().read_to_end(&mut question)?;
        set_child_subreaper(Some(getpid()))?;
        let findings = find(&serde_json::from_slice(&question)?);
        io::stdout().write_all(&serde_json::to_vec(&findings)?)
    };
    i32::from(answer().is_err())
}

fn find(question: &Question) -> Findings {
    let whole = Confine {
        namespaces: None,
        tasks: Some(TASKS),
        landlock: Some(everything()),
        seccomp: true,
        ..Confine::default()
    };
    let bare = Confine::default();
    let sandboxed = |confine: Confine| in_sandbox(question, confine);
    let alone = |confine: Confine| run(&question.helper, helper_arguments(question), confine);
    let sandbox = sandboxed(bare.clone());
    let try_one = |confine: Confine| {
        if sandbox.is_ok() {
            sandboxed(confine)
        } else {
            alone(confine)
        }
    };
    let enforced = |landlock: Option<String>| landlock.ok_or_else(String::new);
    let (tasks, landlock, seccomp) = if let Ok(landlock) = sandboxed(whole.clone()) {
        (Ok(()), enforced(landlock), Ok(()))
    } else {
        // Something is missing: one by one, in the sandbox if there is one.
        let tasks = Confine {
            tasks: whole.tasks,
            ..bare.clone()
        };
        let landlock = Confine {
            landlock: whole.landlock,
            ..bare.clone()
        };
        let seccomp = Confine {
            seccomp: true,
            ..bare.clone()
        };
        (
            sandboxed(tasks).map(drop),
            try_one(landlock).and_then(enforced),
            try_one(seccomp).map(drop),
        )
    };
    let namespaces = Some(Namespaces { network: true });
    Findings {
        sandbox: sandbox.map(|_| question.bwrap.as_deref().map(version).unwrap_or_default()),
        tasks,
        landlock,
        seccomp,
        namespaces: alone(Confine { namespaces, ..bare }).map(drop),
        kernel: rustix::system::uname()
            .release()
            .to_string_lossy()
            .into_owned(),
        root: rustix::process::geteuid().is_root(),
    }
}

fn everything() -> FileAccess {
    FileAccess {
        read: vec!["/".to_owned()],
        write: vec!["/dev".to_owned()],
        no_tcp: false,
    }
}

fn helper_arguments(question: &Question) -> Vec<std::ffi::OsString> {
    vec![question.helper.clone().into(), INIT.into()]
}

fn in_sandbox(question: &Question, confine: Confine) -> Result<Option<String>, String> {
    let Some(bwrap) = &question.bwrap else {
        return Err("bubblewrap (bwrap) is not installed: `apt-get install bubblewrap`".to_owned());
    };
    let sandbox = Sandbox {
        bwrap: bwrap.clone(),
        helper: question.helper.clone(),
        etc: question.etc.clone(),
        system: Vec::new(),
        network: false,
        scratch_bytes: 1 << 20,
        shared_memory_bytes: 1 << 20,
    };
    let arguments = bwrap::arguments(&sandbox, &[]).map_err(|error| error.to_string())?;
    run(bwrap, arguments, confine)
}

/// Runs a helper with orders for no job. What landlock enforces, if it was asked for.
fn run(
    file: &Path,
    argv: Vec<std::ffi::OsString>,
    confine: Confine,
) -> Result<Option<String>, String> {
    let told = |error: io::Error| format!("`{}`: {error}", file.display());
    let (mut link, stdin) = Link::pair().map_err(told)?;
    let program = Program {
        file: file.to_owned(),
        argv,
        env: &BTreeMap::new(),
        dir: PathBuf::from("/"),
        stdin: Some(stdin),
        groups: None,
    };
    let started = spawn::start(program).map_err(told)?;
    let orders = Orders {
        argv: Vec::new(),
        env: BTreeMap::new(),
        working_dir: "/".to_owned(),
        confine,
        proxy: false,
        scratch: Vec::new(),
    };
    // When it has ended already, what it said tells why.
    drop(link.send(&orders));
    let answer = listen(&mut link).map_err(told)?;
    end(started.pid).map_err(told)?;
    match answer {
        Some(Report::Started { landlock }) => Ok(landlock),
        Some(Report::Failed(reason)) => Err(reason),
        _ => {
            let mut words = vec![0; 1024];
            let length = rustix::io::read(&started.stderr, &mut words).unwrap_or(0);
            words.truncate(length);
            let words = String::from_utf8_lossy(&words).trim().to_owned();
            Err(if words.is_empty() {
                "it ended without a word".to_owned()
            } else {
                words
            })
        }
    }
}

/// Ends a helper that has told what it had to tell.
fn end(pid: Pid) -> io::Result<()> {
    match kill_process(pid, Signal::KILL) {
        Ok(()) | Err(Errno::SRCH) => waitpid(Some(pid), WaitOptions::empty())?,
        Err(error) => return Err(error.into()),
    };
    Ok(())
}

/// The helper's report; `None` when it ended without one.
fn listen(link: &mut Link) -> io::Result<Option<Report>> {
    let deadline = monotonic() + PATIENCE;
    loop {
        let (mut reports, closed) = link.receive()?;
        if let Some(report) = reports.pop() {
            return Ok(Some(report));
        }
        let left = deadline.saturating_sub(monotonic());
        if closed || left.is_zero() {
            return Ok(None);
        }
        poll(
            &mut [PollFd::new(link, PollFlags::IN)],
            Some(&timespec(left)),
        )?;
    }
}

/// What bubblewrap calls itself.
fn version(bwrap: &Path) -> String {
    #[expect(
        clippy::disallowed_methods,
        reason = "bubblewrap is asked for its version here"
    )]
    let mut command = std::process::Command::new(bwrap);
    let output = command.arg("--version").env_clear().output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.ok()
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| "bubblewrap".to_owned())
}
