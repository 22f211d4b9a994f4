//! References on the command line: which artifact is meant.

use moorline_api::ApiError;
use moorline_core::artifact::Artifact;
use moorline_core::content_id::ContentId;
use moorline_core::error_code::ErrorCode;
use moorline_core::ids::ArtifactId;
use moorline_core::lane::Lane;
use moorline_store::ArtifactFilter;

use crate::beginning::{is_beginning, only};
use crate::engine::Inner;
use crate::error::store_error;
use crate::submit;

impl Inner {
    /// The lane of this name, which must be configured; `dev` without one.
    pub(super) fn lane_asked(&self, name: Option<&str>) -> Result<Lane, ApiError> {
        submit::lane(&self.config.settings, name).map(|(lane, _)| lane)
    }

    /// An artifact by its id, a unique beginning of it, its content id, `latest`, `latest:JOB` or `live:JOB`.
    pub(crate) async fn find_artifact(
        &self,
        text: &str,
        lane: Option<&str>,
    ) -> Result<Artifact, ApiError> {
        if let Some(job) = text.strip_prefix("live:") {
            let lane = self.lane_asked(lane)?;
            let live = self.store.live_get(&lane, job).await.map_err(store_error)?;
            let live = live.ok_or_else(|| {
                let message = format!("the lane {lane} points to no artifact of {job}");
                ApiError::new(ErrorCode::NotFound, message)
                    .hint("`moorline artifact promote` points it to one")
            })?;
            return self.must_get_artifact(live.artifact).await;
        }
        if text == "latest" || text.starts_with("latest:") {
            let job_id = text.strip_prefix("latest:").map(str::to_owned);
            let newest = ArtifactFilter {
                job_id,
                ..ArtifactFilter::default()
            };
            return self.newest(newest, text).await;
        }
        if let Ok(content) = text.parse::<ContentId>() {
            let newest = ArtifactFilter {
                content: Some(content),
                ..ArtifactFilter::default()
            };
            return self.newest(newest, text).await;
        }
        if let Ok(id) = text.parse::<ArtifactId>() {
            return self.must_get_artifact(id).await;
        }
        let found = if is_beginning(text) {
            self.store.artifact_find(text).await.map_err(store_error)?
        } else {
            Vec::new()
        };
        let id = only(found, text, "artifacts", || unknown(text))?;
        self.must_get_artifact(id).await
    }

    async fn newest(&self, filter: ArtifactFilter, text: &str) -> Result<Artifact, ApiError> {
        let newest = ArtifactFilter { limit: 1, ..filter };
        let found = self.store.artifacts_list(newest).await;
        let found = found.map_err(store_error)?;
        found.into_iter().next().ok_or_else(|| unknown(text))
    }

    pub(crate) async fn must_get_artifact(&self, id: ArtifactId) -> Result<Artifact, ApiError> {
        let found = self.store.artifact_get(id).await.map_err(store_error)?;
        found.ok_or_else(|| unknown(&id.to_string()))
    }
}

fn unknown(text: &str) -> ApiError {
    ApiError::new(ErrorCode::NotFound, format!("no artifact `{text}`")).hint(
        "`moorline artifact list` shows them; an id, a unique beginning of it, a content id `b3:…`, \
         `latest`, `latest:JOB` and `live:JOB` will do",
    )
}
