use super::*;
use crate::spec;

fn job() -> Value {
    json!({
        "job_id": "bank", "secrets": [{"name": "chase", "type": "oauth", "keys": ["TOKEN"]}],
        "portfolio": {"entities": [{"source_id": "chase", "tier_hint": 1,
            "preferred_methods": ["csv_export"], "lookback_days": 30}]},
        "steps": [{"name": "extract", "argv": ["python3"], "secrets": ["chase"],
            "image": "python:3", "egress": {"allow": ["b.example.com", "a.example.com"]}}]
    })
}

fn files(entries: &[(&str, &str)]) -> Files {
    entries
        .iter()
        .map(|(path, text)| ((*path).to_owned(), Entry::file(false, text.as_bytes())))
        .collect()
}

fn compare(
    before: (&Value, &[(&str, &str)]),
    after: (&Value, &[(&str, &str)]),
) -> Vec<(String, bool)> {
    let load = |value: &Value| spec::load(value.to_string().as_bytes()).unwrap();
    let specs = (load(before.0), load(after.0));
    let trees = (files(before.1), files(after.1));
    let changes = difference(
        Version {
            spec: &specs.0,
            files: &trees.0,
        },
        Version {
            spec: &specs.1,
            files: &trees.1,
        },
    );
    changes
        .into_iter()
        .map(|change| (change.what, change.security))
        .collect()
}

fn of(change: impl FnOnce(&mut Value)) -> Vec<(String, bool)> {
    let (before, mut after) = (job(), job());
    change(&mut after);
    compare((&before, &[]), (&after, &[]))
}

/// D-ART-5: each of the five needs a security review, and nothing else does.
#[test]
fn the_five_that_need_a_security_review_are_found() {
    let security = |what: &str| vec![(what.to_owned(), true)];
    let plain = |what: &str| vec![(what.to_owned(), false)];
    let entity = |v: &mut Value, field: &str, to: Value| {
        v["portfolio"]["entities"][0][field] = to;
    };
    let step = |v: &mut Value, field: &str, to: Value| v["steps"][0][field] = to;
    assert_eq!(
        of(|v| entity(v, "preferred_methods", json!(["oauth"]))),
        security("auth_method")
    );
    assert_eq!(
        of(|v| entity(v, "step_up", json!("totp"))),
        security("auth_method")
    );
    assert_eq!(of(|v| entity(v, "tier_hint", json!(0))), security("tier"));
    assert_eq!(
        of(|v| step(
            v,
            "egress",
            json!({"allow": ["a.example.com", "b.example.com", "c.example.com"]})
        )),
        security("egress")
    );
    assert_eq!(of(|v| step(v, "egress", json!("none"))), security("egress"));
    assert_eq!(
        of(|v| step(v, "image", json!("python:4"))),
        security("dependencies")
    );
    assert_eq!(of(|v| step(v, "secrets", json!([]))), security("secrets"));
    assert_eq!(
        of(|v| v["secrets"][0]["keys"] = json!(["TOKEN", "OTHER"])),
        security("secrets")
    );
    assert_eq!(
        of(|v| step(v, "argv", json!(["python3", "-B"]))),
        plain("steps")
    );
    assert_eq!(
        of(|v| step(v, "resources", json!({"cpu": 2}))),
        plain("resources")
    );
    assert_eq!(
        of(|v| v["tool_permissions"] = json!({"shell": "forbidden"})),
        plain("tools")
    );
    assert_eq!(
        of(|v| v["cadence"] = json!({"type": "periodic", "period_seconds": 60})),
        plain("schedule")
    );
}

#[test]
fn what_only_looks_different_is_no_change() {
    assert_eq!(
        of(|v| v["steps"][0]["egress"] = json!({"allow": ["A.example.com", "b.example.com"]})),
        []
    );
    assert_eq!(of(|v| v["metadata"] = json!({"ticket": 7})), []);
    let lines = "Requests==2.31  \\\n    --hash=sha256:aa\n# comment\n";
    let same = "requests==2.31 --hash=sha256:aa # why\n";
    let found = compare(
        (&job(), &[("requirements.txt", lines)]),
        (&job(), &[("requirements.txt", same)]),
    );
    assert_eq!(found, [("files".to_owned(), false)]);
}

#[test]
fn dependencies_are_compared_one_by_one_where_the_format_is_known() {
    let spec = spec::load(job().to_string().as_bytes()).unwrap();
    let (before, after) = (
        files(&[
            ("requirements.txt", "a==1\nb==1\n"),
            (
                "x/package.json",
                r#"{"dependencies": {"left-pad": "1.0.0"}}"#,
            ),
            ("Cargo.toml", "[package]"),
        ]),
        files(&[
            ("requirements.txt", "a==2\nb==1\n-r other.txt\n"),
            (
                "x/package.json",
                r#"{"dependencies": {"left-pad": "1.0.1"}}"#,
            ),
            ("Cargo.toml", "[package]\n"),
        ]),
    );
    let version = |files| Version { spec: &spec, files };
    let changes = difference(version(&before), version(&after));
    let shown: Vec<_> = changes
        .iter()
        .filter(|change| change.what == "dependencies")
        .map(|change| (change.before.as_deref(), change.after.as_deref()))
        .collect();
    let cargo = |text: &str| format!("Cargo.toml: {}", ContentId::of_bytes(text.as_bytes()));
    assert_eq!(
        shown,
        [
            (
                Some(cargo("[package]").as_str()),
                Some(cargo("[package]\n").as_str())
            ),
            (None, Some("requirements.txt -r other.txt: as an option")),
            (
                Some("requirements.txt a: ==1"),
                Some("requirements.txt a: ==2")
            ),
            (
                Some("x/package.json dependencies left-pad: \"1.0.0\""),
                Some("x/package.json dependencies left-pad: \"1.0.1\"")
            ),
        ]
    );
}
