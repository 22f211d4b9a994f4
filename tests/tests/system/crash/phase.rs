//! In which part of its life a run was struck, told from the state that the kill left behind.

use moorline_core::run::Run;

use super::job::STEPS;
use super::ledger::Ledger;
use super::plan::{Plan, Victim};
use super::strike::{Seen, Struck};

macro_rules! phases {
    ($($(#[$doc:meta])* $name:ident = $text:literal),+ $(,)?) => {
        /// The parts of a run's life, in their order; then those of an attempt whose supervisor is struck.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum Phase { $($(#[$doc])* $name,)+ }

        impl Phase {
            pub(super) const ALL: &'static [Self] = &[$(Self::$name),+];

            pub(super) const fn name(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }
    };
}

phases! {
    /// No run is in the store.
    BeforeSubmit = "before the submission",
    /// The first attempt is claimed in the store, and no supervisor has taken it.
    CommitToSpawn = "between commit and spawn",
    /// A supervisor has taken the attempt, and the store has no handle of it.
    SpawnToHandle = "between spawn and stored handle",
    /// The job runs, or is about to.
    Running = "while a step runs",
    /// A step's exit record is there, and the store does not know.
    ExitToRecord = "between a step's exit and its record",
    /// A step is done; the next one is claimed, and no supervisor has taken it.
    BetweenSteps = "between two steps",
    /// The last step's exit record is there, and the store has no summary.
    ExitToSummary = "between exit and summary",
    /// The summary is there, and the outputs are not published yet.
    SummaryToExport = "between summary and export",
    /// Everything is done, and the process had not ended yet.
    AfterSummary = "after summary and export",
    /// The process had ended by itself.
    AfterEnd = "after the end of the process",
    /// The attempt was taken, and its job had done nothing.
    SupervisorBeforeJob = "supervisor, before the job's first act",
    /// The job had begun.
    SupervisorDuringJob = "supervisor, while the job runs",
    /// There was nothing left to lose.
    SupervisorAfterExit = "supervisor, after the exit record",
}

impl Phase {
    /// Those that a crash is most likely to get wrong; a long campaign has to hit each.
    pub(super) const NARROW: [Self; 3] = [
        Self::CommitToSpawn,
        Self::SpawnToHandle,
        Self::ExitToSummary,
    ];

    /// The phase that a kill left behind.
    pub(super) fn of(plan: &Plan, struck: &Struck, ledger: &Ledger) -> Self {
        if plan.victim != Victim::Runner {
            return Self::of_attempt(struck);
        }
        let Some(run) = ledger.run_of_kill(plan.number) else {
            return Self::BeforeSubmit;
        };
        if struck.output.signal.is_none() {
            return Self::AfterEnd;
        }
        if run.status.is_terminal() {
            let pending = ledger.pending.contains_key(&run.id);
            return if pending {
                Self::SummaryToExport
            } else {
                Self::AfterSummary
            };
        }
        Self::of_live(run, struck)
    }

    fn of_live(run: &Run, struck: &Struck) -> Self {
        let Some(live) = &run.attempt else {
            return Self::BetweenSteps;
        };
        let id = live.id.to_string();
        match struck.attempts.iter().find(|seen| seen.attempt == id) {
            Some(Seen { over: true, .. }) if run.step + 1 == STEPS.len() => Self::ExitToSummary,
            Some(Seen { over: true, .. }) => Self::ExitToRecord,
            _ if live.handle.is_some() => Self::Running,
            Some(Seen { claimed: true, .. }) => Self::SpawnToHandle,
            _ if run.step > 0 => Self::BetweenSteps,
            _ => Self::CommitToSpawn,
        }
    }

    const fn of_attempt(struck: &Struck) -> Self {
        match (struck.target_was_over, struck.target_had_begun) {
            (true, _) => Self::SupervisorAfterExit,
            (false, true) => Self::SupervisorDuringJob,
            (false, false) => Self::SupervisorBeforeJob,
        }
    }
}
