//! Seed 003 as a whole: one validation from its kickoff to its end, decided over HTTP, by the command line and in
//! the page in turn, on two machines of which each dies once; what time does to its checkpoints; and its end when
//! somebody rejects it.

mod expiry;
mod machines;
mod person;
mod rejection;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use self::machines::{Machines, reads};
use self::person::{Choice, Person, Refused, Way, body, text};
use super::parked::insist;
use super::support::Api;

/// What the mock crews find, so that the walk comes to every checkpoint and to both pivots: first nobody cares,
/// then people care and do not act, then more money is asked for, and at last the price does not carry it.
fn hints() -> Value {
    json!({
        "resonance": 0.29, "zombie_ratio": 0.7, "spend_requested": 80, "ltv_cac": 2.9,
        "after_pivot": {"resonance": 0.5, "ltv_cac": 3.0},
    })
}

/// Starts a validation; gives its run. The same key gives the same run, wherever it is asked (L30).
async fn kickoff(api: &Api, key: &str, hints: &Value) -> String {
    let body = json!({
        "project_id": "5b0c9f1e-6f1f-4b7e-9a63-0d5a1c1f6a01",
        "user_id": "5b0c9f1e-6f1f-4b7e-9a63-0d5a1c1f6a02",
        "entrepreneur_input": "A quiet ferry timetable for small islands",
        "hints": hints,
    });
    let (status, started) = insist(api, "/kickoff", key, &body).await;
    assert_eq!(status, 202, "{started:#}");
    assert_eq!(started["status"], "started", "{started:#}");
    assert!(started["message"].is_string(), "{started:#}");
    text(&started["run_id"])
}

/// What the contract of the seed says of a status: its members, and those of each row of progress.
fn has_the_seed_s_shape(status: &Value) {
    let members: Vec<&str> = status
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let always = [
        "run_id",
        "status",
        "current_phase",
        "phase_name",
        "progress",
        "started_at",
        "updated_at",
    ];
    let sometimes = ["next_cursor", "hitl_pending", "error_message"];
    for member in always {
        assert!(members.contains(&member), "{member}: {status:#}");
    }
    for member in &members {
        assert!(
            always.contains(member) || sometimes.contains(member),
            "{member}"
        );
    }
    for row in status["progress"].as_array().unwrap() {
        let said = [
            "phase",
            "crew",
            "task",
            "status",
            "progress_pct",
            "created_at",
        ];
        assert!(said.iter().all(|member| !row[member].is_null()), "{row:#}");
    }
}

/// A decision of the walk, and what it comes to.
struct Turn {
    way: Way,
    checkpoint: &'static str,
    option: &'static str,
    given: Option<&'static str>,
    comes_to: Result<&'static str, (u16, &'static str)>,
}

const fn turn(
    way: Way,
    checkpoint: &'static str,
    option: &'static str,
    comes_to: &'static str,
) -> Turn {
    Turn {
        way,
        checkpoint,
        option,
        given: None,
        comes_to: Ok(comes_to),
    }
}

const fn refused(
    way: Way,
    checkpoint: &'static str,
    option: &'static str,
    status: u16,
    code: &'static str,
) -> Turn {
    Turn {
        way,
        checkpoint,
        option,
        given: None,
        comes_to: Err((status, code)),
    }
}

const fn giving(given: &'static str, turn: Turn) -> Turn {
    Turn {
        given: Some(given),
        ..turn
    }
}

