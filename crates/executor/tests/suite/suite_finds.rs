//! The conformance suite finds executors that break the contract: each defect, done on purpose around the
//! local back end, fails the case that it should fail.

use std::sync::Arc;
use std::time::Duration;

use moorline_core::attempt::IsolationNeed;
use moorline_core::ids::AttemptId;
use moorline_executor::conformance::{self, CASES, Harness, Verdict};
use moorline_executor::local::{LocalConfig, LocalExecutor};
use moorline_executor::prelude::*;
use uuid::Uuid;

/// A way to break the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Defect {
    StartsAgain,
    LosesTheAnswer,
    BlocksInObserve,
    ForgetsTheOutcome,
    IgnoresCancel,
    KillsWithoutAsking,
    WaitsInCancel,
    ListsTooFew,
    ListsOthers,
    IgnoresTheCursor,
    EndsTheFollowedLog,
    CollectsTooEarly,
    DropsSecrets,
    DropsIsolation,
    KeepsWhatIsForgotten,
}

/// The local back end with a defect.
#[derive(Debug)]
struct Broken {
    inner: LocalExecutor,
    defect: Defect,
}

#[async_trait]
impl Executor for Broken {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn launch(
        &self,
        attempt: &Attempt,
        secrets: &SecretEnv,
    ) -> Result<Handle, ExecutorError> {
        let mut attempt = attempt.clone();
        match self.defect {
            Defect::StartsAgain => attempt.id = AttemptId::new(Uuid::now_v7()),
            Defect::DropsIsolation => attempt.isolation = IsolationNeed::Off,
            Defect::DropsSecrets => return self.inner.launch(&attempt, &SecretEnv::new()).await,
            Defect::LosesTheAnswer => {
                self.inner.launch(&attempt, secrets).await?;
                return Err(ExecutorError::Start {
                    reason: "who knows".to_owned(),
                });
            }
            _ => {}
        }
        self.inner.launch(&attempt, secrets).await
    }

    async fn observe(&self, handle: &Handle) -> Result<Observation, ExecutorError> {
        if self.defect == Defect::BlocksInObserve {
            self.inner.wait(handle).await?;
        }
        let mut seen = self.inner.observe(handle).await?;
        if let (Observation::Over(outcome), Defect::ForgetsTheOutcome) = (&mut seen, self.defect) {
            outcome.usage.wall_seconds += 1.0;
        }
        Ok(seen)
    }

    async fn wait(&self, handle: &Handle) -> Result<Outcome, ExecutorError> {
        self.inner.wait(handle).await
    }

    fn logs(&self, handle: &Handle, from: LogCursor, follow: bool) -> LogChunks {
        match self.defect {
            Defect::IgnoresTheCursor => self.inner.logs(handle, LogCursor::default(), follow),
            Defect::EndsTheFollowedLog => self.inner.logs(handle, from, false),
            _ => self.inner.logs(handle, from, follow),
        }
    }

    async fn cancel(&self, handle: &Handle, grace: Duration) -> Result<(), ExecutorError> {
        match self.defect {
            // With no grace it works, so that what the case leaves behind can be ended.
            Defect::IgnoresCancel if !grace.is_zero() => Ok(()),
            Defect::KillsWithoutAsking => self.inner.cancel(handle, Duration::ZERO).await,
            Defect::WaitsInCancel => {
                self.inner.cancel(handle, grace).await?;
                self.inner.wait(handle).await.map(drop)
            }
            _ => self.inner.cancel(handle, grace).await,
        }
    }

    async fn find_owned(&self, owner: &str) -> Result<Vec<Handle>, ExecutorError> {
        let mut owned = self.inner.find_owned(owner).await?;
        match self.defect {
            Defect::ListsTooFew => drop(owned.pop()),
            Defect::ListsOthers => {
                owned.extend(self.inner.find_owned(&format!("{owner}-neighbour")).await?);
            }
            _ => {}
        }
        Ok(owned)
    }

    async fn collect(&self, handle: &Handle) -> Result<Vec<CollectedFile>, ExecutorError> {
        match self.inner.collect(handle).await {
            Err(ExecutorError::StillRunning) if self.defect == Defect::CollectsTooEarly => {
                Ok(Vec::new())
            }
            answer => answer,
        }
    }

    async fn forget(&self, handle: &Handle) -> Result<(), ExecutorError> {
        if self.defect == Defect::KeepsWhatIsForgotten {
            return Ok(());
        }
        self.inner.forget(handle).await
    }
}

struct Suspect {
    home: tempfile::TempDir,
    defect: Defect,
}

impl Harness for Suspect {
    fn open(&self) -> Result<Arc<dyn Executor>, ExecutorError> {
        let helper = env!("CARGO_BIN_EXE_moorline-supervisor");
        let config = LocalConfig::new(self.home.path().join("attempts"), helper);
        Ok(Arc::new(Broken {
            inner: LocalExecutor::new(config)?,
            defect: self.defect,
        }))
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(1)
    }
}

#[tokio::test]
async fn each_defect_fails_the_case_of_its_clause() {
    for (defect, name) in [
        (Defect::StartsAgain, "a_second_launch_starts_nothing"),
        (
            Defect::StartsAgain,
            "a_handle_names_its_attempt_and_executor",
        ),
        (
            Defect::LosesTheAnswer,
            "a_program_that_is_missing_never_succeeds",
        ),
        (
            Defect::BlocksInObserve,
            "observe_answers_while_the_attempt_runs",
        ),
        (Defect::ForgetsTheOutcome, "an_outcome_does_not_change"),
        (Defect::IgnoresCancel, "a_job_is_asked_before_it_is_killed"),
        (
            Defect::KillsWithoutAsking,
            "a_job_is_asked_before_it_is_killed",
        ),
        (Defect::WaitsInCancel, "a_cancel_does_not_wait_for_the_end"),
        (Defect::ListsTooFew, "all_attempts_of_an_owner_are_found"),
        (Defect::ListsOthers, "nobody_elses_attempts_are_found"),
        (
            Defect::IgnoresTheCursor,
            "any_cursor_resumes_behind_its_chunk",
        ),
        (
            Defect::EndsTheFollowedLog,
            "a_followed_log_ends_with_the_attempt",
        ),
        (
            Defect::CollectsTooEarly,
            "nothing_is_collected_of_what_runs",
        ),
        (Defect::DropsSecrets, "a_secret_reaches_the_job"),
        (
            Defect::DropsIsolation,
            "required_isolation_is_given_or_refused",
        ),
        (Defect::KeepsWhatIsForgotten, "what_is_forgotten_is_gone"),
    ] {
        let suspect = Suspect {
            home: tempfile::tempdir().unwrap(),
            defect,
        };
        let case = CASES.iter().find(|case| case.name == name).unwrap();
        let report = conformance::run_case(&suspect, case).await;
        assert!(
            matches!(report.verdict, Verdict::Failed(_)),
            "{defect:?} passed {report}"
        );
    }
}

#[test]
fn case_names_are_unique() {
    let mut names: Vec<_> = CASES.iter().map(|case| case.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), CASES.len());
}
