//! Workflows with gates, through the binary: what waits for a person costs nothing, and goes on from what is
//! stored when somebody decides (D-FLOW).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use moorline_testkit::moorline::{Moorline, Output};
use moorline_testkit::{postgres, process, wait};
use moorline_tests::{Job, run};
use serde_json::{Value, json};

/// How long a command of many at once may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Writes an offer for whom it is told to, with the number of the attempt in it.
const DRAFT: &str = r#"echo "drafting for $1"
printf '::moorline {"type":"result","status":"success","data":{"offer":"offer %s for %s"}}\n' "$MOORLINE_ATTEMPT" "$1""#;

/// Leaves what it was given where a test finds it.
const PUBLISH: &str = r#"cp "$MOORLINE_INPUT" "$MOORLINE_OUTPUT_DIR/input.json""#;

/// Drafts an offer, asks whether it may be published, and publishes it.
fn offer(gate: &Value) -> Job {
    let mut asked = json!({
        "name": "approve_offer",
        "title": "May the offer go out?",
        "context": ["offer", "segment"],
        "options": [
            {"name": "approved", "to": "publish"},
            {"name": "again", "to": "draft", "iterate": true},
            {
                "name": "other_segment", "to": "draft", "pivot": true,
                "sets": {"segment": {"input": "For whom it is"}},
                "must_change": ["segment"], "invalidates": ["offer"]
            },
            {"name": "rejected", "to": "reject"}
        ],
    });
    if let (Some(asked), Some(gate)) = (asked.as_object_mut(), gate.as_object()) {
        asked.extend(gate.clone());
    }
    Job::new(json!({
        "job_id": "offer",
        "title": "Offers",
        "params": {"segment": "bakers; $(false)"},
        "steps": [
            {"name": "draft", "argv": ["/bin/sh", "-c", DRAFT, "draft", "{{segment}}"]},
            {
                "name": "publish", "argv": ["/bin/sh", "-c", PUBLISH],
                "env": {"OFFER": "<{{offer}}>"}
            }
        ],
        "workflow": {
            "steps": {
                "draft": {"uses": ["segment"], "produces": ["offer"], "then": "approve_offer"},
                "publish": {"uses": ["offer"], "needs_approval": "approve_offer"}
            },
            "gates": [asked]
        }
    }))
}

/// A run of [`offer`] that waits at its gate.
struct Waiting {
    moorline: Moorline,
    run: String,
}

impl Waiting {
    fn start(moorline: Moorline, gate: &Value) -> Self {
        let (output, summary) = run(&moorline, offer(gate).path(), &[]);
        assert_eq!(output.code, Some(3), "{output}");
        assert_eq!(summary["status"], "awaiting_approval", "{output}");
        let run = summary["run_id"].as_str().unwrap().to_owned();
        Self { moorline, run }
    }

    fn here() -> Self {
        Self::start(Moorline::new().unwrap(), &json!({}))
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["--json"]].concat();
        let output = self.moorline.run(&arguments).unwrap();
        assert_eq!(output.code, Some(0), "{arguments:?}\n{output}");
        output.json().unwrap()
    }

    fn decide(&self, option: &str, more: &[&str]) -> Output {
        let decide = ["approvals", "decide", &self.run, option];
        let arguments = [&decide, more, &["--json"]].concat();
        self.moorline.run(&arguments).unwrap()
    }

    fn decided(&self, option: &str, more: &[&str]) -> Value {
        let output = self.decide(option, more);
        assert_eq!(output.code, Some(0), "{option}\n{output}");
        output.json().unwrap()
    }

    /// A decision that is refused: its code, and what is stored is as it was.
    fn refused(&self, option: &str, more: &[&str]) -> String {
        let before = self.trace();
        let output = self.decide(option, more);
        assert_ne!(output.code, Some(0), "{option}\n{output}");
        assert_eq!(self.trace(), before, "{option}");
        let error = output.json().unwrap();
        error["error"]["code"].as_str().unwrap().to_owned()
    }

    /// Everything of the run that a decision would change.
    fn trace(&self) -> (Value, Value) {
        let requests = self.json(&["approvals", "list", "--run", &self.run]);
        let events = self.json(&["events", "list", "--run", &self.run, "--after", "0"]);
        (requests, events)
    }

    /// Waits until the run rests; its exit code and its summary.
    fn wait(&self) -> (Option<i32>, Value) {
        let output = self.moorline.run(["runs", "wait", &self.run, "--json"]);
        let output = output.unwrap();
        (output.code, output.json().unwrap())
    }

    fn pending(&self) -> Value {
        let list = [
            "approvals",
            "list",
            "--run",
            &self.run,
            "--status",
            "pending",
        ];
        let Value::Array(mut found) = self.json(&list) else {
            panic!("a list");
        };
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    fn kinds(&self) -> BTreeMap<String, usize> {
        let mut kinds = BTreeMap::new();
        let events = self.json(&["events", "list", "--run", &self.run, "--after", "0"]);
        for event in events.as_array().unwrap() {
            let kind = event["kind"].as_str().unwrap().to_owned();
            *kinds.entry(kind).or_default() += 1;
        }
        kinds
    }
}

