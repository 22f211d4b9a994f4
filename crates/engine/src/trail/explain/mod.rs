//! Why something is as it is: which rule, which evidence, since when (D-AUDIT-4).
//!
//! An explanation is put together from what is recorded: runs and their summaries, events, audit records,
//! decisions, promotions, evidence. Nothing is guessed; what is not recorded is not told.

mod refusal;
mod run;
mod schedule;

use moorline_api::{ApiError, Explanation, Fact, Point};
use moorline_core::artifact::Decision;
use moorline_core::audit::AuditRecord;
use moorline_core::error_code::ErrorCode;
use moorline_core::rules;

/// What a rule demands.
pub(super) fn rule(id: &str) -> Result<Explanation, ApiError> {
    let Some(says) = rules::statement(id) else {
        let message = format!("no rule `{}`", id.escape_default());
        return Err(ApiError::new(ErrorCode::NotFound, message)
            .hint("rules are written as in errors: `D-ART-4`, `D-SPEC-3k`"));
    };
    let parts = moorline_core::spec::RULES
        .iter()
        .filter(|part| part.id.trim_end_matches(|c: char| c.is_ascii_lowercase()) == id)
        .filter(|part| part.id != id)
        .map(|part| Point::new("part", part.id).by_rule(part.id));
    Ok(Explanation {
        subject: format!("rule/{id}"),
        summary: says.to_owned(),
        since: None,
        points: parts.collect(),
    })
}

/// An audit record as a fact.
fn audited(record: &AuditRecord) -> Fact {
    let says = match &record.reason {
        Some(reason) => format!("{}: {reason}", record.operation),
        None => record.operation.clone(),
    };
    Fact {
        source: format!("audit/{}", record.id),
        at: Some(record.at),
        by: Some(record.actor.clone()),
        says,
    }
}

/// A decision about an artifact as a fact.
fn decided(decision: &Decision) -> Fact {
    Fact {
        source: format!("decision/{}", decision.kind.as_str()),
        at: Some(decision.at),
        by: Some(decision.by.to_string()),
        says: decision.reason.clone(),
    }
}
