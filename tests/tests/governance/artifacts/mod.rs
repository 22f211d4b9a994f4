//! Review and promotion, through the binary: submissions and who decides about them.

mod promotion;
mod tampering;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use moorline_testkit::moorline::Moorline;
use serde_json::{Value, json};

use super::support::{json_of, ok, refused, repository};

/// A home where `human:ada` acts.
fn home() -> Moorline {
    Moorline::new().unwrap().env("USER", "ada")
}

/// A command as somebody else would give it.
fn as_principal(moorline: &Moorline, principal: &str, arguments: &[&str]) -> (i32, Value) {
    let mut command = moorline.command(arguments.iter().chain(&["--json"]));
    command.env("MOORLINE_PRINCIPAL", principal);
    let done = command.output().unwrap();
    let text = String::from_utf8(done.stdout).unwrap();
    let document = serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!(
            "{arguments:?}: {error}: {text}{}",
            String::from_utf8_lossy(&done.stderr)
        )
    });
    (done.status.code().unwrap(), document)
}

/// A general job of one step that prints its version.
struct Job(PathBuf);

impl Job {
    fn new(moorline: &Moorline, name: &str) -> Self {
        let dir = moorline.root().join(name);
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("RUNBOOK.md"), "Run it.\n").unwrap();
        let job = Self(dir);
        job.egress(&json!("none"));
        job.version(1);
        job
    }

    fn version(&self, version: u32) {
        fs::write(self.0.join("main.py"), format!("print({version})\n")).unwrap();
    }

    fn egress(&self, egress: &Value) {
        let spec = json!({
            "job_id": "report",
            "steps": [{"name": "main", "argv": ["python3", "-B", "main.py"], "egress": egress}]
        });
        fs::write(self.0.join("job_spec.json"), spec.to_string()).unwrap();
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    fn submit(&self, moorline: &Moorline) -> Value {
        json_of(moorline, &["artifact", "submit", self.path()])
    }

    /// Submits and approves; gives the id and the content.
    fn approved(&self, moorline: &Moorline) -> (String, String) {
        let submitted = self.submit(moorline);
        let id = text(&submitted["artifact"]["id"]);
        let approve = ["artifact", "approve", &id, "--reason", "read it"];
        let approved = json_of(moorline, &approve);
        assert_eq!(approved["state"], "approved", "{approved:#}");
        (id, text(&approved["content"]))
    }
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value}"))
        .to_owned()
}

fn promote(moorline: &Moorline, artifact: &str) -> Value {
    let promote = [
        "artifact", "promote", artifact, "--lane", "prod", "--reason", "tried",
    ];
    json_of(moorline, &promote)
}

fn events(moorline: &Moorline) -> Vec<Value> {
    let done = ok(moorline, &["events", "list", "--limit", "1000", "--json"]);
    let listed = done.json().unwrap();
    listed.as_array().unwrap().clone()
}

fn audit_records(moorline: &Moorline) -> Value {
    json_of(moorline, &["audit", "verify"])["records"].clone()
}

/// D-ART-1: the content decides about the hash, times and order of files do not; the exec bit does.
#[test]
fn the_same_directory_is_the_same_artifact_whatever_its_times() {
    let moorline = home();
    let job = Job::new(&moorline, "job");
    let first = job.submit(&moorline);
    assert_eq!(first["created"], true);
    // The same files, made in another order and later.
    let copy = moorline.root().join("copy");
    fs::create_dir(&copy).unwrap();
    for name in ["main.py", "job_spec.json", "RUNBOOK.md"] {
        fs::copy(job.0.join(name), copy.join(name)).unwrap();
    }
    let again = json_of(&moorline, &["artifact", "submit", copy.to_str().unwrap()]);
    assert_eq!(again["created"], false);
    assert_eq!(again["artifact"], first["artifact"]);
    fs::set_permissions(copy.join("main.py"), fs::Permissions::from_mode(0o755)).unwrap();
    let executable = json_of(&moorline, &["artifact", "submit", copy.to_str().unwrap()]);
    assert_eq!(executable["created"], true);
    assert_ne!(
        executable["artifact"]["content"],
        first["artifact"]["content"]
    );
}

