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
//! | [`principals`], [`artifacts`], [`schedules`], [`deployments`], [`emergencies`], [`secrets`], [`sources`], [`reauth`], [`alerts`], [`trail`] | the parts of the trait for governance, each with its requests and responses |
//! | [`authorization`] | which principal may do which operation |
//! | [`error`] | the one error body |

pub mod alerts;
pub mod artifacts;
pub mod authorization;
pub mod control_plane;
pub mod deployments;
pub mod emergencies;
pub mod error;
pub mod operation;
pub mod principals;
pub mod reauth;
pub mod schedules;
pub mod secrets;
pub mod sources;
pub mod trail;
pub mod types;

pub use alerts::{
    AlertListRequest, AlertOperations, AlertReplayRequest, AlertRequest, AlertTestRequest,
    AlertView,
};
pub use artifacts::{
    ArtifactDiff, ArtifactDiffRequest, ArtifactListRequest, ArtifactOperations, ArtifactRequest,
    ArtifactReviewRequest, ArtifactSubmitRequest, ArtifactSubmitted, ArtifactView, Check,
    DecisionRequest, ExportReport, ExportRequest, FileDiff, HistoryRequest, ProjectReport,
    PromoteRequest, PromotionView, ReviewView, RollbackRequest, TrustedKey, VerifyReport,
    VerifyRequest,
};
pub use control_plane::ControlPlane;
pub use deployments::{
    DeploymentOperations, DeploymentView, DriftFinding, DriftReport, DriftRequest, DriftState,
};
pub use emergencies::{EmergencyChoice, EmergencyOperations, EmergencyRequest};
pub use error::{ApiError, ErrorDetail};
pub use operation::Operation;
pub use principals::{
    PrincipalChangeRequest, PrincipalOperations, PrincipalRemoveRequest, PrincipalRequest,
    PrincipalView, RoleOrigin,
};
pub use reauth::ReauthOperations;
pub use schedules::{
    GateRequest, GatesView, NextTime, ScheduleChangeRequest, ScheduleDisableRequest,
    ScheduleListRequest, ScheduleNextRequest, ScheduleOperations, ScheduleRequest, ScheduleView,
    VerifyRunRequest,
};
pub use secrets::SecretOperations;
pub use sources::{
    SourceChangeRequest, SourceDetail, SourceOperations, SourceResumeRequest, SourceSchedule,
};
pub use trail::{
    AuditExportLine, AuditListRequest, AuditVerifyRequest, ExplainRequest, Explanation, Fact,
    Point, RuleView, TrailOperations,
};
pub use types::*;
