//! Sources and their states.

use async_trait::async_trait;
use jiff::Timestamp;
use moorline_core::source::{Source, SourceCommand};

use crate::error::StoreError;
use crate::versions::Seen;

/// Sources, as people steer them. A part of [`Store`](crate::Store), under its contract.
///
/// What the ends of runs do to a source is part of the transaction that ends the run.
#[async_trait]
pub trait SourceStore: Send + Sync {
    /// Every source, by id.
    async fn sources_list(&self) -> Result<Vec<Source>, StoreError>;

    /// One source.
    async fn source_get(&self, source_id: &str) -> Result<Option<Source>, StoreError>;

    /// Pauses or resumes a source, and with it the schedules that read it. What changes nothing writes
    /// nothing. [`StoreError::Denied`] when a rule refuses it.
    async fn source_change(&self, change: SourceChange) -> Result<Source, StoreError>;
}

/// A change of a source by someone.
#[derive(Debug, Clone)]
pub struct SourceChange {
    /// The source.
    pub source_id: String,
    /// [`SourceCommand::Pause`] or [`SourceCommand::Resume`].
    pub command: SourceCommand,
    /// The version that it must still be; none for a change of whatever is there.
    pub seen: Option<Seen>,
    /// Now.
    pub now: Timestamp,
}
