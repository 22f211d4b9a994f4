//! Artifacts: what waits for review, what changed in it, who decided, and the command by which a person who
//! has a key decides. Keys never come here, so no button signs anything.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use moorline_api::{
    ArtifactDiffRequest, ArtifactListRequest, ArtifactOperations as _, ArtifactRequest, FileDiff,
    Operation,
};
use moorline_core::artifact::{Artifact, ArtifactState, Change, Decision};
use moorline_core::denial::Detail;

use super::runs::Choice;
use super::{LINES, html};
use crate::dashboard::chrome::{Area, Chrome};
use crate::dashboard::fault::Fault;
use crate::dashboard::fields::Fields;
use crate::dashboard::parts::{Badge, Id, Moment, Tone};
use crate::dashboard::viewer::Viewer;

/// An artifact in a list.
struct ArtifactLine {
    id: Id,
    job: String,
    job_href: String,
    version: u32,
    state: Badge,
    by: String,
    at: Moment,
    note: Option<String>,
    security: bool,
}

impl ArtifactLine {
    fn of(viewer: &Viewer, artifact: &Artifact) -> Self {
        Self {
            id: Id::below("/artifacts", artifact.id),
            job: artifact.job_id.clone(),
            job_href: super::jobs::href(&artifact.job_id),
            version: artifact.spec_version,
            state: artifact.state.into(),
            by: artifact.submitted_by.to_string(),
            at: viewer.moment(artifact.submitted_at),
            note: artifact.note.clone(),
            security: !artifact.security_settled(),
        }
    }
}

#[derive(Template)]
#[template(path = "artifacts.html")]
struct ListPage {
    chrome: Chrome,
    artifacts: Vec<ArtifactLine>,
    states: Vec<Choice>,
    job: String,
    filtered: bool,
    older: Option<String>,
}

/// All artifacts.
pub(super) async fn list(viewer: Viewer, fields: Fields) -> Result<Response, Fault> {
    viewer.permit(Operation::ArtifactList)?;
    let state = fields.get("state");
    let request = ArtifactListRequest {
        job_id: fields.text("job"),
        state: ArtifactState::ALL
            .into_iter()
            .find(|known| Some(known.as_str()) == state),
        before: fields.parse("before")?,
        limit: LINES + 1,
    };
    let job = request.job_id.clone().unwrap_or_default();
    let mut artifacts = viewer.engine().artifact_list(request).await?;
    let more = artifacts.len() > LINES as usize;
    artifacts.truncate(LINES as usize);
    let older = artifacts
        .last()
        .filter(|_| more)
        .map(|last| fields.with("before", &last.id.to_string()));
    let page = ListPage {
        chrome: Chrome::load(&viewer, Area::Artifacts, "Artifacts").await?,
        artifacts: artifacts
            .iter()
            .map(|artifact| ArtifactLine::of(&viewer, artifact))
            .collect(),
        states: Choice::of(ArtifactState::ALL.map(ArtifactState::as_str), state),
        filtered: state.is_some() || !job.is_empty(),
        job,
        older,
    };
    html(&page)
}

/// A line of a difference.
#[derive(Debug, PartialEq, Eq)]
struct DiffLine<'a> {
    class: &'static str,
    /// For readers that see no colour: `added`, `removed`; empty for context.
    says: &'static str,
    text: &'a str,
}

/// A file that changed.
struct FileView {
    path: String,
    unified: Option<String>,
}

impl FileView {
    fn lines(&self) -> Vec<DiffLine<'_>> {
        self.unified
            .as_deref()
            .unwrap_or_default()
            .lines()
            .map(diff_line)
            .collect()
    }
}

fn diff_line(text: &str) -> DiffLine<'_> {
    let (class, says) = match text.as_bytes() {
        [b'+', b'+', b'+', ..] | [b'-', b'-', b'-', ..] => ("file", ""),
        [b'@', b'@', ..] => ("hunk", ""),
        [b'+', ..] => ("add", "added"),
        [b'-', ..] => ("del", "removed"),
        _ => ("", ""),
    };
    DiffLine { class, says, text }
}

/// A decision about it.
struct DecisionView {
    kind: Badge,
    by: String,
    at: Moment,
    reason: String,
    changes: Vec<String>,
    signed: bool,
}

