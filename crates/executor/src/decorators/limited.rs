//! A bound on how many attempts are alive.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use moorline_core::attempt::{Attempt, Handle, IsolationNeed, Observation, Outcome};
use moorline_core::ids::AttemptId;
use moorline_secrets::SecretEnv;
use tokio::sync::{Mutex as AsyncMutex, Semaphore};

use crate::executor::{Capabilities, CollectedFile, Executor, ExecutorError, LogChunk, LogCursor};

/// Lets at most so many attempts be alive at once: `launch` waits for a place, first come, first served.
///
/// A place is taken by `launch` and given back when the attempt is known to be over: by what `observe` or
/// `wait` answer, by a `collect` or `forget` that succeeds, or when `launch` fails and nothing runs. So
/// whoever launches must ask for the end, as everyone does who wants the outcome. After
/// [`ExecutorError::Unknown`] the place is kept, until a repeated `launch` or a complete `find_owned` tells.
///
/// An attempt that was launched before this object was made (by a process that has died) takes a place
/// when `observe` sees it run or someone `wait`s for it, also when there is none left; then as many ends
/// as there are too many make no place. A second `launch` of an attempt that has its place does not wait.
/// To stop waiting, drop the future of `launch`.
#[derive(Debug)]
pub struct Limited {
    inner: Arc<dyn Executor>,
    places: Semaphore,
    seats: Mutex<Seats>,
}

#[derive(Debug, Default)]
struct Seats {
    by_attempt: HashMap<AttemptId, Seat>,
    /// How many seats were taken without a place.
    debt: usize,
}

/// An attempt that is alive or about to be.
#[derive(Debug, Default)]
struct Seat {
    /// Held by the one launch that waits for the place; other launches of the same attempt wait for it.
    launching: Arc<AsyncMutex<()>>,
    is_taken: bool,
    owner: Option<String>,
    /// Calls of `launch` so far.
    launches: u64,
}

impl Limited {
    /// Lets at most `limit` attempts of `inner` be alive. With a limit of 0 every launch waits.
    pub fn new(inner: Arc<dyn Executor>, limit: usize) -> Self {
        let places = Semaphore::new(limit.min(Semaphore::MAX_PERMITS));
        Self {
            inner,
            places,
            seats: Mutex::default(),
        }
    }

    /// How many attempts are alive, as far as this object knows.
    pub fn alive(&self) -> usize {
        self.seats()
            .by_attempt
            .values()
            .filter(|seat| seat.is_taken)
            .count()
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a place for a launch, unless the attempt has one.
    async fn take_place(&self, id: AttemptId) -> Result<(), ExecutorError> {
        if self
            .seats()
            .by_attempt
            .get(&id)
            .is_some_and(|seat| seat.is_taken)
        {
            return Ok(());
        }
        let place = self
            .places
            .acquire()
            .await
            .map_err(|_| ExecutorError::Start {
                reason: "the limit on attempts was closed".to_owned(),
            })?;
        let mut seats = self.seats();
        let seat = seats.by_attempt.entry(id).or_default();
        // Someone may have seen it run meanwhile; then the place goes back.
        if !seat.is_taken {
            seat.is_taken = true;
            place.forget();
        }
        Ok(())
    }

    /// An attempt is seen alive: it counts, whether there is a place or not.
    fn is_alive(&self, id: AttemptId) {
        let mut seats = self.seats();
        let seat = seats.by_attempt.entry(id).or_default();
        if !seat.is_taken {
            seat.is_taken = true;
            if self.places.forget_permits(1) == 0 {
                seats.debt += 1;
            }
        }
    }

    /// The attempts of an owner that no call of `launch` is busy with, and how many calls each has seen.
    fn settled(&self, owner: &str) -> HashMap<AttemptId, u64> {
        let seats = self.seats();
        let settled = seats.by_attempt.iter().filter(|(_, seat)| {
            seat.owner.as_deref() == Some(owner) && Arc::strong_count(&seat.launching) == 1
        });
        settled.map(|(id, seat)| (*id, seat.launches)).collect()
    }

    /// An attempt does not run any more.
    fn is_over(&self, id: AttemptId) {
        let mut seats = self.seats();
        let Some(seat) = seats.by_attempt.get_mut(&id).filter(|seat| seat.is_taken) else {
            return;
        };
        seat.is_taken = false;
        // A launch that waits for its turn still needs the entry.
        if Arc::strong_count(&seat.launching) == 1 {
            seats.by_attempt.remove(&id);
        }
        if seats.debt > 0 {
            seats.debt -= 1;
        } else {
            self.places.add_permits(1);
        }
    }
}

/// A launch's turn among those of its attempt. Leaves no entry behind when nothing came of it.
struct Turn<'a> {
    limited: &'a Limited,
    id: AttemptId,
    launching: Arc<AsyncMutex<()>>,
}

