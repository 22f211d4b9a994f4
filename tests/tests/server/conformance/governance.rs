//! Schedules, gates, sources, secrets, alerts, the trail, principals, tokens, requests for decisions.

use std::sync::Arc;

use futures::StreamExt as _;
use moorline_api::reauth::ReauthRequest;
use moorline_api::secrets::{
    SecretAuditRequest, SecretInput, SecretListRequest, SecretRevokeRequest, SecretSetRequest,
};
use moorline_api::{
    AlertListRequest, AlertRequest, AlertTestRequest, ApprovalDecideRequest, ApprovalListRequest,
    ApprovalShowRequest, AuditExportLine, AuditListRequest, AuditVerifyRequest,
    EmergencyShowRequest, ExplainRequest, GateRequest, PrincipalChangeRequest,
    PrincipalRemoveRequest, PrincipalRequest, ScheduleChangeRequest, ScheduleDisableRequest,
    ScheduleListRequest, ScheduleNextRequest, ScheduleRequest, SecretCheckRequest,
    SourceChangeRequest, SourceRequest, TokenCreateRequest, TokenListRequest, TokenRevokeRequest,
    WhoamiRequest,
};
use moorline_core::principal::Role;
use moorline_core::schedule::ScheduleId;
use moorline_core::stop::StopScope;
use serde_json::json;

use super::{ADA, ada, on_both};

#[test]
fn schedules_gates_sources_and_alerts_that_are_not_there_are_told_alike() {
    on_both(|mut stage| async move {
        let plane = Arc::clone(&stage.plane);
        let schedule: ScheduleId = "prod/report".parse().unwrap();
        let listed = plane
            .schedule_list(ScheduleListRequest::default())
            .await
            .unwrap();
        assert_eq!(listed, []);
        let named = || ScheduleRequest {
            schedule: schedule.clone(),
        };
        let change = || ScheduleChangeRequest {
            schedule: schedule.clone(),
            actor: ada(),
            reason: "to see".to_owned(),
        };
        let done = plane.schedule_show(named()).await;
        stage.refused("a schedule that is not there", done);
        let request = ScheduleNextRequest {
            schedule: schedule.clone(),
            count: 2,
            after: Some("2026-03-01T00:00:00Z".parse().unwrap()),
        };
        let done = plane.schedule_next(request).await;
        stage.refused("the next times of a schedule that is not there", done);
        let done = plane.schedule_enable(change()).await;
        stage.refused("enabling what is not there", done);
        let done = plane.schedule_resume(change()).await;
        stage.refused("resuming what is not there", done);
        let done = plane.schedule_run_now(change()).await;
        stage.refused("starting what is not there", done);
        let disable = ScheduleDisableRequest {
            scope: StopScope::All,
            actor: ada(),
            reason: "to see".to_owned(),
        };
        assert_eq!(plane.schedule_disable(disable).await.unwrap(), []);
        let gates = plane.gate_show(named()).await.unwrap();
        assert!(!gates.met);
        let gate = GateRequest {
            schedule: schedule.clone(),
            actor: ada(),
        };
        let done = plane.gate_check_secrets(gate).await;
        stage.refused("a gate of a lane that points to nothing", done);

        assert_eq!(plane.source_list().await.unwrap(), []);
        let source_id = "first/bank ü".to_owned();
        let request = SourceRequest {
            source_id: source_id.clone(),
        };
        let done = plane.source_show(request).await;
        stage.refused("a source that is not there", done);
        let request = SourceChangeRequest {
            source_id: source_id.clone(),
            actor: ada(),
            reason: "to see".to_owned(),
        };
        let done = plane.source_pause(request).await.map(drop);
        if done.is_err() {
            stage.refused("pausing a source that is not there", done);
        }
        let request = ReauthRequest {
            source_id: "nobody".to_owned(),
            lane: None,
            secret: None,
            fresh: false,
            actor: ada(),
        };
        let done = plane.reauth_begin(request).await;
        stage.refused("a source that no job reads", done);

        assert_eq!(
            plane.alert_list(AlertListRequest::default()).await.unwrap(),
            []
        );
        let request = AlertRequest {
            alert: "ffff".to_owned(),
        };
        let done = plane.alert_show(request).await;
        stage.refused("an alert that is not there", done);
        let request = AlertTestRequest {
            destination: "nobody".to_owned(),
            actor: ada(),
        };
        let done = plane.alert_test(request).await;
        stage.refused("a destination that is not there", done);
        assert_eq!(plane.emergency_list().await.unwrap(), []);
        let request = EmergencyShowRequest {
            emergency: "latest".to_owned(),
        };
        let done = plane.emergency_show(request).await;
        stage.refused("an emergency that is not there", done);
        stage
    });
}

