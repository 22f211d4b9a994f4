//! How much of everything there is, for whoever watches an installation.

use std::collections::BTreeMap;

use async_trait::async_trait;
use moorline_core::error_code::RunStatus;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;

/// Counts. A part of [`Store`](crate::Store), under its contract.
#[async_trait]
pub trait CountStore: Send + Sync {
    /// What there is now. It reads an index for each kind of thing, so it takes longer the more there is: for
    /// looks now and then, and for nothing that somebody waits for.
    async fn counts(&self) -> Result<StoreCounts, StoreError>;
}

/// How much of everything there is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreCounts {
    /// Runs by status; a status that no run has is left out.
    pub runs: BTreeMap<RunStatus, u64>,
    /// Attempts that have a process, or are about to.
    pub attempts_live: u64,
    /// Requests that nobody decided yet.
    pub approvals_open: u64,
    /// Id of the newest event; 0 when there is none.
    pub events_head: u64,
    /// Effects of runs that are still to be carried out, and alerts that are still to be told.
    pub outbox_pending: u64,
}
