//! What has to hold after a kill and the command that follows it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use moorline_core::error_code::{ErrorCode, RunStatus};
use moorline_core::ids::RunId;
use moorline_core::run::Run;
use moorline_core::summary::RunSummary;
use moorline_testkit::moorline::Output;
use moorline_testkit::wait;
use serde_json::Value;

use super::arena::Arena;
use super::job::{self, STEPS, Witnessed};
use super::ledger::Ledger;
use super::plan::{Plan, Victim};
use super::strike::Struck;

/// How long a lost attempt may go unnoticed by a command that waits for it (peers: R2), with slack.
const NOTICED: Duration = Duration::from_secs(5);

/// Rules that do not hold, each as a sentence.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<String>);

impl Findings {
    pub(super) fn require(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.0.push(otherwise());
        }
    }

    pub(super) fn into_vec(self) -> Vec<String> {
        self.0
    }

    /// The one JSON document of a command that has to succeed.
    fn json(&mut self, output: &Output, what: &str) -> Value {
        self.require(output.code == Some(0), || {
            format!("{what} failed: {output}")
        });
        output.json().unwrap_or_else(|error| {
            self.0.push(format!("{what}: {error}"));
            Value::Null
        })
    }
}

/// Everything that has to hold of the arena, whatever was killed in it so far.
pub(super) fn whole(arena: &Arena, found: &mut Findings) -> Ledger {
    let leaked = wait::until(NOTICED, "every process to be gone", || {
        arena.leftovers().is_empty()
    });
    found.require(leaked.is_ok(), || {
        format!("left behind: {}", arena.leftovers().join("; "))
    });
    let ledger = arena.ledger().unwrap();
    let lines = arena.witnessed();
    once(&lines, found);
    listed(arena, &ledger, found);
    events(arena, &ledger, found);
    let audit = found.json(
        &arena.command(["audit", "verify", "--json"]),
        "audit verify",
    );
    found.require(audit["intact"] == Value::Bool(true), || {
        format!("the audit chain: {audit}")
    });
    let exports = arena.exports();
    for run in &ledger.runs {
        let id = run.id.to_string();
        let lines: Vec<_> = lines
            .iter()
            .filter(|line| line.run == id)
            .cloned()
            .collect();
        ended_once(run, &ledger, found);
        steps_of(run, &ledger, &lines, found);
        let expected = (run.status == RunStatus::Success)
            .then(|| BTreeMap::from([(format!("{}.txt", STEPS[2]), job::export_of(&id))]));
        found.require(exports.get(&id) == expected.as_ref(), || {
            format!(
                "run {id} is {}, and its export is {:?}",
                run.status,
                exports.get(&id)
            )
        });
    }
    let known: BTreeSet<String> = ledger.runs.iter().map(|run| run.id.to_string()).collect();
    litter(arena, found);
    let stray: Vec<_> = exports
        .keys()
        .filter(|name| !known.contains(*name))
        .collect();
    found.require(stray.is_empty(), || {
        format!("exports that are no run's: {stray:?}")
    });
    let unknown: Vec<_> = lines
        .iter()
        .filter(|line| !known.contains(&line.run))
        .collect();
    found.require(unknown.is_empty(), || {
        format!("runs that are not in the store ran: {unknown:?}")
    });
    ledger
}

/// No lock of a dead driver stays: each would be looked at by every later command. On a store that machines share it
/// stays a lease longer, with the time since when it is known in it.
fn litter(arena: &Arena, found: &mut Findings) {
    let mut drivers = arena.names_in("drivers");
    let rests = |driver: &String| {
        let file = arena.state_dir().join("drivers").join(driver);
        arena.is_shared() && fs::metadata(file).is_ok_and(|file| file.len() > 0)
    };
    drivers.retain(|driver| !driver.starts_with('.') && !rests(driver));
    found.require(drivers.is_empty(), || {
        format!("locks of drivers that are gone: {drivers:?}")
    });
}

/// The witness: no attempt has started two processes.
fn once(lines: &[Witnessed], found: &mut Findings) {
    let mut attempts = BTreeSet::new();
    for line in lines {
        found.require(attempts.insert(&line.attempt), || {
            format!("an attempt ran twice: {line:?}")
        });
    }
}

