//! The rules of the domain, by the ids that errors, refusals and audit records cite (D-AUDIT-4).
//!
//! [`statement`] says in one sentence what a rule demands, so that whoever is refused can ask why:
//! `moorline explain rule D-ART-4`. A rule of job specs that is one part of a domain rule carries a letter
//! (`D-SPEC-3k`); its sentence is that of [`crate::spec::RULES`].
//!
//! Deliberately absent: enforcement. Each rule is enforced where it belongs; a test of the workspace holds
//! that no source cites a rule which is not listed here.

use crate::spec::{self, Rule};

/// Every domain rule, by area.
#[rustfmt::skip] // a table reads as one
pub const RULES: &[Rule] = &[
    rule("D-REF-1", "a processor ref is `namespace/name@version`: lower-case words, a version counted from 1"),
    rule("D-REF-2", "an app name is made from a ref by one function, and by nothing else"),
    rule("D-REF-3", "an app name has at most 64 characters of letters, digits, `-`, `_` and `.`, and does not look like an app id"),
    rule("D-REF-4", "no two refs of a registry give the same app name"),
    rule("D-REF-5", "names are never read back: what belongs to whom is recorded"),
    rule("D-REF-6", "a name that is given by hand is checked by the rules of derived ones"),
    rule("D-REF-7", "no policy of names lets a name of the dev lane stand for an object of prod"),

    rule("D-SEC-1", "a logical secret, the object that holds it and the keys inside are three things"),
    rule("D-SEC-2", "the lane's naming policy names secrets; each key of each secret is checked"),
    rule("D-SEC-3", "the value of a secret is handed over at run time only, and stands nowhere else"),
    rule("D-SEC-4", "a step is given exactly the secrets that it declares, and none in mock mode"),
    rule("D-SEC-5", "missing secrets are refused before anything starts, all of them at once"),
    rule("D-SEC-6", "what is shown or kept is redacted, by value first and then by pattern"),
    rule("D-SEC-7", "lanes have secrets of their own: a dev run can not name a prod secret"),
    rule("D-SEC-8", "revoking is one command, and stops what runs first"),
    rule("D-SEC-9", "a session is refreshed by a person, on their own machine, and its expiry is told before it comes"),

    rule("D-SPEC-1", "a job spec satisfies one published JSON Schema, and every violation is told at once"),
    rule("D-SPEC-2", "a JobSpec v1 document loads as it is, with everything that it must have"),
    rule("D-SPEC-3", "a job spec keeps the semantic rules, and the demands of its lane"),
    rule("D-SPEC-4", "what a step may use is stated: time, processors, memory, volumes"),
    rule("D-SPEC-5", "what was approved never changes: any change is a new version and a new review"),

    rule("D-ART-1", "an artifact has every file that a reviewer needs, no unexpected binary and no secret"),
    rule("D-ART-2", "the tree of directories is a view; the store and the contents by hash are the truth"),
    rule("D-ART-3", "an artifact moves by decisions: pending, then approved, rejected or sent back; then superseded or archived"),
    rule("D-ART-4", "only a person approves, promotes and enables; where two are asked for, not the one who submitted"),
    rule("D-ART-5", "a change of access, dependencies, network, secrets or tier needs a recorded security review"),
    rule("D-ART-6", "a rollback points back to an approved version, deletes nothing and leaves schedules disabled"),

    rule("D-SCHED-1", "a schedule exists only for an approved, promoted artifact, and equals its `SCHEDULE.json` and the spec's cadence"),
    rule("D-SCHED-2", "enabling a schedule needs all five gates: spec approved, artifact promoted, secrets configured, egress verified, first run verified"),
    rule("D-SCHED-3", "each due time of a schedule starts what its policies say: once, in its time zone, across transitions"),
    rule("D-SCHED-4", "disabling is always allowed, can be repeated, and holds for a start that is already due"),
    rule("D-SCHED-5", "what is deployed outside is compared with what is recorded, and a difference is told"),

    rule("D-RUN-1", "a run is durable before it is acknowledged, and the same key gives the same run"),
    rule("D-RUN-2", "a run ends once: a terminal status is final, and every run that started has one summary"),
    rule("D-RUN-3", "a run leaves one summary with published fields"),
    rule("D-RUN-4", "attempts are leased, stale ones write nothing, and only configured failures are retried; auth and validation never"),
    rule("D-RUN-5", "a job is a process with an argument list, an input file and an output directory"),
    rule("D-RUN-6", "outputs are checked before they are published, and are published all at once or not at all"),
    rule("D-RUN-7", "the class of a failure decides what becomes of run, source, schedule, retries, outputs and alerts"),
    rule("D-RUN-8", "what needs secrets or the network runs in mock mode unless asked otherwise, and never for real under CI"),

    rule("D-STOP-1", "while a stop is in force nothing that it covers starts"),
    rule("D-STOP-2", "after an acknowledged stop no attempt starts, and every process is gone within a stated time"),
    rule("D-STOP-3", "an emergency disables, stops, revokes and archives, in that order; a release needs a person and a reason"),

    rule("D-PROC-1", "a processor is found under exactly its own ref"),
    rule("D-PROC-2", "a processor's inputs satisfy its schema, and its outputs are listed once, with content ids"),
    rule("D-PROC-3", "mock is the default mode of a processor, and CI refuses real mode before anything is touched"),
    rule("D-PROC-4", "a write prefix is absolute, canonical, under an allowed root, and ends with `/`"),
    rule("D-PROC-5", "a deployment is checked before and after, and what can not be verified counts as drift"),
    rule("D-PROC-6", "errors have codes of one closed set, each with its exit code, status and effects"),

    rule("D-FLOW-1", "a workflow is data, checked when it is loaded: each option leads somewhere, each node to an end, and what a step uses is there"),
    rule("D-FLOW-2", "the result of a step becomes part of the run's state, so that any machine can go on from there"),
    rule("D-FLOW-3", "a run that comes to a gate waits with its request in one transaction: no process, no lease, no cost"),
    rule("D-FLOW-4", "a decision names an open request and an option that it offers, is a person's who may decide, and takes effect once"),
    rule("D-FLOW-5", "an option says where it leads, what it sets and removes and what it must change; iterating has a limit"),
    rule("D-FLOW-6", "a request that nobody decides in time expires by its policy, and people are reminded before"),
    rule("D-FLOW-7", "a gate decides by itself only on evidence that is all there; a step that spends uses up an approval"),
    rule("D-FLOW-8", "kickoff, status and approval are kept over HTTP, and progress is appended and pushed"),
    rule("D-FLOW-9", "what people are told leaves through an outbox: signed, tried again with growing delays, given up at last, and sent again on request"),

    rule("D-AUDIT-1", "every change has an actor, a reason where a person decides, and a record in a chain that shows tampering"),
    rule("D-AUDIT-2", "one table of operations and roles decides for every surface; what is not permitted is denied"),
    rule("D-AUDIT-3", "a principal sees its own projects only; what belongs to others is not there"),
    rule("D-AUDIT-4", "every refusal names the rule that refused"),

    rule("D-JOB-1", "a step 1 job (`intake_research`) leaves documents for people: no code, no program and no schedule"),
    rule("D-JOB-2", "a step 2 job (`generate_and_test`, `repair_source`, `bootstrap_*`) leaves an artifact to review: it does not alter the spec that it works from, approve, promote, enable or widen what is reached"),
    rule("D-JOB-3", "a job uses only the tools that its lane and its spec both permit"),
    rule("D-JOB-4", "an image is built from a definition: a base pinned by digest, every package pinned to a version, a version of its own"),
];

