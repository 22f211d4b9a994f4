//! A source from its failed run to its schedule: re-authentication, gates, deployment, drift, an emergency. And a
//! request for a decision from the run that makes it to the link by which it is decided.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use futures::StreamExt as _;
use moorline_api::reauth::{ReauthRequest, ReauthSession};
use moorline_api::secrets::{SecretInput, SecretSetRequest};
use moorline_api::{
    AlertListRequest, AlertReplayRequest, ApprovalDecideRequest, ApprovalLinkRequest,
    ApprovalListRequest, ArtifactSubmitRequest, AttestRequest, DecisionRequest, DriftRequest,
    EmergencyChoice, EmergencyRequest, EmergencyShowRequest, GateRequest, OutputRequest,
    PromoteRequest, RunRequest, ScheduleChangeRequest, SourceRequest, SourceResumeRequest,
    SubmitRequest, VerifyRunRequest,
};
use moorline_core::artifact::{ArtifactState, DecisionKind};
use moorline_core::emergency::EmergencyState;
use moorline_core::error_code::{RunStatus, SourceState};
use moorline_core::lane::Lane;
use moorline_core::schedule::{ScheduleId, ScheduleState};
use moorline_core::secret::ReauthStage;
use moorline_core::spec::{self, Mode};
use moorline_modal_emulator::{Emulator, EmulatorOptions};
use moorline_testkit::moorline::binary;
use serde_json::json;

use super::{Stage, ada, on_both, on_both_with};

/// The source of the job.
const SOURCE: &str = "harbour";

/// A job directory that can be submitted: a schedule that never comes, a source with a session, an output.
fn tide(stage: &Stage) -> PathBuf {
    let script = "echo high > \"$MOORLINE_OUTPUT_DIR/tide.txt\"\n\
        case \"$TIDE_SESSION\" in good*) exit 0 ;; esac\nexit 2";
    let document = json!({
        "job_id": "tide",
        "job_type": "task",
        "version": 1,
        "title": "Tides",
        "time_zone": "UTC",
        "cadence": {"type": "cron", "expr": "0 0 29 2 *"},
        "portfolio": {"entities": [{
            "source_id": SOURCE,
            "tier_hint": 2,
            "lookback_days": 30,
            "preferred_methods": ["csv_export"],
            "session_artifacts": [{"secret": "tide", "ttl_hours": 720, "warn_hours": 48}],
            "reauth": {"instructions": "Sign on and export the session."},
        }]},
        "secrets": [{"name": "tide", "keys": ["TIDE_SESSION"]}],
        "steps": [{
            "name": "main",
            "argv": ["/bin/sh", "-c", script],
            "egress": "none",
            "secrets": ["tide"],
            "outputs": [{"path": "tide.txt"}],
        }],
    });
    let dir = stage.job("tide", &document);
    fs::write(dir.join("RUNBOOK.md"), "# Runbook\n\nNothing to do.\n").unwrap();
    let loaded = spec::load(document.to_string().as_bytes()).unwrap();
    let mut schedule = document["cadence"].clone();
    schedule["time_zone"] = document["time_zone"].clone();
    schedule["job_id"] = document["job_id"].clone();
    schedule["spec_hash"] = json!(loaded.canonical_hash().unwrap());
    fs::write(dir.join("SCHEDULE.json"), schedule.to_string()).unwrap();
    dir
}

fn reauth(source_id: &str) -> ReauthRequest {
    ReauthRequest {
        source_id: source_id.to_owned(),
        lane: None,
        secret: None,
        fresh: false,
        actor: ada(),
    }
}

fn session() -> std::collections::BTreeMap<String, SecretInput> {
    [("TIDE_SESSION".to_owned(), SecretInput::from("good"))].into()
}

/// A run that ends like this.
async fn ran(stage: &Stage, request: SubmitRequest, status: RunStatus) -> String {
    let row = stage.plane.run_submit(request).await.unwrap();
    let run = row.run_id.to_string();
    let ended = stage.plane.run_wait(RunRequest { run: run.clone() }).await;
    let ended = ended.unwrap();
    assert_eq!(ended.status, status, "{ended:?}");
    run
}

