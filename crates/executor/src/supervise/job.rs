//! One attempt from start to end.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use jiff::Timestamp;
use moorline_core::attempt::{Exit, LimitHit, Outcome};
use moorline_core::clock::{Clock as _, SystemClock};
use moorline_secrets::Redactor;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Signal, WaitStatus};

use super::clock::{monotonic, timespec};
use super::disk::DiskWatch;
use super::finish::{self, Parts};
use super::helper::Helper;
use super::limits::{self, Signs};
use super::pump::Pump;
use super::request::{Backend, Request, SecretText};
use super::signals::Signals;
use super::start::{self, Running};
use super::timing::{Action, Cause, Timing};
use super::tree::Tree;
use crate::local::layout::{AttemptDir, CancelRequest};
use crate::proc;
use crate::sandbox::cgroup::{Groups, TreeUsage};

/// Runs the job of a claimed attempt to its end. Every error on the way becomes part of the outcome.
///
/// `mirror` gets every byte that goes to the log file; `notes` are said in the log before anything else.
pub(super) fn run(
    mut request: Request,
    dir: &AttemptDir,
    signals: &Signals,
    mirror: Option<OwnedFd>,
    notes: &[String],
) -> Outcome {
    let secrets = std::mem::take(&mut request.secrets);
    let redactor = redactor(&secrets);
    let mut job = Job::new(&request, dir, signals, &redactor);
    if let Some(mirror) = mirror {
        job.pump.mirror(mirror);
    }
    for note in notes {
        job.pump.say(note);
    }
    let exit = match start::start(&request, dir, secrets) {
        Ok(running) => job.supervise(running).unwrap_or_else(|error| Exit::Lost {
            reason: format!("its supervisor failed: {error}"),
        }),
        Err(reason) => Exit::NotStarted { reason },
    };
    job.finish(redacted(exit, &redactor))
}

fn redactor(secrets: &BTreeMap<String, SecretText>) -> Redactor {
    let mut builder = Redactor::builder();
    for (name, value) in secrets {
        builder = builder.value(name, value.expose());
    }
    builder.build()
}

/// Reasons hold paths and other programs' words, which can hold anything.
fn redacted(exit: Exit, redactor: &Redactor) -> Exit {
    let clean = |text: String| {
        String::from_utf8_lossy(&redactor.redact_bytes(text.as_bytes())).into_owned()
    };
    match exit {
        Exit::NotStarted { reason } => Exit::NotStarted {
            reason: clean(reason),
        },
        Exit::Lost { reason } => Exit::Lost {
            reason: clean(reason),
        },
        other => other,
    }
}

struct Job<'a> {
    request: &'a Request,
    dir: &'a AttemptDir,
    signals: &'a Signals,
    began: (Duration, Timestamp),
    pump: Pump<'a>,
    timing: Timing,
    disk: Option<DiskWatch>,
    /// Whether the log tells already why it is being ended.
    announced: bool,
    helper: Option<Helper<'a>>,
    groups: Option<Groups>,
    /// Times that this machine had run out of memory before.
    memory_kills: u64,
}

impl<'a> Job<'a> {
    fn new(
        request: &'a Request,
        dir: &'a AttemptDir,
        signals: &'a Signals,
        redactor: &'a Redactor,
    ) -> Self {
        let limits = &request.attempt.limits;
        let now = monotonic();
        Self {
            request,
            dir,
            signals,
            began: (now, SystemClock.now()),
            pump: Pump::new(dir, limits.log_bytes, redactor),
            timing: Timing::new(now, limits.timeout, limits.grace),
            disk: limits
                .disk_bytes
                .map(|limit| DiskWatch::new(vec![dir.output(), dir.scratch()], limit, now)),
            announced: false,
            helper: None,
            groups: None,
            memory_kills: proc::memory_kills(),
        }
    }

    /// Watches over the job until its main process has ended, then ends the rest of its tree.
    fn supervise(&mut self, running: Running) -> io::Result<Exit> {
        let Running {
            groups,
            started,
            link,
        } = running;
        self.groups = groups;
        let mut tree = Tree::new(started.pid);
        self.pump.attach(started.stdout, started.stderr);
        self.helper = link.map(|link| Helper::new(link, &self.request.attempt.egress));
        // A wish that came before the signal could be read.
        let watched = self.read_wish(false).and_then(|()| self.watch(&mut tree));
        // Whatever happened, nothing of the job stays.
        let gone = tree.end(self.signals, self.groups.as_ref())?;
        watched?;
        if !gone {
            self.pump
                .say("some processes did not end although they were killed");
        }
        self.drain()?;
        Ok(self.exit(tree.status))
    }