#[derive(Template)]
#[template(path = "artifact.html")]
struct Page {
    chrome: Chrome,
    line: ArtifactLine,
    content: Id,
    live_in: String,
    findings: Vec<Detail>,
    changes: Vec<Change>,
    against: Option<Id>,
    files: Vec<FileView>,
    decisions: Vec<DecisionView>,
    commands: Vec<(&'static str, String)>,
    security_owed: bool,
}

/// One artifact.
pub(super) async fn page(viewer: Viewer, Path(artifact): Path<String>) -> Result<Response, Fault> {
    viewer.permit(Operation::ArtifactShow)?;
    let engine = viewer.engine();
    let request = ArtifactRequest {
        artifact,
        lane: None,
    };
    let view = engine.artifact_show(request).await?;
    let artifact = view.artifact;
    let diff = if viewer.may(Operation::ArtifactDiff) {
        let request = ArtifactDiffRequest {
            artifact: artifact.id.to_string(),
            ..ArtifactDiffRequest::default()
        };
        Some(engine.artifact_diff(request).await?)
    } else {
        None
    };
    let (changes, before, files) = match diff {
        Some(diff) => (diff.changes, diff.before, diff.files),
        None => (
            artifact.review.changes.clone(),
            artifact.review.against,
            Vec::new(),
        ),
    };
    let lanes: Vec<String> = view.live_in.iter().map(ToString::to_string).collect();
    let title = format!("{} version {}", artifact.job_id, artifact.spec_version);
    let page = Page {
        chrome: Chrome::load(&viewer, Area::Artifacts, title).await?,
        line: ArtifactLine::of(&viewer, &artifact),
        content: Id::plain(artifact.content),
        live_in: lanes.join(", "),
        findings: artifact.review.findings.clone(),
        changes,
        against: before.map(Id::plain),
        files: files
            .into_iter()
            .map(|FileDiff { path, unified }| FileView { path, unified })
            .collect(),
        decisions: artifact
            .decisions
            .iter()
            .map(|one| decision(&viewer, one))
            .collect(),
        commands: commands(&artifact, view.security_review_owed),
        security_owed: view.security_review_owed,
    };
    html(&page)
}

fn decision(viewer: &Viewer, decision: &Decision) -> DecisionView {
    use moorline_core::artifact::DecisionKind;
    let tone = match decision.kind {
        DecisionKind::Approve | DecisionKind::SecurityReview => Tone::Good,
        DecisionKind::Reject => Tone::Bad,
        DecisionKind::RequestChanges => Tone::Warn,
        DecisionKind::Archive => Tone::Idle,
    };
    DecisionView {
        kind: Badge::new(tone, decision.kind.as_str()),
        by: decision.by.to_string(),
        at: viewer.moment(decision.at),
        reason: decision.reason.clone(),
        changes: decision.changes.clone(),
        signed: decision.signed.is_some(),
    }
}

/// What a person can do next, on a machine that has their key.
fn commands(artifact: &Artifact, security_owed: bool) -> Vec<(&'static str, String)> {
    let id = artifact.id;
    let run = |what: &str| format!("moorline artifact {what} {id} --reason \"…\"");
    let mut commands = Vec::new();
    if artifact.state == ArtifactState::Pending {
        commands.push(("Approve it, signed", run("approve")));
        commands.push(("Ask for changes", run("request-changes")));
        commands.push(("Reject it for good", run("reject")));
    }
    if security_owed && artifact.state != ArtifactState::Rejected {
        commands.push((
            "Record the security review that it needs",
            run("security-review"),
        ));
    }
    if artifact.state.was_approved() {
        commands.push((
            "Point a lane to it",
            format!("moorline artifact promote {id} --lane staging --reason \"…\""),
        ));
    }
    commands.push((
        "Check content and signatures",
        format!("moorline artifact verify {id}"),
    ));
    commands
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_difference_are_told_apart_by_class_and_word() {
        let unified = "--- a/job.py\n+++ b/job.py\n@@ -1 +1 @@\n-old\n+new\n same";
        let view = FileView {
            path: "job.py".to_owned(),
            unified: Some(unified.to_owned()),
        };
        let classes: Vec<_> = view
            .lines()
            .iter()
            .map(|line| (line.class, line.says))
            .collect();
        assert_eq!(
            classes,
            [
                ("file", ""),
                ("file", ""),
                ("hunk", ""),
                ("del", "removed"),
                ("add", "added"),
                ("", "")
            ]
        );
    }
}
