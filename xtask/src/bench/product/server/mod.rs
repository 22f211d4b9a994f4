//! `moorlined` as a process of its own: requests, kickoffs, what it takes when it idles, how fast it is there.
//!
//! Every row is of the built program, over a socket of loopback, with a token that the built command line made.

mod client;
mod growth;
mod http;
mod idle;
mod kickoff;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use self::client::{Client, Message};
use super::super::row::{Bench, Probe};
use super::cli;
use super::idle::Idler;
use super::row;
use super::state::Filled;
use crate::clock;
use crate::error::{Error, Result};

pub(super) fn probes(filled: &Rc<Filled>) -> Vec<Probe> {
    let mut probes = vec![http::probe()];
    probes.extend(kickoff::probes());
    probes.push(idle::probe(filled));
    probes.extend(growth::probes(filled));
    probes
}

/// How a server is started.
#[derive(Debug, Clone, Copy)]
struct Options<'a> {
    /// Its state directory, below the scratch directory.
    state: &'a str,
    /// A URL of PostgreSQL; SQLite in the state directory without one.
    store: Option<&'a str>,
    /// Whether it drives runs, too.
    work: bool,
}

impl<'a> Options<'a> {
    /// All that a server does, on SQLite.
    fn of(state: &'a str) -> Self {
        Self {
            state,
            store: None,
            work: true,
        }
    }
}

/// A server that runs. It is killed with the value, as a crash would.
struct Server {
    process: Idler,
    begun: Instant,
    /// `HOST:PORT`.
    address: String,
}

impl Server {
    /// Starts a `moorlined` and waits until it says that it listens.
    fn start(bench: &Bench, options: Options<'_>) -> Result<Self> {
        let job = kickoff::write_job(bench)?;
        let mut command = program(bench, &bench.binary("moorlined"));
        command
            .args(["--state", options.state, "--bind", "127.0.0.1:0"])
            // What is measured is the server and not the limit that it keeps.
            .args(["--set", "server.rate_per_second=1000000"])
            .args(["--set", "server.rate_burst=1000000"])
            .arg("--set")
            .arg(format!("server.kickoff_job={}", job.display()))
            .args((!options.work).then_some("--no-work"))
            .envs(options.store.map(|url| ("MOORLINE_STORE", url)));
        Self::of(command)
    }

    /// Starts a program that says `listening on http://HOST:PORT`.
    fn of(mut command: Command) -> Result<Self> {
        let begun = clock::now();
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .map_err(Error::io("start a server"))?;
        let stdout = child.stdout.take();
        // From here on it ends with us, whatever it says.
        let process = Idler(child);
        let mut line = String::new();
        if let Some(stdout) = stdout {
            let mut stdout = BufReader::new(stdout);
            stdout
                .read_line(&mut line)
                .map_err(Error::io("read where a server listens"))?;
        }
        let address = line.trim_end().strip_prefix("listening on http://");
        let silent = || Error::Refused(format!("a server does not listen; it said `{line}`"));
        Ok(Self {
            address: address.ok_or_else(silent)?.to_owned(),
            process,
            begun,
        })
    }

    /// Asks whether it is ready: the time since its start.
    fn ready(&self) -> Result<Duration> {
        Client::connect(&self.address)?.call(&Message::get("/readyz", "", ""))?;
        Ok(self.begun.elapsed())
    }
}

/// Makes a token for a server, on its machine.
fn token(bench: &Bench, options: Options<'_>) -> Result<String> {
    let arguments = [
        "--state",
        options.state,
        "tokens",
        "create",
        "bench",
        "--principal",
        "human:bench",
        "--json",
    ];
    let output = cli::moorline(bench, &arguments)
        .envs(options.store.map(|url| ("MOORLINE_STORE", url)))
        .stdout(Stdio::piped())
        .output()
        .map_err(Error::io("start moorline"))?;
    let json = |source| Error::Json {
        what: "moorline tokens create".to_owned(),
        source,
    };
    let made: serde_json::Value = serde_json::from_slice(&output.stdout).map_err(json)?;
    let text = made.get("token").and_then(serde_json::Value::as_str);
    let none = || Error::Refused("`moorline tokens create` printed no token".to_owned());
    text.map(str::to_owned).ok_or_else(none)
}

/// A program in the scratch directory, its output unread.
fn program(bench: &Bench, path: &Path) -> Command {
    #[expect(
        clippy::disallowed_methods,
        reason = "the subject of the measurement is a process"
    )]
    let mut command = Command::new(path);
    command
        .current_dir(bench.scratch())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}