/// D-ART-1: a refusal lists everything at once, with file, line, rule and what to do; nothing is kept.
#[test]
fn a_submission_with_findings_is_refused_with_all_of_them() {
    let moorline = home();
    let job = Job::new(&moorline, "job");
    fs::remove_file(job.0.join("RUNBOOK.md")).unwrap();
    let secret = ["sk-", "proj-abc123def456ghi789"].concat();
    fs::write(
        job.0.join("main.py"),
        format!("import os\nkey = '{secret}'\n"),
    )
    .unwrap();
    fs::write(job.0.join("tool"), b"\x7fELF\x02\x01\x01\0").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", job.0.join("outside")).unwrap();
    let done = moorline
        .run(["artifact", "submit", job.path(), "--json"])
        .unwrap();
    assert_eq!(done.code, Some(65), "{done}");
    let error = &done.json().unwrap()["error"];
    let found: Vec<(&str, &str)> = error["details"]
        .as_array()
        .unwrap()
        .iter()
        .map(|detail| {
            (
                detail["at"].as_str().unwrap(),
                detail["rule"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            ("RUNBOOK.md", "D-ART-1"),
            ("main.py:2", "D-SEC-3"),
            ("outside", "D-ART-1"),
            ("tool", "D-ART-1"),
        ]
    );
    assert!(!done.stdout.contains("abc123") && !done.stderr.contains("abc123"));
    let listed = json_of(&moorline, &["artifact", "list"]);
    assert_eq!(listed, json!([]));
    let kept = fs::read_dir(moorline.state_dir().join("artifacts")).unwrap();
    assert_eq!(kept.count(), 0);
    let review = moorline
        .run(["artifact", "review", job.path(), "--json"])
        .unwrap();
    assert_eq!(review.code, Some(65), "{review}");
    let review = review.json().unwrap();
    assert_eq!(review["review"]["findings"].as_array().unwrap().len(), 4);
}

/// D-ART-4: agents and pipelines are refused by every command that decides, and are told which rule says so.
#[test]
fn agents_and_pipelines_decide_nothing() {
    let moorline = home();
    let job = Job::new(&moorline, "job");
    let (first, _) = job.approved(&moorline);
    promote(&moorline, &first);
    job.version(2);
    let (code, submitted) = as_principal(
        &moorline,
        "agent:codex",
        &["artifact", "submit", job.path()],
    );
    assert_eq!(
        (code, &submitted["artifact"]["submitted_by"]),
        (0, &json!("agent:codex")),
        "an agent may submit"
    );
    let id = text(&submitted["artifact"]["id"]);
    let reason = ["--reason", "because"];
    let before = events(&moorline);
    for principal in ["agent:codex", "ci:github"] {
        let commands: [&[&str]; 7] = [
            &["artifact", "approve", &id],
            &["artifact", "reject", &id],
            &["artifact", "request-changes", &id, "--change", "x"],
            &["artifact", "security-review", &id],
            &["artifact", "archive", &first],
            &["artifact", "promote", &first, "--lane", "prod"],
            &["artifact", "rollback", "report", "--lane", "prod"],
        ];
        for command in commands {
            let arguments = [command, &reason].concat();
            let (code, refusal) = as_principal(&moorline, principal, &arguments);
            assert_eq!(code, 77, "{principal} {command:?}: {refusal:#}");
            let message = text(&refusal["error"]["message"]);
            assert!(message.contains("D-ART-4"), "{message}");
        }
    }
    let kinds = |events: &[Value]| -> Vec<Value> {
        let ours = |event: &&Value| text(&event["kind"]).starts_with("artifact.");
        events.iter().filter(ours).cloned().collect()
    };
    assert_eq!(kinds(&events(&moorline)), kinds(&before));
    assert_eq!(
        json_of(&moorline, &["artifact", "show", &id])["artifact"]["state"],
        "pending"
    );
}

/// D-ART-4: with the two-person rule nobody approves what they submitted.
#[test]
fn the_two_person_rule_forbids_approving_one_s_own_submission() {
    let moorline = home();
    fs::write(
        moorline.work_dir().join("moorline.toml"),
        "[review]\ntwo_person = true\n",
    )
    .unwrap();
    let job = Job::new(&moorline, "job");
    let id = text(&job.submit(&moorline)["artifact"]["id"]);
    let approve = ["artifact", "approve", &id, "--reason", "read it"];
    let own = refused(&moorline, &approve, 77);
    assert!(
        own.contains("two-person") && own.contains("D-ART-4"),
        "{own}"
    );
    let (code, approved) = as_principal(&moorline, "human:eve", &approve);
    assert_eq!(
        (code, &approved["decisions"][0]["by"]),
        (0, &json!("human:eve"))
    );
}

/// The example is complete: it can be submitted as it is.
#[test]
fn the_example_of_a_bank_statement_can_be_submitted() {
    let moorline = home();
    let example = repository().join("examples/bank-statement");
    let review = json_of(
        &moorline,
        &["artifact", "review", example.to_str().unwrap()],
    );
    assert_eq!(review["review"]["findings"], json!([]));
}