/// `runs list` has every run of the store, and all are over.
fn listed(arena: &Arena, ledger: &Ledger, found: &mut Findings) {
    let rows = arena.command(["runs", "list", "--json", "--limit", "100000"]);
    let rows = found.json(&rows, "runs list");
    let rows: Vec<&Value> = rows.as_array().into_iter().flatten().collect();
    let mut listed: Vec<String> = rows
        .iter()
        .filter_map(|row| row["run_id"].as_str().map(str::to_owned))
        .collect();
    listed.reverse();
    let stored: Vec<String> = ledger.runs.iter().map(|run| run.id.to_string()).collect();
    found.require(listed == stored, || {
        format!("listed are {listed:?}, stored are {stored:?}")
    });
    for row in rows {
        let status = &row["status"];
        let open = ["queued", "running", "awaiting_approval"]
            .iter()
            .any(|open| status == open);
        found.require(!open, || format!("not over: {row}"));
    }
}

/// Event ids count up by one from 1, by the command and in the store.
fn events(arena: &Arena, ledger: &Ledger, found: &mut Findings) {
    let listed = arena.command([
        "events", "list", "--json", "--after", "0", "--limit", "1000000",
    ]);
    let listed = found.json(&listed, "events list");
    let ids: Vec<u64> = listed
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|event| event["id"].as_u64())
        .collect();
    let gapless: Vec<u64> = (1..=ledger.events.len() as u64).collect();
    found.require(ids == gapless, || format!("event ids have gaps: {ids:?}"));
    let stored: Vec<u64> = ledger.events.iter().map(|event| event.id).collect();
    found.require(stored == gapless, || {
        format!("stored event ids have gaps: {stored:?}")
    });
}

/// A run is over, once: one summary, one end in the events, one in the audit trail, nothing pending.
fn ended_once(run: &Run, ledger: &Ledger, found: &mut Findings) {
    let id = run.id;
    found.require(run.status.is_terminal(), || {
        format!("run {id} is {}", run.status)
    });
    let status = ledger.summaries.get(&id).map(|summary| summary.status);
    found.require(status == Some(run.status), || {
        format!(
            "run {id} is {}, and its summary says {status:?}",
            run.status
        )
    });
    for kind in ["run.queued", "run.started", "run.ended"] {
        let count = ledger.events_of(id, kind);
        found.require(count == 1, || format!("run {id} has {count} events {kind}"));
    }
    for operation in ["run.submit", "run.end"] {
        let count = ledger.audited(id, operation);
        found.require(count == 1, || {
            format!("run {id} has {count} audit records {operation}")
        });
    }
    let published = ledger.events_of(id, "export.published");
    let expected = usize::from(run.status == RunStatus::Success);
    found.require(published == expected, || {
        format!("run {id} was published {published} times")
    });
    let pending = ledger.pending.get(&id);
    found.require(pending.is_none(), || {
        format!("run {id} has {pending:?} effects pending")
    });
}

/// What the witness saw of a run is what the store says, step by step.
fn steps_of(run: &Run, ledger: &Ledger, lines: &[Witnessed], found: &mut Findings) {
    let id = run.id;
    let attempts = ledger
        .attempts
        .get(&id)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let open = attempts
        .iter()
        .filter(|attempt| attempt.ended_at.is_none())
        .count();
    found.require(open == 0, || {
        format!("run {id} has {open} attempts without an end")
    });
    let claimed = ledger.events_of(id, "attempt.claimed");
    let ended = ledger.events_of(id, "attempt.ended");
    found.require(claimed == attempts.len() && ended == attempts.len(), || {
        format!(
            "run {id}: {} attempts, {claimed} claims, {ended} ends",
            attempts.len()
        )
    });
    let order: Vec<&str> = lines.iter().map(|line| line.step.as_str()).collect();
    found.require(
        order.is_sorted_by_key(|name| STEPS.iter().position(|step| step == name)),
        || format!("run {id} ran its steps in the order {order:?}"),
    );
    for step in &run.steps {
        let of_step = lines.iter().filter(|line| line.step == step.name);
        let started: BTreeSet<String> = of_step.map(|line| line.attempt.clone()).collect();
        let recorded: BTreeSet<String> = attempts
            .iter()
            .filter(|attempt| attempt.step == step.name)
            .map(|attempt| attempt.id.to_string())
            .collect();
        found.require(started.is_subset(&recorded), || {
            format!(
                "run {id}, {}: started {started:?}, recorded {recorded:?}",
                step.name
            )
        });
        found.require(!step.done || !started.is_empty(), || {
            format!("run {id}, {}: done, and nothing was started", step.name)
        });
        found.require(step.idempotent || recorded.len() <= 1, || {
            format!(
                "run {id}, {}: tried again, and is not idempotent",
                step.name
            )
        });
    }
    if run.status == RunStatus::Success {
        let done: Vec<&str> = run
            .steps
            .iter()
            .filter(|step| step.done)
            .map(|step| step.name.as_str())
            .collect();
        found.require(done == STEPS, || {
            format!("run {id} succeeded with {done:?} done")
        });
    }
}

