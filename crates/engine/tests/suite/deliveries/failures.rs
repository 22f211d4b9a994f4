//! Destinations that fail: waits, giving up, replay.

use std::time::Duration;

use moorline_api::{AlertOperations as _, AlertReplayRequest, AlertTestRequest};
use moorline_core::alert::{DeliveryState, delivery};
use moorline_core::clock::Clock as _;
use moorline_core::config::{AlertDestination, DestinationChannel};
use moorline_core::error_code::{AlertLevel, ErrorCode};
use moorline_core::event::EventKind;
use moorline_core::principal::Principal;
use moorline_engine::signature;
use moorline_store::EventFilter;
use moorline_testkit::receivers::closed_port;
use moorline_testkit::receivers::http::{Answer, Receiver};

use crate::deliveries::world::{SECRET, World, destination, webhook};

fn ada() -> Principal {
    "human:ada".parse().unwrap()
}

fn replay(alert: &str) -> AlertReplayRequest {
    AlertReplayRequest {
        alert: alert.to_owned(),
        destination: None,
        actor: ada(),
        reason: None,
    }
}

/// An error, a refused connection and a server that never answers: each is tried again after its own wait,
/// and none holds up the one that works.
#[tokio::test]
async fn one_that_fails_holds_no_other_up() {
    let (good, bad, slow) = (
        Receiver::start().unwrap(),
        Receiver::start().unwrap(),
        Receiver::start().unwrap(),
    );
    bad.answer([Answer::status(500)]);
    slow.answer([Answer::never()]);
    let closed = format!("http://{}/", closed_port().unwrap());
    // Long enough for the others on a busy machine, since the slow one takes all of it.
    let patience = Duration::from_secs(3);
    let destinations = vec![
        webhook("good", &good.url("/")),
        webhook("bad", &bad.url("/")),
        webhook("slow", &slow.url("/")),
        webhook("closed", &closed),
    ];
    let world = World::with_patience(patience, destinations);
    world.raise("k", AlertLevel::Warning, "t").await;
    let began = world.clock.now();
    let next = world.engine.deliver_due().await.unwrap().unwrap();
    let wait = next.duration_since(began).as_secs_f64();
    assert!((10.0..=12.0).contains(&wait), "{wait}");
    let deliveries = world.deliveries().await;
    assert_eq!(deliveries["good"].state, DeliveryState::Delivered);
    for (name, why) in [
        ("bad", "it answers 500"),
        ("slow", "no answer within 3 s"),
        ("closed", "refused"),
    ] {
        let failed = &deliveries[name];
        assert_eq!(
            (failed.state, failed.attempts),
            (DeliveryState::Pending, 1),
            "{name}"
        );
        let error = failed.last_error.clone().unwrap();
        assert!(error.contains(why), "{name}: {error}");
        assert!(!error.contains("127.0.0.1"), "no URL in an error: {error}");
    }
    // The two that only had a bad moment get it, under the same id.
    world.clock.advance(Duration::from_secs(12));
    world.engine.deliver_due().await.unwrap();
    for (name, receiver) in [("bad", &bad), ("slow", &slow)] {
        let requests = receiver.requests();
        let ids: Vec<_> = requests
            .iter()
            .map(|r| r.header(signature::DELIVERY))
            .collect();
        let id = deliveries[name].id.to_string();
        assert_eq!(ids, [id.as_str(), id.as_str()], "{name}");
        let header = requests[1].header(signature::SIGNATURE);
        let now = world.clock.now();
        signature::verify(SECRET, header, &requests[1].body, now, Duration::ZERO).unwrap();
    }
    assert_eq!(good.requests().len(), 1);
}

#[tokio::test]
async fn a_destination_that_asks_for_time_gets_it() {
    let receiver = Receiver::start().unwrap();
    receiver.answer([Answer::status(429).header("retry-after", "900")]);
    let world = World::new(vec![webhook("ops", &receiver.url("/"))]);
    world.raise("k", AlertLevel::Warning, "t").await;
    let began = world.clock.now();
    let next = world.engine.deliver_due().await.unwrap().unwrap();
    assert_eq!(next.duration_since(began).as_secs(), 900);
    world.clock.advance(Duration::from_secs(899));
    world.engine.deliver_due().await.unwrap();
    assert_eq!(receiver.requests().len(), 1, "not before its time");
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.engine.deliver_due().await.unwrap(), None);
    assert_eq!(receiver.requests().len(), 2);
}

