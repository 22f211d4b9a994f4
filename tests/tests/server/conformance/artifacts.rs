//! The life of an artifact, with decisions that are signed where the person's key is.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use moorline_api::{
    ArtifactDiffRequest, ArtifactListRequest, ArtifactRequest, ArtifactReviewRequest,
    ArtifactSubmitRequest, DecisionRequest, ExportRequest, HistoryRequest, PromoteRequest,
    RollbackRequest, VerifyRequest,
};
use moorline_core::artifact::ArtifactState;
use serde_json::json;

use super::{Stage, ada, on_both};

/// A job directory that passes the review by rule.
fn reviewable(stage: &Stage, name: &str, words: &str) -> PathBuf {
    let dir = stage.job(
        name,
        &json!({
            "job_id": "report",
            "version": 1,
            "title": "A report",
            "steps": [{"name": "main", "argv": ["/bin/sh", "run.sh"], "egress": "none"}],
        }),
    );
    fs::write(dir.join("run.sh"), format!("echo {words}\n")).unwrap();
    for page in ["RUNBOOK.md", "RISKS.md", "TEST_REPORT.md"] {
        fs::write(dir.join(page), format!("# {page}\n\nNothing to add.\n")).unwrap();
    }
    dir
}

fn submit(dir: &Path) -> ArtifactSubmitRequest {
    ArtifactSubmitRequest {
        dir: dir.to_owned(),
        note: Some("for a look".to_owned()),
        actor: ada(),
    }
}

fn decision(artifact: impl ToString) -> DecisionRequest {
    DecisionRequest {
        artifact: artifact.to_string(),
        reason: "read it".to_owned(),
        actor: ada(),
        ..DecisionRequest::default()
    }
}

fn named(artifact: impl ToString) -> ArtifactRequest {
    ArtifactRequest {
        artifact: artifact.to_string(),
        lane: None,
    }
}

#[test]
fn an_artifact_is_reviewed_approved_promoted_rolled_back_and_verified_elsewhere() {
    on_both(|mut stage| async move {
        let plane = Arc::clone(&stage.plane);
        let first = reviewable(&stage, "first", "one");
        let review = ArtifactReviewRequest {
            dir: Some(first.clone()),
            ..ArtifactReviewRequest::default()
        };
        let reviewed = plane.artifact_review(review).await.unwrap();
        assert_eq!(reviewed.review.findings, []);
        let one = plane.artifact_submit(submit(&first)).await.unwrap();
        assert!(one.created);
        assert_eq!(Some(one.artifact.content), reviewed.content);
        let again = plane.artifact_submit(submit(&first)).await.unwrap();
        assert_eq!((again.created, again.artifact.id), (false, one.artifact.id));
        let one = one.artifact.id;

        let promote = |artifact: &dyn ToString| PromoteRequest {
            artifact: artifact.to_string(),
            lane: None,
            reason: "it is time".to_owned(),
            actor: ada(),
        };
        let done = plane.artifact_promote(promote(&one)).await;
        stage.refused("a promotion of what nobody approved", done);
        let done = plane.artifact_approve(DecisionRequest {
            reason: String::new(),
            ..decision(one)
        });
        let done = done.await;
        stage.refused("an approval without a reason", done);
        let approved = plane.artifact_approve(decision("latest")).await.unwrap();
        assert_eq!(
            (approved.id, approved.state),
            (one, ArtifactState::Approved)
        );
        // The signature is the person's, and it verifies.
        let signed = approved.decisions.last().unwrap().signed.clone().unwrap();
        assert_eq!(signed.check().unwrap().by, ada());
        let done = plane.artifact_reject(decision(one)).await;
        stage.refused("a rejection of what is approved", done);
        let pointed = plane.artifact_promote(promote(&one)).await.unwrap();
        assert!(pointed.changed && pointed.verified.intact, "{pointed:?}");

        let second = reviewable(&stage, "second", "two");
        let two = plane
            .artifact_submit(submit(&second))
            .await
            .unwrap()
            .artifact
            .id;
        let diff = ArtifactDiffRequest {
            artifact: two.to_string(),
            before: Some(one.to_string()),
            lane: None,
        };
        let diff = plane.artifact_diff(diff).await.unwrap();
        assert_eq!(
            diff.files
                .iter()
                .map(|file| file.path.as_str())
                .collect::<Vec<_>>(),
            ["run.sh"]
        );
        plane.artifact_security_review(decision(two)).await.unwrap();
        plane.artifact_approve(decision(two)).await.unwrap();
        plane.artifact_promote(promote(&two)).await.unwrap();
        let back = RollbackRequest {
            job_id: "report".to_owned(),
            reason: "two is worse".to_owned(),
            actor: ada(),
            ..RollbackRequest::default()
        };
        let back = plane.artifact_rollback(back).await.unwrap();
        assert_eq!(back.promotion.artifact, one);
        let history = HistoryRequest {
            job_id: "report".to_owned(),
            lane: None,
        };
        let history = plane.artifact_history(history).await.unwrap();
        let history: Vec<_> = history.iter().map(|promotion| promotion.artifact).collect();
        assert_eq!(history, [one, two, one]);
        let shown = plane.artifact_show(named("live:report")).await.unwrap();
        assert_eq!(shown.artifact.id, one);
        let listed = plane
            .artifact_list(ArtifactListRequest::default())
            .await
            .unwrap();
        assert_eq!(listed.iter().map(|a| a.id).collect::<Vec<_>>(), [two, one]);

        let export = |out| ExportRequest {
            artifact: one.to_string(),
            out,
            lane: None,
        };
        let out = stage.path("exported");
        let exported = plane.artifact_export(export(out.clone())).await.unwrap();
        assert_eq!((exported.artifact, &exported.out), (one, &out));
        assert_eq!(
            fs::read_to_string(out.join("content/run.sh")).unwrap(),
            "echo one\n"
        );
        let done = plane.artifact_export(export(out.clone())).await;
        stage.refused("an export to where something is", done);
        let verify = VerifyRequest {
            export: Some(out.clone()),
            ..VerifyRequest::default()
        };
        let report = plane.artifact_verify(verify.clone()).await.unwrap();
        assert!(report.intact && report.approved, "{report:?}");
        fs::write(out.join("content/run.sh"), "echo three\n").unwrap();
        assert!(!plane.artifact_verify(verify).await.unwrap().intact);
        plane.artifact_archive(decision(two)).await.unwrap();
        plane.artifact_project().await.unwrap();

        let done = plane.artifact_show(named("ffff")).await;
        stage.refused("an artifact that is not there", done);
        let done = plane.artifact_approve(decision("ffff")).await;
        stage.refused("an approval of what is not there", done);
        stage
    });
}

#[test]
fn what_is_found_in_a_submission_refuses_it() {
    on_both(|mut stage| async move {
        let plane = Arc::clone(&stage.plane);
        let bare = stage.shell("bare", "true");
        let done = plane.artifact_submit(submit(&bare)).await;
        stage.refused("a directory without what a reviewer reads", done);
        stage
    });
}
