//! What every mutating operation passes: the authorisation table, and the record of a refusal.

use std::fmt::Display;
use std::future::Future;

use moorline_api::{ApiError, Operation, authorization};
use moorline_core::principal::Principal;

use crate::engine::Inner;

impl Inner {
    /// Does `work` if `actor` may do the operation on `subject` (`artifact/0190…`). A refusal of either is
    /// recorded, so that someone can ask why: `moorline explain refusal`.
    pub(crate) async fn guarded<T>(
        &self,
        operation: Operation,
        actor: &Principal,
        subject: impl Display,
        work: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
        let done = match authorization::permit(operation, actor, self.role_of(actor).await?) {
            Ok(()) => work.await,
            Err(denial) => Err(denial.into()),
        };
        match done {
            Ok(done) => Ok(done),
            Err(error) => Err(self
                .record_refusal(operation, actor, &subject.to_string(), error)
                .await),
        }
    }
}
