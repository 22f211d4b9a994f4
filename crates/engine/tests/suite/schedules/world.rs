//! Carries a plan out: an engine that is asked for ticks at the times that it named itself, that dies and comes
//! back, and a clock that is moved by hand.
//!
//! Each life of the engine has a runtime of its own, which is dropped with everything that goes on in it: from
//! the store's and the executor's view that is a crash. Between two deeds everything comes to rest, so that what
//! is noted is what happened.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use moorline_api::{
    ApiError, ArtifactOperations as _, ArtifactSubmitRequest, ControlPlane as _, DecisionRequest,
    GateRequest, PromoteRequest, RunRequest, ScheduleChangeRequest, ScheduleDisableRequest,
    ScheduleOperations as _, SourceChangeRequest, SourceOperations as _, SourceResumeRequest,
    VerifyRunRequest,
};
use moorline_core::clock::{ManualClock, SeededIds};
use moorline_core::error_code::RunStatus;
use moorline_core::ids::RunId;
use moorline_core::principal::Principal;
use moorline_core::run::Run;
use moorline_core::schedule::ScheduleDocument;
use moorline_core::spec;
use moorline_core::stop::StopScope;
use moorline_engine::{Engine, EngineConfig, StateDirs};
use moorline_secrets::SourceChain;
use moorline_store::{PostgresStore, RunFilter, SqliteStore, Store};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::schedules::notes::{Note, What};
use crate::schedules::plan::{Deed, Plan, Subject};
use crate::schedules::stage::Stage;

/// How long everything may take to come to rest.
const PATIENCE: Duration = Duration::from_mins(1);

/// Where the store is.
#[derive(Debug)]
pub(crate) enum Backing {
    Sqlite,
    Postgres(String),
}

impl Backing {
    async fn open(&self, dirs: &StateDirs) -> Arc<dyn Store> {
        match self {
            Self::Sqlite => Arc::new(SqliteStore::open(&dirs.store()).unwrap()),
            Self::Postgres(url) => Arc::new(PostgresStore::connect(url).await.unwrap()),
        }
    }
}

/// One life of the engine.
struct Life {
    engine: Engine,
    runtime: Runtime,
}

pub(crate) struct World<'a> {
    plan: &'a Plan,
    backing: Backing,
    dirs: StateDirs,
    clock: Arc<ManualClock>,
    ids: Arc<SeededIds>,
    stage: Arc<Stage>,
    life: Option<Life>,
    rng: StdRng,
    /// Time that really passed.
    passed: SignedDuration,
    /// What the machine's clock is ahead by.
    skew: SignedDuration,
    /// When the scheduler said it is due next, by the clock.
    next_at: Option<Timestamp>,
    /// Runs that go on, by their schedule, with the time that passed when they end.
    going: BTreeMap<usize, (RunId, SignedDuration)>,
    crash_soon: bool,
    notes: Vec<Note>,
    home: TempDir,
}

impl<'a> World<'a> {
    pub(crate) fn new(plan: &'a Plan, seed: u64, backing: Backing) -> Self {
        let home = in_memory();
        let dirs = StateDirs::new(home.path().join("state"));
        dirs.create().unwrap();
        let clock = Arc::new(ManualClock::new(plan.from));
        Self {
            plan,
            backing,
            dirs,
            stage: Stage::new(Arc::<ManualClock>::clone(&clock)),
            clock,
            ids: Arc::new(SeededIds::new(seed)),
            life: None,
            rng: StdRng::seed_from_u64(seed),
            passed: SignedDuration::ZERO,
            skew: SignedDuration::ZERO,
            next_at: None,
            going: BTreeMap::new(),
            crash_soon: false,
            notes: Vec::new(),
            home,
        }
    }

