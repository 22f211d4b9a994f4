//! A workflow as a picture: phases from top to bottom, steps and gates of a phase from left to right, the way
//! that the run took, and where it stands.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use askama::filters::HtmlSafe;
use moorline_api::WorkflowView;
use moorline_core::workflow::REJECT;

use crate::dashboard::parts::{Escaped, Tone};

mod layout;

use layout::{kind, label_lines, lay_out, order, phase, ways};

const NODE_WIDTH: f64 = 146.0;
const NODE_HEIGHT: f64 = 44.0;
const GAP_X: f64 = 30.0;
const GAP_Y: f64 = 58.0;
const MARGIN: f64 = 20.0;

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Something runs.
    Step,
    /// Somebody decides.
    Gate,
    /// The run is over.
    Over,
}

impl Kind {
    /// For people.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Gate => "gate",
            Self::Over => "end",
        }
    }
}

/// A node with its ways on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    /// Its name.
    pub(crate) name: String,
    /// What it is.
    pub(crate) kind: Kind,
    /// Title of its phase.
    pub(crate) phase: Option<String>,
    /// Where it can lead, without repetition.
    pub(crate) leads_to: Vec<String>,
    /// How often the run came here.
    pub(crate) visits: usize,
    /// Whether the run is here now.
    pub(crate) here: bool,
}

/// A workflow, laid out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Graph {
    /// The nodes, in the order of the picture.
    pub(crate) nodes: Vec<Node>,
    /// Place of each node: row and column.
    places: BTreeMap<String, (usize, usize)>,
    /// Title of each row, where a phase begins.
    titles: BTreeMap<usize, String>,
    /// Pairs of nodes that the run went through, one after the other.
    taken: BTreeSet<(String, String)>,
    /// What it means that the run is where it is.
    tone: Tone,
}

impl Graph {
    /// The workflow of a run whose state means `tone`.
    pub(crate) fn of(view: &WorkflowView, tone: Tone) -> Self {
        let ways = ways(view);
        let order = order(view, &ways);
        let phases: BTreeMap<&str, &str> = view
            .graph
            .phases
            .iter()
            .map(|phase| {
                (
                    phase.name.as_str(),
                    phase.title.as_deref().unwrap_or(&phase.name),
                )
            })
            .collect();
        let came: Vec<&str> = view.flow.path.iter().map(|p| p.node.as_str()).collect();
        let mut taken: BTreeSet<(String, String)> = came
            .windows(2)
            .filter_map(|pair| Some(((*pair.first()?).to_owned(), (*pair.get(1)?).to_owned())))
            .collect();
        if let Some(last) = came.last().filter(|last| **last != view.flow.at) {
            taken.insert(((*last).to_owned(), view.flow.at.clone()));
        }
        let nodes: Vec<Node> = order
            .into_iter()
            .map(|name| Node {
                kind: kind(view, &name),
                phase: phase(view, &name)
                    .map(|phase| phases.get(phase).copied().unwrap_or(phase).to_owned()),
                leads_to: ways.get(&name).cloned().unwrap_or_default(),
                visits: came.iter().filter(|node| **node == name).count(),
                here: view.flow.at == name,
                name,
            })
            .collect();
        let (places, titles) = lay_out(&nodes);
        Self {
            nodes,
            places,
            titles,
            taken,
            tone,
        }
    }

    fn corner(&self, name: &str) -> Option<(f64, f64)> {
        let (row, column) = *self.places.get(name)?;
        #[expect(clippy::cast_precision_loss, reason = "some hundred nodes at most")]
        let (row, column) = (row as f64, column as f64);
        Some((
            MARGIN + column * (NODE_WIDTH + GAP_X),
            MARGIN + 14.0 + row * (NODE_HEIGHT + GAP_Y),
        ))
    }

    fn edge(&self, from: &str, to: &str) -> Option<String> {
        let ((x1, y1), (x2, y2)) = (self.corner(from)?, self.corner(to)?);
        let (middle1, middle2) = (x1 + NODE_WIDTH / 2.0, x2 + NODE_WIDTH / 2.0);
        let (foot1, foot2) = (y1 + NODE_HEIGHT, y2 + NODE_HEIGHT);
        let same_row = (y1 - y2).abs() < 1.0;
        let next = same_row && (x2 - x1 - NODE_WIDTH - GAP_X).abs() < 1.0;
        Some(if from == to {
            format!("M{:.0} {foot1:.0}c0 26 40 26 40 0", middle1 - 20.0)
        } else if next {
            let y = y1 + NODE_HEIGHT / 2.0;
            format!("M{:.0} {y:.0}H{x2:.0}", x1 + NODE_WIDTH)
        } else if same_row && x2 > x1 {
            let up = y1 - 26.0;
            format!(
                "M{middle1:.0} {y1:.0}C{middle1:.0} {up:.0} {middle2:.0} {up:.0} {middle2:.0} {y2:.0}"
            )
        } else if same_row {
            let down = foot1 + 30.0;
            format!(
                "M{middle1:.0} {foot1:.0}C{middle1:.0} {down:.0} {middle2:.0} {down:.0} {middle2:.0} {foot2:.0}"
            )
        } else if y2 > y1 {
            let half = f64::midpoint(foot1, y2);
            format!(
                "M{middle1:.0} {foot1:.0}C{middle1:.0} {half:.0} {middle2:.0} {half:.0} {middle2:.0} {y2:.0}"
            )
        } else {
            let half = f64::midpoint(foot2, y1);
            format!(
                "M{middle1:.0} {y1:.0}C{middle1:.0} {half:.0} {middle2:.0} {half:.0} {middle2:.0} {foot2:.0}"
            )
        })
    }

