//! The API as its document says: schemathesis makes requests from `/openapi.json`, good and bad ones, and looks at
//! each answer.
//!
//! It runs as `tests/schemathesis` says: authenticated as a person who may do everything, with real ids, along the
//! links of the document. There must be no server error, no status, media type, header or document that the OpenAPI
//! document does not know; and its traffic must reach every operation with a success, so that a run of refusals
//! proves nothing. Without schemathesis this test fails (`cargo xtask setup`); it is never skipped.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::iter::repeat_n;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use moorline_modal_emulator::{Emulator, EmulatorOptions};
use moorline_testkit::env;
use moorline_testkit::moorline::{Output, Running, binary};
use moorline_testkit::moorlined::{Server, ServerOptions};
use moorline_testkit::receivers::http::{Answer, Receiver};
use moorline_tests::repository;
use serde_json::Value;

use super::support::Api;

/// For the whole of it; a hung one is killed.
const PATIENCE: Duration = Duration::from_mins(9);
/// Generated requests of each operation and phase; those of the coverage phase are as many as its document asks for.
const EXAMPLES: &str = "3";
/// The same requests each time.
const SEED: &str = "7";
/// What is looked at in each answer. Absent is that whatever fits the schema is accepted: rules of the product, such
/// as that a decision has a reason, refuse more than a schema can say.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance,negative_data_rejection,\
                      missing_required_header,unsupported_method,allow_header_conformance,ignored_auth";
/// What signs a request of `[server.incoming.billing]`.
const HOOK_KEY: &str = "the key of the billing system";

/// Operations that schemathesis does not reach with a success, and why.
const ELSEWHERE: [(&str, &str); 1] = [(
    "openapi",
    "schemathesis reads its document there before it tests anything; openapi.rs looks at it",
)];

/// What surrounds the server: two receivers of alerts, of which one wants none, and a Modal.
struct House {
    server: Server,
    token: String,
    emulator: Emulator,
    // They serve until the end.
    _receivers: [Receiver; 2],
}

impl House {
    async fn new() -> Self {
        let receivers = [Receiver::start().unwrap(), Receiver::start().unwrap()];
        // Gone for good: what is sent there is given up at once.
        receivers[1].answer(repeat_n(Answer::status(410), 10_000));
        let options = EmulatorOptions {
            python: target().join("venv/bin/python"),
            helper: binary("modal-sandbox-fs-tools").unwrap(),
            ..EmulatorOptions::default()
        };
        let emulator = Emulator::start(options).await.unwrap();
        let mut options = ServerOptions::new()
            .unwrap()
            .env("BILLING_HOOK_KEY", HOOK_KEY);
        for (name, value) in emulator.environment() {
            options = options.env(name, value);
        }
        let examples = repository().join("examples");
        let config = format!(
            "[server]\nrate_per_second = 10000\nkickoff_job = \"{examples}/validation-workflow\"\n\
             [server.incoming.billing]\nsecret = \"BILLING_HOOK_KEY\"\njob = \"{examples}/hello\"\n\
             [alerts.ops]\nchannel = \"webhook\"\ntarget = \"{ops}\"\n\
             [alerts.gone]\nchannel = \"webhook\"\ntarget = \"{gone}\"\n",
            examples = examples.display(),
            ops = receivers[0].url("/alerts"),
            gone = receivers[1].url("/alerts"),
        );
        let server = options.config(&config).unwrap().start().unwrap();
        let token = server.token("ada", ["--principal", "human:ada"]).unwrap();
        Self {
            server,
            token,
            emulator,
            _receivers: receivers,
        }
    }

