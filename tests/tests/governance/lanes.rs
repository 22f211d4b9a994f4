//! Lanes, settings, principals: what the configuration says is what the commands do.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use moorline_testkit::moorline::{Moorline, Output, Running};
use serde_json::{Value, json};

use super::support::{json_of, ok, refused, repository};

/// A directory with this `moorline.toml`, and a binary that runs in it.
fn configured(text: &str) -> Moorline {
    let moorline = Moorline::new().unwrap();
    configure(&moorline, text);
    moorline
}

fn configure(moorline: &Moorline, text: &str) {
    fs::write(moorline.work_dir().join("moorline.toml"), text).unwrap();
}

/// Runs a command as somebody.
pub(super) fn acting(moorline: &Moorline, who: &str, arguments: &[&str]) -> Output {
    let value = moorline.root().join("a-value");
    fs::write(&value, "a value that is not secret\n").unwrap();
    let mut command = moorline.command(arguments);
    command.env("MOORLINE_PRINCIPAL", who);
    command.stdin(fs::File::open(value).unwrap());
    let running = Running::start(&mut command).unwrap();
    running.wait(Duration::from_secs(30)).unwrap()
}

/// The value of a key, and where it comes from, as `config show` says.
fn shown(moorline: &Moorline, arguments: &[&str]) -> (Value, Value) {
    let entries = json_of(moorline, &[&["config", "show"], arguments].concat());
    let entry = &entries[0];
    (entry["value"].clone(), entry["origin"].clone())
}

/// A job of one step that does nothing, with these members beside.
fn write_job(directory: &Path, step: &Value, beside: &Value) -> String {
    let mut spec = json!({"job_id": "still", "steps": [{"name": "be", "argv": ["/bin/true"]}]});
    let merge = |into: &mut Value, from: &Value| {
        for (name, value) in from.as_object().unwrap() {
            into[name] = value.clone();
        }
    };
    merge(&mut spec["steps"][0], step);
    merge(&mut spec, beside);
    fs::create_dir_all(directory).unwrap();
    fs::write(directory.join("job_spec.json"), spec.to_string()).unwrap();
    directory.to_str().unwrap().to_owned()
}

#[test]
fn every_layer_is_found_and_every_value_knows_its_own() {
    let moorline = configured("capacity = 2\nlease_seconds = 20\nexecutor = \"local\"\n")
        .env("MOORLINE_LEASE_SECONDS", "40");
    let home = moorline.root().join("home/.config/moorline");
    fs::create_dir_all(&home).unwrap();
    fs::write(home.join("config.toml"), "# mine\ncapacity = 3\n").unwrap();
    let project = moorline.work_dir().join("moorline.toml");
    let user = json!({"layer": "user", "file": home.join("config.toml"), "line": 2});
    assert_eq!(shown(&moorline, &["capacity"]), (json!(3), user));
    let file = json!({"layer": "project", "file": project, "line": 3});
    assert_eq!(shown(&moorline, &["executor"]), (json!("local"), file));
    let variable = json!({"layer": "environment", "variable": "MOORLINE_LEASE_SECONDS"});
    assert_eq!(shown(&moorline, &["lease_seconds"]), (json!(40), variable));
    let flag = json!({"layer": "flag", "flag": "--set"});
    let set = ["review", "--set", "review.two_person=true"];
    assert_eq!(shown(&moorline, &set), (json!(true), flag));
    let default = json!({"layer": "default"});
    assert_eq!(
        shown(&moorline, &["lanes.prod.requires_approval"]),
        (json!(true), default)
    );
    let paths = json_of(&moorline, &["config", "path"]);
    assert_eq!(
        paths,
        json!({"project": project, "user": home.join("config.toml")})
    );
    let doctor = json_of(&moorline, &["doctor"]);
    let found = doctor["checks"][0]["found"].as_str().unwrap();
    assert!(found.contains("moorline.toml, "), "{found}");
}

#[test]
fn the_nearest_project_file_counts_and_one_that_is_named_wins() {
    let moorline = configured("capacity = 2\n");
    let below = moorline.work_dir().join("jobs/deep");
    fs::create_dir_all(&below).unwrap();
    let other = moorline.root().join("service.toml");
    fs::write(&other, "capacity = 9\n").unwrap();
    let moorline = moorline.in_directory(&below);
    assert_eq!(ok(&moorline, &["config", "get", "capacity"]).stdout, "2\n");
    let moorline = moorline.env("MOORLINE_CONFIG", &other);
    assert_eq!(ok(&moorline, &["config", "get", "capacity"]).stdout, "9\n");
    let moorline = moorline.env("MOORLINE_CONFIG", "nowhere.toml");
    let told = refused(&moorline, &["config", "get", "capacity"], 78);
    assert!(told.contains("nowhere.toml"), "{told}");
}

