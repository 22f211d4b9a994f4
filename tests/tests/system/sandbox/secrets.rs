//! A secret is there for the step that declares it, and for no other.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::range::{FLAG_PREFIX, Range};
use super::trial::{Job, Telling, Trial, User, expect, tellings};

const COUNT: usize = 3;

fn targets(directories: &Value) -> Value {
    let backwards: String = FLAG_PREFIX.chars().rev().collect();
    json!({"prefix_backwards": backwards, "directories": directories})
}

fn job(targets: Value) -> Job {
    let mut job = Job::new(&["other_secrets.py"], targets);
    job.spec = json!({"secrets": [{"name": "token", "keys": ["STEP_TOKEN"]}]});
    job.before = vec![json!({
        "name": "keeper", "argv": ["python3", "other_secrets.py"], "secrets": ["token"],
        "env": {"PYTHONDONTWRITEBYTECODE": "1"},
    })];
    job
}

fn told_by(step: &str, trial: &Trial, run: &Value) -> BTreeMap<String, Telling> {
    let log = trial.log(run["run_id"].as_str().unwrap());
    tellings(
        &log.into_iter()
            .filter(|line| line["step"] == step)
            .collect::<Vec<_>>(),
    )
}

#[test]
fn the_secret_of_another_step_is_nowhere_to_be_found() {
    let range = Range::new(User::Own);
    let secret = format!("{FLAG_PREFIX}of-a-step");
    let trial = Trial::new(User::Own).env("STEP_TOKEN", &secret);
    let control = trial.run(&job(targets(&json!([range.file().parent()]))).without_a_sandbox());
    assert_eq!(
        expect(
            "without a sandbox",
            &told_by("attack", &trial, &control.summary),
            |_| true
        ),
        COUNT
    );

    let everywhere = json!([
        "/in", "/out", "/tmp", "/dev/shm", "/run", "/var", "/etc", "/home", "/root"
    ]);
    let ran = trial.run(&job(targets(&everywhere)));
    assert_eq!(ran.ending(), "success", "{ran}");
    let own = |name: &str| name == "environments-of-processes";
    let keeper = told_by("keeper", &trial, &ran.summary);
    assert_eq!(
        expect("the step that declares it", &keeper, own),
        COUNT,
        "{ran}"
    );
    let other = told_by("attack", &trial, &ran.summary);
    assert_eq!(expect("another step", &other, |_| false), COUNT, "{ran}");
}