    /// What happened, and all runs of the store.
    pub(crate) fn carry_out(mut self) -> (Vec<Note>, Vec<Run>) {
        self.revive();
        self.bring_live();
        let end = SignedDuration::from_mins(self.plan.minutes);
        let mut deeds = self.plan.deeds.iter().peekable();
        self.ticks();
        loop {
            let deed = deeds.peek().map(|(at, _)| SignedDuration::from_mins(*at));
            let next = [deed, self.next_end(), self.next_tick()];
            let Some(next) = next.into_iter().flatten().min().filter(|next| *next < end) else {
                break;
            };
            self.passed = self.passed.max(next);
            self.set_clock();
            self.end_runs();
            while let Some((_, deed)) =
                deeds.next_if(|(at, _)| SignedDuration::from_mins(*at) <= self.passed)
            {
                self.act(*deed);
            }
            self.ticks();
        }
        let runs = self.all_runs();
        self.kill();
        (std::mem::take(&mut self.notes), runs)
    }

    fn now(&self) -> Timestamp {
        self.plan.from + self.passed + self.skew
    }

    fn set_clock(&self) {
        self.clock.set(self.now());
    }

    fn note(&mut self, what: What) {
        let at = self.now();
        self.notes.push(Note { at, what });
    }

    /// The engine and its runtime, while it lives.
    fn life(&self) -> (&Engine, &Runtime) {
        let life = self.life.as_ref().expect("the engine lives");
        (&life.engine, &life.runtime)
    }

    fn revive(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let mut config = EngineConfig::embedded(self.dirs.clone());
        // Runs that take long must not keep others from beginning.
        config.capacity = 4096;
        "stage".clone_into(&mut config.default_executor);
        let engine = runtime.block_on(async {
            let store = self.backing.open(&self.dirs).await;
            let secrets = Arc::new(SourceChain::new());
            let engine = Engine::builder(
                config,
                store,
                secrets,
                Arc::<ManualClock>::clone(&self.clock),
                Arc::<SeededIds>::clone(&self.ids),
            )
            .executor("stage", Arc::<Stage>::clone(&self.stage))
            .build();
            Box::pin(engine.resume_all()).await.unwrap();
            engine
        });
        self.life = Some(Life { engine, runtime });
        self.settle();
    }

    fn kill(&mut self) {
        if let Some(Life { engine, runtime }) = self.life.take() {
            let locks = self.locks();
            runtime.shutdown_timeout(PATIENCE);
            drop(engine);
            // A process that is killed has no time to remove its lock: the file stays, unlocked.
            for lock in locks {
                fs::write(lock, "").unwrap();
            }
        }
    }

    /// The lock files of the drivers.
    fn locks(&self) -> Vec<PathBuf> {
        let drivers = fs::read_dir(self.dirs.root().join("drivers")).unwrap();
        drivers.map(|entry| entry.unwrap().path()).collect()
    }

    /// The time that has passed when the scheduler wants to be asked again, and a bit: nobody wakes at once.
    fn next_tick(&mut self) -> Option<SignedDuration> {
        let next = self.next_at?.duration_since(self.plan.from) - self.skew;
        let late = SignedDuration::from_millis(self.rng.random_range(0..20_000));
        let soonest = self.passed + SignedDuration::from_millis(1);
        Some((next + late).max(soonest))
    }

    fn next_end(&self) -> Option<SignedDuration> {
        self.going.values().map(|(_, end)| *end).min()
    }

