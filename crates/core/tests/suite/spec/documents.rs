//! Which documents load, what they are written as, and what the violations say.

use moorline_core::spec::{self, JobType};
use serde_json::json;

use crate::spec::samples::{V1, load, task, v1};
use crate::spec::tables::set;

/// Seed 000: its documents load as they are, with the defaults of v1.
#[test]
fn a_job_spec_v1_document_loads_as_it_is() {
    let spec = spec::load(V1.as_bytes()).unwrap();
    assert_eq!(spec.job_type, JobType::GenerateAndTest);
    assert_eq!(spec.source_id(), Some("chase"));
    assert_eq!(spec.principal_id, "primary_user");
    assert_eq!((spec.version, spec.steps().len()), (1, 0));
    let constraints = spec.constraints.as_ref().unwrap();
    assert!(constraints.prefer_api_over_browser && !constraints.browser_automation);
    assert!(constraints.prod_mode_restrict_bash && constraints.no_public_opencode_serve);
    // Written again it says what it said, no more.
    assert_eq!(serde_json::to_value(&spec).unwrap(), v1());
}

#[test]
fn every_v1_job_type_loads_with_the_same_fields() {
    for job_type in JobType::ALL.into_iter().filter(|kind| kind.is_v1()) {
        let mut document = v1();
        document["job_type"] = job_type.as_str().into();
        if job_type == JobType::IntakeResearch {
            document["cadence"] = json!({"type": "none"});
        }
        assert_eq!(load(&document).map(|spec| spec.job_type), Ok(job_type));
    }
}

#[test]
fn a_document_that_uses_everything_loads_and_is_written_as_it_was() {
    let spec = load(&task()).unwrap_or_else(|violations| panic!("{violations}"));
    assert_eq!(serde_json::to_value(&spec).unwrap(), task());
    assert_eq!(spec::from_value(task()), Ok(spec));
}

/// D-SPEC-5: the hash is of the meaning, not of the spelling.
#[test]
fn the_canonical_hash_ignores_order_and_spelled_defaults_and_nothing_else() {
    let hash = |text: &str| {
        spec::load(text.as_bytes())
            .unwrap()
            .canonical_hash()
            .unwrap()
    };
    let plain = hash(r#"{"job_id": "j", "steps": [{"name": "a", "argv": ["x"]}]}"#);
    let spelled = hash(
        r#"{"steps": [{"argv": [{"base64": "eA=="}], "name": "a", "grace_seconds": 10.0, "idempotent": false}],
            "job_type": "task", "version": 1, "job_id": "j", "validation": {}}"#,
    );
    let other = hash(r#"{"job_id": "j", "steps": [{"name": "a", "argv": ["y"]}]}"#);
    assert_eq!(plain, spelled);
    assert_ne!(plain, other);
    assert_eq!(hash(V1), load(&v1()).unwrap().canonical_hash().unwrap());
}

#[test]
fn violations_say_what_to_do_and_never_repeat_a_value() {
    let mut document = task();
    set(&mut document, "/timezone", json!("hunter2-canary"));
    set(&mut document, "/mode", json!("hunter2-canary"));
    set(
        &mut document,
        "/steps/0/timeout_seconds",
        json!("hunter2-canary"),
    );
    set(
        &mut document,
        "/steps/0/env/AMEX_SESSION",
        json!("hunter2-canary"),
    );
    set(&mut document, "/params/days", json!("hunter2-canary"));
    set(&mut document, "/egress/allow/0", json!("hunter2-canary!"));
    set(&mut document, "/steps/0/retries/on/0", json!("runtme"));
    let text = load(&document).unwrap_err().to_string();
    assert!(!text.contains("hunter2"), "{text}");
    assert_eq!(
        text,
        "/egress/allow/0: is not an entry of an egress list (D-SPEC-3j); a host name has labels of \
         letters, digits and hyphens, joined by dots\n\
         /mode: must be one of `mock`, `real` (schema)\n\
         /params/days: must be an integer, not a string (D-SPEC-3o)\n\
         /steps/0/env/AMEX_SESSION: is a key of the secret `amex-session`, set here in clear (D-SEC-3); \
         remove it, and name the secret in the step's `secrets`\n\
         /steps/0/retries/on/0: must be one of `auth`, `validation`, `runtime`, `timeout`, `config`, \
         `policy`, `leak`, `cancelled`, `stopped`, `preempted`, `overlap`, `rejected`, `expired` \
         (schema); did you mean `runtime`?\n\
         /steps/0/timeout_seconds: must be an integer, not a string (schema)\n\
         /timezone: is not a field of this object (schema); did you mean `time_zone`?"
    );
}

#[test]
fn text_that_is_not_unambiguous_json_is_refused_with_its_place() {
    let text = |document: &str| spec::load(document.as_bytes()).unwrap_err().to_string();
    assert_eq!(
        text("{\"job_id\": }"),
        "document: is not JSON: line 1, column 12: expected value (json)"
    );
    assert_eq!(
        text(
            "{\"job_id\": \"a\",\n\"steps\": [{\"name\": \"x\", \"argv\": [\"rm\"], \"argv\": [\"ls\"]}]}"
        ),
        "document: line 2, column 46: the key `argv` stands twice in one object (json)"
    );
    assert_eq!(
        text("[]"),
        "document: must be an object, not an array (schema)"
    );
}
