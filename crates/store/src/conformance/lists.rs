//! Lists, filters and cursors.

use std::time::Duration;

use moorline_core::error_code::{FailureClass, RunStatus};
use moorline_core::event::{EventKind, Level};
use moorline_core::ids::RunId;

use super::check::equal;
use super::fixture::{failure, success};
use super::{Failure, Shape, Subject, World};
use crate::store::Store;
use crate::types::{EventFilter, RunFilter};

async fn listed(store: &dyn Store, filter: RunFilter) -> Result<Vec<RunId>, Failure> {
    Ok(store
        .runs_list(filter)
        .await?
        .into_iter()
        .map(|run| run.id)
        .collect())
}

/// A filter with a limit finds what is old, and a cursor goes on where the page before ended.
pub(super) async fn runs_are_listed_newest_first_and_filtered_before_the_limit(
    subject: Subject,
) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let rare = Shape {
        job: "rare",
        source: Some("bank"),
        ..Shape::default()
    };
    let common = Shape {
        job: "common",
        source: Some("shop"),
        ..Shape::default()
    };
    let mut ids = Vec::new();
    for shape in [&rare, &rare, &common, &common, &common, &common] {
        let run = world.started(store.as_ref(), shape).await?;
        ids.push(run.id);
        let verdict = match ids.len() {
            1 => success(false),
            2 => failure(FailureClass::Runtime),
            3 => continue,
            4 => failure(FailureClass::Auth),
            _ => success(false),
        };
        store.attempt_finish(world.finish(&run, verdict)).await?;
    }
    let [rare_ok, rare_failed, live, reauth, ok, newest] = ids.as_slice() else {
        return Err(Failure::new("six runs were submitted".to_owned()));
    };
    let store = store.as_ref();
    let all = RunFilter::default();
    let newest_first: Vec<_> = ids.iter().rev().copied().collect();
    equal(
        &listed(store, all.clone()).await?,
        &newest_first,
        "all runs",
    )?;
    let page = RunFilter {
        limit: 2,
        ..all.clone()
    };
    equal(
        &listed(store, page.clone()).await?,
        &vec![*newest, *ok],
        "the first page",
    )?;
    let page = RunFilter {
        before: Some(*ok),
        ..page
    };
    equal(
        &listed(store, page).await?,
        &vec![*reauth, *live],
        "the second page",
    )?;
    let job = Some("rare".to_owned());
    let by_job = RunFilter {
        job_id: job.clone(),
        limit: 1,
        ..all.clone()
    };
    equal(
        &listed(store, by_job).await?,
        &vec![*rare_failed],
        "the newest of a rare job",
    )?;
    let source = Some("bank".to_owned());
    let by_source = RunFilter {
        source_id: source.clone(),
        ..all.clone()
    };
    equal(
        &listed(store, by_source).await?,
        &vec![*rare_failed, *rare_ok],
        "by source",
    )?;
    let statuses = vec![RunStatus::Failed, RunStatus::NeedsReauth, RunStatus::Failed];
    let by_status = RunFilter {
        statuses,
        ..all.clone()
    };
    equal(
        &listed(store, by_status.clone()).await?,
        &vec![*reauth, *rare_failed],
        "by status",
    )?;
    let by_status = RunFilter {
        limit: 1,
        ..by_status
    };
    equal(
        &listed(store, by_status).await?,
        &vec![*reauth],
        "the newest by status",
    )?;
    for status in [RunStatus::Success, RunStatus::Killed] {
        let filter = RunFilter {
            statuses: vec![status],
            job_id: job.clone(),
            source_id: source.clone(),
            ..all.clone()
        };
        let wanted = if status == RunStatus::Success {
            vec![*rare_ok]
        } else {
            Vec::new()
        };
        equal(
            &listed(store, filter.clone()).await?,
            &wanted,
            "by job, source and status",
        )?;
        let filter = RunFilter {
            source_id: None,
            ..filter
        };
        equal(
            &listed(store, filter.clone()).await?,
            &wanted,
            "by job and status",
        )?;
        let filter = RunFilter {
            job_id: None,
            source_id: source.clone(),
            ..filter
        };
        equal(
            &listed(store, filter).await?,
            &wanted,
            "by source and status",
        )?;
    }
    let other = RunFilter {
        source_id: Some("shop".to_owned()),
        job_id: job,
        ..all
    };
    equal(
        &listed(store, other).await?,
        &Vec::new(),
        "a job by the source of another",
    )
}

/// A beginning that is shared gives two ids, so that the caller can tell.
pub(super) async fn a_run_is_found_by_the_beginning_of_its_id(
    subject: Subject,
) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(world.submit(store.as_ref(), &Shape::default()).await?.id);
    }
    for id in &ids {
        equal(
            &store.run_find(&id.to_string()).await?,
            &vec![*id],
            "by the whole id",
        )?;
        let upper = id.to_string().to_uppercase();
        equal(
            &store.run_find(&upper).await?,
            &vec![*id],
            "by the id in capitals",
        )?;
    }
    equal(&store.run_find("").await?.len(), &2, "by nothing")?;
    let shared = ids
        .first()
        .map(|id| id.to_string().chars().take(6).collect::<String>());
    equal(
        &store.run_find(&shared.unwrap_or_default()).await?.len(),
        &2,
        "by a shared beginning",
    )?;
    for absent in ["ffff", "latest", "%", "0190_"] {
        equal(
            &store.run_find(absent).await?,
            &Vec::new(),
            "by what no id begins with",
        )?;
    }
    Ok(())
}

