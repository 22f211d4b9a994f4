//! Several servers on one PostgreSQL, each with a state directory of its own, as on machines of their own: what
//! one took in, another goes on with.

use std::fs;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use moorline_core::content_id::ContentId;
use moorline_store::{BlobStore as _, PostgresStore};
use moorline_testkit::coverage::{self, Backend};
use moorline_testkit::moorline::Moorline;
use moorline_testkit::moorlined::{Server, ServerOptions};
use moorline_testkit::postgres::{TestDatabase, create_database};
use moorline_testkit::process;
use serde_json::{Value, json};

use super::support::{Api, PATIENCE};

/// What a kickoff is asked with.
fn body(text: &str) -> Value {
    json!({
        "project_id": "5b0c9f1e-6f1f-4b7e-9a63-0d5a1c1f6a01",
        "user_id": "5b0c9f1e-6f1f-4b7e-9a63-0d5a1c1f6a02",
        "entrepreneur_input": text,
    })
}

/// Two steps; the second hangs on a machine whose volume `machine` holds the file `hangs`. `marker` is found
/// among the processes of whoever runs it.
fn write_job(job: &Path, marker: &str, idempotent: bool) {
    fs::create_dir_all(job).unwrap();
    fs::write(
        job.join("first.sh"),
        "echo from the first step; echo carried over > \"$MOORLINE_OUTPUT_DIR/first.txt\"\n",
    )
    .unwrap();
    fs::write(
        job.join("second.sh"),
        "echo on the second step\n\
         if [ -e /machine/hangs ]; then sleep 600; fi\n\
         cat \"$(sed -n 's/.*\"path\": *\"\\([^\"]*first.txt\\)\".*/\\1/p' \"$MOORLINE_INPUT\")\"\n",
    )
    .unwrap();
    let mut second = json!({
        "name": "second", "argv": ["/bin/sh", "second.sh", marker], "egress": "none",
        "mounts": [{"volume": "machine", "path": "/machine", "read_only": false}],
    });
    if idempotent {
        second["idempotent"] = json!(true);
        second["retries"] = json!({"max": 1, "initial_delay_seconds": 0.1, "on": ["preempted"]});
    }
    let spec = json!({
        "job_id": "travels",
        "params": {"project_id": "", "user_id": "", "entrepreneur_input": ""},
        "steps": [
            {"name": "first", "argv": ["/bin/sh", "first.sh", marker], "egress": "none",
             "outputs": [{"path": "first.txt"}]},
            second,
        ],
    });
    fs::write(job.join("job_spec.json"), spec.to_string()).unwrap();
}

/// A server with a state directory of its own, whose leases are short.
fn server(database: &TestDatabase, job: Option<&Path>) -> Server {
    let kickoff = job.map(|job| format!("kickoff_job = \"{}\"\n", job.display()));
    let config = format!(
        "lease_seconds = 5\n[server]\n{}rate_per_second = 10000\n",
        kickoff.unwrap_or_default()
    );
    let options = ServerOptions::new().unwrap().store(database.url());
    options.config(&config).unwrap().start().unwrap()
}

fn gone(marker: &str) {
    moorline_testkit::wait::until(PATIENCE, "the processes of the job to be gone", || {
        process::matching(marker).unwrap().is_empty()
    })
    .unwrap();
}

/// What is left when a machine has died in the middle of a run. The servers end before their database.
struct Scene {
    /// The run, as the other machine ended it.
    ended: Value,
    run: String,
    one: Server,
    two: Server,
    marker: String,
    _database: TestDatabase,
}

/// Submits at one server, lets it hang in the second step, kills the server, and waits for what the other one
/// makes of the run.
async fn die_in_the_second_step(idempotent: bool) -> Scene {
    let database = create_database().unwrap();
    let job = tempfile::tempdir().unwrap();
    let marker = format!("travels-{}", moorline_testkit::canary::random_hex(8));
    write_job(job.path(), &marker, idempotent);
    let mut one = server(&database, Some(job.path()));
    let volume = one.state_dir().join("volumes/machine");
    fs::create_dir_all(&volume).unwrap();
    fs::write(volume.join("hangs"), "").unwrap();
    let token = one.token("ada", ["--principal", "human:ada"]).unwrap();
    let api = Api::new(one.url(), Some(&token));
    let (status, run) = api.post("/kickoff", &body("an idea in one sentence")).await;
    assert_eq!(status, 202, "{run}");
    let run = run["run_id"].as_str().unwrap().to_owned();
    let path = format!("/v1/runs/{run}");
    api.until(&path, "the second step to run", |seen| {
        seen["attempts"]
            .as_array()
            .is_some_and(|all| all.len() == 2)
    })
    .await;
    moorline_testkit::wait::until(PATIENCE, "its process to be there", || {
        !process::matching(&marker).unwrap().is_empty()
    })
    .unwrap();

    // It is alone until now: whatever the other one has of the run, it got from the store.
    let two = server(&database, None);
    one.kill().unwrap();
    drop(job);
    let api = api.at(two.url());
    let ended = api
        .until(&path, "the run to end", |seen| {
            seen["summary"]["ended_at"].is_string()
        })
        .await;
    Scene {
        ended,
        run,
        one,
        two,
        marker,
        _database: database,
    }
}