#[test]
fn a_wrong_configuration_is_told_whole_and_stops_nothing_but_work() {
    let moorline = configured("");
    ok(&moorline, &["init"]);
    configure(
        &moorline,
        "capacty = 2\n[lanes.prod]\nrequires_approval = \"no\"\n",
    );
    let told = refused(&moorline, &["config", "check"], 78);
    for part in [
        "moorline.toml:1: capacty: is not a field of this object (schema); did you mean `capacity`?",
        "moorline.toml:3: lanes.prod.requires_approval: must be a boolean, not a string",
    ] {
        assert!(told.contains(part), "{part}\n{told}");
    }
    let job = repository().join("examples/hello");
    let hello = job.to_str().unwrap();
    refused(&moorline, &["run", hello], 78);
    refused(&moorline, &["job", "validate", hello], 78);
    let stopped = ok(&moorline, &["stop", "all", "--reason", "now", "--json"]);
    assert!(
        stopped.stderr.contains("stopping by the built-in settings"),
        "{stopped}"
    );
    configure(&moorline, "");
    let stops = json_of(&moorline, &["stop", "--list"]);
    assert_eq!(stops[0]["scope"], "all", "{stops}");
}

#[test]
fn a_key_that_is_not_there_and_a_table_are_told_apart() {
    let moorline = configured("");
    let told = refused(&moorline, &["config", "get", "capasity"], 1);
    assert!(told.contains("did you mean `capacity`?"), "{told}");
    let told = refused(&moorline, &["config", "get", "lanes.dev"], 2);
    assert!(told.contains("moorline config show lanes.dev"), "{told}");
    let schema = json_of(&moorline, &["config", "schema"]);
    assert_eq!(schema["$id"], "urn:moorline:schema:config");
}

#[test]
fn a_lane_of_ones_own_runs_jobs_and_one_that_nobody_configured_does_not() {
    let moorline = configured(
        "lane = \"trial\"\n[lanes.trial]\nextends = \"dev\"\n[lanes.gated]\nextends = \"dev\"\n\
         requires_approval = true\n",
    );
    let job = write_job(&moorline.root().join("job"), &json!({}), &json!({}));
    let summary = json_of(&moorline, &["run", &job]);
    assert_eq!(summary["lane"], "trial", "{summary:#}");
    let summary = json_of(&moorline, &["run", &job, "--lane", "dev"]);
    assert_eq!(summary["lane"], "dev", "{summary:#}");
    let told = refused(&moorline, &["run", &job, "--lane", "qa"], 78);
    assert!(
        told.contains("no lane `qa` is configured") && told.contains("dev, gated, prod"),
        "{told}"
    );
    // Only what was approved and promoted runs there (D-ART-4).
    let told = moorline.run(["run", &job, "--lane", "gated"]).unwrap();
    assert_ne!(told.code, Some(0), "{told}");
    assert!(told.stderr.contains("D-ART-4"), "{told}");
}

#[test]
fn a_lanes_egress_and_tools_bound_every_job_when_it_is_checked_and_when_it_runs() {
    let moorline = configured(
        "[lanes.dev]\negress = { allow = [\"*.bank.example:443\"] }\n\
         [lanes.dev.tools]\nshell = \"restricted\"\n",
    );
    let inside = json!({"egress": {"allow": ["eu.bank.example:443"]}});
    let less = json!({"tool_permissions": {"shell": "forbidden"}});
    let job = write_job(&moorline.root().join("inside"), &inside, &less);
    ok(&moorline, &["job", "validate", &job]);
    let outside = json!({"egress": {"allow": ["eu.bank.example:443", "elsewhere.example"]}});
    let more = json!({"tool_permissions": {"shell": "allowed"}});
    let job = write_job(&moorline.root().join("outside"), &outside, &more);
    for command in [&["job", "validate", &job][..], &["run", &job][..]] {
        let told = refused(&moorline, command, 78);
        for part in [
            "/steps/0/egress: reaches elsewhere.example, which lane `dev` does not (D-SPEC-3t)",
            "/tool_permissions/shell: is `restricted` in lane `dev` (D-SPEC-3u)",
        ] {
            assert!(told.contains(part), "{command:?}: {part}\n{told}");
        }
    }
    assert_eq!(
        json_of(&moorline, &["runs", "list"]),
        json!([]),
        "nothing was started"
    );
}