const fn rule(id: &'static str, text: &'static str) -> Rule {
    Rule { id, text }
}

/// What a rule demands, in one sentence; `None` for an id that no rule has.
///
/// ```
/// use moorline_core::rules;
///
/// assert!(rules::statement("D-ART-4").unwrap().starts_with("only a person approves"));
/// assert!(rules::statement("D-SPEC-3k").unwrap().contains("pinned by digest"));
/// assert_eq!(rules::statement("D-ART-99"), None);
/// ```
pub fn statement(id: &str) -> Option<&'static str> {
    RULES
        .iter()
        .chain(spec::RULES.iter())
        .find(|rule| rule.id == id)
        .map(|rule| rule.text)
}

/// The ids of rules that a text cites, each once, in the order of their first mention.
///
/// ```
/// let cited = moorline_core::rules::cited("refused (D-ART-4), see D-SPEC-3k and D-ART-4");
/// assert_eq!(cited, ["D-ART-4", "D-SPEC-3k"]);
/// ```
pub fn cited(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (start, _) in text.match_indices("D-") {
        let within = text
            .get(..start)
            .and_then(|before| before.chars().next_back())
            .is_some_and(|c| c.is_ascii_alphanumeric() || c == '-');
        if within {
            continue;
        }
        if let Some(id) = id_at(text.get(start..).unwrap_or_default())
            && !found.iter().any(|known| known == id)
        {
            found.push(id.to_owned());
        }
    }
    found
}

/// The id that a text begins with: `D-`, capitals, `-`, digits, and at most one letter.
fn id_at(text: &str) -> Option<&str> {
    let area = text.strip_prefix("D-")?;
    let letters = area.bytes().take_while(u8::is_ascii_uppercase).count();
    let number = area.get(letters..)?.strip_prefix('-')?;
    let digits = number.bytes().take_while(u8::is_ascii_digit).count();
    if letters == 0 || digits == 0 {
        return None;
    }
    let mut end = 2 + letters + 1 + digits;
    let mut rest = text.get(end..)?.bytes();
    // A letter that begins a word is no part of the id.
    if rest.next().is_some_and(|b| b.is_ascii_lowercase())
        && !rest.next().is_some_and(|b| b.is_ascii_alphanumeric())
    {
        end += 1;
    }
    text.get(..end)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_rule_is_listed_once_and_says_something() {
        let ids: BTreeSet<&str> = RULES.iter().map(|rule| rule.id).collect();
        assert_eq!(ids.len(), RULES.len());
        for rule in RULES {
            assert_eq!(cited(rule.id), [rule.id]);
            assert!(rule.text.len() > 20, "{}", rule.id);
        }
    }

    #[test]
    fn a_part_of_a_rule_belongs_to_a_listed_rule() {
        for part in spec::RULES.iter().filter(|part| part.id.starts_with("D-")) {
            let whole = part.id.trim_end_matches(|c: char| c.is_ascii_lowercase());
            assert!(statement(whole).is_some(), "{}", part.id);
        }
    }

    #[test]
    fn only_whole_ids_are_cited() {
        assert_eq!(
            cited("ID-ART-4 D-art-1 D-ART- D--1 D-ART-4and"),
            ["D-ART-4"]
        );
        assert_eq!(cited("D-SPEC-3k."), ["D-SPEC-3k"]);
        assert_eq!(cited(""), [""; 0]);
    }
}
