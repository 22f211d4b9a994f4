//! Modal's protocol: our client beside others, and the emulator.
//!
//! All clients speak to one server in the same minutes: first to one that does nothing (`measure-modal
//! null`), then to the emulator. crates.io's `modal-rs` is built in a workspace of its own
//! (`bench/modal-rs`), so that nothing of it is in our lock file.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::super::row::{Bench, Figure, Figures, Goal, Probe, Row, Unit};
use super::{Samples, row};
use crate::clock;
use crate::error::{Error, Result};
use crate::shell::Shell;
use crate::workspace::Workspace;

/// Calls of one client in a round.
const CALLS: &str = "4000";
/// Sandboxes that are timed one by one, and that are counted in a second.
const SANDBOXES: [&str; 2] = ["50", "1008"];
/// Of the large file, in 10^6 bytes.
const MEGABYTES: &str = "1000";
/// Whole runs of the official command line tool.
const RUNS: usize = 5;

pub(super) fn probes() -> Vec<Probe> {
    vec![null(), emulated(), sandboxes(), log(), volumes(), hello()]
}

fn null() -> Probe {
    let time = |id, what| Row {
        id,
        what,
        against: Some("modal.null.bare"),
        bound_by: "tonic and HTTP/2; headers, the idempotency key and the retry state on top",
        ..row(Unit::MILLISECONDS)
    };
    let rate = |id, what| Row {
        id,
        what,
        against: Some("modal.null.bare.rate"),
        bound_by: "two cores, which client and server share",
        ..row(Unit::PER_SECOND)
    };
    let rows = vec![
        Row {
            against: None,
            ..time(
                "modal.null.bare",
                "one unary RPC to a server that does nothing, bare tonic",
            )
        },
        time("modal.null.ours", "the same, moorline-modal-client"),
        time("modal.null.modal_rs", "the same, modal-rs 0.1.3"),
        time("modal.null.python", "the same, Python modal 1.6.4"),
        Row {
            against: None,
            ..rate("modal.null.bare.rate", "unary RPCs, 64 at once, bare tonic")
        },
        rate(
            "modal.null.ours.rate",
            "the same, moorline-modal-client (goal: 0.9 of bare tonic)",
        ),
        rate("modal.null.modal_rs.rate", "the same, modal-rs 0.1.3"),
        rate(
            "modal.null.python.rate",
            "the same, Python modal 1.6.4 (goal: a tenth of ours)",
        ),
    ];
    Probe::new(rows, |bench| {
        let server = Server::null(bench)?;
        unary(
            bench,
            &server,
            [
                ("modal.null.bare", "bare"),
                ("modal.null.ours", "ours"),
                ("modal.null.modal_rs", "modal_rs"),
                ("modal.null.python", "python"),
            ],
            [
                ("modal.null.bare.rate", "bare_rate"),
                ("modal.null.ours.rate", "ours_rate"),
                ("modal.null.modal_rs.rate", "modal_rs_rate"),
                ("modal.null.python.rate", "python_rate"),
            ],
        )
    })
}

fn emulated() -> Probe {
    let time = |id, what| Row {
        id,
        what,
        against: Some("modal.emulator.bare"),
        bound_by: "the emulator answers a list of no apps",
        ..row(Unit::MILLISECONDS)
    };
    let rate = |id, what| Row {
        id,
        what,
        against: Some("modal.emulator.bare.rate"),
        bound_by: "two cores, which client and emulator share",
        ..row(Unit::PER_SECOND)
    };
    let rows = vec![
        Row {
            against: None,
            ..time(
                "modal.emulator.bare",
                "one unary RPC to the emulator, bare tonic",
            )
        },
        time("modal.emulator.ours", "the same, moorline-modal-client"),
        time("modal.emulator.modal_rs", "the same, modal-rs 0.1.3"),
        time("modal.emulator.python", "the same, Python modal 1.6.4"),
        Row {
            against: None,
            ..rate(
                "modal.emulator.bare.rate",
                "unary RPCs, 64 at once, bare tonic",
            )
        },
        rate(
            "modal.emulator.ours.rate",
            "the same, moorline-modal-client",
        ),
        rate("modal.emulator.modal_rs.rate", "the same, modal-rs 0.1.3"),
        rate("modal.emulator.python.rate", "the same, Python modal 1.6.4"),
    ];
    Probe::new(rows, |bench| {
        let server = Server::emulator(bench)?;
        unary(
            bench,
            &server,
            [
                ("modal.emulator.bare", "bare"),
                ("modal.emulator.ours", "ours"),
                ("modal.emulator.modal_rs", "modal_rs"),
                ("modal.emulator.python", "python"),
            ],
            [
                ("modal.emulator.bare.rate", "bare_rate"),
                ("modal.emulator.ours.rate", "ours_rate"),
                ("modal.emulator.modal_rs.rate", "modal_rs_rate"),
                ("modal.emulator.python.rate", "python_rate"),
            ],
        )
    })
}