impl<'a> Turn<'a> {
    fn new(limited: &'a Limited, attempt: &Attempt) -> Self {
        let mut seats = limited.seats();
        let seat = seats.by_attempt.entry(attempt.id).or_default();
        seat.owner.get_or_insert_with(|| attempt.owner.clone());
        seat.launches += 1;
        Self {
            limited,
            id: attempt.id,
            launching: Arc::clone(&seat.launching),
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut seats = self.limited.seats();
        // Two: the entry's own and this one.
        let is_unused = |seat: &Seat| !seat.is_taken && Arc::strong_count(&seat.launching) == 2;
        if seats.by_attempt.get(&self.id).is_some_and(is_unused) {
            seats.by_attempt.remove(&self.id);
        }
    }
}

#[async_trait]
impl Executor for Limited {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn egress_prober(&self, need: IsolationNeed) -> Option<String> {
        self.inner.egress_prober(need)
    }

    fn only_here(&self) -> bool {
        self.inner.only_here()
    }

    async fn launch(
        &self,
        attempt: &Attempt,
        secrets: &SecretEnv,
    ) -> Result<Handle, ExecutorError> {
        let turn = Turn::new(self, attempt);
        let held = turn.launching.lock().await;
        self.take_place(attempt.id).await?;
        let answer = self.inner.launch(attempt, secrets).await;
        match &answer {
            Ok(_) | Err(ExecutorError::Unknown { .. }) => {}
            Err(_) => self.is_over(attempt.id),
        }
        drop(held);
        answer
    }

    async fn observe(&self, handle: &Handle) -> Result<Observation, ExecutorError> {
        let answer = self.inner.observe(handle).await;
        match &answer {
            Ok(Observation::Running) => self.is_alive(handle.attempt_id),
            Ok(Observation::Over(_)) | Err(ExecutorError::NotFound { .. }) => {
                self.is_over(handle.attempt_id);
            }
            Err(_) => {}
        }
        answer
    }

    async fn wait(&self, handle: &Handle) -> Result<Outcome, ExecutorError> {
        let is_known = self
            .seats()
            .by_attempt
            .get(&handle.attempt_id)
            .is_some_and(|s| s.is_taken);
        if !is_known {
            self.observe(handle).await?;
        }
        let outcome = self.inner.wait(handle).await?;
        self.is_over(handle.attempt_id);
        Ok(outcome)
    }

    fn logs(
        &self,
        handle: &Handle,
        from: LogCursor,
        follow: bool,
    ) -> BoxStream<'static, Result<LogChunk, ExecutorError>> {
        self.inner.logs(handle, from, follow)
    }

    async fn cancel(&self, handle: &Handle, grace: Duration) -> Result<(), ExecutorError> {
        self.inner.cancel(handle, grace).await
    }

    async fn find_owned(&self, owner: &str) -> Result<Vec<Handle>, ExecutorError> {
        let before = self.settled(owner);
        let found = self.inner.find_owned(owner).await?;
        // The list is complete: what was launched before the question and is not on it does not run.
        let is_listed = |id| found.iter().any(|handle| handle.attempt_id == id);
        let after = self.settled(owner);
        for (id, launches) in before {
            if after.get(&id) == Some(&launches) && !is_listed(id) {
                self.is_over(id);
            }
        }
        Ok(found)
    }

    async fn withdraw(&self, attempt: &Attempt) -> Result<Option<Handle>, ExecutorError> {
        let found = self.inner.withdraw(attempt).await?;
        match &found {
            Some(handle) => drop(self.observe(handle).await?),
            None => self.is_over(attempt.id),
        }
        Ok(found)
    }

    async fn collect(&self, handle: &Handle) -> Result<Vec<CollectedFile>, ExecutorError> {
        let files = self.inner.collect(handle).await?;
        self.is_over(handle.attempt_id);
        Ok(files)
    }

