//! Review and promotion, through the binary.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use moorline_testkit::moorline::Moorline;
use serde_json::{Value, json};

use super::support::{json_of, ok, refused, repository};

/// A home where `human:ada` acts.
fn home() -> Moorline {
    Moorline::new().unwrap().env("USER", "ada")
}

/// A command as somebody else would give it.
fn as_principal<'a>(moorline: &Moorline, principal: &str, arguments: &[&'a str]) -> (i32, Value) {
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
        job.egress(json!("none"));
        job.version(1);
        job
    }

    fn version(&self, version: u32) {
        fs::write(self.0.join("main.py"), format!("print({version})\n")).unwrap();
    }

    fn egress(&self, egress: Value) {
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

/// D-ART-3, D-ART-4: two findings are asked to be mended, mended, approved and promoted, once.
#[test]
fn an_artifact_goes_from_review_to_a_lane_and_runs_there() {
    let moorline = home();
    let job = Job::new(&moorline, "job");
    let first = text(&job.submit(&moorline)["artifact"]["id"]);
    let asked = json_of(
        &moorline,
        &[
            "artifact",
            "request-changes",
            "latest:report",
            "--reason",
            "nearly",
            "--change",
            "say more in the runbook",
            "--change",
            "print 2",
        ],
    );
    assert_eq!(asked["state"], "revisions_requested");
    assert_eq!(
        asked["decisions"][0]["changes"],
        json!(["say more in the runbook", "print 2"])
    );
    let same = refused(&moorline, &["artifact", "submit", job.path()], 1);
    assert!(same.contains("D-ART-3"), "{same}");
    job.version(2);
    let (second, content) = job.approved(&moorline);
    assert_ne!(first, second);
    let late = refused(
        &moorline,
        &["artifact", "approve", &first, "--reason", "x"],
        1,
    );
    assert!(late.contains("revisions_requested"), "{late}");

    // L52's other half: nothing runs in prod before the promotion.
    let early = ["run", job.path(), "--lane", "prod"];
    let early = refused(&moorline, &early, 78);
    assert!(early.contains("D-ART-4"), "{early}");
    let early = ["run", "--live", "report", "--lane", "prod"];
    refused(&moorline, &early, 78);

    let promoted = promote(&moorline, &second);
    assert_eq!(promoted["changed"], true);
    assert_eq!(promoted["promotion"]["content"], *content);
    assert_eq!(promoted["promotion"]["by"], "human:ada");
    assert_eq!(promoted["verified"]["intact"], true);

    // Idempotent: the same promotion, no event, no record.
    let before = (events(&moorline).len(), audit_records(&moorline));
    let again = promote(&moorline, &second);
    assert_eq!(again["changed"], false);
    assert_eq!(again["promotion"], promoted["promotion"]);
    assert_eq!((events(&moorline).len(), audit_records(&moorline)), before);

    for job in ["live:report", job.path()] {
        let run = json_of(&moorline, &["run", job, "--lane", "prod"]);
        assert_eq!(
            (&run["status"], &run["artifact_hash"]),
            (&json!("success"), &json!(content))
        );
    }
    // A directory that differs is not what the lane points to.
    job.version(3);
    let other = ["run", job.path(), "--lane", "prod"];
    let other = refused(&moorline, &other, 78);
    assert!(other.contains(&content), "{other}");

    let shown = json_of(&moorline, &["artifact", "show", &second]);
    assert_eq!(shown["live_in"], json!(["prod"]));
    let kinds: Vec<Value> = events(&moorline)
        .iter()
        .map(|event| event["kind"].clone())
        .filter(|kind| kind.as_str().unwrap().starts_with("artifact."))
        .collect();
    assert_eq!(
        json!(kinds),
        json!([
            "artifact.submitted",
            "artifact.decided",
            "artifact.submitted",
            "artifact.decided",
            "artifact.promoted"
        ])
    );
    assert_eq!(json_of(&moorline, &["audit", "verify"])["intact"], true);
}

/// L52: a rollback restores exactly the previous hash, and nothing is deleted.
#[test]
fn a_rollback_restores_exactly_the_previous_hash() {
    let moorline = home();
    let job = Job::new(&moorline, "job");
    let (first, first_content) = job.approved(&moorline);
    promote(&moorline, &first);
    job.version(2);
    let (second, second_content) = job.approved(&moorline);
    promote(&moorline, &second);
    assert_ne!(first_content, second_content);
    job.version(3);
    let (third, _) = job.approved(&moorline);
    promote(&moorline, &third);

    let back = |extra: &[&str]| {
        let rollback = ["artifact", "rollback", "report", "--lane", "prod"];
        let arguments = [&rollback, extra, &["--reason", "wrong totals"]].concat();
        json_of(&moorline, &arguments)
    };
    let rolled = back(&[]);
    assert_eq!(rolled["promotion"]["kind"], "rollback");
    assert_eq!(rolled["promotion"]["content"], *second_content);
    assert_eq!(rolled["verified"]["intact"], true);
    let run = json_of(&moorline, &["run", "--live", "report", "--lane", "prod"]);
    assert_eq!(run["artifact_hash"], *second_content);
    assert_eq!(back(&[])["promotion"]["content"], *first_content);
    let none = ["artifact", "rollback", "report", "--lane", "prod"];
    let none = [&none[..], &["--reason", "x"]].concat();
    assert!(refused(&moorline, &none, 1).contains("D-ART-6"));
    // To a named one; repeating it changes nothing.
    assert_eq!(
        back(&["--to", &second])["promotion"]["content"],
        *second_content
    );
    assert_eq!(back(&["--to", &second])["changed"], false);

    let history = json_of(
        &moorline,
        &["artifact", "history", "report", "--lane", "prod"],
    );
    let kinds: Vec<&Value> = history
        .as_array()
        .unwrap()
        .iter()
        .map(|promotion| &promotion["kind"])
        .collect();
    assert_eq!(
        kinds,
        [
            "promote", "promote", "promote", "rollback", "rollback", "rollback"
        ]
    );
    for artifact in [&first, &second, &third] {
        let verified = json_of(&moorline, &["artifact", "verify", artifact]);
        assert_eq!(verified["intact"], true, "{verified:#}");
    }
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

/// D-ART-5: what widens egress is found by computation, and needs a recorded security review.
#[test]
fn a_promotion_that_widens_egress_needs_a_security_review() {
    let moorline = home();
    let job = Job::new(&moorline, "job");
    let (first, _) = job.approved(&moorline);
    promote(&moorline, &first);
    job.egress(json!({"allow": ["api.example.com:443"]}));
    let submitted = job.submit(&moorline);
    let id = text(&submitted["artifact"]["id"]);
    let security: Vec<&Value> = submitted["artifact"]["review"]["changes"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|change| change["security"] == true)
        .map(|change| &change["what"])
        .collect();
    assert_eq!(security, ["egress"]);
    let diff = json_of(&moorline, &["artifact", "diff", &id]);
    let unified = text(&diff["files"][0]["unified"]);
    assert!(
        unified.contains("+++ b/job_spec.json") && unified.contains("api.example.com"),
        "{unified}"
    );
    let backwards = json_of(&moorline, &["artifact", "diff", &id, &first]);
    assert_eq!(backwards["before"], diff["after"]);

    let approve = ["artifact", "approve", &id, "--reason", "read it"];
    ok(&moorline, &approve);
    let early = [
        "artifact", "promote", &id, "--lane", "prod", "--reason", "go",
    ];
    let early = refused(&moorline, &early, 78);
    assert!(
        early.contains("D-ART-5") && early.contains("api.example.com"),
        "{early}"
    );

    // A further version does not hide the change that nobody reviewed.
    job.version(2);
    let (next, _) = job.approved(&moorline);
    let hidden = [
        "artifact", "promote", &next, "--lane", "prod", "--reason", "go",
    ];
    assert!(refused(&moorline, &hidden, 78).contains("D-ART-5"));
    let review = [
        "artifact",
        "security-review",
        &next,
        "--reason",
        "the bank's",
    ];
    let reviewed = json_of(&moorline, &review);
    assert!(reviewed["decisions"][1]["signed"].is_object());
    assert_eq!(promote(&moorline, &next)["changed"], true);
    let verified = json_of(&moorline, &["artifact", "verify", &next]);
    assert_eq!(verified["intact"], true, "{verified:#}");
}

/// D-ART-2: whatever is changed in what is kept is found, and is neither promoted nor exported.
#[test]
fn tampering_with_what_is_kept_is_found() {
    let moorline = home();
    let job = Job::new(&moorline, "job");
    let (id, _) = job.approved(&moorline);
    let shown = json_of(&moorline, &["artifact", "show", &id]);
    let kept = PathBuf::from(text(&shown["kept_in"]));
    let verify = ["artifact", "verify", &id, "--json"];
    let holds = || moorline.run(verify).unwrap().code;
    assert_eq!(holds(), Some(0));
    for name in ["main.py", "job_spec.json"] {
        let file = kept.join(name);
        let original = fs::read(&file).unwrap();
        let mut changed = original.clone();
        let last = changed.len() - 2;
        changed[last] ^= 1;
        rewrite(&file, &changed);
        assert_eq!(holds(), Some(65), "{name}");
        let promote = ["artifact", "promote", &id, "--reason", "go", "--lane"];
        for lane in ["dev", "prod"] {
            let promote = [&promote[..], &[lane]].concat();
            let refusal = moorline.run(&promote).unwrap();
            assert_ne!(refusal.code, Some(0), "{refusal}");
        }
        let out = moorline.root().join("out");
        let export = ["artifact", "export", &id, "--out", out.to_str().unwrap()];
        assert_ne!(moorline.run(export).unwrap().code, Some(0));
        assert!(!out.exists());
        rewrite(&file, &original);
    }
    let added = kept.join("added.txt");
    fs::write(&added, "x").unwrap();
    assert_eq!(holds(), Some(65));
    fs::remove_file(&added).unwrap();
    fs::set_permissions(kept.join("main.py"), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(holds(), Some(65));
}

/// Writes a file that is kept read-only.
fn rewrite(file: &Path, bytes: &[u8]) {
    let mode = fs::metadata(file).unwrap().permissions();
    fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(file, bytes).unwrap();
    fs::set_permissions(file, mode).unwrap();
}

/// An export verifies elsewhere with a key that is known there, and a changed byte anywhere in it is found.
#[test]
fn tampering_with_an_export_is_found_also_on_another_machine() {
    let moorline = home();
    let job = Job::new(&moorline, "job");
    let (id, _) = job.approved(&moorline);
    promote(&moorline, &id);
    let out = moorline.root().join("exported");
    let export = |out: &Path| {
        let out = out.to_str().unwrap();
        json_of(&moorline, &["artifact", "export", &id, "--out", out])
    };
    let written = export(&out);
    let twice = export(&moorline.root().join("twice"));
    assert_eq!(
        written["export"], twice["export"],
        "exports are deterministic"
    );

    // Another machine knows nobody's key until it is told.
    let elsewhere = Moorline::new().unwrap();
    let dir = out.to_str().unwrap();
    let unknown = elsewhere
        .run(["artifact", "verify", dir, "--json"])
        .unwrap();
    assert_eq!(unknown.code, Some(65), "{unknown}");
    let records = out.join("approval.json");
    let document: Value = serde_json::from_slice(&fs::read(&records).unwrap()).unwrap();
    let trust = format!("human:ada={}", text(&document["keys"][0]["public_key"]));
    let verify = ["artifact", "verify", dir, "--trust", &trust, "--json"];
    let verified = elsewhere.run(verify).unwrap();
    assert_eq!(verified.code, Some(0), "{verified}");
    let verified = verified.json().unwrap();
    assert_eq!(
        (&verified["intact"], &verified["approved"]),
        (&json!(true), &json!(true))
    );

    for file in [
        records.clone(),
        out.join("content/main.py"),
        out.join("content/job_spec.json"),
    ] {
        let original = fs::read(&file).unwrap();
        // Spread over the file; what is between is of the same kind.
        let step = (original.len() / 12).max(1);
        for at in (0..original.len()).step_by(step) {
            let mut changed = original.clone();
            changed[at] ^= 1;
            fs::write(&file, &changed).unwrap();
            let found = elsewhere.run(verify).unwrap();
            assert_eq!(
                found.code,
                Some(65),
                "{} byte {at}: {found}",
                file.display()
            );
        }
        fs::write(&file, &original).unwrap();
    }
    // Records that were sealed anew still need the signer's key.
    let mut forged = document.clone();
    forged["artifact"]["decisions"][0]["reason"] = json!("forged");
    fs::write(&records, forged.to_string()).unwrap();
    assert_eq!(elsewhere.run(verify).unwrap().code, Some(65));
}

/// D-ART-2: the tree is a projection: deleted, it comes back as it was.
#[test]
fn the_tree_for_people_is_rebuilt_from_the_store() {
    let moorline = home();
    let job = Job::new(&moorline, "job");
    let (first, _) = job.approved(&moorline);
    promote(&moorline, &first);
    job.version(2);
    let (second, _) = job.approved(&moorline);
    job.version(3);
    let third = text(&job.submit(&moorline)["artifact"]["id"]);
    let tree = moorline.state_dir().join("tree");
    let entry = |place: &str, id: &str| tree.join(place).join("report").join(id);
    for (place, id) in [
        ("archive", &first),
        ("approved", &second),
        ("pending", &third),
    ] {
        let entry = entry(place, id);
        let record: Value =
            serde_json::from_slice(&fs::read(entry.join("artifact.json")).unwrap()).unwrap();
        assert_eq!(record["id"], **id);
        assert!(entry.join("content/main.py").is_file(), "{place}");
    }
    let live = fs::read(tree.join("approved/report/live.json")).unwrap();
    let live: Value = serde_json::from_slice(&live).unwrap();
    assert_eq!(live, json!({"prod": first}));

    let before = snapshot(&tree);
    let unchanged = json_of(&moorline, &["artifact", "project"]);
    assert_eq!(
        (&unchanged["shown"], &unchanged["changed"]),
        (&json!(3), &json!(0))
    );
    fs::remove_dir_all(&tree).unwrap();
    json_of(&moorline, &["artifact", "project"]);
    assert_eq!(snapshot(&tree), before);
    // What does not belong there goes.
    fs::create_dir_all(tree.join("approved/other/x")).unwrap();
    fs::rename(entry("pending", &third), entry("approved", &third)).unwrap();
    json_of(&moorline, &["artifact", "project"]);
    assert_eq!(snapshot(&tree), before);
}

/// Every path below a directory with what it holds; links with their targets.
fn snapshot(dir: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut left = vec![dir.to_owned()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(dir).unwrap().to_owned();
            let kind = fs::symlink_metadata(&path).unwrap().file_type();
            if kind.is_symlink() {
                let target = fs::read_link(&path).unwrap();
                found.push((name, target.display().to_string()));
            } else if kind.is_dir() {
                found.push((name, "directory".to_owned()));
                left.push(path);
            } else {
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// What was set aside runs nowhere any more, and stays in the history.
#[test]
fn what_is_archived_runs_no_more() {
    let moorline = home();
    let job = Job::new(&moorline, "job");
    let (id, _) = job.approved(&moorline);
    promote(&moorline, &id);
    let archive = ["artifact", "archive", &id, "--reason", "the bank closed"];
    assert_eq!(json_of(&moorline, &archive)["state"], "archived");
    refused(
        &moorline,
        &["run", "--live", "report", "--lane", "prod"],
        78,
    );
    refused(&moorline, &["run", job.path(), "--lane", "prod"], 78);
    // In dev, where nothing needs an approval, it does.
    let run = json_of(&moorline, &["run", job.path()]);
    assert_eq!(run["status"], "success");
    let archived = json_of(&moorline, &["artifact", "list", "--status", "archived"]);
    assert_eq!(archived[0]["id"], *id);
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
