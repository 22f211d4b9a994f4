//! What follows a failure, through the binary with real child processes: the whole matrix (D-RUN-7), sources,
//! alerts over real sockets, what is kept apart, repair and retention.

mod alerts;
mod matrix;
mod repair;
mod retention;
mod sources;

use std::path::{Path, PathBuf};

use moorline_testkit::moorline::Moorline;
use serde_json::{Value, json};

use super::support::json_of;

/// A job that reads the source `SOURCE` and whose one step is this script.
fn reads(source: &str, script: &str, step: Value, rest: Value) -> moorline_tests::Job {
    let mut spec = json!({
        "job_id": format!("reads-{source}"),
        "portfolio": {"entities": [{
            "source_id": source, "tier_hint": 0,
            "preferred_methods": ["official_api"], "lookback_days": 1
        }]},
        "steps": [{"name": "main", "argv": ["/bin/sh", "-c", script]}]
    });
    merge(&mut spec["steps"][0], step);
    merge(&mut spec, rest);
    moorline_tests::Job::new(spec)
}

fn merge(into: &mut Value, more: Value) {
    if let (Some(into), Value::Object(more)) = (into.as_object_mut(), more) {
        into.extend(more);
    }
}

/// The state of a source.
fn state(moorline: &Moorline, source: &str) -> Value {
    json_of(moorline, &["sources", "show", source])["state"].clone()
}

/// Every alert, newest first.
fn alerts(moorline: &Moorline) -> Vec<Value> {
    let listed = json_of(moorline, &["alerts", "list"]);
    listed.as_array().cloned().unwrap_or_default()
}

/// The directory of a run.
fn run_dir(moorline: &Moorline, summary: &Value) -> PathBuf {
    let id = summary["run_id"].as_str().unwrap_or_default();
    moorline.state_dir().join("runs").join(id)
}

/// Every file below a directory, relative, in order; none when it is not there.
fn files(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut pending = vec![dir.to_path_buf()];
    while let Some(next) = pending.pop() {
        for entry in std::fs::read_dir(&next).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                pending.push(path);
            } else if let Ok(relative) = path.strip_prefix(dir) {
                found.push(relative.to_string_lossy().into_owned());
            }
        }
    }
    found.sort_unstable();
    found
}