    fn act(&mut self, deed: Deed) {
        match deed {
            Deed::Disable(number) => {
                let request = ScheduleDisableRequest {
                    scope: StopScope::Schedule(self.subject(number).id()),
                    actor: ada(),
                    reason: "not now".to_owned(),
                };
                let (engine, runtime) = self.life();
                runtime.block_on(engine.schedule_disable(request)).unwrap();
                self.note(What::Halted(number));
            }
            Deed::Enable(number) => self.enable(number),
            Deed::Pause(number) => {
                let request = SourceChangeRequest {
                    source_id: self.subject(number).name.clone(),
                    actor: ada(),
                    reason: "not now".to_owned(),
                };
                let (engine, runtime) = self.life();
                runtime.block_on(engine.source_pause(request)).unwrap();
                self.note(What::Halted(number));
            }
            Deed::Resume(number) => {
                let request = SourceResumeRequest {
                    source_id: self.subject(number).name.clone(),
                    actor: ada(),
                    reason: "looked into".to_owned(),
                    looked_into: true,
                };
                let change = change(self.subject(number));
                let (engine, runtime) = self.life();
                runtime
                    .block_on(async {
                        engine.source_resume(request).await?;
                        engine.schedule_resume(change).await
                    })
                    .unwrap();
                self.note(What::Resumed(number));
            }
            Deed::Jump(minutes) => {
                self.skew += SignedDuration::from_mins(minutes);
                self.set_clock();
            }
            Deed::Crash { down } => {
                self.kill();
                self.passed += SignedDuration::from_mins(down);
                self.set_clock();
                self.revive();
                self.end_runs();
            }
            Deed::CrashBehindTick => self.crash_soon = true,
        }
    }

    fn subject(&self, number: usize) -> &'a Subject {
        &self.plan.schedules[number]
    }

    fn enable(&mut self, number: usize) {
        let request = change(self.subject(number));
        let (engine, runtime) = self.life();
        runtime.block_on(engine.schedule_enable(request)).unwrap();
        self.note(What::Enabled(number));
    }

    /// Ends the runs whose time has come.
    fn end_runs(&mut self) {
        let over: Vec<(usize, RunId)> = self
            .going
            .iter()
            .filter(|(_, (_, end))| *end <= self.passed)
            .map(|(number, (run, _))| (*number, *run))
            .collect();
        for (number, run) in over {
            self.going.remove(&number);
            assert!(self.stage.finish(run), "run {run} does not go on");
            let (engine, runtime) = self.life();
            let request = RunRequest {
                run: run.to_string(),
            };
            runtime.block_on(engine.run_wait(request)).unwrap();
            self.note(What::Ended(number));
        }
    }

    /// Asks for ticks until nothing comes of one.
    fn ticks(&mut self) {
        loop {
            self.note(What::Tick);
            let (engine, runtime) = self.life();
            let report = runtime.block_on(engine.schedule_tick()).unwrap();
            self.next_at = report.next_at;
            if self.crash_soon && !report.started.is_empty() {
                self.crash_soon = false;
                self.kill();
                self.revive();
            }
            self.settle();
            let ended = self.look_at_runs();
            let due = self.next_at.is_some_and(|next| next <= self.now());
            if report.started.is_empty() && !ended && !due {
                return;
            }
        }
    }

    /// Waits until every run that is not over plays on the stage.
    fn settle(&self) {
        let (engine, runtime) = self.life();
        runtime.block_on(async {
            let rests = |run: &Run| run.cancel.is_none() && self.stage.plays(run.id);
            let all_rest = || async { open_runs(engine).await.iter().all(rests) };
            let waited =
                moorline_testkit::wait::until_async(PATIENCE, "runs to come to rest", all_rest);
            if let Err(error) = waited.await {
                let mut open = open_runs(engine).await;
                open.retain(|run| !rests(run));
                panic!("{error}: {open:#?}");
            }
        });
    }

    /// Takes notice of runs that began, and of those that were cancelled for another. Whether some ended.
    fn look_at_runs(&mut self) -> bool {
        let (engine, runtime) = self.life();
        let open = runtime.block_on(open_runs(engine));
        let mut begun = BTreeMap::new();
        for run in &open {
            let Some(start) = &run.schedule else { continue };
            let number = Self::number(start.schedule.job_id());
            begun.insert(number, run.id);
        }
        let before = self.going.len();
        self.going
            .retain(|number, (run, _)| begun.get(number) == Some(run));
        let mut ended = self.going.len() < before;
        for (number, run) in begun {
            let takes = SignedDuration::from_mins(self.subject(number).takes.into());
            let end = self.passed + takes;
            self.going.entry(number).or_insert((run, end));
            ended |= takes.is_zero();
        }
        self.end_runs();
        ended
    }

    fn number(name: &str) -> usize {
        let number = name.strip_prefix("job-").and_then(|n| n.parse().ok());
        number.expect("a job of the plan")
    }

    fn all_runs(&self) -> Vec<Run> {
        let (engine, runtime) = self.life();
        let filter = RunFilter {
            limit: 1_000_000,
            ..RunFilter::default()
        };
        runtime.block_on(engine.store().runs_list(filter)).unwrap()
    }

    /// Every schedule, from a directory to enabled, through all gates.
    fn bring_live(&mut self) {
        for number in 0..self.plan.schedules.len() {
            let subject = self.subject(number);
            let dir = self.home.path().join("jobs").join(&subject.name);
            write_job(&dir, subject);
            let (engine, runtime) = self.life();
            let done = runtime.block_on(pass_gates(engine, &self.stage, &dir, subject));
            done.unwrap_or_else(|error| panic!("{subject}: {error:#?}"));
            self.enable(number);
        }
    }
}

