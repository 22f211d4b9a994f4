//! What a gate asks, in the light of a run's state, and what its options do to that state.

use std::fmt;

use serde_json::{Map, Value};

use super::condition::{Condition, Reading, Weighed, look_up, same};
use super::document::{AutomaticRule, FeedbackRule, Gate, GateOption, Recommend, Routes, SetValue};
use super::route::{Taken, told, weigh_all};
use super::{END, REJECT};
use crate::approval::{DecisionOutcome, OfferedOption, OptionInput};

/// Why an option is not offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotOffered<'o> {
    /// What it is offered for does not hold, or its evidence is missing.
    When,
    /// There is nothing at this pointer, from which it takes a value.
    Nothing(&'o str),
    /// It iterates, and was chosen as often as the gate allows (L37).
    Iterated(u32),
    /// What it would set is there already (L39).
    ChangesNothing,
}

impl fmt::Display for NotOffered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::When => f.write_str("its conditions do not hold"),
            Self::Nothing(pointer) => write!(f, "there is nothing at {pointer}"),
            Self::Iterated(most) => write!(f, "it was chosen {most} times already, the most"),
            Self::ChangesNothing => f.write_str("it would change nothing of what it must change"),
        }
    }
}

impl Gate {
    /// The options that can be chosen, in order.
    pub(crate) fn offered(&self, state: &Map<String, Value>, iterated: u32) -> Vec<&GateOption> {
        self.options
            .iter()
            .filter(|option| self.why_not(option, state, iterated).is_none())
            .collect()
    }

    /// Why an option can not be chosen; nothing when it can.
    pub(crate) fn why_not<'o>(
        &self,
        option: &'o GateOption,
        state: &Map<String, Value>,
        iterated: u32,
    ) -> Option<NotOffered<'o>> {
        if option.iterate && iterated >= self.max_iterations {
            return Some(NotOffered::Iterated(self.max_iterations));
        }
        if weigh_all(&option.when, state) != Weighed::Holds {
            return Some(NotOffered::When);
        }
        let nothing = option.sets.values().find_map(|value| match value {
            SetValue::From { from } if !is_there(look_up(state, from)) => Some(from),
            _ => None,
        });
        if let Some(pointer) = nothing {
            return Some(NotOffered::Nothing(pointer));
        }
        // Of what a person gives, only the decision can tell.
        let given = |key: &String| matches!(option.sets.get(key), Some(SetValue::Input { .. }));
        let nothing_given = !option.must_change.iter().any(given);
        let values = option.values(state, &Map::new());
        if nothing_given && !option.changes(state, &values) {
            return Some(NotOffered::ChangesNothing);
        }
        None
    }

    /// The option that is recommended, of those that are offered; none where evidence is missing.
    pub(crate) fn recommends(
        &self,
        offered: &[&GateOption],
        state: &Map<String, Value>,
    ) -> Option<String> {
        let name = match self.recommended.as_ref()? {
            Recommend::Option(name) => name.as_str(),
            Recommend::By(routes) => match routes.take(state) {
                Taken::To { node, .. } => node,
                Taken::Missing { on_missing, .. } => on_missing?,
            },
        };
        let known = offered.iter().any(|option| option.name == name);
        known.then(|| name.to_owned())
    }

    /// The option that a rule of the gate chooses, and why. None where any evidence that its rules ask for is
    /// missing (L41), where the option is not offered, and where it needs a person: then one is asked (L42).
    pub(crate) fn chooses<'g>(
        &self,
        offered: &[&'g GateOption],
        state: &Map<String, Value>,
    ) -> Option<(&'g GateOption, String)> {
        let rules = &self.automatic.as_ref()?.rules;
        let complete = rules
            .iter()
            .all(|rule| weigh_all(&rule.when, state) != Weighed::Missing);
        let holds = |rule: &&AutomaticRule| weigh_all(&rule.when, state) == Weighed::Holds;
        let rule = rules.iter().find(holds).filter(|_| complete)?;
        let option = offered
            .iter()
            .find(|option| option.name == rule.choose && !option.needs_person())?;
        Some((option, told(&rule.when, state)))
    }

    /// What the rules of the gate look at, each condition once, with what is there now.
    pub(crate) fn readings(&self, state: &Map<String, Value>) -> Vec<Reading> {
        let rules = self.automatic.iter().flat_map(|automatic| &automatic.rules);
        let recommended = match &self.recommended {
            Some(Recommend::By(Routes { routes, .. })) => routes.as_slice(),
            _ => &[],
        };
        let conditions = rules
            .flat_map(|rule| &rule.when)
            .chain(recommended.iter().flat_map(|route| &route.when))
            .chain(self.options.iter().flat_map(|option| &option.when));
        let mut seen: Vec<&Condition> = Vec::new();
        for condition in conditions {
            if !seen.contains(&condition) {
                seen.push(condition);
            }
        }
        seen.iter().map(|condition| condition.read(state)).collect()
    }
}

