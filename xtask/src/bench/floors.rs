//! What this machine can do at best: the parts that every figure of the product is made of.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rusqlite::Connection;

use super::row::{Bench, Figure, Row, Unit};
use crate::clock;
use crate::error::{Error, Result};

const SPAWNS: u32 = 400;
const KILLS: u32 = 200;
const APPENDS: u32 = 1000;
const COMMITS: u32 = 1000;
const BLOCK: [u8; 4096] = [b'm'; 4096];

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row {
            id: "floor.spawn",
            what: "start /bin/true by posix_spawn, wait for it",
            unit: Unit::MILLISECONDS,
            floor: None,
            goal: None,
            scope: "one process",
            bound_by: "the kernel: fork, exec, exit and the mapping of a C library",
            measure: Box::new(|_| times(SPAWNS, || run_true().map(drop))),
        },
        Row {
            id: "floor.spawn.2",
            what: "the same from 2 threads",
            unit: Unit::PER_SECOND,
            floor: None,
            goal: None,
            scope: "one process",
            bound_by: "the kernel, on both cores",
            measure: Box::new(|_| spawn_from_two_threads()),
        },
        Row {
            id: "floor.kill",
            what: "SIGKILL to a sleeping child, until it is reaped",
            unit: Unit::MILLISECONDS,
            floor: None,
            goal: None,
            scope: "one process",
            bound_by: "the kernel: tearing down an address space",
            measure: Box::new(|_| kill_children()),
        },
        Row {
            id: "floor.append",
            what: "append 4 KiB and fdatasync",
            unit: Unit::MILLISECONDS,
            floor: None,
            goal: None,
            scope: "one process",
            bound_by: "the disk and its file system",
            measure: Box::new(append_durably),
        },
        Row {
            id: "floor.commit",
            what: "commit one row to SQLite, WAL, synchronous=FULL",
            unit: Unit::MILLISECONDS,
            floor: Some("floor.append"),
            goal: None,
            scope: "one process",
            bound_by: "one fdatasync of the write-ahead log",
            measure: Box::new(commit_durably),
        },
    ]
}

/// Times `operation` so many times.
fn times(count: u32, mut operation: impl FnMut() -> Result) -> Result<Figure> {
    let mut milliseconds = Vec::new();
    for _ in 0..count {
        let start = clock::now();
        operation()?;
        milliseconds.push(in_milliseconds(start.elapsed()));
    }
    Ok(Figure::of_times(milliseconds))
}

fn in_milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// The standard library takes `posix_spawn` as long as nothing has to run in the child.
#[expect(
    clippy::disallowed_methods,
    reason = "the subject of the measurement is a process"
)]
fn start(program: &str, argument: Option<&str>) -> Result<Child> {
    Command::new(program)
        .args(argument)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(Error::io(format!("start {program}")))
}

fn run_true() -> Result {
    start("/bin/true", None)?
        .wait()
        .map_err(Error::io("wait for /bin/true"))?;
    Ok(())
}

fn spawn_from_two_threads() -> Result<Figure> {
    let start = clock::now();
    std::thread::scope(|scope| {
        let half = || (0..SPAWNS).try_for_each(|_| run_true());
        let threads = [scope.spawn(half), scope.spawn(half)];
        threads.into_iter().try_for_each(|thread| {
            let panicked = |_| Error::Refused("a spawning thread panicked".to_owned());
            thread.join().map_err(panicked)?
        })
    })?;
    Ok(Figure::of_rate(2 * SPAWNS, start.elapsed().as_secs_f64()))
}

fn kill_children() -> Result<Figure> {
    let mut milliseconds = Vec::new();
    for _ in 0..KILLS {
        let mut child = start("/bin/sleep", Some("1000"))?;
        let start = clock::now();
        child
            .kill()
            .and_then(|()| child.wait())
            .map_err(Error::io("kill a child"))?;
        milliseconds.push(in_milliseconds(start.elapsed()));
    }
    Ok(Figure::of_times(milliseconds))
}

fn append_durably(bench: &Bench) -> Result<Figure> {
    let path = bench.scratch().join("appended");
    let open = OpenOptions::new().create(true).append(true).open(&path);
    let mut file: File = open.map_err(Error::io("open a scratch file"))?;
    times(APPENDS, || {
        file.write_all(&BLOCK)
            .and_then(|()| file.sync_data())
            .map_err(Error::io("append to a scratch file"))
    })
}

fn commit_durably(bench: &Bench) -> Result<Figure> {
    let connection = Connection::open(bench.scratch().join("commits.db"))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS event (id INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT",
    )?;
    let mut insert = connection.prepare("INSERT INTO event (body) VALUES (?1)")?;
    let body = "x".repeat(200);
    times(COMMITS, || {
        insert.execute([&body])?;
        Ok(())
    })
}
