//! Where the nodes of a workflow stand: reading order, rows by phase, and names in two lines.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use moorline_api::WorkflowView;
use moorline_core::workflow::{END, REJECT, Then};

use super::{Kind, Node};
use crate::dashboard::figures::fit;

/// Characters of a line in a node.
const LINE: usize = 16;
/// Nodes side by side.
const COLUMNS: usize = 6;

/// A name in one line where it fits, else in two.
pub(super) fn label_lines(label: &str) -> Vec<String> {
    if label.chars().count() <= LINE {
        return vec![label.to_owned()];
    }
    let mut lines = vec![String::new()];
    for word in label.split(' ') {
        let last = lines.len() - 1;
        let line = &mut lines[last];
        let fits = line.is_empty() || line.chars().count() + 1 + word.chars().count() <= LINE;
        if fits || last == 1 {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.iter().map(|line| fit(line, LINE)).collect()
}

/// Where each node can lead, without repetition, the usual way first.
pub(super) fn ways(view: &WorkflowView) -> BTreeMap<String, Vec<String>> {
    let mut ways: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut add = |from: &str, to: &str| {
        let list = ways.entry(from.to_owned()).or_default();
        if !list.iter().any(|known| known == to) {
            list.push(to.to_owned());
        }
    };
    for (at, step) in view.steps.iter().enumerate() {
        let usual = view.steps.get(at + 1).map_or(END, String::as_str);
        match view
            .graph
            .steps
            .get(step)
            .and_then(|flow| flow.then.as_ref())
        {
            None => add(step, usual),
            Some(Then::To(to)) => add(step, to),
            Some(Then::By(routes)) => {
                for to in routes
                    .routes
                    .iter()
                    .map(|route| &route.to)
                    .chain([&routes.otherwise])
                    .chain(&routes.on_missing)
                {
                    add(step, to);
                }
            }
        }
    }
    for gate in &view.graph.gates {
        for option in &gate.options {
            add(&gate.name, &option.to);
        }
    }
    ways
}

/// Every node, those near the start first; what can not be reached comes last.
pub(super) fn order(view: &WorkflowView, ways: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let first = view.graph.start.as_ref().or_else(|| view.steps.first());
    let mut queue: VecDeque<&str> = first.map(String::as_str).into_iter().collect();
    queue.extend(view.steps.iter().map(String::as_str));
    queue.extend(view.graph.gates.iter().map(|gate| gate.name.as_str()));
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut order = Vec::new();
    // What the first node leads to goes before the rest of the queue.
    while let Some(node) = queue.pop_front() {
        if node == END || node == REJECT || !seen.insert(node) {
            continue;
        }
        order.push(node.to_owned());
        let next = ways.get(node).into_iter().flatten().map(String::as_str);
        for node in next.collect::<Vec<_>>().into_iter().rev() {
            if !seen.contains(node) {
                queue.push_front(node);
            }
        }
    }
    for over in [END, REJECT] {
        let reached = ways.values().flatten().any(|to| to == over);
        if reached || view.flow.at == over {
            order.push(over.to_owned());
        }
    }
    order
}

/// What a node is.
pub(super) fn kind(view: &WorkflowView, name: &str) -> Kind {
    if name == END || name == REJECT {
        Kind::Over
    } else if view.graph.gates.iter().any(|gate| gate.name == name) {
        Kind::Gate
    } else {
        Kind::Step
    }
}

/// The phase of a node, by name.
pub(super) fn phase<'a>(view: &'a WorkflowView, name: &str) -> Option<&'a str> {
    let gate = view.graph.gates.iter().find(|gate| gate.name == name);
    match gate {
        Some(gate) => gate.phase.as_deref(),
        None => view.graph.steps.get(name)?.phase.as_deref(),
    }
}

/// A place for each node, and a title for each row at which a phase begins.
pub(super) fn lay_out(
    nodes: &[Node],
) -> (BTreeMap<String, (usize, usize)>, BTreeMap<usize, String>) {
    let mut phases: Vec<Option<&str>> = Vec::new();
    for node in nodes.iter().filter(|node| node.kind != Kind::Over) {
        if !phases.contains(&node.phase.as_deref()) {
            phases.push(node.phase.as_deref());
        }
    }
    let mut places = BTreeMap::new();
    let mut titles = BTreeMap::new();
    let (mut row, mut column) = (0, 0);
    let mut place = |row: &mut usize, column: &mut usize, node: &Node| {
        if *column == COLUMNS {
            (*row, *column) = (*row + 1, 0);
        }
        places.insert(node.name.clone(), (*row, *column));
        *column += 1;
    };
    for phase in phases {
        if column > 0 {
            (row, column) = (row + 1, 0);
        }
        if let Some(title) = phase {
            titles.insert(row, title.to_owned());
        }
        for node in nodes {
            if node.kind != Kind::Over && node.phase.as_deref() == phase {
                place(&mut row, &mut column, node);
            }
        }
    }
    if !titles.is_empty() && column > 0 {
        (row, column) = (row + 1, 0);
    }
    for node in nodes.iter().filter(|node| node.kind == Kind::Over) {
        place(&mut row, &mut column, node);
    }
    (places, titles)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_take_two_lines_and_no_more() {
        assert_eq!(label_lines("founders brief"), ["founders brief"]);
        assert_eq!(
            label_lines("approve founders brief"),
            ["approve founders", "brief"]
        );
        assert_eq!(
            label_lines("a very long name of a node that nobody can read"),
            ["a very long name", "of a node that …"]
        );
    }
}
