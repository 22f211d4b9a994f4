//! Starts of schedules: each made once, or fallen away for a reason.

use std::time::Duration;

use futures::future::{join, join_all};
use jiff::Timestamp;
use moorline_core::content_id::ContentId;
use moorline_core::error_code::{FailureClass, RunStatus};
use moorline_core::principal::Principal;
use moorline_core::run::{CancelKind, Run, Trigger};
use moorline_core::schedule::machine::SkipCause;
use moorline_core::schedule::{Overlap, Schedule, ScheduleState, ScheduledStart};
use moorline_core::stop::StopScope;

use super::check::equal;
use super::fixture::success;
use super::schedules::{SPEC, disable, enabled, id, run_of, schedule, shape};
use super::{Failure, Subject, World};
use crate::schedules::{FireSchedule, Fired, Missed, Start};
use crate::store::Store;
use crate::types::{NewRun, RunFilter};

/// The next nominal time of the schedule, after the clock has moved to it.
fn due(world: &World, schedule: &Schedule) -> Result<Timestamp, Failure> {
    let next = schedule
        .next_at
        .ok_or_else(|| Failure::new("nothing is due".to_owned()))?;
    let left = next.duration_since(world.now());
    world.advance(Duration::try_from(left).unwrap_or_default());
    Ok(next)
}

fn fire(world: &World, schedule: &Schedule, content: ContentId, at: Timestamp) -> FireSchedule {
    let start = ScheduledStart {
        schedule: id(),
        fire_at: at,
    };
    let run = Run {
        trigger: Trigger::Schedule,
        actor: Principal::system().to_string(),
        schedule: Some(start),
        ..run_of(world, content)
    };
    let new = NewRun {
        run,
        spec: SPEC.to_owned(),
        idempotency_key: Some(format!("schedule:{}@{at}", id())),
        ..world.new_run(&shape())
    };
    FireSchedule {
        id: id(),
        version: schedule.version,
        missed: None,
        start: Some(Start { fire_at: at, new }),
        now: world.now(),
    }
}

async fn scheduled(store: &dyn Store) -> Result<Vec<Run>, Failure> {
    let mut runs = store.runs_list(RunFilter::default()).await?;
    runs.retain(|run| run.schedule.is_some());
    runs.reverse();
    Ok(runs)
}

/// However many workers see that a start is due, it is made once.
pub(super) async fn a_due_start_is_made_by_one_worker(subject: Subject) -> Result<(), Failure> {
    let (stores, world) = (subject.open_many(4).await?, World::default());
    let (mut known, content) = enabled(stores[0].as_ref(), &world, Overlap::Skip).await?;
    for round in 1..=5 {
        let at = due(&world, &known)?;
        let fires = stores
            .iter()
            .map(|store| store.schedule_fire(fire(&world, &known, content, at)));
        let fired = join_all(fires).await;
        let mut started = Vec::new();
        for fired in fired {
            match fired? {
                Fired::Started(run) => started.push(run),
                Fired::Stale => {}
                other => return Err(Failure::new(format!("not once: {other:?}"))),
            }
        }
        equal(&started.len(), &1, "workers that started it")?;
        equal(&scheduled(stores[0].as_ref()).await?.len(), &round, "runs")?;
        let run = world.claim(stores[1].as_ref(), started[0].id).await?;
        stores[1]
            .attempt_finish(world.finish(&run, success(false)))
            .await?;
        known = schedule(stores[0].as_ref()).await?;
        equal(&known.cursor, &at, "what is dealt with")?;
    }
    Ok(())
}

/// D-SCHED-4: once a disable has answered, a start that was due is not made, and one that was made and has
/// not begun does not begin.
pub(super) async fn a_disable_wins_over_a_due_start(subject: Subject) -> Result<(), Failure> {
    let (stores, world) = (subject.open_many(2).await?, World::default());
    let (known, content) = enabled(stores[0].as_ref(), &world, Overlap::Skip).await?;
    let at = due(&world, &known)?;
    let (disabled, fired) = join(
        stores[0].schedule_disable(disable(&world)),
        stores[1].schedule_fire(fire(&world, &known, content, at)),
    )
    .await;
    disabled?;
    let fired = fired?;
    check!(
        matches!(fired, Fired::Started(_) | Fired::Stale),
        "what came of the start: {fired:?}"
    );
    let claimed = stores[1].run_claim_due(world.claim_many(4)).await?;
    equal(&claimed, &Vec::new(), "what begins after the disable")?;
    for run in scheduled(stores[0].as_ref()).await? {
        equal(&run.status, &RunStatus::Cancelled, "the run that was made")?;
    }
    let later = schedule(stores[0].as_ref()).await?;
    let again = stores[1]
        .schedule_fire(fire(&world, &later, content, at))
        .await?;
    equal(&again, &Fired::Stale, "a start after the disable")
}

