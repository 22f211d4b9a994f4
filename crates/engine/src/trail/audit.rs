//! The audit trail: as a list, verified, and as a file.

use futures::StreamExt as _;
use futures::stream::BoxStream;
use moorline_api::{ApiError, AuditExportLine, AuditListRequest, AuditReport, AuditVerifyRequest};
use moorline_core::audit::export::ExportHeader;
use moorline_core::audit::{AuditRecord, ChainVerifier};
use moorline_core::error_code::ErrorCode;
use moorline_store::{AuditFilter, StoreError};

use crate::engine::{Engine, Inner};
use crate::error::store_error;

/// Audit records read at once while the chain is walked.
const PAGE: u32 = 1_000;

/// Most audit records of one list.
const MOST: u32 = 1_000;

impl Inner {
    pub(super) async fn audit_list(
        &self,
        request: AuditListRequest,
    ) -> Result<Vec<AuditRecord>, ApiError> {
        if request.limit > MOST {
            let message = format!("{} records are more than one list has", request.limit);
            return Err(ApiError::new(ErrorCode::Usage, message).hint(format!(
                "ask for at most {MOST}, then for those before the last id; `moorline audit export` \
                 writes all"
            )));
        }
        let filter = AuditFilter {
            operation: request.operation,
            actor: request.by,
            subject: request.subject,
            since: request.since,
            until: request.until,
            before: request.before,
            limit: request.limit,
        };
        self.store.audit_search(filter).await.map_err(store_error)
    }

    /// Walks the chain up to the head as it is when the walk begins: records that are appended meanwhile
    /// are simply not part of it.
    pub(super) async fn audit_verify(
        &self,
        request: AuditVerifyRequest,
    ) -> Result<AuditReport, ApiError> {
        let head = self.store.audit_head().await.map_err(store_error)?;
        let mut verifier = ChainVerifier::default();
        if let Some(known) = request.known_head {
            verifier = verifier.knowing(known);
        }
        let mut records = 0;
        let problem = loop {
            if records >= head.id {
                break None;
            }
            let page = match self.store.audit_list(records, PAGE).await {
                Ok(page) => page,
                // What can not even be read was tampered with as well.
                Err(StoreError::Corrupt { what, .. }) => break Some(unreadable(&what)),
                Err(error) => return Err(store_error(error)),
            };
            let page = page.into_iter().take_while(|record| record.id <= head.id);
            let (taken, broken) = push_all(&mut verifier, page);
            records += taken;
            if let Some(broken) = broken {
                break Some(broken);
            }
            if taken == 0 {
                break None;
            }
        };
        let problem = problem.or_else(|| {
            let end = verifier.finish(head.id, &head.hash);
            end.err().map(|broken| broken.to_string())
        });
        Ok(AuditReport {
            intact: problem.is_none(),
            records,
            head: head.hash,
            problem,
        })
    }
}

fn unreadable(what: &str) -> String {
    format!("the {what} can not be read: it was changed (D-AUDIT-1)")
}

/// Hands records to the verifier up to the first that does not fit; how many did, and why the next did not.
fn push_all(
    verifier: &mut ChainVerifier,
    records: impl Iterator<Item = AuditRecord>,
) -> (u64, Option<String>) {
    let mut taken = 0;
    for record in records {
        if let Err(broken) = verifier.push(&record) {
            return (taken, Some(broken.to_string()));
        }
        taken += 1;
    }
    (taken, None)
}

/// Header and records, verified on the way: a broken chain is not written out as if it were whole.
pub(super) fn export(engine: Engine) -> BoxStream<'static, Result<AuditExportLine, ApiError>> {
    async_stream::try_stream! {
        let store = &engine.inner.store;
        let head = store.audit_head().await.map_err(store_error)?;
        yield AuditExportLine::Header(ExportHeader::new(head.id, &head.hash));
        let mut verifier = ChainVerifier::default();
        let mut after = 0;
        while after < head.id {
            let page = store.audit_list(after, PAGE).await.map_err(store_error)?;
            if page.is_empty() {
                break;
            }
            for record in page.into_iter().take_while(|record| record.id <= head.id) {
                verifier.push(&record).map_err(|error| broken(&error.to_string()))?;
                after = record.id;
                yield AuditExportLine::Record(record);
            }
        }
        verifier.finish(head.id, &head.hash).map_err(|error| broken(&error.to_string()))?;
    }
    .boxed()
}

fn broken(why: &str) -> ApiError {
    let message = format!("the audit trail is broken: {why}");
    ApiError::new(ErrorCode::Store, message).hint(
        "`moorline audit verify` says where; keep the database as it is, and restore a copy from before",
    )
}
