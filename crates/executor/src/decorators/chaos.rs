//! Faults on purpose, for tests of whoever uses an executor.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use moorline_core::attempt::{Attempt, Handle, IsolationNeed, Observation, Outcome};
use moorline_secrets::SecretEnv;

use crate::executor::{Capabilities, CollectedFile, Executor, ExecutorError, LogChunk, LogCursor};

/// The operations of an [`Executor`] that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is the method of that name")]
pub enum Operation {
    Launch,
    Observe,
    Wait,
    Logs,
    Cancel,
    FindOwned,
    Collect,
    Forget,
    Withdraw,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Launch,
        Self::Observe,
        Self::Wait,
        Self::Logs,
        Self::Cancel,
        Self::FindOwned,
        Self::Collect,
        Self::Forget,
        Self::Withdraw,
    ];

    /// The name of the method.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Launch => "launch",
            Self::Observe => "observe",
            Self::Wait => "wait",
            Self::Logs => "logs",
            Self::Cancel => "cancel",
            Self::FindOwned => "find_owned",
            Self::Collect => "collect",
            Self::Forget => "forget",
            Self::Withdraw => "withdraw",
        }
    }
}

/// What is done to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The request is lost: an error, and the back end was not called.
    Before,
    /// The answer is lost: an error, after the back end did its work. Of `launch` this is
    /// [`ExecutorError::Unknown`]; a log breaks off after its first chunk.
    After,
    /// The call is made after this time.
    Delay(Duration),
}

/// Which calls get which faults.
///
/// Calls are counted for each operation, from 1. A plan is a function of operation and count alone, so one
/// seed gives the same faults in every run, however the operations of a test interleave.
///
/// ```
/// use moorline_executor::decorators::{Fault, Operation, Plan};
///
/// let plan = Plan::default().at(Operation::Launch, 2, Fault::After);
/// assert_eq!(plan.fault(Operation::Launch, 2), Some(Fault::After));
/// assert_eq!(plan.fault(Operation::Launch, 1), None);
///
/// let (one, same) = (Plan::seeded(7, 0.5), Plan::seeded(7, 0.5));
/// assert!((1..100).all(|n| one.fault(Operation::Cancel, n) == same.fault(Operation::Cancel, n)));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Plan {
    exact: HashMap<(Operation, u64), Fault>,
    random: Option<Random>,
}

#[derive(Debug, Clone, Copy)]
struct Random {
    seed: u64,
    rate: f64,
}

impl Plan {
    /// A share of `rate` (0 to 1) of all calls gets a fault, chosen by `seed`: half of them lose the
    /// request, half the answer.
    pub fn seeded(seed: u64, rate: f64) -> Self {
        Self {
            exact: HashMap::new(),
            random: Some(Random { seed, rate }),
        }
    }

    /// Also does `fault` to the `call`-th call of `operation`, the first being 1.
    #[must_use]
    pub fn at(mut self, operation: Operation, call: u64, fault: Fault) -> Self {
        self.exact.insert((operation, call), fault);
        self
    }

    /// The fault of a call, if it has one.
    pub fn fault(&self, operation: Operation, call: u64) -> Option<Fault> {
        self.exact.get(&(operation, call)).copied().or_else(|| {
            let Random { seed, rate } = self.random?;
            let number = mix(mix(mix(seed) ^ operation as u64) ^ call);
            // 53 bits, as many as a float holds exactly; the bits below choose the kind.
            #[expect(clippy::cast_precision_loss, reason = "the number has 53 bits")]
            let share = (number >> 11) as f64 / (1_u64 << 53) as f64;
            let fault = if number & 1 == 0 {
                Fault::Before
            } else {
                Fault::After
            };
            (share < rate).then_some(fault)
        })
    }
}

/// The output function of `SplitMix64`: every bit of the input changes half of the output's.
const fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A fault that was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Injected {
    /// To which operation.
    pub operation: Operation,
    /// To which of its calls, the first being 1.
    pub call: u64,
    /// What.
    pub fault: Fault,
}

