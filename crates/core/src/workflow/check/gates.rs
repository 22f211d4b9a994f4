//! What a gate offers, and how it decides by itself (D-FLOW-1f, D-FLOW-5a, D-FLOW-6a, D-FLOW-7a).

use std::collections::BTreeSet;

use super::Subject;
use crate::spec::Violation;
use crate::spec::violation::join;
use crate::workflow::condition::{Condition, split_pointer};
use crate::workflow::decimal::Decimal;
use crate::workflow::document::{Gate, GateOption, Recommend, Routes, SetValue, Then};
use crate::workflow::{END, REJECT};

pub(super) fn check(subject: &Subject<'_>, found: &mut Vec<Violation>) {
    for (name, step) in &subject.workflow.steps {
        if let Some(Then::By(routes)) = &step.then {
            let place = join("/workflow/steps", name) + "/then";
            conditions_of(routes, &place, found);
        }
    }
    for (at, gate) in subject.workflow.gates.iter().enumerate() {
        let place = format!("/workflow/gates/{at}");
        let mut names = BTreeSet::new();
        for (option_at, each) in gate.options.iter().enumerate() {
            let place = format!("{place}/options/{option_at}");
            if !names.insert(&each.name) {
                let message = "is the name of an earlier option as well";
                found.push(Violation::new(
                    format!("{place}/name"),
                    "D-FLOW-1a",
                    message,
                ));
            }
            option(each, &place, found);
        }
        if gate.options.is_empty() {
            // The schema has said so.
            continue;
        }
        if !gate.options.iter().any(is_always_offered) {
            let message = "has no option that can be chosen whatever the state is";
            let violation = Violation::new(format!("{place}/options"), "D-FLOW-1f", message);
            found.push(violation.with_hint(
                "add one without `when`, `from` and `iterate`, e.g. one that leads to `reject`",
            ));
        }
        rules(gate, &place, found);
        reminders(gate, &place, found);
    }
}

/// Whether an option can be chosen whatever the state is. What it must change can be given.
pub(super) fn is_always_offered(option: &GateOption) -> bool {
    let from = |value: &SetValue| matches!(value, SetValue::From { .. });
    let given = |key: &String| matches!(option.sets.get(key), Some(SetValue::Input { .. }));
    !option.iterate
        && option.when.is_empty()
        && !option.sets.values().any(from)
        && (option.must_change.is_empty() || option.must_change.iter().any(given))
}

fn option(option: &GateOption, place: &str, found: &mut Vec<Violation>) {
    conditions(&option.when, &format!("{place}/when"), found);
    if option.iterate && option.pivot {
        let message = "iterates and changes direction at once";
        let violation = Violation::new(format!("{place}/pivot"), "D-FLOW-5a", message);
        found.push(
            violation.with_hint("an iteration repeats, a pivot does something else: choose one"),
        );
    }
    if option.pivot && [END, REJECT].contains(&option.to.as_str()) {
        let message = "is a pivot that leads to the end of the run";
        found.push(Violation::new(format!("{place}/to"), "D-FLOW-5a", message));
    } else if option.pivot && option.must_change.is_empty() {
        // L39: what repeats the same under another name is no pivot.
        let message = "is missing, and a pivot that changes nothing is refused";
        let violation = Violation::new(format!("{place}/must_change"), "D-FLOW-5a", message);
        found.push(
            violation.with_hint("name the keys of the state of which it changes at least one"),
        );
    }
    for (at, key) in option.must_change.iter().enumerate() {
        if !option.sets.contains_key(key) {
            let place = format!("{place}/must_change/{at}");
            let message = "is a key that the option does not set, so that it can not change";
            found.push(Violation::new(place, "D-FLOW-5a", message));
        }
    }
    for (at, key) in option.invalidates.iter().enumerate() {
        if option.sets.contains_key(key) {
            let place = format!("{place}/invalidates/{at}");
            let message = "is a key that the option sets as well";
            found.push(Violation::new(place, "D-FLOW-5a", message));
        }
    }
    for (key, value) in &option.sets {
        let place = join(&format!("{place}/sets"), key);
        match value {
            SetValue::From { from } if split_pointer(from).is_none() => {
                found.push(no_pointer(format!("{place}/from")));
            }
            SetValue::Value { value } if value.is_null() => {
                let message = "is null, which is the same as nothing";
                let violation = Violation::new(format!("{place}/value"), "D-FLOW-5a", message);
                found.push(violation.with_hint("name the key in `invalidates` to remove it"));
            }
            _ => {}
        }
    }
}

