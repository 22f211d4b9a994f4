//! The operations that are one exchange, area by area.

use async_trait::async_trait;
use futures::stream::BoxStream;
use moorline_core::alert::Delivery;
use moorline_core::approval::ApprovalRequest;
use moorline_core::artifact::signature::Attestation;
use moorline_core::artifact::{Artifact, DecisionKind, Promotion};
use moorline_core::audit::AuditRecord;
use moorline_core::emergency::Emergency;
use moorline_core::gate::Evidence;
use moorline_core::token::TokenRecord;

use super::Client;
use super::endpoint;
use crate::reauth::{ReauthOperations, ReauthPlan, ReauthReport, ReauthRequest, ReauthSession};
use crate::secrets::{
    SecretAuditReport, SecretAuditRequest, SecretListRequest, SecretOperations, SecretRevokeReport,
    SecretRevokeRequest, SecretSetRequest, SecretView,
};
use crate::{
    AlertListRequest, AlertOperations, AlertReplayRequest, AlertRequest, AlertTestRequest,
    AlertView, ApiError, ApprovalDecideRequest, ApprovalDecided, ApprovalLink, ApprovalLinkRequest,
    ApprovalListRequest, ApprovalOperations, ApprovalShowRequest, ArtifactDiff,
    ArtifactDiffRequest, ArtifactListRequest, ArtifactOperations, ArtifactRequest,
    ArtifactReviewRequest, ArtifactSubmitRequest, ArtifactSubmitted, ArtifactView, AttestRequest,
    AuditExportLine, AuditListRequest, AuditReport, AuditVerifyRequest, DecisionRequest,
    DeploymentOperations, DeploymentView, DriftReport, DriftRequest, EmergencyOperations,
    EmergencyRequest, EmergencyShowRequest, ExplainRequest, Explanation, ExportReport,
    ExportRequest, GateRequest, GatesView, HistoryRequest, NextTime, PrincipalChangeRequest,
    PrincipalOperations, PrincipalRemoveRequest, PrincipalRequest, PrincipalView, ProjectReport,
    PromoteRequest, PromotionView, ReviewView, RollbackRequest, RunRow, ScheduleChangeRequest,
    ScheduleDisableRequest, ScheduleListRequest, ScheduleNextRequest, ScheduleOperations,
    ScheduleRequest, ScheduleView, SourceChangeRequest, SourceDetail, SourceOperations,
    SourceRequest, SourceResumeRequest, SourceView, TokenCreateRequest, TokenCreated,
    TokenListRequest, TokenOperations, TokenRevokeRequest, TrailOperations, VerifyReport,
    VerifyRequest, VerifyRunRequest, WhoamiRequest,
};

/// What is sent: the request, or nothing.
macro_rules! sent {
    () => {
        ()
    };
    ($request:ident $type:ty) => {
        $request
    };
}

/// Writes a part of the trait: methods that send their request and give the answer, then those that do more.
macro_rules! over_http {
    ($trait:ident { $($name:ident($($request:ty)?) -> $answer:ty;)* } $($more:tt)*) => {
        #[async_trait]
        impl $trait for Client {
            $(async fn $name(&self $(, request: $request)?) -> Result<$answer, ApiError> {
                self.wire.call(endpoint::$name(), &sent!($(request $request)?)).await
            })*
            $($more)*
        }
    };
}

over_http! {
    PrincipalOperations {
        principal_list() -> Vec<PrincipalView>;
        principal_get(PrincipalRequest) -> PrincipalView;
        principal_whoami(WhoamiRequest) -> PrincipalView;
        principal_set(PrincipalChangeRequest) -> PrincipalView;
        principal_remove(PrincipalRemoveRequest) -> PrincipalView;
    }
}

over_http! {
    ArtifactOperations {
        artifact_list(ArtifactListRequest) -> Vec<Artifact>;
        artifact_show(ArtifactRequest) -> ArtifactView;
        artifact_diff(ArtifactDiffRequest) -> ArtifactDiff;
        artifact_attest(AttestRequest) -> Attestation;
        artifact_reject(DecisionRequest) -> Artifact;
        artifact_request_changes(DecisionRequest) -> Artifact;
        artifact_archive(DecisionRequest) -> Artifact;
        artifact_promote(PromoteRequest) -> PromotionView;
        artifact_rollback(RollbackRequest) -> PromotionView;
        artifact_history(HistoryRequest) -> Vec<Promotion>;
        artifact_project() -> ProjectReport;
    }

    async fn artifact_submit(
        &self,
        mut request: ArtifactSubmitRequest,
    ) -> Result<ArtifactSubmitted, ApiError> {
        let mut sent = self.sending();
        request.dir = sent.directory(&request.dir).await?;
        let done = self.wire.call(endpoint::artifact_submit(), &request).await;
        done.map_err(|error| sent.told(error))
    }

    async fn artifact_review(&self, mut request: ArtifactReviewRequest) -> Result<ReviewView, ApiError> {
        let mut sent = self.sending();
        if let Some(dir) = &mut request.dir {
            *dir = sent.directory(dir).await?;
        }
        let done = self.wire.call(endpoint::artifact_review(), &request).await;
        done.map_err(|error| sent.told(error))
    }

    async fn artifact_approve(&self, request: DecisionRequest) -> Result<Artifact, ApiError> {
        self.decide(DecisionKind::Approve, endpoint::artifact_approve(), request).await
    }

    async fn artifact_security_review(&self, request: DecisionRequest) -> Result<Artifact, ApiError> {
        let endpoint = endpoint::artifact_security_review();
        self.decide(DecisionKind::SecurityReview, endpoint, request).await
    }

    async fn artifact_verify(&self, mut request: VerifyRequest) -> Result<VerifyReport, ApiError> {
        let mut sent = self.sending();
        if let Some(export) = &mut request.export {
            *export = sent.whole_directory(export).await?;
        }
        let done = self.wire.call(endpoint::artifact_verify(), &request).await;
        done.map_err(|error| sent.told(error))
    }

    async fn artifact_export(&self, request: ExportRequest) -> Result<ExportReport, ApiError> {
        self.export(endpoint::artifact_export(), request).await
    }
}

