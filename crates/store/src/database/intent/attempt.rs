//! What happens to an attempt after its claim.

use jiff::Timestamp;
use moorline_core::attempt::Handle;
use moorline_core::ids::{AttemptId, DriverId, RunId};
use moorline_core::run::{Command, Run, apply, tell};

use crate::database::approvals::advance;
use crate::database::sql;
use crate::database::transition::persist;
use crate::database::tx::{Tx, args};
use crate::database::unit::{Unit, to_json};
use crate::database::writer::Intent;
use crate::error::StoreError;
use crate::types::{AppendEvents, FinishAttempt};

/// [`Store::attempt_launched`](crate::Store::attempt_launched).
pub(crate) struct Launched {
    pub(crate) run: RunId,
    pub(crate) token: u64,
    pub(crate) handle: Handle,
    pub(crate) now: Timestamp,
}

impl Intent for Launched {
    type Reply = Run;

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<Run, StoreError> {
        let run = unit.run(self.run).await?;
        let command = Command::Launched {
            token: self.token,
            handle: self.handle.clone(),
        };
        let applied = apply(&run, command, self.now)?;
        persist(unit, &run, applied, None, self.now).await
    }
}

/// [`Store::events_append`](crate::Store::events_append).
pub(crate) struct Append(pub(crate) AppendEvents);

impl Intent for Append {
    type Reply = ();

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<(), StoreError> {
        let Self(append) = self;
        let run = unit.run(append.run).await?;
        let count = append.events.len() as u64;
        let (next, known) = tell(&run, append.token, append.from, count)?;
        let known = usize::try_from(known).unwrap_or(usize::MAX);
        let fresh = append.events.get(known..).unwrap_or_default();
        if fresh.is_empty() {
            return Ok(());
        }
        for event in fresh {
            unit.event(Some((&next).into()), event, append.now).await?;
        }
        let args = args![to_json("run", &next)?, next.id.to_string()];
        unit.tx.execute(sql::RUN_UPDATE_DOC, args).await?;
        Ok(())
    }
}

/// [`Store::attempt_take_over`](crate::Store::attempt_take_over).
pub(crate) struct TakeOver {
    pub(crate) run: RunId,
    pub(crate) attempt: AttemptId,
    pub(crate) driver: DriverId,
    pub(crate) lease_until: Timestamp,
    pub(crate) now: Timestamp,
}

impl Intent for TakeOver {
    type Reply = Run;

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<Run, StoreError> {
        let run = unit.run(self.run).await?;
        let command = Command::TakeOver {
            attempt_id: self.attempt,
            driver: self.driver,
        };
        let applied = apply(&run, command, self.now)?;
        persist(unit, &run, applied, Some(self.lease_until), self.now).await
    }
}

/// [`Store::attempt_finish`](crate::Store::attempt_finish).
pub(crate) struct Finish(pub(crate) FinishAttempt);

impl Intent for Finish {
    type Reply = Run;

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<Run, StoreError> {
        let Self(finish) = self;
        let before = unit.run(finish.run).await?;
        let command = Command::Finish {
            token: finish.token,
            verdict: finish.verdict.clone(),
            usage: finish.usage,
            isolation: finish.isolation.clone(),
            exit_code: finish.exit_code,
        };
        let applied = advance(unit, &before, command, finish.now).await?;
        let outcome = to_json("outcome", &finish.outcome)?;
        let args = args![outcome, finish.now, before.id.to_string(), before.attempts];
        unit.tx.execute(sql::ATTEMPT_ENDED, args).await?;
        let run = persist(unit, &before, applied, None, finish.now).await?;
        claim_next(unit, run, finish).await
    }
}

/// Claims the run's next attempt, if one is wanted, due, and behind no stop.
async fn claim_next<T: Tx>(
    unit: &mut Unit<'_, T>,
    run: Run,
    finish: &FinishAttempt,
) -> Result<Run, StoreError> {
    let Some((driver, attempt_id, lease_until)) = finish.claim_next else {
        return Ok(run);
    };
    let Ok(applied) = apply(&run, Command::Claim { attempt_id, driver }, finish.now) else {
        return Ok(run);
    };
    if unit.stop_of_run(&run).await?.is_some() {
        return Ok(run);
    }
    persist(unit, &run, applied, Some(lease_until), finish.now).await
}

/// [`Store::lease_renew`](crate::Store::lease_renew).
pub(crate) struct RenewLease {
    pub(crate) driver: DriverId,
    pub(crate) until: Timestamp,
}

impl Intent for RenewLease {
    type Reply = u64;

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<u64, StoreError> {
        unit.tx
            .execute(sql::LEASE_RENEW, args![self.until, self.driver.to_string()])
            .await
    }
}