/// A directory that needs no disk where there is one: no machine loses its power here.
fn in_memory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

async fn open_runs(engine: &Engine) -> Vec<Run> {
    let filter = RunFilter {
        statuses: vec![RunStatus::Queued, RunStatus::Running],
        limit: 100_000,
        ..RunFilter::default()
    };
    engine.store().runs_list(filter).await.unwrap()
}

fn ada() -> Principal {
    "human:ada".parse().unwrap()
}

fn change(subject: &Subject) -> ScheduleChangeRequest {
    ScheduleChangeRequest {
        schedule: subject.id(),
        actor: ada(),
        reason: "it is time".to_owned(),
    }
}

async fn pass_gates(
    engine: &Engine,
    stage: &Stage,
    dir: &Path,
    subject: &Subject,
) -> Result<(), ApiError> {
    let artifact = format!("latest:{}", subject.name);
    let decision = || DecisionRequest {
        artifact: artifact.clone(),
        reason: "looked at".to_owned(),
        changes: Vec::new(),
        actor: ada(),
        lane: None,
        signature: None,
    };
    let gate = || GateRequest {
        schedule: subject.id(),
        actor: ada(),
    };
    let submit = ArtifactSubmitRequest {
        dir: dir.to_owned(),
        note: None,
        actor: ada(),
    };
    engine.artifact_submit(submit).await?;
    engine.artifact_approve(decision()).await?;
    engine.artifact_security_review(decision()).await?;
    let promote = PromoteRequest {
        artifact: artifact.clone(),
        lane: Some(subject.id().lane().to_string()),
        reason: "reviewed".to_owned(),
        actor: ada(),
    };
    engine.artifact_promote(promote).await?;
    engine.gate_check_secrets(gate()).await?;
    engine.gate_probe_egress(gate()).await?;
    let run = engine.schedule_run_now(change(subject)).await?.run_id;
    let played = || async { stage.finish(run) };
    moorline_testkit::wait::until_async(PATIENCE, "the first run to play", played)
        .await
        .unwrap();
    let request = RunRequest {
        run: run.to_string(),
    };
    engine.run_wait(request).await?;
    let verify = VerifyRunRequest {
        schedule: subject.id(),
        run: run.to_string(),
        actor: ada(),
        note: "as expected".to_owned(),
    };
    engine.gate_verify_run(verify).await?;
    Ok(())
}

fn write_job(dir: &Path, subject: &Subject) {
    fs::create_dir_all(dir).unwrap();
    let text = serde_json::to_vec_pretty(&subject.spec()).unwrap();
    let loaded = spec::load(&text).unwrap_or_else(|error| panic!("{subject}: {error:?}"));
    let schedule = ScheduleDocument::of(&loaded, loaded.canonical_hash().unwrap()).unwrap();
    fs::write(dir.join("job_spec.json"), text).unwrap();
    let schedule = serde_json::to_vec_pretty(&schedule).unwrap();
    fs::write(dir.join("SCHEDULE.json"), schedule).unwrap();
    fs::write(dir.join("RUNBOOK.md"), "# Runbook\n").unwrap();
}