/// The fresh session of a source that had failed, and the run that tries it.
async fn refreshed(stage: &mut Stage, dir: &std::path::Path) {
    let plane = Arc::clone(&stage.plane);
    let submit = SubmitRequest {
        job: dir.to_owned(),
        actor: ada(),
        ..SubmitRequest::default()
    };
    ran(stage, submit, RunStatus::Failed).await;
    let source = SourceRequest {
        source_id: SOURCE.to_owned(),
    };
    let shown = plane.source_show(source.clone()).await.unwrap();
    assert_eq!(shown.source.state, SourceState::Paused);
    let alerts = plane.alert_list(AlertListRequest::default()).await.unwrap();
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    let replay = AlertReplayRequest {
        alert: alerts[0].alert.id.to_string(),
        destination: None,
        actor: ada(),
        reason: None,
    };
    let done = plane.alert_replay(replay).await;
    stage.refused("a replay of what nobody was told", done);
    let resume = |source_id: &str| SourceResumeRequest {
        source_id: source_id.to_owned(),
        actor: ada(),
        reason: "the harbour is open".to_owned(),
        looked_into: false,
    };
    let resumed = plane.source_resume(resume(SOURCE)).await.unwrap();
    assert_eq!(resumed.state, SourceState::Active);
    let done = plane.source_resume(resume("nobody")).await;
    stage.refused("resuming a source that is not there", done);

    let done = plane.reauth_probe(reauth(SOURCE)).await;
    stage.refused("trying a session that nobody gave", done);
    let plan = plane.reauth_begin(reauth(SOURCE)).await.unwrap();
    assert_eq!(
        (plan.secret.as_str(), plan.keys.as_slice()),
        ("tide", ["TIDE_SESSION".to_owned()].as_slice())
    );
    let done = plane.reauth_store(ReauthSession::of(&reauth("nobody"), session()));
    let done = done.await;
    stage.refused("a session of a source that no job reads", done);
    let stored = ReauthSession::of(&reauth(SOURCE), session());
    plane.reauth_store(stored).await.unwrap();
    let report = plane.reauth_probe(reauth(SOURCE)).await.unwrap();
    assert_eq!(report.reauth.stage, ReauthStage::Done);
    assert_eq!(report.source_state, Some(SourceState::Active));

    let output = |run: String, path: &str| OutputRequest {
        run,
        path: path.to_owned(),
        hash: None,
    };
    let probe = report.probe.run_id.to_string();
    let pieces: Vec<_> = plane
        .run_output(output(probe.clone(), "tide.txt"))
        .collect()
        .await;
    let bytes: Vec<u8> = pieces
        .into_iter()
        .flat_map(|piece| piece.unwrap().bytes().unwrap())
        .collect();
    assert_eq!(bytes, b"high\n");
    let missing: Vec<_> = plane.run_output(output(probe, "ebb.txt")).collect().await;
    let missing: Result<Vec<_>, _> = missing.into_iter().collect();
    stage.refused("an output that is not there", missing);
}

