//! The parts of a document that the semantic rules look at, each read on its own.
//!
//! A document that breaks the schema in one place is still checked by rule everywhere else: a part that
//! can not be read is missing here, and only the rules that need it are silent. So every violation is
//! reported at once (D-SPEC-1), and none that is only the echo of another.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::document::{InputDecl, JobType, SecretDecl};
use super::egress::Egress;
use super::policy::{Alert, FailurePolicy, Incremental, Validation};
use super::source::{Cadence, Constraints, Entity};
use super::step::Step;
use super::violation::{Violation, join};
use crate::workflow::Workflow;

/// One part: absent, unreadable, or read.
#[derive(Debug)]
pub(super) enum Part<T> {
    Absent,
    Broken,
    Read(T),
}

impl<T> Part<T> {
    pub(super) const fn get(&self) -> Option<&T> {
        match self {
            Self::Read(part) => Some(part),
            Self::Absent | Self::Broken => None,
        }
    }
}

/// The readable entries of a list, each with its pointer.
#[derive(Debug)]
pub(super) struct Entries<T> {
    entries: Vec<(String, T)>,
    /// Whether every entry was readable.
    pub(super) complete: bool,
}

impl<T> Entries<T> {
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.entries
            .iter()
            .map(|(pointer, entry)| (pointer.as_str(), entry))
    }
}

/// What the rules look at.
#[derive(Debug)]
pub(super) struct Parts {
    /// Members that the document has, readable or not.
    pub(super) members: Vec<String>,
    pub(super) job_type: Part<JobType>,
    pub(super) time_zone: Part<String>,
    pub(super) cadence: Part<Cadence>,
    pub(super) constraints: Part<Constraints>,
    pub(super) egress: Part<Egress>,
    pub(super) validation: Part<Validation>,
    pub(super) failure_policy: Part<FailurePolicy>,
    pub(super) incremental: Part<Incremental>,
    pub(super) params: Part<Map<String, Value>>,
    pub(super) params_schema: Part<Map<String, Value>>,
    pub(super) entities: Entries<Entity>,
    pub(super) inputs: Entries<InputDecl>,
    pub(super) secrets: Entries<SecretDecl>,
    pub(super) steps: Entries<Step>,
    pub(super) alerts: Entries<Alert>,
    pub(super) workflow: Part<Workflow>,
    /// Parts that satisfy the schema and still can not be read, such as bytes that are not base64.
    pub(super) unreadable: Vec<Violation>,
}

impl Parts {
    /// Reads the parts of a document that breaks the schema where `refused` says.
    pub(super) fn of(document: &Value, refused: &[Violation]) -> Self {
        let mut reader = Reader {
            document,
            refused,
            unreadable: Vec::new(),
        };
        Self {
            members: members(document),
            job_type: reader.part("job_type"),
            time_zone: reader.part("time_zone"),
            cadence: reader.part("cadence"),
            constraints: reader.part("constraints"),
            egress: reader.part("egress"),
            validation: reader.part("validation"),
            failure_policy: reader.part("failure_policy"),
            incremental: reader.part("incremental"),
            params: reader.part("params"),
            params_schema: reader.part("params_schema"),
            entities: reader.entries("/portfolio/entities"),
            inputs: reader.entries("/inputs"),
            secrets: reader.entries("/secrets"),
            steps: reader.entries("/steps"),
            alerts: reader.entries("/alerts"),
            workflow: reader.part("workflow"),
            unreadable: reader.unreadable,
        }
    }

    /// Whether the document has a member of this name, readable or not.
    pub(super) fn has(&self, name: &str) -> bool {
        self.members.iter().any(|member| member == name)
    }
}

/// Reads parts, and keeps what it can not read.
struct Reader<'a> {
    document: &'a Value,
    refused: &'a [Violation],
    unreadable: Vec<Violation>,
}

impl Reader<'_> {
    fn part<T: DeserializeOwned>(&mut self, name: &str) -> Part<T> {
        match self.document.get(name) {
            None => Part::Absent,
            Some(value) => self
                .read(&join("", name), value)
                .map_or(Part::Broken, Part::Read),
        }
    }

    /// The entries of the array or object at a pointer.
    fn entries<T: DeserializeOwned>(&mut self, pointer: &str) -> Entries<T> {
        let values: Vec<(String, &Value)> = match self.document.pointer(pointer) {
            Some(Value::Array(items)) => items
                .iter()
                .enumerate()
                .map(|(i, item)| (format!("{pointer}/{i}"), item))
                .collect(),
            Some(Value::Object(object)) => object
                .iter()
                .map(|(name, item)| (join(pointer, name), item))
                .collect(),
            Some(_) => {
                return Entries {
                    entries: Vec::new(),
                    complete: false,
                };
            }
            None => Vec::new(),
        };
        let count = values.len();
        let mut entries = Vec::with_capacity(count);
        for (pointer, value) in values {
            if let Some(entry) = self.read(&pointer, value) {
                entries.push((pointer, entry));
            }
        }
        Entries {
            complete: entries.len() == count,
            entries,
        }
    }

    fn read<T: DeserializeOwned>(&mut self, pointer: &str, value: &Value) -> Option<T> {
        let error = match T::deserialize(value) {
            Ok(part) => return Some(part),
            Err(error) => error,
        };
        let refused: Vec<&str> = self
            .refused
            .iter()
            .filter_map(|violation| violation.pointer.strip_prefix(pointer))
            .filter(|rest| rest.is_empty() || rest.starts_with('/'))
            .collect();
        if refused.is_empty() {
            self.unreadable
                .push(Violation::new(pointer, "schema", error.to_string()));
        }
        without_refused(pointer, value, &refused)
    }
}

/// Reads a part without what the schema refused in it: first without those members alone, then without the
/// members around them, and so on, so that as much of it as can be is checked by rule.
fn without_refused<T: DeserializeOwned>(
    pointer: &str,
    value: &Value,
    refused: &[&str],
) -> Option<T> {
    let depth = refused
        .iter()
        .map(|place| place.matches('/').count())
        .max()
        .unwrap_or(0);
    (0..depth).find_map(|up| {
        let mut rest = value.clone();
        for place in refused {
            remove_member(&mut rest, ancestor(place, up));
        }
        fill_in(pointer, &mut rest);
        T::deserialize(rest).ok()
    })
}

/// The pointer `up` members above another, and at least one below the root.
fn ancestor(place: &str, up: usize) -> &str {
    let most = place.matches('/').count().saturating_sub(1);
    (0..up.min(most)).fold(place, |place, _| {
        place.rsplit_once('/').map_or(place, |(above, _)| above)
    })
}

/// Removes the member at a pointer from its object; leaves arrays as they are, since indices must hold.
fn remove_member(value: &mut Value, pointer: &str) {
    let Some((object, token)) = pointer.rsplit_once('/') else {
        return;
    };
    if let Some(Value::Object(object)) = value.pointer_mut(object) {
        object.remove(&token.replace("~1", "/").replace("~0", "~"));
    }
}

/// Gives a step that lost its name or command one that breaks no rule.
fn fill_in(pointer: &str, value: &mut Value) {
    if let (true, Value::Object(step)) = (pointer.starts_with("/steps/"), value) {
        step.entry("name").or_insert_with(|| pointer.into());
        step.entry("argv").or_insert_with(|| json!(["-"]));
    }
}

fn members(document: &Value) -> Vec<String> {
    document
        .as_object()
        .map_or_else(Vec::new, |object| object.keys().cloned().collect())
}