    /// Ways back are dashed; ways to `reject` are drawn only when one was taken, or they would hide the rest.
    fn edges(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut taken = Vec::new();
        for node in &self.nodes {
            for to in &node.leads_to {
                let was_taken = self.taken.contains(&(node.name.clone(), to.clone()));
                if to == REJECT && !was_taken {
                    continue;
                }
                let Some(path) = self.edge(&node.name, to) else {
                    continue;
                };
                let back = self.places.get(to) <= self.places.get(&node.name);
                let class = if back { "edge back" } else { "edge" };
                if was_taken {
                    taken.push(format!(
                        "<path class=\"{class} taken\" d=\"{path}\" marker-end=\"url(#to-taken)\"/>"
                    ));
                } else {
                    write!(
                        f,
                        "<path class=\"{class}\" d=\"{path}\" marker-end=\"url(#to)\"/>"
                    )?;
                }
            }
        }
        // The way that was taken lies on top.
        taken.iter().try_for_each(|path| f.write_str(path))
    }

    fn node(&self, node: &Node, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((x, y)) = self.corner(&node.name) else {
            return Ok(());
        };
        let (state, says) = if node.here {
            (format!("here {}", self.tone.class()), ", the run is here")
        } else if node.visits > 0 {
            ("done".to_owned(), ", done")
        } else {
            (String::new(), "")
        };
        let label = node.name.replace(['_', '-'], " ");
        write!(
            f,
            "<g class=\"node {} {state}\"><title>{} {}{says}</title>",
            node.kind.as_str(),
            node.kind.as_str(),
            Escaped(&node.name)
        )?;
        let (right, foot) = (x + NODE_WIDTH, y + NODE_HEIGHT);
        let centre = y + NODE_HEIGHT / 2.0;
        match node.kind {
            Kind::Gate => write!(
                f,
                "<path d=\"M{:.0} {y:.0}H{:.0}L{right:.0} {centre:.0}L{:.0} {foot:.0}H{:.0}L{x:.0} {centre:.0}z\"/>",
                x + 14.0,
                right - 14.0,
                right - 14.0,
                x + 14.0
            )?,
            Kind::Step | Kind::Over => {
                let radius = if node.kind == Kind::Over { 20 } else { 5 };
                write!(
                    f,
                    "<rect x=\"{x:.0}\" y=\"{y:.0}\" width=\"{NODE_WIDTH}\" height=\"{NODE_HEIGHT}\" rx=\"{radius}\"/>"
                )?;
            }
        }
        let lines = label_lines(&label);
        #[expect(clippy::cast_precision_loss, reason = "two lines at most")]
        let first = centre + 4.0 - (lines.len() as f64 - 1.0) * 7.5;
        let mut baseline = first;
        for line in &lines {
            write!(
                f,
                "<text x=\"{:.0}\" y=\"{baseline:.0}\" text-anchor=\"middle\">{}</text>",
                x + NODE_WIDTH / 2.0,
                Escaped(line)
            )?;
            baseline += 15.0;
        }
        if node.visits > 1 {
            write!(
                f,
                "<text class=\"visits\" x=\"{right:.0}\" y=\"{:.0}\" text-anchor=\"end\">×{}</text>",
                y - 4.0,
                node.visits
            )?;
        }
        f.write_str("</g>")
    }
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self
            .places
            .values()
            .map(|(row, _)| row + 1)
            .max()
            .unwrap_or(0);
        let columns = self
            .places
            .values()
            .map(|(_, column)| column + 1)
            .max()
            .unwrap_or(0);
        #[expect(clippy::cast_precision_loss, reason = "some hundred nodes at most")]
        let (rows, columns) = (rows as f64, columns as f64);
        let width = 2.0 * MARGIN + columns * (NODE_WIDTH + GAP_X) - GAP_X;
        let height = 2.0 * MARGIN + 14.0 + rows * (NODE_HEIGHT + GAP_Y) - GAP_Y + 16.0;
        let here = self.nodes.iter().find(|node| node.here);
        write!(
            f,
            "<svg class=\"graph\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\" \
             aria-labelledby=\"graph-title graph-desc\"><title id=\"graph-title\">Workflow</title>\
             <desc id=\"graph-desc\">{} nodes; the run is at {}. The table below says the same.</desc>\
             <defs><marker id=\"to\" class=\"head\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerUnits=\"userSpaceOnUse\" markerWidth=\"9\" markerHeight=\"9\" orient=\"auto\"><path d=\"M0 0 8 4 0 8z\"/></marker>\
             <marker id=\"to-taken\" class=\"head taken\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerUnits=\"userSpaceOnUse\" markerWidth=\"9\" markerHeight=\"9\" orient=\"auto\"><path d=\"M0 0 8 4 0 8z\"/></marker></defs>",
            self.nodes.len(),
            Escaped(here.map_or("none of them", |node| &node.name))
        )?;
        self.edges(f)?;
        for (row, title) in &self.titles {
            #[expect(clippy::cast_precision_loss, reason = "some hundred rows at most")]
            let y = MARGIN + *row as f64 * (NODE_HEIGHT + GAP_Y) + 4.0;
            write!(
                f,
                "<text class=\"phase\" x=\"{MARGIN}\" y=\"{y:.0}\">{}</text>",
                Escaped(title)
            )?;
        }
        self.nodes.iter().try_for_each(|node| self.node(node, f))?;
        f.write_str("</svg>")
    }
}

