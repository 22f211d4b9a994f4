//! Two versions side by side: what a job may do and depends on, and the text of its files.

use std::collections::BTreeSet;

use moorline_api::{ApiError, ArtifactDiff, ArtifactDiffRequest, FileDiff};
use moorline_core::artifact::Artifact;
use moorline_core::artifact::difference::{Version, difference};
use moorline_core::artifact::files::{Entry, Files};
use similar::TextDiff;

use super::review::spec_of;
use crate::engine::Inner;
use crate::error::store_error;

/// Lines of context around a change.
const CONTEXT: usize = 3;
/// The longest text that is compared line by line, in bytes.
const MAX_TEXT: usize = 1 << 20;

impl Inner {
    /// `artifact diff`.
    pub(super) async fn diff_artifacts(
        &self,
        request: ArtifactDiffRequest,
    ) -> Result<ArtifactDiff, ApiError> {
        let lane = request.lane.as_deref();
        let after = self.find_artifact(&request.artifact, lane).await?;
        let before = match &request.before {
            Some(before) => Some(self.find_artifact(before, lane).await?),
            None => self.usual_before(&after, lane).await?,
        };
        let new = self.open_kept(&after.content).await?;
        let new_spec = spec_of(&new.files, &after)?;
        let mut diff = ArtifactDiff {
            before: before.as_ref().map(|before| before.content),
            after: after.content,
            changes: Vec::new(),
            files: Vec::new(),
        };
        let nothing = Files::default();
        match &before {
            None => diff.files = texts(&nothing, &new.files),
            Some(before) => {
                let old = self.open_kept(&before.content).await?;
                let old_spec = spec_of(&old.files, before)?;
                diff.changes = difference(
                    Version {
                        spec: &old_spec.spec,
                        files: &old.files,
                    },
                    Version {
                        spec: &new_spec.spec,
                        files: &new.files,
                    },
                );
                diff.files = texts(&old.files, &new.files);
            }
        }
        Ok(diff)
    }

    /// What a version is compared with when nothing is named: what the lane points to, else the last approved
    /// one; never itself.
    async fn usual_before(
        &self,
        after: &Artifact,
        lane: Option<&str>,
    ) -> Result<Option<Artifact>, ApiError> {
        let lane = self.lane_asked(lane)?;
        let live = self.store.live_get(&lane, &after.job_id).await;
        if let Some(live) = live.map_err(store_error)?
            && live.artifact != after.id
            && !after.is_research()
        {
            return self.must_get_artifact(live.artifact).await.map(Some);
        }
        let approved = self
            .store
            .artifact_baseline(&after.job_id, after.is_research())
            .await;
        let approved = approved.map_err(store_error)?;
        Ok(approved.filter(|approved| approved.id != after.id))
    }
}

/// The unified difference of every file that changed.
fn texts(before: &Files, after: &Files) -> Vec<FileDiff> {
    let paths: BTreeSet<&str> = before
        .iter()
        .chain(after.iter())
        .map(|(path, _)| path)
        .collect();
    paths
        .into_iter()
        .filter(|path| before.get(path) != after.get(path))
        .map(|path| FileDiff {
            path: path.to_owned(),
            unified: unified(path, before.get(path), after.get(path)),
        })
        .collect()
}

fn unified(path: &str, before: Option<&Entry>, after: Option<&Entry>) -> Option<String> {
    let (old, new) = (text(before)?, text(after)?);
    let name = |side: &str, entry: Option<&Entry>| match entry {
        Some(_) => format!("{side}/{path}"),
        None => "/dev/null".to_owned(),
    };
    Some(
        TextDiff::from_lines(&old, &new)
            .unified_diff()
            .context_radius(CONTEXT)
            .header(&name("a", before), &name("b", after))
            .to_string(),
    )
}

/// The text of one side; a link is its target, and what is not there is empty.
fn text(entry: Option<&Entry>) -> Option<String> {
    match entry {
        None => Some(String::new()),
        Some(Entry::Link { target }) => Some(format!("link to {target}\n")),
        Some(Entry::File { bytes, .. }) => {
            let bytes = bytes.as_deref().filter(|bytes| bytes.len() <= MAX_TEXT)?;
            let text = std::str::from_utf8(bytes).ok()?;
            (!text.contains('\0')).then(|| text.to_owned())
        }
    }
}