/// The whole way, as seed 003 has it: a run, a gate at which nothing is alive, a decision, the rest of the run
/// by a worker that knows nothing but the store.
fn goes_on_when_somebody_decided(moorline: Moorline) {
    let waiting = Waiting::start(moorline, &json!({}));
    let (moorline, run) = (&waiting.moorline, waiting.run.as_str());
    // Nothing is alive: no supervisor, no process of the job, no lease that a wait would wait for.
    let state = moorline.state_dir().display().to_string();
    wait::until(PATIENCE, "the last process of the run to be gone", || {
        process::matching(&state).unwrap().is_empty()
    })
    .unwrap();
    assert_eq!(waiting.wait().0, Some(3));
    let request = waiting.pending();
    assert_eq!(request["checkpoint"], "approve_offer");
    assert_eq!(
        request["context"],
        json!({"offer": "offer 1 for bakers; $(false)", "segment": "bakers; $(false)"})
    );
    let shown = moorline.run(["runs", "show", run]).unwrap();
    assert!(shown.stdout.contains("May the offer go out?"), "{shown}");
    let explained = moorline.run(["explain", "run", run]).unwrap();
    assert!(explained.stdout.contains("D-FLOW-3"), "{explained}");

    let decided = waiting.decided("approved", &["--feedback", "good", "--version", "1"]);
    assert_eq!(
        (&decided["outcome"], &decided["next"], &decided["applied"]),
        (&json!("resumed"), &json!("publish"), &json!(true))
    );
    let worked = moorline.run(["work", "--until-idle", "--json"]).unwrap();
    assert_eq!(worked.code, Some(0), "{worked}");
    let (code, summary) = waiting.wait();
    assert_eq!((code, &summary["status"]), (Some(0), &json!("success")));
    assert_eq!(summary["attempts"], 2);

    let given = Path::new(&state)
        .join("runs")
        .join(run)
        .join("outputs/publish/input.json");
    let given: Value = serde_json::from_slice(&fs::read(given).unwrap()).unwrap();
    assert_eq!(
        given["state"],
        json!({"offer": "offer 1 for bakers; $(false)"})
    );
    assert_eq!(given["visit"], 1);
    let approval = &given["approval"];
    assert_eq!(
        (&approval["gate"], &approval["request"], &approval["option"]),
        (&json!("approve_offer"), &request["id"], &json!("approved"))
    );
    let kinds = waiting.kinds();
    for (kind, count) in [
        ("approval.requested", 1),
        ("approval.decided", 1),
        ("attempt.claimed", 2),
        ("run.ended", 1),
    ] {
        assert_eq!(kinds.get(kind), Some(&count), "{kind}: {kinds:?}");
    }
    let decisions = waiting.json(&["audit", "list", "--operation", "approval.decide"]);
    assert_eq!(decisions[0]["reason"], "good", "{decisions}");
    let jobs = waiting.json(&["job", "list"]);
    assert_eq!(
        (
            &jobs[0]["job_id"],
            &jobs[0]["title"],
            &jobs[0]["last_run"]["status"]
        ),
        (&json!("offer"), &json!("Offers"), &json!("success"))
    );
}

#[test]
fn a_run_goes_on_when_somebody_decided_on_sqlite() {
    goes_on_when_somebody_decided(Moorline::new().unwrap());
}

#[test]
fn a_run_goes_on_when_somebody_decided_on_postgres() {
    let database = postgres::create_database().unwrap();
    let moorline = Moorline::new().unwrap();
    goes_on_when_somebody_decided(moorline.env("MOORLINE_STORE", database.url()));
}

/// L37: iterating three times works; each time the step runs again and a new request is asked. A fourth time is
/// not offered.
#[test]
fn three_iterations_ask_three_times_more() {
    let waiting = Waiting::here();
    for round in 1..=3 {
        let decided = waiting.decided("again", &["--feedback", "shorter"]);
        assert_eq!(decided["outcome"], "iterate");
        assert_eq!(waiting.wait().0, Some(3), "round {round}");
        let request = waiting.pending();
        assert_eq!(request["iteration"], round);
        let offer = format!("offer {} for bakers; $(false)", round + 1);
        assert_eq!(request["context"]["offer"], offer);
    }
    assert_eq!(waiting.refused("again", &[]), "ERR_CONFLICT");
    waiting.decided("approved", &[]);
    let (code, summary) = waiting.wait();
    assert_eq!((code, &summary["attempts"]), (Some(0), &json!(5)));
    assert_eq!(waiting.kinds().get("approval.requested"), Some(&4));
}