/// Row and name of its samples.
type Names = [(&'static str, &'static str); 4];

fn unary(bench: &Bench, server: &Server, times: Names, rates: Names) -> Result<Figures> {
    let mut output = bench.output_of("measure-modal", ["unary", &server.url, CALLS])?;
    output += &Shell::new(modal_rs()?, bench.scratch())
        .args([&server.url, CALLS])
        .quiet()
        .capture()?;
    output += &server
        .python(bench, &script("unary.py")?)
        .args([CALLS])
        .quiet()
        .capture()?;
    let samples = Samples::parse(&output);
    let mut figures = Figures::new();
    for (id, name) in times {
        figures.extend(samples.times(name).map(|figure| (id, figure)));
    }
    for (id, name) in rates {
        figures.extend(samples.value(name).map(|figure| (id, figure)));
    }
    Ok(figures)
}

fn sandboxes() -> Probe {
    let rows = vec![
        Row {
            id: "modal.process",
            what: "a process that prints a line, by tokio, to its end",
            bound_by: "the kernel",
            ..row(Unit::MILLISECONDS)
        },
        Row {
            id: "modal.sandbox.first_byte",
            what: "a sandbox of the emulator that prints a line: from the call to the line",
            against: Some("modal.process"),
            goal: Some(Goal::of_median(30.0)),
            bound_by: "two RPCs, namespaces and mounts, two programs",
            ..row(Unit::MILLISECONDS)
        },
        Row {
            id: "modal.sandbox.rate",
            what: "sandboxes created, run (true) and waited for, sixteen at once",
            goal: Some(Goal::of_median(100.0)),
            bound_by: "two cores: namespaces and mounts are work of the kernel",
            ..row(Unit::PER_SECOND)
        },
    ];
    Probe::new(rows, |bench| {
        let server = Server::emulator(bench)?;
        let [one_by_one, many] = SANDBOXES;
        let samples = server.measure(bench, "first-byte", [one_by_one])?;
        let rate = server.measure(bench, "sandboxes", [many])?;
        let figures = [
            ("modal.process", samples.times("process")),
            ("modal.sandbox.first_byte", samples.times("sandbox")),
            ("modal.sandbox.rate", rate.value("rate")),
        ];
        Ok(present(figures))
    })
}

fn log() -> Probe {
    let row = Row {
        id: "modal.log",
        what: "output of one sandbox, 256 MiB, as our client gets it",
        bound_by: "a pipe, a file, gRPC messages on loopback; two cores for all of it",
        ..row(Unit::MEGABYTES_PER_SECOND)
    };
    Probe::new(vec![row], |bench| {
        let server = Server::emulator(bench)?;
        let samples = server.measure(bench, "log", [""; 0])?;
        Ok(present([("modal.log", samples.value("rate"))]))
    })
}

fn volumes() -> Probe {
    let moved = |id, what, against| Row {
        id,
        what,
        against,
        bound_by: "the disk, and SHA-256 of every block",
        ..row(Unit::MEGABYTES_PER_SECOND)
    };
    let rows = vec![
        moved(
            "modal.http.put",
            "1 GB to a server that writes it to a file, plain HTTP",
            None,
        ),
        moved("modal.http.get", "and back into a file", None),
        moved(
            "modal.volume.put",
            "1 GB into a volume (goal: within 1.5 x)",
            Some("modal.http.put"),
        ),
        moved(
            "modal.volume.get",
            "and back into a file (goal: within 1.5 x)",
            Some("modal.http.get"),
        ),
        Row {
            id: "modal.volume.memory",
            what: "peak of resident memory of the client meanwhile",
            goal: Some(Goal::of_median(95.0)),
            bound_by: "blocks in flight",
            ..row(Unit::MEBIBYTES)
        },
    ];
    Probe::new(rows, |bench| {
        let (server, plain) = (Server::emulator(bench)?, Server::null(bench)?);
        let directory = bench.scratch().display().to_string();
        let arguments = [plain.url.as_str(), &directory, MEGABYTES];
        let samples = server.measure(bench, "volumes", arguments)?;
        let figures = [
            ("modal.http.put", samples.value("plain_put")),
            ("modal.http.get", samples.value("plain_get")),
            ("modal.volume.put", samples.value("put")),
            ("modal.volume.get", samples.value("get")),
            ("modal.volume.memory", samples.value("peak_mib")),
        ];
        Ok(present(figures))
    })
}

