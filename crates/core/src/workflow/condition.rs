//! Conditions over the evidence in a run's state.

use std::cmp::Ordering;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::decimal::Decimal;

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

/// How evidence is compared. The four that order take numbers, or texts that are numbers, as money is given;
/// they are compared exactly (L40).
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
    /// Compares: exactly, by what the numbers say in decimal, at the boundary as anywhere else (L40).
    ///
    /// Null says that nothing is there, so it is missing, unless it is what the condition compares with. A
    /// comparison that orders and has anything but numbers on both sides can not be made: missing as well,
    /// never a guess (L41, L42).
    ///
    /// ```
    /// use moorline_core::workflow::{Condition, Weighed};
    /// use serde_json::json;
    ///
    /// let condition: Condition = serde_json::from_value(json!(
    ///     {"evidence": "/evidence/resonance", "is": "less_than", "value": 0.30}
    /// ))?;
    /// let weigh = |state: serde_json::Value| condition.weigh(state.as_object().unwrap());
    /// assert_eq!(weigh(json!({"evidence": {"resonance": 0.3}})), Weighed::Fails);
    /// assert_eq!(weigh(json!({"evidence": {"resonance": 0}})), Weighed::Holds);
    /// assert_eq!(weigh(json!({"evidence": {}})), Weighed::Missing);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn weigh(&self, state: &Map<String, Value>) -> Weighed {
        self.compare(self.look(state))
    }

    /// Compares, and tells what was read.
    pub fn read(&self, state: &Map<String, Value>) -> Reading {
        let found = self.look(state);
        Reading {
            condition: self.clone(),
            holds: match self.compare(found) {
                Weighed::Holds => Some(true),
                Weighed::Fails => Some(false),
                Weighed::Missing => None,
            },
            found: found.cloned(),
        }
    }

    fn look<'s>(&self, state: &'s Map<String, Value>) -> Option<&'s Value> {
        look_up(state, &self.evidence)
    }

    fn compare(&self, found: Option<&Value>) -> Weighed {
        let Some(found) = found else {
            return Weighed::Missing;
        };
        if found.is_null() && !self.value.is_null() {
            return Weighed::Missing;
        }
        let ordered =
            |holds: fn(Ordering) -> bool| match (Decimal::of(found), Decimal::of(&self.value)) {
                (Some(found), Some(value)) => Weighed::of(holds(found.cmp(&value))),
                _ => Weighed::Missing,
            };
        match self.is {
            Operator::LessThan => ordered(Ordering::is_lt),
            Operator::AtMost => ordered(Ordering::is_le),
            Operator::MoreThan => ordered(Ordering::is_gt),
            Operator::AtLeast => ordered(Ordering::is_ge),
            Operator::Equal => Weighed::of(same(found, &self.value)),
            Operator::NotEqual => Weighed::of(!same(found, &self.value)),
        }
    }
}

/// `/evidence/resonance less_than 0.3`, for people.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.evidence, self.is.as_str(), self.value)
    }
}

impl Weighed {
    const fn of(holds: bool) -> Self {
        if holds { Self::Holds } else { Self::Fails }
    }

    /// All of several conditions together: missing where one is, whatever the others came to (L41).
    pub(crate) fn all(each: impl IntoIterator<Item = Self>) -> Self {
        each.into_iter()
            .fold(Self::Holds, |all, one| match (all, one) {
                (Self::Missing, _) | (_, Self::Missing) => Self::Missing,
                (Self::Fails, _) | (_, Self::Fails) => Self::Fails,
                (Self::Holds, Self::Holds) => Self::Holds,
            })
    }
}

impl Operator {
    /// Whether it orders, and so takes numbers.
    pub const fn orders(self) -> bool {
        !matches!(self, Self::Equal | Self::NotEqual)
    }

    /// The name in JSON and in text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LessThan => "less_than",
            Self::AtMost => "at_most",
            Self::MoreThan => "more_than",
            Self::AtLeast => "at_least",
            Self::Equal => "equal",
            Self::NotEqual => "not_equal",
        }
    }
}

/// What stands at a JSON pointer (RFC 6901) of a state; nothing at a pointer to the whole.
pub(crate) fn look_up<'s>(state: &'s Map<String, Value>, pointer: &str) -> Option<&'s Value> {
    let (key, rest) = split_pointer(pointer)?;
    state.get(&key)?.pointer(rest)
}

/// The key of the state that a pointer begins at, and the rest of it, which is a pointer again.
pub(crate) fn split_pointer(pointer: &str) -> Option<(String, &str)> {
    let inside = pointer.strip_prefix('/')?;
    let end = inside.find('/').unwrap_or(inside.len());
    let (key, rest) = inside.split_at_checked(end)?;
    Some((key.replace("~1", "/").replace("~0", "~"), rest))
}