/// What has to hold of the run that was struck; `before` is its id, if it was durable before.
pub(super) fn struck_run(
    arena: &Arena,
    plan: &Plan,
    struck: &Struck,
    before: Option<RunId>,
    after: &Ledger,
    found: &mut Findings,
) {
    let told = acknowledged(&struck.output);
    let run = after.run_of_kill(plan.number);
    let id = run.map(|run| run.id);
    found.require(
        told.is_none() || told == id.map(|id| id.to_string()),
        || format!("run {told:?} was acknowledged; in the store is {id:?}"),
    );
    found.require(before.is_none() || before == id, || {
        format!("run {before:?} was durable before the kill, and now there is {id:?}")
    });
    let Some(run) = run else { return };
    let shown = arena.command(["runs", "show", &run.id.to_string(), "--json"]);
    let shown = found.json(&shown, "runs show");
    let stored = after.summaries.get(&run.id);
    match serde_json::from_value::<RunSummary>(shown.clone()) {
        Ok(summary) => found.require(Some(&summary) == stored, || {
            format!("shown is {shown}, and stored is {stored:?}")
        }),
        Err(error) => found.require(false, || format!("no run summary ({error}): {shown}")),
    }
    let code = run.failure.as_ref().map(|failure| failure.code);
    let expected = match (run.status, plan.victim) {
        (RunStatus::Success, _) => code.is_none(),
        // Only with its supervisor can an attempt be lost.
        (RunStatus::Failed, Victim::Supervisor | Victim::Both { .. }) => {
            code == Some(ErrorCode::Lost) && !plan.idempotent
        }
        _ => false,
    };
    found.require(expected, || {
        format!("run {} ended as {}: {:?}", run.id, run.status, run.failure)
    });
    if plan.victim == Victim::Supervisor {
        let exit = if run.status == RunStatus::Success {
            0
        } else {
            75
        };
        found.require(struck.output.code == Some(exit), || {
            format!(
                "`moorline run` should have ended with {exit}: {}",
                struck.output
            )
        });
    }
    if plan.victim == Victim::Runner {
        logged(arena, run, found);
    }
    if let Some(after) = struck.noticed_after {
        found.require(after < NOTICED, || {
            format!("the end was noticed after {after:?}")
        });
    }
}

/// The log has what every attempt wrote, whoever drove it when it did.
fn logged(arena: &Arena, run: &Run, found: &mut Findings) {
    let id = run.id.to_string();
    let log = found.json(&arena.command(["runs", "logs", &id, "--json"]), "runs logs");
    let lines = log
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|line| line["text"].as_str());
    let began: BTreeSet<&str> = lines
        .filter_map(|line| line.strip_prefix("began "))
        .collect();
    let witnessed = arena.witnessed();
    for line in witnessed.iter().filter(|line| line.run == id) {
        found.require(began.contains(line.attempt.as_str()), || {
            format!(
                "run {id}, {}: attempt {} is not in the log",
                line.step, line.attempt
            )
        });
    }
}

/// The id that `moorline run` had told before it was killed: its acknowledgement.
pub(super) fn acknowledged(output: &Output) -> Option<String> {
    let line = output
        .stderr
        .lines()
        .find_map(|line| line.strip_prefix("run "))?;
    let id = line.split(' ').next()?;
    id.parse::<RunId>().ok().map(|id| id.to_string())
}
