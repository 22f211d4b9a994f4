//! What must be decided about a job of seed 000 before it advances: its checklist.
//!
//! A field that the spec writes, also with its default, is an answer. What it does not write is decided on
//! record in `CHECKLIST.json`, a map from item to `"default"` or `{"deferred": "why"}`:
//!
//! ```json
//! {"retention": "default", "alerts": {"deferred": "nobody is on call before May"}}
//! ```
//!
//! An item that is neither answered nor on record is undecided, and undecided does not advance. Items that
//! JobSpec v1 always answers (scope, cadence, lookback, schema, format, destination, tier, methods) are not
//! asked; which artifacts are required and how promotion goes is fixed by D-ART, and the approval is the act
//! itself (D-ART-4).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::files::Files;
use crate::canonical;
use crate::denial::Detail;
use crate::spec::JobSpec;

/// The file of decisions that the spec itself does not hold.
pub const CHECKLIST: &str = "CHECKLIST.json";

const RULE: &str = "D-ART-1";

/// Items of the checklist, with the JSON pointers that answer each: any of them does. `*` stands for every
/// entry of an array, which must all answer.
const ITEMS: [(&str, &[&str]); 13] = [
    ("incremental", &["/incremental"]),
    ("backfill", &["/incremental/backfill_days"]),
    ("dedupe", &["/dedupe"]),
    ("browser", &["/constraints/browser_automation"]),
    ("step_up", &["/portfolio/entities/*/step_up"]),
    (
        "session_artifacts",
        &["/portfolio/entities/*/session_artifacts"],
    ),
    ("secrets", &["/secrets"]),
    ("egress", &["/egress", "/steps/*/egress"]),
    ("tool_permissions", &["/tool_permissions"]),
    ("retention", &["/retention"]),
    ("failure_policy", &["/failure_policy"]),
    ("alerts", &["/alerts"]),
    ("validation", &["/validation"]),
];

/// How an item was decided on record.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum OnRecord {
    /// The default is wanted.
    Default,
    /// It is decided later, for this reason.
    Deferred(String),
}

/// Every item that is undecided, and what is wrong with `CHECKLIST.json`. `path` is the file of the spec.
pub(super) fn findings(files: &Files, path: &str, spec: &JobSpec, found: &mut Vec<Detail>) {
    let Some(document) = files
        .text(path)
        .and_then(|text| serde_json::from_str::<Value>(text).ok())
    else {
        return;
    };
    let record = match on_record(files) {
        Ok(record) => record,
        Err(problem) => {
            found.push(problem);
            return;
        }
    };
    for (item, decided) in &record {
        if !ITEMS.iter().any(|(known, _)| known == item) {
            let known: Vec<&str> = ITEMS.iter().map(|(known, _)| *known).collect();
            found.push(problem(
                format!("{CHECKLIST}:/{item}"),
                "is no item of the checklist".to_owned(),
                format!("items are {}", known.join(", ")),
            ));
        }
        if *decided == OnRecord::Deferred(String::new()) {
            found.push(problem(
                format!("{CHECKLIST}:/{item}"),
                "is deferred without a reason".to_owned(),
                "say why, and until when".to_owned(),
            ));
        }
    }
    for (item, pointers) in ITEMS {
        let answered = pointers
            .iter()
            .any(|pointer| answers(&document, pointer.trim_start_matches('/')));
        if answered || record.contains_key(item) || !applies(item, spec) {
            continue;
        }
        found.push(problem(
            format!("{path}:{}", pointers.first().copied().unwrap_or_default()),
            format!("`{item}` is undecided, and undecided does not advance"),
            format!(
                "write the field, or add `\"{item}\": \"default\"` or `\"{item}\": {{\"deferred\": \
                 \"why\"}}` to {CHECKLIST}"
            ),
        ));
    }
}

/// Sessions are kept only where a source needs one, and without a read from where the last one ended there is
/// nothing to fill up.
fn applies(item: &str, spec: &JobSpec) -> bool {
    match item {
        "session_artifacts" => spec.entities().iter().any(|entity| entity.tier_hint >= 2),
        "backfill" => spec.incremental.is_some(),
        _ => true,
    }
}

/// Whether something stands at a pointer, in every entry of the arrays on the way.
fn answers(value: &Value, pointer: &str) -> bool {
    let Some((first, rest)) = pointer.split_once('/') else {
        return value.get(pointer).is_some();
    };
    match (first, value) {
        ("*", Value::Array(entries)) => {
            !entries.is_empty() && entries.iter().all(|entry| answers(entry, rest))
        }
        _ => value.get(first).is_some_and(|value| answers(value, rest)),
    }
}

fn on_record(files: &Files) -> Result<BTreeMap<String, OnRecord>, Detail> {
    if files.get(CHECKLIST).is_none() {
        return Ok(BTreeMap::new());
    }
    let bad = |why: String| {
        problem(
            CHECKLIST.to_owned(),
            why,
            "write a map from item to `\"default\"` or `{\"deferred\": \"why\"}`".to_owned(),
        )
    };
    let text = files
        .text(CHECKLIST)
        .ok_or_else(|| bad("is not a text file in UTF-8".to_owned()))?;
    let value = canonical::read(text).map_err(|error| bad(error.to_string()))?;
    serde_json::from_value(value).map_err(|error| bad(error.to_string()))
}

fn problem(at: String, message: String, hint: String) -> Detail {
    Detail {
        at,
        rule: RULE.to_owned(),
        message,
        hint: Some(hint),
    }
}