/// Whether two JSON values are the same, numbers by their value: `1` and `1.0` are.
pub(crate) fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(_), Value::Number(_)) => Decimal::of(left) == Decimal::of(right),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(l, r)| same(l, r))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(key, l)| right.get(key).is_some_and(|r| same(l, r)))
        }
        _ => left == right,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn weigh(is: Operator, value: &Value, found: &Value) -> Weighed {
        let condition = Condition {
            evidence: "/e/x".to_owned(),
            is,
            value: value.clone(),
        };
        let state = json!({"e": {"x": found}});
        let state = state.as_object().unwrap();
        let reading = condition.read(state);
        let weighed = condition.weigh(state);
        let told = match reading.holds {
            Some(true) => Weighed::Holds,
            Some(false) => Weighed::Fails,
            None => Weighed::Missing,
        };
        assert_eq!((told, reading.found.as_ref()), (weighed, Some(found)));
        weighed
    }

    /// L40: at a boundary, just below it and just above it, each operator does what its name says.
    #[test]
    fn boundaries_are_exact() {
        use Weighed::{Fails as F, Holds as H};
        let columns = [
            Operator::LessThan,
            Operator::AtMost,
            Operator::MoreThan,
            Operator::AtLeast,
            Operator::Equal,
            Operator::NotEqual,
        ];
        let below = [H, H, F, F, F, H];
        let at = [F, H, F, H, H, F];
        let above = [F, F, H, H, F, H];
        let boundaries = [
            (
                "0.30",
                ["0.29", "0.2999999999999999"],
                ["0.3", "0.300"],
                ["0.31", "0.30000000000000004"],
            ),
            (
                "0.70",
                ["0.69", "0.6999999999999999"],
                ["0.7", "0.7000"],
                ["0.71", "0.7000000000000001"],
            ),
            (
                "1.0",
                ["0.99", "0.9999999999999999"],
                ["1", "1.0"],
                ["1.01", "1.0000000000000002"],
            ),
            (
                "3.0",
                ["2.99", "2.9999999999999996"],
                ["3", "3.00"],
                ["3.01", "3.0000000000000004"],
            ),
            ("0", ["-0.01", "-5e-324"], ["0", "-0.0"], ["0.01", "5e-324"]),
        ];
        for (boundary, lower, equal, higher) in boundaries {
            let boundary: Value = serde_json::from_str(boundary).unwrap();
            for (texts, expected) in [(lower, below), (equal, at), (higher, above)] {
                for text in texts {
                    let found: Value = serde_json::from_str(text).unwrap();
                    let weighed = columns.map(|is| weigh(is, &boundary, &found));
                    assert_eq!(weighed, expected, "{text} against {boundary}");
                }
            }
        }
    }

    /// L40: what leaves a process and comes back from the store is the number that was said.
    #[test]
    fn numbers_are_the_same_after_they_were_stored() {
        for text in [
            "0.3",
            "0.30000000000000004",
            "0.6999999999999998",
            "1e-7",
            "123456789.12345679",
        ] {
            let value: Value = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&value).unwrap(), text);
        }
    }

    /// L41: evidence that is not there, or can not be compared, is missing, for each operator.
    #[test]
    fn missing_evidence_is_missing_and_not_false() {
        let number = json!(0.3);
        let orders = [
            Operator::LessThan,
            Operator::AtMost,
            Operator::MoreThan,
            Operator::AtLeast,
        ];
        for is in orders {
            for found in [
                json!(null),
                json!("high"),
                json!(true),
                json!([]),
                json!({}),
            ] {
                assert_eq!(
                    weigh(is, &number, &found),
                    Weighed::Missing,
                    "{is:?} {found}"
                );
            }
            // A threshold that is none decides nothing (L42).
            assert_eq!(weigh(is, &json!("high"), &json!(1)), Weighed::Missing);
        }
        for is in [Operator::Equal, Operator::NotEqual] {
            assert_eq!(weigh(is, &number, &json!(null)), Weighed::Missing);
        }
        let state = json!({"e": {"x": 1}, "list": [0.5]});
        let state = state.as_object().unwrap();
        for (pointer, expected) in [
            ("/e/x", Weighed::Holds),
            ("/list/0", Weighed::Fails),
            ("/e/y", Weighed::Missing),
            ("/y", Weighed::Missing),
            ("/list/1", Weighed::Missing),
            ("", Weighed::Missing),
            ("e", Weighed::Missing),
        ] {
            let condition = Condition {
                evidence: pointer.to_owned(),
                is: Operator::Equal,
                value: json!(1.0),
            };
            assert_eq!(condition.weigh(state), expected, "{pointer}");
        }
    }

    /// L43: a value of 0 is a value, and a threshold of 0 is a threshold.
    #[test]
    fn zero_is_a_value_and_a_threshold() {
        use Weighed::{Fails, Holds};
        assert_eq!(weigh(Operator::AtLeast, &json!(0), &json!(0)), Holds);
        assert_eq!(weigh(Operator::MoreThan, &json!(0), &json!(0.0)), Fails);
        assert_eq!(weigh(Operator::LessThan, &json!(0.3), &json!(0)), Holds);
        assert_eq!(weigh(Operator::Equal, &json!(0), &json!(-0.0)), Holds);
        assert_eq!(weigh(Operator::NotEqual, &json!(0), &json!(false)), Holds);
    }

    #[test]
    fn money_as_text_is_ordered_by_its_value() {
        use Weighed::{Fails, Holds};
        assert_eq!(
            weigh(Operator::AtLeast, &json!(12.5), &json!("12.50")),
            Holds
        );
        assert_eq!(
            weigh(Operator::LessThan, &json!("10"), &json!("9.99")),
            Holds
        );
        // Equality is that of JSON values: a text is no number.
        assert_eq!(weigh(Operator::Equal, &json!(12.5), &json!("12.5")), Fails);
    }

    #[test]
    fn equality_looks_inside() {
        let found = json!({"a": [1, {"b": 2.0}], "c": null});
        let equal = json!({"c": null, "a": [1.0, {"b": 2}]});
        assert_eq!(weigh(Operator::Equal, &equal, &found), Weighed::Holds);
        let other = json!({"c": null, "a": [1.0, {"b": 3}]});
        assert_eq!(weigh(Operator::Equal, &other, &found), Weighed::Fails);
        assert_eq!(
            weigh(Operator::Equal, &json!(null), &json!(null)),
            Weighed::Holds
        );
    }
}