/// Does faults to an executor, by a [`Plan`]. For tests: of retries, of re-attachment, of reconcilers.
///
/// It keeps the contract of [`Executor`] but for the errors it makes, and those say what the contract wants
/// them to say: after a lost request nothing runs, after a lost answer it is not known.
#[derive(Debug)]
pub struct Chaos {
    inner: Arc<dyn Executor>,
    plan: Plan,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    calls: BTreeMap<Operation, u64>,
    injected: Vec<Injected>,
}

/// A call and what is to be done to it.
struct Call {
    operation: Operation,
    number: u64,
    fault: Option<Fault>,
}

impl Call {
    fn error(&self, lost: &str) -> ExecutorError {
        let what = format!(
            "the {lost} of `{}` {} was lost",
            self.operation.name(),
            self.number
        );
        ExecutorError::io(what, io::ErrorKind::ConnectionReset.into())
    }

    /// Before the back end is called.
    async fn begin(&self) -> Result<(), ExecutorError> {
        match self.fault {
            Some(Fault::Before) => Err(self.error("request")),
            Some(Fault::Delay(time)) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
            Some(Fault::After) | None => Ok(()),
        }
    }

    /// After the back end answered. Its own errors go on as they are.
    fn end<T>(&self, answer: Result<T, ExecutorError>) -> Result<T, ExecutorError> {
        match (answer, self.fault) {
            (Ok(_), Some(Fault::After)) => Err(self.error("answer")),
            (answer, _) => answer,
        }
    }
}

impl Chaos {
    /// Does the faults of `plan` to `inner`.
    pub fn new(inner: Arc<dyn Executor>, plan: Plan) -> Self {
        Self {
            inner,
            plan,
            state: Mutex::default(),
        }
    }

    /// The faults that were done so far, in order.
    pub fn injected(&self) -> Vec<Injected> {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .injected
            .clone()
    }

    fn count(&self, operation: Operation) -> Call {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let number = state.calls.entry(operation).or_default();
        *number += 1;
        let number = *number;
        let fault = self.plan.fault(operation, number);
        state.injected.extend(fault.map(|fault| Injected {
            operation,
            call: number,
            fault,
        }));
        Call {
            operation,
            number,
            fault,
        }
    }

    async fn harm<T>(
        &self,
        operation: Operation,
        call: impl Future<Output = Result<T, ExecutorError>>,
    ) -> Result<T, ExecutorError> {
        let harm = self.count(operation);
        harm.begin().await?;
        harm.end(call.await)
    }
}

