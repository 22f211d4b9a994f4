//! Several real processes on one store: what was acknowledged survives SIGKILL, and nobody is told
//! that the database is locked.
//!
//! The processes are this test binary again, running [`child`]; what it shall do comes by its
//! standard input, what it has done is told by its standard output, a line each.

mod worker;

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use moorline_core::audit::ChainVerifier;
use moorline_core::ids::RunId;
use moorline_store::{EventFilter, PostgresStore, SqliteStore, Store};

/// A process that works on a store until it is killed or done.
struct Worker {
    process: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Worker {
    /// Starts a process with an order, such as `submit sqlite /path`.
    #[expect(
        clippy::disallowed_methods,
        reason = "the subject of the test is a process"
    )]
    fn start(order: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "processes::child", "--ignored", "--nocapture"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        writeln!(process.stdin.take().unwrap(), "{order}").unwrap();
        let said = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, said }
    }

    /// The next word with this mark, e.g. the id in `acknowledged 0190…`; none when it has ended.
    fn next(&mut self, mark: &str) -> Option<String> {
        self.said.by_ref().map(Result::unwrap).find_map(|line| {
            line.split_once(' ')
                .filter(|(first, _)| *first == mark)
                .map(|(_, rest)| rest.to_owned())
        })
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// What the worker processes run. As a test of its own it has nothing to do: its input is empty.
#[test]
#[ignore = "a helper of the other tests, which start it as a process"]
fn child() {
    let mut order = String::new();
    std::io::stdin().read_line(&mut order).unwrap();
    if let [what, engine, place] = order.split_whitespace().collect::<Vec<_>>().as_slice() {
        worker::work(what, engine, place);
    }
}

async fn open(engine: &str, place: &str) -> Arc<dyn Store> {
    match engine {
        "sqlite" => Arc::new(SqliteStore::open(place.as_ref()).unwrap()),
        "postgres" => Arc::new(PostgresStore::connect(place).await.unwrap()),
        other => panic!("no such engine: {other}"),
    }
}

/// The audit chain fits its head, and event ids have no gap. Returns the number of events.
async fn logs_are_whole(store: &dyn Store) -> usize {
    let mut verifier = ChainVerifier::default();
    for record in store.audit_list(0, u32::MAX).await.unwrap() {
        verifier.push(&record).unwrap();
    }
    let head = store.audit_head().await.unwrap();
    verifier.finish(head.id, &head.hash).unwrap();
    let filter = EventFilter {
        limit: u32::MAX,
        ..EventFilter::default()
    };
    let events = store.events_list(filter).await.unwrap();
    for (wanted, event) in (1..).zip(&events) {
        assert_eq!(event.id, wanted, "event ids have a gap");
    }
    events.len()
}

/// Kills a submitting process again and again, each time after another number of acknowledgements.
async fn acknowledged_runs_survive(engine: &str, place: &str) {
    let mut acknowledged: Vec<RunId> = Vec::new();
    for round in 0..5 {
        let mut worker = Worker::start(&format!("submit {engine} {place}"));
        for _ in 0..=round * 37 {
            let id = worker
                .next("acknowledged")
                .expect("the worker goes on until it is killed");
            acknowledged.push(id.parse().unwrap());
        }
        worker.kill();
        // What it had said before it died counts as well.
        while let Some(id) = worker.next("acknowledged") {
            // A line may be cut off in the middle.
            acknowledged.extend(id.parse::<RunId>());
        }
        let store = open(engine, place).await;
        for id in &acknowledged {
            let run = store.run_get(*id).await.unwrap();
            assert!(
                run.is_some(),
                "run {id} was acknowledged, and is not there after the crash"
            );
        }
        assert!(logs_are_whole(store.as_ref()).await >= acknowledged.len());
    }
}

/// D-RUN-1, L31.
#[tokio::test]
async fn sqlite_keeps_what_was_acknowledged_when_its_process_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    acknowledged_runs_survive("sqlite", path.to_str().unwrap()).await;
}

/// D-RUN-1, L31. The next process is not kept waiting by what the dead one held.
#[tokio::test]
async fn postgres_keeps_what_was_acknowledged_when_its_process_is_killed() {
    let database = moorline_testkit::postgres::create_database().unwrap();
    acknowledged_runs_survive("postgres", database.url()).await;
}

/// Four processes submit, claim and finish as fast as they can. No call of theirs fails, each gets
/// its turn, each run is claimed by one of them.
async fn processes_share(engine: &str, place: &str) {
    open(engine, place).await;
    let mut workers: Vec<_> = (0..4)
        .map(|_| Worker::start(&format!("live {engine} {place}")))
        .collect();
    let mut claimed = Vec::new();
    for worker in &mut workers {
        while let Some(id) = worker.next("claimed") {
            claimed.push(id.parse::<RunId>().unwrap());
        }
        assert!(
            worker.process.wait().unwrap().success(),
            "a call of a process failed"
        );
    }
    assert_eq!(
        claimed.len(),
        4 * worker::LIVES,
        "attempts that were claimed"
    );
    claimed.sort_unstable();
    claimed.dedup();
    assert_eq!(claimed.len(), 4 * worker::LIVES, "runs that were claimed");
    let store = open(engine, place).await;
    for id in &claimed {
        assert!(
            store.summary_get(*id).await.unwrap().is_some(),
            "run {id} has its summary"
        );
    }
    // Queued, started, claimed, ended, step done, run ended.
    assert_eq!(logs_are_whole(store.as_ref()).await, 6 * claimed.len());
}

#[tokio::test]
async fn sqlite_serves_four_processes_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    processes_share("sqlite", path.to_str().unwrap()).await;
}

#[tokio::test]
async fn postgres_serves_four_processes_at_once() {
    let database = moorline_testkit::postgres::create_database().unwrap();
    processes_share("postgres", database.url()).await;
}
