//! Reads of artifacts and promotions.

use moorline_core::artifact::{Artifact, Promotion};
use moorline_core::ids::ArtifactId;
use moorline_core::lane::Lane;

use crate::artifacts::ArtifactFilter;
use crate::database::query::Query;
use crate::database::sql::artifacts as sql;
use crate::database::tx::{Row, Tx, Val, args};
use crate::error::StoreError;

/// Behind every id: ids begin with a hexadecimal digit.
const BEHIND_ALL: &str = "g";

/// Artifacts of a job read at a time while its baseline is looked for.
const PAGE: u32 = 50;

/// [`ArtifactStore::artifact_get`](crate::ArtifactStore::artifact_get).
pub(super) struct Get(pub(super) ArtifactId);

impl Query for Get {
    type Reply = Option<Artifact>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Option<Artifact>, StoreError> {
        let row = tx.row(sql::ARTIFACT_GET, args![self.0.to_string()]).await?;
        row.map(artifact_of).transpose()
    }
}

/// [`ArtifactStore::artifact_find`](crate::ArtifactStore::artifact_find).
pub(super) struct Find(pub(super) String);

impl Query for Find {
    type Reply = Vec<ArtifactId>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Vec<ArtifactId>, StoreError> {
        let prefix = self.0.to_ascii_lowercase();
        let plain = |byte: u8| byte == b'-' || byte.is_ascii_hexdigit();
        if !prefix.bytes().all(plain) {
            return Ok(Vec::new());
        }
        let end = format!("{prefix}{BEHIND_ALL}");
        let rows = tx.rows(sql::ARTIFACT_FIND, args![prefix, end]).await?;
        rows.into_iter()
            .map(|mut row| row.parsed("artifact id"))
            .collect()
    }
}

/// [`ArtifactStore::artifacts_list`](crate::ArtifactStore::artifacts_list).
pub(super) struct List(pub(super) ArtifactFilter);

impl Query for List {
    type Reply = Vec<Artifact>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Vec<Artifact>, StoreError> {
        list(tx, &self.0).await
    }
}

/// Artifacts, newest first, filtered before the limit.
pub(super) async fn list<T: Tx>(
    tx: &mut T,
    filter: &ArtifactFilter,
) -> Result<Vec<Artifact>, StoreError> {
    let job = filter.job_id.clone();
    let state = filter.state.map(|state| state.as_str().to_owned());
    let content = filter.content.map(|content| content.to_string());
    let statement = match (job.is_some(), state.is_some(), content.is_some()) {
        (false, false, false) => sql::ARTIFACTS,
        (true, false, false) => sql::ARTIFACTS_JOB,
        (false, true, false) => sql::ARTIFACTS_STATE,
        (false, false, true) => sql::ARTIFACTS_CONTENT,
        (true, true, false) => sql::ARTIFACTS_JOB_STATE,
        (true, false, true) => sql::ARTIFACTS_JOB_CONTENT,
        (false, true, true) => sql::ARTIFACTS_STATE_CONTENT,
        (true, true, true) => sql::ARTIFACTS_JOB_STATE_CONTENT,
    };
    let before = filter
        .before
        .map_or_else(|| BEHIND_ALL.to_owned(), |id| id.to_string());
    let mut args = vec![Val::from(before)];
    args.extend([job, state, content].into_iter().flatten().map(Val::from));
    args.push(if filter.limit == 0 { 50 } else { filter.limit }.into());
    let rows = tx.rows(statement, &args).await?;
    rows.into_iter().map(artifact_of).collect()
}

/// [`ArtifactStore::artifact_baseline`](crate::ArtifactStore::artifact_baseline).
pub(super) struct Baseline {
    pub(super) job_id: String,
    pub(super) research: bool,
}

impl Query for Baseline {
    type Reply = Option<Artifact>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Option<Artifact>, StoreError> {
        baseline(tx, &self.job_id, self.research).await
    }
}

/// The version of a job that the next one is compared with. A job has few versions, so they are looked
/// through; "newest" is by approval.
pub(super) async fn baseline<T: Tx>(
    tx: &mut T,
    job_id: &str,
    research: bool,
) -> Result<Option<Artifact>, StoreError> {
    let mut found: Option<Artifact> = None;
    let mut filter = ArtifactFilter {
        job_id: Some(job_id.to_owned()),
        limit: PAGE,
        ..ArtifactFilter::default()
    };
    loop {
        let page = list(tx, &filter).await?;
        let Some(last) = page.last() else {
            return Ok(found);
        };
        filter.before = Some(last.id);
        let settled = page
            .into_iter()
            .filter(|artifact| artifact.is_research() == research && artifact.security_settled());
        for artifact in settled {
            let at = artifact
                .approval()
                .map(|approval| (approval.at, artifact.id));
            let newest = found
                .as_ref()
                .and_then(|found| Some((found.approval()?.at, found.id)));
            if at > newest {
                found = Some(artifact);
            }
        }
    }
}

/// [`ArtifactStore::live_get`](crate::ArtifactStore::live_get).
pub(super) struct Live {
    pub(super) lane: Lane,
    pub(super) job_id: String,
}

impl Query for Live {
    type Reply = Option<Promotion>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Option<Promotion>, StoreError> {
        live(tx, &self.lane, &self.job_id).await
    }
}

/// What a lane points to for a job.
pub(super) async fn live<T: Tx>(
    tx: &mut T,
    lane: &Lane,
    job_id: &str,
) -> Result<Option<Promotion>, StoreError> {
    let row = tx.row(sql::LIVE_GET, args![lane.as_str(), job_id]).await?;
    row.map(promotion_of).transpose()
}

/// [`ArtifactStore::live_list`](crate::ArtifactStore::live_list).
pub(super) struct LiveList;

impl Query for LiveList {
    type Reply = Vec<Promotion>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Vec<Promotion>, StoreError> {
        let rows = tx.rows(sql::LIVE_LIST, args![]).await?;
        rows.into_iter().map(promotion_of).collect()
    }
}

/// [`ArtifactStore::promotions_list`](crate::ArtifactStore::promotions_list).
pub(super) struct History {
    pub(super) lane: Option<Lane>,
    pub(super) job_id: String,
}

impl Query for History {
    type Reply = Vec<Promotion>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Vec<Promotion>, StoreError> {
        let rows = match &self.lane {
            Some(lane) => {
                let args = args![lane.as_str(), &self.job_id];
                tx.rows(sql::PROMOTIONS_LANE, args).await?
            }
            None => tx.rows(sql::PROMOTIONS_JOB, args![&self.job_id]).await?,
        };
        rows.into_iter().map(promotion_of).collect()
    }
}

fn artifact_of(mut row: Row) -> Result<Artifact, StoreError> {
    row.json("artifact")
}

fn promotion_of(mut row: Row) -> Result<Promotion, StoreError> {
    row.json("promotion")
}
