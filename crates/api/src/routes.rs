//! The operations over HTTP: one list, from which the server makes its routes, the client its calls, and the
//! OpenAPI document its paths.
//!
//! A request type is spread over the parts of an HTTP request by one rule: members that the path names in
//! `{braces}` stand there; of a `GET` all others stand in the query, where a list is repeated, else in the JSON
//! body. A member `actor` is never sent: the server puts there whom the token is of.
//!
//! Some requests name files. Over HTTP those are never paths: the client sends what a path names to
//! `POST /v1/uploads` and names the upload, as `upload:ID`. The body is the file (`application/octet-stream`,
//! with its name in the query: `?name=may.ofx`), or the directory as a tar archive (`application/x-tar`); the
//! answer is `{"upload": "upload:ID"}`. The other way, `GET /v1/artifacts/{artifact}/content` answers what
//! `artifact export` writes, as a tar archive.
//!
//! Two answers have more than one form. `GET /v1/runs/{run}/summary` waits as long as `Prefer: wait=SECONDS`
//! says (RFC 7240) and answers 200 when the run is over or awaits a decision, else 202, each with the summary
//! as it stands. A stream that fails after its first line ends with the line `{"problem": {…}}`, and one whose
//! server ends with `{"reconnect": {…}}`; empty lines keep a quiet stream alive.
//!
//! [`for_each_route`](crate::for_each_route) hands the list to another macro, so that whoever needs the types
//! has them; [`ROUTES`] is the list as data.

use schemars::{Schema, SchemaGenerator};

use crate::operation::Operation;

/// How an operation answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// With one JSON document.
    Call,
    /// With documents as they come: lines of JSON (`application/x-ndjson`), or server-sent events when the
    /// request accepts `text/event-stream`.
    Stream,
}

/// The methods that are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// Reads.
    Get,
    /// Does something.
    Post,
    /// Replaces something.
    Put,
}

/// One operation over HTTP.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// What it does.
    pub operation: Operation,
    /// The method of the trait that does it, unique in the list; the `operationId` of the OpenAPI document.
    pub name: &'static str,
    /// The HTTP method.
    pub method: Method,
    /// The path, with members of the request in braces: `/v1/runs/{run}`.
    pub path: &'static str,
    /// Status of an answer that is no error.
    pub status: u16,
    /// How it answers.
    pub kind: Kind,
    /// The schema of its request; none where there is nothing to say.
    pub request: Option<fn(&mut SchemaGenerator) -> Schema>,
    /// The schema of its answer, of one document of it for a stream.
    pub response: fn(&mut SchemaGenerator) -> Schema,
}

impl Method {
    /// As it stands in a request.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
        }
    }
}

