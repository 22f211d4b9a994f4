//! What the stores do, in figures: one `name value unit` line each, for `cargo xtask bench`.
//!
//! ```text
//! cargo run --release -p moorline-store --example transitions            # everything
//! cargo run --release -p moorline-store --example transitions -- sqlite  # or: postgres, growth
//! ```
//!
//! Everything is durable: `synchronous=FULL`, fsync on. A transition reads the run, applies a command
//! and writes the result with its event; a take-over is the one that can be repeated without end and
//! starts nothing. A life is three writes: submit, claim, finish with its summary. `in_flight_1` is
//! latency-bound (a commit each), `in_flight_64` shows group commit. The figures are of one process.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use moorline_core::run::Run;
use moorline_store::conformance::{Shape, World};
use moorline_store::{
    ClaimDue, EventFilter, PostgresStore, RunFilter, SqliteStore, Store, StoreError,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How long each figure is measured.
const SPAN: Duration = Duration::from_secs(2);

/// Runs in the store when its size is varied.
const SIZES: [usize; 3] = [1_000, 10_000, 100_000];

#[tokio::main]
async fn main() -> Result<()> {
    let only = std::env::args().nth(1);
    let wanted = |engine: &str| only.as_deref().is_none_or(|only| only == engine);
    // Beside the working directory: `/tmp` may be memory, and a commit there would cost nothing.
    let directory = tempfile::tempdir_in(".")?;
    if wanted("sqlite") {
        floor(&directory.path().join("floor.db"))?;
        let store = SqliteStore::open(&directory.path().join("speed.db"))?;
        speed("sqlite", &store).await?;
    }
    if wanted("growth") {
        growth(directory.path()).await?;
    }
    if wanted("postgres") {
        let database = moorline_testkit::postgres::create_database()?;
        let store = PostgresStore::connect(database.url()).await?;
        speed("postgres", &store).await?;
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn start() -> Instant {
    Instant::now()
}

#[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
fn print(name: &str, value: f64, unit: &str) {
    println!("{name} {value:.3} {unit}");
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a benchmark are small"
)]
fn per_second(count: usize, span: Duration) -> f64 {
    count as f64 / span.as_secs_f64()
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

/// Raw SQLite: one row, one commit.
fn floor(path: &Path) -> Result<()> {
    let connection = rusqlite::Connection::open(path)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (v TEXT)",
    )?;
    let begun = start();
    let mut commits = 0;
    while begun.elapsed() < SPAN {
        connection
            .prepare_cached("INSERT INTO t VALUES ('one row')")?
            .execute([])?;
        commits += 1;
    }
    print(
        "sqlite_floor_single_row_commits",
        per_second(commits, begun.elapsed()),
        "1/s",
    );
    Ok(())
}

/// A run with a live attempt.
async fn started(store: &dyn Store, world: &World) -> Result<Run> {
    let run = store
        .run_submit(world.new_run(&Shape::default()))
        .await?
        .run;
    let claimed = store.run_claim_due(world.claim_of(run.id)).await?;
    claimed
        .into_iter()
        .next()
        .ok_or_else(|| "a due run was not claimed".into())
}

async fn speed(engine: &str, store: &dyn Store) -> Result<()> {
    let world = World::default();
    for in_flight in [1, 64] {
        let name = |what: &str| format!("{engine}_{what}_in_flight_{in_flight}");
        let starts = (0..in_flight).map(|_| started(store, &world));
        let runs: Vec<Run> = try_join_all(starts).await?;

        let begun = start();
        let takers = runs
            .iter()
            .map(|run| take_over_again_and_again(store, &world, run, begun));
        let mut each: Vec<Duration> = try_join_all(takers).await?.into_iter().flatten().collect();
        print(
            &name("noop_transitions"),
            per_second(each.len(), begun.elapsed()),
            "1/s",
        );
        each.sort_unstable();
        let at = |share: usize| {
            each.get(each.len() * share / 100)
                .copied()
                .unwrap_or_default()
        };
        print(&name("noop_transition_p50"), millis(at(50)), "ms");
        print(&name("noop_transition_p99"), millis(at(99)), "ms");

        let begun = start();
        let lives = (0..in_flight).map(|_| live_again_and_again(store, &world, begun));
        let lives: usize = try_join_all(lives).await?.into_iter().sum();
        print(
            &name("run_lives"),
            per_second(lives, begun.elapsed()),
            "1/s",
        );
    }
    Ok(())
}

async fn take_over_again_and_again(
    store: &dyn Store,
    world: &World,
    run: &Run,
    begun: Instant,
) -> std::result::Result<Vec<Duration>, StoreError> {
    let mut each = Vec::new();
    let Some(attempt) = &run.attempt else {
        return Ok(each);
    };
    while begun.elapsed() < SPAN {
        let one = start();
        let (lease, now) = (world.lease(), world.now());
        store
            .attempt_take_over(run.id, attempt.id, world.driver, lease, now)
            .await?;
        each.push(one.elapsed());
    }
    Ok(each)
}

/// Submit, claim, finish; returns how often.
async fn live_again_and_again(store: &dyn Store, world: &World, begun: Instant) -> Result<usize> {
    let mut lives = 0;
    while begun.elapsed() < SPAN {
        let run = started(store, world).await?;
        store
            .attempt_finish(world.finish(&run, World::success()))
            .await?;
        lives += 1;
    }
    Ok(lives)
}

/// How opening, claiming and listing grow with the number of runs that are over.
async fn growth(directory: &Path) -> Result<()> {
    let path = directory.join("growth.db");
    let world = World::default();
    let mut runs = 0;
    for size in SIZES {
        let store = SqliteStore::open(&path)?;
        while runs < size {
            let batch = (0..64).map(|_| async {
                let run = started(&store, &world).await?;
                store
                    .attempt_finish(world.finish(&run, World::success()))
                    .await?;
                Ok::<_, Box<dyn Error>>(())
            });
            runs += try_join_all(batch).await?.len();
        }
        drop(store);
        measure(&path, &world, size).await?;
    }
    Ok(())
}

async fn measure(path: &Path, world: &World, size: usize) -> Result<()> {
    let mut opened = Vec::new();
    for _ in 0..20 {
        let begun = start();
        let store = SqliteStore::open(path)?;
        // Ready: it knows what is alive and what is due.
        store.runs_live().await?;
        store.next_due(None).await?;
        opened.push(begun.elapsed());
    }
    print(
        &format!("sqlite_open_to_ready_{size}_runs"),
        millis(median(opened)),
        "ms",
    );
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(path)?);
    let mut spans = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..50 {
        let [list, events, claim, write] = &mut spans;
        let begun = start();
        store.runs_list(RunFilter::default()).await?;
        list.push(begun.elapsed());
        let begun = start();
        store
            .events_list(EventFilter {
                newest: true,
                ..EventFilter::default()
            })
            .await?;
        events.push(begun.elapsed());
        let begun = start();
        let run = store
            .run_submit(world.new_run(&Shape::default()))
            .await?
            .run;
        write.push(begun.elapsed());
        let begun = start();
        let claimed = store
            .run_claim_due(ClaimDue {
                ..world.claim_many(1)
            })
            .await?;
        claim.push(begun.elapsed());
        for run in claimed.iter().filter(|claimed| claimed.id == run.id) {
            store
                .attempt_finish(world.finish(run, World::success()))
                .await?;
        }
    }
    for (name, spans) in ["list_50_runs", "list_100_events", "claim", "submit"]
        .iter()
        .zip(spans)
    {
        print(
            &format!("sqlite_{name}_{size}_runs"),
            millis(median(spans)),
            "ms",
        );
    }
    Ok(())
}

fn median(mut spans: Vec<Duration>) -> Duration {
    spans.sort_unstable();
    spans.get(spans.len() / 2).copied().unwrap_or_default()
}
