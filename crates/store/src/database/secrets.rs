//! [`SecretStore`] for both engines.

use std::collections::BTreeSet;

use async_trait::async_trait;
use jiff::Timestamp;
use moorline_core::audit::NewAudit;
use moorline_core::error_code::AlertLevel;
use moorline_core::event::{EventKind, Level, NewEvent};
use moorline_core::lane::Lane;
use moorline_core::principal::Principal;
use moorline_core::secret::{ExpiryStage, Reauth, SecretChangeKind, SecretRecord, apply};
use serde_json::json;

use crate::database::alerts::{NewAlert, close, raise};
use crate::database::backend::Backend;
use crate::database::query::Query;
use crate::database::sql::secrets as sql;
use crate::database::tx::{Tx, args};
use crate::database::unit::{Unit, to_json};
use crate::database::writer::Intent;
use crate::error::StoreError;
use crate::secrets::{ForgetSecrets, RecordSecret, SecretStore};

#[async_trait]
impl<B: Backend> SecretStore for B {
    async fn secret_record(&self, record: RecordSecret) -> Result<SecretRecord, StoreError> {
        self.write(Record(record)).await
    }

    async fn secret_forget(&self, forget: ForgetSecrets) -> Result<Vec<SecretRecord>, StoreError> {
        self.write(Forget(forget)).await
    }

    async fn secrets_list(&self, lane: Option<&Lane>) -> Result<Vec<SecretRecord>, StoreError> {
        self.read(Secrets(lane.cloned())).await
    }

    async fn secret_tell(
        &self,
        lane: &Lane,
        name: &str,
        now: Timestamp,
    ) -> Result<Option<ExpiryStage>, StoreError> {
        let tell = Tell {
            lane: lane.clone(),
            name: name.to_owned(),
            now,
        };
        self.write(tell).await
    }

    async fn reauth_get(&self, lane: &Lane, source_id: &str) -> Result<Option<Reauth>, StoreError> {
        let get = GetReauth {
            lane: lane.clone(),
            source_id: source_id.to_owned(),
        };
        self.read(get).await
    }

    async fn reauth_record(&self, reauth: Reauth) -> Result<(), StoreError> {
        self.write(RecordReauth(reauth)).await
    }
}

async fn secret<T: Tx>(
    unit: &mut Unit<'_, T>,
    lane: &Lane,
    name: &str,
) -> Result<Option<SecretRecord>, StoreError> {
    let row = unit
        .tx
        .row(sql::SECRET_GET, args![lane.as_str(), name])
        .await?;
    row.map(|mut row| row.json("secret")).transpose()
}

async fn write<T: Tx>(unit: &mut Unit<'_, T>, record: &SecretRecord) -> Result<(), StoreError> {
    let doc = to_json("secret", record)?;
    let args = args![record.lane.as_str(), &record.name, doc];
    unit.tx.execute(sql::SECRET_WRITE, args).await?;
    Ok(())
}

/// What the keys of a secret's alerts begin with.
fn alerts_of(record: &SecretRecord) -> String {
    format!("secret/{}/{}/", record.lane, record.name)
}

/// [`SecretStore::secret_record`].
struct Record(RecordSecret);

impl Intent for Record {
    type Reply = SecretRecord;

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<SecretRecord, StoreError> {
        let RecordSecret {
            change,
            actor,
            reason,
            now,
        } = &self.0;
        let known = secret(unit, &change.lane, &change.name).await?;
        let record = apply(known.as_ref(), change, actor, *now)?;
        write(unit, &record).await?;
        close(unit, &alerts_of(&record), None, *now).await?;
        let keys: Vec<&String> = change.fingerprints.keys().collect();
        let operation = match change.kind {
            SecretChangeKind::Set => "secret.set",
            SecretChangeKind::Rotate => "secret.rotate",
        };
        let data = json!({
            "lane": record.lane, "secret": record.name, "object": record.object, "keys": keys,
            "change": change.kind, "expires_at": record.expires_at,
        });
        let event = NewEvent {
            kind: EventKind::SecretChanged,
            level: Level::Info,
            data: data.clone(),
        };
        unit.event(None, &event, *now).await?;
        unit.audit(NewAudit {
            actor: actor.to_string(),
            operation: operation.to_owned(),
            subject: format!("secret/{}/{}", record.lane, record.name),
            reason: reason.clone(),
            data,
            at: *now,
        })
        .await?;
        Ok(record)
    }
}

/// [`SecretStore::secret_forget`].
struct Forget(ForgetSecrets);