#[test]
fn who_acts_is_the_user_or_what_the_environment_says() {
    let moorline = Moorline::new().unwrap().env("USER", "ada");
    ok(&moorline, &["init"]);
    let me = json_of(&moorline, &["principal", "whoami"]);
    assert_eq!(
        (&me["principal"], &me["role"], &me["role_from"]),
        (&json!("human:ada"), &json!("admin"), &json!("default"))
    );
    let codex = acting(&moorline, "agent:codex", &["principal", "whoami", "--json"]);
    let codex = codex.json().unwrap();
    assert_eq!(codex["role"], "operator");
    let may = codex["may"].as_array().unwrap();
    assert!(may.contains(&json!("artifact.submit")) && !may.contains(&json!("artifact.approve")));
    for nobody in ["ada", "root:ada", "human:", "system:moorline"] {
        let told = acting(&moorline, nobody, &["principal", "whoami"]);
        assert_eq!(told.code, Some(2), "{nobody}: {told}");
        assert!(told.stderr.contains("D-AUDIT-1"), "{nobody}: {told}");
    }
    let pipeline = moorline.env("CI", "true");
    let me = json_of(&pipeline, &["principal", "whoami"]);
    assert_eq!(me["principal"], "ci:ada");
}

#[test]
fn a_role_counts_from_when_it_is_given_and_until_it_is_taken() {
    let moorline =
        configured("default_role = \"viewer\"\n[principals]\n\"human:ada\" = \"admin\"\n");
    ok(&moorline, &["init"]);
    let stop = ["stop", "job:still", "--reason", "tried"];
    let bob = |arguments: &[&str]| acting(&moorline, "human:bob", arguments);
    let ada = |arguments: &[&str]| {
        let done = acting(&moorline, "human:ada", arguments);
        assert_eq!(done.code, Some(0), "{arguments:?}: {done}");
        done
    };
    let denied = bob(&stop);
    assert_eq!(denied.code, Some(77), "{denied}");
    assert!(denied.stderr.contains("D-AUDIT-2"), "{denied}");
    ada(&[
        "principal",
        "set",
        "human:bob",
        "--role",
        "operator",
        "--reason",
        "works here",
    ]);
    assert_eq!(bob(&stop).code, Some(0));
    let release = ["release", "job:still", "--reason", "it was a trial"];
    assert_eq!(bob(&release).code, Some(77), "an operator releases nothing");
    ada(&["principal", "remove", "human:bob", "--reason", "left"]);
    assert_eq!(bob(&stop).code, Some(77));
    let listed = ada(&["principal", "list", "--json"]).json().unwrap();
    let roles: Vec<(&Value, &Value, &Value)> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (&row["principal"], &row["role"], &row["role_from"]))
        .collect();
    assert_eq!(
        roles,
        [
            (&json!("human:ada"), &json!("admin"), &json!("configured")),
            (&json!("human:bob"), &json!("viewer"), &json!("recorded")),
        ]
    );
    let myself = acting(
        &moorline,
        "human:ada",
        &[
            "principal",
            "set",
            "human:ada",
            "--role",
            "viewer",
            "--reason",
            "no",
        ],
    );
    assert_eq!(myself.code, Some(77), "{myself}");
}

#[test]
fn a_key_is_a_file_of_its_owner_alone_and_a_persons_alone() {
    let moorline = Moorline::new().unwrap();
    let made = json_of(&moorline, &["principal", "keygen"]);
    let file = moorline
        .root()
        .join("home/.config/moorline/keys/human-local.key");
    assert_eq!(made["file"], json!(file));
    assert_eq!(made["new"], true);
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = json_of(&moorline, &["principal", "keygen"]);
    assert_eq!(
        (&again["public_key"], &again["new"]),
        (&made["public_key"], &json!(false))
    );
    for program in ["agent:codex", "ci:github"] {
        let denied = acting(&moorline, program, &["principal", "keygen"]);
        assert_eq!(denied.code, Some(77), "{denied}");
        assert!(denied.stderr.contains("D-ART-4"), "{denied}");
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let told = refused(&moorline, &["principal", "keygen"], 78);
    assert!(
        told.contains("D-SEC-3") && told.contains("chmod 600"),
        "{told}"
    );
}
