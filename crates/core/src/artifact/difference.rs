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
    if let Some(listed) = listed {
        for (dependency, version) in listed {
            facts.insert(("dependencies", format!("{path} {dependency}")), version);
        }
    } else {
        let content = ContentId::of_bytes(bytes).to_string();
        facts.insert(("dependencies", path.to_owned()), content);
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
mod tests;