#[test]
fn a_secret_is_set_rotated_compared_and_removed_and_never_told() {
    on_both(|mut stage| async move {
        let plane = Arc::clone(&stage.plane);
        let value = "s3cret \"quoted\" \\ \u{1f} ä";
        let set = |value: &str| SecretSetRequest {
            lane: None,
            secret: "bank".to_owned(),
            values: [("BANK_KEY".to_owned(), SecretInput::from(value))].into(),
            ttl_hours: Some(48),
            warn_hours: None,
            source_id: None,
            actor: ada(),
            reason: Some("the first".to_owned()),
        };
        let view = plane.secret_set(set(value)).await.unwrap();
        assert_eq!(
            view.keys
                .iter()
                .map(|key| key.key.as_str())
                .collect::<Vec<_>>(),
            ["BANK_KEY"]
        );
        let done = plane.secret_rotate(set(value)).await;
        stage.refused("a rotation to the same value", done);
        plane.secret_rotate(set("another")).await.unwrap();
        let listed = plane
            .secret_list(SecretListRequest::default())
            .await
            .unwrap();
        assert_eq!(listed.len(), 1);

        let job = stage.job(
            "needs",
            &json!({
                "job_id": "needs",
                "secrets": [{"name": "bank", "keys": ["BANK_KEY"]}, {"name": "shop", "keys": ["SHOP_KEY"]}],
                "steps": [{"name": "main", "argv": ["true"], "secrets": ["bank", "shop"], "egress": "none"}],
            }),
        );
        let request = SecretCheckRequest {
            job: job.clone(),
            lane: None,
        };
        let keys = plane.secret_check(request).await.unwrap();
        let present: Vec<_> = keys.iter().map(|k| (k.key.as_str(), k.present)).collect();
        assert_eq!(present, [("BANK_KEY", true), ("SHOP_KEY", false)]);
        let request = SecretAuditRequest {
            lane: None,
            jobs: vec![job],
        };
        assert!(!plane.secret_audit(request).await.unwrap().clean);
        let revoke = SecretRevokeRequest {
            lane: None,
            secret: Some("bank".to_owned()),
            actor: ada(),
            reason: "it is over".to_owned(),
        };
        let report = plane.secret_revoke(revoke).await.unwrap();
        assert_eq!((report.removed.len(), report.left.len()), (1, 0));
        let done = plane.secret_rotate(set("third")).await;
        stage.refused("a rotation of what is not there", done);
        stage
    });
}

