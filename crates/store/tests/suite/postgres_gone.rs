//! PostgreSQL that goes away: what is asked of the store fails soon, and works again by itself.

use std::time::Duration;

use moorline_core::run::Run;
use moorline_store::conformance::{Shape, World};
use moorline_store::{EventFilter, PostgresStore, Store, StoreError};
use moorline_testkit::chaos::Network;
use moorline_testkit::postgres::create_database;
use tokio::time::{sleep, timeout};

/// No caller waits longer, on a machine that is not busy: five seconds to connect, eight for an answer, each
/// once. Ours may be very busy.
const SOON: Duration = Duration::from_secs(45);

async fn submit(store: &dyn Store, world: &World) -> Result<Run, StoreError> {
    let new = world.new_run(&Shape::default());
    let submitted = timeout(SOON, store.run_submit(new)).await;
    Ok(submitted.expect("the store answers soon")?.run)
}

async fn events(store: &dyn Store) -> Result<usize, StoreError> {
    let listed = timeout(SOON, store.events_list(EventFilter::default())).await;
    Ok(listed.expect("the store answers soon")?.len())
}

fn is_gone<T: std::fmt::Debug>(answer: &Result<T, StoreError>) {
    assert!(
        matches!(answer, Err(StoreError::Unavailable { .. })),
        "{answer:?}"
    );
}

/// Repeats until the store works again, as its callers do.
async fn recovered(store: &dyn Store, world: &World) -> Run {
    loop {
        if let Ok(run) = submit(store, world).await {
            return run;
        }
        // L77: callers wait before they try again; nothing tells when the server is back.
        sleep(Duration::from_millis(50)).await;
    }
}

async fn goes_and_comes_back(network: Network, cut: bool) {
    let database = create_database().unwrap();
    let (proxy, url) = database.behind_a_network().unwrap();
    let (store, world) = (
        PostgresStore::connect(&url).await.unwrap(),
        World::default(),
    );
    let mut changes = store.changes();
    let first = submit(&store, &world).await.unwrap();

    proxy.set(network);
    if cut {
        proxy.cut();
    }
    let (first_write, read, second_write) = tokio::join!(
        submit(&store, &world),
        events(&store),
        submit(&store, &world)
    );
    is_gone(&first_write);
    is_gone(&read);
    is_gone(&second_write);

    proxy.set(Network::Whole);
    let second = recovered(&store, &world).await;
    assert_eq!(store.run_get(first.id).await.unwrap(), Some(first));
    assert_eq!(store.run_get(second.id).await.unwrap(), Some(second));
    // The listener as well: it is told of what another process commits.
    let other = PostgresStore::connect(database.url()).await.unwrap();
    changes.borrow_and_update();
    submit(&other, &world).await.unwrap();
    let newest = events(&other).await.unwrap() as u64;
    let told = timeout(SOON, changes.wait_for(|told| *told >= newest)).await;
    told.expect("the listener listens again").unwrap();
}

#[tokio::test]
async fn postgres_that_is_restarted_is_used_again() {
    goes_and_comes_back(Network::Refusing, true).await;
}

/// The worst way to go: nothing is refused, and nothing is answered.
#[tokio::test]
async fn postgres_that_falls_silent_is_given_up_and_used_again() {
    goes_and_comes_back(Network::Silent, false).await;
}

#[tokio::test]
async fn postgres_that_is_slow_is_waited_for() {
    let database = create_database().unwrap();
    let (proxy, url) = database.behind_a_network().unwrap();
    let (store, world) = (
        PostgresStore::connect(&url).await.unwrap(),
        World::default(),
    );
    proxy.set(Network::Slow(Duration::from_millis(30)));
    submit(&store, &world).await.unwrap();
    assert_eq!(events(&store).await.unwrap(), 1);
    assert!(proxy.connections() >= 2);
}

#[tokio::test]
async fn postgres_that_is_not_there_is_told_at_once() {
    let database = create_database().unwrap();
    let (proxy, url) = database.behind_a_network().unwrap();
    proxy.set(Network::Refusing);
    let connected = timeout(SOON, PostgresStore::connect(&url)).await;
    is_gone(&connected.expect("it is told soon"));
}
