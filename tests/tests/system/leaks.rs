//! Where secrets must never be: a canary is given to a job, which does its worst with it.

use std::fs;
use std::time::Duration;

use moorline_testkit::canary::Canary;
use moorline_testkit::moorline::Moorline;
use moorline_testkit::postgres;
use moorline_testkit::wait;
use moorline_tests::Job;
use serde_json::json;

/// Prints the canary in every way that it can, also split over writes, and fails with it in the reason.
const WORST: &str = r#"
import base64, json, os, sys, time, urllib.parse
value = os.environ["CANARY_KEY"]
raw = value.encode()
for stream in (sys.stdout, sys.stderr):
    print(value, file=stream)
    print("inside " + value + " a line", file=stream)
    print(base64.b64encode(raw).decode(), base64.urlsafe_b64encode(b"x" + raw).decode(), file=stream)
    print(raw.hex(), raw.hex().upper(), urllib.parse.quote(value, safe=""), json.dumps(value), file=stream)
    for letter in value:
        stream.write(letter); stream.flush()
    print(file=stream, flush=True)
    middle = len(value) // 2
    stream.write(value[:middle]); stream.flush(); time.sleep(0.05)
    stream.write(value[middle:] + "\n"); stream.flush()
print('::moorline ' + json.dumps({"type": "progress", "phase": value}), flush=True)
while os.path.exists(os.path.join(os.environ["MOORLINE_JOB_DIR"], "hold")) and time.monotonic() < float(sys.argv[1]):
    time.sleep(0.01)
print('::moorline ' + json.dumps({"type": "result", "status": "error", "class": "runtime", "reason": "refused: " + value}), flush=True)
sys.exit(75)
"#;

fn job() -> Job {
    Job::new(json!({
        "secrets": [{"name": "canary", "keys": ["CANARY_KEY"]}],
        "steps": [{"name": "main", "argv": ["python3", "-B", "worst.py", "0"], "secrets": ["canary"]}]
    }))
    .file("worst.py", WORST)
}

/// L54, L18, L47: logs, events, store file and WAL, artifacts, summaries, audit, argv, stdout and stderr.
#[test]
fn a_canary_reaches_no_sink() {
    for isolation in ["off", "best-effort"] {
        let canary = Canary::new();
        let moorline = Moorline::new().unwrap().env("CANARY_KEY", canary.value());
        let job = job();
        let path = job.path().to_str().unwrap();
        let arguments = [
            "run",
            path,
            "--mode",
            "real",
            "-vv",
            "--isolation",
            isolation,
        ];
        let mut running = moorline.spawn(arguments).unwrap();
        // While it runs, no process but the job's own has it among its arguments.
        let seen = wait::some(Duration::from_secs(20), "the job's process", || {
            let all = moorline_testkit::process::matching("worst.py").ok()?;
            (!all.is_empty()).then_some(all)
        });
        assert!(seen.is_ok(), "{isolation}: {}", running.stderr_so_far());
        assert_eq!(canary.leaks_in_arguments().unwrap(), [], "{isolation}");
        let _running = &mut running;
        let output = running.wait(Duration::from_secs(30)).unwrap();
        assert_eq!(output.code, Some(75), "{isolation}\n{output}");
        assert_eq!(
            canary.find_in(format!("{output}").as_bytes()),
            None,
            "{isolation}: run printed it"
        );
        for arguments in [
            vec!["runs", "show", "latest", "--json"],
            vec!["runs", "logs", "latest"],
            vec!["runs", "logs", "latest", "--json"],
            vec!["runs", "list", "--json"],
            vec!["events", "list", "--json"],
            vec!["audit", "verify", "--json"],
            vec!["secrets", "check", path, "--json"],
        ] {
            let output = moorline.run(&arguments).unwrap();
            let found = canary.find_in(format!("{output}").as_bytes());
            assert_eq!(found, None, "{isolation}: {arguments:?} printed it");
        }
        let log = moorline.run(["runs", "logs", "latest"]).unwrap();
        assert!(
            log.stdout.contains("[redacted:CANARY_KEY]"),
            "the job printed nothing?\n{log}"
        );
        // Attempts, store with its WAL, artifacts, runs: every file below the state directory.
        assert_eq!(
            canary.leaks_below(&moorline.state_dir()).unwrap(),
            [],
            "{isolation}"
        );
    }
}

