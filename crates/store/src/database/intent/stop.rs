//! Ending runs by request: one run, or all that a stop covers.

use jiff::Timestamp;
use moorline_core::audit::NewAudit;
use moorline_core::event::{EventKind, Level, NewEvent};
use moorline_core::ids::RunId;
use moorline_core::run::{CancelKind, Command, Run, apply};
use moorline_core::stop::{Stop, StopScope};
use serde_json::json;

use crate::database::transition::persist;
use crate::database::tx::{Tx, args};
use crate::database::unit::Unit;
use crate::database::versions::unchanged;
use crate::database::writer::Intent;
use crate::database::{schedules, sql};
use crate::error::StoreError;
use crate::types::{CancelRun, Engaged};

/// Open runs read at a time.
const PAGE: u32 = 500;

/// [`Store::run_cancel`](crate::Store::run_cancel).
pub(crate) struct Cancel(pub(crate) CancelRun);

impl Intent for Cancel {
    type Reply = Run;

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<Run, StoreError> {
        let Self(cancel) = self;
        unchanged(unit, cancel.seen.as_ref()).await?;
        let run = unit.run(cancel.run).await?;
        let command = Command::Cancel {
            kind: cancel.kind,
            actor: cancel.actor.clone(),
            reason: cancel.reason.clone(),
        };
        let applied = apply(&run, command, cancel.now)?;
        if applied.events.is_empty() {
            return Ok(run);
        }
        unit.audit(NewAudit {
            actor: cancel.actor.clone(),
            operation: "run.cancel".to_owned(),
            subject: format!("run/{}", run.id),
            reason: Some(cancel.reason.clone()),
            data: json!({"kind": cancel.kind}),
            at: cancel.now,
        })
        .await?;
        persist(unit, &run, applied, None, cancel.now).await
    }
}

/// [`Store::stop_engage`](crate::Store::stop_engage).
pub(crate) struct EngageStop(pub(crate) Stop);

impl Intent for EngageStop {
    type Reply = Engaged;

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<Engaged, StoreError> {
        engage_stop(unit, &self.0).await
    }
}

/// The gate, and the schedules behind it (D-STOP-1). A scope that is stopped already keeps the stop that it has; what is
/// behind it is looked at again all the same.
pub(crate) async fn engage_stop<T: Tx>(
    unit: &mut Unit<'_, T>,
    asked: &Stop,
) -> Result<Engaged, StoreError> {
    let known = unit.stops().await?;
    let known = known.iter().find(|known| known.scope == asked.scope);
    let stop = if let Some(known) = known.cloned() {
        known
    } else {
        engage(unit, asked).await?;
        asked.clone()
    };
    let schedules = schedules::stop_covered(unit, asked).await?;
    Ok(Engaged { stop, schedules })
}

/// [`Store::stop_carry_out`](crate::Store::stop_carry_out).
pub(crate) struct CarryOutStop(pub(crate) Stop);

impl Intent for CarryOutStop {
    type Reply = Vec<Run>;

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<Vec<Run>, StoreError> {
        let in_force = unit.stops().await?;
        if !in_force.iter().any(|stop| stop.scope == self.0.scope) {
            let what = format!("the stop of {} was released", self.0.scope);
            return Err(StoreError::Conflict { what });
        }
        end_covered(unit, &self.0).await
    }
}

async fn engage<T: Tx>(unit: &mut Unit<'_, T>, stop: &Stop) -> Result<(), StoreError> {
    let scope = stop.scope.to_string();
    let args = args![&scope, &stop.actor, &stop.reason, stop.since];
    unit.tx.execute(sql::STOP_INSERT, args).await?;
    unit.stops_changed();
    let data = json!({"scope": scope, "actor": stop.actor, "reason": stop.reason});
    let event = NewEvent {
        kind: EventKind::StopEngaged,
        level: Level::Warn,
        data,
    };
    unit.event(None, &event, stop.since).await?;
    unit.audit(NewAudit {
        actor: stop.actor.clone(),
        operation: "stop.engage".to_owned(),
        subject: format!("stop/{scope}"),
        reason: Some(stop.reason.clone()),
        data: json!({}),
        at: stop.since,
    })
    .await
}

/// Asks for the end of every open run that the stop covers; returns those that are still alive.
async fn end_covered<T: Tx>(unit: &mut Unit<'_, T>, stop: &Stop) -> Result<Vec<Run>, StoreError> {
    let mut live = Vec::new();
    let mut after = String::new();
    loop {
        let rows = unit.tx.rows(sql::RUNS_OPEN, args![&after, PAGE]).await?;
        if rows.is_empty() {
            return Ok(live);
        }
        for mut row in rows {
            let run: Run = row.json("run")?;
            after = run.id.to_string();
            if stop.scope.covers(&run) {
                let run = kill(unit, run, stop).await?;
                if run.attempt.is_some() {
                    live.push(run);
                }
            }
        }
    }
}

/// Ends a run that a schedule has started and that has not begun, as the stop's other runs are ended: killed,
/// and not cancelled as by somebody who disables the schedule.
pub(crate) async fn kill_waiting<T: Tx>(
    unit: &mut Unit<'_, T>,
    run: RunId,
    stop: &Stop,
) -> Result<(), StoreError> {
    let run = unit.run(run).await?;
    if run.attempt.is_none() {
        kill(unit, run, stop).await?;
    }
    Ok(())
}

async fn kill<T: Tx>(unit: &mut Unit<'_, T>, run: Run, stop: &Stop) -> Result<Run, StoreError> {
    let command = Command::Cancel {
        kind: CancelKind::Killed,
        actor: stop.actor.clone(),
        reason: stop.reason.clone(),
    };
    let applied = apply(&run, command, stop.since)?;
    if applied.events.is_empty() {
        return Ok(run);
    }
    persist(unit, &run, applied, None, stop.since).await
}

/// [`Store::stop_release`](crate::Store::stop_release).
pub(crate) struct ReleaseStop {
    pub(crate) scope: StopScope,
    pub(crate) actor: String,
    pub(crate) reason: String,
    pub(crate) now: Timestamp,
}

impl Intent for ReleaseStop {
    type Reply = bool;

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<bool, StoreError> {
        let scope = self.scope.to_string();
        if unit.tx.execute(sql::STOP_DELETE, args![&scope]).await? == 0 {
            return Ok(false);
        }
        unit.stops_changed();
        let data = json!({"scope": scope, "actor": self.actor, "reason": self.reason});
        let event = NewEvent {
            kind: EventKind::StopReleased,
            level: Level::Warn,
            data,
        };
        unit.event(None, &event, self.now).await?;
        unit.audit(NewAudit {
            actor: self.actor.clone(),
            operation: "stop.release".to_owned(),
            subject: format!("stop/{scope}"),
            reason: Some(self.reason.clone()),
            data: json!({}),
            at: self.now,
        })
        .await?;
        Ok(true)
    }
}
