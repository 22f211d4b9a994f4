//! Claiming due attempts: the one gate that every start passes.

use moorline_core::run::{Command, Run, apply};

use crate::database::sql;
use crate::database::transition::persist;
use crate::database::tx::{Tx, Val, args};
use crate::database::unit::Unit;
use crate::database::writer::Intent;
use crate::error::StoreError;
use crate::types::ClaimDue;

/// [`Store::run_claim_due`](crate::Store::run_claim_due).
///
/// The stops are read in the transaction of the claim, and writers are serial: a claim that commits
/// after a stop sees it (D-STOP-1).
pub(crate) struct Claim(pub(crate) ClaimDue);

impl Intent for Claim {
    type Reply = Vec<Run>;

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<Vec<Run>, StoreError> {
        let Self(claim) = self;
        let due = due_runs(unit, claim).await?;
        let mut claimed = Vec::with_capacity(due.len());
        for (run, attempt_id) in due.into_iter().zip(&claim.attempt_ids) {
            let command = Command::Claim {
                attempt_id: *attempt_id,
                driver: claim.driver,
            };
            let applied = apply(&run, command, claim.now)?;
            let lease = Some(claim.lease_until);
            claimed.push(persist(unit, &run, applied, lease, claim.now).await?);
        }
        Ok(claimed)
    }
}

/// Due runs that no stop covers, oldest due first, at most one for each attempt id.
async fn due_runs<T: Tx>(unit: &mut Unit<'_, T>, claim: &ClaimDue) -> Result<Vec<Run>, StoreError> {
    let wanted = claim.attempt_ids.len();
    let mut found = Vec::new();
    if let Some(only) = claim.only {
        let row = unit
            .tx
            .row(sql::RUN_DUE, args![only.to_string(), claim.now])
            .await?;
        if let Some(mut row) = row {
            push_if_free(unit, row.json("run")?, &mut found).await?;
        }
        found.truncate(wanted);
        return Ok(found);
    }
    let mut offset = 0;
    while found.len() < wanted {
        let limit = i64::try_from(wanted - found.len()).unwrap_or(i64::MAX);
        let args = &[Val::from(claim.now), limit.into(), offset.into()];
        let rows = unit.tx.rows(T::DIALECT.due, args).await?;
        let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
        for mut row in rows {
            push_if_free(unit, row.json("run")?, &mut found).await?;
        }
        if count < limit {
            break;
        }
        offset += count;
    }
    Ok(found)
}

async fn push_if_free<T: Tx>(
    unit: &mut Unit<'_, T>,
    run: Run,
    found: &mut Vec<Run>,
) -> Result<(), StoreError> {
    if unit.stop_of_run(&run).await?.is_none() {
        found.push(run);
    }
    Ok(())
}