#[async_trait]
impl Executor for Chaos {
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
        let harm = self.count(Operation::Launch);
        harm.begin().await?;
        let answer = self.inner.launch(attempt, secrets).await;
        let handle = answer?;
        harm.end(Ok(handle)).map_err(ExecutorError::into_unknown)
    }

    async fn observe(&self, handle: &Handle) -> Result<Observation, ExecutorError> {
        self.harm(Operation::Observe, self.inner.observe(handle))
            .await
    }

    async fn wait(&self, handle: &Handle) -> Result<Outcome, ExecutorError> {
        self.harm(Operation::Wait, self.inner.wait(handle)).await
    }

    fn logs(
        &self,
        handle: &Handle,
        from: LogCursor,
        follow: bool,
    ) -> BoxStream<'static, Result<LogChunk, ExecutorError>> {
        let harm = self.count(Operation::Logs);
        let log = self.inner.logs(handle, from, follow);
        let begin = async move {
            match harm.begin().await {
                Err(error) => stream::once(async { Err(error) }).boxed(),
                Ok(()) if harm.fault == Some(Fault::After) => {
                    let broken = stream::once(async move { Err(harm.error("answer")) });
                    log.take(1).chain(broken).boxed()
                }
                Ok(()) => log,
            }
        };
        stream::once(begin).flatten().boxed()
    }

    async fn cancel(&self, handle: &Handle, grace: Duration) -> Result<(), ExecutorError> {
        self.harm(Operation::Cancel, self.inner.cancel(handle, grace))
            .await
    }

    async fn find_owned(&self, owner: &str) -> Result<Vec<Handle>, ExecutorError> {
        self.harm(Operation::FindOwned, self.inner.find_owned(owner))
            .await
    }

    async fn withdraw(&self, attempt: &Attempt) -> Result<Option<Handle>, ExecutorError> {
        self.harm(Operation::Withdraw, self.inner.withdraw(attempt))
            .await
    }

    async fn collect(&self, handle: &Handle) -> Result<Vec<CollectedFile>, ExecutorError> {
        self.harm(Operation::Collect, self.inner.collect(handle))
            .await
    }

    async fn forget(&self, handle: &Handle) -> Result<(), ExecutorError> {
        self.harm(Operation::Forget, self.inner.forget(handle))
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decorators::double::{Double, attempt, double};

    fn chaos(plan: Plan) -> (Arc<Double>, Chaos) {
        let (double, executor) = double();
        (double, Chaos::new(executor, plan))
    }

    #[tokio::test]
    async fn a_lost_request_has_no_effect_and_a_lost_answer_has() {
        let plan = Plan::default()
            .at(Operation::Launch, 1, Fault::Before)
            .at(Operation::Launch, 2, Fault::After)
            .at(Operation::FindOwned, 1, Fault::Before);
        let (double, chaos) = chaos(plan);
        let (attempt, secrets) = (attempt(1), SecretEnv::default());
        let request = chaos.launch(&attempt, &secrets).await;
        assert!(
            matches!(request, Err(ExecutorError::Io { .. })),
            "{request:?}"
        );
        assert_eq!(double.alive(), []);
        let answer = chaos.launch(&attempt, &secrets).await;
        assert!(
            matches!(answer, Err(ExecutorError::Unknown { .. })),
            "{answer:?}"
        );
        assert_eq!(double.alive(), [attempt.id]);
        assert!(chaos.find_owned("owner").await.is_err());
        assert_eq!(chaos.find_owned("owner").await.unwrap().len(), 1);
        let done = |operation, call, fault| Injected {
            operation,
            call,
            fault,
        };
        assert_eq!(
            chaos.injected(),
            [
                done(Operation::Launch, 1, Fault::Before),
                done(Operation::Launch, 2, Fault::After),
                done(Operation::FindOwned, 1, Fault::Before),
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_delay_comes_before_the_call() {
        let time = Duration::from_secs(30);
        let (double, chaos) = chaos(Plan::default().at(Operation::Launch, 1, Fault::Delay(time)));
        let (attempt, secrets) = (attempt(1), SecretEnv::default());
        let mut launch = chaos.launch(&attempt, &secrets);
        let early = tokio::time::timeout(Duration::from_secs(29), &mut launch).await;
        assert!(early.is_err() && double.alive().is_empty());
        launch.await.unwrap();
    }

    #[test]
    fn a_seed_gives_one_plan_and_its_rate() {
        let faults = |seed, rate| -> Vec<_> {
            let plan = Plan::seeded(seed, rate);
            let calls = Operation::ALL
                .into_iter()
                .flat_map(|o| (1..=500).map(move |n| (o, n)));
            calls
                .map(|(operation, call)| plan.fault(operation, call))
                .collect()
        };
        assert_eq!(faults(7, 0.2), faults(7, 0.2));
        assert_ne!(faults(7, 0.2), faults(8, 0.2));
        assert_eq!(faults(7, 0.0), vec![None; 500 * Operation::ALL.len()]);
        let some = faults(7, 0.2);
        let count = |fault| some.iter().filter(|&&f| f == Some(fault)).count();
        let (before, after) = (count(Fault::Before), count(Fault::After));
        assert!(
            (300..500).contains(&before) && (300..500).contains(&after),
            "{before} {after}"
        );
        assert!(faults(7, 1.0).iter().all(Option::is_some));
    }
}