impl GateOption {
    /// What it sets, by key: from the state, from what was given, or as it says itself.
    pub(crate) fn values(
        &self,
        state: &Map<String, Value>,
        given: &Map<String, Value>,
    ) -> Map<String, Value> {
        let value = |(key, value): (&String, &SetValue)| {
            let value = match value {
                SetValue::From { from } => look_up(state, from).cloned(),
                SetValue::Input { .. } => given.get(key).cloned(),
                SetValue::Value { value } => Some(value.clone()),
            };
            Some((key.clone(), value?))
        };
        self.sets.iter().filter_map(value).collect()
    }

    /// Whether these values change at least one of the keys that it must change.
    pub(crate) fn changes(&self, state: &Map<String, Value>, values: &Map<String, Value>) -> bool {
        let changed = |key: &String| match (state.get(key), values.get(key)) {
            (Some(old), Some(new)) => !same(old, new),
            (None, Some(new)) => !new.is_null(),
            (_, None) => false,
        };
        self.must_change.is_empty() || self.must_change.iter().any(changed)
    }

    /// What it makes of a state: invalid keys go, then what it sets comes.
    pub(crate) fn apply(&self, state: &mut Map<String, Value>, values: Map<String, Value>) {
        for key in &self.invalidates {
            state.remove(key);
        }
        state.extend(values);
    }

    /// What a decision must give, in the order of the keys.
    pub(crate) fn inputs(&self) -> Vec<OptionInput> {
        let input = |(key, value): (&String, &SetValue)| match value {
            SetValue::Input { input } => Some(OptionInput {
                key: key.clone(),
                title: input.clone(),
            }),
            SetValue::From { .. } | SetValue::Value { .. } => None,
        };
        self.sets.iter().filter_map(input).collect()
    }

    /// Whether only a person can choose it: it wants words or input.
    pub(crate) fn needs_person(&self) -> bool {
        self.feedback == FeedbackRule::Required || !self.inputs().is_empty()
    }

    /// Whether it is an approval of what the gate asks: it goes on, neither back nor in another direction.
    pub(crate) fn approves(&self) -> bool {
        !self.iterate && !self.pivot && self.to != REJECT && self.to != END
    }

    /// What callers are told of a decision for it.
    pub(crate) fn outcome(&self) -> DecisionOutcome {
        if self.to == REJECT {
            DecisionOutcome::Rejected
        } else if self.iterate {
            DecisionOutcome::Iterate
        } else if self.pivot {
            DecisionOutcome::Pivot
        } else {
            DecisionOutcome::Resumed
        }
    }

    /// How it is offered.
    pub(crate) fn offer(&self) -> OfferedOption {
        OfferedOption {
            name: self.name.clone(),
            label: self.label.clone().unwrap_or_else(|| self.name.clone()),
            description: self.description.clone(),
            to: self.to.clone(),
            iterate: self.iterate,
            pivot: self.pivot,
            inputs: self.inputs(),
            feedback: self.feedback,
        }
    }
}