/// L39: a pivot that changes nothing is refused; one that does leads back with what it set.
#[test]
fn a_pivot_changes_what_it_is_about() {
    let waiting = Waiting::here();
    assert_eq!(waiting.refused("other_segment", &[]), "ERR_INPUTS");
    let same = ["--input", "segment=bakers; $(false)"];
    assert_eq!(waiting.refused("other_segment", &same), "ERR_INPUTS");
    let decided = waiting.decided("other_segment", &["--input", "segment=\"dentists\""]);
    assert_eq!(
        (&decided["outcome"], &decided["next"]),
        (&json!("pivot"), &json!("draft"))
    );
    assert_eq!(waiting.wait().0, Some(3));
    assert_eq!(
        waiting.pending()["context"]["offer"],
        "offer 2 for dentists"
    );
}

/// L36: what was rejected stays rejected. L34: the same decision under the same key is answered again.
#[test]
fn a_rejection_is_final() {
    let waiting = Waiting::here();
    let key = ["--key", "meeting of monday"];
    let first = waiting.decided("rejected", &key);
    assert_eq!(
        (&first["outcome"], &first["applied"]),
        (&json!("rejected"), &json!(true))
    );
    let (code, summary) = waiting.wait();
    assert_eq!(
        (code, &summary["failure"]["class"]),
        (Some(1), &json!("rejected"))
    );
    let again = waiting.decided("rejected", &key);
    assert_eq!(
        (&again["request"], &again["applied"]),
        (&first["request"], &json!(false))
    );
    assert_eq!(waiting.refused("approved", &key), "ERR_CONFLICT");
    assert_eq!(waiting.refused("approved", &[]), "ERR_CONFLICT");
}

/// L32: a decision of another checkpoint, another run or another version has no effect.
#[test]
fn a_decision_means_what_it_names() {
    let waiting = Waiting::here();
    let request = waiting.pending()["id"].as_str().unwrap().to_owned();
    let checkpoint = ["--checkpoint", "approve_budget"];
    assert_eq!(waiting.refused("approved", &checkpoint), "ERR_CONFLICT");
    waiting.refused("approved", &["--version", "7"]);
    assert_eq!(waiting.refused("shrug", &[]), "ERR_INPUTS");
    let nobody = "01900000-0000-7000-8000-000000000001";
    let decide = ["approvals", "decide", nobody, "approved", "--json"];
    let unknown = waiting.moorline.run(decide).unwrap().json().unwrap();
    assert_eq!(unknown["error"]["code"], "ERR_NOT_FOUND");
    let decide = ["approvals", "decide", &request, "approved", "--json"];
    let by_request = waiting.moorline.run(decide).unwrap();
    assert_eq!(by_request.code, Some(0), "{by_request}");
}

/// L33: of many processes that decide at once, one has an effect, and the run resumes once.
#[test]
fn of_many_decisions_at_once_one_has_an_effect() {
    let waiting = Waiting::here();
    let decide = |number: usize| {
        let option = if number.is_multiple_of(2) {
            "approved"
        } else {
            "again"
        };
        let key = format!("key {number}");
        let decide = ["approvals", "decide", &waiting.run, option, "--key", &key];
        waiting.moorline.spawn(decide).unwrap()
    };
    let deciding: Vec<_> = (0..12).map(decide).collect();
    let codes = deciding
        .into_iter()
        .map(|one| one.wait(PATIENCE).unwrap().code);
    let mut codes: Vec<_> = codes.collect();
    codes.sort_unstable();
    let mut expected = vec![Some(1); 12];
    expected[0] = Some(0);
    assert_eq!(codes, expected);
    waiting.wait();
    let kinds = waiting.kinds();
    assert_eq!(
        (kinds.get("approval.decided"), kinds.get("attempt.claimed")),
        (Some(&1), Some(&2)),
        "{kinds:?}"
    );
}

