//! What is known of secrets: record, event and audit record at once; each stage of an expiry told once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::try_join_all;
use jiff::SignedDuration;
use moorline_core::event::EventKind;
use moorline_core::lane::Lane;
use moorline_core::principal::Principal;
use moorline_core::secret::{ExpiryStage, Reauth, ReauthStage, SecretChange, SecretChangeKind};
use serde_json::json;

use super::check::equal;
use super::{Failure, Subject, World};
use crate::error::StoreError;
use crate::secrets::{ForgetSecrets, RecordSecret};
use crate::store::Store;
use crate::types::EventFilter;

/// A change of one key of a secret, by its keyed hash.
fn record(
    world: &World,
    kind: SecretChangeKind,
    (lane, name): (&Lane, &str),
    (key, hash): (&str, &str),
    ttl_hours: Option<i64>,
) -> RecordSecret {
    let change = SecretChange {
        kind,
        lane: lane.clone(),
        name: name.to_owned(),
        object: name.to_uppercase(),
        environment: lane.to_string(),
        backend: "file".to_owned(),
        fingerprints: BTreeMap::from([(key.to_owned(), hash.to_owned())]),
        key_id: "k1".to_owned(),
        expires_at: ttl_hours.and_then(|hours| {
            world
                .now()
                .checked_add(SignedDuration::from_hours(hours))
                .ok()
        }),
        warn_hours: None,
        source_id: None,
    };
    RecordSecret {
        change,
        actor: Principal::default(),
        reason: None,
        now: world.now(),
    }
}

async fn count(store: &dyn Store, kind: EventKind) -> Result<usize, Failure> {
    let filter = EventFilter {
        kinds: vec![kind],
        limit: 100,
        ..EventFilter::default()
    };
    Ok(store.events_list(filter).await?.len())
}

/// A change is recorded with its event and its audit record, neither of which has the hash; a refused one
/// leaves no trace.
pub(super) async fn a_change_of_a_secret_is_recorded_whole(
    subject: Subject,
) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let place = (&Lane::PROD, "chase-session");
    let set = record(
        &world,
        SecretChangeKind::Set,
        place,
        ("COOKIE", "hash-1"),
        None,
    );
    let first = store.secret_record(set).await?;
    world.advance(Duration::from_mins(1));
    let rotate = |hash| {
        record(
            &world,
            SecretChangeKind::Rotate,
            place,
            ("COOKIE", hash),
            None,
        )
    };
    let before = store.audit_head().await?;
    check_err!(
        store.secret_record(rotate("hash-1")).await,
        StoreError::Denied(_),
        "a rotation to the same value"
    );
    equal(
        &store.audit_head().await?,
        &before,
        "the audit trail behind a refusal",
    )?;
    let second = store.secret_record(rotate("hash-2")).await?;
    check!(
        second.keys != first.keys,
        "the rotation changed the key's record"
    );
    let listed = store.secrets_list(Some(&Lane::PROD)).await?;
    equal(&listed, &vec![second], "what is on record")?;
    equal(
        &store.secrets_list(Some(&Lane::DEV)).await?,
        &Vec::new(),
        "of another lane",
    )?;
    equal(
        &count(store.as_ref(), EventKind::SecretChanged).await?,
        &2,
        "events",
    )?;
    let audit = store.audit_list(0, 100).await?;
    let told: Vec<_> = audit
        .iter()
        .map(|record| (record.operation.as_str(), record.subject.as_str()))
        .collect();
    let subject = "secret/prod/chase-session";
    let wanted = vec![("secret.set", subject), ("secret.rotate", subject)];
    equal(&told, &wanted, "audit records")?;
    check!(
        !json!(audit).to_string().contains("hash-"),
        "no hash is in the audit trail"
    );
    Ok(())
}

