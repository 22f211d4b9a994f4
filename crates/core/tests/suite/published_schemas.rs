//! The published JSON Schemas: as reviewed below `schemas/`, valid, closed, documented, and true to the
//! types that they come from.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use moorline_core::schema::{self, Validator};
use moorline_core::spec::JobSpec;
use serde_json::{Map, Value, json};

#[test]
fn the_files_of_the_repository_are_the_published_schemas() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas");
    for (name, schema) in schema::all() {
        let file = directory.join(format!("{name}.json"));
        let reviewed = fs::read_to_string(&file).unwrap_or_default();
        let published = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        assert!(
            reviewed == published,
            "{} is not what the types say: run `cargo xtask gen` and review the change",
            file.display()
        );
    }
}

#[test]
fn each_is_found_by_its_name() {
    for (name, schema) in schema::all() {
        assert_eq!(schema::published(name), Some(schema.clone()));
        assert_eq!(schema["$id"], format!("urn:moorline:schema:{name}"));
        assert_eq!(
            schema["$schema"],
            "https://json-schema.org/draft/2020-12/schema"
        );
        assert!(jsonschema::meta::is_valid(&schema), "{name}");
    }
    assert_eq!(schema::published("nothing"), None);
}

/// Calls `visit` for every object schema, with where it is.
fn object_schemas(schema: &Value, place: &str, visit: &mut dyn FnMut(&str, &Map<String, Value>)) {
    if let Some(members) = schema.as_object() {
        if members.contains_key("properties") {
            visit(place, members);
        }
        for (name, member) in members {
            object_schemas(member, &format!("{place}/{name}"), visit);
        }
    } else if let Some(items) = schema.as_array() {
        for (index, item) in items.iter().enumerate() {
            object_schemas(item, &format!("{place}/{index}"), visit);
        }
    }
}

/// D-SPEC-1: `additionalProperties: false` throughout; the open members are the ones that say so.
#[test]
fn every_object_of_a_job_spec_is_closed_and_every_field_documented() {
    let schema = schema::job_spec_schema();
    let mut open = Vec::new();
    object_schemas(&schema, "", &mut |place, object| {
        if place == "/if" {
            return;
        }
        assert_eq!(
            object.get("additionalProperties"),
            Some(&json!(false)),
            "{place}"
        );
        for (name, property) in object["properties"].as_object().unwrap() {
            if property["additionalProperties"] == json!(true) {
                open.push(name.clone());
            }
            let documented = property["description"]
                .as_str()
                .is_some_and(|text| text.len() > 5);
            let alternative = place.contains("/oneOf/");
            assert!(
                documented || alternative,
                "{place}/{name} has no description"
            );
        }
    });
    assert_eq!(open, ["metadata", "params", "params_schema", "state"]);
}

#[test]
fn no_field_of_a_job_spec_may_be_null() {
    let validator = Validator::compile(schema::job_spec_schema()).unwrap();
    let schema = schema::job_spec_schema();
    for name in schema["properties"].as_object().unwrap().keys() {
        let mut document = json!({"job_id": "j", "steps": [{"name": "a", "argv": ["x"]}]});
        document[name] = Value::Null;
        assert!(!validator.accepts(&document), "{name}");
    }
}