    async fn forget(&self, handle: &Handle) -> Result<(), ExecutorError> {
        self.inner.forget(handle).await?;
        self.is_over(handle.attempt_id);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::decorators::double::{Double, attempt, double, handle};

    fn limited(limit: usize) -> (Arc<Double>, Limited) {
        let (double, executor) = double();
        (double, Limited::new(executor, limit))
    }

    async fn launch(limited: &Limited, number: u128) -> Result<Handle, ExecutorError> {
        limited
            .launch(&attempt(number), &SecretEnv::default())
            .await
    }

    #[tokio::test]
    async fn a_launch_waits_for_a_place_and_the_first_to_wait_is_the_first_served() {
        let (double, limited) = limited(1);
        let first = launch(&limited, 1).await.unwrap();
        let mut waiting: Vec<_> = (2..5)
            .map(|number| Box::pin(launch(&limited, number)))
            .collect();
        for launch in &mut waiting {
            assert!(launch.as_mut().now_or_never().is_none());
        }
        let mut last = first;
        for launch in &mut waiting {
            assert_eq!((double.alive().len(), limited.alive()), (1, 1));
            double.end(last.attempt_id);
            limited.wait(&last).await.unwrap();
            last = launch.as_mut().now_or_never().unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn a_place_comes_back_by_every_answer_that_tells_the_end() {
        let (double, limited) = limited(1);
        for (number, end) in [(1, "observe"), (2, "wait"), (3, "collect"), (4, "forget")] {
            let handle = launch(&limited, number).now_or_never().unwrap().unwrap();
            double.end(handle.attempt_id);
            assert_eq!(limited.alive(), 1);
            match end {
                "observe" => drop(limited.observe(&handle).await.unwrap()),
                "wait" => drop(limited.wait(&handle).await.unwrap()),
                "collect" => drop(limited.collect(&handle).await.unwrap()),
                _ => limited.forget(&handle).await.unwrap(),
            }
            assert_eq!(limited.alive(), 0, "{end}");
        }
    }

    #[tokio::test]
    async fn a_launch_that_failed_keeps_no_place() {
        let (double, limited) = limited(1);
        double.refuse(true);
        assert!(launch(&limited, 1).await.is_err());
        double.refuse(false);
        assert!(launch(&limited, 2).now_or_never().unwrap().is_ok());
    }

    #[tokio::test]
    async fn a_launch_that_nobody_waits_for_any_more_takes_no_place() {
        let (double, limited) = limited(1);
        let handle = launch(&limited, 1).await.unwrap();
        assert!(launch(&limited, 2).now_or_never().is_none());
        double.end(handle.attempt_id);
        limited.wait(&handle).await.unwrap();
        assert!(launch(&limited, 3).now_or_never().unwrap().is_ok());
        assert_eq!(double.launches(attempt(2).id), 0);
        assert_eq!(limited.seats().by_attempt.len(), 1);
    }

    #[tokio::test]
    async fn launching_the_same_attempt_again_needs_no_second_place() {
        let (double, limited) = limited(1);
        let first = launch(&limited, 1).await.unwrap();
        let again = launch(&limited, 1).now_or_never().unwrap().unwrap();
        assert_eq!((again, double.launches(attempt(1).id)), (first, 2));
    }

    /// L61: never more alive than the limit, also after a restart.
    #[tokio::test]
    async fn attempts_from_before_a_restart_count_even_over_the_limit() {
        let (double, executor) = double();
        let before = Limited::new(Arc::clone(&executor), 2);
        let old = [
            launch(&before, 1).await.unwrap(),
            launch(&before, 2).await.unwrap(),
        ];
        let after = Limited::new(executor, 1);
        for handle in &old {
            after.observe(handle).await.unwrap();
        }
        assert_eq!(after.alive(), 2);
        let mut third = Box::pin(launch(&after, 3));
        for handle in &old {
            assert!(third.as_mut().now_or_never().is_none());
            double.end(handle.attempt_id);
            after.wait(handle).await.unwrap();
        }
        assert!(third.as_mut().now_or_never().unwrap().is_ok());
    }

    #[tokio::test]
    async fn a_complete_list_gives_back_the_places_of_what_is_not_on_it() {
        let (double, limited) = limited(1);
        let lost = launch(&limited, 1).await.unwrap();
        double.forget(&lost).await.unwrap();
        assert_eq!(limited.find_owned("another").await.unwrap(), []);
        assert_eq!(limited.alive(), 1);
        assert_eq!(limited.find_owned("owner").await.unwrap(), []);
        assert_eq!(limited.alive(), 0);
        let handle_now = launch(&limited, 2).await.unwrap();
        assert_eq!(
            limited.find_owned("owner").await.unwrap(),
            [handle(handle_now.attempt_id)]
        );
        assert_eq!(limited.alive(), 1);
    }
}