/// D-SEC-9: each stage once, however many look at the same time, until the secret is set again.
pub(super) async fn each_stage_of_an_expiry_is_told_once(subject: Subject) -> Result<(), Failure> {
    let (stores, world) = (subject.open_many(4).await?, World::default());
    let place = (&Lane::PROD, "session");
    let set = || {
        record(
            &world,
            SecretChangeKind::Set,
            place,
            ("COOKIE", "hash"),
            Some(72),
        )
    };
    let tell = async || -> Result<Vec<ExpiryStage>, Failure> {
        let told = stores
            .iter()
            .map(|store| store.secret_tell(place.0, place.1, world.now()));
        Ok(try_join_all(told).await?.into_iter().flatten().collect())
    };
    let Some(store) = stores.first() else {
        return Ok(());
    };
    store.secret_record(set()).await?;
    equal(&tell().await?, &vec![], "long before")?;
    world.advance(Duration::from_hours(50));
    equal(&tell().await?, &vec![ExpiryStage::Expiring], "a day before")?;
    equal(&tell().await?, &vec![], "again")?;
    world.advance(Duration::from_hours(50));
    equal(&tell().await?, &vec![ExpiryStage::Expired], "after the end")?;
    equal(&store.alerts_raised(10).await?.len(), &2, "alerts")?;
    equal(
        &count(store.as_ref(), EventKind::SecretExpiring).await?,
        &2,
        "events",
    )?;
    store.secret_record(set()).await?;
    world.advance(Duration::from_hours(50));
    equal(
        &tell().await?,
        &vec![ExpiryStage::Expiring],
        "of the next session",
    )?;
    equal(
        &store.secret_tell(place.0, "none", world.now()).await?,
        &None,
        "of none",
    )
}

/// D-SEC-8: whatever is revoked by one command is one audit record; what was not on record is no error.
pub(super) async fn a_revocation_is_one_record(subject: Subject) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    for (lane, name) in [(Lane::DEV, "a"), (Lane::PROD, "a"), (Lane::PROD, "b")] {
        let set = record(
            &world,
            SecretChangeKind::Set,
            (&lane, name),
            ("KEY", "hash"),
            None,
        );
        store.secret_record(set).await?;
    }
    let before = store.audit_head().await?.id;
    let prod = |name: &str| (Lane::PROD, name.to_owned());
    let forget = ForgetSecrets {
        secrets: BTreeSet::from([prod("a"), prod("b"), prod("never")]),
        removed: BTreeSet::from([prod("A"), prod("B")]),
        stopped: Vec::new(),
        actor: Principal::default(),
        reason: "for the case".to_owned(),
        now: world.now(),
    };
    let forgotten = store.secret_forget(forget.clone()).await?;
    let names: Vec<&str> = forgotten
        .iter()
        .map(|record| record.name.as_str())
        .collect();
    equal(&names, &vec!["a", "b"], "what was forgotten")?;
    let left = store.secrets_list(None).await?;
    let left: Vec<_> = left
        .into_iter()
        .map(|record| (record.lane, record.name))
        .collect();
    equal(&left, &vec![(Lane::DEV, "a".to_owned())], "what is left")?;
    equal(
        &store.secret_forget(forget).await?,
        &Vec::new(),
        "the second time",
    )?;
    equal(
        &store.audit_head().await?.id,
        &(before + 2),
        "audit records",
    )
}

/// How far a re-authentication has come is kept for each source and lane, each step with its record.
pub(super) async fn a_re_authentication_is_kept_by_lane_and_source(
    subject: Subject,
) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let reauth = |lane: Lane, stage| Reauth {
        source_id: "chase".to_owned(),
        lane,
        stage,
        secret: "chase-session".to_owned(),
        probe: None,
        by: Principal::default(),
        started_at: world.now(),
        updated_at: world.now(),
    };
    store
        .reauth_record(reauth(Lane::DEV, ReauthStage::Refreshing))
        .await?;
    store
        .reauth_record(reauth(Lane::PROD, ReauthStage::Refreshing))
        .await?;
    let stored = reauth(Lane::PROD, ReauthStage::Stored);
    store.reauth_record(stored.clone()).await?;
    equal(
        &store.reauth_get(&Lane::PROD, "chase").await?,
        &Some(stored),
        "of prod",
    )?;
    let dev = store.reauth_get(&Lane::DEV, "chase").await?;
    equal(
        &dev.map(|dev| dev.stage),
        &Some(ReauthStage::Refreshing),
        "of dev",
    )?;
    equal(
        &store.reauth_get(&Lane::PROD, "amex").await?,
        &None,
        "of another source",
    )?;
    equal(&store.audit_head().await?.id, &3, "audit records")
}
