//! What must not go on by itself, seen over HTTP: a policy that can not be read or compared, a driver that was
//! replaced, a failure that no repetition mends.

use std::fs;
use std::path::Path;

use moorline_testkit::moorline::Signal;
use moorline_testkit::moorlined::{Server, ServerOptions};
use moorline_testkit::postgres::{TestDatabase, create_database};
use moorline_testkit::wait;
use moorline_tests::repository;
use serde_json::{Value, json};

use super::parked::insist;
use super::support::{Api, PATIENCE};

/// A job that asks before its last step, with these members of its first step.
fn write_job(job: &Path, first: Value) {
    let mut work = json!({"name": "work", "egress": "none"});
    if let (Some(work), Value::Object(first)) = (work.as_object_mut(), first) {
        work.extend(first);
    }
    let spec = json!({
        "job_id": "careful",
        "params": {"project_id": "", "user_id": "", "entrepreneur_input": "", "hints": {}},
        "steps": [work, {"name": "publish", "argv": ["/bin/true"], "egress": "none"}],
        "workflow": {
            "steps": {
                "work": {"produces": ["by"], "then": "may_it"},
                "publish": {"uses": ["by"], "needs_approval": "may_it"},
            },
            "gates": [{"name": "may_it", "title": "May it go out?", "context": ["by"], "options": [
                {"name": "approved", "to": "publish"}, {"name": "rejected", "to": "reject"},
            ]}],
        },
    });
    fs::write(job.join("job_spec.json"), spec.to_string()).unwrap();
}

/// A server whose kickoff starts a job, with short leases where it shares a store.
fn serving(job: &Path, database: Option<&TestDatabase>) -> Server {
    let config = format!(
        "lease_seconds = 5\n[server]\nkickoff_job = \"{}\"\nrate_per_second = 10000\n",
        job.display()
    );
    let options = ServerOptions::new().unwrap();
    let options = match database {
        Some(database) => options.store(database.url()),
        None => options,
    };
    options.config(&config).unwrap().start().unwrap()
}

fn api(server: &Server) -> Api {
    let token = server.token("ada", ["--principal", "human:ada"]).unwrap();
    Api::new(server.url(), Some(&token))
}

async fn asks_to_start(api: &Api, hints: &Value) -> (u16, Value) {
    let body = json!({
        "project_id": "5b0c9f1e-6f1f-4b7e-9a63-0d5a1c1f6a01",
        "user_id": "5b0c9f1e-6f1f-4b7e-9a63-0d5a1c1f6a02",
        "entrepreneur_input": "A quiet ferry timetable",
        "hints": hints,
    });
    let key = moorline_testkit::canary::random_hex(8);
    insist(api, "/kickoff", &key, &body).await
}

async fn kickoff(api: &Api, hints: &Value) -> String {
    let (status, started) = asks_to_start(api, hints).await;
    assert_eq!(status, 202, "{started:#}");
    started["run_id"].as_str().unwrap().to_owned()
}

/// A run, once it waits for a person or is over.
async fn rests(api: &Api, run: &str) -> Value {
    let path = format!("/v1/runs/{run}");
    api.until(&path, "the run to rest", |seen| {
        !matches!(
            seen["summary"]["status"].as_str(),
            Some("queued" | "running")
        )
    })
    .await
}

async fn decide(api: &Api, run: &str, checkpoint: &str, option: &str) -> (u16, Value) {
    let key = format!("{run} {checkpoint}");
    let body = json!({
        "run_id": run, "checkpoint": checkpoint, "decision": option, "idempotency_key": key,
    });
    insist(api, "/hitl/approve", &key, &body).await
}

/// What the request of a run is: its status, and who decided it.
async fn request(api: &Api, run: &str) -> (Value, Value) {
    let (_, found) = api.get(&format!("/v1/approvals?run={run}")).await;
    (found[0]["status"].clone(), found[0]["decision"].clone())
}

