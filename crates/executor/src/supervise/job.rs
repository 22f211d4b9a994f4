//! One attempt from start to end.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use moorline_core::attempt::{Exit, Outcome};
use moorline_core::clock::{Clock as _, SystemClock};
use moorline_secrets::Redactor;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Signal, WaitStatus};

use super::clock::{monotonic, timespec};
use super::finish;
use super::prepare::{self, Places};
use super::pump::Pump;
use super::request::{Backend, Request, SecretText};
use super::signals::Signals;
use super::spawn::{self, Program, Started};
use super::timing::{Action, Cause, Timing};
use super::tree::Tree;
use crate::local::layout::{self, AttemptDir, CancelRequest};

/// Runs the job of a claimed attempt to its end. Every error on the way becomes part of the outcome.
pub(super) fn run(mut request: Request, dir: &AttemptDir, signals: &Signals) -> Outcome {
    let secrets = std::mem::take(&mut request.secrets);
    let redactor = redactor(&secrets);
    let mut job = Job::new(&request, dir, signals, &redactor);
    let began = (monotonic(), SystemClock.now());
    match start(&request, dir, secrets) {
        Ok(started) => {
            let exit = job.supervise(started).unwrap_or_else(|error| Exit::Lost {
                reason: redact(&redactor, &format!("its supervisor failed: {error}")),
            });
            job.finish(Some(began), exit)
        }
        Err(reason) => {
            let reason = redact(&redactor, &reason);
            job.pump.say(&format!("not started: {reason}"));
            job.finish(None, Exit::NotStarted { reason })
        }
    }
}

fn redactor(secrets: &BTreeMap<String, SecretText>) -> Redactor {
    let mut builder = Redactor::builder();
    for (name, value) in secrets {
        builder = builder.value(name, value.expose());
    }
    builder.build()
}

fn redact(redactor: &Redactor, text: &str) -> String {
    String::from_utf8_lossy(&redactor.redact_bytes(text.as_bytes())).into_owned()
}

/// Prepares the attempt's directories and starts the job. The error is a sentence for people.
fn start(
    request: &Request,
    dir: &AttemptDir,
    secrets: BTreeMap<String, SecretText>,
) -> Result<Started, String> {
    let attempt = &request.attempt;
    match &request.backend {
        Backend::Plain => {
            let places = Places::on_host(dir, attempt);
            let prepared = prepare::common(dir, attempt, &places);
            prepared
                .and_then(|()| prepare::on_host(dir, attempt))
                .map_err(|error| format!("the attempt's files: {error}"))?;
            let env = places.environment(attempt, &secrets);
            drop(secrets);
            let working_dir = places.working_dir(attempt)?;
            let argv: Vec<_> = attempt.argv.iter().map(prepare::os_string).collect();
            let name = argv.first().ok_or("the command is empty")?;
            let path = env.get("PATH").and_then(|path| path.to_str()).unwrap_or(prepare::PATH);
            let file = spawn::find_program(Path::new(name), path, &working_dir)?;
            let shown = file.display().to_string();
            let env = env.into_iter().map(|(name, value)| (name.into(), value)).collect();
            spawn::start(Program { file, argv, env, dir: working_dir, stdin: None })
                .map_err(|error| format!("`{shown}`: {error}"))
        }
    }
}

struct Job<'a> {
    request: &'a Request,
    dir: &'a AttemptDir,
    signals: &'a Signals,
    pump: Pump<'a>,
    timing: Timing,
}

impl<'a> Job<'a> {
    fn new(
        request: &'a Request,
        dir: &'a AttemptDir,
        signals: &'a Signals,
        redactor: &'a Redactor,
    ) -> Self {
        let limits = &request.attempt.limits;
        Self {
            request,
            dir,
            signals,
            pump: Pump::new(dir, limits.log_bytes, redactor),
            timing: Timing::new(monotonic(), limits.timeout, limits.grace),
        }
    }

