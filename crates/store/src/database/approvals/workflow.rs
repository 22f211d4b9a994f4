//! The transitions of a run that move it through the workflow of its job, where it has one.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use jiff::Timestamp;
use moorline_core::content_id::ContentId;
use moorline_core::run::{Applied, Command, Refusal, Run, apply_in};
use moorline_core::workflow::Workflow;
use serde::Deserialize;

use crate::database::sql;
use crate::database::tx::{Tx, args};
use crate::database::unit::Unit;
use crate::error::StoreError;

/// Workflows that are kept at hand, at most.
const KEPT: usize = 256;

/// Workflows by the hash of the spec that they are part of. A spec of a hash never changes, wherever it is
/// stored, so an entry holds for every store of this process and is never stale.
static KNOWN: LazyLock<Mutex<HashMap<ContentId, Arc<Workflow>>>> = LazyLock::new(Mutex::default);

/// The one part of a spec that transitions need; a store reads nothing else of it.
#[derive(Deserialize)]
struct Spec {
    workflow: Option<Workflow>,
}

/// Applies a command to a run, by the workflow of its job: what ends a step or decides a request goes through
/// here. Every other transition does without the workflow, so that a run can be stopped whatever its spec is.
pub(crate) async fn advance<T: Tx>(
    unit: &mut Unit<'_, T>,
    run: &Run,
    command: Command,
    now: Timestamp,
) -> Result<Applied, StoreError> {
    let workflow = match &run.flow {
        Some(_) => workflow_of(unit, run).await?,
        None => None,
    };
    apply_in(run, workflow.as_deref(), command, now).map_err(|refusal| match refusal {
        Refusal::Denied(denial) => StoreError::Denied(denial),
        refusal => StoreError::Refused(refusal),
    })
}

/// The workflow of a run; `None` where the spec can not be read, and then the run fails closed (L42).
async fn workflow_of<T: Tx>(
    unit: &mut Unit<'_, T>,
    run: &Run,
) -> Result<Option<Arc<Workflow>>, StoreError> {
    let hash = run.spec_hash;
    if let Some(workflow) = known(&hash) {
        return Ok(Some(workflow));
    }
    let row = unit.tx.row(sql::SPEC_GET, args![hash.to_string()]).await?;
    let spec: Option<Spec> = row.and_then(|mut row| row.json("job spec").ok());
    let Some(workflow) = spec.and_then(|spec| spec.workflow).map(Arc::new) else {
        return Ok(None);
    };
    keep(hash, Arc::clone(&workflow));
    Ok(Some(workflow))
}

fn known(hash: &ContentId) -> Option<Arc<Workflow>> {
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.get(hash).cloned()
}

fn keep(hash: ContentId, workflow: Arc<Workflow>) {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if known.len() >= KEPT {
        known.clear();
    }
    known.insert(hash, workflow);
}