over_http! {
    ScheduleOperations {
        schedule_list(ScheduleListRequest) -> Vec<ScheduleView>;
        schedule_show(ScheduleRequest) -> ScheduleView;
        schedule_next(ScheduleNextRequest) -> Vec<NextTime>;
        schedule_enable(ScheduleChangeRequest) -> ScheduleView;
        schedule_disable(ScheduleDisableRequest) -> Vec<ScheduleView>;
        schedule_resume(ScheduleChangeRequest) -> ScheduleView;
        schedule_run_now(ScheduleChangeRequest) -> RunRow;
        gate_show(ScheduleRequest) -> GatesView;
        gate_check_secrets(GateRequest) -> Evidence;
        gate_probe_egress(GateRequest) -> Evidence;
        gate_verify_run(VerifyRunRequest) -> Evidence;
    }
}

over_http! {
    DeploymentOperations {
        schedule_deploy(ScheduleChangeRequest) -> DeploymentView;
        schedule_undeploy(ScheduleChangeRequest) -> DeploymentView;
        schedule_drift(DriftRequest) -> DriftReport;
    }
}

over_http! {
    EmergencyOperations {
        emergency_list() -> Vec<Emergency>;
        emergency_show(EmergencyShowRequest) -> Emergency;
    }

    fn emergency_run(
        &self,
        request: EmergencyRequest,
    ) -> BoxStream<'static, Result<Emergency, ApiError>> {
        self.once(endpoint::emergency_run(), request)
    }
}

over_http! {
    SecretOperations {
        secret_list(SecretListRequest) -> Vec<SecretView>;
        secret_revoke(SecretRevokeRequest) -> SecretRevokeReport;
    }

    async fn secret_set(&self, request: SecretSetRequest) -> Result<SecretView, ApiError> {
        self.wire.call_secret(endpoint::secret_set(), &request).await
    }

    async fn secret_rotate(&self, request: SecretSetRequest) -> Result<SecretView, ApiError> {
        self.wire.call_secret(endpoint::secret_rotate(), &request).await
    }

    async fn secret_audit(&self, mut request: SecretAuditRequest) -> Result<SecretAuditReport, ApiError> {
        let mut sent = self.sending();
        for job in &mut request.jobs {
            *job = sent.job(job).await?;
        }
        let done = self.wire.call(endpoint::secret_audit(), &request).await;
        done.map_err(|error| sent.told(error))
    }
}

over_http! {
    SourceOperations {
        source_show(SourceRequest) -> SourceDetail;
        source_pause(SourceChangeRequest) -> SourceView;
        source_resume(SourceResumeRequest) -> SourceView;
    }
}

over_http! {
    ReauthOperations {
        reauth_probe(ReauthRequest) -> ReauthReport;
    }

    async fn reauth_begin(&self, request: ReauthRequest) -> Result<ReauthPlan, ApiError> {
        let plan = self.wire.call(endpoint::reauth_begin(), &request).await?;
        self.with_job_here(plan).await
    }

    async fn reauth_store(&self, session: ReauthSession) -> Result<SecretView, ApiError> {
        self.wire.call_secret(endpoint::reauth_store(), &session).await
    }
}

over_http! {
    AlertOperations {
        alert_list(AlertListRequest) -> Vec<AlertView>;
        alert_show(AlertRequest) -> AlertView;
        alert_replay(AlertReplayRequest) -> AlertView;
        alert_test(AlertTestRequest) -> Delivery;
    }
}

over_http! {
    TrailOperations {
        audit_list(AuditListRequest) -> Vec<AuditRecord>;
        audit_verify(AuditVerifyRequest) -> AuditReport;
        explain(ExplainRequest) -> Explanation;
    }

    fn audit_export(&self) -> BoxStream<'static, Result<AuditExportLine, ApiError>> {
        self.once(endpoint::audit_export(), ())
    }
}

over_http! {
    ApprovalOperations {
        approval_list(ApprovalListRequest) -> Vec<ApprovalRequest>;
        approval_show(ApprovalShowRequest) -> ApprovalRequest;
        approval_link(ApprovalLinkRequest) -> ApprovalLink;
    }

    async fn approval_decide(
        &self,
        mut request: ApprovalDecideRequest,
    ) -> Result<ApprovalDecided, ApiError> {
        request.idempotency_key = Some(self.keyed(request.idempotency_key.take()));
        // The path names the request; one that is named by run and checkpoint is looked for first.
        if request.approval.is_none() {
            request.approval = Some(self.open_approval(&request).await?);
        }
        self.wire.call_keyed(endpoint::approval_decide(), &request).await
    }
}

over_http! {
    TokenOperations {
        token_list(TokenListRequest) -> Vec<TokenRecord>;
        token_create(TokenCreateRequest) -> TokenCreated;
        token_revoke(TokenRevokeRequest) -> TokenRecord;
    }
}
