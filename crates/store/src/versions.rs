//! Versions of what people change, so that a change can rest on what was seen.
//!
//! Whoever changes something that they looked at before says which version they saw ([`Seen`]); the change is
//! made only if that is still the version, which is looked at in the transaction of the change. Without it, of
//! two changes that rest on the same version both could be made, and the second would overwrite the first
//! unseen.
//!
//! Deliberately absent: counters in the rows. A version is the content of the row and the place of the newest
//! audit record about it, so that nobody who writes a row can forget to count.

use async_trait::async_trait;
use moorline_core::content_id::ContentId;
use moorline_core::ids::{ArtifactId, RunId};
use moorline_core::principal::Principal;
use moorline_core::schedule::ScheduleId;

use crate::error::StoreError;

/// Something that has versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Versioned {
    /// An artifact: what was decided about it, and which lanes were pointed to it.
    Artifact(ArtifactId),
    /// A schedule, with what was deployed of it and the evidence for its gates.
    Schedule(ScheduleId),
    /// A source.
    Source(String),
    /// A principal, also one that has no record yet.
    Principal(Principal),
    /// A run.
    Run(RunId),
}

/// A version of something, as somebody saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Of what.
    pub what: Versioned,
    /// Which version: another one after every change, and never the same again.
    pub version: ContentId,
}

/// Versions of what people change. A part of [`Store`](crate::Store), under its contract.
#[async_trait]
pub trait VersionStore: Send + Sync {
    /// The present version. What is not there has one too, which is over once it is made.
    async fn version_of(&self, what: &Versioned) -> Result<Seen, StoreError>;
}