/// Approved by a person who signed what the plane told them to sign, and live in `prod`.
async fn promoted(stage: &mut Stage, dir: &std::path::Path) {
    let plane = Arc::clone(&stage.plane);
    let submit = || ArtifactSubmitRequest {
        dir: dir.to_owned(),
        note: None,
        actor: ada(),
    };
    let runbook = dir.join("RUNBOOK.md");
    let written = fs::read(&runbook).unwrap();
    fs::write(&runbook, "# Runbook\n\nTo be written.\n").unwrap();
    let draft = plane.artifact_submit(submit()).await.unwrap().artifact;
    let changes = |changes: &[&str]| DecisionRequest {
        artifact: draft.id.to_string(),
        reason: if changes.is_empty() { "" } else { "not yet" }.to_owned(),
        changes: changes.iter().map(ToString::to_string).collect(),
        actor: ada(),
        ..DecisionRequest::default()
    };
    let done = plane.artifact_request_changes(changes(&[])).await;
    stage.refused("a request for changes without a reason", done);
    let asked = plane.artifact_request_changes(changes(&["write it"])).await;
    assert_eq!(asked.unwrap().state, ArtifactState::RevisionsRequested);
    fs::write(&runbook, written).unwrap();
    let artifact = plane.artifact_submit(submit()).await.unwrap().artifact.id;
    let decision = || DecisionRequest {
        artifact: artifact.to_string(),
        reason: "read it".to_owned(),
        actor: ada(),
        ..DecisionRequest::default()
    };
    let attest = |reason: &str| AttestRequest {
        artifact: artifact.to_string(),
        decision: DecisionKind::Approve,
        reason: reason.to_owned(),
        lane: None,
        public_key: None,
        actor: ada(),
    };
    let says = plane.artifact_attest(attest("read it")).await.unwrap();
    assert_eq!((says.artifact, says.by), (artifact, ada()));
    let done = plane.artifact_attest(attest("")).await.map(drop);
    if done.is_err() {
        stage.refused("what would be signed without a reason", done);
    }
    plane.artifact_approve(decision()).await.unwrap();
    let promote = PromoteRequest {
        artifact: artifact.to_string(),
        lane: Some("prod".to_owned()),
        reason: "it is time".to_owned(),
        actor: ada(),
    };
    plane.artifact_promote(promote).await.unwrap();
    let set = SecretSetRequest {
        lane: Some("prod".to_owned()),
        secret: "tide".to_owned(),
        values: session(),
        ttl_hours: None,
        warn_hours: None,
        source_id: None,
        actor: ada(),
        reason: None,
    };
    plane.secret_set(set).await.unwrap();
}

#[test]
fn a_source_comes_back_and_its_schedule_is_enabled_deployed_compared_and_ended_by_an_emergency() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let options = EmulatorOptions {
        helper: binary("modal-sandbox-fs-tools").unwrap(),
        ..EmulatorOptions::default()
    };
    let emulator = runtime.block_on(Emulator::start(options)).unwrap();
    let variables = emulator.environment().into_iter();
    let variables = variables.map(|(name, value)| (name.to_owned(), value));
    on_both_with(variables.collect(), |mut stage| async move {
        let plane = Arc::clone(&stage.plane);
        let dir = tide(&stage);
        refreshed(&mut stage, &dir).await;
        promoted(&mut stage, &dir).await;

        let schedule: ScheduleId = "prod/tide".parse().unwrap();
        let change = || ScheduleChangeRequest {
            schedule: schedule.clone(),
            actor: ada(),
            reason: "to see".to_owned(),
        };
        let gate = || GateRequest {
            schedule: schedule.clone(),
            actor: ada(),
        };
        let done = plane.schedule_deploy(change()).await;
        stage.refused("a deployment of what is disabled", done);
        let done = plane.schedule_enable(change()).await;
        stage.refused("enabling before the gates", done);
        assert!(plane.gate_check_secrets(gate()).await.unwrap().holds);
        assert!(plane.gate_probe_egress(gate()).await.unwrap().holds);
        let live = SubmitRequest {
            job: "live:tide".into(),
            lane: Some("prod".to_owned()),
            mode: Some(Mode::Real),
            actor: ada(),
            ..SubmitRequest::default()
        };
        let first = ran(&stage, live, RunStatus::Success).await;
        let verify = |run: &str| VerifyRunRequest {
            schedule: schedule.clone(),
            run: run.to_owned(),
            actor: ada(),
            note: "the tide was high".to_owned(),
        };
        let done = plane.gate_verify_run(verify("ffff")).await;
        stage.refused("verifying a run that is not there", done);
        assert!(plane.gate_verify_run(verify(&first)).await.unwrap().holds);
        let enabled = plane.schedule_enable(change()).await.unwrap();
        assert_eq!(enabled.state, ScheduleState::Enabled);

        let drift = || DriftRequest {
            lane: Some(Lane::PROD),
        };
        assert!(plane.schedule_drift(drift()).await.unwrap().drift);
        let deployed = plane.schedule_deploy(change()).await.unwrap();
        assert_eq!(
            (deployed.app.as_str(), deployed.deployed),
            ("schedules-tide-v1-prod", true)
        );
        let compared = plane.schedule_drift(drift()).await.unwrap();
        assert!(!compared.drift, "{compared:?}");
        let taken = plane.schedule_undeploy(change()).await.unwrap();
        assert_eq!((taken.deployed, taken.changed), (false, true));
        let again = plane.schedule_undeploy(change()).await.unwrap();
        assert_eq!((again.deployed, again.changed), (false, false));

        let emergency = |which| EmergencyRequest {
            which,
            actor: ada(),
        };
        let unknown = EmergencyChoice::Resume {
            id: Some("ffff".to_owned()),
        };
        let done: Vec<_> = plane.emergency_run(emergency(unknown)).collect().await;
        let done: Result<Vec<_>, _> = done.into_iter().collect();
        stage.refused("carrying on what was never called", done);
        let call = EmergencyChoice::Call {
            lane: Some(Lane::PROD),
            reason: "a drill".to_owned(),
            grace_seconds: None,
        };
        let steps: Vec<_> = plane.emergency_run(emergency(call)).collect().await;
        let steps: Vec<_> = steps.into_iter().map(Result::unwrap).collect();
        let last = steps.last().unwrap();
        assert_eq!(last.state, EmergencyState::Complete, "{last:?}");
        let show = EmergencyShowRequest {
            emergency: last.id.to_string(),
        };
        assert_eq!(plane.emergency_show(show).await.unwrap(), *last);
        let shown = moorline_api::ScheduleRequest {
            schedule: schedule.clone(),
        };
        let shown = plane.schedule_show(shown).await.unwrap();
        assert_eq!(shown.state, ScheduleState::Disabled);
        stage
    });
    runtime.block_on(emulator.stop());
}

