//! [`AlertStore`] for both engines: raising and closing inside the transactions of others, and the intents
//! and queries of the deliveries.

mod intent;
mod query;

use async_trait::async_trait;
use jiff::Timestamp;
use moorline_core::alert::{Alert, Delivery};
use moorline_core::error_code::AlertLevel;
use moorline_core::event::{EventKind, Level, NewEvent};
use moorline_core::ids::AlertId;
use moorline_core::run::Run;
use serde_json::{Value, json};

use crate::alerts::{
    AlertFilter, AlertPlan, AlertRecord, AlertStore, AlertTest, ClaimDeliveries, Claimed,
    RaiseAlert, RecordDelivery, ReplayDelivery,
};
use crate::database::backend::Backend;
use crate::database::sql::alerts as sql;
use crate::database::tx::{Tx, args};
use crate::database::unit::{Unit, to_json};
use crate::error::StoreError;

#[async_trait]
impl<B: Backend> AlertStore for B {
    async fn alert_raise(&self, raise: RaiseAlert) -> Result<Alert, StoreError> {
        self.write(intent::Raise(raise)).await
    }

    async fn alert_plan(&self, plan: AlertPlan) -> Result<bool, StoreError> {
        self.write(intent::Plan(plan)).await
    }

    async fn alert_test(&self, test: AlertTest) -> Result<Delivery, StoreError> {
        self.write(intent::Test(test)).await
    }

    async fn alerts_raised(&self, limit: u32) -> Result<Vec<Alert>, StoreError> {
        self.read(query::Raised(limit)).await
    }

    async fn alerts_list(&self, filter: AlertFilter) -> Result<Vec<AlertRecord>, StoreError> {
        self.read(query::List(filter)).await
    }

    async fn alert_get(&self, alert: AlertId) -> Result<Option<AlertRecord>, StoreError> {
        self.read(query::Get(alert)).await
    }

    async fn alert_find(&self, prefix: &str) -> Result<Vec<AlertId>, StoreError> {
        self.read(query::Find(prefix.to_owned())).await
    }

    async fn deliveries_claim(&self, claim: ClaimDeliveries) -> Result<Vec<Claimed>, StoreError> {
        self.write(intent::Claim(claim)).await
    }

    async fn delivery_record(&self, record: RecordDelivery) -> Result<Delivery, StoreError> {
        self.write(intent::Record(record)).await
    }

    async fn delivery_replay(&self, replay: ReplayDelivery) -> Result<Vec<Delivery>, StoreError> {
        self.write(intent::Replay(replay)).await
    }

    async fn deliveries_next(&self) -> Result<Option<Timestamp>, StoreError> {
        self.read(query::Next).await
    }
}

/// Something that people should be told.
#[derive(Debug, Clone)]
pub(crate) struct NewAlert<'a> {
    /// The same trouble gives the same key: `source/chase/auth`, `schedule/prod/x/drift`.
    pub(crate) key: String,
    /// How loud.
    pub(crate) level: AlertLevel,
    /// One line, redacted.
    pub(crate) title: String,
    /// The run that it follows from.
    pub(crate) run: Option<&'a Run>,
    /// Details; no secrets.
    pub(crate) data: Value,
}

/// Raises an alert in the transaction of what it tells of. While an alert of the same key is open, that one
/// is counted up instead, and nobody is told a second time.
pub(crate) async fn raise<T: Tx>(
    unit: &mut Unit<'_, T>,
    alert: NewAlert<'_>,
    now: Timestamp,
) -> Result<Alert, StoreError> {
    let known = unit.tx.row(sql::ALERT_OF_KEY, args![&alert.key]).await?;
    let known: Option<Alert> = known.map(|mut row| row.json("alert")).transpose()?;
    if let Some(counted) = known.and_then(|known| known.absorbs(alert.level, now)) {
        write(unit, &counted).await?;
        tell(
            unit,
            EventKind::AlertRepeated,
            alert.run,
            &counted,
            alert.data,
            now,
        )
        .await?;
        return Ok(counted);
    }
    let seed = format!("{}\n{}", unit.place(), alert.key);
    let raised = Alert {
        id: AlertId::derived(now, seed.as_bytes()),
        key: alert.key,
        level: alert.level,
        title: alert.title,
        run_id: alert.run.map(|run| run.id),
        job_id: alert.run.map(|run| run.job_id.clone()),
        data: alert.data.clone(),
        raised_at: now,
        last_at: now,
        count: 1,
        closed_at: None,
        planned: false,
    };
    insert(unit, &raised).await?;
    tell(
        unit,
        EventKind::AlertRaised,
        alert.run,
        &raised,
        alert.data,
        now,
    )
    .await?;
    Ok(raised)
}

/// Closes every open alert whose key begins with `prefix` (`source/chase/`), in the transaction that ended
/// its trouble: what comes next is told again.
pub(crate) async fn close<T: Tx>(
    unit: &mut Unit<'_, T>,
    prefix: &str,
    run: Option<&Run>,
    now: Timestamp,
) -> Result<(), StoreError> {
    // The first key behind all that begin so: `0` follows `/`.
    let end = format!("{}0", prefix.trim_end_matches('/'));
    for mut row in unit.tx.rows(sql::ALERTS_OPEN, args![prefix, end]).await? {
        let alert: Alert = row.json("alert")?;
        if let Some(closed) = alert.closed(now) {
            write(unit, &closed).await?;
            tell(unit, EventKind::AlertClosed, run, &closed, json!({}), now).await?;
        }
    }
    Ok(())
}

/// What is searched for: an alert that was not planned stays to be found by who plans.
const fn state_of(alert: &Alert) -> &'static str {
    match (alert.planned, alert.closed_at.is_some()) {
        (false, _) => "raised",
        (true, false) => "open",
        (true, true) => "closed",
    }
}

async fn insert<T: Tx>(unit: &mut Unit<'_, T>, alert: &Alert) -> Result<(), StoreError> {
    let doc = to_json("alert", alert)?;
    let args = args![alert.id.to_string(), &alert.key, state_of(alert), doc];
    unit.tx.execute(sql::ALERT_INSERT, args).await?;
    Ok(())
}

async fn write<T: Tx>(unit: &mut Unit<'_, T>, alert: &Alert) -> Result<(), StoreError> {
    let args = args![
        state_of(alert),
        to_json("alert", alert)?,
        alert.id.to_string()
    ];
    unit.tx.execute(sql::ALERT_UPDATE, args).await?;
    Ok(())
}

async fn tell<T: Tx>(
    unit: &mut Unit<'_, T>,
    kind: EventKind,
    run: Option<&Run>,
    alert: &Alert,
    details: Value,
    now: Timestamp,
) -> Result<(), StoreError> {
    let level = match (kind, alert.level) {
        (EventKind::AlertClosed, _) | (_, AlertLevel::Info) => Level::Info,
        (_, AlertLevel::Warning) => Level::Warn,
        (_, AlertLevel::Critical) => Level::Error,
    };
    let mut data = json!({
        "alert": alert.id,
        "key": alert.key,
        "level": alert.level,
        "title": alert.title,
        "count": alert.count,
    });
    if let (Some(data), Value::Object(details)) = (data.as_object_mut(), details) {
        for (name, value) in details {
            data.entry(name).or_insert(value);
        }
    }
    let event = NewEvent { kind, level, data };
    unit.event(run.map(Into::into), &event, now).await
}
