//! Several workers, and workers that die.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use moorline_core::alert::DeliveryState;
use moorline_core::error_code::AlertLevel;
use moorline_engine::{Engine, signature};
use moorline_testkit::receivers::http::{Answer, Receiver};
use moorline_testkit::wait;

use crate::deliveries::world::{World, webhook};

const DEADLINE: Duration = Duration::from_secs(20);

/// Six workers at once, twenty alerts: each arrives once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_workers_tell_each_alert_once() {
    let receiver = Receiver::start().unwrap();
    let destinations = || vec![webhook("ops", &receiver.url("/"))];
    let world = World::new(destinations());
    for n in 0..20 {
        world
            .raise(&format!("k{n}"), AlertLevel::Warning, "t")
            .await;
    }
    let workers: Vec<_> = (0..6).map(|_| world.another(destinations())).collect();
    let done = join_all(workers.iter().map(Engine::deliver_due)).await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    let requests = receiver.requests();
    let ids: BTreeSet<&str> = requests
        .iter()
        .map(|r| r.header(signature::DELIVERY))
        .collect();
    assert_eq!((requests.len(), ids.len()), (20, 20));
}

/// A worker dies after it sent and before it recorded: at least once, and the receiver can tell.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_died_after_sending_is_repeated_under_the_same_id() {
    let receiver = Receiver::start().unwrap();
    receiver.answer([Answer::never()]);
    let world = World::new(vec![webhook("ops", &receiver.url("/"))]);
    world.raise("k", AlertLevel::Warning, "t").await;
    let dying = world.another(vec![webhook("ops", &receiver.url("/"))]);
    {
        let sending = dying.deliver_due();
        let arrived = wait::until_async(DEADLINE, "the request to arrive", async || {
            !receiver.requests().is_empty()
        });
        tokio::select! {
            done = sending => panic!("it waits for an answer that never comes: {done:?}"),
            arrived = arrived => arrived.unwrap(),
        }
    }
    let delivery = world.deliveries().await.remove("ops").unwrap();
    assert_eq!(delivery.state, DeliveryState::Pending);
    // Another worker finds it when the lease is over, and not before.
    world.engine.deliver_due().await.unwrap();
    assert_eq!(receiver.requests().len(), 1);
    world.clock.set(delivery.due_at.unwrap());
    assert_eq!(world.engine.deliver_due().await.unwrap(), None);
    let requests = receiver.requests();
    let ids: Vec<_> = requests
        .iter()
        .map(|r| r.header(signature::DELIVERY))
        .collect();
    let id = delivery.id.to_string();
    assert_eq!(ids, [id.as_str(), id.as_str()]);
    let attempts: Vec<_> = requests
        .iter()
        .map(|r| r.header(signature::ATTEMPT))
        .collect();
    assert_eq!(attempts, ["1", "2"]);
}