/// D-STOP-1: a stop disables what it covers, and what was due is not made.
pub(super) async fn a_stop_wins_over_a_due_start(subject: Subject) -> Result<(), Failure> {
    for scope in [
        "all",
        "lane:prod",
        "job:bank",
        "source:chase",
        "schedule:prod/bank",
    ] {
        let scope: StopScope = scope.parse()?;
        let (stores, world) = (subject.open_many(2).await?, World::default());
        let (known, content) = match stores[0].schedule_get(&id()).await? {
            None => enabled(stores[0].as_ref(), &world, Overlap::Skip).await?,
            Some(_) => re_enabled(stores[0].as_ref(), &world).await?,
        };
        let at = due(&world, &known)?;
        let (stopped, fired) = join(
            stores[0].stop_engage(world.stop(scope.clone())),
            stores[1].schedule_fire(fire(&world, &known, content, at)),
        )
        .await;
        stopped?;
        let fired = fired?;
        check!(
            matches!(fired, Fired::Started(_) | Fired::Stale),
            "what came of the start behind {scope}: {fired:?}"
        );
        let claimed = stores[1].run_claim_due(world.claim_many(4)).await?;
        equal(&claimed, &Vec::new(), "what begins after the stop")?;
        let found = schedule(stores[0].as_ref()).await?;
        equal(&found.state, &ScheduleState::Disabled, "behind the stop")?;
        let now = world.now();
        stores[0]
            .stop_release(&scope, "human:ada", "fine", now)
            .await?;
        let found = schedule(stores[0].as_ref()).await?;
        equal(&found.state, &ScheduleState::Disabled, "after the release")?;
    }
    Ok(())
}

async fn re_enabled(store: &dyn Store, world: &World) -> Result<(Schedule, ContentId), Failure> {
    let enable = crate::schedules::EnableSchedule {
        change: super::schedules::change(world, super::schedules::ada()),
        lane_permits: true,
    };
    let schedule = store.schedule_enable(enable).await?;
    let content = schedule.content;
    Ok((schedule, content))
}

/// Policy `skip`: a run with the status `skipped` and its summary says so; after some, people are told.
pub(super) async fn an_overlapping_start_is_skipped(subject: Subject) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let store = store.as_ref();
    let (mut known, content) = enabled(store, &world, Overlap::Skip).await?;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let at = due(&world, &known)?;
        match store
            .schedule_fire(fire(&world, &known, content, at))
            .await?
        {
            Fired::Started(run) => statuses.push(run.status),
            Fired::Skipped {
                cause: SkipCause::Overlap,
                run: Some(run),
            } => {
                let summary = store.summary_get(run.id).await?;
                let class = summary.and_then(|s| s.failure).map(|failure| failure.class);
                equal(&class, &Some(FailureClass::Overlap), "its summary")?;
                statuses.push(run.status);
            }
            other => return Err(Failure::new(format!("unexpected: {other:?}"))),
        }
        known = schedule(store).await?;
    }
    let wanted = [RunStatus::Queued, RunStatus::Skipped, RunStatus::Skipped];
    equal(&statuses, &wanted.to_vec(), "what became of three starts")?;
    equal(&known.skipped_in_a_row, &2, "skipped in a row")?;
    let raised: Vec<String> = store
        .alerts_raised(10)
        .await?
        .into_iter()
        .map(|alert| alert.key)
        .collect();
    equal(
        &raised,
        &vec!["schedule/prod/bank/overlap".to_owned()],
        "alerts",
    )?;
    let claimed = store.run_claim_due(world.claim_many(4)).await?;
    equal(&claimed.len(), &1, "what can begin: the first start alone")
}

