//! [`PrincipalStore`] for both engines.

use async_trait::async_trait;
use moorline_core::audit::NewAudit;
use moorline_core::denial::Denial;
use moorline_core::error_code::ErrorCode;
use moorline_core::event::{EventKind, Level, NewEvent};
use moorline_core::principal::{self, Principal, PrincipalChange, PrincipalRecord, PublicKey};
use serde_json::{Value, json};

use crate::database::backend::Backend;
use crate::database::query::Query;
use crate::database::sql::principals as sql;
use crate::database::tx::{Tx, args};
use crate::database::unit::{Unit, to_json};
use crate::database::versions::unchanged;
use crate::database::writer::Intent;
use crate::error::StoreError;
use crate::principals::{ChangePrincipal, PrincipalStore};

#[async_trait]
impl<B: Backend> PrincipalStore for B {
    async fn principals_list(&self) -> Result<Vec<PrincipalRecord>, StoreError> {
        self.read(List).await
    }

    async fn principal_get(
        &self,
        principal: &Principal,
    ) -> Result<Option<PrincipalRecord>, StoreError> {
        self.read(Get(principal.clone())).await
    }

    async fn principal_change(
        &self,
        change: ChangePrincipal,
    ) -> Result<PrincipalRecord, StoreError> {
        self.write(Change(change)).await
    }
}

struct List;

impl Query for List {
    type Reply = Vec<PrincipalRecord>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Self::Reply, StoreError> {
        list(tx).await
    }
}

struct Get(Principal);

impl Query for Get {
    type Reply = Option<PrincipalRecord>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Self::Reply, StoreError> {
        get(tx, &self.0).await
    }
}

/// [`PrincipalStore::principal_change`].
struct Change(ChangePrincipal);

impl Intent for Change {
    type Reply = PrincipalRecord;

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<PrincipalRecord, StoreError> {
        let Self(asked) = self;
        unchanged(unit, asked.seen.as_ref()).await?;
        let before = get(unit.tx, &asked.principal).await?;
        if let Some(key) = new_key(&asked.change) {
            refuse_shared(unit, &asked.principal, key).await?;
        }
        let after = principal::change(
            before.as_ref(),
            &asked.principal,
            asked.change.clone(),
            &asked.actor,
            asked.now,
        )?;
        let (before, after) = match (before, after) {
            (Some(before), None) => return Ok(before),
            (before, Some(after)) => (before, after),
            (None, None) => {
                let what = format!("principal {}", asked.principal);
                return Err(StoreError::not_found(what));
            }
        };
        let doc = to_json("principal", &after)?;
        let id = after.principal.to_string();
        unit.tx.execute(sql::WRITE, args![&id, doc]).await?;
        let data = difference(before.as_ref(), &after);
        let event = NewEvent {
            kind: EventKind::PrincipalChanged,
            level: Level::Info,
            data: json!({"principal": id, "by": asked.actor, "change": data}),
        };
        unit.event(None, &event, asked.now).await?;
        let operation = match asked.change {
            PrincipalChange::Remove => "principal.remove",
            PrincipalChange::Set { .. } | PrincipalChange::FirstKey(_) => "principal.set",
        };
        unit.audit(NewAudit {
            actor: asked.actor.to_string(),
            operation: operation.to_owned(),
            subject: format!("principal/{id}"),
            reason: Some(asked.reason.clone()),
            data,
            at: asked.now,
        })
        .await?;
        Ok(after)
    }
}

const fn new_key(change: &PrincipalChange) -> Option<&PublicKey> {
    match change {
        PrincipalChange::Set { add_key, .. } => add_key.as_ref(),
        PrincipalChange::FirstKey(key) => Some(key),
        PrincipalChange::Remove => None,
    }
}

/// One key is one principal's, for ever: else a signature would say that either of two signed.
async fn refuse_shared<T: Tx>(
    unit: &mut Unit<'_, T>,
    principal: &Principal,
    key: &PublicKey,
) -> Result<(), StoreError> {
    let holder = list(unit.tx).await?.into_iter().find(|record| {
        record.principal != *principal && record.keys.iter().any(|known| known.public_key == *key)
    });
    let Some(holder) = holder else {
        return Ok(());
    };
    let message = format!("the key {} is of {}", key.fingerprint(), holder.principal);
    Err(Denial::new(ErrorCode::Conflict, "D-ART-3", message)
        .hint("everyone has keys of their own: `moorline principal keygen` makes one")
        .into())
}

/// What the audit record says: role and keys as they were and as they are.
fn difference(before: Option<&PrincipalRecord>, after: &PrincipalRecord) -> Value {
    let shown = |record: &PrincipalRecord| {
        let keys = record.keys.iter().filter(|key| key.until.is_none());
        let keys: Vec<&PublicKey> = keys.map(|key| &key.public_key).collect();
        json!({"role": record.role, "keys": keys, "removed": record.removed_at.is_some()})
    };
    json!({"before": before.map(shown), "after": shown(after)})
}

async fn list<T: Tx>(tx: &mut T) -> Result<Vec<PrincipalRecord>, StoreError> {
    let rows = tx.rows(sql::LIST, args![]).await?;
    rows.into_iter()
        .map(|mut row| row.json("principal"))
        .collect()
}

async fn get<T: Tx>(
    tx: &mut T,
    principal: &Principal,
) -> Result<Option<PrincipalRecord>, StoreError> {
    let row = tx.row(sql::GET, args![principal.to_string()]).await?;
    row.map(|mut row| row.json("principal")).transpose()
}
