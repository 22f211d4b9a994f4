//! The supervisor where a whole machine belongs to one attempt, such as a sandbox of Modal.
//!
//! The same watch over the same job as on this machine: process tree, timeout and grace, redaction before
//! anything leaves, a capped log, the reply. What differs is how it is told and how it tells:
//! * the request is a file, [`REQUEST`], without any secret; secrets are variables of this process's
//!   environment, named in the request;
//! * the log goes to standard output as well, frame by frame as it is in the log file, so that whoever
//!   follows that stream has the log, and an offset in the one is a cursor of the other;
//! * at the end the record, the log and the output files are copied to [`GuestRequest::keep`], a directory
//!   that outlives the sandbox, and written out to it before this process exits;
//! * a wish to end the attempt comes from another process of the sandbox, [`cancel`].
//!
//! The platform takes the machine away when this process ends, and with it all that the job may have left.
//! Nothing here needs a privilege, a pidfd or a namespace: user-space kernels such as gVisor have what it
//! uses.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use moorline_core::attempt::{Attempt, Exit, Isolation, Outcome};
use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, Pid, Signal, getpid, kill_process, set_child_subreaper, set_dumpable_behavior,
};
use serde::{Deserialize, Serialize};

use super::job;
use super::request::{Backend, Request, SecretText};
use super::signals::{Arrived, Signals};
use crate::local::collect;
use crate::local::layout::{self, AttemptDir, CancelRequest};

/// The supervisor program, as the sandbox sees it.
#[cfg_attr(
    not(feature = "modal"),
    expect(dead_code, reason = "the launcher is not part of this build")
)]
pub(crate) const PROGRAM: &str = "/__moorline/supervisor";
/// The request.
pub(crate) const REQUEST: &str = "/__moorline/request.json";
/// The job directory, the inputs and the outputs, as in the sandbox of this machine.
pub(crate) const JOB: &str = "/job";
/// See [`JOB`].
pub(crate) const INPUT: &str = "/in";
/// See [`JOB`].
pub(crate) const OUTPUT: &str = "/out";
/// Scratch space.
pub(crate) const SCRATCH: &str = "/tmp";

/// Where the directory that outlives the sandbox is mounted.
#[cfg_attr(
    not(feature = "modal"),
    expect(dead_code, reason = "the launcher is not part of this build")
)]
pub(crate) const KEEP: &str = "/moorline-keep";

/// Where the supervisor works inside the sandbox.
const WORK: &str = "/var/lib/moorline";

/// First argument of the supervisor of a sandbox; the second, if there is one, is a command below.
pub(crate) const GUEST: &str = "__moorline-guest";
/// Ends the attempt; the argument behind it is the grace in milliseconds.
pub(crate) const CANCEL: &str = "cancel";
/// Prints the log so far from the offset behind it on.
pub(crate) const LOG: &str = "log";
/// Lets a supervisor go that is held after its job's end.
pub(crate) const RELEASE: &str = "release";

/// Waits until the supervisor is held after a success: 0, or 1 when it is not going to be.
pub(crate) const HELD: &str = "held";

/// Exit code of a guest that finds its attempt taken by another one.
pub(crate) const TAKEN: i32 = 75;

/// What the launcher asks of the supervisor in a sandbox. No secret is in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct GuestRequest {
    /// The attempt; its paths are those that the sandbox has.
    pub(crate) attempt: Attempt,
    /// Variables of the environment that are secrets.
    pub(crate) secrets: Vec<String>,
    /// Where to leave what must outlive the sandbox.
    pub(crate) keep: PathBuf,
    /// What protects the platform from the job, for the record.
    pub(crate) isolation: Isolation,
    /// What the launcher has to say in the attempt's log.
    pub(crate) notes: Vec<String>,
    /// How long to stay after a success until released, so that the file system can be snapshotted.
    pub(crate) hold_ms: u64,
    /// How long pipes that someone keeps open are read after the tree is dead.
    pub(crate) drain_ms: u64,
}

