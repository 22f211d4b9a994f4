//! Names are unique, and what is named is there (D-FLOW-1a, D-FLOW-1b). Targets of ways are read with the
//! [graph](super::graph).

use std::collections::BTreeSet;

use super::Subject;
use crate::spec::Violation;
use crate::spec::violation::join;
use crate::workflow::template::is_key;
use crate::workflow::{END, REJECT};

pub(super) fn check(subject: &Subject<'_>, found: &mut Vec<Violation>) {
    let workflow = subject.workflow;
    if subject.steps.is_empty() {
        let message = "is there without a step to run";
        found.push(Violation::new("/workflow", "D-FLOW-1b", message));
    }
    nodes(subject, found);
    let mut names = BTreeSet::new();
    for (at, phase) in workflow.phases.iter().enumerate() {
        if !names.insert(&phase.name) {
            let place = format!("/workflow/phases/{at}/name");
            let message = "is the name of an earlier phase as well";
            found.push(Violation::new(place, "D-FLOW-1a", message));
        }
    }
    let mut phase = |place: String, named: &Option<String>| {
        if named.as_ref().is_some_and(|name| !names.contains(name)) {
            let message = "is no phase of the workflow";
            let violation = Violation::new(place + "/phase", "D-FLOW-1b", message);
            found.push(violation.with_hint("list it in `/workflow/phases`"));
        }
    };
    for (name, step) in &workflow.steps {
        phase(join("/workflow/steps", name), &step.phase);
    }
    for (at, gate) in workflow.gates.iter().enumerate() {
        phase(format!("/workflow/gates/{at}"), &gate.phase);
    }
    for (name, step) in &workflow.steps {
        let place = join("/workflow/steps", name);
        if !subject.steps.iter().any(|known| known.name == *name) {
            let message = "is no step of the job";
            found.push(Violation::new(&place, "D-FLOW-1b", message));
        }
        for (at, key) in step.produces.iter().enumerate() {
            keyed(format!("{place}/produces/{at}"), key, found);
        }
    }
    for key in workflow.state.keys() {
        keyed(join("/workflow/state", key), key, found);
    }
    for (at, gate) in workflow.gates.iter().enumerate() {
        for (option_at, option) in gate.options.iter().enumerate() {
            let place = format!("/workflow/gates/{at}/options/{option_at}/sets");
            for key in option.sets.keys() {
                keyed(join(&place, key), key, found);
            }
        }
    }
}

/// Steps and gates share one space of names, with the two ends in it.
fn nodes(subject: &Subject<'_>, found: &mut Vec<Violation>) {
    let steps = subject.steps.iter().enumerate();
    for (at, step) in steps {
        if [END, REJECT].contains(&step.name.as_str()) {
            found.push(reserved(format!("/steps/{at}/name")));
        }
    }
    let mut names: BTreeSet<&str> = subject.steps.iter().map(|s| s.name.as_str()).collect();
    for (at, gate) in subject.workflow.gates.iter().enumerate() {
        let place = format!("/workflow/gates/{at}/name");
        if [END, REJECT].contains(&gate.name.as_str()) {
            found.push(reserved(place));
        } else if !names.insert(&gate.name) {
            let message = "is the name of a step or of an earlier gate as well";
            found.push(Violation::new(place, "D-FLOW-1a", message));
        }
    }
}

fn reserved(place: String) -> Violation {
    let message = "is kept for the end of a run";
    Violation::new(place, "D-FLOW-1a", message)
        .with_hint("choose another name than `end` and `reject`")
}

/// A key of the state that the workflow declares can stand in a template.
fn keyed(place: String, key: &str, found: &mut Vec<Violation>) {
    if !is_key(key) {
        let message = "is not a key of a state";
        let violation = Violation::new(place, "D-FLOW-1a", message);
        found.push(
            violation.with_hint("a letter or `_`, then at most 127 letters, digits, `_`, `-`"),
        );
    }
}
