//! What a kill is: who is killed, when, and what is asked next. Drawn by the seed alone.

use std::fmt;
use std::time::Duration;

use super::job::Variant;
use super::random::Random;

/// How long after something was seen a targeted kill strikes, at most.
const CLOSE_BEHIND: Duration = Duration::from_millis(3);

/// About what a step takes, from its claim to its exit record.
const ONE_STEP: Duration = Duration::from_millis(25);

/// Which processes a harness kills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Campaign {
    /// `moorline run`, while its job's supervisors live on.
    Runner,
    /// As `Runner`, where no file tells of a commit.
    RunnerOverPostgres,
    /// Supervisors, alone or together with `moorline run`.
    Supervisor,
}

/// Who gets the SIGKILL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Victim {
    Runner,
    Supervisor,
    /// Both, the runner first or last, this far apart.
    Both {
        runner_first: bool,
        apart: Duration,
    },
}

/// When it strikes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Moment {
    /// At this fraction of the time that an undisturbed run takes.
    Fraction(f64),
    /// This long after the store was written to for the nth time.
    Commit { nth: u32, delay: Duration },
    /// This long after the supervisor of a step (1 to 3) has claimed its attempt.
    Claim { step: usize, delay: Duration },
    /// This long after a step's attempt has left its exit record.
    Exit { step: usize, delay: Duration },
}

/// What is run after the kill, before anything is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// `runs wait --all`.
    WaitAll,
    /// `runs list`, which must not start anything, then `runs wait --all`.
    ListThenWait,
    /// The same `run` again, under the same idempotency key.
    AskAgain,
}

/// One kill.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Plan {
    pub(super) number: u32,
    pub(super) victim: Victim,
    pub(super) moment: Moment,
    pub(super) next: Next,
    /// In the sandbox, or as a plain process.
    pub(super) sandboxed: bool,
    /// A job whose steps say that they are idempotent, and are retried when they are lost.
    pub(super) idempotent: bool,
    /// Another run goes on beside it in the same state directory, and nobody disturbs it.
    pub(super) bystander: bool,
}

impl Plan {
    pub(super) fn draw(campaign: Campaign, seed: u64, number: u32) -> Self {
        let mut random = Random::of_kill(seed, number);
        let victim = victim(campaign, &mut random);
        let moment = match campaign {
            Campaign::Supervisor => Moment::Claim {
                step: 1 + random.below(3) as usize,
                delay: random.up_to(ONE_STEP),
            },
            _ if random.once_in(2) => Moment::Fraction(random.fraction() * 1.1),
            _ => targeted(campaign, &mut random),
        };
        Self {
            number,
            victim,
            moment,
            next: match random.below(4) {
                0 => Next::AskAgain,
                1 => Next::ListThenWait,
                _ => Next::WaitAll,
            },
            sandboxed: number % 4 == 3,
            idempotent: campaign == Campaign::Supervisor && random.once_in(3),
            // Beside another run, what is seen could be the other one's.
            bystander: matches!(moment, Moment::Fraction(_)) && random.once_in(3),
        }
    }

    /// The job that is run.
    pub(super) const fn variant(&self) -> Variant {
        Variant {
            sandboxed: self.sandboxed,
            idempotent: self.idempotent,
        }
    }

    /// Whether something was waited for, so that a narrow window is hit on purpose.
    pub(super) const fn is_targeted(&self) -> bool {
        !matches!(self.moment, Moment::Fraction(_))
    }
}

fn victim(campaign: Campaign, random: &mut Random) -> Victim {
    match campaign {
        Campaign::Runner | Campaign::RunnerOverPostgres => Victim::Runner,
        Campaign::Supervisor if random.once_in(2) => Victim::Supervisor,
        Campaign::Supervisor => Victim::Both {
            runner_first: random.once_in(2),
            apart: random.up_to(CLOSE_BEHIND),
        },
    }
}

fn targeted(campaign: Campaign, random: &mut Random) -> Moment {
    let step = 1 + random.below(3) as usize;
    let what = random.below(4);
    // Half of them strike at once, the others a little later.
    let delay = if random.once_in(2) {
        Duration::ZERO
    } else {
        random.up_to(CLOSE_BEHIND)
    };
    match what {
        0 if campaign == Campaign::Runner => Moment::Commit {
            nth: 1 + random.below(10),
            delay,
        },
        0 | 1 => Moment::Claim { step, delay },
        _ => Moment::Exit { step, delay },
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fraction(at) => write!(f, "at {at:.3} of a run's time"),
            Self::Commit { nth, delay } => write!(f, "{delay:?} after write {nth} to the store"),
            Self::Claim { step, delay } => write!(f, "{delay:?} after the claim of step {step}"),
            Self::Exit { step, delay } => {
                write!(f, "{delay:?} after the exit record of step {step}")
            }
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let job = match (self.sandboxed, self.idempotent) {
            (true, true) => "sandboxed, idempotent",
            (true, false) => "sandboxed",
            (false, true) => "plain, idempotent",
            (false, false) => "plain",
        };
        let beside = if self.bystander {
            ", beside another run"
        } else {
            ""
        };
        let Self {
            number,
            victim,
            moment,
            next,
            ..
        } = self;
        write!(
            f,
            "kill {number} of {victim:?} {moment} ({job}{beside}; then {next:?})"
        )
    }
}