/// L30: the step is repeated on the other machine, with the directory, the inputs and the outputs of the first
/// step that it fetched; the log of both can be read there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_goes_on_at_another_machine_where_that_does_no_harm() {
    let Scene {
        ended,
        run,
        mut one,
        two,
        marker,
        _database,
    } = die_in_the_second_step(true).await;
    assert_eq!(ended["summary"]["status"], "success", "{ended:#}");
    let attempts = ended["attempts"].as_array().unwrap();
    let seen: Vec<_> = attempts
        .iter()
        .map(|attempt| {
            (
                attempt["step"].as_str().unwrap(),
                attempt["number"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(seen, [("first", 1), ("second", 1), ("second", 2)]);
    assert_eq!(attempts[1]["exit"]["how"], "lost", "{ended:#}");
    let log = two.moorline().run(["runs", "logs", &run]).unwrap();
    for line in ["from the first step", "on the second step", "carried over"] {
        assert!(log.stdout.contains(line), "{line}: {log}");
    }
    // What the first machine still runs is nobody's; it ends it as soon as it is back.
    assert!(!process::matching(&marker).unwrap().is_empty());
    one.restart().unwrap();
    gone(&marker);
    coverage::record(Backend::Postgres).unwrap();
}

/// D-RUN-4: a step that may have had effects is not repeated; the run says what became of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_may_have_had_effects_is_not_repeated_elsewhere() {
    let Scene {
        ended,
        mut one,
        two: _two,
        marker,
        _database,
        ..
    } = die_in_the_second_step(false).await;
    assert_eq!(ended["summary"]["status"], "failed", "{ended:#}");
    assert_eq!(
        ended["summary"]["failure"]["class"], "preempted",
        "{ended:#}"
    );
    assert_eq!(ended["attempts"].as_array().unwrap().len(), 2, "{ended:#}");
    one.restart().unwrap();
    gone(&marker);
}

/// D-STOP-2: a run is ended wherever it runs, whichever machine is asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_at_one_machine_ends_what_another_runs() {
    let database = create_database().unwrap();
    let job = tempfile::tempdir().unwrap();
    let marker = format!("travels-{}", moorline_testkit::canary::random_hex(8));
    write_job(job.path(), &marker, false);
    let one = server(&database, Some(job.path()));
    let volume = one.state_dir().join("volumes/machine");
    fs::create_dir_all(&volume).unwrap();
    fs::write(volume.join("hangs"), "").unwrap();
    let token = one.token("ada", ["--principal", "human:ada"]).unwrap();
    let api = Api::new(one.url(), Some(&token));
    let (_, run) = api.post("/kickoff", &body("an idea in one sentence")).await;
    let path = format!("/v1/runs/{}", run["run_id"].as_str().unwrap());
    api.until(&path, "the second step to run", |seen| {
        seen["attempts"]
            .as_array()
            .is_some_and(|all| all.len() == 2)
    })
    .await;
    let two = server(&database, None);
    let stopped = two
        .moorline()
        .run(["stop", "all", "--reason", "enough", "--json"])
        .unwrap();
    let report = stopped.json().unwrap();
    assert_eq!(
        report["dead"].as_array().map(Vec::len),
        Some(1),
        "{stopped}"
    );
    gone(&marker);
}

fn done(moorline: &Moorline, arguments: &[&str]) -> Value {
    let mut all = arguments.to_vec();
    all.push("--json");
    let output = moorline.run(&all).unwrap();
    assert_eq!(output.code, Some(0), "{output}");
    output.json().unwrap()
}

/// An artifact is submitted on one machine; another reviews, approves, promotes and runs it.
#[test]
fn an_artifact_is_reviewed_and_run_where_it_was_not_submitted() {
    let database = create_database().unwrap();
    let home = || {
        Moorline::new()
            .unwrap()
            .env("MOORLINE_STORE", database.url())
    };
    let (one, two) = (home(), home());
    let job = one.work_dir().join("hello");
    fs::create_dir_all(&job).unwrap();
    fs::write(job.join("RUNBOOK.md"), "# Hello\n\nSays hello.\n").unwrap();
    let spec = json!({"job_id": "hello", "steps": [
        {"name": "greet", "argv": ["/bin/sh", "-c", "cat RUNBOOK.md"], "egress": "none"}
    ]});
    fs::write(job.join("job_spec.json"), spec.to_string()).unwrap();
    let submitted = done(&one, &["artifact", "submit", job.to_str().unwrap()]);
    let id = submitted["artifact"]["id"].as_str().unwrap();
    fs::remove_dir_all(&job).unwrap();

    done(&two, &["artifact", "review", id]);
    done(&two, &["artifact", "approve", id, "--reason", "read"]);
    done(&two, &["artifact", "promote", id, "--reason", "good"]);
    let run = done(&two, &["run", "--live", "hello"]);
    assert_eq!(run["status"], "success", "{run:#}");
    // And back: the first machine reads the log of what the other one ran.
    let log = one
        .run(["runs", "logs", run["run_id"].as_str().unwrap()])
        .unwrap();
    assert!(log.stdout.contains("Says hello."), "{log}");
}

/// Uploads are kept in the store for other servers, for as long as they are promised for: then they go, whichever
/// server took them, and nothing else does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_for_other_servers_with_an_end_goes_after_it() {
    let database = create_database().unwrap();
    let store = PostgresStore::connect(database.url()).await.unwrap();
    let name = |text: &str| ContentId::of_bytes(text.as_bytes());
    let second = |second| Some(Timestamp::from_second(second).unwrap());
    let far = 32_503_680_000; // the year 3000
    for (text, until) in [
        ("over", second(1)),
        ("kept", second(far)),
        ("for good", None),
    ] {
        store
            .blob_put(&name(text), text.into(), until)
            .await
            .unwrap();
    }
    let _server = server(&database, None);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while store.blob_exists(&name("over")).await.unwrap() {
        assert!(tokio::time::Instant::now() < deadline, "it is still there");
        tokio::time::sleep(Duration::from_millis(20)).await; // L77: between two looks
    }
    assert!(store.blob_exists(&name("kept")).await.unwrap());
    assert!(store.blob_exists(&name("for good")).await.unwrap());
}
