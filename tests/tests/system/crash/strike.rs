//! Carrying a kill out: waiting for its moment from the outside, and the SIGKILL.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use moorline_testkit::moorline::{Output, Running, Signal};
use moorline_testkit::process;
use rustix::process::{Pid, kill_process};

use super::arena::{Arena, PATIENCE};
use super::plan::{Moment, Plan, Victim};

/// Between two looks at the files of an attempt: far less than anything that is waited for takes.
const GLANCE: Duration = Duration::from_micros(50);

/// What was seen of a kill.
#[derive(Debug)]
pub(super) struct Struck {
    /// How `moorline run` ended: killed, or by itself.
    pub(super) output: Output,
    /// From its start to the kill.
    pub(super) at: Duration,
    /// Attempts that this run had when it was struck, in order.
    pub(super) attempts: Vec<Seen>,
    /// Whether the job whose supervisor was struck had left its line just before.
    pub(super) target_had_begun: bool,
    /// Whether its attempt's exit record was there just before.
    pub(super) target_was_over: bool,
    /// From the kill of a supervisor to the end of the command that waited for it.
    pub(super) noticed_after: Option<Duration>,
}

/// An attempt's records at the moment of the kill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) attempt: String,
    pub(super) claimed: bool,
    pub(super) over: bool,
}

#[expect(clippy::disallowed_methods, reason = "the subject is real time")]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// Starts the run of a plan, waits for its moment and strikes.
pub(super) fn strike(arena: &Arena, plan: &Plan, undisturbed: Duration) -> Struck {
    let before: BTreeSet<String> = arena.attempts().into_iter().collect();
    let start = now();
    let mut running = arena.start(plan);
    let ours = || -> Vec<String> {
        arena
            .attempts()
            .into_iter()
            .filter(|attempt| !before.contains(attempt))
            .collect()
    };
    let target = wait_for(arena, plan, &running, undisturbed, &ours);
    // Before the strike, since whoever finds a supervisor dead leaves an exit record in its place; and
    // not where it only takes time.
    let attempt = target.as_ref().filter(|_| plan.victim != Victim::Runner);
    let target_was_over = attempt.is_some_and(|attempt| arena.has_exit(attempt));
    let target_had_begun = attempt.is_some_and(|attempt| {
        arena
            .witnessed()
            .iter()
            .any(|line| line.attempt == *attempt)
    });
    let at = start.elapsed();
    let struck = now();
    kill(arena, plan.victim, &mut running, target.as_deref());
    let seen = |attempt: String| Seen {
        claimed: arena.has_claim(&attempt),
        over: arena.has_exit(&attempt),
        attempt,
    };
    let attempts = ours().into_iter().map(seen).collect();
    let output = running.wait(PATIENCE).unwrap();
    let noticed_after = (plan.victim == Victim::Supervisor).then(|| struck.elapsed());
    Struck {
        output,
        at,
        attempts,
        target_had_begun,
        target_was_over,
        noticed_after,
    }
}

fn kill(arena: &Arena, victim: Victim, running: &mut Running, target: Option<&str>) {
    let supervisor = || {
        let claim = target.and_then(|attempt| arena.claim(attempt));
        if let Some(claim) = claim.filter(|claim| process::alive(claim.pid, claim.start_time)) {
            // It may end between the look and the signal; then there is nothing to kill.
            let _gone = kill_process(
                Pid::from_raw(claim.pid.cast_signed()).unwrap(),
                Signal::KILL,
            );
        }
    };
    match victim {
        Victim::Runner => running.signal(Signal::KILL).unwrap(),
        Victim::Supervisor => supervisor(),
        Victim::Both {
            runner_first: true,
            apart,
        } => {
            running.signal(Signal::KILL).unwrap();
            pass(apart);
            supervisor();
        }
        Victim::Both {
            runner_first: false,
            apart,
        } => {
            supervisor();
            pass(apart);
            running.signal(Signal::KILL).unwrap();
        }
    }
}

/// Waits for the moment of a plan, or for the end of the run where that comes first. Gives the attempt
/// that the moment is about.
fn wait_for(
    arena: &Arena,
    plan: &Plan,
    running: &Running,
    undisturbed: Duration,
    ours: &dyn Fn() -> Vec<String>,
) -> Option<String> {
    // A zombie until this harness waits for it, so its id stays its own.
    let over = || process::find(running.pid()).is_none_or(|process| process.is_zombie());
    let attempt_of = |step: usize| ours().into_iter().nth(step - 1);
    let until = |condition: &mut dyn FnMut() -> bool| {
        let deadline = now() + PATIENCE;
        while !condition() && !over() && now() < deadline {
            // L77: this is the distance between two questions, not a wait for something to be over.
            thread::sleep(GLANCE);
        }
    };
    match plan.moment {
        Moment::Fraction(fraction) => {
            pass(undisturbed.mul_f64(fraction));
            None
        }
        Moment::Commit { nth, delay } => {
            let mut watch = Writes::of(arena);
            until(&mut || watch.seen() >= nth);
            pass(delay);
            None
        }
        Moment::Claim { step, delay } => {
            until(&mut || attempt_of(step).is_some_and(|attempt| arena.has_claim(&attempt)));
            pass(delay);
            attempt_of(step)
        }
        Moment::Exit { step, delay } => {
            until(&mut || attempt_of(step).is_some_and(|attempt| arena.has_exit(&attempt)));
            pass(delay);
            attempt_of(step)
        }
    }
}

/// Counts how often a SQLite store was written to, as far as that can be seen in its files.
struct Writes<'a> {
    arena: &'a Arena,
    last: [u64; 2],
    count: u32,
}

impl<'a> Writes<'a> {
    fn of(arena: &'a Arena) -> Self {
        let mut writes = Self {
            arena,
            last: [0; 2],
            count: 0,
        };
        writes.last = writes.sizes();
        writes
    }

    fn sizes(&self) -> [u64; 2] {
        self.arena
            .store_files()
            .map(|file| file.metadata().map_or(0, |metadata| metadata.len()))
    }

    fn seen(&mut self) -> u32 {
        let sizes = self.sizes();
        self.count += u32::from(sizes != self.last);
        self.last = sizes;
        self.count
    }
}

/// Lets time go by: the moment of a kill is what is tried, so nothing is waited for.
fn pass(time: Duration) {
    // L77: a moment in time is the subject.
    thread::sleep(time);
}
