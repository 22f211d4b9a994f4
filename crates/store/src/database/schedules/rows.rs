//! Schedules as rows.

use jiff::Timestamp;
use moorline_core::audit::NewAudit;
use moorline_core::event::EventKind;
use moorline_core::principal::Principal;
use moorline_core::schedule::machine::Applied;
use moorline_core::schedule::{Schedule, ScheduleId, ScheduleState};
use serde_json::json;

use crate::database::alerts::{self, NewAlert};
use crate::database::query::Query;
use crate::database::sql::schedules as sql;
use crate::database::tx::{Row, Tx, Val, args, ceil_microsecond};
use crate::database::unit::{Unit, to_json};
use crate::error::StoreError;
use crate::schedules::ScheduleFilter;

/// The document of a schedule, if there is one.
pub(super) async fn find<T: Tx>(
    unit: &mut Unit<'_, T>,
    id: &ScheduleId,
) -> Result<Option<Schedule>, StoreError> {
    let row = unit
        .tx
        .row(sql::SCHEDULE_GET, args![id.to_string()])
        .await?;
    row.map(schedule_of).transpose()
}

/// The document of a schedule that must be there.
pub(super) async fn must_find<T: Tx>(
    unit: &mut Unit<'_, T>,
    id: &ScheduleId,
) -> Result<Schedule, StoreError> {
    find(unit, id)
        .await?
        .ok_or_else(|| StoreError::not_found(format!("schedule {id}")))
}

/// Every schedule.
pub(super) async fn all<T: Tx>(unit: &mut Unit<'_, T>) -> Result<Vec<Schedule>, StoreError> {
    let rows = unit.tx.rows(sql::SCHEDULES, args![]).await?;
    rows.into_iter().map(schedule_of).collect()
}

/// The schedules whose runs count for a source.
pub(super) async fn of_source<T: Tx>(
    unit: &mut Unit<'_, T>,
    source_id: &str,
) -> Result<Vec<Schedule>, StoreError> {
    let rows = unit
        .tx
        .rows(sql::SCHEDULES_SOURCE, args![source_id])
        .await?;
    rows.into_iter().map(schedule_of).collect()
}

/// Writes what a transition made of `before`: the row, its events, an audit record where the state changed or
/// a start fell away, and an alert. Returns the schedule afterwards.
pub(super) async fn write<T: Tx>(
    unit: &mut Unit<'_, T>,
    before: Option<&Schedule>,
    applied: Applied,
    by: &Principal,
    now: Timestamp,
) -> Result<Schedule, StoreError> {
    let Applied {
        schedule,
        events,
        alarm,
    } = applied;
    if before == Some(&schedule) {
        return Ok(schedule);
    }
    let row = args![
        schedule.id.to_string(),
        schedule.id.lane().as_str(),
        schedule.source_id.as_deref(),
        schedule.state.as_str(),
        Val::Int(schedule.next_at.map(ceil_microsecond)),
        to_json("schedule", &schedule)?,
    ];
    unit.tx.execute(sql::SCHEDULE_WRITE, row).await?;
    for event in events {
        unit.job_event(schedule.id.job_id(), &event, now).await?;
        let (operation, reason) = match event.kind {
            EventKind::ScheduleChanged => {
                let operation = operation(before.map(|before| before.state), schedule.state);
                (operation, Some(schedule.reason.clone()))
            }
            EventKind::ScheduleSkipped => ("schedule.skip", None),
            _ => continue,
        };
        unit.audit(NewAudit {
            actor: by.to_string(),
            operation: operation.to_owned(),
            subject: format!("schedule/{}", schedule.id),
            reason,
            data: event.data,
            at: now,
        })
        .await?;
    }
    if let Some(alarm) = alarm {
        let alert = NewAlert {
            key: alarm.key,
            level: alarm.level,
            title: alarm.title,
            run: None,
            data: json!({"schedule": schedule.id}),
        };
        alerts::raise(unit, alert, now).await?;
    }
    Ok(schedule)
}

/// The operation that leads from one state to another.
const fn operation(from: Option<ScheduleState>, to: ScheduleState) -> &'static str {
    match (from, to) {
        (None, _) | (Some(ScheduleState::Disabled), ScheduleState::Disabled) => "schedule.define",
        (Some(ScheduleState::Paused), ScheduleState::Enabled) => "schedule.resume",
        (_, ScheduleState::Enabled) => "schedule.enable",
        (_, ScheduleState::Paused) => "schedule.pause",
        (_, ScheduleState::Disabled) => "schedule.disable",
    }
}

fn schedule_of(mut row: Row) -> Result<Schedule, StoreError> {
    row.json("schedule")
}

/// [`ScheduleStore::schedule_get`](crate::ScheduleStore::schedule_get).
pub(super) struct Get(pub(super) ScheduleId);

impl Query for Get {
    type Reply = Option<Schedule>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Option<Schedule>, StoreError> {
        let row = tx.row(sql::SCHEDULE_GET, args![self.0.to_string()]).await?;
        row.map(schedule_of).transpose()
    }
}

/// [`ScheduleStore::schedules_list`](crate::ScheduleStore::schedules_list).
pub(super) struct List(pub(super) ScheduleFilter);

impl Query for List {
    type Reply = Vec<Schedule>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Vec<Schedule>, StoreError> {
        let Self(filter) = self;
        let rows = match &filter.source_id {
            Some(source) => tx.rows(sql::SCHEDULES_SOURCE, args![source]).await?,
            None => tx.rows(sql::SCHEDULES, args![]).await?,
        };
        let mut found: Vec<Schedule> = rows
            .into_iter()
            .map(schedule_of)
            .collect::<Result<_, _>>()?;
        found.retain(|schedule| {
            filter
                .lane
                .as_ref()
                .is_none_or(|lane| schedule.id.lane() == lane)
                && filter.state.is_none_or(|state| schedule.state == state)
        });
        Ok(found)
    }
}

/// [`ScheduleStore::schedules_due`](crate::ScheduleStore::schedules_due).
pub(super) struct Due {
    pub(super) now: Timestamp,
    pub(super) limit: u32,
}

impl Query for Due {
    type Reply = Vec<Schedule>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Vec<Schedule>, StoreError> {
        let rows = tx
            .rows(sql::SCHEDULES_DUE, args![self.now, self.limit])
            .await?;
        rows.into_iter().map(schedule_of).collect()
    }
}

/// [`ScheduleStore::schedules_next`](crate::ScheduleStore::schedules_next).
pub(super) struct Next;

impl Query for Next {
    type Reply = Option<Timestamp>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Option<Timestamp>, StoreError> {
        let row = tx.row(sql::SCHEDULES_NEXT, args![]).await?;
        row.map_or(Ok(None), |mut row| row.time_opt("next time"))
    }
}
