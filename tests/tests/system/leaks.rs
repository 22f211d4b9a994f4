//! Where secrets must never be: a canary is given to a job, which does its worst with it.

use std::time::Duration;

use moorline_testkit::canary::Canary;
use moorline_testkit::moorline::Moorline;
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
