//! Where lanes point: promotion, rollback, and what runs there.

use serde_json::{Value, json};

use super::super::support::{json_of, ok, refused};
use super::{Job, audit_records, events, home, promote, text};

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

/// D-ART-5: what widens egress is found by computation, and needs a recorded security review.
#[test]
fn a_promotion_that_widens_egress_needs_a_security_review() {
    let moorline = home();
    let job = Job::new(&moorline, "job");
    let (first, _) = job.approved(&moorline);
    promote(&moorline, &first);
    job.egress(&json!({"allow": ["api.example.com:443"]}));
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