fn hello() -> Probe {
    let rows = vec![
        Row {
            id: "modal.cli",
            what: "modal app list: the official tool's own start and one RPC",
            bound_by: "Python's imports",
            ..row(Unit::MILLISECONDS)
        },
        Row {
            id: "modal.run",
            what: "modal run hello.py, from start to result, against the emulator",
            against: Some("modal.cli"),
            bound_by: "the tool's start, and a second Python in the container",
            ..row(Unit::MILLISECONDS)
        },
    ];
    Probe::new(rows, |bench| {
        let server = Server::emulator(bench)?;
        let hello = script("hello.py")?;
        let timed = |arguments: &[&Path]| {
            let mut samples = Vec::with_capacity(RUNS);
            for _ in 0..RUNS {
                let start = clock::now();
                let tool = server.python(bench, Path::new("-m")).args(["modal"]);
                tool.args(arguments).quiet().capture()?;
                samples.push(start.elapsed().as_secs_f64() * 1000.0);
            }
            Ok::<_, Error>(Figure::of_times(samples))
        };
        let list = timed(&["app".as_ref(), "list".as_ref()])?;
        let run = timed(&["run".as_ref(), &hello])?;
        Ok(vec![("modal.cli", list), ("modal.run", run)])
    })
}

fn present<const N: usize>(figures: [(&'static str, Option<Figure>); N]) -> Figures {
    figures
        .into_iter()
        .filter_map(|(id, figure)| Some((id, figure?)))
        .collect()
}

/// A program for the official client.
fn script(name: &str) -> Result<PathBuf> {
    Ok(Workspace::locate()?
        .root()
        .join("xtask/src/bench/product")
        .join(name))
}

/// Builds the peer, and says where it is.
fn modal_rs() -> Result<PathBuf> {
    let workspace = Workspace::locate()?;
    let target = workspace.target().join("bench-modal-rs");
    Shell::cargo(&workspace.root().join("bench/modal-rs"))
        .args(["build", "--quiet", "--release", "--locked", "--target-dir"])
        .args([&target])
        .quiet()
        .run()?;
    Ok(target.join("release/bench-modal-rs"))
}

/// A server of its own process, ended with this value.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn null(bench: &Bench) -> Result<Self> {
        let file = bench.scratch().join("plain").into_os_string();
        let (mut server, line) =
            Self::start(&bench.example("measure-modal"), ["null".into(), file])?;
        line.trim_start_matches("url ")
            .trim()
            .clone_into(&mut server.url);
        Ok(server)
    }

    fn emulator(bench: &Bench) -> Result<Self> {
        let python = python()?.into_os_string();
        let arguments = [
            "emulator".into(),
            "--json".into(),
            "--python".into(),
            python,
        ];
        let (mut server, line) = Self::start(&bench.binary("moorline"), arguments)?;
        let told: serde_json::Value =
            serde_json::from_str(&line).map_err(|source| Error::Json {
                what: "what the emulator printed".to_owned(),
                source,
            })?;
        told["url"]
            .as_str()
            .unwrap_or_default()
            .clone_into(&mut server.url);
        Ok(server)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a server has to be started to be measured"
    )]
    fn start<const N: usize>(program: &Path, arguments: [OsString; N]) -> Result<(Self, String)> {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(Error::io(format!("start {}", program.display())))?;
        let output = child.stdout.take();
        let server = Self {
            child,
            url: String::new(),
        };
        let mut line = String::new();
        if let Some(output) = output {
            let mut output = BufReader::new(output);
            output
                .read_line(&mut line)
                .map_err(Error::io("read where a server is"))?;
        }
        Ok((server, line))
    }

    fn measure<const N: usize>(
        &self,
        bench: &Bench,
        what: &str,
        arguments: [&str; N],
    ) -> Result<Samples> {
        let arguments = [what, &self.url].into_iter().chain(arguments);
        Ok(Samples::parse(
            &bench.output_of("measure-modal", arguments)?,
        ))
    }

    /// The Python that has the official client, told where this server is.
    fn python(&self, bench: &Bench, first: &Path) -> Shell {
        let python = python().unwrap_or_else(|_| "python3".into());
        Shell::new(python, bench.scratch())
            .args([first])
            .env("MODAL_SERVER_URL", &self.url)
            .env("MODAL_TOKEN_ID", "ak-bench")
            .env("MODAL_TOKEN_SECRET", "as-bench")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // What runs in the emulator ends with it.
        if self.child.kill().is_ok() {
            drop(self.child.wait());
        }
    }
}

fn python() -> Result<PathBuf> {
    Ok(Workspace::locate()?.target().join("venv/bin/python"))
}