/// What a guest leaves in [`GuestRequest::keep`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct GuestRecord {
    /// How the attempt ended.
    pub(crate) outcome: Outcome,
    /// Its output files below `out/`, or why they can not be had.
    pub(crate) outputs: Result<Vec<KeptFile>, String>,
}

/// One output file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptFile {
    /// Path below `out/`.
    pub(crate) path: String,
    /// Bytes.
    pub(crate) size: u64,
}

/// Names in [`GuestRequest::keep`].
pub(crate) const RECORD: &str = "record.json";
/// See [`RECORD`].
pub(crate) const KEPT_LOG: &str = "log";
/// See [`RECORD`].
pub(crate) const KEPT_OUTPUTS: &str = "out";
/// Made by the guest that runs the attempt, so that no second one does.
const CLAIM: &str = "claim";

/// Becomes what the arguments say. The exit code tells the launcher's side how it went.
pub(crate) fn main() -> i32 {
    let mut arguments = std::env::args_os().skip(2);
    let done = match arguments.next() {
        None => run(),
        Some(command) => act(&command, arguments.next().as_deref()),
    };
    done.unwrap_or_else(|error| {
        // Seen in the sandbox's standard error. Errors of files hold no secret.
        let _unheard = writeln!(io::stderr(), "moorline: {error}");
        1
    })
}

fn work(name: &str) -> PathBuf {
    Path::new(WORK).join(name)
}

/// A command of another process of the sandbox.
fn act(command: &OsStr, argument: Option<&OsStr>) -> io::Result<i32> {
    let number = || -> io::Result<u64> {
        let text = argument.and_then(OsStr::to_str);
        text.and_then(|text| text.parse().ok())
            .ok_or_else(|| io::ErrorKind::InvalidInput.into())
    };
    let request = read_request()?;
    let dir = AttemptDir::new(Path::new(WORK), request.attempt.id);
    match command.to_str() {
        Some(CANCEL) => {
            fs::create_dir_all(WORK)?;
            dir.create()?;
            CancelRequest {
                grace_ms: number()?,
            }
            .add(&dir)?;
            wake()?;
        }
        Some(RELEASE) => {
            File::create(work("released"))?;
            wake()?;
        }
        Some(HELD) => return wait_held(),
        Some(LOG) => print_log(&dir, number()?)?,
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    }
    Ok(0)
}

