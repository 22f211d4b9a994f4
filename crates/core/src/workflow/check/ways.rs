//! Each node is reached and can be brought to an end, and no loop goes round without a person (D-FLOW-1c,
//! D-FLOW-1d).

use std::collections::BTreeSet;

use super::Subject;
use super::gates::is_always_offered;
use super::graph::{Edge, Graph, Node};
use crate::spec::Violation;

pub(super) fn check(subject: &Subject<'_>, graph: &Graph<'_>, found: &mut Vec<Violation>) {
    let round = circles(subject, graph, found);
    iterations(subject, graph, found);
    // Where targets are missing, ways are as well: these would be echoes.
    if !graph.whole {
        return;
    }
    let reached = reached(graph);
    let ended = ended(graph);
    for node in &graph.nodes {
        if !reached.contains(node) {
            let message = "is never reached: no way leads to it from the start";
            let violation = Violation::new(place(*node), "D-FLOW-1c", message);
            found.push(violation.with_hint("lead a step or an option to it, or remove it"));
        } else if !round && !ended.contains(node) {
            let message = "can not be brought to an end: from here nobody can be sure to reach `end` or `reject`";
            found.push(Violation::new(place(*node), "D-FLOW-1c", message));
        }
    }
    if !subject.steps.is_empty() && !reached.contains(&Node::End) {
        let message = "never succeeds: no way leads to `end`";
        found.push(Violation::new("/workflow", "D-FLOW-1c", message));
    }
}

/// Loops that a run goes round by itself, each told once, at its first node. Whether there is any.
fn circles(subject: &Subject<'_>, graph: &Graph<'_>, found: &mut Vec<Violation>) -> bool {
    let unattended = |edge: &Edge<'_>| edge.unattended;
    let mut told: BTreeSet<Node> = BTreeSet::new();
    for node in &graph.nodes {
        if told.contains(node) {
            continue;
        }
        if let Some(circle) = graph.way(*node, *node, unattended) {
            let names: Vec<&str> = circle.iter().map(|node| name(subject, *node)).collect();
            told.extend(&circle);
            let message = format!(
                "goes round without a person and may never end: {}",
                names.join(", ")
            );
            let violation = Violation::new(place(*node), "D-FLOW-1d", message);
            found.push(
                violation.with_hint("put a gate into the loop, with an option that iterates"),
            );
        }
    }
    !told.is_empty()
}

/// An option that iterates leads back to its gate.
fn iterations(subject: &Subject<'_>, graph: &Graph<'_>, found: &mut Vec<Violation>) {
    for (at, gate) in subject.workflow.gates.iter().enumerate() {
        for (option_at, option) in gate.options.iter().enumerate() {
            let here =
                |edge: &&Edge<'_>| edge.option.is_some_and(|known| std::ptr::eq(known, option));
            let Some(edge) = graph.edges.iter().find(here).filter(|_| option.iterate) else {
                continue;
            };
            let gate = Node::Gate(at);
            if edge.to != gate && graph.way(edge.to, gate, |_| true).is_none() {
                let place = format!("/workflow/gates/{at}/options/{option_at}/to");
                let message = "does not lead back to the gate, though the option iterates";
                found.push(Violation::new(place, "D-FLOW-1f", message));
            }
        }
    }
}

/// The nodes that some way leads to from the start.
fn reached(graph: &Graph<'_>) -> BTreeSet<Node> {
    let mut reached: BTreeSet<Node> = graph.start.into_iter().collect();
    let mut waiting: Vec<Node> = reached.iter().copied().collect();
    while let Some(node) = waiting.pop() {
        for edge in graph.after(node) {
            if reached.insert(edge.to) {
                waiting.push(edge.to);
            }
        }
    }
    reached
}

/// The nodes from which people can bring a run to its end, whatever its steps find: from a step, every way
/// on leads to one such; from a gate, every way that a rule may choose does, and one that people can always
/// choose.
fn ended(graph: &Graph<'_>) -> BTreeSet<Node> {
    let mut ended = BTreeSet::from([Node::End, Node::Reject]);
    loop {
        let before = ended.len();
        for node in &graph.nodes {
            let by_itself = graph
                .after(*node)
                .filter(|edge| edge.unattended)
                .all(|edge| ended.contains(&edge.to));
            let by_choice = match node {
                Node::Gate(_) => graph
                    .after(*node)
                    .filter(|edge| edge.option.is_some_and(is_always_offered))
                    .any(|edge| ended.contains(&edge.to)),
                _ => true,
            };
            if by_itself && by_choice {
                ended.insert(*node);
            }
        }
        if ended.len() == before {
            return ended;
        }
    }
}

fn place(node: Node) -> String {
    match node {
        Node::Step(at) => format!("/steps/{at}"),
        Node::Gate(at) => format!("/workflow/gates/{at}"),
        Node::End | Node::Reject => "/workflow".to_owned(),
    }
}

fn name<'s>(subject: &'s Subject<'_>, node: Node) -> &'s str {
    match node {
        Node::Step(at) => subject.steps.get(at).map_or("", |step| &step.name),
        Node::Gate(at) => subject.workflow.gates.get(at).map_or("", |gate| &gate.name),
        Node::End => crate::workflow::END,
        Node::Reject => crate::workflow::REJECT,
    }
}
