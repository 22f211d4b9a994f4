//! Random histories, carried out by a store and by a model of it that is nothing but
//! `moorline_core::run::apply` on a map. Every answer and the whole state afterwards are the same.

mod model;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use moorline_core::audit::ChainVerifier;
use moorline_core::content_id::ContentId;
use moorline_core::error_code::{ErrorCode, FailureClass};
use moorline_core::ids::RunId;
use moorline_core::lane::Lane;
use moorline_core::run::{Run, Verdict};
use moorline_core::spec::Retries;
use moorline_core::stop::StopScope;
use moorline_store::conformance::{Shape, World};
use moorline_store::{
    ClaimDue, EventFilter, FinishAttempt, NewRun, OutboxDone, PostgresStore, RunFilter,
    SqliteStore, Store,
};
use proptest::prelude::*;

use self::model::{Answer, Model, answer};

/// A step of a history. Runs are named by their number, wrapped around.
#[derive(Debug, Clone)]
enum Op {
    Submit {
        shape: usize,
        key: Option<u8>,
        fingerprint: u8,
        claim: bool,
    },
    Claim {
        only: Option<usize>,
        count: usize,
    },
    Launch {
        run: usize,
        stale: bool,
    },
    Finish {
        run: usize,
        verdict: usize,
        stale: bool,
        claim_next: bool,
    },
    TakeOver {
        run: usize,
        wrong: bool,
    },
    Cancel {
        run: usize,
    },
    Engage {
        scope: usize,
    },
    Release {
        scope: usize,
    },
    OutboxDone {
        row: usize,
    },
    Advance {
        seconds: u64,
    },
    Reopen,
}

fn op() -> impl Strategy<Value = Op> {
    let run = 0..8_usize;
    let scope = 0..5_usize;
    let rarely = || prop::bool::weighted(0.15);
    prop_oneof![
        4 => (0..3_usize, prop::option::weighted(0.4, 0..3_u8), 0..2_u8, any::<bool>()).prop_map(
            |(shape, key, fingerprint, claim)| Op::Submit { shape, key, fingerprint, claim }
        ),
        4 => (prop::option::weighted(0.3, run.clone()), 1..4_usize)
            .prop_map(|(only, count)| Op::Claim { only, count }),
        2 => (run.clone(), rarely()).prop_map(|(run, stale)| Op::Launch { run, stale }),
        6 => (run.clone(), 0..verdicts().len(), rarely(), any::<bool>()).prop_map(
            |(run, verdict, stale, claim_next)| Op::Finish { run, verdict, stale, claim_next }
        ),
        1 => (run.clone(), rarely()).prop_map(|(run, wrong)| Op::TakeOver { run, wrong }),
        1 => run.prop_map(|run| Op::Cancel { run }),
        1 => scope.clone().prop_map(|scope| Op::Engage { scope }),
        2 => scope.prop_map(|scope| Op::Release { scope }),
        1 => (0..4_usize).prop_map(|row| Op::OutboxDone { row }),
        2 => (0..4_u64).prop_map(|seconds| Op::Advance { seconds }),
        1 => Just(Op::Reopen),
    ]
}

fn shape(number: usize) -> Shape {
    match number {
        0 => Shape {
            source: Some("bank"),
            ..Shape::default()
        },
        1 => Shape {
            job: "two-step",
            steps: &["extract", "publish"],
            retries: Retries {
                max: 1,
                initial_delay_seconds: 2.0,
                on: vec![FailureClass::Runtime],
                ..Retries::none()
            },
            ..Shape::default()
        },
        _ => Shape {
            job: "prod-job",
            source: Some("bank"),
            lane: Lane::PROD,
            ..Shape::default()
        },
    }
}

fn verdicts() -> Vec<Verdict> {
    let mut verdicts = vec![World::success(), World::success_with_export()];
    let classes = [
        FailureClass::Runtime,
        FailureClass::Auth,
        FailureClass::Leak,
    ];
    let failures =
        classes.map(|class| Verdict::failure(class, ErrorCode::of_class(class), "it broke"));
    verdicts.extend(failures);
    verdicts
}

fn scope(number: usize, runs: &[RunId]) -> StopScope {
    match number {
        0 => StopScope::All,
        1 => StopScope::Job("two-step".to_owned()),
        2 => StopScope::Source("bank".to_owned()),
        3 => StopScope::Lane("prod".to_owned()),
        _ => runs
            .first()
            .map_or(StopScope::All, |run| StopScope::Run(*run)),
    }
}