/// L42: where the workflow of a waiting run can not be read, nobody's decision is taken, and the run can be
/// ended; once it can be read again, it goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workflow_that_can_not_be_read_decides_nothing() {
    let database = create_database().unwrap();
    let job = tempfile::tempdir().unwrap();
    let says = r#"echo '::moorline {"type":"result","status":"success","data":{"by":"it"}}'"#;
    write_job(job.path(), json!({"argv": ["/bin/sh", "-c", says]}));
    let mut server = serving(job.path(), Some(&database));
    let api = api(&server);
    let runs = [
        kickoff(&api, &json!({})).await,
        kickoff(&api, &json!({})).await,
    ];
    for run in &runs {
        let seen = rests(&api, run).await;
        assert_eq!(seen["summary"]["status"], "awaiting_approval", "{seen:#}");
    }
    // A server that has read it before knows it by its hash.
    server.kill().unwrap();
    database
        .execute("UPDATE specs SET doc = replace(doc, '\"gates\"', '\"gatez\"')")
        .unwrap();
    server.restart().unwrap();

    for run in &runs {
        for option in ["approved", "rejected"] {
            let (status, problem) = decide(&api, run, "may_it", option).await;
            assert_eq!(
                (status, &problem["code"], &problem["rules"]),
                (422, &json!("ERR_CONFIG"), &json!(["D-FLOW-7"])),
                "{problem:#}"
            );
        }
        assert_eq!(request(&api, run).await, (json!("pending"), Value::Null));
    }
    // It can be seen, with what it waits for, and ended.
    let (status, seen) = api.get(&format!("/status/{}", runs[0])).await;
    assert_eq!(
        (status, &seen["status"], &seen["hitl_pending"]["checkpoint"]),
        (200, &json!("awaiting_approval"), &json!("may_it")),
        "{seen:#}"
    );
    let (status, page) = api.get(&format!("/runs/{}", runs[0])).await;
    assert_eq!(status, 200, "{page}");
    let path = format!("/v1/runs/{}/cancel", runs[1]);
    let (status, summary) = api.post(&path, &json!({"reason": "unreadable"})).await;
    assert_eq!(
        (status, &summary["status"]),
        (200, &json!("cancelled")),
        "{summary:#}"
    );
    assert_eq!(
        request(&api, &runs[1]).await,
        (json!("withdrawn"), Value::Null)
    );

    database
        .execute("UPDATE specs SET doc = replace(doc, '\"gatez\"', '\"gates\"')")
        .unwrap();
    let (status, decided) = decide(&api, &runs[0], "may_it", "approved").await;
    assert_eq!(
        (status, &decided["status"]),
        (200, &json!("resumed")),
        "{decided:#}"
    );
    assert_eq!(rests(&api, &runs[0]).await["summary"]["status"], "success");
}

/// L41, L42: a rule approves on evidence that it can compare, and on no other: then a person is asked, and sees
/// what was read. A workflow whose policy names what is not there is refused before anything starts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_can_not_be_carried_out_approves_nothing() {
    let shipped = repository().join("examples/validation-workflow");
    let job = tempfile::tempdir().unwrap();
    for file in ["crew.py", "job_spec.json"] {
        fs::copy(shipped.join(file), job.path().join(file)).unwrap();
    }
    let server = serving(job.path(), None);
    let api = api(&server);
    let gate = "approve_feasibility_gate";
    for (confidence, asks) in [
        (json!(1.0), false),
        (json!("1.0"), false),
        (json!("high"), true),
        (json!([1.0]), true),
        (Value::Null, true),
    ] {
        let run = kickoff(&api, &json!({"confidence": confidence})).await;
        let mut seen = rests(&api, &run).await;
        while seen["workflow"]["flow"]["at"].as_str().is_some_and(|at| {
            at != gate && at != "approve_viability_gate" && at.starts_with("approve_")
        }) {
            let at = seen["workflow"]["flow"]["at"].as_str().unwrap().to_owned();
            let (status, decided) = decide(&api, &run, &at, "approved").await;
            assert_eq!(status, 200, "{confidence}: {decided:#}");
            seen = rests(&api, &run).await;
        }
        let at = if asks { gate } else { "approve_viability_gate" };
        assert_eq!(seen["workflow"]["flow"]["at"], at, "{confidence}");
        let requests = seen["workflow"]["approvals"].as_array().unwrap().iter();
        let asked = requests.filter(|request| request["checkpoint"] == gate);
        let asked: Vec<_> = asked
            .map(|request| (&request["status"], &request["evidence"][1]["holds"]))
            .collect();
        let expected = if asks {
            (&json!("pending"), &Value::Null)
        } else {
            (&json!("auto_approved"), &json!(true))
        };
        assert_eq!(asked, [expected], "{confidence}");
    }

    let file = job.path().join("job_spec.json");
    let spec = fs::read_to_string(&file).unwrap();
    fs::write(
        &file,
        spec.replacen("\"choose\": \"approved\"", "\"choose\": \"nobody\"", 1),
    )
    .unwrap();
    let before = api.get("/v1/runs").await;
    let (status, problem) = asks_to_start(&api, &json!({})).await;
    assert_eq!(
        (status, &problem["code"], &problem["rules"]),
        (422, &json!("ERR_SPEC"), &json!(["D-FLOW-7a"])),
        "{problem:#}"
    );
    assert_eq!(api.get("/v1/runs").await, before, "no run was made");
}

