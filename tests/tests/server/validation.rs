//! Seed 003's flow from kickoff to its end, through the real server: every way through the workflow, with the
//! steps as real processes.

use std::collections::BTreeSet;

use moorline_testkit::moorlined::{Server, ServerOptions};
use serde_json::{Value, json};

use super::support::Api;
use super::walks::{Walk, walks};

/// The workflow that ships with Moorline.
const JOB: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../examples/validation-workflow"
);

/// A server whose kickoff starts it.
fn serving(options: ServerOptions) -> Server {
    let config = format!("[server]\nkickoff_job = \"{JOB}\"\nrate_per_second = 10000\n");
    options.config(&config).unwrap().start().unwrap()
}

fn body(hints: &Value) -> Value {
    json!({
        "project_id": "5b0c9f1e-6f1f-4b7e-9a63-0d5a1c1f6a01",
        "user_id": "5b0c9f1e-6f1f-4b7e-9a63-0d5a1c1f6a02",
        "entrepreneur_input": "A quiet ferry timetable for small islands",
        "hints": hints,
    })
}

/// Starts a validation; gives its run.
async fn kickoff(api: &Api, hints: &Value) -> String {
    let (status, started) = api.post("/kickoff", &body(hints)).await;
    assert_eq!(
        (status, &started["status"]),
        (202, &json!("started")),
        "{started:#}"
    );
    started["run_id"].as_str().unwrap().to_owned()
}

/// The status of a run, once it waits for a person or is over.
async fn rests(api: &Api, run: &str) -> Value {
    api.until(
        &format!("/status/{run}"),
        "a decision to wait for",
        |seen| !matches!(seen["status"].as_str(), Some("queued" | "running")),
    )
    .await
}

/// Walks, and gives every option that was chosen and every one that was offered.
async fn walk(api: &Api, walk: &Walk) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut chosen, mut offered) = (BTreeSet::new(), BTreeSet::new());
    let run = kickoff(api, &walk.hints).await;
    for decision in walk.all_decisions() {
        let at = rests(api, &run).await;
        let (checkpoint, choice) = decision.split_once(' ').unwrap();
        let pending = &at["hitl_pending"];
        assert_eq!(
            pending["checkpoint"], checkpoint,
            "{}: {decision}: {at:#}",
            walk.name
        );
        for option in pending["options"].as_array().unwrap() {
            offered.insert(format!("{checkpoint} {}", option["name"].as_str().unwrap()));
        }
        let (choice, refused) = match choice.strip_suffix('!') {
            Some(choice) => (choice, true),
            None => (choice, false),
        };
        let (option, words) = choice
            .split_once('=')
            .unwrap_or((choice, "as it should be"));
        let (status, answer) = api
            .post(
                "/hitl/approve",
                &json!({
                    "run_id": run, "checkpoint": checkpoint, "decision": option, "feedback": words,
                    "request_id": pending["request_id"], "version": pending["version"],
                }),
            )
            .await;
        if refused {
            assert!(
                matches!(status, 409 | 422),
                "{}: {decision}: {status} {answer:#}",
                walk.name
            );
            continue;
        }
        assert_eq!(status, 200, "{}: {decision}: {answer:#}", walk.name);
        chosen.insert(format!("{checkpoint} {option}"));
    }
    let end = rests(api, &run).await;
    assert_eq!(end["status"], walk.ends, "{}: {end:#}", walk.name);
    assert_eq!(end["hitl_pending"], Value::Null, "{}", walk.name);
    (chosen, offered)
}

/// Seed 003, L36, L37, L39, L40, L41, L43: every option that is ever offered is chosen in some walk, and each
/// walk ends as it should.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_through_the_validation_ends_as_it_should() {
    let server = serving(ServerOptions::new().unwrap());
    let token = server.token("ada", ["--principal", "human:ada"]).unwrap();
    let api = Api::new(server.url(), Some(&token));
    let walks = walks();
    let done = futures::future::join_all(walks.iter().map(|each| walk(&api, each))).await;
    let (mut chosen, mut offered) = (BTreeSet::new(), BTreeSet::new());
    for (c, o) in done {
        chosen.extend(c);
        offered.extend(o);
    }
    let never: Vec<_> = offered.difference(&chosen).collect();
    assert_eq!(
        never,
        Vec::<&String>::new(),
        "offered, and chosen in no walk"
    );
}