#[test]
fn a_request_for_a_decision_is_linked_and_decided() {
    on_both(|mut stage| async move {
        let plane = Arc::clone(&stage.plane);
        let job = stage.job(
            "asks",
            &json!({
                "job_id": "asks",
                "steps": [{"name": "ask", "argv": ["/bin/true"], "egress": "none"}],
                "workflow": {
                    "steps": {"ask": {"then": "may_it"}},
                    "gates": [{"name": "may_it", "title": "May it?", "options": [
                        {"name": "approved", "to": "end"},
                        {"name": "rejected", "to": "reject"},
                    ]}],
                },
            }),
        );
        let submit = SubmitRequest {
            job,
            actor: ada(),
            ..SubmitRequest::default()
        };
        let run = ran(&stage, submit, RunStatus::AwaitingApproval).await;
        let listed = ApprovalListRequest::default();
        let listed = plane.approval_list(listed).await.unwrap();
        assert_eq!(listed.len(), 1, "{listed:?}");
        let approval = listed[0].id.to_string();
        let link = |principal: &str| ApprovalLinkRequest {
            approval: approval.clone(),
            principal: principal.parse().unwrap(),
            minutes: Some(5),
            actor: ada(),
        };
        let made = plane.approval_link(link("human:ada")).await.unwrap();
        assert!(made.path.starts_with("/decide/mlt_default_"), "a path");
        let done = plane.approval_link(link("agent:codex")).await.map(drop);
        stage.refused("a link for who is no person", done);
        let decide = |option: &str| ApprovalDecideRequest {
            approval: Some(approval.clone()),
            option: option.to_owned(),
            actor: ada(),
            ..ApprovalDecideRequest::default()
        };
        let done = plane.approval_decide(decide("maybe")).await;
        stage.refused("an option that is not offered", done);
        let decided = plane.approval_decide(decide("approved")).await.unwrap();
        assert_eq!((decided.applied, decided.next.as_str()), (true, "end"));
        let ended = plane.run_wait(RunRequest { run }).await.unwrap();
        assert_eq!(ended.status, RunStatus::Success);
        let done = plane.approval_decide(decide("rejected")).await;
        stage.refused("deciding what is decided, otherwise", done);
        let done = plane.approval_link(link("human:ada")).await.map(drop);
        stage.refused("a link to what is decided", done);
        stage
    });
}
