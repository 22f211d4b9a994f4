//! The operations of Moorline: one trait, [`ControlPlane`], with its requests, responses and error body.
//!
//! Whoever offers Moorline to people or programs is written once against this trait: the command line
//! over the engine in its own process, later an HTTP server over the same engine, and an HTTP client that
//! implements the trait for the command line's remote mode. [`Operation::ALL`] lists every operation, so
//! that a test can show that each has a command, a route and a row in the authorisation table.
//!
//! | module | what |
//! |---|---|
//! | [`control_plane`] | the trait |
//! | [`operation`] | the list of operations, with what each changes |
//! | [`types`] | requests and responses of runs, with published schemas |
//! | [`outputs`] | reading what a run left |
//! | [`principals`], [`artifacts`], [`schedules`], [`deployments`], [`emergencies`], [`secrets`], [`sources`], [`reauth`], [`alerts`], [`trail`] | the parts of the trait for governance, each with its requests and responses |
//! | [`authorization`] | which principal may do which operation |
//! | [`approvals`], [`tokens`] | the parts of the trait for decisions at gates and for access over a network |
//! | [`routes`] | the operations over HTTP: method, path and shape of each, for server, client and OpenAPI |
//! | [`directory`] | what of a directory is part of a job |
//! | `client` (feature `client`) | the trait over HTTP |
//! | [`error`] | the one error body |

pub mod alerts;
pub mod approvals;
pub mod artifacts;
pub mod authorization;
#[cfg(feature = "client")]
pub mod client;
pub mod control_plane;
pub mod deployments;
pub mod directory;
pub mod emergencies;
pub mod error;
pub mod operation;
pub mod outputs;
pub mod principals;
pub mod reauth;
pub mod routes;
pub mod schedules;
pub mod secrets;
pub mod sources;
pub mod tokens;
pub mod trail;
pub mod types;

pub use alerts::{
    AlertListRequest, AlertOperations, AlertReplayRequest, AlertRequest, AlertTestRequest,
    AlertView,
};
pub use approvals::{
    ApprovalDecideRequest, ApprovalDecided, ApprovalLink, ApprovalLinkRequest, ApprovalListRequest,
    ApprovalOperations, ApprovalShowRequest,
};
pub use artifacts::{
    ArtifactDiff, ArtifactDiffRequest, ArtifactListRequest, ArtifactOperations, ArtifactRequest,
    ArtifactReviewRequest, ArtifactSubmitRequest, ArtifactSubmitted, ArtifactView, AttestRequest,
    Check, DecisionRequest, ExportReport, ExportRequest, FileDiff, HistoryRequest, ProjectReport,
    PromoteRequest, PromotionView, ReviewView, RollbackRequest, TrustedKey, VerifyReport,
    VerifyRequest,
};
pub use control_plane::ControlPlane;
pub use deployments::{
    DeploymentOperations, DeploymentView, DriftFinding, DriftReport, DriftRequest, DriftState,
};
pub use emergencies::{
    EmergencyChoice, EmergencyOperations, EmergencyRequest, EmergencyShowRequest,
};
pub use error::{ApiError, ErrorDetail};
pub use operation::Operation;
pub use outputs::{OutputChunk, OutputRequest};
pub use principals::{
    PrincipalChangeRequest, PrincipalOperations, PrincipalRemoveRequest, PrincipalRequest,
    PrincipalView, RoleOrigin, WhoamiRequest,
};
pub use reauth::ReauthOperations;
pub use schedules::{
    GateRequest, GatesView, NextTime, ScheduleChangeRequest, ScheduleDisableRequest,
    ScheduleListRequest, ScheduleNextRequest, ScheduleOperations, ScheduleRequest, ScheduleView,
    VerifyRunRequest,
};
pub use secrets::SecretOperations;
pub use sources::{
    SourceChangeRequest, SourceDetail, SourceOperations, SourceRequest, SourceResumeRequest,
    SourceSchedule,
};
pub use tokens::{
    TokenCreateRequest, TokenCreated, TokenListRequest, TokenOperations, TokenRevokeRequest,
};
pub use trail::{
    AuditExportLine, AuditListRequest, AuditVerifyRequest, ExplainRequest, Explanation, Fact,
    Point, RuleView, TrailOperations,
};
pub use types::*;
