//! The graph as nodes and edges.

use super::Subject;
use crate::spec::Violation;
use crate::spec::violation::{did_you_mean, join};
use crate::workflow::document::{GateOption, Then};
use crate::workflow::{END, REJECT};

/// A node: a step or a gate by its index, or one of the two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Node {
    Step(usize),
    Gate(usize),
    End,
    Reject,
}

/// A way from a node to another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edge<'a> {
    pub(super) from: Node,
    pub(super) to: Node,
    /// The option by which it is taken, for one that leaves a gate.
    pub(super) option: Option<&'a GateOption>,
    /// Whether no person is asked before it is taken, as often as a run comes by: not by an option that
    /// iterates, since the gate counts those.
    pub(super) unattended: bool,
}

/// What comes after what.
pub(super) struct Graph<'a> {
    pub(super) start: Option<Node>,
    /// Steps in the order of the spec, then gates in theirs.
    pub(super) nodes: Vec<Node>,
    pub(super) edges: Vec<Edge<'a>>,
    /// Whether every target is one node. Where one is not, the graph has less ways than were meant.
    pub(super) whole: bool,
}

impl<'a> Graph<'a> {
    /// Reads the graph; targets that are no nodes are told (D-FLOW-1b).
    pub(super) fn of(subject: &Subject<'a>, found: &mut Vec<Violation>) -> Self {
        let mut reader = Reader {
            subject,
            edges: Vec::new(),
            unknown: Vec::new(),
        };
        for index in 0..subject.steps.len() {
            reader.step(index);
        }
        for index in 0..subject.workflow.gates.len() {
            reader.gate(index);
        }
        let start = reader.start();
        let Reader { edges, unknown, .. } = reader;
        // A name that two nodes have leads to the first alone.
        let ambiguous = found
            .iter()
            .any(|violation| violation.rule == "D-FLOW-1a" && violation.pointer.ends_with("/name"));
        let gates = &subject.workflow.gates;
        let dead_end = gates.iter().any(|gate| gate.options.is_empty());
        let whole = unknown.is_empty() && !ambiguous && !dead_end;
        found.extend(unknown);
        let steps = (0..subject.steps.len()).map(Node::Step);
        Self {
            start,
            nodes: steps
                .chain((0..subject.workflow.gates.len()).map(Node::Gate))
                .collect(),
            edges,
            whole,
        }
    }

    pub(super) fn after(&self, node: Node) -> impl Iterator<Item = &Edge<'a>> {
        self.edges.iter().filter(move |edge| edge.from == node)
    }

    /// The shortest way from a node to another, over some of the edges, by its nodes: at least two.
    pub(super) fn way(
        &self,
        from: Node,
        to: Node,
        by: impl Fn(&Edge<'a>) -> bool,
    ) -> Option<Vec<Node>> {
        let mut ways: Vec<Vec<Node>> = vec![vec![from]];
        let mut seen = Vec::new();
        let mut next = 0;
        while let Some(way) = ways.get(next).cloned() {
            next += 1;
            let last = *way.last()?;
            for edge in self.after(last).filter(|edge| by(edge)) {
                let mut longer = way.clone();
                longer.push(edge.to);
                if edge.to == to {
                    return Some(longer);
                }
                if !seen.contains(&edge.to) {
                    seen.push(edge.to);
                    ways.push(longer);
                }
            }
        }
        None
    }
}

struct Reader<'s, 'a> {
    subject: &'s Subject<'a>,
    edges: Vec<Edge<'a>>,
    unknown: Vec<Violation>,
}

impl Reader<'_, '_> {
    fn start(&mut self) -> Option<Node> {
        let workflow = self.subject.workflow;
        let Some(name) = &workflow.start else {
            return (!self.subject.steps.is_empty()).then_some(Node::Step(0));
        };
        let index = self.subject.steps.iter().position(|s| s.name == *name);
        if index.is_none() {
            let message = "is no step of the job, and a run begins with a step";
            self.unknown
                .push(Violation::new("/workflow/start", "D-FLOW-1b", message));
        }
        index.map(Node::Step)
    }

    fn step(&mut self, index: usize) {
        let subject = self.subject;
        let Some(step) = subject.steps.get(index) else {
            return;
        };
        let from = Node::Step(index);
        let flow = subject.workflow.steps.get(&step.name);
        let place = join("/workflow/steps", &step.name) + "/then";
        match flow.and_then(|flow| flow.then.as_ref()) {
            None => {
                let to = if index + 1 < subject.steps.len() {
                    Node::Step(index + 1)
                } else {
                    Node::End
                };
                self.edge(from, to);
            }
            Some(Then::To(to)) => self.target(from, to, &place),
            Some(Then::By(routes)) => {
                for (route_at, route) in routes.routes.iter().enumerate() {
                    self.target(from, &route.to, &format!("{place}/routes/{route_at}/to"));
                }
                self.target(from, &routes.otherwise, &format!("{place}/otherwise"));
                if let Some(to) = &routes.on_missing {
                    self.target(from, to, &format!("{place}/on_missing"));
                }
            }
        }
    }

    fn gate(&mut self, index: usize) {
        let subject = self.subject;
        let Some(gate) = subject.workflow.gates.get(index) else {
            return;
        };
        for (at, option) in gate.options.iter().enumerate() {
            let rules = gate.automatic.iter().flat_map(|automatic| &automatic.rules);
            let by_rule = rules.into_iter().any(|rule| rule.choose == option.name);
            let place = format!("/workflow/gates/{index}/options/{at}/to");
            if let Some(to) = self.node(&option.to, &place) {
                self.edges.push(Edge {
                    from: Node::Gate(index),
                    to,
                    option: Some(option),
                    unattended: by_rule && !option.iterate,
                });
            }
        }
    }

    fn target(&mut self, from: Node, name: &str, place: &str) {
        if let Some(to) = self.node(name, place) {
            self.edge(from, to);
        }
    }

    fn edge(&mut self, from: Node, to: Node) {
        self.edges.push(Edge {
            from,
            to,
            option: None,
            unattended: true,
        });
    }

    /// The node of a name; one that is none is told.
    fn node(&mut self, name: &str, place: &str) -> Option<Node> {
        let steps = &self.subject.steps;
        let gates = &self.subject.workflow.gates;
        let node = match name {
            END => Some(Node::End),
            REJECT => Some(Node::Reject),
            _ => {
                let step = steps.iter().position(|step| step.name == name);
                let gate = || gates.iter().position(|gate| gate.name == name);
                step.map(Node::Step).or_else(|| gate().map(Node::Gate))
            }
        };
        if node.is_none() {
            let message = "names no step, no gate, and neither `end` nor `reject`";
            let violation = Violation::new(place, "D-FLOW-1b", message);
            let known = steps
                .iter()
                .map(|step| step.name.as_str())
                .chain(gates.iter().map(|gate| gate.name.as_str()))
                .chain([END, REJECT]);
            let close = did_you_mean(name, known);
            self.unknown.push(match close {
                Some(close) => violation.with_hint(format!("did you mean `{close}`?")),
                None => violation,
            });
        }
        node
    }
}