/// Where the store of a history is, to open it again.
enum Place {
    File(PathBuf),
    Server(String),
}

impl Place {
    async fn open(&self) -> Arc<dyn Store> {
        match self {
            Self::File(path) => Arc::new(SqliteStore::open(path).unwrap()),
            Self::Server(url) => Arc::new(PostgresStore::connect(url).await.unwrap()),
        }
    }
}

async fn agree(place: &Place, history: &[Op]) {
    let mut store = place.open().await;
    let (world, mut model) = (World::default(), Model::default());
    for op in history {
        let runs = model.run_ids();
        let pick = |number: usize| runs.get(number % runs.len().max(1)).copied();
        let current = |number| pick(number).map(|id| model.run(id).clone());
        let (found, wanted) = match op {
            Op::Submit {
                shape: number,
                key,
                fingerprint,
                claim,
            } => {
                let new = NewRun {
                    idempotency_key: key.map(|key| format!("key-{key}")),
                    fingerprint: ContentId::of_bytes(&[*fingerprint]),
                    claim: claim.then(|| (world.driver, world.attempt_id(), world.lease())),
                    ..world.new_run(&shape(*number))
                };
                let found = store
                    .run_submit(new.clone())
                    .await
                    .map(|submitted| vec![submitted.run]);
                (answer(found), model.submit(&new))
            }
            Op::Claim { only, count } => {
                let Some(only) = only.map(pick) else {
                    let claim = world.claim_many(*count);
                    let found = store.run_claim_due(claim.clone()).await;
                    compare(op, &answer(found), &model.claim(&claim));
                    continue;
                };
                let claim = ClaimDue {
                    only,
                    ..world.claim_many(*count)
                };
                (
                    answer(store.run_claim_due(claim.clone()).await),
                    model.claim(&claim),
                )
            }
            Op::Launch { run, stale } => {
                let Some(run) = current(*run) else { continue };
                let token = run.token - u64::from(*stale && run.token > 0);
                let handle = World::handle(world.attempt_id());
                let found = store
                    .attempt_launched(run.id, token, handle.clone(), world.now())
                    .await;
                (
                    answer(found.map(|run| vec![run])),
                    model.launch(run.id, token, handle, world.now()),
                )
            }
            Op::Finish {
                run,
                verdict,
                stale,
                claim_next,
            } => {
                let Some(run) = current(*run) else { continue };
                let token = run.token - u64::from(*stale && run.token > 0);
                let run = Run { token, ..run };
                let next = claim_next.then(|| (world.driver, world.attempt_id(), world.lease()));
                let verdict = verdicts().swap_remove(*verdict);
                let finish = FinishAttempt {
                    claim_next: next,
                    ..world.finish(&run, verdict)
                };
                let found = store.attempt_finish(finish.clone()).await;
                (answer(found.map(|run| vec![run])), model.finish(&finish))
            }
            Op::TakeOver { run, wrong } => {
                let Some(run) = current(*run) else { continue };
                let live = run
                    .attempt
                    .as_ref()
                    .filter(|_| !wrong)
                    .map(|attempt| attempt.id);
                let (attempt, driver) = (
                    live.unwrap_or_else(|| world.attempt_id()),
                    world.driver_id(),
                );
                let (lease, now) = (world.lease(), world.now());
                let found = store
                    .attempt_take_over(run.id, attempt, driver, lease, now)
                    .await;
                let wanted = model.take_over(run.id, attempt, driver, world.now());
                (answer(found.map(|run| vec![run])), wanted)
            }
            Op::Cancel { run } => {
                let Some(run) = pick(*run) else { continue };
                let cancel = world.cancel(run);
                let found = store.run_cancel(cancel.clone()).await;
                (answer(found.map(|run| vec![run])), model.cancel(&cancel))
            }
            Op::Engage { scope: number } => {
                let stop = world.stop(scope(*number, &runs));
                store.stop_engage(stop.clone()).await.unwrap();
                (
                    answer(store.stop_carry_out(stop.clone()).await),
                    model.engage(&stop),
                )
            }
            Op::Release { scope: number } => {
                let scope = scope(*number, &runs);
                let found = store
                    .stop_release(&scope, "ada", "done", world.now())
                    .await
                    .unwrap();
                assert_eq!(found, model.release(&scope), "{op:?}");
                continue;
            }
            Op::OutboxDone { row } => {
                let pending = store.outbox_pending(None).await.unwrap();
                if let Some(row) = pending.get(*row) {
                    let done = OutboxDone {
                        id: row.id,
                        event: None,
                        now: world.now(),
                    };
                    store.outbox_done(done).await.unwrap();
                    model
                        .outbox
                        .retain(|known| (known.0, &known.1) != (row.run_id, &row.effect));
                }
                continue;
            }
            Op::Advance { seconds } => {
                world.advance(Duration::from_secs(*seconds));
                continue;
            }
            Op::Reopen => {
                drop(store);
                store = place.open().await;
                continue;
            }
        };
        compare(op, &found, &wanted);
    }
    same_state(store.as_ref(), &model).await;
}