/// Calls a macro with every route. A row is
///
/// ```text
/// kind Operation method_of_the_trait(Request) -> Answer, METHOD "/path", status;
/// ```
///
/// where `kind` is `call`, `bare` (no request), `secret` (a request that holds values of secrets and can not be
/// serialised) or `stream`.
#[macro_export]
macro_rules! for_each_route {
    ($callback:ident) => { $callback! {
        call JobCheck job_check($crate::JobCheckRequest) -> $crate::JobView, Post "/v1/jobs/check", 200;
        bare JobList job_list() -> Vec<$crate::JobRow>, Get "/v1/jobs", 200;
        call RunSubmit run_submit($crate::SubmitRequest) -> $crate::RunRow, Post "/v1/runs", 202;
        call RunGet run_get($crate::RunRequest) -> $crate::RunView, Get "/v1/runs/{run}", 200;
        call RunList run_list($crate::RunListRequest) -> Vec<$crate::RunRow>, Get "/v1/runs", 200;
        call RunWait run_wait($crate::RunRequest) -> moorline_core::summary::RunSummary, Get "/v1/runs/{run}/summary", 200;
        call RunCancel run_cancel($crate::RunChangeRequest) -> moorline_core::summary::RunSummary, Post "/v1/runs/{run}/cancel", 200;
        call RunRetry run_retry($crate::RunChangeRequest) -> $crate::RunRow, Post "/v1/runs/{run}/retry", 202;
        stream RunLogs run_logs($crate::LogsRequest) -> $crate::LogLine, Get "/v1/runs/{run}/logs", 200;
        stream RunOutput run_output($crate::OutputRequest) -> $crate::OutputChunk, Get "/v1/runs/{run}/output", 200;
        call Stop stop($crate::StopRequest) -> $crate::StopReport, Post "/v1/stops", 200;
        call Release release($crate::ReleaseRequest) -> bool, Post "/v1/stops/release", 200;
        bare StopList stop_list() -> Vec<moorline_core::stop::Stop>, Get "/v1/stops", 200;
        call EventList event_list($crate::EventsRequest) -> Vec<moorline_core::event::Event>, Get "/v1/events", 200;
        stream EventWatch event_watch($crate::EventsRequest) -> moorline_core::event::Event, Get "/v1/events/stream", 200;
        bare Health health() -> $crate::HealthReport, Get "/v1/health", 200;

        call ApprovalList approval_list($crate::ApprovalListRequest) -> Vec<moorline_core::approval::ApprovalRequest>, Get "/v1/approvals", 200;
        call ApprovalShow approval_show($crate::ApprovalShowRequest) -> moorline_core::approval::ApprovalRequest, Get "/v1/approvals/{approval}", 200;
        call ApprovalDecide approval_decide($crate::ApprovalDecideRequest) -> $crate::ApprovalDecided, Post "/v1/approvals/{approval}/decision", 200;
        call ApprovalLink approval_link($crate::ApprovalLinkRequest) -> $crate::ApprovalLink, Post "/v1/approvals/{approval}/links", 201;

        call ArtifactSubmit artifact_submit($crate::ArtifactSubmitRequest) -> $crate::ArtifactSubmitted, Post "/v1/artifacts", 201;
        call ArtifactReview artifact_review($crate::ArtifactReviewRequest) -> $crate::ReviewView, Post "/v1/artifacts/review", 200;
        call ArtifactList artifact_list($crate::ArtifactListRequest) -> Vec<moorline_core::artifact::Artifact>, Get "/v1/artifacts", 200;
        call ArtifactShow artifact_show($crate::ArtifactRequest) -> $crate::ArtifactView, Get "/v1/artifacts/{artifact}", 200;
        call ArtifactDiff artifact_diff($crate::ArtifactDiffRequest) -> $crate::ArtifactDiff, Get "/v1/artifacts/{artifact}/diff", 200;
        call ArtifactApprove artifact_attest($crate::AttestRequest) -> moorline_core::artifact::signature::Attestation, Post "/v1/artifacts/{artifact}/attestation", 200;
        call ArtifactApprove artifact_approve($crate::DecisionRequest) -> moorline_core::artifact::Artifact, Post "/v1/artifacts/{artifact}/approve", 200;
        call ArtifactReject artifact_reject($crate::DecisionRequest) -> moorline_core::artifact::Artifact, Post "/v1/artifacts/{artifact}/reject", 200;
        call ArtifactRequestChanges artifact_request_changes($crate::DecisionRequest) -> moorline_core::artifact::Artifact, Post "/v1/artifacts/{artifact}/request-changes", 200;
        call ArtifactSecurityReview artifact_security_review($crate::DecisionRequest) -> moorline_core::artifact::Artifact, Post "/v1/artifacts/{artifact}/security-review", 200;
        call ArtifactArchive artifact_archive($crate::DecisionRequest) -> moorline_core::artifact::Artifact, Post "/v1/artifacts/{artifact}/archive", 200;
        call ArtifactPromote artifact_promote($crate::PromoteRequest) -> $crate::PromotionView, Post "/v1/artifacts/{artifact}/promote", 200;
        call ArtifactRollback artifact_rollback($crate::RollbackRequest) -> $crate::PromotionView, Post "/v1/jobs/{job_id}/rollback", 200;
        call ArtifactHistory artifact_history($crate::HistoryRequest) -> Vec<moorline_core::artifact::Promotion>, Get "/v1/jobs/{job_id}/promotions", 200;
        call ArtifactVerify artifact_verify($crate::VerifyRequest) -> $crate::VerifyReport, Post "/v1/artifacts/verify", 200;
        call ArtifactExport artifact_export($crate::ExportRequest) -> $crate::ExportReport, Post "/v1/artifacts/{artifact}/export", 200;
        bare ArtifactProject artifact_project() -> $crate::ProjectReport, Post "/v1/artifacts/project", 200;

        call ScheduleList schedule_list($crate::ScheduleListRequest) -> Vec<$crate::ScheduleView>, Get "/v1/schedules", 200;
        call ScheduleShow schedule_show($crate::ScheduleRequest) -> $crate::ScheduleView, Get "/v1/schedules/{schedule}", 200;
        call ScheduleNext schedule_next($crate::ScheduleNextRequest) -> Vec<$crate::NextTime>, Get "/v1/schedules/{schedule}/next", 200;
        call ScheduleEnable schedule_enable($crate::ScheduleChangeRequest) -> $crate::ScheduleView, Post "/v1/schedules/{schedule}/enable", 200;
        call ScheduleDisable schedule_disable($crate::ScheduleDisableRequest) -> Vec<$crate::ScheduleView>, Post "/v1/schedules/disable", 200;
        call ScheduleResume schedule_resume($crate::ScheduleChangeRequest) -> $crate::ScheduleView, Post "/v1/schedules/{schedule}/resume", 200;
        call ScheduleRunNow schedule_run_now($crate::ScheduleChangeRequest) -> $crate::RunRow, Post "/v1/schedules/{schedule}/run-now", 202;
        call ScheduleDrift schedule_drift($crate::DriftRequest) -> $crate::DriftReport, Get "/v1/drift", 200;
        call ScheduleDeploy schedule_deploy($crate::ScheduleChangeRequest) -> $crate::DeploymentView, Post "/v1/schedules/{schedule}/deploy", 200;
        call ScheduleUndeploy schedule_undeploy($crate::ScheduleChangeRequest) -> $crate::DeploymentView, Post "/v1/schedules/{schedule}/undeploy", 200;
        call GateShow gate_show($crate::ScheduleRequest) -> $crate::GatesView, Get "/v1/schedules/{schedule}/gates", 200;
        call GateCheckSecrets gate_check_secrets($crate::GateRequest) -> moorline_core::gate::Evidence, Post "/v1/schedules/{schedule}/gates/check-secrets", 200;
        call GateProbeEgress gate_probe_egress($crate::GateRequest) -> moorline_core::gate::Evidence, Post "/v1/schedules/{schedule}/gates/probe-egress", 200;
        call GateVerifyRun gate_verify_run($crate::VerifyRunRequest) -> moorline_core::gate::Evidence, Post "/v1/schedules/{schedule}/gates/verify-run", 200;

        bare SourceList source_list() -> Vec<$crate::SourceView>, Get "/v1/sources", 200;
        call SourceList source_show($crate::SourceRequest) -> $crate::SourceDetail, Get "/v1/sources/{source_id}", 200;
        call SourcePause source_pause($crate::SourceChangeRequest) -> $crate::SourceView, Post "/v1/sources/{source_id}/pause", 200;
        call SourceResume source_resume($crate::SourceResumeRequest) -> $crate::SourceView, Post "/v1/sources/{source_id}/resume", 200;
        call SourceReauth reauth_begin($crate::reauth::ReauthRequest) -> $crate::reauth::ReauthPlan, Post "/v1/sources/{source_id}/reauth", 200;
        secret SourceReauth reauth_store($crate::reauth::ReauthSession) -> $crate::secrets::SecretView, Post "/v1/sources/{source_id}/reauth/session", 200;
        call SourceReauth reauth_probe($crate::reauth::ReauthRequest) -> $crate::reauth::ReauthReport, Post "/v1/sources/{source_id}/reauth/probe", 200;

        call SecretList secret_list($crate::secrets::SecretListRequest) -> Vec<$crate::secrets::SecretView>, Get "/v1/secrets", 200;
        call SecretCheck secret_check($crate::SecretCheckRequest) -> Vec<$crate::SecretKeyView>, Post "/v1/secrets/check", 200;
        secret SecretSet secret_set($crate::secrets::SecretSetRequest) -> $crate::secrets::SecretView, Put "/v1/secrets/{secret}", 200;
        secret SecretRotate secret_rotate($crate::secrets::SecretSetRequest) -> $crate::secrets::SecretView, Post "/v1/secrets/{secret}/rotate", 200;
        call SecretRevoke secret_revoke($crate::secrets::SecretRevokeRequest) -> $crate::secrets::SecretRevokeReport, Post "/v1/secrets/revoke", 200;
        call SecretAudit secret_audit($crate::secrets::SecretAuditRequest) -> $crate::secrets::SecretAuditReport, Post "/v1/secrets/audit", 200;

        bare PrincipalList principal_list() -> Vec<$crate::PrincipalView>, Get "/v1/principals", 200;
        call PrincipalList principal_get($crate::PrincipalRequest) -> $crate::PrincipalView, Get "/v1/principals/{principal}", 200;
        call PrincipalList principal_whoami($crate::WhoamiRequest) -> $crate::PrincipalView, Get "/v1/whoami", 200;
        call PrincipalSet principal_set($crate::PrincipalChangeRequest) -> $crate::PrincipalView, Put "/v1/principals/{principal}", 200;
        call PrincipalRemove principal_remove($crate::PrincipalRemoveRequest) -> $crate::PrincipalView, Post "/v1/principals/{principal}/remove", 200;

        call TokenList token_list($crate::TokenListRequest) -> Vec<moorline_core::token::TokenRecord>, Get "/v1/tokens", 200;
        call TokenCreate token_create($crate::TokenCreateRequest) -> $crate::TokenCreated, Post "/v1/tokens", 201;
        call TokenRevoke token_revoke($crate::TokenRevokeRequest) -> moorline_core::token::TokenRecord, Post "/v1/tokens/{token}/revoke", 200;

        call AlertList alert_list($crate::AlertListRequest) -> Vec<$crate::AlertView>, Get "/v1/alerts", 200;
        call AlertList alert_show($crate::AlertRequest) -> $crate::AlertView, Get "/v1/alerts/{alert}", 200;
        call AlertReplay alert_replay($crate::AlertReplayRequest) -> $crate::AlertView, Post "/v1/alerts/{alert}/replay", 200;
        call AlertTest alert_test($crate::AlertTestRequest) -> moorline_core::alert::Delivery, Post "/v1/alerts/test", 200;

        call AuditList audit_list($crate::AuditListRequest) -> Vec<moorline_core::audit::AuditRecord>, Get "/v1/audit", 200;
        call AuditVerify audit_verify($crate::AuditVerifyRequest) -> $crate::AuditReport, Post "/v1/audit/verify", 200;
        stream AuditExport audit_export() -> $crate::AuditExportLine, Get "/v1/audit/export", 200;
        call Explain explain($crate::ExplainRequest) -> $crate::Explanation, Post "/v1/explain", 200;

        stream Emergency emergency_run($crate::EmergencyRequest) -> moorline_core::emergency::Emergency, Post "/v1/emergencies", 200;
        bare EmergencyList emergency_list() -> Vec<moorline_core::emergency::Emergency>, Get "/v1/emergencies", 200;
        call EmergencyShow emergency_show($crate::EmergencyShowRequest) -> moorline_core::emergency::Emergency, Get "/v1/emergencies/{emergency}", 200;
    } };
}

