//! What this machine can do at best: the parts that every figure of the product is made of.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use moorline_testkit::postgres::{Postgres, PostgresError, find_binaries};
use rusqlite::Connection;

use super::row::{Bench, Figure, Figures, Probe, Row, Unit};
use crate::clock;
use crate::error::{Error, Result};
use crate::shell::Shell;

const SPAWNS: u32 = 400;
const KILLS: u32 = 200;
const APPENDS: u32 = 1000;
const COMMITS: u32 = 1000;
const OPENINGS: u32 = 200;
/// Bytes of text in a committed row.
const BODY: usize = 200;
const BLOCK: [u8; 4096] = [b'm'; 4096];

pub(super) fn probes() -> Vec<Probe> {
    vec![
        Probe::of(
            Row {
                id: "floor.spawn",
                what: "start /bin/true by posix_spawn, wait for it",
                bound_by: "the kernel: fork, exec, exit and the mapping of a C library",
                ..floor(Unit::MILLISECONDS)
            },
            |_| times(SPAWNS, || run_true().map(drop)),
        ),
        Probe::of(
            Row {
                id: "floor.spawn.2",
                what: "the same from 2 threads",
                bound_by: "the kernel, on both cores",
                ..floor(Unit::PER_SECOND)
            },
            |_| spawn_from_two_threads(),
        ),
        Probe::of(
            Row {
                id: "floor.kill",
                what: "SIGKILL to a sleeping child, until it is reaped",
                bound_by: "the kernel: tearing down an address space",
                ..floor(Unit::MILLISECONDS)
            },
            |_| kill_children(),
        ),
        Probe::of(
            Row {
                id: "floor.append",
                what: "append 4 KiB and fdatasync",
                bound_by: "the disk and its file system",
                ..floor(Unit::MILLISECONDS)
            },
            append_durably,
        ),
        Probe::new(
            vec![
                Row {
                    id: "floor.commit",
                    what: "commit one row to SQLite, WAL, synchronous=FULL",
                    against: Some("floor.append"),
                    bound_by: "one fdatasync of the write-ahead log",
                    ..floor(Unit::MILLISECONDS)
                },
                Row {
                    id: "floor.commits",
                    what: "the same, counted",
                    bound_by: "one fdatasync of the write-ahead log each",
                    ..floor(Unit::PER_SECOND)
                },
            ],
            commit_durably,
        ),
        Probe::of(
            Row {
                id: "floor.run",
                what: "commit to SQLite, start /bin/true and wait, commit: the least that a durable run can be",
                bound_by: "floor.spawn and twice floor.commit",
                ..floor(Unit::MILLISECONDS)
            },
            run_durably,
        ),
        Probe::of(
            Row {
                id: "floor.open",
                what: "open a SQLite file, WAL, and read a row",
                bound_by: "the file system, and SQLite reading its schema",
                ..floor(Unit::MILLISECONDS)
            },
            open_a_file,
        ),
        Probe::of(
            Row {
                id: "floor.pg.commits",
                what: "commit one row to PostgreSQL, 16 clients of pgbench, fsync on",
                scope: "one server, one process of pgbench",
                bound_by: "the server's group commit",
                ..floor(Unit::PER_SECOND)
            },
            commit_to_postgres,
        ),
    ]
}

/// What all floors have in common.
fn floor(unit: Unit) -> Row {
    Row {
        id: "",
        what: "",
        unit,
        against: None,
        goal: None,
        peers: &[],
        scope: "one process",
        bound_by: "",
    }
}

/// Times `operation` so many times.
pub(super) fn times(count: u32, mut operation: impl FnMut() -> Result) -> Result<Figure> {
    let mut milliseconds = Vec::new();
    for _ in 0..count {
        let start = clock::now();
        operation()?;
        milliseconds.push(in_milliseconds(start.elapsed()));
    }
    Ok(Figure::of_times(milliseconds))
}

pub(super) fn in_milliseconds(time: Duration) -> f64 {
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

/// A table with a text column, and a statement that commits one row to it.
fn scratch_table(path: &Path) -> Result<Connection> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS event (id INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT",
    )?;
    Ok(connection)
}

const INSERT: &str = "INSERT INTO event (body) VALUES (?1)";

fn commit_durably(bench: &Bench) -> Result<Figures> {
    let connection = scratch_table(&bench.scratch().join("commits.db"))?;
    let mut insert = connection.prepare(INSERT)?;
    let body = "x".repeat(BODY);
    let start = clock::now();
    let each = times(COMMITS, || {
        insert.execute([&body])?;
        Ok(())
    })?;
    let rate = Figure::of_rate(COMMITS, start.elapsed().as_secs_f64());
    Ok(vec![("floor.commit", each), ("floor.commits", rate)])
}

fn run_durably(bench: &Bench) -> Result<Figure> {
    let connection = scratch_table(&bench.scratch().join("runs.db"))?;
    let mut insert = connection.prepare(INSERT)?;
    let body = "x".repeat(BODY);
    times(SPAWNS, || {
        insert.execute([&body])?;
        run_true()?;
        insert.execute([&body])?;
        Ok(())
    })
}

fn open_a_file(bench: &Bench) -> Result<Figure> {
    let path = bench.scratch().join("opened.db");
    let connection = scratch_table(&path)?;
    connection.execute(INSERT, [&"x".repeat(BODY)])?;
    drop(connection);
    times(OPENINGS, || {
        let connection = Connection::open(&path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.query_row("SELECT body FROM event", [], |row| row.get::<_, String>(0))?;
        Ok(())
    })
}

fn commit_to_postgres(bench: &Bench) -> Result<Figure> {
    let server = Postgres::start()?;
    let database = server.create_database()?;
    let tools = find_binaries().ok_or(PostgresError::NotFound)?;
    let pgbench = |script: &str, arguments: &[&str]| -> Result<String> {
        let file = bench.scratch().join("pgbench.sql");
        std::fs::write(&file, script).map_err(Error::io("write a script for pgbench"))?;
        Shell::new(tools.join("pgbench"), bench.scratch())
            .args(["--no-vacuum", "--file"])
            .args([&file])
            .args(arguments)
            .args([database.url()])
            .quiet()
            .capture()
    };
    pgbench(
        "CREATE TABLE event (id bigserial PRIMARY KEY, body text NOT NULL);",
        &["--transactions=1"],
    )?;
    let insert = format!("INSERT INTO event (body) VALUES ('{}');", "x".repeat(BODY));
    let clients = ["--protocol=prepared", "--client=16", "--jobs=2", "--time=2"];
    let report = pgbench(&insert, &clients)?;
    let found = |key: &str| {
        let line = report.lines().find_map(|line| line.strip_prefix(key))?;
        line.split([' ', '/']).next()?.parse::<f64>().ok()
    };
    let missing = || Error::Refused("pgbench prints its figures in another form".to_owned());
    Ok(Figure::of_value(found("tps = ").ok_or_else(missing)?))
}
