//! A run that somebody rejects, in each of the ways: it is over, for good, and nothing of it is left.

use moorline_testkit::moorlined::ServerOptions;
use moorline_testkit::{canary, process, wait};
use serde_json::{Value, json};

use super::super::support::PATIENCE;
use super::machines::{rests, witnessed};
use super::person::{Choice, Person, Refused, Way, text};
use super::{has_the_seed_s_shape, kickoff};

const fn choose(option: &str) -> Choice<'_> {
    Choice {
        option,
        given: None,
    }
}

/// Seed 003, L36: the run is `failed` by `rejected`, its request `rejected`; whoever decides afterwards, in
/// whatever way, is refused and changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejection_ends_the_run_for_good_in_each_way() {
    let marker = format!("rejected-{}", canary::random_hex(8));
    let job = witnessed(&marker);
    let config = format!(
        "[server]\nkickoff_job = \"{}\"\nrate_per_second = 10000\n",
        job.path().display()
    );
    let options = ServerOptions::new().unwrap().config(&config).unwrap();
    let server = options.start().unwrap();
    let at = server.url();
    let ada = Person::at(&server).await;
    let api = ada.api(at);
    for way in Way::ALL {
        let run = kickoff(&api, &format!("{way:?}"), &json!({})).await;
        // Not the first checkpoint: what was done before stays done.
        let first = rests(&api, &run).await;
        let approved = ada.decides(at, way, &first, choose("approved")).await;
        assert_eq!(approved, Ok("resumed".to_owned()), "{way:?}");
        let status = rests(&api, &run).await;
        let rejected = ada.decides(at, way, &status, choose("rejected")).await;
        assert_eq!(rejected, Ok("rejected".to_owned()), "{way:?}");

        let path = format!("/v1/runs/{run}");
        let (_, view) = api.get(&path).await;
        let end = rests(&api, &run).await;
        has_the_seed_s_shape(&end);
        assert_eq!(
            (&end["status"], &end["hitl_pending"], &end["error_message"]),
            (
                &json!("failed"),
                &Value::Null,
                &json!("rejected at the gate `approve_experiment_plan` by human:ada")
            ),
            "{way:?}: {end:#}"
        );
        let summary = &view["summary"];
        assert_eq!(
            (&summary["failure"]["class"], &view["due_at"]),
            (&json!("rejected"), &Value::Null),
            "{way:?}: {view:#}"
        );
        assert!(summary["ended_at"].is_string(), "{way:?}: {view:#}");
        assert_eq!(view["workflow"]["flow"]["at"], "reject", "{way:?}");
        let (_, requests) = api.get(&format!("/v1/approvals?run={run}")).await;
        let requests = requests.as_array().unwrap().iter();
        let statuses: Vec<_> = requests.map(|request| text(&request["status"])).collect();
        assert_eq!(statuses, ["rejected", "approved"], "{way:?}");
        is_final(&ada, at, &run, &status).await;
    }
    wait::until(PATIENCE, "the last process of the runs to be gone", || {
        process::matching(&marker).unwrap().is_empty()
    })
    .unwrap();
    let (_, live) = api.get("/v1/runs?statuses=running&statuses=queued").await;
    assert_eq!(live, json!([]));
}

/// Whoever still has the question before them is late.
async fn is_final(ada: &Person, at: &str, run: &str, status: &Value) {
    let api = ada.api(at);
    let trace = async || {
        let (_, events) = api.get(&format!("/v1/events?run={run}&limit=1000")).await;
        let (_, requests) = api.get(&format!("/v1/approvals?run={run}")).await;
        (events, requests)
    };
    let before = trace().await;
    for late in [Way::Http, Way::Cli] {
        let refused = ada.decides(at, late, status, choose("approved")).await;
        let code = "ERR_CONFLICT".to_owned();
        let status = (late == Way::Http).then_some(409);
        assert_eq!(refused, Err(Refused { status, code }), "{late:?}");
    }
    let id = text(&status["hitl_pending"]["request_id"]);
    let page = ada.sees(at, &format!("/approvals/{id}")).await;
    assert!(
        !page.contains("/decision\""),
        "the page of a closed request has no form"
    );
    assert_eq!(trace().await, before);
}