async fn events(store: &dyn Store, filter: EventFilter) -> Result<Vec<u64>, Failure> {
    Ok(store
        .events_list(filter)
        .await?
        .into_iter()
        .map(|event| event.id)
        .collect())
}

/// Every filter applies before the limit, also when it counts from the newest.
pub(super) async fn events_are_filtered_before_the_limit(subject: Subject) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let first = world.started(store.as_ref(), &Shape::default()).await?;
    store
        .attempt_finish(world.finish(&first, failure(FailureClass::Leak)))
        .await?;
    world.advance(Duration::from_secs(1));
    let other = Shape {
        job: "other",
        ..Shape::default()
    };
    let second = world.started(store.as_ref(), &other).await?;
    store
        .attempt_finish(world.finish(&second, success(false)))
        .await?;
    let store = store.as_ref();
    let all = store
        .events_list(EventFilter {
            limit: 1000,
            ..EventFilter::default()
        })
        .await?;
    equal(
        &all.iter().map(|event| event.id).collect(),
        &(1..=u64::try_from(all.len())?).collect::<Vec<_>>(),
        "the ids of all events",
    )?;
    let wanted = |holds: &dyn Fn(&moorline_core::event::Event) -> bool| -> Vec<u64> {
        all.iter()
            .filter(|event| holds(event))
            .map(|event| event.id)
            .collect()
    };
    let none = EventFilter::default();
    let ended = vec![
        EventKind::RunEnded,
        EventKind::AttemptEnded,
        EventKind::RunEnded,
    ];
    let is_end = |e: &moorline_core::event::Event| e.kind.is_one_of(&ended);
    let cases = [
        (
            EventFilter {
                after: 3,
                ..none.clone()
            },
            wanted(&|e| e.id > 3),
        ),
        (
            EventFilter {
                kinds: ended.clone(),
                ..none.clone()
            },
            wanted(&is_end),
        ),
        (
            EventFilter {
                level: Some(Level::Warn),
                ..none.clone()
            },
            wanted(&|e| e.level >= Level::Warn),
        ),
        (
            EventFilter {
                level: Some(Level::Error),
                ..none.clone()
            },
            wanted(&|e| e.level >= Level::Error),
        ),
        (
            EventFilter {
                run_id: Some(first.id),
                ..none.clone()
            },
            wanted(&|e| e.run_id == Some(first.id)),
        ),
        (
            EventFilter {
                job_id: Some("other".to_owned()),
                kinds: ended.clone(),
                ..none.clone()
            },
            wanted(&|e| e.job_id.as_deref() == Some("other") && is_end(e)),
        ),
        (
            EventFilter {
                run_id: Some(first.id),
                job_id: Some("other".to_owned()),
                ..none.clone()
            },
            Vec::new(),
        ),
        (
            // The empty name is a condition too, and no job has it.
            EventFilter {
                job_id: Some(String::new()),
                ..none.clone()
            },
            Vec::new(),
        ),
        (
            EventFilter {
                kinds: ended.clone(),
                level: Some(Level::Error),
                after: 2,
                ..none.clone()
            },
            wanted(&|e| e.id > 2 && e.level == Level::Error && is_end(e)),
        ),
    ];
    for (filter, wanted) in cases {
        let what = format!("events by {filter:?}");
        equal(&events(store, filter.clone()).await?, &wanted, &what)?;
        let limited = EventFilter {
            limit: 2,
            ..filter.clone()
        };
        let first = wanted.iter().take(2).copied().collect();
        equal(
            &events(store, limited).await?,
            &first,
            &format!("the first two {what}"),
        )?;
        let newest = EventFilter {
            limit: 2,
            newest: true,
            ..filter
        };
        let last = wanted
            .iter()
            .skip(wanted.len().saturating_sub(2))
            .copied()
            .collect();
        equal(
            &events(store, newest).await?,
            &last,
            &format!("the newest two {what}"),
        )?;
    }
    Ok(())
}

/// What it costs grows with the jobs, not with their runs; that is a matter of the statement's index.
pub(super) async fn a_job_that_ran_is_named_once(subject: Subject) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    equal(&store.run_jobs().await?, &Vec::new(), "jobs without runs")?;
    for job in ["statement", "b", "statement", "a", "b"] {
        let shape = Shape {
            job,
            ..Shape::default()
        };
        world.submit(store.as_ref(), &shape).await?;
    }
    let mut jobs = store.run_jobs().await?;
    // In the order of the engine, which may be that of a language.
    jobs.sort();
    equal(
        &jobs,
        &vec!["a".into(), "b".into(), "statement".into()],
        "jobs",
    )
}