/// L35, D-FLOW-6: a request expires by the clock and nothing else; the run fails, and it is too late.
#[test]
fn a_request_expires_after_its_time() {
    let moorline = Moorline::new().unwrap();
    let clock = moorline.root().join("clock");
    fs::write(&clock, "2026-03-02T12:00:00Z").unwrap();
    let moorline = moorline.env("MOORLINE_TEST_CLOCK", &clock);
    let gate = json!({"expires_after_seconds": 3600, "reminders": [600]});
    let waiting = Waiting::start(moorline, &gate);
    let work = || {
        let output = waiting.moorline.run(["work", "--once", "--json"]).unwrap();
        assert_eq!(output.code, Some(0), "{output}");
    };
    fs::write(&clock, "2026-03-02T12:10:00Z").unwrap();
    work();
    work();
    assert_eq!(waiting.kinds().get("approval.reminded"), Some(&1));
    fs::write(&clock, "2026-03-02T13:00:00Z").unwrap();
    assert_eq!(waiting.refused("approved", &[]), "ERR_EXPIRED");
    work();
    let (code, summary) = waiting.wait();
    assert_eq!(
        (code, &summary["failure"]["class"]),
        (Some(1), &json!("expired"))
    );
    assert_eq!(waiting.refused("approved", &[]), "ERR_EXPIRED");
    let request = &waiting.json(&["approvals", "list", "--run", &waiting.run])[0];
    assert_eq!(request["status"], "expired");
    // L44: the run failed once, and that is told once.
    let alerts = waiting.json(&["alerts", "list"]);
    let failures = alerts.as_array().unwrap().iter();
    let failures = failures.filter(|view| view["data"]["class"] == "expired");
    assert_eq!(failures.count(), 1, "{alerts:#}");
}

/// D-ART-4: an agent does not decide, whatever its role; the refusal is on record.
#[test]
fn an_agent_does_not_decide() {
    let mut waiting = Waiting::here();
    waiting.moorline = waiting.moorline.env("MOORLINE_PRINCIPAL", "agent:codex");
    let output = waiting.decide("approved", &[]);
    assert_eq!(output.code, Some(77), "{output}");
    let error = output.json().unwrap();
    assert_eq!(error["error"]["code"], "ERR_FORBIDDEN", "{output}");
    waiting.pending();
}

/// D-STOP-1: a stop ends what waits at once and withdraws its request; nothing is decided any more.
#[test]
fn a_stop_ends_what_waits() {
    let waiting = Waiting::here();
    waiting.json(&["stop", "all", "--reason", "unsafe output"]);
    let (code, summary) = waiting.wait();
    assert_eq!((code, &summary["status"]), (Some(137), &json!("killed")));
    let request = &waiting.json(&["approvals", "list", "--run", &waiting.run])[0];
    assert_eq!(request["status"], "withdrawn");
    assert_eq!(waiting.refused("approved", &[]), "ERR_CONFLICT");
}

/// L31: a decision that is durable is carried out, whoever dies after it: the process that took it never drove
/// the run, and another one does, once.
#[test]
fn a_decision_outlives_who_took_it() {
    let waiting = Waiting::here();
    waiting.decided("approved", &[]);
    let runs = waiting.json(&["runs", "show", &waiting.run]);
    assert_eq!(
        (&runs["status"], &runs["attempts"]),
        (&json!("running"), &json!(1))
    );
    let worked = waiting.moorline.run(["work", "--once", "--json"]).unwrap();
    assert_eq!(worked.json().unwrap()["taken_up"], json!([waiting.run]));
    assert_eq!(waiting.wait().0, Some(0));
    assert_eq!(waiting.kinds().get("attempt.claimed"), Some(&2));
}

/// D-RUN-4: a step that a run comes back to has its retries anew.
#[test]
fn retries_count_for_each_visit_of_a_step() {
    let job = offer(&json!({}));
    let file = job.path().join("job_spec.json");
    let mut spec: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let fails_first = format!("test $((MOORLINE_ATTEMPT % 2)) = 0 || exit 75\n{DRAFT}");
    spec["steps"][0]["argv"][2] = json!(fails_first);
    spec["steps"][0]["retries"] = json!({"max": 1, "initial_delay_seconds": 0, "on": ["runtime"]});
    fs::write(&file, spec.to_string()).unwrap();
    let moorline = Moorline::new().unwrap();
    let (output, summary) = run(&moorline, job.path(), &[]);
    assert_eq!(
        (output.code, &summary["attempts"]),
        (Some(3), &json!(2)),
        "{output}"
    );
    let run = summary["run_id"].as_str().unwrap().to_owned();
    let waiting = Waiting { moorline, run };
    waiting.decided("again", &[]);
    let (code, summary) = waiting.wait();
    assert_eq!((code, &summary["attempts"]), (Some(3), &json!(4)));
    waiting.decided("approved", &[]);
    let (code, summary) = waiting.wait();
    assert_eq!((code, &summary["attempts"]), (Some(0), &json!(5)));
}
