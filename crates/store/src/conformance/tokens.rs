//! Tokens: record, event and audit record at once; sessions end with what they were made from; links are used
//! up once.

use std::time::Duration;

use futures::future::try_join_all;
use moorline_core::event::EventKind;
use moorline_core::ids::{ApprovalId, TokenId};
use moorline_core::principal::{Principal, PrincipalKind};
use moorline_core::token::{TokenKind, TokenRecord};
use serde_json::Value;

use super::check::equal;
use super::{Failure, Subject, World};
use crate::error::StoreError;
use crate::store::Store;
use crate::tokens::{ENDED_TOKENS_KEPT_FOR, LAST_USE_TO, RevokeToken};
use crate::types::EventFilter;

fn person() -> Principal {
    Principal::named(PrincipalKind::Human, "ada")
}

/// A token that holds for an hour.
fn token(world: &World, kind: TokenKind, parent: Option<TokenId>) -> TokenRecord {
    let id = world.attempt_id().uuid();
    let now = world.now();
    TokenRecord {
        id: TokenId::new(id),
        name: "laptop".to_owned(),
        kind,
        principal: person(),
        role: None,
        scopes: vec!["run.*".to_owned()],
        hash: "0".repeat(64),
        parent,
        approval: (kind == TokenKind::Link).then(|| ApprovalId::new(id)),
        created_at: now,
        created_by: person(),
        expires_at: now.saturating_add(Duration::from_hours(1)).unwrap_or(now),
        revoked_at: None,
        last_used_at: None,
    }
}

fn revoke(world: &World, id: TokenId) -> RevokeToken {
    RevokeToken {
        id,
        actor: person(),
        reason: "it leaked".to_owned(),
        now: world.now(),
    }
}

/// What events said of tokens, oldest first, and how many audit records there are.
async fn traces(store: &dyn Store) -> Result<(Vec<String>, u64), Failure> {
    let events = EventFilter {
        kinds: vec![EventKind::TokenChanged],
        limit: 100,
        ..EventFilter::default()
    };
    let events = store.events_list(events).await?;
    let said = |change: &Value| change.as_str().unwrap_or_default().to_owned();
    let said = events.iter().map(|event| said(&event.data["change"]));
    Ok((said.collect(), store.audit_head().await?.id))
}

/// A token is read back whole, by its id and by the beginning of it, and leaves one event and one audit record
/// that hold nothing of its secret.
pub(super) async fn a_token_is_read_back_with_its_traces(subject: Subject) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let first = token(&world, TokenKind::Api, None);
    store.token_create(first.clone(), "for the case").await?;
    let link = token(&world, TokenKind::Link, None);
    store.token_create(link.clone(), "").await?;
    let second = token(&world, TokenKind::Api, None);
    store.token_create(second.clone(), "for the case").await?;
    let again = store.token_create(second.clone(), "").await;
    check_err!(again, StoreError::Conflict { .. }, "an id that is taken");

    let other = subject.open().await?;
    equal(
        &other.token_get(first.id).await?.as_ref(),
        &Some(&first),
        "the record",
    )?;
    let nobody = token(&world, TokenKind::Api, None).id;
    equal(&other.token_get(nobody).await?, &None, "nobody's")?;
    equal(
        &other.token_find(&first.id.to_string()).await?,
        &vec![first.id],
        "its id",
    )?;
    equal(&other.token_find("").await?, &vec![], "no beginning")?;
    equal(&other.token_find("%").await?, &vec![], "no id")?;
    let programs = vec![second.clone(), first.clone()];
    equal(
        &other.tokens_list(false).await?,
        &programs,
        "tokens of programs, newest first",
    )?;
    equal(
        &other.tokens_list(true).await?,
        &vec![second, link, first],
        "all tokens",
    )?;
    let (said, audit) = traces(store.as_ref()).await?;
    equal(&(said.len(), audit), &(3, 3), "traces")?;
    let records = store.audit_list(0, 10).await?;
    let operations: Vec<&str> = records
        .iter()
        .map(|record| record.operation.as_str())
        .collect();
    let expected = vec!["token.create", "approval.link", "token.create"];
    equal(&operations, &expected, "audited operations")?;
    let leaks = records
        .iter()
        .any(|record| record.data.to_string().contains("0000000"));
    equal(&leaks, &false, "the hash in the trail")
}

