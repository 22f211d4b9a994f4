//! What is in a run's state where: on every way that leads to a node, and on some (D-FLOW-1e, D-FLOW-7b).
//!
//! Two analyses over the same graph. *Always* is what every way to a node brings along: parameters and the
//! first state, what steps produce and options set, less what options remove. *Perhaps* is what some way
//! brings. An approval that a step needs is followed like a key that its gate sets and the step removes.

use std::collections::BTreeSet;

use super::Subject;
use super::graph::{Edge, Graph, Node};
use crate::spec::Violation;
use crate::spec::violation::join;
use crate::workflow::condition::{Condition, split_pointer};
use crate::workflow::document::{Gate, Recommend, Routes, SetValue, Then};
use crate::workflow::template::keys;

/// Something that a run has at a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fact<'a> {
    /// A key of its state.
    Key(&'a str),
    /// An approval of this gate, not used yet.
    Approval(&'a str),
}

type Facts<'a> = BTreeSet<Fact<'a>>;

/// What a run has when it comes to each node; nothing for a node that is not reached.
struct Known<'a>(Vec<(Node, Facts<'a>)>);

impl<'a> Known<'a> {
    fn at(&self, node: Node) -> Option<&Facts<'a>> {
        self.0
            .iter()
            .find(|(known, _)| *known == node)
            .map(|(_, facts)| facts)
    }
}

pub(super) fn check<'a>(subject: &Subject<'a>, graph: &Graph<'a>, found: &mut Vec<Violation>) {
    let Some(start) = graph.start else {
        return;
    };
    let first = |keys: &BTreeSet<&'a str>| keys.iter().copied().map(Fact::Key).collect();
    let always = flow(
        subject,
        graph,
        start,
        first(&subject.given),
        |known, new| known.intersection(new).copied().collect(),
    );
    let perhaps = flow(
        subject,
        graph,
        start,
        first(&subject.possible),
        |known, new| known.union(new).copied().collect(),
    );
    let mut checker = Checker { subject, found };
    for (index, step) in subject.steps.iter().enumerate() {
        if let (Some(always), Some(perhaps)) =
            (always.at(Node::Step(index)), perhaps.at(Node::Step(index)))
        {
            checker.step(&step.name, always, perhaps);
        }
        checker.templates(index);
    }
    for (index, gate) in subject.workflow.gates.iter().enumerate() {
        if let Some(perhaps) = perhaps.at(Node::Gate(index)) {
            checker.gate(index, gate, perhaps);
        }
    }
}

/// Carries facts along the edges until nothing changes. `meet` joins what two ways bring to one node.
fn flow<'a>(
    subject: &Subject<'a>,
    graph: &Graph<'a>,
    start: Node,
    first: Facts<'a>,
    meet: impl Fn(&Facts<'a>, &Facts<'a>) -> Facts<'a>,
) -> Known<'a> {
    let mut known = Known(vec![(start, first)]);
    let mut waiting = vec![start];
    while let Some(node) = waiting.pop() {
        let Some(facts) = known.at(node).cloned() else {
            continue;
        };
        for edge in graph.after(node) {
            let brought = along(subject, edge, facts.clone());
            let at = known.0.iter_mut().find(|(known, _)| *known == edge.to);
            match at {
                None => known.0.push((edge.to, brought)),
                Some((_, facts)) => {
                    let joined = meet(facts, &brought);
                    if joined == *facts {
                        continue;
                    }
                    *facts = joined;
                }
            }
            waiting.push(edge.to);
        }
    }
    known
}

/// What a run has after it took an edge.
fn along<'a>(subject: &Subject<'a>, edge: &Edge<'a>, mut facts: Facts<'a>) -> Facts<'a> {
    match (edge.from, edge.option) {
        (Node::Step(index), _) => {
            let step = subject.steps.get(index);
            if let Some(step) = step.and_then(|step| subject.workflow.steps.get(&step.name)) {
                if let Some(gate) = &step.needs_approval {
                    facts.remove(&Fact::Approval(gate));
                }
                facts.extend(step.produces.iter().map(|key| Fact::Key(key)));
            }
        }
        (Node::Gate(index), Some(option)) => {
            for key in &option.invalidates {
                facts.remove(&Fact::Key(key));
            }
            facts.extend(option.sets.keys().map(|key| Fact::Key(key)));
            if let Some(gate) = subject.workflow.gates.get(index) {
                facts.remove(&Fact::Approval(&gate.name));
                if option.approves() {
                    facts.insert(Fact::Approval(&gate.name));
                }
            }
        }
        _ => {}
    }
    facts
}

struct Checker<'s, 'a> {
    subject: &'s Subject<'a>,
    found: &'s mut Vec<Violation>,
}

