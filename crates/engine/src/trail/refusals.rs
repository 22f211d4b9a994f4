//! Refusals on record: what a rule refused is kept, redacted, so that someone can ask why.

use moorline_api::{ApiError, ErrorDetail, Operation};
use moorline_core::denial::Detail;
use moorline_core::ids::RefusalId;
use moorline_core::principal::Principal;
use moorline_core::refusal::{RefusalRecord, is_refusal};
use moorline_core::rules;
use moorline_secrets::Redactor;
use tracing::warn;

use crate::engine::{Engine, Inner};

/// Most single findings of one refusal that are kept.
const MOST_DETAILS: usize = 200;

/// How a hint names a record.
const EXPLAINED: &str = "`moorline explain refusal";

impl Engine {
    /// Records that a front end refused an operation by a rule, as the engine's own refusals are, and names the
    /// record in the hint of the error.
    pub async fn record_refusal(
        &self,
        operation: Operation,
        actor: &Principal,
        subject: &str,
        error: ApiError,
    ) -> ApiError {
        self.inner
            .record_refusal(operation, actor, subject, error)
            .await
    }
}

impl Inner {
    /// Records why an operation was refused, where a rule refused it, and names the record in the hint.
    ///
    /// Whoever asked is told of the refusal in any case: that it can not be recorded is only logged.
    pub(crate) async fn record_refusal(
        &self,
        operation: Operation,
        actor: &Principal,
        subject: &str,
        error: ApiError,
    ) -> ApiError {
        let rules = cited(&error);
        // An operation that another one is made of was guarded, and so recorded, already.
        let known = error
            .hint
            .as_ref()
            .is_some_and(|hint| hint.contains(EXPLAINED));
        if known || rules.is_empty() || !is_refusal(error.code) {
            return error;
        }
        let refusal = RefusalRecord {
            id: RefusalId::new(self.ids.uuid()),
            at: self.now(),
            operation: operation.as_str().to_owned(),
            actor: actor.to_string(),
            subject: redacted(subject),
            code: error.code,
            rules,
            message: redacted(&error.message),
            hint: error.hint.as_deref().map(redacted),
            details: error.details.iter().take(MOST_DETAILS).map(kept).collect(),
        };
        let id = refusal.id;
        if let Err(failed) = self.store.refusal_record(refusal).await {
            warn!(error = %failed, "a refusal could not be recorded");
            return error;
        }
        let more = format!("{EXPLAINED} {id}` says more");
        let hint = match &error.hint {
            Some(hint) => format!("{hint}; {more}"),
            None => more,
        };
        error.hint(hint)
    }
}

/// The rules that an error cites: those of its message first, then those of its findings.
fn cited(error: &ApiError) -> Vec<String> {
    let mut rules = rules::cited(&error.message);
    for detail in &error.details {
        for rule in rules::cited(&detail.rule) {
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
    }
    rules
}

fn kept(detail: &ErrorDetail) -> Detail {
    Detail {
        at: redacted(&detail.at),
        rule: detail.rule.clone(),
        message: redacted(&detail.message),
        hint: detail.hint.as_deref().map(redacted),
    }
}

/// Errors hold no secrets by contract; what looks like one in the words of a caller is taken out all the same.
fn redacted(text: &str) -> String {
    Redactor::default().redact(text).into_owned()
}
