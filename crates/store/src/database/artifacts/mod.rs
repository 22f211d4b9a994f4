//! [`ArtifactStore`] for both engines.
//!
//! | module | what it does |
//! |---|---|
//! | [`decide`] | submissions and decisions |
//! | [`point`] | promotions and rollbacks; the check of a run against what its lane points to |
//! | [`query`] | reads |

mod decide;
mod point;
mod query;

use async_trait::async_trait;
use moorline_core::artifact::{Artifact, Promotion};
use moorline_core::ids::ArtifactId;
use moorline_core::lane::Lane;

use crate::artifacts::{
    ArtifactFilter, ArtifactStore, DecideArtifact, PointLane, Pointed, SubmitArtifact,
    SubmittedArtifact,
};
use crate::database::backend::Backend;
use crate::database::sql::artifacts as sql;
use crate::database::tx::{Tx, args};
use crate::database::unit::Unit;
use crate::error::StoreError;

pub(crate) use point::must_be_live;

#[async_trait]
impl<B: Backend> ArtifactStore for B {
    async fn artifact_submit(
        &self,
        submission: SubmitArtifact,
    ) -> Result<SubmittedArtifact, StoreError> {
        self.write(decide::Submit(submission)).await
    }

    async fn artifact_decide(&self, decision: DecideArtifact) -> Result<Artifact, StoreError> {
        self.write(decide::Decide(decision)).await
    }

    async fn promotion_record(&self, pointing: PointLane) -> Result<Pointed, StoreError> {
        self.write(point::Point(pointing)).await
    }

    async fn artifact_get(&self, id: ArtifactId) -> Result<Option<Artifact>, StoreError> {
        self.read(query::Get(id)).await
    }

    async fn artifact_find(&self, prefix: &str) -> Result<Vec<ArtifactId>, StoreError> {
        self.read(query::Find(prefix.to_owned())).await
    }

    async fn artifacts_list(&self, filter: ArtifactFilter) -> Result<Vec<Artifact>, StoreError> {
        self.read(query::List(filter)).await
    }

    async fn artifact_baseline(
        &self,
        job_id: &str,
        research: bool,
    ) -> Result<Option<Artifact>, StoreError> {
        let job_id = job_id.to_owned();
        self.read(query::Baseline { job_id, research }).await
    }

    async fn live_get(&self, lane: &Lane, job_id: &str) -> Result<Option<Promotion>, StoreError> {
        let (lane, job_id) = (lane.clone(), job_id.to_owned());
        self.read(query::Live { lane, job_id }).await
    }

    async fn live_list(&self) -> Result<Vec<Promotion>, StoreError> {
        self.read(query::LiveList).await
    }

    async fn promotions_list(
        &self,
        lane: Option<&Lane>,
        job_id: &str,
    ) -> Result<Vec<Promotion>, StoreError> {
        let (lane, job_id) = (lane.cloned(), job_id.to_owned());
        self.read(query::History { lane, job_id }).await
    }
}

/// What a lane points to for a job, read in the transaction.
pub(crate) async fn live<T: Tx>(
    unit: &mut Unit<'_, T>,
    lane: &Lane,
    job_id: &str,
) -> Result<Option<Promotion>, StoreError> {
    query::live(unit.tx, lane, job_id).await
}

/// One artifact, read in the transaction.
pub(crate) async fn artifact<T: Tx>(
    unit: &mut Unit<'_, T>,
    id: ArtifactId,
) -> Result<Artifact, StoreError> {
    match unit
        .tx
        .row(sql::ARTIFACT_GET, args![id.to_string()])
        .await?
    {
        Some(mut row) => row.json("artifact"),
        None => Err(StoreError::not_found(format!("artifact {id}"))),
    }
}
