//! What becomes of requests for decisions: expiry, reminders, the end of their runs, another round (D-FLOW-5,
//! D-FLOW-6).

use std::sync::Arc;
use std::time::Duration;

use moorline_core::approval::{ApprovalStatus, DecisionOutcome};
use moorline_core::error_code::{AlertLevel, ErrorCode, FailureClass, RunStatus};
use moorline_core::event::EventKind;
use moorline_core::ids::ApprovalId;
use moorline_core::stop::StopScope;

use super::approvals::{Scene, denied, open_request, step_done};
use super::check::equal;
use super::{Failure, Subject};
use crate::alerts::AlertFilter;
use crate::approvals::ApprovalFilter;
use crate::error::StoreError;

const HOUR: Duration = Duration::from_hours(1);

/// D-FLOW-6, L35: an expiry is found, carried out once, and nothing is decided after it.
pub(super) async fn a_request_expires_by_its_policy(subject: Subject) -> Result<(), Failure> {
    let store = subject.open().await?;
    for (policy, class) in [
        ("fail", Some(FailureClass::Expired)),
        ("auto_reject", Some(FailureClass::Rejected)),
        ("hold", None),
    ] {
        let scene = Scene::open(Arc::clone(&store), policy).await?;
        let early = scene.store.approvals_due(scene.world.now()).await?;
        check!(
            !early.contains(&scene.request.id),
            "{policy}: nothing is due yet"
        );
        scene.world.advance(HOUR);
        let now = scene.world.now();
        let due = scene.store.approvals_due(now).await?;
        check!(due.contains(&scene.request.id), "{policy}: it is due");
        scene.store.approval_lapse(scene.request.id, now).await?;
        let (run, request) = (scene.reload().await?, scene.request().await?);
        let failed = run.failure.as_ref().map(|failure| failure.class);
        equal(&failed, &class, policy)?;
        let ended = class.is_some();
        equal(&run.status.is_terminal(), &ended, policy)?;
        let status = if ended {
            ApprovalStatus::Expired
        } else {
            ApprovalStatus::Pending
        };
        equal(
            &(request.status, request.overdue),
            &(status, !ended),
            policy,
        )?;
        let before = scene.trace().await?;
        scene.store.approval_lapse(scene.request.id, now).await?;
        equal(&scene.trace().await?, &before, "a second look")?;
        let due = scene.store.approvals_due(now).await?;
        check!(
            !due.contains(&scene.request.id),
            "{policy}: nothing is due any more"
        );
        let late = scene.decided(scene.decide("approved", None)).await;
        if ended {
            equal(&denied(late), &Some(ErrorCode::Expired), policy)?;
        } else {
            equal(&late?.request.status, &ApprovalStatus::Approved, policy)?;
        }
    }
    // Nobody has to have looked: a request is over when its time is.
    let scene = Scene::open(store, "fail").await?;
    scene.world.advance(HOUR);
    let late = scene.decided(scene.decide("approved", None)).await;
    equal(
        &denied(late),
        &Some(ErrorCode::Expired),
        "before anybody looked",
    )
}

/// D-FLOW-6: each reminder is an alert of its own, louder than the one before; a decision closes them.
pub(super) async fn reminders_grow_louder(subject: Subject) -> Result<(), Failure> {
    let scene = Scene::open(subject.open().await?, "hold").await?;
    let (store, world) = (&scene.store, &scene.world);
    for _ in 0..6 {
        world.advance(HOUR / 6);
        // Two workers look at the same time.
        for _ in 0..2 {
            store.approval_lapse(scene.request.id, world.now()).await?;
        }
    }
    let alerts = store.alerts_list(AlertFilter::default()).await?;
    let levels: Vec<_> = alerts.iter().rev().map(|a| a.alert.level).collect();
    let (info, warning, critical) = (AlertLevel::Info, AlertLevel::Warning, AlertLevel::Critical);
    // Opened, three reminders, overdue.
    equal(
        &levels,
        &vec![info, info, warning, critical, critical],
        "alerts",
    )?;
    equal(
        &scene.events(EventKind::ApprovalReminded).await?,
        &3,
        "reminders",
    )?;
    equal(&scene.request().await?.reminded, &3, "the request knows")?;
    scene.decided(scene.decide("approved", None)).await?;
    let alerts = store.alerts_list(AlertFilter::default()).await?;
    check!(
        alerts.iter().all(|a| a.alert.closed_at.is_some()),
        "nobody is asked for what is decided"
    );
    Ok(())
}