/// Tells the supervisor to look. Before it is there it looks by itself.
fn wake() -> io::Result<()> {
    let Some(pid) = layout::read::<i32>(&work("pid"))?.and_then(Pid::from_raw) else {
        return Ok(());
    };
    match kill_process(pid, Signal::TERM) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Looks from time to time: this is a process of its own, and the supervisor tells by a file.
fn wait_held() -> io::Result<i32> {
    loop {
        if work("held").exists() {
            return Ok(0);
        }
        if work("over").exists() {
            return Ok(1);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn print_log(dir: &AttemptDir, from: u64) -> io::Result<()> {
    use io::Seek as _;
    let mut log = match File::open(dir.log()) {
        Ok(log) => log,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    log.seek(io::SeekFrom::Start(from))?;
    io::copy(&mut log, &mut io::stdout().lock()).map(drop)
}

fn read_request() -> io::Result<GuestRequest> {
    let bytes = fs::read(REQUEST)?;
    serde_json::from_slice(&bytes).map_err(io::Error::from)
}

fn run() -> io::Result<i32> {
    // Secrets are in this memory: no core dump, no reading by other processes of the same user.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let signals = Signals::block()?;
    set_child_subreaper(Some(getpid()))?;
    let asked = read_request()?;
    match File::options()
        .write(true)
        .create_new(true)
        .open(asked.keep.join(CLAIM))
    {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(TAKEN),
        Err(error) => return Err(error),
    }
    fs::create_dir_all(WORK)?;
    fs::create_dir_all(JOB)?;
    let dir = AttemptDir::new(Path::new(WORK), asked.attempt.id);
    dir.create()?;
    let pid = getpid().as_raw_nonzero().get();
    layout::publish(&work("pid"), &pid, layout::IfThere::Replace)?;
    let hold = Duration::from_millis(asked.hold_ms);
    let keep = asked.keep.clone();
    let request = request(&asked);
    let outcome = job::run(request, &dir, &signals, Some(stdout()?), &asked.notes);
    let held = !hold.is_zero() && outcome.exit == (Exit::Exited { code: 0 });
    publish(&dir, &keep, outcome)?;
    File::create(work(if held { "held" } else { "over" }))?;
    if held {
        hold_on(&signals, hold)?;
    }
    Ok(0)
}

/// The request as a supervisor of this machine would have had it.
fn request(asked: &GuestRequest) -> Request {
    #[expect(
        clippy::disallowed_methods,
        reason = "secrets come as variables of this process alone, which is started for that"
    )]
    let value = |name: &String| Some((name.clone(), SecretText::new(&std::env::var(name).ok()?)));
    let secrets: BTreeMap<String, SecretText> = asked.secrets.iter().filter_map(value).collect();
    Request {
        root: PathBuf::from(WORK),
        boot_id: String::new(),
        attempt: asked.attempt.clone(),
        secrets,
        drain_ms: asked.drain_ms,
        backend: Backend::Guest,
        groups: Vec::new(),
        isolation: asked.isolation.clone(),
    }
}

fn stdout() -> io::Result<OwnedFd> {
    rustix::io::dup(io::stdout()).map_err(io::Error::from)
}

/// Copies what must outlive the sandbox. The record is the last of it, so where it is, all of it is.
fn publish(dir: &AttemptDir, keep: &Path, outcome: Outcome) -> io::Result<()> {
    let outputs = copy_outputs(&dir.output(), &keep.join(KEPT_OUTPUTS));
    match fs::copy(dir.log(), keep.join(KEPT_LOG)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(_) | Err(_) => {}
    }
    let record = GuestRecord { outcome, outputs };
    let mut file = File::create(keep.join(RECORD))?;
    file.write_all(&serde_json::to_vec(&record)?)?;
    file.sync_all()?;
    // Commits a volume: what is not written out now would be seen some time later only.
    rustix::fs::syncfs(&file)?;
    Ok(())
}

fn copy_outputs(from: &Path, to: &Path) -> Result<Vec<KeptFile>, String> {
    let files =
        collect::collect(from).map_err(|error| match std::error::Error::source(&error) {
            // A refusal says everything itself.
            Some(source) if source.downcast_ref::<io::Error>().is_some_and(is_refusal) => {
                error.to_string()
            }
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        })?;
    let failed =
        |path: &str, error: io::Error| format!("the output `{path}` can not be kept: {error}");
    let mut kept = Vec::with_capacity(files.len());
    for file in files {
        let target = to.join(&file.path);
        let parent = target.parent().unwrap_or(to);
        fs::create_dir_all(parent)
            .and_then(|()| fs::copy(&file.local, &target))
            .map_err(|error| failed(&file.path, error))?;
        kept.push(KeptFile {
            path: file.path,
            size: file.size,
        });
    }
    Ok(kept)
}

fn is_refusal(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidData
}

/// Stays until released, cancelled, or the time is over.
fn hold_on(signals: &Signals, hold: Duration) -> io::Result<()> {
    let deadline = super::clock::monotonic() + hold;
    while !work("released").exists() {
        let Some(left) = deadline.checked_sub(super::clock::monotonic()) else {
            return Ok(());
        };
        let mut fds = [rustix::event::PollFd::new(
            signals,
            rustix::event::PollFlags::IN,
        )];
        match rustix::event::poll(&mut fds, Some(&super::clock::timespec(left))) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let Arrived { terminate, .. } = signals.take()?;
        if terminate && !work("released").exists() {
            return Ok(());
        }
    }
    Ok(())
}