impl Intent for Forget {
    type Reply = Vec<SecretRecord>;

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<Vec<SecretRecord>, StoreError> {
        let Self(forget) = self;
        let mut forgotten = Vec::new();
        for (lane, name) in &forget.secrets {
            let Some(record) = secret(unit, lane, name).await? else {
                continue;
            };
            let args = args![lane.as_str(), name];
            unit.tx.execute(sql::SECRET_DELETE, args).await?;
            let data = json!({"lane": lane, "secret": name, "change": "revoke"});
            let event = NewEvent {
                kind: EventKind::SecretChanged,
                level: Level::Warn,
                data,
            };
            unit.event(None, &event, forget.now).await?;
            close(unit, &alerts_of(&record), None, forget.now).await?;
            forgotten.push(record);
        }
        let names = |pairs: &BTreeSet<(Lane, String)>| -> Vec<String> {
            pairs
                .iter()
                .map(|(lane, name)| format!("{lane}/{name}"))
                .collect()
        };
        let subject = match (forget.secrets.len(), forget.secrets.first()) {
            (1, Some((lane, name))) => format!("secret/{lane}/{name}"),
            _ => "secret/all".to_owned(),
        };
        unit.audit(NewAudit {
            actor: forget.actor.to_string(),
            operation: "secret.revoke".to_owned(),
            subject,
            reason: Some(forget.reason.clone()),
            data: json!({
                "secrets": names(&forget.secrets),
                "removed": names(&forget.removed),
                "stopped": forget.stopped,
            }),
            at: forget.now,
        })
        .await?;
        Ok(forgotten)
    }
}

/// [`SecretStore::secret_tell`].
struct Tell {
    lane: Lane,
    name: String,
    now: Timestamp,
}

impl Intent for Tell {
    type Reply = Option<ExpiryStage>;

    async fn apply<T: Tx>(
        &self,
        unit: &mut Unit<'_, T>,
    ) -> Result<Option<ExpiryStage>, StoreError> {
        let Some(mut record) = secret(unit, &self.lane, &self.name).await? else {
            return Ok(None);
        };
        let Some(stage) = record.to_tell(self.now) else {
            return Ok(None);
        };
        record.told = Some(stage);
        write(unit, &record).await?;
        let data = json!({
            "lane": record.lane, "secret": record.name, "source_id": record.source_id,
            "stage": stage, "expires_at": record.expires_at,
        });
        let (level, alert) = match stage {
            ExpiryStage::Expiring => (Level::Warn, AlertLevel::Warning),
            ExpiryStage::Expired => (Level::Error, AlertLevel::Critical),
        };
        let event = NewEvent {
            kind: EventKind::SecretExpiring,
            level,
            data: data.clone(),
        };
        unit.event(None, &event, self.now).await?;
        unit.audit(NewAudit {
            actor: Principal::system().to_string(),
            operation: "secret.expiring".to_owned(),
            subject: format!("secret/{}/{}", record.lane, record.name),
            reason: None,
            data: data.clone(),
            at: self.now,
        })
        .await?;
        let end = record.expires_at.unwrap_or(self.now);
        let (lane, name) = (&record.lane, &record.name);
        let title = match stage {
            ExpiryStage::Expiring => {
                format!("the secret {name} of lane {lane} holds until {end} only")
            }
            ExpiryStage::Expired => {
                format!("the secret {name} of lane {lane} has expired at {end}")
            }
        };
        let alert = NewAlert {
            key: format!("{}{}", alerts_of(&record), stage.as_str()),
            level: alert,
            title,
            run: None,
            data,
        };
        raise(unit, alert, self.now).await?;
        Ok(Some(stage))
    }
}

/// [`SecretStore::reauth_record`].
struct RecordReauth(Reauth);

impl Intent for RecordReauth {
    type Reply = ();

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<(), StoreError> {
        let Self(reauth) = self;
        let doc = to_json("re-authentication", reauth)?;
        let args = args![reauth.lane.as_str(), &reauth.source_id, doc];
        unit.tx.execute(sql::REAUTH_WRITE, args).await?;
        unit.audit(NewAudit {
            actor: reauth.by.to_string(),
            operation: "source.reauth".to_owned(),
            subject: format!("source/{}", reauth.source_id),
            reason: None,
            data: json!({
                "lane": reauth.lane, "stage": reauth.stage, "secret": reauth.secret,
                "probe": reauth.probe,
            }),
            at: reauth.updated_at,
        })
        .await
    }
}

struct Secrets(Option<Lane>);

impl Query for Secrets {
    type Reply = Vec<SecretRecord>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Vec<SecretRecord>, StoreError> {
        let rows = match &self.0 {
            Some(lane) => tx.rows(sql::SECRETS_LANE, args![lane.as_str()]).await?,
            None => tx.rows(sql::SECRETS, args![]).await?,
        };
        rows.into_iter().map(|mut row| row.json("secret")).collect()
    }
}

struct GetReauth {
    lane: Lane,
    source_id: String,
}

impl Query for GetReauth {
    type Reply = Option<Reauth>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Option<Reauth>, StoreError> {
        let args = args![self.lane.as_str(), &self.source_id];
        let row = tx.row(sql::REAUTH_GET, args).await?;
        row.map(|mut row| row.json("re-authentication")).transpose()
    }
}