/// The defaults that the schema tells are those that a document without the field gets.
#[test]
fn published_defaults_are_the_defaults_of_the_types() {
    let bare = json!({
        "job_id": "j",
        "cadence": {"type": "none"},
        "portfolio": {"entities": [{"source_id": "s", "tier_hint": 0, "preferred_methods": [],
            "lookback_days": 1, "session_artifacts": [{"secret": "K", "ttl_hours": 1}]}]},
        "constraints": {"max_runtime_seconds": 60},
        "inputs": {"i": {}},
        "secrets": [{"name": "K", "keys": ["K"]}],
        "steps": [{"name": "a", "argv": ["x"], "retries": {"max": 1},
            "resources": {"gpu": [{"type": "T4"}]},
            "mounts": [{"volume": "v", "path": "/v"}], "outputs": [{"path": "o"}]}],
        "failure_policy": {}, "dedupe": {}, "incremental": {},
        "alerts": [{"channel": "email", "target": "a@example.com"}],
    });
    let spec: JobSpec = serde_json::from_value(bare).unwrap();
    let step = &spec.steps()[0];
    let retries = step.retries.as_ref().unwrap();
    let constraints = spec.constraints.as_ref().unwrap();
    let entity = &spec.entities()[0];
    let cadence = spec.cadence.as_ref().unwrap();
    let dedupe = spec.dedupe.as_ref().unwrap();
    let expected: BTreeMap<&str, Value> = BTreeMap::from([
        ("/properties/job_type", json!(spec.job_type)),
        ("/properties/version", json!(spec.version)),
        ("/properties/principal_id", json!(spec.principal_id)),
        ("/$defs/Entity/properties/step_up", json!(entity.step_up)),
        (
            "/$defs/SessionArtifact/properties/warn_hours",
            json!(entity.session_artifacts[0].warn_hours),
        ),
        (
            "/$defs/Constraints/properties/prefer_api_over_browser",
            json!(constraints.prefer_api_over_browser),
        ),
        (
            "/$defs/Constraints/properties/browser_automation",
            json!(constraints.browser_automation),
        ),
        (
            "/$defs/Constraints/properties/prod_mode_restrict_bash",
            json!(constraints.prod_mode_restrict_bash),
        ),
        (
            "/$defs/Constraints/properties/no_public_opencode_serve",
            json!(constraints.no_public_opencode_serve),
        ),
        (
            "/$defs/InputDecl/properties/required",
            json!(spec.inputs["i"].required),
        ),
        (
            "/$defs/SecretDecl/properties/required",
            json!(spec.secrets[0].required),
        ),
        (
            "/$defs/Step/properties/grace_seconds",
            json!(step.grace_seconds),
        ),
        ("/$defs/Step/properties/idempotent", json!(step.idempotent)),
        (
            "/$defs/Step/properties/interactive",
            json!(step.interactive),
        ),
        (
            "/$defs/Step/properties/installs_dependencies",
            json!(step.installs_dependencies),
        ),
        (
            "/$defs/Step/properties/memory_snapshot",
            json!(step.memory_snapshot),
        ),
        ("/$defs/Step/properties/reply", json!(step.reply)),
        (
            "/$defs/GpuChoice/properties/count",
            json!(step.resources.gpu[0].count),
        ),
        (
            "/$defs/VolumeMount/properties/read_only",
            json!(step.mounts[0].read_only),
        ),
        (
            "/$defs/OutputDecl/properties/required",
            json!(step.outputs[0].required),
        ),
        (
            "/$defs/OutputDecl/properties/export",
            json!(step.outputs[0].export),
        ),
        (
            "/$defs/Retries/properties/initial_delay_seconds",
            json!(retries.initial_delay_seconds),
        ),
        ("/$defs/Retries/properties/backoff", json!(retries.backoff)),
        (
            "/$defs/Retries/properties/max_delay_seconds",
            json!(retries.max_delay_seconds),
        ),
        ("/$defs/Retries/properties/on", json!(retries.on)),
        (
            "/$defs/FailurePolicy/properties/pause_after_failed_runs",
            json!(spec.failure_policy.pause_after_failed_runs),
        ),
        (
            "/$defs/FailurePolicy/properties/alert_after_skipped_runs",
            json!(spec.failure_policy.alert_after_skipped_runs),
        ),
        (
            "/$defs/Cadence/properties/jitter_seconds",
            json!(cadence.jitter_seconds),
        ),
        ("/$defs/Cadence/properties/misfire", json!(cadence.misfire)),
        ("/$defs/Cadence/properties/overlap", json!(cadence.overlap)),
        (
            "/$defs/Alert/properties/min_level",
            json!(spec.alerts[0].min_level),
        ),
        ("/$defs/Dedupe/properties/keys", json!(dedupe.keys)),
        ("/$defs/Dedupe/properties/strategy", json!(dedupe.strategy)),
        (
            "/$defs/Incremental/properties/strategy",
            json!(spec.incremental.as_ref().unwrap().strategy),
        ),
    ]);
    let schema = schema::job_spec_schema();
    let mut told = BTreeMap::new();
    object_schemas(&schema, "", &mut |place, object| {
        for (name, property) in object["properties"].as_object().unwrap() {
            if let Some(default) = property.get("default") {
                told.insert(format!("{place}/properties/{name}"), default.clone());
            }
        }
    });
    let told: BTreeMap<&str, Value> = told.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
    assert_eq!(told, expected);
}

