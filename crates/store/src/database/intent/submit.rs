//! Making a run durable.

use moorline_core::audit::NewAudit;
use moorline_core::content_id::ContentId;
use moorline_core::event::{EventKind, Level, NewEvent};
use moorline_core::run::{Command, Run, Trigger, apply};
use serde_json::json;

use crate::database::artifacts::must_be_live;
use crate::database::transition::{Columns, insert_attempt};
use crate::database::tx::{Tx, Val, args};
use crate::database::unit::{Unit, to_json};
use crate::database::writer::Intent;
use crate::database::{sources, sql};
use crate::error::StoreError;
use crate::types::{NewRun, Submitted};

/// [`Store::run_submit`](crate::Store::run_submit).
pub(crate) struct Submit(pub(crate) NewRun);

impl Intent for Submit {
    type Reply = Submitted;

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<Submitted, StoreError> {
        let Self(new) = self;
        if let Some(key) = &new.idempotency_key
            && let Some(run) = known(unit, key, &new.fingerprint).await?
        {
            return Ok(Submitted {
                run,
                created: false,
            });
        }
        if let Some(stop) = unit.stop_of_run(&new.run).await? {
            return Err(StoreError::Stopped {
                stop: stop.to_string(),
            });
        }
        sources::admit(unit, &new.run).await?;
        if new.requires_promotion {
            must_be_live(unit, &new.run).await?;
        }
        let now = new.run.created_at;
        let mut events = vec![queued(&new.run)];
        let mut run = new.run.clone();
        let mut lease = None;
        if let Some((driver, attempt_id, lease_until)) = new.claim {
            // A run that is not due yet stays queued.
            if let Ok(claimed) = apply(&run, Command::Claim { attempt_id, driver }, now) {
                run = claimed.run;
                events.extend(claimed.events);
                lease = Some(lease_until);
            }
        }
        let spec = args![run.spec_hash.to_string(), &new.spec];
        unit.tx.execute(sql::SPEC_INSERT, spec).await?;
        let columns = Columns::of(&run);
        let row = args![
            run.id.to_string(),
            &run.job_id,
            run.source_id.as_deref(),
            columns.status,
            Val::Int(columns.due_at),
            columns.driver,
            lease,
            columns.ended_at,
            new.idempotency_key.as_deref(),
            new.fingerprint.to_string(),
            to_json("run", &run)?,
        ];
        if unit.tx.execute(sql::RUN_INSERT, row).await? == 0 {
            return Err(StoreError::Conflict {
                what: format!("run {} exists already", run.id),
            });
        }
        insert_attempt(unit, &run, now).await?;
        for event in &events {
            unit.event(Some((&run).into()), event, now).await?;
        }
        unit.audit(submission(new)).await?;
        Ok(Submitted { run, created: true })
    }
}

/// The run of an idempotency key, if the key is known and asks for the same.
async fn known<T: Tx>(
    unit: &mut Unit<'_, T>,
    key: &str,
    fingerprint: &ContentId,
) -> Result<Option<Run>, StoreError> {
    let Some(mut row) = unit.tx.row(sql::RUN_BY_KEY, args![key]).await? else {
        return Ok(None);
    };
    let stored = row.text("fingerprint")?;
    let run: Run = row.json("run")?;
    if stored != fingerprint.to_string() {
        let what = format!(
            "the idempotency key `{key}` belongs to run {}, which was submitted with another job, \
             artifact or inputs: use a new key (D-RUN-1)",
            run.id
        );
        return Err(StoreError::Conflict { what });
    }
    Ok(Some(run))
}

fn queued(run: &Run) -> NewEvent {
    let data = json!({
        "trigger": run.trigger,
        "actor": run.actor,
        "source_id": run.source_id,
        "lane": run.lane,
        "mode": run.mode,
        "retry_of": run.retry_of,
    });
    NewEvent {
        kind: EventKind::RunQueued,
        level: Level::Info,
        data,
    }
}

fn submission(new: &NewRun) -> NewAudit {
    let run = &new.run;
    NewAudit {
        actor: run.actor.clone(),
        operation: if run.trigger == Trigger::Retry {
            "run.retry".to_owned()
        } else {
            "run.submit".to_owned()
        },
        subject: format!("run/{}", run.id),
        reason: new.reason.clone(),
        data: json!({
            "job_id": run.job_id,
            "source_id": run.source_id,
            "lane": run.lane,
            "mode": run.mode,
            "trigger": run.trigger,
            "retry_of": run.retry_of,
            "spec_hash": run.spec_hash,
            "artifact_hash": run.artifact_hash,
        }),
        at: run.created_at,
    }
}
