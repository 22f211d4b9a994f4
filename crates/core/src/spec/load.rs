//! From text to a checked [`JobSpec`].

use std::sync::LazyLock;

use serde::Deserialize as _;
use serde_json::Value;

use super::document::JobSpec;
use super::parts::Parts;
use super::violation::{Violation, Violations};
use super::{json, rules};
use crate::schema::{self, SchemaError, Validator};

/// The compiled published schema: a constant that takes a moment to compute.
static SCHEMA: LazyLock<Result<Validator, SchemaError>> =
    LazyLock::new(|| Validator::compile_published(schema::job_spec_schema()));

/// Compiles the published schema, unless it is compiled already. The first [`load`] of a process does it
/// otherwise, in 2 to 3 ms; a program that is short of time calls this beside its other start-up work.
pub fn warm_up() {
    LazyLock::force(&SCHEMA);
}

/// Reads a job spec from JSON text and checks it against the published schema and every semantic rule.
///
/// # Errors
/// Everything that is wrong with it, at once. Text that is not JSON is one violation with line and column.
///
/// ```
/// use moorline_core::spec;
///
/// let found = spec::load(br#"{"job_id": "j", "timezone": "UTC", "steps": []}"#).unwrap_err();
/// assert_eq!(
///     found.to_string(),
///     "/steps: must have at least one entry (schema)\n\
///      /timezone: is not a field of this object (schema); did you mean `time_zone`?"
/// );
/// ```
pub fn load(text: &[u8]) -> Result<JobSpec, Violations> {
    match json::read(text) {
        Ok((document, ambiguous)) => check(document, ambiguous),
        Err(syntax) => Err(syntax.into()),
    }
}

/// As [`load`], for a document that is JSON already. Repeated members can no longer be seen in it.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn from_value(document: Value) -> Result<JobSpec, Violations> {
    check(document, None)
}

fn check(mut document: Value, ambiguous: Option<Violation>) -> Result<JobSpec, Violations> {
    json::plain_integers(&mut document);
    let document = &document;
    let refused = match &*SCHEMA {
        Ok(schema) => schema.errors(document),
        Err(error) => return Err(Violation::new("", "schema", error.to_string()).into()),
    };
    // What `then` and `else` require is a semantic rule as well, whose text says why.
    let refused: Vec<Violation> = refused
        .into_iter()
        .filter(|(_, place)| !place.starts_with("/then") && !place.starts_with("/else"))
        .map(|(violation, _)| violation)
        .collect();
    let parts = Parts::of(document, &refused);
    let mut found = rules::check(document, &parts);
    // Where the schema spoke, a rule has nothing to add.
    found.retain(|rule| !refused.iter().any(|known| known.pointer == rule.pointer));
    // Large numbers are ambiguous as well; those the rule names with their pointers.
    if !found.iter().any(|violation| violation.rule == "D-SPEC-5") {
        found.extend(ambiguous);
    }
    if refused.is_empty() {
        found.extend(parts.unreadable.iter().cloned());
    }
    found.extend(refused);
    match (Violations::of(found), JobSpec::deserialize(document)) {
        (Some(violations), _) => Err(violations),
        (None, Ok(spec)) => Ok(spec),
        (None, Err(error)) => Err(Violation::new("", "schema", error.to_string()).into()),
    }
}
