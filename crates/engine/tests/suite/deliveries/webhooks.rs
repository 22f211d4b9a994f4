//! What webhooks and chats get.

use std::time::Duration;

use moorline_core::alert::DeliveryState;
use moorline_core::clock::Clock as _;
use moorline_core::config::{AlertDestination, DestinationChannel};
use moorline_core::error_code::AlertLevel;
use moorline_core::event::EventKind;
use moorline_engine::signature;
use moorline_store::EventFilter;
use moorline_testkit::receivers::http::{Answer, Receiver};
use serde_json::{Value, json};

use crate::deliveries::world::{SECRET, World, destination, webhook};

#[tokio::test]
async fn a_webhook_gets_a_signed_document_with_a_stable_id() {
    let receiver = Receiver::start().unwrap();
    let world = World::new(vec![webhook("ops", &receiver.url("/hook?a=1"))]);
    let alert = world
        .raise(
            "schedule/prod/x/drift",
            AlertLevel::Warning,
            "the schedule drifted",
        )
        .await;
    assert_eq!(world.engine.deliver_due().await.unwrap(), None);
    let requests = receiver.requests();
    let [request] = requests.as_slice() else {
        panic!("one request is wanted: {requests:?}");
    };
    assert_eq!(
        (request.method.as_str(), request.path.as_str()),
        ("POST", "/hook?a=1")
    );
    assert_eq!(request.header("content-type"), "application/json");
    let header = request.header(signature::SIGNATURE);
    let now = world.clock.now();
    signature::verify(SECRET, header, &request.body, now, Duration::ZERO).unwrap();
    let delivery = world.deliveries().await.remove("ops").unwrap();
    assert_eq!(request.header(signature::DELIVERY), delivery.id.to_string());
    assert_eq!(request.header(signature::ATTEMPT), "1");
    let document: Value = serde_json::from_slice(&request.body).unwrap();
    let wanted = json!({
        "version": 1,
        "delivery_id": delivery.id,
        "alert_id": alert.id,
        "key": "schedule/prod/x/drift",
        "level": "warning",
        "title": "the schedule drifted",
        "raised_at": now,
        "last_at": now,
        "count": 1,
        "run_id": null,
        "job_id": null,
        "data": {"reason": "the schedule drifted", "source_id": "chase"},
    });
    assert_eq!(document, wanted);
    let filter = EventFilter {
        kinds: vec![EventKind::AlertDelivered],
        ..EventFilter::default()
    };
    let told = world.store.events_list(filter).await.unwrap();
    let told: Vec<_> = told
        .iter()
        .map(|event| event.data["destination"].clone())
        .collect();
    assert_eq!(told, ["ops"]);
}

#[tokio::test]
async fn a_chat_gets_text_and_blocks() {
    let receiver = Receiver::start().unwrap();
    let chat = destination(
        "chat",
        DestinationChannel::Slack,
        &receiver.url("/services/T/B"),
    );
    let world = World::new(vec![chat]);
    world
        .raise("k", AlertLevel::Critical, "egress to <evil>")
        .await;
    world.engine.deliver_due().await.unwrap();
    let requests = receiver.requests();
    let message: Value = serde_json::from_slice(&requests[0].body).unwrap();
    assert_eq!(message["text"], "critical: egress to &lt;evil&gt;");
    assert_eq!(message["blocks"][0]["text"]["type"], "mrkdwn");
    assert_eq!(
        requests[0].header(signature::SIGNATURE),
        "",
        "a chat checks none"
    );
}

/// Whom a level does not concern is not told, and an alert that concerns nobody waits for nobody.
#[tokio::test]
async fn only_who_takes_the_level_is_told() {
    let receiver = Receiver::start().unwrap();
    let with = |name: &str, min_level| AlertDestination {
        min_level,
        ..webhook(name, &receiver.url(&format!("/{name}")))
    };
    let world = World::new(vec![
        with("all", Some(AlertLevel::Info)),
        with("usual", None),
        with("pager", Some(AlertLevel::Critical)),
    ]);
    for (level, told) in [
        (AlertLevel::Info, vec!["/all"]),
        (AlertLevel::Warning, vec!["/all", "/usual"]),
        (AlertLevel::Critical, vec!["/all", "/pager", "/usual"]),
    ] {
        let before = receiver.requests().len();
        world.raise(&format!("{level:?}"), level, "t").await;
        assert_eq!(world.engine.deliver_due().await.unwrap(), None);
        let mut paths: Vec<_> = receiver.requests()[before..]
            .iter()
            .map(|request| request.path.clone())
            .collect();
        paths.sort_unstable();
        assert_eq!(paths, told, "{level:?}");
    }
}

/// A redirect would lead the alert elsewhere and turn a POST into a GET.
#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (receiver, elsewhere) = (Receiver::start().unwrap(), Receiver::start().unwrap());
    let to = elsewhere.url("/");
    receiver.answer([Answer::status(302).header("location", &to)]);
    let world = World::new(vec![webhook("ops", &receiver.url("/"))]);
    world.raise("k", AlertLevel::Warning, "t").await;
    world.engine.deliver_due().await.unwrap();
    assert_eq!(elsewhere.requests(), []);
    let delivery = world.deliveries().await.remove("ops").unwrap();
    assert_eq!(delivery.state, DeliveryState::Pending);
    let error = delivery.last_error.unwrap();
    assert!(error.contains("a redirect"), "{error}");
}

/// The same trouble is told once, and again when it is louder.
#[tokio::test]
async fn the_same_trouble_is_told_once() {
    let receiver = Receiver::start().unwrap();
    let world = World::new(vec![webhook("ops", &receiver.url("/"))]);
    for _ in 0..5 {
        world.raise("k", AlertLevel::Warning, "t").await;
        world.engine.deliver_due().await.unwrap();
        world.clock.advance(Duration::from_hours(1));
    }
    assert_eq!(receiver.requests().len(), 1);
    let counts: Vec<_> = world
        .alerts()
        .await
        .iter()
        .map(|view| view.alert.count)
        .collect();
    assert_eq!(counts, [5]);
    world.raise("k", AlertLevel::Critical, "t").await;
    world.engine.deliver_due().await.unwrap();
    assert_eq!(receiver.requests().len(), 2);
}

/// L47: what is a secret of the destination, or looks like one, does not leave.
#[tokio::test]
async fn a_secret_in_a_reason_is_sent_redacted() {
    let receiver = Receiver::start().unwrap();
    let world = World::new(vec![webhook("ops", &receiver.url("/"))]);
    let key = format!("sk-{}", "a".repeat(40));
    world
        .raise(
            "k",
            AlertLevel::Warning,
            &format!("refused {key} and {SECRET}"),
        )
        .await;
    world.engine.deliver_due().await.unwrap();
    let body = String::from_utf8(receiver.requests()[0].body.clone()).unwrap();
    assert!(!body.contains(&key) && !body.contains(SECRET), "{body}");
    assert!(body.contains("[redacted"), "{body}");
}
