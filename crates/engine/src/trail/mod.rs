//! The audit trail, refusals on record, and explanations.
//!
//! | module | what |
//! |---|---|
//! | [`audit`] | the trail as a list, verified, and as a file |
//! | [`refusals`] | what is kept of a refusal |
//! | [`explain`] | why a run, a refusal or a schedule is as it is |
//!
//! Everything here reads what others recorded; nothing is decided.

use async_trait::async_trait;
use futures::stream::BoxStream;
use moorline_api::{
    ApiError, AuditExportLine, AuditListRequest, AuditReport, AuditVerifyRequest, ExplainRequest,
    Explanation, TrailOperations,
};
use moorline_core::audit::AuditRecord;

use crate::engine::Engine;

mod audit;
mod explain;
mod refusals;

#[async_trait]
impl TrailOperations for Engine {
    async fn audit_list(&self, request: AuditListRequest) -> Result<Vec<AuditRecord>, ApiError> {
        self.inner.audit_list(request).await
    }

    async fn audit_verify(&self, request: AuditVerifyRequest) -> Result<AuditReport, ApiError> {
        self.inner.audit_verify(request).await
    }

    fn audit_export(&self) -> BoxStream<'static, Result<AuditExportLine, ApiError>> {
        audit::export(self.clone())
    }

    async fn explain(&self, request: ExplainRequest) -> Result<Explanation, ApiError> {
        match request {
            ExplainRequest::Run(run) => self.inner.explain_run(&run).await,
            ExplainRequest::Refusal(refusal) => self.inner.explain_refusal(&refusal).await,
            ExplainRequest::Schedule(schedule) => self.inner.explain_schedule(&schedule).await,
            ExplainRequest::Rule(rule) => explain::rule(&rule),
        }
    }
}

impl Engine {
    /// What a rule demands, without an engine: rules are the same everywhere.
    ///
    /// # Errors
    /// There is no rule with this id.
    pub fn explain_rule(id: &str) -> Result<Explanation, ApiError> {
        explain::rule(id)
    }
}
