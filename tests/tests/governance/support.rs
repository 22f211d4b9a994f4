//! What the tests of governance have in common: a bank on loopback, and a job that reads it.
//!
//! [`Bank`] is a real HTTP server. [`write_job`] writes a complete, reviewable job directory around the
//! extractor of `examples/bank-statement`: its one step downloads the statement through the sandbox's
//! egress proxy with the session of a secret, and exits as the process contract says.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use moorline_core::spec::{self, JobSpec};
use moorline_testkit::moorline::{Moorline, Output};
use serde_json::{Value, json};

/// The job of [`write_job`], and its source.
pub(crate) const JOB: &str = "bank-daily";
pub(crate) const SOURCE: &str = "first_bank";

/// A bank on loopback: gives one statement to who shows the session that it knows.
pub(crate) struct Bank {
    port: u16,
    page: Arc<Mutex<Page>>,
    // Dropped last: ends when a connection says `quit`.
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Page {
    session: String,
    statement: Vec<u8>,
    served: usize,
}

impl Bank {
    pub(crate) fn open(session: &str, statement: impl Into<Vec<u8>>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let page = Arc::new(Mutex::new(Page {
            session: session.to_owned(),
            statement: statement.into(),
            served: 0,
        }));
        let shared = Arc::clone(&page);
        let thread = std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                if !answer(connection, &shared) {
                    return;
                }
            }
        });
        Self {
            port,
            page,
            thread: Some(thread),
        }
    }

    /// What it gives from now on.
    pub(crate) fn gives(&self, statement: impl Into<Vec<u8>>) {
        self.page.lock().unwrap().statement = statement.into();
    }

    /// The session that it wants from now on; to every other one it says that the sign-on failed.
    pub(crate) fn wants(&self, session: &str) {
        session.clone_into(&mut self.page.lock().unwrap().session);
    }

    /// How many statements it gave to a good session.
    pub(crate) fn served(&self) -> usize {
        self.page.lock().unwrap().served
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Bank {
    fn drop(&mut self) {
        if let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) {
            drop(stream.write_all(b"quit\r\n\r\n"));
        }
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Answers one request; false when it is the end.
fn answer(mut connection: TcpStream, page: &Mutex<Page>) -> bool {
    let mut head = Vec::new();
    let mut byte = [0; 1];
    while !head.ends_with(b"\r\n\r\n") {
        match connection.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return true,
        }
    }
    if head.starts_with(b"quit") {
        return false;
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let session = head
        .lines()
        .find_map(|line| line.strip_prefix("X-Session: "));
    let mut page = page.lock().unwrap();
    let body = if session == Some(page.session.as_str()) {
        page.served += 1;
        page.statement.clone()
    } else {
        SIGN_ON_REFUSED.as_bytes().to_vec()
    };
    let reply = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    drop(connection.write_all(reply.as_bytes()));
    drop(connection.write_all(&body));
    true
}

/// How a bank says in OFX that the session is no good.
pub(crate) const SIGN_ON_REFUSED: &str = "OFXHEADER:100\nDATA:OFXSGML\nVERSION:102\n\n\
    <OFX><SIGNONMSGSRSV1><SONRS><STATUS><CODE>15500<SEVERITY>ERROR<MESSAGE>Signon invalid</STATUS>\
    <DTSERVER>20260301<LANGUAGE>ENG</SONRS></SIGNONMSGSRSV1></OFX>\n";

/// A statement of one account with these amounts, one transaction each.
pub(crate) fn statement(amounts: &[&str]) -> String {
    let mut transactions = String::new();
    for (number, amount) in (1..).zip(amounts) {
        write!(
            transactions,
            "<STMTTRN><TRNTYPE>OTHER<DTPOSTED>202603{number:02}<TRNAMT>{amount}<FITID>T{number}\
             <NAME>Payment {number}</STMTTRN>"
        )
        .unwrap();
    }
    format!(
        "OFXHEADER:100\nDATA:OFXSGML\nVERSION:102\n\n<OFX><SIGNONMSGSRSV1><SONRS><STATUS><CODE>0\
         <SEVERITY>INFO</STATUS><DTSERVER>20260301<LANGUAGE>ENG</SONRS></SIGNONMSGSRSV1>\
         <BANKMSGSRSV1><STMTTRNRS><TRNUID>1<STATUS><CODE>0<SEVERITY>INFO</STATUS><STMTRS><CURDEF>EUR\
         <BANKACCTFROM><BANKID>1<ACCTID>7<ACCTTYPE>CHECKING</BANKACCTFROM><BANKTRANLIST>\
         <DTSTART>20260301<DTEND>20260331{transactions}</BANKTRANLIST><LEDGERBAL><BALAMT>0\
         <DTASOF>20260331</LEDGERBAL></STMTRS></STMTTRNRS></BANKMSGSRSV1></OFX>\n"
    )
}

/// The spec of the bank's job, for tests to change before [`write_job`] writes it.
pub(crate) fn job_spec(bank: &Bank) -> Value {
    json!({
        "job_id": JOB,
        "job_type": "generate_and_test",
        "version": 1,
        "title": "Statements of First Bank",
        "objective": "Normalise the statements of First Bank every morning",
        "time_zone": "America/New_York",
        "cadence": {"type": "cron", "expr": "15 6 * * *"},
        "portfolio": {"entities": [{
            "source_id": SOURCE,
            "tier_hint": 2,
            "preferred_methods": ["csv_export"],
            "lookback_days": 30,
            "session_artifacts": [{"secret": "first-bank", "ttl_hours": 720, "warn_hours": 48}],
            "reauth": {
                "instructions": "Sign on at First Bank and export the session.",
                "argv": ["/bin/sh", "-c", "printf %s \"$(cat \"$HOME/new-session\")\""]
            }
        }]},
        "output": {
            "schema_version": "tx_v1",
            "formats": ["jsonl"],
            "storage": {"raw_path": "runs/", "normalized_path": "exports/"}
        },
        "constraints": {"max_runtime_seconds": 60},
        "review": {"required": true},
        "params": {"port": bank.port()},
        "secrets": [{"name": "first-bank", "type": "session", "keys": ["FIRST_BANK_SESSION"]}],
        "steps": [{
            "name": "collect",
            "argv": ["python3", "-B", "collect.py"],
            "egress": {"allow": [format!("127.0.0.1:{}", bank.port())]},
            "secrets": ["first-bank"],
            "timeout_seconds": 60,
            "idempotent": true,
            "outputs": [{"path": "transactions.jsonl", "schema": "tx_v1", "format": "jsonl"}],
            "reply": "required"
        }],
        "validation": {"min_transactions": 1}
    })
}

/// Downloads the statement, then does what the example's extractor does.
const COLLECT: &str = r#"import json
import os
import sys
import tempfile
import urllib.request
from datetime import datetime, timezone
from pathlib import Path

from extractor import protocol
from extractor.__main__ import _extract, _write
from extractor.failure import JobFailure, TemporaryFailure
from extractor.statement import Defaults


def download(port: int) -> Path:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/statement",
        headers={"X-Session": os.environ["FIRST_BANK_SESSION"]},
    )
    proxy = os.environ.get("http_proxy")
    handler = urllib.request.ProxyHandler({"http": proxy} if proxy else {})
    try:
        with urllib.request.build_opener(handler).open(request, timeout=20) as reply:
            data = reply.read()
    except OSError as error:
        raise TemporaryFailure(f"the bank does not answer: {error}") from None
    path = Path(tempfile.mkdtemp()) / "statement.ofx"
    path.write_bytes(data)
    return path


def main() -> int:
    document = json.loads(Path(os.environ["MOORLINE_INPUT"]).read_text())
    output = Path(os.environ["MOORLINE_OUTPUT_DIR"])
    try:
        path = download(document["params"]["port"])
        extract = _extract(
            protocol.Job(
                run_id=document["run_id"],
                source_id=document["source_id"],
                statement=path,
                statement_name=path.name,
                output_dir=output,
                defaults=Defaults(),
            )
        )
        _write(output, (t.json_line() for t in extract.transactions))
    except JobFailure as failure:
        return protocol.failed(failure)
    protocol.succeeded(len(extract.transactions), {"notes": extract.notes})
    return 0


if __name__ == "__main__":
    sys.exit(main())
"#;

/// What the spec leaves to the defaults, decided on record.
const CHECKLIST: &str = r#"{
  "incremental": "default", "dedupe": "default", "browser": "default", "step_up": "default",
  "secrets": "default", "egress": "default", "tool_permissions": "default", "retention": "default",
  "failure_policy": "default", "alerts": {"deferred": "nobody is on call before May"},
  "session_artifacts": "default", "validation": "default"
}
"#;