fn compare(op: &Op, found: &Answer, wanted: &Answer) {
    assert_eq!(found, wanted, "{op:?}");
}

/// The whole of what can be read is what the model holds.
async fn same_state(store: &dyn Store, model: &Model) {
    let all = RunFilter {
        limit: 10_000,
        ..RunFilter::default()
    };
    let runs = store.runs_list(all).await.unwrap();
    let wanted: Vec<Run> = model.runs().rev().cloned().collect();
    assert_eq!(runs, wanted, "the runs");
    for run in &runs {
        let summary = store.summary_get(run.id).await.unwrap();
        assert_eq!(
            summary.as_ref(),
            model.summaries.get(&run.id),
            "the summary of {}",
            run.id
        );
        let attempts = store.attempts_list(run.id).await.unwrap();
        assert_eq!(
            attempts.len(),
            usize::try_from(run.attempts).unwrap(),
            "attempts of a run"
        );
        let open = attempts
            .iter()
            .filter(|attempt| attempt.ended_at.is_none())
            .count();
        assert_eq!(
            open,
            usize::from(run.attempt.is_some()),
            "attempts that are not over"
        );
    }
    let live = store.runs_live().await.unwrap();
    let live: Vec<Run> = live.into_iter().map(|live| live.run).collect();
    let wanted: Vec<Run> = model
        .runs()
        .filter(|run| run.attempt.is_some())
        .cloned()
        .collect();
    assert_eq!(live, wanted, "the live runs");
    let due = store.next_due(None).await.unwrap();
    assert_eq!(
        due,
        model.runs().filter_map(|run| run.due_at).min(),
        "what is due next"
    );
    assert_eq!(
        store.stops_list().await.unwrap(),
        model.stops(),
        "the stops"
    );
    let sources = store.sources_list().await.unwrap();
    let sources: Vec<_> = sources
        .into_iter()
        .map(|s| (s.source_id, s.state))
        .collect();
    let wanted: Vec<_> = model.sources.clone().into_iter().collect();
    assert_eq!(sources, wanted, "the sources");
    let outbox = store.outbox_pending(None).await.unwrap();
    let outbox: Vec<_> = outbox
        .into_iter()
        .map(|row| (row.run_id, row.effect))
        .collect();
    assert_eq!(outbox, model.outbox, "the outbox");
    let filter = EventFilter {
        limit: 100_000,
        ..EventFilter::default()
    };
    let events = store.events_list(filter).await.unwrap();
    let kinds: Vec<_> = events
        .iter()
        .filter_map(|event| Some((event.run_id, event.kind.known()?)))
        .collect();
    assert_eq!(kinds, model.events, "the events");
    assert!(
        events.iter().zip(1..).all(|(event, id)| event.id == id),
        "the ids of the events"
    );
    let mut verifier = ChainVerifier::default();
    let audit = store.audit_list(0, 100_000).await.unwrap();
    for record in &audit {
        verifier.push(record).unwrap();
    }
    let head = store.audit_head().await.unwrap();
    verifier.finish(head.id, &head.hash).unwrap();
    let ends = audit
        .iter()
        .filter(|record| record.operation == "run.end")
        .count();
    assert_eq!(ends, model.summaries.len(), "audited ends");
}

fn run(place: &Place, history: &[Op]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(agree(place, history));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]
    #[test]
    fn sqlite_does_what_the_model_does(history in prop::collection::vec(op(), 1..60)) {
        let directory = tempfile::tempdir().unwrap();
        run(&Place::File(directory.path().join("store.db")), &history);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]
    #[test]
    fn postgres_does_what_the_model_does(history in prop::collection::vec(op(), 1..60)) {
        let database = moorline_testkit::postgres::create_database().unwrap();
        run(&Place::Server(database.url().to_owned()), &history);
    }
}
