//! Conditions over the evidence in a run's state.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A comparison of evidence with a value. Zero is a value like any other (L43).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Where the evidence is in the state: a JSON pointer (RFC 6901), e.g. `/evidence/resonance`.
    pub evidence: String,
    /// How it is compared.
    pub is: Operator,
    /// What with.
    pub value: Value,
}

/// How evidence is compared. The four that order take numbers; numbers are compared exactly (L40).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Operator {
    /// Less than.
    LessThan,
    /// At most.
    AtMost,
    /// More than.
    MoreThan,
    /// At least.
    AtLeast,
    /// Equal: the same JSON value, numbers by their value.
    Equal,
    /// Not equal.
    NotEqual,
}

/// What a condition came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weighed {
    /// It holds.
    Holds,
    /// It does not.
    Fails,
    /// There is no evidence, or it can not be compared: not a number where one is needed.
    Missing,
}

/// A condition as it was read, for people: what was looked at and what was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reading {
    /// The condition.
    pub condition: Condition,
    /// What was there; absent when nothing was.
    pub found: Option<Value>,
    /// Whether it holds; absent when the evidence is missing.
    pub holds: Option<bool>,
}

impl Condition {
    /// Compares.
    pub fn weigh(&self, state: &Map<String, Value>) -> Weighed {
        let _ = state;
        Weighed::Missing
    }

    /// Compares, and tells what was read.
    pub fn read(&self, state: &Map<String, Value>) -> Reading {
        Reading {
            condition: self.clone(),
            found: None,
            holds: match self.weigh(state) {
                Weighed::Holds => Some(true),
                Weighed::Fails => Some(false),
                Weighed::Missing => None,
            },
        }
    }
}