/// Writes a complete job directory for the spec: the example's extractor, what a reviewer reads, and the
/// `SCHEDULE.json` that equals the spec's cadence.
pub(crate) fn write_job(directory: &Path, spec: &Value) {
    fs::create_dir_all(directory).unwrap();
    let example = repository().join("examples/bank-statement");
    copy_tree(&example.join("extractor"), &directory.join("extractor"));
    fs::copy(
        example.join("sample_output.jsonl"),
        directory.join("sample_output.jsonl"),
    )
    .unwrap();
    fs::write(directory.join("collect.py"), COLLECT).unwrap();
    for (name, text) in [
        (
            "RUNBOOK.md",
            "# Runbook\n\nRe-authenticate with `moorline sources reauth`.\n",
        ),
        (
            "RISKS.md",
            "# Risks\n\nThe session expires after 30 days.\n",
        ),
        (
            "TEST_REPORT.md",
            "# Test report\n\nAll tests of `extractor/tests` pass.\n",
        ),
        ("CHECKLIST.json", CHECKLIST),
    ] {
        fs::write(directory.join(name), text).unwrap();
    }
    write_spec(directory, spec);
}

/// Writes the spec and the `SCHEDULE.json` that goes with it.
pub(crate) fn write_spec(directory: &Path, spec: &Value) {
    let text = serde_json::to_vec_pretty(spec).unwrap();
    let loaded: JobSpec = spec::load(&text).unwrap_or_else(|wrong| panic!("{wrong}"));
    fs::write(directory.join("job_spec.json"), text).unwrap();
    let schedule = directory.join("SCHEDULE.json");
    if spec["cadence"]["type"] == "none" {
        drop(fs::remove_file(schedule));
        return;
    }
    let mut document = spec["cadence"].clone();
    document["time_zone"] = spec["time_zone"].clone();
    document["job_id"] = spec["job_id"].clone();
    document["spec_hash"] = json!(loaded.canonical_hash().unwrap());
    fs::write(schedule, serde_json::to_vec_pretty(&document).unwrap()).unwrap();
}