/// A run that ends withdraws its request in the same transaction, whoever ends it.
pub(super) async fn a_request_is_withdrawn_with_its_run(subject: Subject) -> Result<(), Failure> {
    let store = subject.open().await?;
    let cancelled = Scene::open(Arc::clone(&store), "fail").await?;
    store
        .run_cancel(cancelled.world.cancel(cancelled.run.id))
        .await?;
    let killed = Scene::open(Arc::clone(&store), "fail").await?;
    let stop = killed.world.stop(StopScope::All);
    store.stop_engage(stop.clone()).await?;
    store.stop_carry_out(stop).await?;
    let cases = [
        (cancelled, RunStatus::Cancelled),
        (killed, RunStatus::Killed),
    ];
    for (scene, status) in cases {
        let (run, request) = (scene.reload().await?, scene.request().await?);
        equal(
            &(run.status, request.status),
            &(status, ApprovalStatus::Withdrawn),
            "both",
        )?;
        check!(
            store.summary_get(run.id).await?.is_some(),
            "the run has its summary"
        );
        equal(
            &scene.events(EventKind::ApprovalWithdrawn).await?,
            &1,
            "events",
        )?;
        let late = scene.decided(scene.decide("approved", None)).await;
        equal(&denied(late), &Some(ErrorCode::Conflict), "a late decision")?;
        scene.world.advance(HOUR);
        let due = store.approvals_due(scene.world.now()).await?;
        check!(due.is_empty(), "nothing is due of a request that is closed");
    }
    Ok(())
}

/// D-STOP-1: nothing goes on under a stop; what was decided before it is answered all the same.
pub(super) async fn nothing_is_decided_under_a_stop(subject: Subject) -> Result<(), Failure> {
    let store = subject.open().await?;
    let earlier = Scene::open(Arc::clone(&store), "fail").await?;
    earlier
        .decided(earlier.decide("approved", Some("k")))
        .await?;
    let scene = Scene::open(Arc::clone(&store), "fail").await?;
    store.stop_engage(scene.world.stop(StopScope::All)).await?;
    let before = scene.trace().await?;
    for option in ["approved", "rejected"] {
        let stopped = scene.decided(scene.decide(option, None)).await;
        check_err!(
            stopped,
            StoreError::Stopped { .. },
            "a decision under a stop"
        );
    }
    equal(
        &scene.trace().await?,
        &before,
        "what is stored after all that",
    )?;
    let again = earlier
        .decided(earlier.decide("approved", Some("k")))
        .await?;
    equal(&again.applied, &false, "a decision from before")?;
    store
        .stop_release(&StopScope::All, "ada", "checked", scene.world.now())
        .await?;
    let decided = scene.decided(scene.decide("approved", None)).await?;
    equal(&decided.applied, &true, "after the release")
}

