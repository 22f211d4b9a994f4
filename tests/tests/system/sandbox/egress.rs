//! An allow-list: what is listed answers, and nothing else does.

use serde_json::json;

use super::range::Range;
use super::trial::{Job, Trial, User, expect};

const PROGRAM: &[&str] = &["egress.py"];
const COUNT: usize = 22;
/// What the list is there for.
const LISTED: [&str; 2] = ["listed-address-by-a-tunnel", "listed-address-by-a-request"];

fn held_as(user: User) {
    let range = Range::new(user);
    let trial = Trial::new(user);
    let targets = range.targets(&trial.moorline.state_dir(), &[]);
    let control = trial.run(&Job::new(PROGRAM, targets.clone()).without_a_sandbox());
    assert_eq!(
        expect("without a sandbox", &control.told, |_| true),
        COUNT,
        "{control}"
    );

    let reached_before = range.hits();
    let job = Job::new(PROGRAM, targets).step(json!({"egress": {"allow": range.allow_list()}}));
    let inside = trial.run(&job);
    let listed = |name: &str| LISTED.contains(&name);
    assert_eq!(
        expect("in the sandbox", &inside.told, listed),
        COUNT,
        "{inside}"
    );
    assert_eq!(inside.ending(), "success", "{inside}");
    assert_eq!(
        range.hits(),
        reached_before,
        "what is not listed was reached"
    );
    range.assert_untouched();
}

#[test]
fn with_an_allow_list_only_what_is_listed_answers() {
    held_as(User::Own);
}

#[test]
fn with_an_allow_list_only_what_is_listed_answers_without_root_too() {
    held_as(User::Nobody);
}

/// With `open` the machine's network is the job's, but its abstract sockets are not: they belong to programs
/// that think only of users of this machine.
#[test]
fn open_egress_opens_the_network_and_no_abstract_sockets() {
    let range = Range::new(User::Own);
    let trial = Trial::new(User::Own);
    let targets = range.targets(&trial.moorline.state_dir(), &[]);
    let names = [
        "tcp-over-ipv4",
        "udp-over-ipv6",
        "an-abstract-socket-of-the-host",
        "raw-icmp",
        "packets-of-the-link",
    ];
    let program: Vec<&str> = std::iter::once("network.py").chain(names).collect();
    let control = trial.run(&Job::new(&program, targets.clone()).without_a_sandbox());
    let root_only =
        |name: &str| !User::Own.is_root() && matches!(name, "raw-icmp" | "packets-of-the-link");
    assert_eq!(
        expect("without a sandbox", &control.told, |name| !root_only(name)),
        names.len()
    );

    let ran = trial.run(&Job::new(&program, targets).step(json!({"egress": "open"})));
    let opened = |name: &str| name.starts_with("tcp") || name.starts_with("udp");
    assert_eq!(
        expect("in the sandbox", &ran.told, opened),
        names.len(),
        "{ran}"
    );
}
