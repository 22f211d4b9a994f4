//! `POST /kickoff`: from the request to the answer that the run is durable.

use std::fs;
use std::path::PathBuf;

use moorline_testkit::postgres::{Postgres, TestDatabase};

use super::super::super::row::{Bench, Figure, Goal, Probe, Row, Unit};
use super::client::{Client, Message, rate, times};
use super::{Options, Server, row, token};
use crate::error::{Error, Result};

/// Kickoffs one after the other.
const KICKOFFS: u32 = 200;
/// Kickoffs that are counted in a second.
const MANY: u32 = 2_000;
/// Connections that they come from.
const CONNECTIONS: u32 = 16;
/// A median that a person does not notice, in milliseconds.
const GOAL: Goal = Goal::of_median(5.0);
const SCOPE: &str = "a server process, and the client's";
const JOB: &str = r#"{
    "job_id": "quick",
    "params": {"project_id": "", "user_id": "", "entrepreneur_input": ""},
    "steps": [{"name": "true", "argv": ["/bin/true"]}]
}"#;
const BODY: &str = r#"{"project_id":"7b0e53a5-9f0e-4d8e-9d43-0d6f2f3a1c11","user_id":"2f6d1a34-5c0b-4f7e-8a56-1f1f5a9f6b22","entrepreneur_input":"A quiet ferry timetable for small islands"}"#;

pub(super) fn probes() -> Vec<Probe> {
    vec![sqlite(), postgres()]
}

fn sqlite() -> Probe {
    let rows = vec![
        Row {
            id: "kickoff",
            what: "POST /kickoff of a job of one step on SQLite, one after the other, each once the run before is over",
            against: Some("floor.commit"),
            goal: Some(GOAL),
            scope: SCOPE,
            bound_by: "reading and checking the job, and the commit of the run with its event and its record",
            ..row(Unit::MILLISECONDS)
        },
        Row {
            id: "kickoff.rate",
            what: "the same from 16 connections, counted; the server drives no runs",
            against: Some("floor.commits"),
            scope: SCOPE,
            bound_by: "as kickoff; commits are shared, and the cores too",
            ..row(Unit::PER_SECOND)
        },
    ];
    Probe::new(rows, |bench| {
        let one = one_by_one(bench, Options::of("state-kickoff"))?;
        let rate = counted(bench, Options::of("state-kickoff-rate"))?;
        Ok(vec![("kickoff", one), ("kickoff.rate", rate)])
    })
}

fn postgres() -> Probe {
    let rows = vec![
        Row {
            id: "kickoff.pg",
            what: "POST /kickoff of a job of one step on PostgreSQL, fsync on, one after the other, each once the run before is over",
            goal: Some(GOAL),
            scope: SCOPE,
            bound_by: "as kickoff, and round trips to the database",
            ..row(Unit::MILLISECONDS)
        },
        Row {
            id: "kickoff.pg.rate",
            what: "the same from 16 connections, counted; the server drives no runs",
            against: Some("floor.pg.commits"),
            scope: SCOPE,
            bound_by: "round trips to the database, one writer task; commits are shared, and the cores too",
            ..row(Unit::PER_SECOND)
        },
    ];
    Probe::new(rows, |bench| {
        let cluster = Postgres::start()?;
        let (first, second) = (cluster.create_database()?, cluster.create_database()?);
        // A state directory belongs to its database, and a round has databases of its own.
        let state = |database: &TestDatabase| format!("state-{}", database.name());
        let states = (state(&first), state(&second));
        let one = Options {
            store: Some(first.url()),
            ..Options::of(&states.0)
        };
        let many = Options {
            store: Some(second.url()),
            ..Options::of(&states.1)
        };
        Ok(vec![
            ("kickoff.pg", one_by_one(bench, one)?),
            ("kickoff.pg.rate", counted(bench, many)?),
        ])
    })
}

fn one_by_one(bench: &Bench, options: Options<'_>) -> Result<Figure> {
    let server = Server::start(bench, options)?;
    of_server(&server, &token(bench, options)?, KICKOFFS)
}

/// Kickoffs of a server that drives them, one after the other.
pub(super) fn of_server(server: &Server, token: &str, count: u32) -> Result<Figure> {
    let message = kickoff(token);
    times(&server.address, count, &message, |client, answer| {
        over(client, token, answer)
    })
}

fn counted(bench: &Bench, options: Options<'_>) -> Result<Figure> {
    let options = Options {
        work: false,
        ..options
    };
    let server = Server::start(bench, options)?;
    let message = kickoff(&token(bench, options)?);
    rate(&server.address, CONNECTIONS, MANY, &message)
}

fn kickoff(token: &str) -> Message {
    Message::post("/kickoff", token, BODY, 202)
}

/// Waits for the end of the run that a kickoff has started.
fn over(client: &mut Client, token: &str, answer: &str) -> Result {
    let json = |source| Error::Json {
        what: "the answer to a kickoff".to_owned(),
        source,
    };
    let started: serde_json::Value = serde_json::from_str(answer).map_err(json)?;
    let run = started.get("run_id").and_then(serde_json::Value::as_str);
    let none = || Error::Refused("the answer to a kickoff names no run".to_owned());
    let path = format!("/v1/runs/{}/summary", run.ok_or_else(none)?);
    // Answered with 200 when the run is over, and an error when it is not after so long.
    client
        .call(&Message::get(path, token, "prefer: wait=20\r\n"))
        .map(drop)
}

/// The job that a kickoff starts.
pub(super) fn write_job(bench: &Bench) -> Result<PathBuf> {
    let job = bench.scratch().join("kickoff-job");
    fs::create_dir_all(&job)
        .and_then(|()| fs::write(job.join("job_spec.json"), JOB))
        .map_err(Error::io("write a job"))?;
    Ok(job)
}
