//! The semantic rules: what a JSON Schema can not say of a job spec.
//!
//! Each rule is a function from what it needs to violations, and has an id in [`RULES`]. What every job
//! must keep is checked when a spec is loaded; what a lane demands on top, by [`validate_for_lane`].

mod job;
mod lane;
mod paths;
mod schedule;
mod secrets;
mod sources;
mod steps;
mod text;
mod workflow;

use serde_json::Value;

use super::parts::Parts;
use super::violation::Violation;

pub use lane::validate_for_lane;

/// One row of the table of rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The id that violations carry. With a letter it is a part of the domain rule before the letter.
    pub id: &'static str,
    /// What must hold.
    pub text: &'static str,
}

const fn rule(id: &'static str, text: &'static str) -> Rule {
    Rule { id, text }
}

/// Every rule that a violation of a job spec can name.
#[rustfmt::skip] // a table reads as one
pub const RULES: [Rule; 47] = [
    rule("json", "the document is JSON (RFC 8259) and repeats no member (RFC 7493)"),
    rule("schema", "the document satisfies the published JSON Schema"),
    rule("D-SPEC-2a", "a job of seed 000's types has every field of JobSpec v1"),
    rule("D-SPEC-2b", "a `task` has steps"),
    rule("D-SPEC-3a", "a `cron` cadence has a five-field `expr` that comes to pass, and no `period_seconds`"),
    rule("D-SPEC-3b", "`time_zone` is an IANA time zone"),
    rule("D-SPEC-3c", "a `periodic` cadence has `period_seconds` and no `expr`; `none` has neither"),
    rule("D-SPEC-3d", "source ids are unique"),
    rule("D-SPEC-3e", "step names are unique"),
    rule("D-SPEC-3f", "browser methods need `constraints.browser_automation`"),
    rule("D-SPEC-3g", "a tier 2 source has a re-auth plan, unless the job is there to find one"),
    rule("D-SPEC-3h", "a tier 3 source can not be scheduled"),
    rule("D-SPEC-3i", "`intake_research` produces no schedule, so it has no cadence"),
    rule("D-SPEC-3j", "an egress list names hosts"),
    rule("D-SPEC-3k", "an image reference is well formed; where the lane says so, it is pinned by digest"),
    rule("D-SPEC-3l", "where the lane says so, egress is stated and is neither `open` nor `*`"),
    rule("D-SPEC-3m", "where the lane says so, no step installs dependencies"),
    rule("D-SPEC-3n", "where the lane says so, no step is interactive"),
    rule("D-SPEC-3o", "parameters satisfy their schema"),
    rule("D-SPEC-3p", "names of inputs are lower-case names"),
    rule("D-SPEC-3q", "an incremental read by cursor names its field, and no other does"),
    rule("D-SPEC-3r", "an alert has one destination, without credentials"),
    rule("D-SPEC-3s", "no threshold contradicts another"),
    rule("D-SPEC-3t", "no step reaches what the lane's egress list does not name"),
    rule("D-SPEC-3u", "a job leaves agents no tool that its lane keeps from them"),
    rule("D-SPEC-4a", "no step may run for longer than `constraints.max_runtime_seconds`"),
    rule("D-SPEC-4b", "mounts are absolute paths, unique within the step"),
    rule("D-SPEC-4c", "paths of the job directory stay inside of it"),
    rule("D-SPEC-5", "numbers are such that the canonical form keeps them (RFC 8785)"),
    rule("D-RUN-4", "only failures of class runtime, timeout and, if idempotent, preempted are retried"),
    rule("D-RUN-5", "a command and its environment can be passed to a process"),
    rule("D-RUN-6", "output paths are canonical and unique, and their schema fits their format"),
    rule("D-FLOW-1a", "steps and gates have unique names, none of them `end` or `reject`; so have phases and options; keys of the state can stand in a template"),
    rule("D-FLOW-1b", "what a workflow names is there: steps, gates, phases, places of the state"),
    rule("D-FLOW-1c", "each node of a workflow is reached, and from each of them people can bring the run to its end"),
    rule("D-FLOW-1d", "no loop of a workflow goes round without a person"),
    rule("D-FLOW-1e", "what a step of a workflow uses is in the state on every way that leads to it, and what is looked at can be there"),
    rule("D-FLOW-1f", "a gate has an option that can always be chosen, and one that iterates leads back to it"),
    rule("D-FLOW-5a", "an option sets what it must change, a pivot must change something, and nothing is both set and removed"),
    rule("D-FLOW-6a", "reminders come one after the other, before the request expires"),
    rule("D-FLOW-7a", "rules and recommendations of a gate choose one of its options, rules one that needs no person, by evidence that can be compared"),
    rule("D-FLOW-7b", "a step that needs an approval comes after its gate on every way, with an approval that was not used yet"),
    rule("D-SEC-2", "secrets have unique names, and keys that are names of environment variables"),
    rule("D-SEC-3", "no secret value stands in a spec, and no secret's key is set as a plain variable"),
    rule("D-SEC-4", "a secret that is named is declared"),
    rule("D-JOB-1a", "what `intake_research` declares as outputs are documents"),
    rule("D-JOB-3a", "no step needs a tool that lane and spec do not permit together"),
];

/// Everything that breaks a rule of every lane.
pub(super) fn check(document: &Value, parts: &Parts) -> Vec<Violation> {
    let mut found = Vec::new();
    text::check(document, &mut found);
    if !document.is_object() {
        return found;
    }
    job::check(parts, &mut found);
    schedule::check(parts, &mut found);
    sources::check(parts, &mut found);
    secrets::check(parts, &mut found);
    steps::check(parts, &mut found);
    paths::check(parts, &mut found);
    workflow::check(parts, &mut found);
    found
}

/// Calls `found` for every entry whose key an earlier one had.
fn repeated<'a, P>(entries: impl IntoIterator<Item = (P, &'a str)>, mut found: impl FnMut(P)) {
    let mut seen = std::collections::HashSet::new();
    for (place, key) in entries {
        if !seen.insert(key) {
            found(place);
        }
    }
}

/// Whether a text can name an environment variable: letters, digits and `_`, not first a digit (POSIX).
fn is_env_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_ids_are_unique() {
        let mut twice = Vec::new();
        repeated(RULES.iter().map(|rule| (rule.id, rule.id)), |id| {
            twice.push(id);
        });
        assert_eq!(twice, [""; 0]);
    }

    #[test]
    fn names_of_environment_variables_are_posix() {
        for name in ["A", "_x", "PATH", "a1_B"] {
            assert!(is_env_name(name), "{name}");
        }
        for name in ["", "1A", "A-B", "A=B", "A B", "\u{e9}", "A\0"] {
            assert!(!is_env_name(name), "{name}");
        }
    }
}
