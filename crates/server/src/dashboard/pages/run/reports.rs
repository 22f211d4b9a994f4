//! What a job said of itself: how far it is, and its figures.

use std::collections::BTreeMap;

use moorline_core::event::{Event, EventKind};
use serde_json::Value;

use crate::dashboard::figures::Chart;
use crate::dashboard::figures::chart::{Form, Point, plain};
use crate::dashboard::parts::time::{absolute, seconds_between};
use crate::dashboard::parts::{Badge, Moment, Tone};
use crate::dashboard::viewer::Viewer;

/// How far something is: the newest report of each phase, crew, task and agent.
pub(super) struct Progress {
    /// `phase 2 · discovery crew · interviews`.
    pub(super) what: String,
    pub(super) status: Option<Badge>,
    /// 0 to 100.
    pub(super) percent: Option<u64>,
    pub(super) says: String,
    pub(super) at: Moment,
}

/// Reads both kinds of report, oldest first.
pub(super) fn read(viewer: &Viewer, events: &[Event]) -> (Vec<Progress>, Vec<Chart>) {
    let mut order: Vec<String> = Vec::new();
    let mut newest: BTreeMap<String, &Event> = BTreeMap::new();
    let mut metrics: BTreeMap<String, Vec<&Event>> = BTreeMap::new();
    for event in events {
        match event.kind.known() {
            Some(EventKind::RunProgress) => {
                let what = what(&event.data);
                if newest.insert(what.clone(), event).is_none() {
                    order.push(what);
                }
            }
            Some(EventKind::RunMetric) => {
                let name = text(&event.data, "metric").unwrap_or_default();
                metrics.entry(name).or_default().push(event);
            }
            _ => {}
        }
    }
    let progress = order
        .into_iter()
        .filter_map(|what| {
            let event = newest.get(&what)?;
            Some(progress(viewer, what, event))
        })
        .collect();
    let charts = metrics
        .into_iter()
        .enumerate()
        .map(|(at, (name, events))| chart(at, &name, &events))
        .collect();
    (progress, charts)
}

/// A member as text, whatever scalar it is.
fn text(data: &Value, member: &str) -> Option<String> {
    match data.get(member)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn what(data: &Value) -> String {
    let phase = data.get("phase").map(|phase| match phase {
        Value::Number(number) => format!("phase {number}"),
        other => other.as_str().unwrap_or_default().to_owned(),
    });
    let parts = ["crew", "task", "agent"]
        .into_iter()
        .filter_map(|member| text(data, member));
    let mut all: Vec<String> = phase.into_iter().chain(parts).collect();
    // What says the same twice, such as a crew named after its task, is said once.
    all.dedup_by_key(|part| part.replace('_', " "));
    if all.is_empty() {
        text(data, "step").unwrap_or_else(|| "progress".to_owned())
    } else {
        all.join(" · ")
    }
}

fn progress(viewer: &Viewer, what: String, event: &Event) -> Progress {
    let data = &event.data;
    let status = text(data, "status").map(|status| {
        let tone = match status.as_str() {
            "completed" | "done" | "success" => Tone::Good,
            "failed" | "error" => Tone::Bad,
            "pending" | "queued" => Tone::Idle,
            _ => Tone::Busy,
        };
        Badge::new(tone, &status)
    });
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "held between 0 and 100"
    )]
    let percent = data
        .get("progress_pct")
        .and_then(Value::as_f64)
        .map(|percent| percent.clamp(0.0, 100.0).round() as u64);
    Progress {
        what,
        status,
        percent,
        says: text(data, "error_message")
            .or_else(|| text(data, "output"))
            .unwrap_or_default(),
        at: viewer.moment(event.at),
    }
}

fn chart(at: usize, name: &str, events: &[&Event]) -> Chart {
    let first = events.first().map(|event| event.at);
    let points: Vec<Point> = events
        .iter()
        .filter_map(|event| {
            let value = event.data.get("value")?.as_f64()?;
            Some(Point {
                x: first.map_or(0.0, |first| seconds_between(first, event.at)),
                y: value,
                tone: Tone::Busy,
                label: format!("{}: {}", absolute(event.at), plain(value)),
            })
        })
        .collect();
    let end = |event: Option<&&Event>| event.map(|event| absolute(event.at)).unwrap_or_default();
    Chart {
        name: format!("metric-{at}"),
        title: name.to_owned(),
        form: Form::Line,
        ends: (end(events.first()), end(events.last())),
        points,
        written: plain,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn progress_is_named_by_what_is_there() {
        assert_eq!(
            what(&json!({"phase": 2, "crew": "discovery", "task": "interviews", "status": "x"})),
            "phase 2 · discovery · interviews"
        );
        assert_eq!(
            what(&json!({"crew": "founders_brief", "task": "founders brief"})),
            "founders_brief"
        );
        assert_eq!(what(&json!({"phase": "Desirability"})), "Desirability");
        assert_eq!(what(&json!({"step": "load", "progress_pct": 4})), "load");
        assert_eq!(what(&json!({})), "progress");
    }
}