macro_rules! kind {
    (stream) => {
        Kind::Stream
    };
    ($other:ident) => {
        Kind::Call
    };
}

macro_rules! request_schema {
    () => {
        None
    };
    ($request:ty) => {
        Some(SchemaGenerator::subschema_for::<$request>)
    };
}

macro_rules! as_data {
    ($($kind:ident $operation:ident $name:ident($($request:ty)?) -> $answer:ty, $method:ident $path:literal, $status:literal;)+) => {
        /// Every route, in the order of the list.
        pub const ROUTES: &[Route] = &[$(Route {
            operation: Operation::$operation,
            name: stringify!($name),
            method: Method::$method,
            path: $path,
            status: $status,
            kind: kind!($kind),
            request: request_schema!($($request)?),
            response: SchemaGenerator::subschema_for::<$answer>,
        }),+];
    };
}

for_each_route!(as_data);

/// The route of a method of the trait.
pub fn route(name: &str) -> Option<&'static Route> {
    ROUTES.iter().find(|route| route.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_operation_has_a_route() {
        for operation in Operation::ALL {
            assert!(
                ROUTES.iter().any(|route| route.operation == *operation),
                "{} has no route",
                operation.as_str()
            );
        }
    }

    #[test]
    fn no_two_routes_are_one() {
        let places: BTreeSet<_> = ROUTES.iter().map(|r| (r.method, r.path)).collect();
        assert_eq!(places.len(), ROUTES.len());
        let names: BTreeSet<_> = ROUTES.iter().map(|route| route.name).collect();
        assert_eq!(names.len(), ROUTES.len());
    }

    #[test]
    fn what_changes_something_is_never_got() {
        for route in ROUTES {
            let changes = route.operation.mutates();
            assert!(!(changes && route.method == Method::Get), "{}", route.path);
        }
    }
}
