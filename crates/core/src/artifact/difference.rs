//! What changed between two versions of a job, by computation (D-ART-5).
//!
//! What a job may do and depends on is flattened into *facts*: a name (`egress of step extract`) and a value.
//! A difference is what the two sets of facts differ in. Five kinds need a recorded security review before a
//! promotion: auth method, dependencies, egress, secrets and tier. Nothing of this is declared by whoever
//! submits. Deliberately absent: the text of files, which the engine compares.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Change;
use super::files::{Entry, Files};
use crate::content_id::ContentId;
use crate::spec::{Egress, JobSpec};

/// Kinds of change that need a recorded security review (D-ART-5).
pub const SECURITY: [&str; 5] = ["auth_method", "dependencies", "egress", "secrets", "tier"];

/// A version of a job.
#[derive(Debug, Clone, Copy)]
pub struct Version<'a> {
    /// Its spec.
    pub spec: &'a JobSpec,
    /// Its files.
    pub files: &'a Files,
}

/// What changed from one version to another, in a fixed order. Nothing is compared with nothing: the first
/// version of a job has no changes.
pub fn difference(before: Version<'_>, after: Version<'_>) -> Vec<Change> {
    let (before, after) = (facts(before), facts(after));
    let mut keys: Vec<&(&str, String)> = before.keys().chain(after.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter()
        .filter(|key| before.get(*key) != after.get(*key))
        .map(|key| {
            let (what, name) = key;
            let shown = |value: Option<&String>| value.map(|value| format!("{name}: {value}"));
            Change {
                what: (*what).to_owned(),
                before: shown(before.get(key)),
                after: shown(after.get(key)),
                security: SECURITY.contains(what),
            }
        })
        .collect()
}

/// Values by kind and name.
type Facts = BTreeMap<(&'static str, String), String>;

fn facts(version: Version<'_>) -> Facts {
    let mut facts = Facts::new();
    of_sources(version.spec, &mut facts);
    of_job(version.spec, &mut facts);
    of_steps(version.spec, &mut facts);
    of_files(version.files, &mut facts);
    facts
}

fn put(facts: &mut Facts, what: &'static str, name: impl Into<String>, value: &Value) {
    let text = match value {
        Value::Null => return,
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    facts.insert((what, name.into()), text);
}

fn of_sources(spec: &JobSpec, facts: &mut Facts) {
    for entity in spec.entities() {
        let source = &entity.source_id;
        let named = |what: &str| format!("{what} of {source}");
        put(facts, "tier", named("tier"), &json!(entity.tier_hint));
        put(
            facts,
            "auth_method",
            named("methods"),
            &json!(entity.preferred_methods),
        );
        put(
            facts,
            "auth_method",
            named("second factor"),
            &json!(entity.step_up),
        );
        put(
            facts,
            "auth_method",
            named("re-authentication"),
            &json!(entity.reauth),
        );
        put(
            facts,
            "auth_method",
            named("accounts"),
            &json!(entity.accounts),
        );
        for session in &entity.session_artifacts {
            let name = format!("session {} of {source}", session.secret);
            put(facts, "secrets", name, &json!(session));
        }
    }
}

fn of_job(spec: &JobSpec, facts: &mut Facts) {
    for secret in &spec.secrets {
        let name = format!("secret {}", secret.name);
        let value = json!({"type": secret.kind, "keys": secret.keys, "required": secret.required});
        put(facts, "secrets", name, &value);
    }
    // Who is told is also where data may go.
    for alert in &spec.alerts {
        let target = alert.target.as_ref().or(alert.target_secret.as_ref());
        let name = format!("alerts to {}", target.map_or("nobody", String::as_str));
        put(facts, "egress", name, &json!(alert.channel));
    }
    put(
        facts,
        "tools",
        "tool permissions",
        &json!(spec.tool_permissions),
    );
    if let Some(bounds) = &spec.constraints {
        put(
            facts,
            "auth_method",
            "browser automation",
            &json!(bounds.browser_automation),
        );
        put(
            facts,
            "tools",
            "restricted shell in production",
            &json!(bounds.prod_mode_restrict_bash),
        );
        put(
            facts,
            "tools",
            "no public endpoint of an agent",
            &json!(bounds.no_public_opencode_serve),
        );
        put(
            facts,
            "resources",
            "longest runtime of a step, seconds",
            &json!(bounds.max_runtime_seconds),
        );
    }
    put(facts, "schedule", "cadence", &json!(spec.cadence));
    put(facts, "schedule", "time zone", &json!(spec.time_zone));
}

fn of_steps(spec: &JobSpec, facts: &mut Facts) {
    for effective in spec.effective_steps() {
        let step = effective.step;
        let named = |what: &str| format!("{what} of step {}", step.name);
        put(facts, "egress", named("egress"), &reach(effective.egress));
        let mut secrets = step.secrets.clone();
        secrets.sort();
        if !secrets.is_empty() {
            put(facts, "secrets", named("secrets"), &json!(secrets));
        }
        put(facts, "dependencies", named("image"), &json!(step.image));
        if step.installs_dependencies {
            put(
                facts,
                "dependencies",
                named("installation while it runs"),
                &json!(true),
            );
        }
        put(facts, "resources", named("limits"), &json!(step.resources));
        put(
            facts,
            "resources",
            named("timeout, seconds"),
            &json!(effective.timeout.as_secs()),
        );
        put(
            facts,
            "resources",
            named("retries"),
            &json!(effective.retries),
        );
        put(facts, "steps", named("command"), &json!(step.argv));
        put(facts, "steps", named("environment"), &json!(step.env));
        put(facts, "steps", named("executor"), &json!(step.executor));
        put(facts, "steps", named("volumes"), &json!(step.mounts));
        put(facts, "steps", named("outputs"), &json!(step.outputs));
    }
}

/// An egress rule without regard to the order of its entries.
fn reach(egress: &Egress) -> Value {
    match egress {
        Egress::Allow(entries) => {
            let mut entries: Vec<String> = entries.iter().map(|e| e.to_ascii_lowercase()).collect();
            entries.sort();
            entries.dedup();
            json!(entries)
        }
        other => json!(other),
    }
}

fn of_files(files: &Files, facts: &mut Facts) {
    for (path, entry) in files.iter() {
        let value = match entry {
            Entry::File {
                executable,
                content,
                ..
            } => {
                let mode = if *executable { " (executable)" } else { "" };
                format!("{content}{mode}")
            }
            Entry::Link { target } => format!("link to {target}"),
        };
        facts.insert(("files", path.to_owned()), value);
        let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
        if is_dependency_list(name) {
            dependencies(path, name, files.bytes(path).unwrap_or_default(), facts);
        }
    }
}

/// Files by which package managers are told what to install.
fn is_dependency_list(name: &str) -> bool {
    let requirements = name.starts_with("requirements")
        && std::path::Path::new(name)
            .extension()
            .is_some_and(|extension| extension == "txt" || extension == "in");
    requirements
        || matches!(
            name,
            "package.json"
                | "package-lock.json"
                | "npm-shrinkwrap.json"
                | "pnpm-lock.yaml"
                | "yarn.lock"
                | "Cargo.toml"
                | "Cargo.lock"
                | "pyproject.toml"
                | "setup.py"
                | "setup.cfg"
                | "Pipfile"
                | "Pipfile.lock"
                | "poetry.lock"
                | "uv.lock"
                | "environment.yml"
                | "Gemfile"
                | "Gemfile.lock"
                | "go.mod"
                | "go.sum"
                | "Dockerfile"
        )
}

/// One fact for each dependency where the format says so in a line or an entry, else one for the file.
fn dependencies(path: &str, name: &str, bytes: &[u8], facts: &mut Facts) {
    let text = std::str::from_utf8(bytes).ok();
    let listed = match text {
        Some(text) if name.starts_with("requirements") => Some(requirements(text)),
        Some(text) if name == "package.json" => package_json(text),
        _ => None,
    };
    match listed {
        Some(listed) => {
            for (dependency, version) in listed {
                facts.insert(("dependencies", format!("{path} {dependency}")), version);
            }
        }
        None => {
            let content = ContentId::of_bytes(bytes).to_string();
            facts.insert(("dependencies", path.to_owned()), content);
        }
    }
}

/// Lines of a requirements file (PEP 508 and pip's options), without comments.
fn requirements(text: &str) -> Vec<(String, String)> {
    // A backslash at its end joins a line to the next one, as with hashes.
    text.replace("\\\n", " ")
        .lines()
        .map(|line| line.split(" #").next().unwrap_or_default().trim())
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            let end = line.find(|c: char| !letters(c)).unwrap_or(line.len());
            let (name, rest) = line.split_at(end);
            if name.is_empty() || name.starts_with('-') {
                (line.to_owned(), "as an option".to_owned())
            } else {
                let words: Vec<&str> = rest.split_whitespace().collect();
                (name.to_ascii_lowercase(), words.join(" "))
            }
        })
        .collect()
}

/// Every member of a `package.json` that names packages or programs; none when it can not be read.
fn package_json(text: &str) -> Option<Vec<(String, String)>> {
    const MEMBERS: [&str; 7] = [
        "dependencies",
        "devDependencies",
        "optionalDependencies",
        "peerDependencies",
        "bundledDependencies",
        "overrides",
        "scripts",
    ];
    let document: Value = serde_json::from_str(text).ok()?;
    let mut listed = Vec::new();
    for member in MEMBERS {
        match document.get(member) {
            None => {}
            Some(Value::Object(entries)) => listed.extend(
                entries
                    .iter()
                    .map(|(name, version)| (format!("{member} {name}"), version.to_string())),
            ),
            Some(other) => listed.push((member.to_owned(), other.to_string())),
        }
    }
    Some(listed)
}

#[cfg(test)]
mod tests {
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
}
