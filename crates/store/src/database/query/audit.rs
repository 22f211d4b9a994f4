//! Reads of the audit trail.

use jiff::Timestamp;
use moorline_core::audit::AuditRecord;

use super::{Query, all};
use crate::database::sql;
use crate::database::tx::{Row, Tx, Val, args};
use crate::error::StoreError;
use crate::types::AuditFilter;

/// [`Store::audit_list`](crate::Store::audit_list).
pub(crate) struct Audit {
    pub(crate) after: u64,
    pub(crate) limit: u32,
}

impl Query for Audit {
    type Reply = Vec<AuditRecord>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Vec<AuditRecord>, StoreError> {
        all(tx, sql::AUDIT, args![self.after, self.limit], record_of).await
    }
}

/// [`Store::audit_search`](crate::Store::audit_search).
pub(crate) struct SearchAudit(pub(crate) AuditFilter);

impl Query for SearchAudit {
    type Reply = Vec<AuditRecord>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Vec<AuditRecord>, StoreError> {
        let Self(filter) = self;
        let limit = if filter.limit == 0 { 50 } else { filter.limit };
        let operation = filter.operation.as_deref();
        let (subject, beginning) = match filter.subject.as_deref() {
            Some(subject) if subject.ends_with('/') => (None, subject),
            exact => (exact, ""),
        };
        let statement = match (operation, subject) {
            (None, None) => sql::AUDIT_NEWEST,
            (Some(_), None) => sql::AUDIT_OPERATION,
            (None, Some(_)) => sql::AUDIT_SUBJECT,
            (Some(_), Some(_)) => sql::AUDIT_OPERATION_SUBJECT,
        };
        let mut args = vec![
            Val::from(filter.before.unwrap_or(u64::MAX)),
            Val::from(filter.since.unwrap_or(Timestamp::MIN)),
            Val::from(filter.until.unwrap_or(Timestamp::MAX)),
            Val::from(filter.actor.as_deref().unwrap_or_default()),
            Val::from(beginning),
        ];
        args.extend([operation, subject].into_iter().flatten().map(Val::from));
        args.push(limit.into());
        all(tx, statement, &args, record_of).await
    }
}

fn record_of(mut row: Row) -> Result<AuditRecord, StoreError> {
    let id = row.unsigned("audit id")?;
    Ok(AuditRecord {
        id,
        at: row.time("time of an audit record")?,
        actor: row.text("actor")?,
        operation: row.text("operation")?,
        subject: row.text("subject")?,
        reason: row.text_opt("reason")?,
        data: row.json(&format!("data of audit record {id}"))?,
        prev_hash: row.text("previous hash")?,
        hash: row.text("hash")?,
    })
}