/// L37: iterating closes one request and opens the next, as often as the gate allows.
pub(super) async fn an_iteration_asks_again(subject: Subject) -> Result<(), Failure> {
    let mut scene = Scene::open(subject.open().await?, "fail").await?;
    for round in 1..=3 {
        let decided = scene.decided(scene.decide("again", None)).await?;
        let outcome = decided.request.decision.map(|decision| decision.outcome);
        equal(&outcome, &Some(DecisionOutcome::Iterate), "the outcome")?;
        scene.run = step_done(&scene.world, scene.store.as_ref(), &decided.run).await?;
        let next = open_request(scene.store.as_ref(), &scene.run).await?;
        check!(next.id != scene.request.id, "round {round} asks anew");
        equal(&next.iteration, &round, "its iteration")?;
        scene.request = next;
    }
    let offers: Vec<_> = scene
        .request
        .options
        .iter()
        .map(|o| o.name.as_str())
        .collect();
    equal(
        &offers,
        &vec!["approved", "rejected"],
        "what is offered after three",
    )?;
    let fourth = scene.decided(scene.decide("again", None)).await;
    check!(denied(fourth).is_some(), "a fourth time is refused");
    let decided = scene.decided(scene.decide("approved", None)).await?;
    let run = step_done(&scene.world, scene.store.as_ref(), &decided.run).await?;
    equal(
        &(run.status, run.attempts),
        &(RunStatus::Success, 5),
        "the end",
    )
}

/// Each condition of a filter holds before the limit.
pub(super) async fn requests_are_listed_newest_first_and_filtered_before_the_limit(
    subject: Subject,
) -> Result<(), Failure> {
    let store = subject.open().await?;
    let mut scenes = Vec::new();
    for _ in 0..3 {
        scenes.push(Scene::open(Arc::clone(&store), "fail").await?);
    }
    let mut ids: Vec<_> = scenes.iter().map(|scene| scene.request.id).collect();
    ids.sort();
    ids.reverse();
    let list = async |filter: ApprovalFilter| -> Result<Vec<ApprovalId>, Failure> {
        let found = store.approvals_list(filter).await?;
        Ok(found.iter().map(|request| request.id).collect())
    };
    equal(&list(ApprovalFilter::default()).await?, &ids, "all")?;
    let oldest = ids.last().copied();
    let first = scenes.iter().find(|scene| Some(scene.request.id) == oldest);
    let first = first.ok_or_else(|| Failure::new("no scene".to_owned()))?;
    first.decided(first.decide("approved", None)).await?;
    let approved = ApprovalFilter {
        status: Some(ApprovalStatus::Approved),
        limit: 1,
        ..ApprovalFilter::default()
    };
    let one: Vec<_> = oldest.into_iter().collect();
    let statement = Some("statement".to_owned());
    let other = Some("other".to_owned());
    let of_run = Some(first.run.id);
    let cases = [
        (approved.clone(), one.clone()),
        (
            ApprovalFilter {
                job_id: statement.clone(),
                ..approved.clone()
            },
            one.clone(),
        ),
        (
            ApprovalFilter {
                job_id: other.clone(),
                ..approved.clone()
            },
            Vec::new(),
        ),
        (
            ApprovalFilter {
                run_id: of_run,
                ..approved.clone()
            },
            one.clone(),
        ),
        (
            ApprovalFilter {
                run_id: of_run,
                job_id: other,
                ..approved.clone()
            },
            Vec::new(),
        ),
        (
            ApprovalFilter {
                before: oldest,
                ..approved
            },
            Vec::new(),
        ),
        (
            ApprovalFilter {
                run_id: of_run,
                ..ApprovalFilter::default()
            },
            one,
        ),
        (
            ApprovalFilter {
                job_id: statement,
                ..ApprovalFilter::default()
            },
            ids.clone(),
        ),
        (
            ApprovalFilter {
                before: ids.first().copied(),
                limit: 1,
                ..ApprovalFilter::default()
            },
            ids.get(1).copied().into_iter().collect(),
        ),
    ];
    for (filter, wanted) in cases {
        let what = format!("{filter:?}");
        equal(&list(filter).await?, &wanted, &what)?;
    }
    let id = first.request.id;
    equal(
        &store.approval_find(&id.to_string()).await?,
        &vec![id],
        "by its id",
    )?;
    equal(
        &store.approval_find("0").await?.len(),
        &2,
        "by what several begin with",
    )?;
    equal(
        &store.approval_find("x").await?,
        &Vec::new(),
        "by what no id begins with",
    )
}
