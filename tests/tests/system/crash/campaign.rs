//! A campaign: kills one after the other in arenas of their own, two at a time.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use moorline_core::ids::RunId;
use moorline_testkit::moorline::{Output, Running};
use moorline_testkit::{canary, env};

use super::arena::{Arena, Backend, PATIENCE};
use super::check::{self, Findings};
use super::job::Variant;
use super::ledger::Ledger;
use super::phase::Phase;
use super::plan::{Campaign, Next, Plan};
use super::report::{Failure, Report};
use super::strike::{Struck, now, strike};

/// The seed to use; a new one when it is unset.
const SEED: &str = "MOORLINE_CRASH_SEED";

/// The only kill to carry out.
const ONLY: &str = "MOORLINE_CRASH_ONLY";

/// Kills at a time.
const LANES: usize = 2;

/// Kills in one state directory, before the next lane of kills begins with none.
const PER_ARENA: u32 = 10;

/// After this many failures the rest would tell nothing new.
const ENOUGH: usize = 3;

fn number_of(name: &str) -> Option<u64> {
    env::read(name).map(|text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is no number: {text}"))
    })
}

/// Carries a campaign out.
pub(super) fn run(campaign: Campaign, backend: Backend, kills: u32) -> Report {
    let seed = number_of(SEED)
        .unwrap_or_else(|| u64::from_str_radix(&canary::random_hex(4), 16).unwrap_or_default());
    let only = number_of(ONLY).map(|number| u32::try_from(number).unwrap());
    let name = format!("crash harness, {campaign:?} on {backend:?}");
    let kills = if only.is_some() { 1 } else { kills };
    let report = Mutex::new(Report {
        name,
        seed,
        kills,
        ..Report::default()
    });
    let next = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..LANES.min(kills as usize) {
            scope.spawn(|| {
                let mut lane = Lane::new(backend);
                loop {
                    let count = next.fetch_add(1, Ordering::Relaxed);
                    if count >= kills || report.lock().unwrap().failures.len() >= ENOUGH {
                        break;
                    }
                    let plan = Plan::draw(campaign, seed, only.unwrap_or(count));
                    lane.kill(&plan, &report);
                }
                lane.close(&report);
            });
        }
    });
    report.into_inner().unwrap()
}

/// One kill after the other.
struct Lane {
    backend: Backend,
    arena: Arena,
    kills: u32,
}

impl Lane {
    fn new(backend: Backend) -> Self {
        Self {
            backend,
            arena: Arena::new(backend),
            kills: 0,
        }
    }

    /// What a run takes that nobody disturbs, in an arena like this one.
    fn undisturbed(&self, variant: Variant, report: &Mutex<Report>) -> Duration {
        let known = |report: &Report| report.undisturbed.get(variant.job_id()).copied();
        if let Some(took) = known(&report.lock().unwrap()) {
            return took;
        }
        let arena = Arena::new(self.backend);
        // The first one makes the store, and warms what the others find warm.
        arena.start_undisturbed(variant).wait(PATIENCE).unwrap();
        let start = now();
        let output = arena.start_undisturbed(variant).wait(PATIENCE).unwrap();
        let took = start.elapsed();
        assert_eq!(output.code, Some(0), "an undisturbed run failed: {output}");
        let mut report = report.lock().unwrap();
        *report.undisturbed.entry(variant.job_id()).or_insert(took)
    }

    fn kill(&mut self, plan: &Plan, report: &Mutex<Report>) {
        let undisturbed = self.undisturbed(plan.variant(), report);
        if self.kills == PER_ARENA {
            self.close(report);
        }
        self.kills += 1;
        let mut found = Findings::default();
        let mut beside = plan
            .bystander
            .then(|| self.arena.start_undisturbed(plan.variant()));
        let struck = strike(&self.arena, plan, undisturbed);
        if self.backend == Backend::Postgres {
            undisturbed_end(beside.take(), &mut found);
            self.arena.wait_for_the_server();
        }
        let (phase, before) = self.look(plan, &struck);
        let recovery = self.next(plan, before, &mut found);
        undisturbed_end(beside, &mut found);
        let after = check::whole(&self.arena, &mut found);
        check::struck_run(&self.arena, plan, &struck, before, &after, &mut found);
        let broken = found.into_vec();
        let mut report = report.lock().unwrap();
        report.count(phase, plan.is_targeted());
        report.sandboxed += u32::from(plan.sandboxed);
        if !broken.is_empty() {
            let kill = format!(
                "{plan}, struck {:?} after its start, {}",
                struck.at,
                phase.name()
            );
            let evidence = evidence(plan, &struck, &recovery, &after, &self.arena);
            report.failures.push(Failure {
                kill,
                broken,
                evidence,
            });
            drop(report);
            // What is broken stays out of the next kill's way.
            self.arena = Arena::new(self.backend);
            self.kills = 0;
        }
    }