/// L45: a server that sleeps through its lease loses the attempt; what it brings when it wakes is not taken,
/// whatever it is, and nobody sees anything of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_replaced_driver_brings_is_not_taken() {
    let database = create_database().unwrap();
    let job = tempfile::tempdir().unwrap();
    let script = r#"
        echo "$MOORLINE_ATTEMPT" >> /machine/started
        while [ -e /machine/hold ]; do sleep 0.05; done
        echo "::moorline {\"type\":\"progress\",\"phase\":\"of attempt $MOORLINE_ATTEMPT\"}"
        echo "attempt $MOORLINE_ATTEMPT" > "$MOORLINE_OUTPUT_DIR/by.txt"
        echo "::moorline {\"type\":\"result\",\"status\":\"success\",\"data\":{\"by\":\"attempt $MOORLINE_ATTEMPT\"}}"
        touch /machine/done
    "#;
    let first = json!({
        "argv": ["/bin/sh", "-c", script],
        "outputs": [{"path": "by.txt"}],
        "idempotent": true,
        "retries": {"max": 1, "initial_delay_seconds": 0.1, "on": ["preempted"]},
        "mounts": [{"volume": "machine", "path": "/machine", "read_only": false}],
    });
    write_job(job.path(), first);
    let mut sleeper = serving(job.path(), Some(&database));
    let machine = sleeper.state_dir().join("volumes/machine");
    fs::create_dir_all(&machine).unwrap();
    fs::write(machine.join("hold"), "").unwrap();
    let api = api(&sleeper);
    let run = kickoff(&api, &json!({})).await;
    let is_there = |file: &str| {
        let file = machine.join(file);
        wait::until(PATIENCE, "a file of the step", || file.exists()).unwrap();
    };
    is_there("started");
    let other = serving(job.path(), Some(&database));
    sleeper.signal(Signal::STOP).unwrap();
    fs::remove_file(machine.join("hold")).unwrap();
    is_there("done");

    let api = api.at(other.url());
    let seen = rests(&api, &run).await;
    assert_eq!(
        seen["workflow"]["flow"]["state"]["by"], "attempt 2",
        "{seen:#}"
    );
    let known = async |api: &Api| {
        let (_, view) = api.get(&format!("/v1/runs/{run}")).await;
        let (_, events) = api
            .get(&format!("/v1/events?run={run}&after=0&limit=1000"))
            .await;
        (
            view["workflow"].clone(),
            view["attempts"].clone(),
            view["summary"]["outputs"].clone(),
            events,
        )
    };
    let before = known(&api).await;
    sleeper.signal(Signal::CONT).unwrap();
    // It ends when it has brought what it has to bring.
    sleeper.end().unwrap();
    assert_eq!(known(&api).await, before);
    let events = before.3.as_array().unwrap().iter();
    let said: Vec<_> = events
        .filter(|event| event["kind"] == "run.progress")
        .map(|event| &event["data"]["phase"])
        .collect();
    assert_eq!(said, ["of attempt 2"]);

    let (status, decided) = decide(&api, &run, "may_it", "approved").await;
    assert_eq!(status, 200, "{decided:#}");
    let end = rests(&api, &run).await;
    assert_eq!(end["summary"]["status"], "success", "{end:#}");
    let by = other
        .state_dir()
        .join("runs")
        .join(&run)
        .join("outputs/work/by.txt");
    assert_eq!(fs::read_to_string(by).unwrap(), "attempt 2\n");
}

/// L46: what no repetition mends is tried once, however many retries are configured; what may be mended is tried
/// again. Retries for it are refused before anything starts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn auth_and_validation_failures_are_never_tried_again() {
    let job = tempfile::tempdir().unwrap();
    let script = r#"exit "$(sed -n 's/.*"exits": *\([0-9]*\).*/\1/p' "$MOORLINE_INPUT")""#;
    let first = |on: &[&str]| {
        json!({
            "argv": ["/bin/sh", "-c", script],
            "retries": {"max": 2, "initial_delay_seconds": 0, "on": on},
        })
    };
    write_job(job.path(), first(&["runtime", "timeout"]));
    let server = serving(job.path(), None);
    let api = api(&server);
    for (exits, attempts, status, class) in [
        (77, 1, "needs_reauth", "auth"),
        (65, 1, "failed", "validation"),
        (78, 1, "failed", "config"),
        (75, 3, "failed", "runtime"),
    ] {
        let run = kickoff(&api, &json!({"exits": exits})).await;
        let end = rests(&api, &run).await;
        let summary = &end["summary"];
        assert_eq!(
            (
                &summary["attempts"],
                &summary["status"],
                &summary["failure"]["class"]
            ),
            (&json!(attempts), &json!(status), &json!(class)),
            "exit {exits}: {end:#}"
        );
        assert_eq!(
            end["attempts"].as_array().unwrap().len(),
            attempts,
            "exit {exits}"
        );
    }
    for class in ["auth", "validation"] {
        write_job(job.path(), first(&["runtime", class]));
        let (status, problem) = asks_to_start(&api, &json!({"exits": 75})).await;
        assert_eq!(status, 422, "{class}: {problem:#}");
        let rules = problem["rules"].as_array().unwrap();
        assert!(
            rules.iter().any(|rule| rule == "D-RUN-4"),
            "{class}: {problem:#}"
        );
    }
}