impl HtmlSafe for Graph {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn view() -> WorkflowView {
        serde_json::from_value(json!({
            "graph": {
                "phases": [{"name": "desire", "title": "Desirability"}, {"name": "build"}],
                "steps": {
                    "ask": {"phase": "desire", "then": "go"},
                    "make": {"phase": "build"},
                },
                "gates": [{
                    "name": "go", "phase": "desire", "title": "Go on?",
                    "options": [
                        {"name": "approved", "to": "make"},
                        {"name": "again", "to": "ask", "iterate": true},
                        {"name": "no", "to": "reject"},
                    ],
                }],
            },
            "steps": ["ask", "make"],
            "flow": {
                "at": "go", "state": {}, "visits": {"ask": 2}, "iterations": {"go": 1},
                "open": null, "requests": 2, "grants": [],
                "path": [
                    {"node": "ask", "at": "2026-03-01T12:00:00Z"},
                    {"node": "go", "at": "2026-03-01T12:01:00Z"},
                    {"node": "ask", "at": "2026-03-01T12:02:00Z"},
                    {"node": "go", "at": "2026-03-01T12:03:00Z"},
                ],
            },
            "approvals": [],
        }))
        .unwrap()
    }

    #[test]
    fn nodes_stand_in_the_rows_of_their_phases_and_ends_come_last() {
        let graph = Graph::of(&view(), Tone::Ask);
        let names: Vec<&str> = graph.nodes.iter().map(|node| node.name.as_str()).collect();
        assert_eq!(names, ["ask", "go", "make", "end", "reject"]);
        let place = |name: &str| graph.places.get(name).copied();
        assert_eq!(
            ["ask", "go", "make", "end", "reject"].map(place),
            [
                Some((0, 0)),
                Some((0, 1)),
                Some((1, 0)),
                Some((2, 0)),
                Some((2, 1))
            ]
        );
        assert_eq!(
            graph.titles,
            BTreeMap::from([(0, "Desirability".to_owned()), (1, "build".to_owned())])
        );
    }

    #[test]
    fn the_picture_shows_where_the_run_is_and_the_way_it_took() {
        let svg = Graph::of(&view(), Tone::Ask).to_string();
        assert_eq!(svg.matches("class=\"node gate here ask\"").count(), 1);
        assert_eq!(svg.matches("class=\"node step done\"").count(), 1);
        assert_eq!(svg.matches("class=\"edge taken\"").count(), 1);
        assert_eq!(svg.matches("class=\"edge back taken\"").count(), 1);
        assert!(svg.contains("the run is at go"), "{svg}");
        assert!(svg.contains(">×2</text>"), "{svg}");
        assert!(!svg.contains("NaN"), "{svg}");
    }

    #[test]
    fn a_job_of_many_steps_without_phases_wraps() {
        let steps: Vec<String> = (0..14).map(|n| format!("step-{n}")).collect();
        let view: WorkflowView = serde_json::from_value(json!({
            "graph": {}, "steps": steps, "approvals": [],
            "flow": {"at": "step-3", "state": {}, "visits": {}, "iterations": {}, "open": null,
                     "requests": 0, "grants": [], "path": []},
        }))
        .unwrap();
        let graph = Graph::of(&view, Tone::Busy);
        assert_eq!(graph.places.get("step-13"), Some(&(2, 1)));
        assert_eq!(graph.places.get("end"), Some(&(2, 2)));
    }
}