pub(crate) fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let name = entry.file_name();
        if name == "__pycache__" {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &to.join(name));
        } else {
            fs::copy(entry.path(), to.join(name)).unwrap();
        }
    }
}

/// The root of the repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// Runs a command that must succeed; gives its one JSON document.
pub(crate) fn json_of(moorline: &Moorline, arguments: &[&str]) -> Value {
    let done = ok(moorline, &[arguments, &["--json"]].concat());
    done.json().unwrap()
}

/// Runs a command that must succeed.
pub(crate) fn ok(moorline: &Moorline, arguments: &[&str]) -> Output {
    let done = moorline.run(arguments).unwrap();
    assert_eq!(done.code, Some(0), "{arguments:?}: {done}");
    done
}

/// Runs a command that must fail with this exit code; gives what it says on standard error.
pub(crate) fn refused(moorline: &Moorline, arguments: &[&str], code: i32) -> String {
    let done = moorline.run(arguments).unwrap();
    assert_eq!(done.code, Some(code), "{arguments:?}: {done}");
    done.stderr
}

/// Where a test drives the clock of the binary: standing at one instant until it is moved.
pub(crate) struct TestClock {
    file: PathBuf,
}

impl TestClock {
    /// A clock at this instant (RFC 3339), and its file for `MOORLINE_TEST_CLOCK`.
    pub(crate) fn at(directory: &Path, instant: &str) -> Self {
        let clock = Self {
            file: directory.join("clock"),
        };
        clock.set(instant);
        clock
    }

    /// Moves it; whoever reads meanwhile sees the old instant or the new one.
    pub(crate) fn set(&self, instant: &str) {
        let next = self.file.with_extension("next");
        fs::write(&next, instant).unwrap();
        fs::rename(next, &self.file).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        &self.file
    }
}

#[test]
fn the_job_of_these_tests_reads_the_bank() {
    let bank = Bank::open("first session", statement(&["-12.50", "3.20"]));
    let moorline = Moorline::new()
        .unwrap()
        .env("FIRST_BANK_SESSION", "first session");
    let job = moorline.root().join("job");
    write_job(&job, &job_spec(&bank));
    let job = job.to_str().unwrap();
    let summary = json_of(&moorline, &["run", job, "--mode", "real"]);
    assert_eq!(summary["transaction_count"], 2, "{summary:#}");
    assert_eq!(bank.served(), 1);
    bank.wants("second session");
    let again = moorline
        .run(["run", job, "--mode", "real", "--json"])
        .unwrap();
    assert_eq!(again.code, Some(77), "{again}");
}
