//! Principals: record, event and audit record at once; keys of one principal alone.

use std::time::Duration;

use moorline_core::event::EventKind;
use moorline_core::principal::{Principal, PrincipalChange, PublicKey, Role};
use serde_json::{Value, json};

use super::check::equal;
use super::{Failure, Subject, World};
use crate::error::StoreError;
use crate::principals::ChangePrincipal;
use crate::store::Store;
use crate::types::EventFilter;

/// Public keys of the tests of RFC 8032, section 7.1.
const KEYS: [&str; 2] = [
    "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
    "PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=",
];

fn principal(name: &str) -> Result<Principal, Failure> {
    name.parse()
        .map_err(|error| Failure::new(format!("{error}")))
}

fn key(text: &str) -> Result<PublicKey, Failure> {
    text.parse()
        .map_err(|error| Failure::new(format!("{error}")))
}

fn change(world: &World, name: &str, change: PrincipalChange) -> Result<ChangePrincipal, Failure> {
    Ok(ChangePrincipal {
        principal: principal(name)?,
        change,
        actor: principal("human:ada")?,
        reason: "for the case".to_owned(),
        seen: None,
        now: world.now(),
    })
}

const fn set(role: Option<Role>, add_key: Option<PublicKey>) -> PrincipalChange {
    PrincipalChange::Set {
        role,
        add_key,
        retire_key: None,
    }
}

/// How many events of principals, and how many audit records, there are.
async fn traces(store: &dyn Store) -> Result<(usize, u64), Failure> {
    let events = EventFilter {
        kinds: vec![EventKind::PrincipalChanged],
        limit: 100,
        ..EventFilter::default()
    };
    let events = store.events_list(events).await?;
    Ok((events.len(), store.audit_head().await?.id))
}

/// What changed is read back, by itself and in the list, and left one event and one audit record; what was
/// so already left nothing.
pub(super) async fn a_changed_principal_is_read_back_with_its_traces(
    subject: Subject,
) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let bob = principal("human:bob")?;
    equal(&store.principal_get(&bob).await?, &None, "nobody yet")?;
    let give = || {
        change(
            &world,
            "human:bob",
            set(Some(Role::Approver), Some(key(KEYS[0])?)),
        )
    };
    let record = store.principal_change(give()?).await?;
    equal(
        &store.principal_get(&bob).await?.as_ref(),
        &Some(&record),
        "the record",
    )?;
    let codex = change(&world, "agent:codex", set(Some(Role::Viewer), None))?;
    let agent = store.principal_change(codex).await?;
    let listed = subject.open().await?.principals_list().await?;
    equal(&listed, &vec![agent, record], "the list, by principal")?;
    equal(&traces(store.as_ref()).await?, &(2, 2), "traces")?;
    store.principal_change(give()?).await?;
    equal(
        &traces(store.as_ref()).await?,
        &(2, 2),
        "no trace of nothing",
    )?;

    world.advance(Duration::from_mins(1));
    let remove = change(&world, "human:bob", PrincipalChange::Remove)?;
    let removed = store.principal_change(remove).await?;
    equal(
        &removed.role(),
        &Some(Role::Viewer),
        "who was removed looks",
    )?;
    equal(&traces(store.as_ref()).await?, &(3, 3), "traces")?;
    let audit = store.audit_list(2, 10).await?;
    let found: Vec<(&str, &str, &Value)> = audit
        .iter()
        .map(|a| (a.operation.as_str(), a.subject.as_str(), &a.data["after"]))
        .collect();
    let after = json!({"role": null, "keys": [], "removed": true});
    let expected = vec![("principal.remove", "principal/human:bob", &after)];
    equal(&found, &expected, "the audit record")
}

/// A refused change leaves nothing; a key is one principal's for ever (D-ART-3).
pub(super) async fn a_key_is_one_principals_for_ever(subject: Subject) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let first = change(&world, "human:bob", set(None, Some(key(KEYS[0])?)))?;
    store.principal_change(first).await?;
    let remove = change(&world, "human:bob", PrincipalChange::Remove)?;
    store.principal_change(remove).await?;
    let before = traces(store.as_ref()).await?;
    let taken = change(&world, "human:eve", set(None, Some(key(KEYS[0])?)))?;
    check_err!(
        store.principal_change(taken).await,
        StoreError::Denied(_),
        "a key of somebody else"
    );
    let unknown = change(&world, "human:eve", PrincipalChange::Remove)?;
    check_err!(
        store.principal_change(unknown).await,
        StoreError::Denied(_),
        "removing nobody"
    );
    equal(
        &traces(store.as_ref()).await?,
        &before,
        "traces of refusals",
    )?;
    let own = change(&world, "human:eve", set(None, Some(key(KEYS[1])?)))?;
    store.principal_change(own).await?;
    equal(&store.principals_list().await?.len(), &2, "two principals")
}