    fn watch(&mut self, tree: &mut Tree) -> io::Result<()> {
        while tree.status.is_none() {
            let now = monotonic();
            if let Some(disk) = &mut self.disk
                && disk.look(now)?
            {
                self.timing.disk_full(now);
            }
            match self.timing.action(now) {
                Action::Wait => {}
                Action::Ask => {
                    self.announce();
                    match &mut self.helper {
                        Some(helper) => helper.terminate()?,
                        None => tree.signal_group(Signal::TERM)?,
                    }
                }
                Action::Kill => {
                    self.announce();
                    return Ok(());
                }
            }
            let look = self.disk.as_ref().map(DiskWatch::next);
            let until = [self.timing.next(), look].into_iter().flatten().min();
            if self.wait(until)? {
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

    /// Waits for output, a report, a signal or the given time. True when a signal came.
    fn wait(&mut self, until: Option<Duration>) -> io::Result<bool> {
        let wait = until.map(|until| timespec(until.saturating_sub(monotonic())));
        let mut fds = vec![PollFd::new(self.signals, PollFlags::IN)];
        let mut pipes = Vec::with_capacity(2);
        for (index, pipe) in self.pump.open_pipes() {
            pipes.push(index);
            fds.push(PollFd::from_borrowed_fd(pipe, PollFlags::IN));
        }
        let helper = self.helper.as_ref().and_then(Helper::poll_fd);
        fds.extend(helper.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        match poll(&mut fds, wait.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        let mut ready = fds
            .iter()
            .map(|fd| !fd.revents().is_empty())
            .collect::<Vec<_>>()
            .into_iter();
        let signalled = ready.next() == Some(true);
        for index in pipes {
            if ready.next() == Some(true) {
                self.pump.read(index)?;
            }
        }
        if let Some(helper) = &mut self.helper
            && ready.next() == Some(true)
        {
            helper.receive()?;
            self.pump.keep_words(!helper.started);
        }
        Ok(signalled)
    }

    /// Reads what is left in the pipes. Someone outside the tree may hold them open, so this is bounded.
    fn drain(&mut self) -> io::Result<()> {
        if let Some(helper) = &mut self.helper {
            helper.receive()?;
        }
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
        let wish = CancelRequest::shortest(self.dir)?;
        let grace = wish.map(|wish| Duration::from_millis(wish.grace_ms));
        if let Some(grace) = grace.or_else(|| asked.then_some(self.request.attempt.limits.grace)) {
            self.timing.cancel(monotonic(), grace);
        }
        Ok(())
    }

    fn announce(&mut self) {
        let limits = &self.request.attempt.limits;
        let text = match self.timing.cause() {
            Some(_) if self.announced => "killed after its grace".to_owned(),
            Some(Cause::TimedOut) => format!("ran past its timeout of {:?}", limits.timeout),
            Some(Cause::Cancelled) => "ended by request".to_owned(),
            Some(Cause::DiskFull) => "wrote more than its disk limit".to_owned(),
            None => return,
        };
        self.announced = true;
        self.pump.say(&text);
    }

    fn exit(&self, status: Option<WaitStatus>) -> Exit {
        let words = self.pump.words();
        if let Some(reason) = self
            .helper
            .as_ref()
            .and_then(|helper| helper.not_started(&words))
        {
            return Exit::NotStarted { reason };
        }
        match self.timing.cause() {
            Some(Cause::TimedOut) => return Exit::TimedOut,
            Some(Cause::Cancelled) => return Exit::Cancelled,
            Some(Cause::DiskFull) | None => {}
        }
        let seen = self.helper.as_ref().and_then(Helper::exit);
        let Some(status) = status else {
            let reason = "its main process did not end when it was killed".to_owned();
            return Exit::Lost { reason };
        };
        let sandboxed = matches!(self.request.backend, Backend::Bubblewrap { .. });
        match (seen, status.exit_status(), status.terminating_signal()) {
            (Some(exit), _, _) => exit,
            // Killed from outside, or by us for the disk: then the whole sandbox went with it.
            (None, Some(code), None) if !sandboxed => Exit::Exited { code },
            (None, _, Some(signal)) => Exit::Signaled { signal },
            (None, Some(128..), _) => Exit::Signaled {
                signal: Signal::KILL.as_raw(),
            },
            _ => Exit::Lost {
                reason: "its sandbox ended before it".to_owned(),
            },
        }
    }

    fn finish(mut self, exit: Exit) -> Outcome {
        if let Exit::NotStarted { reason } = &exit {
            self.pump.say(&format!("not started: {reason}"));
        }
        let tree = self.groups.as_ref().map(Groups::usage).unwrap_or_default();
        let limits_hit = self.limits_hit(&exit, tree);
        for hit in &limits_hit {
            self.pump.say(&format!("limit reached: {}", hit.detail));
        }
        let (reply, log) = self.pump.finish();
        let helper = self.helper.as_ref();
        let parts = Parts {
            began: self.began,
            exit,
            reply,
            log,
            limits_hit,
            ended: helper.and_then(|helper| helper.ended.clone()),
            tree,
            egress_denied: helper.map(Helper::denied).unwrap_or_default(),
        };
        finish::outcome(self.request, parts)
    }

    fn limits_hit(&self, exit: &Exit, tree: TreeUsage) -> Vec<LimitHit> {
        let disk_full = self.timing.cause() == Some(Cause::DiskFull);
        let killed = Exit::Signaled {
            signal: Signal::KILL.as_raw(),
        };
        let signs = Signs {
            ended: self
                .helper
                .as_ref()
                .and_then(|helper| helper.ended.as_ref()),
            tree,
            // Only where a signal came that was not ours.
            machine_memory_kills: match self.timing.cause() {
                None if *exit == killed => proc::memory_kills().saturating_sub(self.memory_kills),
                _ => 0,
            },
        };
        limits::hit(self.request, exit, &signs, || {
            disk_full
                || self
                    .disk
                    .as_ref()
                    .is_some_and(|disk| disk.exceeded().unwrap_or(false))
        })
    }
}