/// The `if` of the published schema alone, for readers that know no rule of ours.
#[test]
fn the_schema_itself_requires_by_job_type() {
    let validator = Validator::compile(schema::job_spec_schema()).unwrap();
    assert!(!validator.accepts(&json!({"job_id": "j"})));
    assert!(!validator.accepts(&json!({"job_id": "j", "job_type": "task"})));
    let steps = json!([{"name": "a", "argv": ["x"]}]);
    assert!(validator.accepts(&json!({"job_id": "j", "steps": steps})));
    let found =
        validator.check(&json!({"job_id": "j", "job_type": "repair_source", "steps": steps}));
    let missing: Vec<&str> = found
        .iter()
        .map(|v| v.pointer.trim_start_matches('/'))
        .collect();
    let required = [
        "objective",
        "time_zone",
        "cadence",
        "portfolio",
        "output",
        "constraints",
        "review",
    ];
    assert_eq!(missing, required);
}

#[test]
fn a_schema_that_refers_to_another_document_or_is_none_is_refused() {
    let refused = |document: Value| match Validator::compile(document) {
        Ok(_) => panic!("accepted"),
        Err(error) => error.to_string(),
    };
    for outside in ["https://example.com/a.json", "file:///etc/passwd"] {
        let text = refused(json!({"$ref": outside}));
        assert!(text.contains("is another document"), "{text}");
    }
    let text = refused(json!({"$ref": "other.json#/a"}));
    assert!(text.contains("'other.json#/a' is not present"), "{text}");
    assert_eq!(
        refused(json!({"properties": {"a": {"type": "int"}}})),
        "/properties/a/type: \"int\" is not valid under any of the schemas listed in the 'anyOf' keyword"
    );
    let inside = json!({"$defs": {"n": {"type": "integer"}}, "$ref": "#/$defs/n"});
    assert!(Validator::compile(inside).unwrap().accepts(&json!(1)));
}

#[test]
fn refusals_say_what_was_expected_and_never_the_value() {
    let validator = Validator::compile(json!({
        "properties": {
            "kind": {"oneOf": [{"const": "none"}, {"type": "object", "required": ["allow"]}]},
            "when": {"type": "string", "format": "date-time"},
            "level": {"enum": ["low", "high"]},
            "count": {"type": ["integer", "null"], "maximum": 3},
            "list": {"items": {"type": "string"}, "uniqueItems": true},
        },
        "propertyNames": {"pattern": "^[a-z]+$"},
        "patternProperties": {"^B": false},
    }))
    .unwrap();
    let check = |document: Value| -> Vec<String> {
        validator
            .check(&document)
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    let cases = [
        (json!({"kind": {}}), "/kind/allow: is required (schema)"),
        (
            json!({"when": "canary"}),
            "/when: is not a valid date-time (schema)",
        ),
        (
            json!({"level": "hihg"}),
            "/level: must be one of `low`, `high` (schema); did you mean `high`?",
        ),
        (
            json!({"count": "canary"}),
            "/count: must be null or an integer, not a string (schema)",
        ),
        (json!({"count": 4}), "/count: must be at most 3 (schema)"),
        (
            json!({"list": ["canary", "canary"]}),
            "/list: must not have an entry twice (schema)",
        ),
        (
            json!({"list": [1]}),
            "/list/0: must be a string, not a number (schema)",
        ),
        (json!({"A": 1}), "/A: must match `^[a-z]+$` (schema)"),
    ];
    for (document, expected) in cases {
        assert_eq!(check(document), [expected]);
    }
    assert_eq!(check(json!({"level": "low", "count": null})), [""; 0]);
}