    /// Watches over the job until its main process has ended, then ends the rest of its tree.
    fn supervise(&mut self, started: Started) -> io::Result<Exit> {
        let mut tree = Tree::new(started.pid);
        self.pump.attach(started.stdout, started.stderr);
        // A wish that came before the signal could be read.
        self.read_wish(false)?;
        let watched = self.watch(&mut tree);
        // Whatever happened, nothing of the job stays.
        let gone = tree.end(self.signals)?;
        watched?;
        if !gone {
            self.pump.say("some processes did not end although they were killed");
        }
        self.drain()?;
        Ok(exit(self.timing.cause(), tree.status))
    }

    fn watch(&mut self, tree: &mut Tree) -> io::Result<()> {
        while tree.status.is_none() {
            match self.timing.action(monotonic()) {
                Action::Wait => {}
                Action::Ask => {
                    self.announce();
                    tree.signal_group(Signal::TERM)?;
                }
                Action::Kill => {
                    self.announce();
                    return Ok(());
                }
            }
            if self.wait(self.timing.next())? {
                let arrived = self.signals.take()?;
                if arrived.terminate {
                    self.read_wish(true)?;
                }
                if arrived.child {
                    tree.reap()?;
                }
            }
        }
        Ok(())
    }

    /// Waits for output, a signal or the given time. True when a signal came.
    fn wait(&mut self, until: Option<Duration>) -> io::Result<bool> {
        let wait = until.map(|until| timespec(until.saturating_sub(monotonic())));
        let mut fds = vec![PollFd::new(self.signals, PollFlags::IN)];
        let mut pipes = Vec::with_capacity(2);
        for (index, pipe) in self.pump.open_pipes() {
            pipes.push(index);
            fds.push(PollFd::from_borrowed_fd(pipe, PollFlags::IN));
        }
        match poll(&mut fds, wait.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        for (index, _) in pipes.iter().zip(ready.iter().skip(1)).filter(|(_, ready)| **ready) {
            self.pump.read(*index)?;
        }
        Ok(ready.first() == Some(&true))
    }

    /// Reads what is left in the pipes. Someone outside the tree may hold them open, so this is bounded.
    fn drain(&mut self) -> io::Result<()> {
        let deadline = monotonic() + Duration::from_millis(self.request.drain_ms);
        while self.pump.open_pipes().next().is_some() && monotonic() < deadline {
            if self.wait(Some(deadline))? {
                self.signals.take()?;
            }
        }
        Ok(())
    }

    /// Takes over a wish to end the attempt. A bare SIGTERM is one as well.
    fn read_wish(&mut self, asked: bool) -> io::Result<()> {
        let wish: Option<CancelRequest> = layout::read(&self.dir.cancel())?;
        let grace = wish.map(|wish| Duration::from_millis(wish.grace_ms));
        if let Some(grace) = grace.or_else(|| asked.then_some(self.request.attempt.limits.grace)) {
            self.timing.cancel(monotonic(), grace);
        }
        Ok(())
    }

    fn announce(&mut self) {
        let text = match self.timing.cause() {
            Some(Cause::TimedOut) => {
                format!("ran past its timeout of {:?}", self.request.attempt.limits.timeout)
            }
            Some(Cause::Cancelled) => "ended by request".to_owned(),
            Some(Cause::DiskFull) => "wrote more than its disk limit".to_owned(),
            None => return,
        };
        self.pump.say(&text);
    }

    fn finish(self, began: Option<(Duration, Timestamp)>, exit: Exit) -> Outcome {
        let (reply, log) = self.pump.finish();
        finish::outcome(self.request, finish::Parts { began, exit, reply, log })
    }
}

fn exit(cause: Option<Cause>, status: Option<WaitStatus>) -> Exit {
    match cause {
        Some(Cause::TimedOut) => return Exit::TimedOut,
        Some(Cause::Cancelled) => return Exit::Cancelled,
        Some(Cause::DiskFull) | None => {}
    }
    let Some(status) = status else {
        return Exit::Lost { reason: "its main process did not end when it was killed".to_owned() };
    };
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Exit::Exited { code },
        (None, Some(signal)) => Exit::Signaled { signal },
        (None, None) => Exit::Lost { reason: "it ended in a way that is not known".to_owned() },
    }
}

