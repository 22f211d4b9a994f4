//! The reads of [`ApprovalStore`](crate::ApprovalStore).

use jiff::Timestamp;
use moorline_core::approval::{ApprovalRequest, ApprovalStatus};
use moorline_core::ids::ApprovalId;

use crate::approvals::ApprovalFilter;
use crate::database::query::Query;
use crate::database::sql::approvals as sql;
use crate::database::tx::{Tx, Val, args};
use crate::error::StoreError;

/// Behind every id: ids are hexadecimal digits and hyphens.
const END: &str = "g";

/// Requests of a page when no limit is asked for.
const PAGE: u32 = 50;

/// Requests of which something is due that are given at once, at most.
const DUE: u32 = 100;

/// [`ApprovalStore::approval_get`](crate::ApprovalStore::approval_get).
pub(super) struct Get(pub(super) ApprovalId);

impl Query for Get {
    type Reply = Option<ApprovalRequest>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Self::Reply, StoreError> {
        super::get(tx, self.0).await
    }
}

/// [`ApprovalStore::approval_find`](crate::ApprovalStore::approval_find).
pub(super) struct Find(pub(super) String);

impl Query for Find {
    type Reply = Vec<ApprovalId>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Self::Reply, StoreError> {
        let prefix = self.0.to_ascii_lowercase();
        if !prefix
            .bytes()
            .all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
        {
            return Ok(Vec::new());
        }
        let end = format!("{prefix}{END}");
        let rows = tx.rows(sql::APPROVAL_FIND, args![prefix, end]).await?;
        rows.into_iter()
            .map(|mut row| row.parsed("approval id"))
            .collect()
    }
}

/// [`ApprovalStore::approvals_list`](crate::ApprovalStore::approvals_list).
pub(super) struct List(pub(super) ApprovalFilter);

impl Query for List {
    type Reply = Vec<ApprovalRequest>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Self::Reply, StoreError> {
        list(tx, &self.0).await
    }
}

/// Requests, newest first, filtered before the limit.
pub(super) async fn list<T: Tx>(
    tx: &mut T,
    filter: &ApprovalFilter,
) -> Result<Vec<ApprovalRequest>, StoreError> {
    let before = filter
        .before
        .map_or_else(|| END.to_owned(), |id| id.to_string());
    let status = filter.status.map(ApprovalStatus::as_str);
    let job = filter.job_id.as_deref();
    let mut args = vec![Val::from(before)];
    let statement = match (filter.run_id, job, status) {
        (Some(run), _, status) => {
            args.extend([run.to_string().into(), status.unwrap_or_default().into()]);
            sql::APPROVALS_RUN
        }
        (None, None, None) => sql::APPROVALS,
        (None, None, Some(_)) => sql::APPROVALS_STATUS,
        (None, Some(_), None) => sql::APPROVALS_JOB,
        (None, Some(_), Some(_)) => sql::APPROVALS_JOB_STATUS,
    };
    if filter.run_id.is_none() {
        args.extend([job, status].into_iter().flatten().map(Val::from));
    }
    let limit = match filter.limit {
        0 => PAGE,
        limit => limit,
    };
    args.push(limit.into());
    let rows = tx.rows(statement, &args).await?;
    let found: Result<Vec<ApprovalRequest>, _> = rows
        .into_iter()
        .map(|mut row| row.json("approval"))
        .collect();
    let mut found = found?;
    // All requests of a run are of one job.
    if let Some(job) = job {
        found.retain(|request| request.job_id == job);
    }
    Ok(found)
}

/// [`ApprovalStore::approvals_due`](crate::ApprovalStore::approvals_due).
pub(super) struct Due(pub(super) Timestamp);

impl Query for Due {
    type Reply = Vec<ApprovalId>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Self::Reply, StoreError> {
        let rows = tx.rows(sql::APPROVALS_DUE, args![self.0, DUE]).await?;
        rows.into_iter()
            .map(|mut row| row.parsed("approval id"))
            .collect()
    }
}