/// A revocation ends the token and its sessions in one transaction; repeating it leaves no trace, and no
/// session is made afterwards, also not at the same time.
pub(super) async fn a_revoked_token_takes_its_sessions_with_it(
    subject: Subject,
) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let parent = token(&world, TokenKind::Api, None);
    store.token_create(parent.clone(), "").await?;
    let other = token(&world, TokenKind::Api, None);
    store.token_create(other.clone(), "").await?;
    let session = |of: &TokenRecord| token(&world, TokenKind::Session, Some(of.id));
    let (own, foreign) = (session(&parent), session(&other));
    store.token_create(own.clone(), "logged in").await?;
    store.token_create(foreign.clone(), "logged in").await?;

    let stores = subject.open_many(4).await?;
    let late: Vec<TokenRecord> = stores.iter().map(|_| session(&parent)).collect();
    let opening = stores.iter().zip(&late).map(|(store, late)| async {
        match store.token_create(late.clone(), "logged in").await {
            Ok(()) | Err(StoreError::Denied(_)) => Ok(()),
            Err(error) => Err(error),
        }
    });
    let revoking = store.token_revoke(revoke(&world, parent.id));
    let (revoked, opened) = futures::join!(revoking, try_join_all(opening));
    opened?;
    let expected = TokenRecord {
        revoked_at: Some(world.now()),
        ..parent.clone()
    };
    equal(&revoked?, &expected, "the token")?;
    let valid: Vec<TokenId> = store
        .tokens_list(true)
        .await?
        .into_iter()
        .filter(|token| token.is_valid(world.now()))
        .map(|token| token.id)
        .collect();
    equal(&valid, &vec![foreign.id, other.id], "what still lets in")?;

    let before = traces(store.as_ref()).await?;
    world.advance(Duration::from_secs(1));
    let repeated = store.token_revoke(revoke(&world, parent.id)).await?;
    equal(&repeated, &expected, "the token, again")?;
    let late = store.token_create(session(&parent), "").await;
    check_err!(late, StoreError::Denied(_), "a session of what ended");
    equal(&traces(store.as_ref()).await?, &before, "traces of nothing")?;
    let nobody = token(&world, TokenKind::Api, None).id;
    let unknown = store.token_revoke(revoke(&world, nobody)).await;
    check_err!(unknown, StoreError::NotFound { .. }, "nobody's token");
    Ok(())
}

/// Of many who use a link at once, one does; a link that ended is used up by nobody.
pub(super) async fn a_link_is_used_up_once(subject: Subject) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let link = token(&world, TokenKind::Link, None);
    store.token_create(link.clone(), "").await?;
    let stores = subject.open_many(4).await?;
    let uses = (0..16).filter_map(|n| stores.get(n % 4));
    let used = try_join_all(uses.map(|store| store.token_used(link.id, world.now()))).await?;
    equal(
        &used.iter().filter(|used| **used).count(),
        &1,
        "uses that counted",
    )?;
    let kept = store.token_get(link.id).await?;
    let last = kept.and_then(|link| link.last_used_at);
    equal(&last, &Some(world.now()), "when it was used")?;
    let (said, _) = traces(store.as_ref()).await?;
    equal(
        &said,
        &vec!["created".to_owned(), "used".to_owned()],
        "events",
    )?;

    let revoked = token(&world, TokenKind::Link, None);
    store.token_create(revoked.clone(), "").await?;
    store.token_revoke(revoke(&world, revoked.id)).await?;
    equal(
        &store.token_used(revoked.id, world.now()).await?,
        &false,
        "a revoked link",
    )?;
    let expired = token(&world, TokenKind::Link, None);
    store.token_create(expired.clone(), "").await?;
    world.advance(Duration::from_hours(1));
    equal(
        &store.token_used(expired.id, world.now()).await?,
        &false,
        "an expired link",
    )
}

/// The last use of a token is kept to the minute, without a trace in the logs.
pub(super) async fn a_use_is_recorded_once_a_minute(subject: Subject) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let token = token(&world, TokenKind::Api, None);
    store.token_create(token.clone(), "").await?;
    let before = traces(store.as_ref()).await?;
    let first = world.now();
    let just_before = LAST_USE_TO.saturating_sub(Duration::from_micros(1));
    for (by, expected) in [
        (Duration::ZERO, first),
        (just_before, first),
        (Duration::from_micros(1), first + LAST_USE_TO),
    ] {
        world.advance(by);
        equal(
            &store.token_used(token.id, world.now()).await?,
            &true,
            "a use",
        )?;
        let kept = store.token_get(token.id).await?;
        let last = kept.and_then(|token| token.last_used_at);
        equal(&last, &Some(expected), "the last use")?;
    }
    equal(&traces(store.as_ref()).await?, &before, "traces")
}

/// Sessions and links are removed some time after their end, tokens of programs never.
pub(super) async fn what_ended_long_ago_is_removed(subject: Subject) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let program = token(&world, TokenKind::Api, None);
    store.token_create(program.clone(), "").await?;
    let session = token(&world, TokenKind::Session, Some(program.id));
    store.token_create(session.clone(), "").await?;
    let link = token(&world, TokenKind::Link, None);
    store.token_create(link.clone(), "").await?;
    let ids = async || -> Result<Vec<TokenId>, Failure> {
        let tokens = store.tokens_list(true).await?;
        Ok(tokens.into_iter().map(|token| token.id).collect())
    };
    world.advance(Duration::from_hours(1) + ENDED_TOKENS_KEPT_FOR);
    let second = token(&world, TokenKind::Api, None);
    store.token_create(second.clone(), "").await?;
    equal(
        &ids().await?,
        &vec![second.id, link.id, session.id, program.id],
        "kept until then",
    )?;
    world.advance(Duration::from_micros(1));
    let third = token(&world, TokenKind::Api, None);
    store.token_create(third.clone(), "").await?;
    equal(
        &ids().await?,
        &vec![third.id, second.id, program.id],
        "removed after it",
    )
}
