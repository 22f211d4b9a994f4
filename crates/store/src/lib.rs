//! Where Moorline's state lives: the [`Store`] seam, and its two engines.
//!
//! | item | what it is |
//! |---|---|
//! | [`Store`] | every operation, each one atomic transaction with a name |
//! | [`SqliteStore`] | embedded, the default: one file, shared by the processes of one machine |
//! | [`PostgresStore`] | for many machines |
//! | [`StoreError`] | why nothing was written |
//! | [`conformance`] | what every `Store` must do, as cases to run against one |
//!
//! A state change, its events, its audit record and its outbox rows are one transaction; the change
//! itself is decided by `moorline_core::run::apply`, a pure function.
//!
//! # How it is built
//! Each write is an *intent*, each read a *query*, written once over a connection of either engine.
//! All writes of a process go through one writer, which puts everything that waits into one
//! transaction (group commit) and begins it by taking the lock that makes the writers of all
//! processes serial. That order is what the promises rest on: exclusive claims, fencing, stops that
//! no claim passes, gapless event ids, one audit chain.
//!
//! Deliberately absent: transactions in the hands of callers, business rules (the stop gate apart),
//! clocks, and anything that starts or watches a process.

pub mod conformance;

mod alerts;
mod approvals;
mod artifacts;
mod blobs;
mod counts;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod database;
mod deployments;
mod emergencies;
mod error;
mod principals;
mod refusals;
mod schedules;
mod secrets;
mod sources;
mod store;
mod tokens;
mod types;
mod versions;

pub use alerts::{
    AlertFilter, AlertPlan, AlertRecord, AlertStore, AlertTest, ClaimDeliveries, Claimed,
    RaiseAlert, RecordDelivery, ReplayDelivery,
};
pub use approvals::{
    ApprovalFilter, ApprovalStore, DecideApproval, DecidedApproval, WhichApproval,
};
pub use artifacts::{
    ArtifactFilter, ArtifactStore, DecideArtifact, PointLane, PointTo, Pointed, SubmitArtifact,
    SubmittedArtifact,
};
pub use blobs::{BLOB_LIMIT, BlobStore};
pub use counts::{CountStore, StoreCounts};
#[cfg(feature = "postgres")]
pub use database::PostgresStore;
#[cfg(feature = "sqlite")]
pub use database::SqliteStore;
pub use deployments::{DeploymentStore, RecordDeployment, RecordDrift};
pub use emergencies::{CallEmergency, EmergencyStore, RecordStep, UnderWay, WhichEmergency};
pub use error::StoreError;
pub use principals::{ChangePrincipal, PrincipalStore};
pub use refusals::{KEPT_REFUSALS, REFUSALS_KEPT_FOR, RefusalStore};
pub use schedules::{
    ChangeSchedule, DisableSchedules, EnableSchedule, FireSchedule, Fired, GateReport, Missed,
    ScheduleFilter, ScheduleStore, Start,
};
pub use secrets::{ForgetSecrets, RecordSecret, SecretStore};
pub use sources::{SourceChange, SourceStore};
pub use store::Store;
pub use tokens::{ENDED_TOKENS_KEPT_FOR, LAST_USE_TO, LISTED_TOKENS, RevokeToken, TokenStore};
pub use types::{
    AppendEvents, AttemptRecord, AuditFilter, AuditHead, CancelRun, ClaimDue, Engaged, EventFilter,
    FinishAttempt, LiveRun, NewRun, OutboxDone, OutboxRow, RunFilter, SchemaCheck, StoreHealth,
    StoreIsolation, Submitted,
};
pub use versions::{Seen, VersionStore, Versioned};