fn rules(gate: &Gate, place: &str, found: &mut Vec<Violation>) {
    let rules = gate.automatic.iter().flat_map(|automatic| &automatic.rules);
    for (at, rule) in rules.enumerate() {
        let place = format!("{place}/automatic/rules/{at}");
        conditions(&rule.when, &format!("{place}/when"), found);
        let place = format!("{place}/choose");
        match gate.option(&rule.choose) {
            None => found.push(no_option(place)),
            Some(option) if option.needs_person() => {
                let message = "is an option that wants words or input, which only a person gives";
                found.push(Violation::new(place, "D-FLOW-7a", message));
            }
            Some(_) => {}
        }
    }
    match &gate.recommended {
        Some(Recommend::Option(name)) if gate.option(name).is_none() => {
            found.push(no_option(format!("{place}/recommended")));
        }
        Some(Recommend::By(routes)) => {
            let place = format!("{place}/recommended");
            conditions_of(routes, &place, found);
            let named = routes.routes.iter().enumerate();
            let named = named
                .map(|(at, route)| (format!("routes/{at}/to"), &route.to))
                .chain([("otherwise".to_owned(), &routes.otherwise)])
                .chain(
                    routes
                        .on_missing
                        .iter()
                        .map(|to| ("on_missing".to_owned(), to)),
                );
            for (member, name) in named {
                if gate.option(name).is_none() {
                    found.push(no_option(format!("{place}/{member}")));
                }
            }
        }
        _ => {}
    }
}

fn reminders(gate: &Gate, place: &str, found: &mut Vec<Violation>) {
    let mut before = 0;
    for (at, seconds) in gate.reminders.iter().enumerate() {
        let place = format!("{place}/reminders/{at}");
        if *seconds >= gate.expires_after_seconds {
            let message = "is not before the request expires";
            let violation = Violation::new(place, "D-FLOW-6a", message);
            found.push(violation.with_hint(format!(
                "that is after {} seconds; see `expires_after_seconds`",
                gate.expires_after_seconds
            )));
        } else if *seconds <= before && at > 0 {
            let message = "is not after the reminder before it";
            found.push(Violation::new(place, "D-FLOW-6a", message));
        }
        before = *seconds;
    }
}

fn conditions_of(routes: &Routes, place: &str, found: &mut Vec<Violation>) {
    for (at, route) in routes.routes.iter().enumerate() {
        conditions(&route.when, &format!("{place}/routes/{at}/when"), found);
    }
}

/// What can not be compared is found here, and not by a run that stands still.
fn conditions(conditions: &[Condition], place: &str, found: &mut Vec<Violation>) {
    for (at, condition) in conditions.iter().enumerate() {
        let place = format!("{place}/{at}");
        if split_pointer(&condition.evidence).is_none() {
            found.push(no_pointer(format!("{place}/evidence")));
        }
        if condition.is.orders() && Decimal::of(&condition.value).is_none() {
            let message = format!(
                "is no number, and `{}` compares numbers",
                condition.is.as_str()
            );
            found.push(Violation::new(
                format!("{place}/value"),
                "D-FLOW-7a",
                message,
            ));
        }
    }
}

fn no_pointer(place: String) -> Violation {
    let message = "is no JSON pointer into the state (RFC 6901)";
    let violation = Violation::new(place, "D-FLOW-1b", message);
    violation.with_hint("it begins with `/` and a key, e.g. `/evidence/resonance`")
}

fn no_option(place: String) -> Violation {
    Violation::new(place, "D-FLOW-7a", "is no option of the gate")
}
