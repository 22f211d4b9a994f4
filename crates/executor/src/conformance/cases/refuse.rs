//! What an executor may not have, and then must refuse.

use moorline_core::attempt::{Attempt, IsolationNeed, Outcome};
use moorline_core::spec::Egress;

use crate::executor::ExecutorError;

use super::{Bench, Failure, Program, ensure, same};

pub(super) async fn required_isolation_is_given_or_refused(
    bench: &Bench<'_>,
) -> Result<(), Failure> {
    let mut attempt = bench.attempt(&Program::Exit(0));
    attempt.isolation = IsolationNeed::Required;
    let Some(outcome) = run_or_refuse(bench, &attempt).await? else {
        return Ok(());
    };
    let isolation = outcome.isolation;
    ensure(
        isolation.missing.is_empty() && !isolation.protections.is_empty(),
        || format!("isolation was required, and the attempt ran with {isolation:?}"),
    )
}

pub(super) async fn an_allow_list_is_enforced_or_refused(bench: &Bench<'_>) -> Result<(), Failure> {
    let mut attempt = bench.attempt(&Program::Exit(0));
    attempt.isolation = IsolationNeed::Required;
    attempt.egress = Egress::Allow(vec!["api.example.com:443".to_owned()]);
    let ran = run_or_refuse(bench, &attempt).await?.is_some();
    let says = bench.executor.capabilities().egress_allow_list;
    ensure(!ran || says, || {
        "an attempt with an allow-list ran, and the executor does not say that it enforces one"
            .to_owned()
    })
}

/// The outcome, or `None` when the launch was refused for what it asks.
async fn run_or_refuse(bench: &Bench<'_>, attempt: &Attempt) -> Result<Option<Outcome>, Failure> {
    match bench.try_launch(attempt).await? {
        Ok(handle) => bench.wait(&handle).await.map(Some),
        Err(ExecutorError::Isolation { .. } | ExecutorError::Unsupported { .. }) => {
            same(
                "what is owned after a refusal",
                &bench.owned(&*bench.executor).await?,
                &vec![],
            )?;
            Ok(None)
        }
        Err(error) => Err(Failure::new(format!(
            "it was refused for another reason: {error}"
        ))),
    }
}