    /// Which phase was struck, and whether the run was durable by then.
    fn look(&self, plan: &Plan, struck: &Struck) -> (Phase, Option<RunId>) {
        let mut ledger = self.arena.ledger();
        // Another run may write while its files are copied; then the copy can be torn.
        for _ in 0..10 {
            if ledger.is_ok() || !plan.bystander {
                break;
            }
            ledger = self.arena.ledger();
        }
        let ledger = ledger.unwrap();
        let phase = Phase::of(plan, struck, &ledger);
        // A commit that SQLite has written and not published yet is overwritten by the next one of a process
        // that lives beside it. It had returned to nobody; only in a copy it looks like a run.
        let counts = !plan.bystander || check::acknowledged(&struck.output).is_some();
        let run = ledger.run_of_kill(plan.number).filter(|_| counts);
        (phase, run.map(|run| run.id))
    }

    /// The next command after the kill.
    fn next(&self, plan: &Plan, before: Option<RunId>, found: &mut Findings) -> Vec<Output> {
        let mut outputs = Vec::new();
        if plan.next == Next::ListThenWait {
            outputs.push(self.arena.command(["runs", "list", "--json"]));
        }
        if plan.next == Next::AskAgain {
            let again = self.arena.ask_again(plan);
            let told = again.json().ok().and_then(|summary| {
                summary["run_id"]
                    .as_str()
                    .and_then(|id| id.parse::<RunId>().ok())
            });
            found.require(
                told.is_some() && (before.is_none() || before == told),
                || format!("asked again under its key, {before:?} became {told:?}: {again}"),
            );
            outputs.push(again);
        } else if self.arena.state_dir().is_dir() {
            // Killed before it had made a state directory, there is nothing to wait in.
            let waited = self.arena.command(["runs", "wait", "--all", "--json"]);
            found.require(waited.code == Some(0), || {
                format!("runs wait --all failed: {waited}")
            });
            outputs.push(waited);
        }
        outputs
    }

    /// Counts what happened in an arena and goes on in a new one.
    fn close(&mut self, report: &Mutex<Report>) {
        let ledger = self.arena.ledger().unwrap();
        let mut report = report.lock().unwrap();
        report.runs += ledger.runs.len();
        report.attempts += ledger.attempts.values().map(Vec::len).sum::<usize>();
        drop(report);
        self.arena = Arena::new(self.backend);
        self.kills = 0;
    }
}

/// Waits for the end of a run that nobody killed.
fn undisturbed_end(beside: Option<Running>, found: &mut Findings) {
    if let Some(beside) = beside {
        let output = beside.wait(PATIENCE).unwrap();
        found.require(output.code == Some(0), || {
            format!("the run beside it failed: {output}")
        });
    }
}

/// Everything that tells what happened to the run of a kill.
fn evidence(
    plan: &Plan,
    struck: &Struck,
    recovery: &[Output],
    after: &Ledger,
    arena: &Arena,
) -> String {
    let mut text = format!(
        "--- moorline run\n{}\n--- seen: {:?}\n",
        struck.output, struck.attempts
    );
    for output in recovery {
        writeln!(text, "--- then\n{output}").unwrap();
    }
    let Some(run) = after.run_of_kill(plan.number) else {
        return text;
    };
    writeln!(text, "--- run\n{}", serde_json::to_string(run).unwrap()).unwrap();
    let id = run.id.to_string();
    for line in arena.witnessed().iter().filter(|line| line.run == id) {
        writeln!(text, "--- witness {} {}", line.step, line.attempt).unwrap();
    }
    for event in after
        .events
        .iter()
        .filter(|event| event.run_id == Some(run.id))
    {
        writeln!(
            text,
            "--- event {} {} {}",
            event.id,
            event.kind.as_str(),
            event.data
        )
        .unwrap();
    }
    text
}
