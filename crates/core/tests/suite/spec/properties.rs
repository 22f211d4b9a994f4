//! What holds for any document: loading never panics, and schema, types and canonical form agree.

use std::sync::LazyLock;

use moorline_core::schema::{Validator, job_spec_schema};
use moorline_core::spec;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::spec::samples::task;

static SCHEMA: LazyLock<Validator> =
    LazyLock::new(|| Validator::compile(job_spec_schema()).unwrap());

/// Every pointer into a document.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    if let Some(members) = value.as_object() {
        for (name, member) in members {
            pointers(member, &format!("{at}/{name}"), found);
        }
    } else if let Some(items) = value.as_array() {
        for (index, item) in items.iter().enumerate() {
            pointers(item, &format!("{at}/{index}"), found);
        }
    }
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-5_i64..100_000).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        "[a-z*./:-]{0,12}".prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        Just(json!(["a", "a"])),
        Just(json!({"base64": "/w=="})),
        Just(json!({"allow": ["*"]})),
    ]
}

/// A document that was cut off anywhere is refused as text, with its place.
#[test]
fn a_document_cut_anywhere_is_refused() {
    let text = task().to_string();
    for end in 0..text.len() {
        let violations = spec::load(&text.as_bytes()[..end]).unwrap_err();
        let rules: Vec<&str> = violations.iter().map(|v| v.rule.as_str()).collect();
        assert_eq!(rules, ["json"], "{end}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// The sample with some of its values replaced.
    #[test]
    fn any_document_loads_or_is_refused_with_reasons(
        changes in prop::collection::vec((any::<prop::sample::Index>(), value()), 1..4),
    ) {
        let mut document = task();
        for (index, value) in changes {
            let mut places = Vec::new();
            pointers(&document, "", &mut places);
            *document.pointer_mut(&places[index.index(places.len())]).unwrap() = value;
        }
        let by_schema = SCHEMA.accepts(&document);
        match spec::from_value(document.clone()) {
            Ok(spec) => {
                prop_assert!(by_schema);
                // What was loaded loads again, as the same spec with the same hash.
                let written = serde_json::to_value(&spec).unwrap();
                let again = spec::from_value(written).unwrap();
                prop_assert_eq!(again.canonical_hash().unwrap(), spec.canonical_hash().unwrap());
                prop_assert_eq!(again, spec);
            }
            Err(violations) => {
                prop_assert!(violations.len() > 0);
                let by_schema_too = violations.iter().any(|v| v.rule == "schema");
                prop_assert_eq!(by_schema_too, !by_schema, "{}", violations);
            }
        }
    }
}
