//! What Moorline takes when it has nothing to do.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::rc::Rc;
use std::time::Duration;

use super::super::row::{Bench, Figure, Goal, Probe, Row, Unit};
use super::state::Filled;
use super::{cli, row};
use crate::clock;
use crate::error::{Error, Result};

/// Before the first look: what a program does when it starts is not idling.
const SETTLE: Duration = Duration::from_secs(4);
/// Between the two looks at the processor time.
const WATCH: Duration = Duration::from_secs(6);

pub(super) fn probe(filled: &Rc<Filled>) -> Probe {
    let memory = |id, what, peers| Row {
        id,
        what,
        goal: Some(Goal::of_median(20.0)),
        peers,
        bound_by: "the pages of the binary that were touched, the cache of SQLite, the stacks",
        ..row(Unit::MEBIBYTES)
    };
    let processor = |id, what, peers| Row {
        id,
        what,
        goal: Some(Goal::of_median(0.2)),
        peers,
        bound_by: "one look a second for changes that other processes made",
        ..row(Unit::PERCENT)
    };
    let rows = vec![
        memory(
            "idle.watch.memory",
            "resident memory of moorline events watch, 10,000 runs in the store",
            &[
                ("rq", 48.0),
                ("DBOS", 75.0),
                ("restate", 261.0),
                ("airflow", 1073.0),
            ],
        ),
        processor(
            "idle.watch.cpu",
            "processor time of it, in percent of one core",
            &[
                ("prefect", 2.0),
                ("restate", 2.1),
                ("dagster", 3.5),
                ("DBOS", 3.9),
            ],
        ),
        memory(
            "idle.engine.memory",
            "resident memory of an embedded engine whose events are followed",
            &[],
        ),
        processor(
            "idle.engine.cpu",
            "processor time of it, in percent of one core",
            &[],
        ),
    ];
    let filled = Rc::clone(filled);
    Probe::new(rows, move |bench| {
        let state = filled.with_runs(bench, 10_000)?;
        let start = |mut command: std::process::Command| {
            command
                .stdin(Stdio::piped())
                .spawn()
                .map(Idler)
                .map_err(Error::io("start a watcher"))
        };
        let watch = start(cli::moorline(
            bench,
            &["--state", &state, "events", "watch"],
        ))?;
        let engine = start(engine(bench, &state))?;
        let [watch, engine] = look([&watch, &engine])?;
        Ok(vec![
            ("idle.watch.memory", watch.memory),
            ("idle.watch.cpu", watch.processor),
            ("idle.engine.memory", engine.memory),
            ("idle.engine.cpu", engine.processor),
        ])
    })
}

/// What a process takes that idles.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken {
    /// Resident, in mebibytes.
    pub(super) memory: Figure,
    /// In percent of one core.
    pub(super) processor: Figure,
}

/// Looks at processes that were just started, all in the same seconds.
pub(super) fn look<const N: usize>(idlers: [&Idler; N]) -> Result<[Taken; N]> {
    std::thread::sleep(SETTLE);
    let begun = clock::now();
    let mut before = [Duration::ZERO; N];
    for (time, idler) in before.iter_mut().zip(idlers) {
        *time = idler.processor_time()?;
    }
    std::thread::sleep(WATCH);
    let mut taken = [Taken {
        memory: Figure::of_value(0.0),
        processor: Figure::of_value(0.0),
    }; N];
    for ((taken, idler), before) in taken.iter_mut().zip(idlers).zip(before) {
        let time = idler.processor_time()?.saturating_sub(before);
        let share = time.as_secs_f64() / begun.elapsed().as_secs_f64();
        *taken = Taken {
            memory: Figure::of_value(idler.resident()?),
            processor: Figure::of_value(share * 100.0),
        };
    }
    Ok(taken)
}

fn engine(bench: &Bench, state: &str) -> std::process::Command {
    #[expect(
        clippy::disallowed_methods,
        reason = "the subject of the measurement is a process"
    )]
    let mut command = std::process::Command::new(bench.example("measure"));
    command
        .arg("idle")
        .arg(bench.binary("moorline-supervisor"))
        .arg(state)
        .current_dir(bench.scratch())
        .stdout(Stdio::null());
    command
}

/// A process that idles. It is ended with the value.
pub(super) struct Idler(pub(super) Child);

impl Drop for Idler {
    fn drop(&mut self) {
        // It may have ended by itself; then a look at it has failed already.
        drop(self.0.kill().and_then(|()| self.0.wait()));
    }
}

impl Idler {
    fn read(&self, file: impl AsRef<Path>) -> Result<String> {
        let path = Path::new("/proc").join(self.0.id().to_string()).join(file);
        fs::read_to_string(&path).map_err(Error::io(format!("read {}", path.display())))
    }

    /// Mebibytes.
    fn resident(&self) -> Result<f64> {
        let status = self.read("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
        let ended = || Error::Refused("a watcher ended by itself".to_owned());
        Ok(kibibytes.ok_or_else(ended)? / 1024.0)
    }

    /// Of all threads. To the nanosecond, where the ticks of `stat` are 10 ms: as much as the goal allows
    /// in five seconds.
    fn processor_time(&self) -> Result<Duration> {
        let tasks = Path::new("/proc")
            .join(self.0.id().to_string())
            .join("task");
        let threads = fs::read_dir(&tasks).map_err(Error::io("list the threads of a watcher"))?;
        let mut nanoseconds = 0;
        for thread in threads {
            let thread = thread.map_err(Error::io("list the threads of a watcher"))?;
            let schedule =
                self.read(Path::new("task").join(thread.file_name()).join("schedstat"))?;
            let first = schedule
                .split(' ')
                .next()
                .and_then(|first| first.parse::<u64>().ok());
            nanoseconds += first.unwrap_or(0);
        }
        Ok(Duration::from_nanos(nanoseconds))
    }
}