#[test]
fn who_may_what_is_changed_and_every_change_is_on_the_trail() {
    on_both(|mut stage| async move {
        let plane = Arc::clone(&stage.plane);
        let me = plane
            .principal_whoami(WhoamiRequest { actor: ada() })
            .await
            .unwrap();
        assert_eq!(me.principal, ada());
        let bob = "human:bob".parse().unwrap();
        let change = |principal, role| PrincipalChangeRequest {
            principal,
            role: Some(role),
            add_key: None,
            retire_key: None,
            actor: ada(),
            reason: "he joined".to_owned(),
        };
        let set = plane
            .principal_set(change(bob, Role::Operator))
            .await
            .unwrap();
        assert_eq!(set.role, Role::Operator);
        let got = PrincipalRequest {
            principal: set.principal.clone(),
        };
        assert_eq!(plane.principal_get(got).await.unwrap().role, Role::Operator);
        let done = plane.principal_set(change(ada(), Role::Viewer)).await;
        stage.refused("lowering one's own role", done);
        let remove = PrincipalRemoveRequest {
            principal: set.principal.clone(),
            actor: ada(),
            reason: "he left".to_owned(),
        };
        plane.principal_remove(remove).await.unwrap();
        let listed = plane.principal_list().await.unwrap();
        assert!(listed.iter().any(|view| view.principal == set.principal));

        let create = TokenCreateRequest {
            name: "ci".to_owned(),
            principal: "ci:github".parse().unwrap(),
            role: Some(Role::Viewer),
            scopes: vec!["run.*".to_owned()],
            days: Some(3),
            actor: ada(),
            reason: "for the pipeline".to_owned(),
        };
        let made = plane.token_create(create.clone()).await.unwrap();
        assert!(
            made.token.starts_with("mlt_default_"),
            "the text of a token"
        );
        let done = plane.token_create(TokenCreateRequest {
            days: Some(1000),
            ..create
        });
        let done = done.await;
        stage.refused("a token for years", done);
        let listed = plane.token_list(TokenListRequest::default()).await.unwrap();
        assert!(listed.iter().any(|token| token.id == made.record.id));
        let revoke = |token: String| TokenRevokeRequest {
            token,
            actor: ada(),
            reason: "it is over".to_owned(),
        };
        let revoked = plane
            .token_revoke(revoke(made.record.id.to_string()))
            .await
            .unwrap();
        assert!(revoked.revoked_at.is_some());
        let done = plane.token_revoke(revoke("ffff".to_owned())).await;
        stage.refused("revoking what is not there", done);

        let trail = AuditListRequest {
            by: Some(ADA.to_owned()),
            operation: Some("principal.set".to_owned()),
            ..AuditListRequest::default()
        };
        let trail = plane.audit_list(trail).await.unwrap();
        assert_eq!(trail.len(), 1, "{trail:?}");
        assert_eq!(trail[0].subject, "principal/human:bob");
        let report = plane
            .audit_verify(AuditVerifyRequest::default())
            .await
            .unwrap();
        assert!(report.intact);
        let lines: Vec<_> = plane.audit_export().map(Result::unwrap).collect().await;
        let head = match &lines[0] {
            AuditExportLine::Header(header) => header.head.clone(),
            AuditExportLine::Record(record) => panic!("{record:?}"),
        };
        assert_eq!(
            (head, lines.len() as u64 - 1),
            (report.head, report.records)
        );
        let why = plane
            .explain(ExplainRequest::Rule("D-ART-4".to_owned()))
            .await
            .unwrap();
        assert!(!why.points.is_empty() || !why.summary.is_empty());
        let done = plane.explain(ExplainRequest::Run("ffff".to_owned())).await;
        stage.refused("an explanation of what is not there", done);
        let done = plane
            .explain(ExplainRequest::Rule("D-NONE-1".to_owned()))
            .await;
        stage.refused("a rule that is not there", done);
        stage
    });
}

#[test]
fn requests_for_decisions_that_are_not_there_are_told_alike() {
    on_both(|mut stage| async move {
        let plane = Arc::clone(&stage.plane);
        let listed = plane
            .approval_list(ApprovalListRequest::default())
            .await
            .unwrap();
        assert_eq!(listed, []);
        let show = ApprovalShowRequest {
            approval: "ffff".to_owned(),
        };
        let done = plane.approval_show(show).await;
        stage.refused("a request that is not there", done);
        let decide = ApprovalDecideRequest {
            approval: Some("ffff".to_owned()),
            option: "approved".to_owned(),
            actor: ada(),
            ..ApprovalDecideRequest::default()
        };
        let done = plane.approval_decide(decide).await;
        stage.refused("deciding what is not there", done);
        assert!(!plane.health().await.unwrap().checks.is_empty());
        stage
    });
}