    /// Runs schemathesis to its end; it reports its traffic into the file.
    #[expect(
        clippy::disallowed_methods,
        reason = "test support: schemathesis is a program of its own"
    )]
    fn fuzz(&self, report: &Path) -> Output {
        let program = target().join("venv-schemathesis/bin/schemathesis");
        assert!(
            program.is_file(),
            "schemathesis is not there; run `cargo xtask setup`"
        );
        let url = self.server.url();
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs(env::read("PATH").map(|path| ("PATH", path)))
            .env("HOME", self.server.root())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("HYPOTHESIS_STORAGE_DIRECTORY", self.server.root())
            .env("MOORLINE_URL", url)
            .env("MOORLINE_TOKEN", &self.token)
            .env("BILLING_HOOK_KEY", HOOK_KEY)
            .current_dir(repository().join("tests/schemathesis"))
            .args(["--config-file", "schemathesis.toml", "run"])
            .arg(format!("{url}/openapi.json"))
            .args(["--phases", "examples,coverage,fuzzing,stateful"])
            .args(["--max-examples", EXAMPLES, "--seed", SEED])
            .args(["--checks", CHECKS])
            // How long it takes to think of a request says nothing about the API.
            .args(["--suppress-health-check", "filter_too_much,too_slow"])
            .args(["--continue-on-failure", "--no-shrink", "--no-color"])
            .args(["--warnings", "off", "--report", "ndjson"])
            .arg("--report-ndjson-path")
            .arg(report);
        Running::start(&mut command)
            .unwrap()
            .wait(PATIENCE)
            .unwrap()
    }
}

/// Where the programs and their environments are built.
fn target() -> PathBuf {
    let server = binary("moorlined").unwrap();
    server.ancestors().nth(2).unwrap().to_owned()
}

/// How often each operation, as method and path, was answered with each status; 0 stands for no answer.
type Traffic = BTreeMap<(String, String), BTreeMap<u64, usize>>;

fn traffic(report: &Path) -> Traffic {
    let mut traffic = Traffic::new();
    for line in fs::read_to_string(report).unwrap().lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let recorder = &event["ScenarioFinished"]["recorder"];
        let interactions = recorder["interactions"].as_object();
        for (case, interaction) in interactions.into_iter().flatten() {
            let case = &recorder["cases"][case]["value"];
            let text = |member: &str| case[member].as_str().unwrap().to_owned();
            let status = interaction["response"]["status_code"].as_u64();
            let statuses = traffic.entry((text("method"), text("path"))).or_default();
            *statuses.entry(status.unwrap_or(0)).or_default() += 1;
        }
    }
    traffic
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_as_the_document_says_and_every_operation_succeeds() {
    let house = House::new().await;
    let report = house.server.root().join("traffic.ndjson");
    let done = tokio::task::block_in_place(|| house.fuzz(&report));
    assert_eq!(
        done.code,
        Some(0),
        "{done}\nthe server said: {}",
        house.server.log()
    );

    let traffic = traffic(&report);
    let (_, document) = Api::new(house.server.url(), None)
        .get("/openapi.json")
        .await;
    let (mut all, mut reached) = (BTreeMap::new(), BTreeSet::new());
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let name = operation["operationId"].as_str().unwrap();
            let seen = traffic.get(&(method.to_uppercase(), path.clone()));
            let seen = seen.cloned().unwrap_or_default();
            if seen.keys().any(|status| matches!(status, 101 | 200..300)) {
                reached.insert(name);
            }
            all.insert(name, seen);
        }
    }
    let answers: usize = traffic.values().flat_map(BTreeMap::values).sum();
    println!(
        "operations reached with success: {} of {}, with {answers} requests",
        reached.len(),
        all.len()
    );
    for (name, why) in ELSEWHERE {
        println!("not reached: {name}: {why}");
    }
    let missed: BTreeMap<_, _> = all
        .iter()
        .filter(|(name, _)| !reached.contains(*name))
        .collect();
    let named: BTreeSet<&str> = ELSEWHERE.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        missed.keys().copied().copied().collect::<BTreeSet<_>>(),
        named,
        "not reached with a success, and the statuses instead: {missed:#?}"
    );
    house.emulator.stop().await;
}