/// Policy `queue`: one start waits, further ones are skipped, and it is due when the run is over.
pub(super) async fn an_overlapping_start_waits(subject: Subject) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let store = store.as_ref();
    let (mut known, content) = enabled(store, &world, Overlap::Queue).await?;
    let first = due(&world, &known)?;
    let fired = store
        .schedule_fire(fire(&world, &known, content, first))
        .await?;
    let Fired::Started(run) = fired else {
        return Err(Failure::new(format!("not started: {fired:?}")));
    };
    let run = world.claim(store, run.id).await?;
    known = schedule(store).await?;
    let second = due(&world, &known)?;
    let fired = store
        .schedule_fire(fire(&world, &known, content, second))
        .await?;
    equal(
        &fired,
        &Fired::Waiting { cancelled: None },
        "the second start",
    )?;
    known = schedule(store).await?;
    let third = due(&world, &known)?;
    let fired = store
        .schedule_fire(fire(&world, &known, content, third))
        .await?;
    check!(
        matches!(
            &fired,
            Fired::Skipped {
                cause: SkipCause::Overlap,
                ..
            }
        ),
        "the third start: {fired:?}"
    );
    let none = store.schedules_due(world.now(), 10).await?;
    equal(&none, &Vec::new(), "what is due while the run goes on")?;
    store
        .attempt_finish(world.finish(&run, success(false)))
        .await?;
    let mut found = store.schedules_due(world.now(), 10).await?;
    let waiting = found.pop().and_then(|found| found.queued);
    equal(&waiting, &Some(second), "what is due after its end")?;
    known = schedule(store).await?;
    let fired = store
        .schedule_fire(fire(&world, &known, content, second))
        .await?;
    check!(
        matches!(fired, Fired::Started(_)),
        "the start that waited: {fired:?}"
    );
    let known = schedule(store).await?;
    equal(&(known.queued, known.cursor), &(None, third), "afterwards")
}

/// Policy `cancel_previous`: the run is told to end, and the newest start takes its place.
pub(super) async fn an_overlapping_start_takes_the_place(subject: Subject) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let store = store.as_ref();
    let (mut known, content) = enabled(store, &world, Overlap::CancelPrevious).await?;
    let first = due(&world, &known)?;
    let fired = store
        .schedule_fire(fire(&world, &known, content, first))
        .await?;
    let Fired::Started(run) = fired else {
        return Err(Failure::new(format!("not started: {fired:?}")));
    };
    let run = world.claim(store, run.id).await?;
    let mut newest = first;
    for _ in 0..2 {
        known = schedule(store).await?;
        newest = due(&world, &known)?;
        let fired = store
            .schedule_fire(fire(&world, &known, content, newest))
            .await?;
        let Fired::Waiting {
            cancelled: Some(cancelled),
        } = fired
        else {
            return Err(Failure::new(format!("not cancelled: {fired:?}")));
        };
        let wish = cancelled.cancel.map(|wish| wish.kind);
        equal(
            &(cancelled.id, wish),
            &(run.id, Some(CancelKind::Cancelled)),
            "the run",
        )?;
    }
    store
        .attempt_finish(world.finish(&run, success(false)))
        .await?;
    known = schedule(store).await?;
    equal(
        &(known.queued, known.next_at, known.state),
        &(Some(newest), Some(world.now()), ScheduleState::Enabled),
        "after its end",
    )
}

/// Starts that were missed fall away in the transaction that makes the next one, and each is told of once.
pub(super) async fn missed_starts_fall_away(subject: Subject) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let store = store.as_ref();
    let (known, content) = enabled(store, &world, Overlap::Skip).await?;
    let first = due(&world, &known)?;
    world.advance(Duration::from_hours(2));
    let at = world.now();
    let second = at.checked_sub(Duration::from_hours(1))?;
    let missed = Some(Missed {
        through: second,
        count: 2,
    });
    let fire = FireSchedule {
        missed,
        ..fire(&world, &known, content, at)
    };
    let fired = store.schedule_fire(fire.clone()).await?;
    check!(
        matches!(fired, Fired::Started(_)),
        "the start in time: {fired:?}"
    );
    equal(
        &store.schedule_fire(fire).await?,
        &Fired::Stale,
        "the same again",
    )?;
    let runs = scheduled(store).await?;
    let starts: Vec<_> = runs
        .into_iter()
        .filter_map(|run| Some(run.schedule?.fire_at))
        .collect();
    equal(&starts, &vec![at], "what was started")?;
    check!(first < second, "there were two to miss");
    let kinds = vec![moorline_core::event::EventKind::ScheduleSkipped];
    let filter = crate::types::EventFilter {
        kinds,
        ..crate::types::EventFilter::default()
    };
    let told: Vec<_> = store
        .events_list(filter)
        .await?
        .into_iter()
        .map(|event| (event.data["cause"].clone(), event.data["count"].clone()))
        .collect();
    equal(&told, &vec![("misfire".into(), 2.into())], "what was told")
}