/// L54 for a secret that Moorline keeps: the encrypted file, the store with its WAL or the dump of a PostgreSQL
/// database, events, alerts, refusals, the audit trail and its export, and the arguments and environments of
/// every process but the job's own.
#[test]
fn a_kept_canary_reaches_no_sink() {
    for with_postgres in [false, true] {
        let database = with_postgres.then(|| postgres::create_database().unwrap());
        let mut moorline = Moorline::new().unwrap();
        if let Some(database) = &database {
            moorline = moorline.env("MOORLINE_STORE", database.url());
        }
        let (canary, other) = (Canary::new(), Canary::new());
        let quiet = |arguments: &[&str], input: &[u8]| {
            let output = moorline.run_with_input(arguments, input).unwrap();
            for canary in [&canary, &other] {
                let found = canary.find_in(format!("{output}").as_bytes());
                assert_eq!(found, None, "{arguments:?} printed it");
            }
            output
        };
        let set = [
            "secrets",
            "set",
            "canary",
            "--key",
            "CANARY_KEY",
            "--ttl",
            "1",
            "-vv",
        ];
        assert_eq!(quiet(&set, canary.value().as_bytes()).code, Some(0));
        // Refused and recorded: by the rule, by the person's role, and as an argument.
        let rotate = [
            "secrets",
            "rotate",
            "canary",
            "--key",
            "CANARY_KEY",
            "--json",
        ];
        assert_eq!(quiet(&rotate, canary.value().as_bytes()).code, Some(1));
        let as_name = ["secrets", "set", other.value(), "--key", other.value()];
        assert_eq!(quiet(&as_name, b"x").code, Some(2));

        let job = Job::new(json!({
            "secrets": [{"name": "canary", "keys": ["CANARY_KEY"]}],
            "steps": [{"name": "main", "argv": ["python3", "-B", "worst.py", "1e18"], "secrets": ["canary"]}]
        }))
        .file("worst.py", WORST)
        .file("hold", "");
        let path = job.path().to_str().unwrap();
        let mut running = moorline
            .spawn(["run", path, "--mode", "real", "-vv"])
            .unwrap();
        let theirs = |argv: &[String]| argv.iter().any(|word| word.ends_with("worst.py"));
        let jobs = wait::some(Duration::from_secs(20), "the job's process", || {
            let found = moorline_testkit::process::matching("worst.py").ok()?;
            found
                .iter()
                .any(|process| theirs(&process.argv))
                .then_some(found)
        });
        assert!(jobs.is_ok(), "{}", running.stderr_so_far());
        assert_eq!(canary.leaks_in_arguments().unwrap(), []);
        let leaks = canary
            .leaks_in_environments(|process| theirs(&process.argv))
            .unwrap();
        assert_eq!(leaks, []);
        running
            .signal(moorline_testkit::moorline::Signal::INT)
            .unwrap();
        let output = running.wait(Duration::from_secs(30)).unwrap();
        assert_eq!(
            canary.find_in(format!("{output}").as_bytes()),
            None,
            "run printed it"
        );

        // The worker tells of its expiry.
        assert_eq!(quiet(&["work", "--once"], b"").code, Some(0));
        let alerts = quiet(&["alerts", "list", "--json"], b"");
        assert!(
            alerts.stdout.contains("secret/dev/canary/expiring"),
            "{alerts}"
        );
        for arguments in [
            vec!["secrets", "list", "--json"],
            vec!["secrets", "audit", "--json"],
            vec!["secrets", "check", path, "--json"],
            vec!["events", "list", "--json"],
            vec!["audit", "list", "--json"],
            vec!["runs", "logs", "latest"],
            vec!["runs", "show", "latest", "--json"],
        ] {
            quiet(&arguments, b"");
        }
        let export = moorline.root().join("audit.jsonl");
        quiet(&["audit", "export", "--out", export.to_str().unwrap()], b"");
        assert_eq!(
            quiet(&["secrets", "revoke", "--all", "--reason", "the end"], b"").code,
            Some(0)
        );
        for canary in [&canary, &other] {
            assert_eq!(canary.leaks_below(moorline.root()).unwrap(), []);
            if let Some(database) = &database {
                let dump = database.dump().unwrap();
                assert!(
                    dump.windows(14).any(|part| part == b"secret.changed"),
                    "an empty dump?"
                );
                assert_eq!(canary.find_in(&dump), None, "the database has it");
            }
        }
        assert!(fs::metadata(moorline.state_dir().join("secrets.age")).is_ok());
    }
}