/// Whether a value is one: null says that nothing is there.
fn is_there(value: Option<&Value>) -> bool {
    value.is_some_and(|value| !value.is_null())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn gate() -> Gate {
        serde_json::from_value(json!({
            "name": "pivot", "title": "Which segment?", "max_iterations": 2,
            "options": [
                {"name": "approved", "to": "next", "when": [{"evidence": "/fit", "is": "at_least", "value": 0.7}]},
                {"name": "again", "to": "plan", "iterate": true},
                {"name": "segment_1", "to": "plan", "pivot": true, "must_change": ["segment"],
                 "sets": {"segment": {"from": "/segments/0"}}, "invalidates": ["fit"]},
                {"name": "custom", "to": "plan", "pivot": true, "must_change": ["segment"],
                 "sets": {"segment": {"input": "Which one"}}},
                {"name": "rejected", "to": "reject", "feedback": "required"},
            ],
            "automatic": {"rules": [
                {"when": [{"evidence": "/fit", "is": "at_least", "value": 0.9}], "choose": "approved"},
                {"when": [{"evidence": "/cost", "is": "equal", "value": 0}], "choose": "again"},
            ]},
            "recommended": {"otherwise": "segment_1", "routes": [
                {"when": [{"evidence": "/fit", "is": "at_least", "value": 0.7}], "to": "approved"}]},
        }))
        .unwrap()
    }

    fn names(gate: &Gate, state: &Value, iterated: u32) -> Vec<String> {
        let offered = gate.offered(state.as_object().unwrap(), iterated);
        offered.iter().map(|option| option.name.clone()).collect()
    }

    /// L37, L39: what was repeated often enough, changes nothing or rests on nothing is not offered.
    #[test]
    fn only_what_can_be_chosen_is_offered() {
        let gate = gate();
        let full = json!({"fit": 0.7, "segment": "a", "segments": ["b"]});
        let all = ["approved", "again", "segment_1", "custom", "rejected"];
        assert_eq!(names(&gate, &full, 0), all);
        assert_eq!(
            names(&gate, &full, 2),
            ["approved", "segment_1", "custom", "rejected"]
        );
        let same = json!({"fit": 0.69, "segment": "b", "segments": ["b"]});
        assert_eq!(names(&gate, &same, 1), ["again", "custom", "rejected"]);
        let empty = json!({"segments": [null]});
        assert_eq!(names(&gate, &empty, 0), ["again", "custom", "rejected"]);
        let why = |name: &str, state: &Value, iterated| {
            let option = gate.option(name).unwrap();
            gate.why_not(option, state.as_object().unwrap(), iterated)
                .map(|why| why.to_string())
        };
        assert_eq!(
            why("segment_1", &same, 0).unwrap(),
            "it would change nothing of what it must change"
        );
        assert_eq!(
            why("segment_1", &empty, 0).unwrap(),
            "there is nothing at /segments/0"
        );
        assert_eq!(
            why("again", &full, 2).unwrap(),
            "it was chosen 2 times already, the most"
        );
        assert_eq!(
            why("approved", &empty, 0).unwrap(),
            "its conditions do not hold"
        );
        assert_eq!(why("rejected", &empty, 9), None);
    }

    /// L41, L42, L43: a rule chooses when all evidence of all rules is there, and its option is offered.
    #[test]
    fn a_rule_chooses_only_where_nothing_is_missing() {
        let gate = gate();
        let chosen = |state: Value, iterated| {
            let state = state.as_object().unwrap();
            let offered = gate.offered(state, iterated);
            gate.chooses(&offered, state)
                .map(|(option, because)| format!("{}: {because}", option.name))
        };
        let approved = "approved: /fit at_least 0.9: 0.9".to_owned();
        assert_eq!(chosen(json!({"fit": 0.9, "cost": 1}), 0), Some(approved));
        let again = "again: /cost equal 0: 0".to_owned();
        assert_eq!(chosen(json!({"fit": 0, "cost": 0}), 0), Some(again));
        assert_eq!(chosen(json!({"fit": 0.9}), 0), None);
        assert_eq!(chosen(json!({"cost": 0}), 0), None);
        assert_eq!(chosen(json!({"fit": 0.8, "cost": 1}), 0), None);
        // It was repeated as often as it may be: a person is asked.
        assert_eq!(chosen(json!({"fit": 0.8, "cost": 0}), 2), None);
    }

    /// L42: a policy that names what is not there, or what needs a person, chooses nothing.
    #[test]
    fn a_broken_policy_chooses_nothing() {
        let state = json!({"fit": 0.95, "cost": 1});
        let state = state.as_object().unwrap();
        for choose in ["nobody", "rejected", "custom"] {
            let mut gate = gate();
            gate.automatic.as_mut().unwrap().rules[0].choose = choose.to_owned();
            let offered = gate.offered(state, 0);
            assert_eq!(gate.chooses(&offered, state), None, "{choose}");
        }
        let mut gate = gate();
        gate.automatic.as_mut().unwrap().rules[0].when[0].value = json!("high");
        let offered = gate.offered(state, 0);
        assert_eq!(gate.chooses(&offered, state), None);
        let broken: Vec<_> = gate.readings(state).into_iter().map(|r| r.holds).collect();
        assert_eq!(broken, [None, Some(false), Some(true)]);
    }

    #[test]
    fn an_option_is_recommended_by_evidence_and_only_when_offered() {
        let gate = gate();
        let recommended = |state: Value| {
            let state = state.as_object().unwrap();
            gate.recommends(&gate.offered(state, 0), state)
        };
        assert_eq!(
            recommended(json!({"fit": 0.7})).as_deref(),
            Some("approved")
        );
        let other = json!({"fit": 0.69, "segment": "a", "segments": ["b"]});
        assert_eq!(recommended(other).as_deref(), Some("segment_1"));
        assert_eq!(recommended(json!({"fit": 0.69})), None);
        assert_eq!(recommended(json!({})), None);
    }

    #[test]
    fn values_are_read_before_keys_are_removed() {
        let mut option = gate().options.swap_remove(2);
        option.invalidates = vec!["segments".to_owned(), "fit".to_owned()];
        let mut state = json!({"segments": ["b"], "fit": 1, "kept": 2});
        let state = state.as_object_mut().unwrap();
        let values = option.values(state, &Map::new());
        option.apply(state, values);
        assert_eq!(
            Value::Object(state.clone()),
            json!({"segment": "b", "kept": 2})
        );
    }
}
