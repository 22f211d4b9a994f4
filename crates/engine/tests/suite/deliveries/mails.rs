//! What mail servers get.

use std::time::Duration;

use moorline_core::alert::DeliveryState;
use moorline_core::config::{AlertDestination, DestinationChannel};
use moorline_core::error_code::AlertLevel;
use moorline_testkit::receivers::smtp::Receiver;

use crate::deliveries::world::{World, destination};

fn mail(receiver: &Receiver) -> AlertDestination {
    AlertDestination {
        smtp: Some(receiver.address().to_string()),
        from: Some("Moorline <moorline@example.com>".to_owned()),
        secret: Some("SMTP_PASSWORD".to_owned()),
        ..destination("mail", DestinationChannel::Email, "ops@example.com")
    }
}

#[tokio::test]
async fn a_mail_names_the_trouble_and_its_delivery() {
    let receiver = Receiver::start().unwrap();
    let world = World::new(vec![mail(&receiver)]);
    world
        .raise("k", AlertLevel::Warning, "chase needs a new sign-on")
        .await;
    assert_eq!(world.engine.deliver_due().await.unwrap(), None);
    let mails = receiver.mails();
    let [mail] = mails.as_slice() else {
        panic!("one mail is wanted: {mails:?}");
    };
    assert_eq!(mail.from, "moorline@example.com");
    assert_eq!(mail.to, ["ops@example.com"]);
    let signed_in = (
        "moorline@example.com".to_owned(),
        "correct horse battery".to_owned(),
    );
    assert_eq!(mail.credentials, Some(signed_in));
    assert_eq!(
        mail.header("subject"),
        "[moorline] warning: chase needs a new sign-on"
    );
    let delivery = world.deliveries().await.remove("mail").unwrap();
    assert_eq!(
        mail.header("message-id"),
        format!("<{}@example.com>", delivery.id)
    );
    assert!(mail.text.contains("source: chase"), "{}", mail.text);
}

#[tokio::test]
async fn a_refusal_for_now_is_tried_again_and_one_for_good_is_not() {
    let receiver = Receiver::start().unwrap();
    receiver.refuse(["450 busy", "550 no such user"]);
    let world = World::new(vec![mail(&receiver)]);
    world.raise("k", AlertLevel::Warning, "t").await;
    assert!(world.engine.deliver_due().await.unwrap().is_some());
    world.clock.advance(Duration::from_mins(1));
    assert_eq!(world.engine.deliver_due().await.unwrap(), None);
    let dead = world.deliveries().await.remove("mail").unwrap();
    assert_eq!((dead.state, dead.attempts), (DeliveryState::Dead, 2));
    assert!(dead.last_error.unwrap().contains("no such user"));
    assert_eq!(receiver.mails(), []);
}