/// Up to the first campaign: three times again, each in another way, and no fourth in any (L37).
#[rustfmt::skip] // a table reads as one
const LAUNCH: &[Turn] = &[
    turn(Way::Http, "approve_founders_brief", "iterate", "iterate"),
    turn(Way::Cli, "approve_founders_brief", "iterate", "iterate"),
    turn(Way::Page, "approve_founders_brief", "iterate", "iterate"),
    refused(Way::Http, "approve_founders_brief", "iterate", 409, "ERR_CONFLICT"),
    refused(Way::Cli, "approve_founders_brief", "iterate", 409, "ERR_CONFLICT"),
    refused(Way::Page, "approve_founders_brief", "iterate", 409, "ERR_CONFLICT"),
    turn(Way::Page, "approve_founders_brief", "approved", "resumed"),
    turn(Way::Http, "approve_experiment_plan", "approved", "resumed"),
    turn(Way::Cli, "approve_pricing_test", "approved", "resumed"),
    turn(Way::Page, "approve_vpc_completion", "approved", "resumed"),
    turn(Way::Http, "approve_campaign_launch", "approved", "resumed"),
];

/// Another segment, which must be another one (L39), up to the campaign for it.
#[rustfmt::skip]
const SEGMENT: &[Turn] = &[
    giving("island residents", refused(Way::Http, "approve_segment_pivot", "custom_segment", 422, "ERR_INPUTS")),
    giving("island residents", refused(Way::Cli, "approve_segment_pivot", "custom_segment", 422, "ERR_INPUTS")),
    giving("island residents", refused(Way::Page, "approve_segment_pivot", "custom_segment", 422, "ERR_INPUTS")),
    giving("lighthouse keepers", turn(Way::Cli, "approve_segment_pivot", "custom_segment", "pivot")),
    turn(Way::Page, "approve_pricing_test", "approved", "resumed"),
    turn(Way::Http, "approve_vpc_completion", "approved", "resumed"),
    turn(Way::Cli, "approve_campaign_launch", "approved", "resumed"),
];

/// Another offer, more money, and the rest.
#[rustfmt::skip]
const REST: &[Turn] = &[
    turn(Way::Page, "approve_value_pivot", "approved", "pivot"),
    turn(Way::Cli, "approve_vpc_completion", "approved", "resumed"),
    turn(Way::Http, "approve_campaign_launch", "approved", "resumed"),
    turn(Way::Page, "approve_spend_increase", "approved", "resumed"),
    turn(Way::Cli, "approve_desirability_gate", "approved", "resumed"),
    turn(Way::Http, "approve_feasibility_gate", "approved", "resumed"),
    giving("39", turn(Way::Page, "request_human_decision", "change_price", "pivot")),
    turn(Way::Cli, "approve_viability_gate", "approved", "resumed"),
];

/// How often the process of each step is started: once for each time that the run comes to it, and the first
/// campaign once more, since its machine dies under it.
#[rustfmt::skip]
const STARTED: &[(&str, usize)] = &[
    ("founders_brief", 4), ("experiment_plan", 1), ("customer_discovery", 2), ("pricing_test_plan", 2),
    ("pricing_test", 2), ("value_fit", 3), ("campaign_plan", 3), ("campaign", 4), ("campaign_extension", 1),
    ("feasibility", 1), ("viability", 2),
];

/// The phase of a checkpoint, by number and name.
fn phase(checkpoint: &str) -> (u64, &'static str) {
    match checkpoint {
        "approve_founders_brief" => (0, "onboarding"),
        "approve_experiment_plan" | "approve_pricing_test" | "approve_vpc_completion" => {
            (1, "vpc_discovery")
        }
        "approve_feasibility_gate" => (3, "feasibility"),
        "approve_viability_gate" | "request_human_decision" => (4, "viability"),
        _ => (2, "desirability"),
    }
}

/// Takes a turn at the server `at`, whose run stands at `status`.
async fn take(person: &Person, at: &str, status: &Value, turn: &Turn) {
    has_the_seed_s_shape(status);
    let what = format!("{:?} {} {}", turn.way, turn.checkpoint, turn.option);
    let pending = &status["hitl_pending"];
    assert_eq!(pending["checkpoint"], turn.checkpoint, "{what}: {status:#}");
    let (number, name) = phase(turn.checkpoint);
    assert_eq!(status["status"], "awaiting_approval", "{what}");
    assert_eq!(
        (&status["current_phase"], &status["phase_name"]),
        (&json!(number), &json!(name)),
        "{what}"
    );
    let choice = Choice {
        option: turn.option,
        given: turn.given,
    };
    let came_to = person.decides(at, turn.way, status, choice).await;
    let expected = turn
        .comes_to
        .map(str::to_owned)
        .map_err(|(status, code)| Refused {
            status: (turn.way != Way::Cli).then_some(status),
            code: code.to_owned(),
        });
    assert_eq!(came_to, expected, "{what}");
}

