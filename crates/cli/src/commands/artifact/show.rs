//! Artifacts for people.

use anstyle::AnsiColor;
use moorline_api::{ArtifactDiff, ArtifactView, PromotionView, ReviewView, VerifyReport};
use moorline_core::artifact::{Artifact, ArtifactState, Change, Promotion, PromotionKind, Review};

use crate::output::{line, paint, table};

fn state(state: ArtifactState) -> String {
    let color = match state {
        ArtifactState::Approved => AnsiColor::Green,
        ArtifactState::Draft | ArtifactState::Pending => AnsiColor::Cyan,
        ArtifactState::RevisionsRequested => AnsiColor::Yellow,
        ArtifactState::Rejected => AnsiColor::Red,
        ArtifactState::Superseded | ArtifactState::Archived => AnsiColor::BrightBlack,
    };
    paint(color, state.as_str())
}

pub(super) fn submitted(artifact: &Artifact, created: bool) {
    if created {
        line(&format!(
            "artifact {} of {} waits for review",
            artifact.id, artifact.job_id
        ));
    } else {
        line(&format!(
            "this content is artifact {} of {} already, which is {}",
            artifact.id,
            artifact.job_id,
            state(artifact.state)
        ));
    }
    line(&format!("content  {}", artifact.content));
    changes(&artifact.review);
}

pub(super) fn list(found: &[Artifact]) {
    let rows = found.iter().map(|artifact| {
        vec![
            artifact.id.to_string(),
            artifact.job_id.clone(),
            artifact.spec_version.to_string(),
            state(artifact.state),
            artifact.submitted_by.to_string(),
            artifact.submitted_at.to_string(),
        ]
    });
    table(
        &["ARTIFACT", "JOB", "VERSION", "STATE", "BY", "SUBMITTED"],
        rows.collect(),
    );
}

pub(super) fn artifact(view: &ArtifactView) {
    let artifact = &view.artifact;
    line(&format!("artifact   {}", artifact.id));
    line(&format!(
        "job        {} (version {}, {})",
        artifact.job_id,
        artifact.spec_version,
        artifact.job_type.as_str()
    ));
    line(&format!("state      {}", state(artifact.state)));
    line(&format!("content    {}", artifact.content));
    line(&format!("spec       {}", artifact.spec_hash));
    line(&format!(
        "submitted  by {} at {}",
        artifact.submitted_by, artifact.submitted_at
    ));
    if let Some(note) = &artifact.note {
        line(&format!("note       {note}"));
    }
    let lanes: Vec<String> = view.live_in.iter().map(ToString::to_string).collect();
    if !lanes.is_empty() {
        line(&format!("live in    {}", lanes.join(", ")));
    }
    line(&format!("kept in    {}", view.kept_in.display()));
    for decision in &artifact.decisions {
        let signed = if decision.signed.is_some() {
            ", signed"
        } else {
            ""
        };
        line(&format!(
            "{} by {} at {}{signed}: {}",
            decision.kind.as_str(),
            decision.by,
            decision.at,
            decision.reason
        ));
        for change in &decision.changes {
            line(&format!("  - {change}"));
        }
    }
    changes(&artifact.review);
    if view.security_review_owed {
        line("a security review is owed before a promotion: `moorline artifact security-review`");
    }
}

pub(super) fn review(view: &ReviewView) {
    for finding in &view.review.findings {
        let hint = finding.hint.as_ref();
        let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
        line(&format!(
            "{}: {} ({}){hint}",
            finding.at, finding.message, finding.rule
        ));
    }
    let count = view.review.findings.len();
    let plural = if count == 1 { "finding" } else { "findings" };
    line(&format!("{count} {plural}"));
    if let Some(content) = view.content {
        line(&format!("content  {content}"));
    }
    changes(&view.review);
}

fn changes(review: &Review) {
    match review.against {
        None => line("nothing of this job was approved before"),
        Some(against) if review.changes.is_empty() => line(&format!("equal to {against}")),
        Some(against) => {
            line(&format!("against {against}:"));
            for change in &review.changes {
                one_change(change);
            }
        }
    }
}

fn one_change(change: &Change) {
    let mark = if change.security {
        paint(AnsiColor::Yellow, " [needs a security review]")
    } else {
        String::new()
    };
    line(&format!(
        "  {}: {}{mark}",
        change.what,
        change.detail().message
    ));
}

pub(super) fn decided(artifact: &Artifact) {
    line(&format!(
        "artifact {} of {} is {}",
        artifact.id,
        artifact.job_id,
        state(artifact.state)
    ));
    if !artifact.security_settled() && artifact.state == ArtifactState::Approved {
        line("a security review is owed before a promotion: `moorline artifact security-review`");
    }
}

pub(super) fn pointed(done: &PromotionView) {
    let promotion = &done.promotion;
    let verb = if done.changed {
        "now points"
    } else {
        "pointed already"
    };
    line(&format!(
        "the lane {} {verb} to artifact {} of {}",
        promotion.lane, promotion.artifact, promotion.job_id
    ));
    line(&format!("content  {}, verified", promotion.content));
}

pub(super) fn history(history: &[Promotion]) {
    let rows = history.iter().map(|promotion| {
        let kind = match promotion.kind {
            PromotionKind::Promote => "promote",
            PromotionKind::Rollback => "rollback",
        };
        vec![
            promotion.at.to_string(),
            promotion.lane.to_string(),
            kind.to_owned(),
            promotion.artifact.to_string(),
            promotion.by.to_string(),
            promotion.reason.clone(),
        ]
    });
    table(
        &["AT", "LANE", "KIND", "ARTIFACT", "BY", "REASON"],
        rows.collect(),
    );
}

pub(super) fn diff(diff: &ArtifactDiff) {
    match diff.before {
        None => line("there is nothing to compare with"),
        Some(before) => line(&format!("{before} -> {}", diff.after)),
    }
    for change in &diff.changes {
        one_change(change);
    }
    for file in &diff.files {
        match &file.unified {
            Some(unified) => line(unified.trim_end()),
            None => line(&format!("{} differs and is no text", file.path)),
        }
    }
}

pub(super) fn verified(report: &VerifyReport) {
    for check in &report.checks {
        let mark = if check.holds {
            paint(AnsiColor::Green, "ok")
        } else {
            paint(AnsiColor::Red, "no")
        };
        let problem = check.problem.as_ref();
        let problem = problem.map(|p| format!(": {p}")).unwrap_or_default();
        line(&format!("{mark}  {}{problem}", check.what));
    }
    let verdict = if report.intact {
        "is intact"
    } else {
        "does not verify"
    };
    line(&format!("artifact {} {verdict}", report.artifact));
}