impl Checker<'_, '_> {
    fn step(&mut self, name: &str, always: &Facts<'_>, perhaps: &Facts<'_>) {
        let Some(flow) = self.subject.workflow.steps.get(name) else {
            return;
        };
        let place = join("/workflow/steps", name);
        for (at, key) in flow.uses.iter().enumerate() {
            if !always.contains(&Fact::Key(key)) {
                let (message, hint) = if perhaps.contains(&Fact::Key(key)) {
                    (
                        "is not there on every way that leads to the step",
                        "see which option invalidates it, or which way leaves its step out",
                    )
                } else {
                    (
                        "is a key that nothing before the step leaves in the state",
                        "name it in `produces` of an earlier step, in `state`, or in `params`",
                    )
                };
                let violation = Violation::new(format!("{place}/uses/{at}"), "D-FLOW-1e", message);
                self.found.push(violation.with_hint(hint));
            }
        }
        if let Some(gate) = &flow.needs_approval {
            let place = format!("{place}/needs_approval");
            if self.subject.workflow.gate(gate).is_none() {
                let message = "is no gate of the workflow";
                self.found.push(Violation::new(place, "D-FLOW-1b", message));
            } else if !always.contains(&Fact::Approval(gate)) {
                let message = "is a gate whose approval is not there, unused, on every way that leads to the step";
                let violation = Violation::new(place, "D-FLOW-7b", message);
                self.found.push(violation.with_hint(
                    "lead every way through the gate, by an option that neither iterates nor pivots",
                ));
            }
        }
        if let Some(Then::By(routes)) = &flow.then {
            let mut after = perhaps.clone();
            after.extend(flow.produces.iter().map(|key| Fact::Key(key)));
            self.routes(routes, &format!("{place}/then"), &after);
        }
    }

    /// What stands in braces is named in `uses`.
    fn templates(&mut self, index: usize) {
        let subject = self.subject;
        let Some(step) = subject.steps.get(index) else {
            return;
        };
        let flow = subject.workflow.steps.get(&step.name);
        let uses = flow.map_or(&[][..], |flow| flow.uses.as_slice());
        let argv = step.argv.iter().enumerate();
        let argv = argv.map(|(at, arg)| (format!("/steps/{index}/argv/{at}"), arg.as_bytes()));
        let env = format!("/steps/{index}/env");
        let env = step
            .env
            .iter()
            .map(|(name, value)| (join(&env, name), value.as_bytes()));
        for (place, template) in argv.chain(env) {
            for key in keys(template) {
                if !uses.iter().any(|known| known == key) {
                    let message = format!("asks for `{{{{{key}}}}}`, which the step does not use");
                    let violation = Violation::new(place.clone(), "D-FLOW-1e", message);
                    let uses = join("/workflow/steps", &step.name) + "/uses";
                    self.found
                        .push(violation.with_hint(format!("name it in `{uses}`")));
                }
            }
        }
    }

    fn gate(&mut self, index: usize, gate: &Gate, perhaps: &Facts<'_>) {
        let place = format!("/workflow/gates/{index}");
        for (at, key) in gate.context.iter().enumerate() {
            self.key(format!("{place}/context/{at}"), key, perhaps);
        }
        for (at, option) in gate.options.iter().enumerate() {
            let place = format!("{place}/options/{at}");
            self.conditions(&option.when, &format!("{place}/when"), perhaps);
            for (key, value) in &option.sets {
                if let SetValue::From { from } = value {
                    let place = join(&format!("{place}/sets"), key) + "/from";
                    self.pointer(place, from, perhaps);
                }
            }
            for (at, key) in option.invalidates.iter().enumerate() {
                if !self.is_known(key) {
                    let message = "is a key that nothing ever leaves in the state";
                    let place = format!("{place}/invalidates/{at}");
                    self.found.push(Violation::new(place, "D-FLOW-1e", message));
                }
            }
        }
        let rules = gate.automatic.iter().flat_map(|automatic| &automatic.rules);
        for (at, rule) in rules.enumerate() {
            let place = format!("{place}/automatic/rules/{at}/when");
            self.conditions(&rule.when, &place, perhaps);
        }
        if let Some(Recommend::By(routes)) = &gate.recommended {
            self.routes(routes, &format!("{place}/recommended"), perhaps);
        }
    }

    fn routes(&mut self, routes: &Routes, place: &str, perhaps: &Facts<'_>) {
        for (at, route) in routes.routes.iter().enumerate() {
            self.conditions(&route.when, &format!("{place}/routes/{at}/when"), perhaps);
        }
    }

    fn conditions(&mut self, conditions: &[Condition], place: &str, perhaps: &Facts<'_>) {
        for (at, condition) in conditions.iter().enumerate() {
            self.pointer(
                format!("{place}/{at}/evidence"),
                &condition.evidence,
                perhaps,
            );
        }
    }

    fn pointer(&mut self, place: String, pointer: &str, perhaps: &Facts<'_>) {
        if let Some((key, _)) = split_pointer(pointer) {
            self.key(place, &key, perhaps);
        }
    }

    fn key(&mut self, place: String, key: &str, perhaps: &Facts<'_>) {
        if !perhaps.contains(&Fact::Key(key)) {
            let message = "is of a key that no way leaves in the state here";
            let violation = Violation::new(place, "D-FLOW-1e", message);
            self.found.push(violation.with_hint(
                "name the key in `produces` of a step before, in `state`, or in `params`",
            ));
        }
    }

    /// Whether anything at all leaves a key.
    fn is_known(&self, key: &str) -> bool {
        let workflow = self.subject.workflow;
        let produced = workflow.steps.values().flat_map(|step| &step.produces);
        let options = workflow.gates.iter().flat_map(|gate| &gate.options);
        let set = options.flat_map(|option| option.sets.keys());
        self.subject.possible.contains(key) || produced.chain(set).any(|known| known == key)
    }
}
