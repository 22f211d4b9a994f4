//! Positive controls: what the checks are for, they find.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::arena::{Arena, Backend, PATIENCE};
use super::check::{self, Findings};
use super::job::Variant;
use super::plan::{Campaign, Moment, Plan};
use super::strike::strike;

const PLAIN: Variant = Variant {
    sandboxed: false,
    idempotent: false,
};

fn findings(arena: &Arena) -> Vec<String> {
    let mut found = Findings::default();
    check::whole(arena, &mut found);
    found.into_vec()
}

/// The one thing that is found wrong begins like this.
fn assert_found(arena: &Arena, text: &str) {
    let found = findings(arena);
    assert!(
        found.iter().any(|finding| finding.contains(text)),
        "{text}: {found:?}"
    );
}

#[test]
fn a_second_start_an_export_that_is_not_whole_and_a_stray_one_are_found() {
    let arena = Arena::new(Backend::Sqlite);
    let output = arena.start_undisturbed(PLAIN).wait(PATIENCE).unwrap();
    assert_eq!(output.code, Some(0), "{output}");
    assert_eq!(findings(&arena), Vec::<String>::new());

    let witness = arena.witness_dir().join(super::job::WITNESS);
    let lines = fs::read_to_string(&witness).unwrap();
    let mut file = fs::OpenOptions::new().append(true).open(&witness).unwrap();
    writeln!(file, "{}", lines.lines().next().unwrap()).unwrap();
    assert_found(&arena, "an attempt ran twice");
    let foreign = lines.replace('a', "b").replace('0', "1");
    fs::write(&witness, format!("{lines}{foreign}")).unwrap();
    assert_found(&arena, "runs that are not in the store ran");
    fs::write(&witness, "").unwrap();
    assert_found(&arena, "done, and nothing was started");
    fs::write(&witness, &lines).unwrap();

    let exports = arena.state_dir().join("exports/plain");
    fs::create_dir(exports.join(".staging-1")).unwrap();
    assert_found(&arena, "exports that are no run's");
    fs::remove_dir(exports.join(".staging-1")).unwrap();
    fs::write(exports.join("latest/publish.txt"), "fetch of").unwrap();
    assert_found(&arena, "and its export is");
}

#[test]
fn a_run_that_nobody_carried_on_and_a_process_that_was_left_are_found() {
    let arena = Arena::new(Backend::Sqlite);
    let step = 1;
    let delay = Duration::ZERO;
    let plan = Plan {
        moment: Moment::Claim { step, delay },
        sandboxed: false,
        ..Plan::draw(Campaign::Runner, 1, 1)
    };
    strike(&arena, &plan, Duration::from_millis(100));
    assert_found(&arena, "not over");

    #[expect(
        clippy::disallowed_methods,
        reason = "the subject is a process that was left behind"
    )]
    let mut left = Command::new("sleep")
        .arg("300")
        .env("CRASH_MARKER", &arena.marker)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let found = arena.leftovers();
    left.kill().unwrap();
    left.wait().unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
}