/// What is known of a run wherever it is asked for: where it stands and what it has, its requests, its attempts.
async fn known(api: &Api, run: &str) -> Value {
    let view = reads(api, &format!("/v1/runs/{run}")).await;
    json!({
        "flow": view["workflow"]["flow"],
        "approvals": view["workflow"]["approvals"],
        "attempts": view["attempts"],
        "outputs": view["summary"]["outputs"],
    })
}

/// Seed 003, L30, L34, L37, L39, and the resume on another machine: with a step that runs, and with a checkpoint
/// that waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_validation_is_decided_in_every_way_and_outlives_each_of_its_machines() {
    let mut machines = Machines::start();
    let ada = Person::at(&machines.servers[0]).await;
    let apis = [0, 1].map(|machine| ada.api(machines.url(machine)));
    let run = kickoff(&apis[0], "the idea of monday", &hints()).await;
    assert_eq!(kickoff(&apis[1], "the idea of monday", &hints()).await, run);

    // Whichever server is asked: the turns go round both.
    let (last, before) = LAUNCH.split_last().unwrap();
    for (number, turn) in before.iter().enumerate() {
        let status = machines.agree(&ada, &run).await;
        take(&ada, machines.url(number % 2), &status, turn).await;
    }

    // The machine that runs the campaign dies under it; the other one repeats the step, and nothing else.
    let status = machines.agree(&ada, &run).await;
    machines.hold("campaign");
    take(&ada, machines.url(0), &status, last).await;
    let dies = machines.at_work("campaign", 1);
    let launched = format!("/v1/events?run={run}&kinds=attempt.launched&after=0&limit=1000");
    let started: usize = machines.started().values().sum();
    let is_on_record = |seen: &Value| seen.as_array().is_some_and(|all| all.len() == started);
    let told = apis[0].until(&launched, "the launch to be on record", is_on_record);
    told.await;
    let stays = 1 - dies;
    machines.release(stays, "campaign");
    machines.servers[dies].kill().unwrap();
    let status = machines::rests(&apis[stays], &run).await;
    assert_eq!(
        status["hitl_pending"]["checkpoint"], "approve_segment_pivot",
        "{status:#}"
    );
    assert!(
        machines.runs_something(),
        "what the dead machine left runs still"
    );
    machines.servers[dies].restart().unwrap();
    machines.until_nothing_runs();
    machines.release(dies, "campaign");

    for (number, turn) in SEGMENT.iter().enumerate() {
        let status = machines.agree(&ada, &run).await;
        take(&ada, machines.url(number % 2), &status, turn).await;
    }

    // While nothing runs and the run waits, the machine that it was on dies: everything is where the other one is.
    let status = machines.agree(&ada, &run).await;
    machines.until_nothing_runs();
    let dies = machines.at_work("campaign", 3);
    let stays = 1 - dies;
    let before = known(&apis[dies], &run).await;
    machines.servers[dies].kill().unwrap();
    assert_eq!(known(&apis[stays], &run).await, before);
    assert_eq!(machines::rests(&apis[stays], &run).await, status);
    let evidence = &before["flow"]["state"]["evidence"];
    assert_eq!(
        evidence,
        &json!({"resonance": 0.5, "zombie_ratio": 0.7, "spend_requested": 80, "offer_to_try": "timetable only"})
    );
    assert_eq!(status["hitl_pending"]["context"]["evidence"], *evidence);
    let mut decided = Value::Null;
    for turn in REST {
        let status = machines::rests(&apis[stays], &run).await;
        take(&ada, machines.url(stays), &status, turn).await;
        if turn.way == Way::Http {
            decided = body(
                &status,
                Choice {
                    option: turn.option,
                    given: turn.given,
                },
            );
        }
    }
    machines::rests(&apis[stays], &run).await;
    machines.servers[dies].restart().unwrap();

    // Both tell the same end, also of a decision that is sent once more (L34).
    let status = machines.agree(&ada, &run).await;
    has_the_seed_s_shape(&status);
    assert_eq!(
        (
            &status["status"],
            &status["hitl_pending"],
            &status["current_phase"]
        ),
        (&json!("success"), &Value::Null, &json!(4)),
        "{status:#}"
    );
    for machine in [0, 1] {
        let again = ada.by_http(machines.url(machine), &decided).await;
        assert_eq!(again, Ok("resumed".to_owned()));
    }
    let whole = known(&apis[0], &run).await;
    assert_eq!(known(&apis[1], &run).await, whole);
    was_started_as_often_as_told(&machines, &whole);
    has_every_output(&machines, stays, &run, &whole);
    events_tell_each_thing_once(&apis, &run).await;
    machines.until_nothing_runs();
}