/// After the last attempt it is given up, listed, and a person sends it again: the same delivery.
#[tokio::test]
async fn a_dead_destination_is_given_up_and_replayed() {
    let receiver = Receiver::start().unwrap();
    let tries = usize::try_from(delivery::MAX_ATTEMPTS).unwrap();
    receiver.answer((0..tries).map(|_| Answer::status(503)));
    let world = World::new(vec![webhook("ops", &receiver.url("/"))]);
    let alert = world.raise("k", AlertLevel::Warning, "t").await;
    let began = world.clock.now();
    while world.send_and_wait().await {}
    assert_eq!(receiver.requests().len(), tries);
    let hours = world.clock.now().duration_since(began).as_hours();
    assert!((21..=26).contains(&hours), "{hours}");
    let dead = world.deliveries().await.remove("ops").unwrap();
    assert_eq!(dead.state, DeliveryState::Dead);
    let filter = EventFilter {
        kinds: vec![EventKind::AlertDead],
        ..EventFilter::default()
    };
    assert_eq!(world.store.events_list(filter).await.unwrap().len(), 1);
    let id = alert.id.to_string();
    let view = world
        .engine
        .alert_replay(replay(id.get(..18).unwrap()))
        .await
        .unwrap();
    let [again] = view.deliveries.as_slice() else {
        panic!("{view:?}");
    };
    assert_eq!((again.id, again.state), (dead.id, DeliveryState::Delivered));
    let refused = world
        .engine
        .alert_replay(replay("latest"))
        .await
        .unwrap_err();
    assert_eq!(refused.code, ErrorCode::Conflict);
}

/// What can never work is given up at once, with the reason.
#[tokio::test]
async fn what_makes_no_sense_is_given_up_at_once() {
    let gone = Receiver::start().unwrap();
    gone.answer([Answer::status(410)]);
    let mail = destination("mail", DestinationChannel::Email, "ops@example.com");
    let world = World::new(vec![
        webhook("gone", &gone.url("/")),
        webhook("ftp", "ftp://example.com/"),
        mail,
    ]);
    world.raise("k", AlertLevel::Warning, "t").await;
    assert_eq!(world.engine.deliver_due().await.unwrap(), None);
    for (name, delivery) in world.deliveries().await {
        assert_eq!(
            (delivery.state, delivery.attempts),
            (DeliveryState::Dead, 1),
            "{name}"
        );
        assert!(delivery.last_error.is_some(), "{name}");
    }
}

/// A secret that is not set may be set later; a destination that was taken out is not told any more.
#[tokio::test]
async fn destinations_are_looked_up_when_they_are_told() {
    let receiver = Receiver::start().unwrap();
    let unset = AlertDestination {
        secret: Some("NOT_SET_KEY".to_owned()),
        ..webhook("ops", &receiver.url("/old"))
    };
    let world = World::new(vec![unset]);
    world.raise("k", AlertLevel::Warning, "t").await;
    world.engine.deliver_due().await.unwrap();
    let failed = world.deliveries().await.remove("ops").unwrap();
    assert_eq!(failed.state, DeliveryState::Pending);
    let error = failed.last_error.unwrap();
    assert!(error.contains("NOT_SET_KEY"), "{error}");
    world.clock.advance(Duration::from_mins(1));
    let corrected = world.another(vec![webhook("ops", &receiver.url("/new"))]);
    assert_eq!(corrected.deliver_due().await.unwrap(), None);
    let paths: Vec<_> = receiver.requests().into_iter().map(|r| r.path).collect();
    assert_eq!(paths, ["/new"]);

    world.raise("other", AlertLevel::Warning, "t").await;
    world.engine.deliver_due().await.unwrap();
    world.clock.advance(Duration::from_mins(1));
    let without = world.another(Vec::new());
    assert_eq!(without.deliver_due().await.unwrap(), None);
    let dead = world.deliveries().await.remove("ops").unwrap();
    assert_eq!(dead.state, DeliveryState::Dead);
}

#[tokio::test]
async fn a_test_tells_one_destination_once() {
    let receiver = Receiver::start().unwrap();
    receiver.answer([Answer::status(200), Answer::status(500)]);
    let world = World::new(vec![
        webhook("ops", &receiver.url("/")),
        webhook("other", &receiver.url("/other")),
    ]);
    let request = |destination: &str| AlertTestRequest {
        destination: destination.to_owned(),
        actor: ada(),
    };
    let told = world.engine.alert_test(request("ops")).await.unwrap();
    assert_eq!(told.state, DeliveryState::Delivered);
    let failed = world.engine.alert_test(request("ops")).await.unwrap();
    assert_eq!((failed.state, failed.attempts), (DeliveryState::Dead, 1));
    assert_eq!(world.engine.deliver_due().await.unwrap(), None);
    let paths: Vec<_> = receiver.requests().into_iter().map(|r| r.path).collect();
    assert_eq!(paths, ["/", "/"]);
    let unknown = world
        .engine
        .alert_test(request("nobody"))
        .await
        .unwrap_err();
    assert_eq!(unknown.code, ErrorCode::NotFound);
    assert!(unknown.hint.unwrap().contains("ops, other"));
    let audit = world.store.audit_list(0, 100).await.unwrap();
    let tests = audit
        .iter()
        .filter(|record| record.operation == "alert.test")
        .count();
    assert_eq!(tests, 2);
}