/// The marks of the processes, the attempts in the store, and the plan of the walk agree.
fn was_started_as_often_as_told(machines: &Machines, whole: &Value) {
    let planned: BTreeMap<String, usize> = STARTED
        .iter()
        .map(|(step, times)| ((*step).to_owned(), *times))
        .collect();
    assert_eq!(machines.started(), planned, "processes");
    let mut attempts = BTreeMap::new();
    let mut lost = Vec::new();
    for attempt in whole["attempts"].as_array().unwrap() {
        let times: &mut usize = attempts.entry(text(&attempt["step"])).or_default();
        *times += 1;
        assert_eq!(attempt["number"], *times, "{attempt:#}");
        match attempt["exit"]["how"].as_str() {
            Some("exited") => assert_eq!(attempt["exit"]["code"], 0, "{attempt:#}"),
            _ => lost.push((
                text(&attempt["step"]),
                *times,
                text(&attempt["exit"]["how"]),
            )),
        }
    }
    assert_eq!(attempts, planned, "attempts");
    assert_eq!(lost, [("campaign".to_owned(), 1, "lost".to_owned())]);
}

/// Every step's output, of its last visit, is on the machine that ended the run, whichever one wrote it.
fn has_every_output(machines: &Machines, machine: usize, run: &str, whole: &Value) {
    let mut recorded: Vec<String> = whole["outputs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|output| text(&output["path"]))
        .collect();
    recorded.sort();
    let mut expected: Vec<String> = STARTED
        .iter()
        .map(|(step, _)| format!("{step}.txt"))
        .collect();
    expected.sort();
    assert_eq!(recorded, expected, "{whole:#}");
    for (step, times) in STARTED {
        assert_eq!(
            machines.output(machine, run, step),
            format!("{step} by attempt {times}\n")
        );
    }
}

/// The events of the run, which both servers tell alike: each decision once, one end.
async fn events_tell_each_thing_once(apis: &[Api; 2], run: &str) {
    let path = format!("/v1/events?run={run}&after=0&limit=1000");
    let events = reads(&apis[0], &path).await;
    assert_eq!(reads(&apis[1], &path).await, events);
    let count = |kind: &str| {
        let events = events.as_array().unwrap().iter();
        events.filter(|event| event["kind"] == kind).count()
    };
    let turns = || LAUNCH.iter().chain(SEGMENT).chain(REST);
    let decisions = turns().filter(|turn| turn.comes_to.is_ok()).count();
    assert_eq!(
        [
            "approval.requested",
            "approval.decided",
            "approval.expired",
            "run.ended"
        ]
        .map(count),
        [decisions, decisions, 0, 1]
    );
    let processes: usize = STARTED.iter().map(|(_, times)| times).sum();
    assert_eq!(count("attempt.claimed"), processes);
}
