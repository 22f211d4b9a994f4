//! Where to go next, by evidence.

use serde_json::{Map, Value};

use super::condition::{Condition, Weighed};
use super::document::Routes;

/// What routes came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken<'r> {
    /// A way on, and why: the conditions of the route, or that none held.
    To { node: &'r str, because: String },
    /// Evidence is missing, at these pointers; what the routes say of that.
    Missing {
        evidence: Vec<&'r str>,
        on_missing: Option<&'r str>,
    },
}

impl Routes {
    /// The first route that holds. A route whose evidence is not all there can not be judged, and neither can
    /// those after it: missing evidence blocks (L41).
    pub(crate) fn take(&self, state: &Map<String, Value>) -> Taken<'_> {
        for route in &self.routes {
            match weigh_all(&route.when, state) {
                Weighed::Holds => {
                    return Taken::To {
                        node: &route.to,
                        because: told(&route.when, state),
                    };
                }
                Weighed::Fails => {}
                Weighed::Missing => {
                    let evidence = route
                        .when
                        .iter()
                        .filter(|condition| condition.weigh(state) == Weighed::Missing)
                        .map(|condition| condition.evidence.as_str())
                        .collect();
                    return Taken::Missing {
                        evidence,
                        on_missing: self.on_missing.as_deref(),
                    };
                }
            }
        }
        Taken::To {
            node: &self.otherwise,
            because: "no route holds".to_owned(),
        }
    }
}

/// All conditions together; missing where one is.
pub(crate) fn weigh_all(conditions: &[Condition], state: &Map<String, Value>) -> Weighed {
    Weighed::all(conditions.iter().map(|condition| condition.weigh(state)))
}

/// Conditions that hold, for people.
pub(crate) fn told(conditions: &[Condition], state: &Map<String, Value>) -> String {
    let told = conditions.iter().map(|condition| {
        let found = condition.read(state).found.unwrap_or_default();
        format!("{condition}: {}", brief(&found))
    });
    told.collect::<Vec<_>>().join(", ")
}

/// A value in a few words: what is long is left out.
fn brief(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Object(members) => format!("an object of {}", members.len()),
        Value::String(text) if text.chars().count() > 60 => {
            let start: String = text.chars().take(60).collect();
            format!("\"{start}…\"")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn routes(on_missing: Option<&str>) -> Routes {
        serde_json::from_value(json!({
            "routes": [
                {"when": [{"evidence": "/resonance", "is": "less_than", "value": 0.3}], "to": "segment"},
                {"when": [{"evidence": "/zombies", "is": "at_least", "value": 0.7},
                          {"evidence": "/resonance", "is": "at_most", "value": 3}], "to": "value"},
            ],
            "otherwise": "gate",
            "on_missing": on_missing,
        }))
        .unwrap()
    }

    fn taken(routes: &Routes, state: &Value) -> String {
        match routes.take(state.as_object().unwrap()) {
            Taken::To { node, because } => format!("{node}: {because}"),
            Taken::Missing {
                evidence,
                on_missing,
            } => format!("{on_missing:?} {}", evidence.join(",")),
        }
    }

    /// L40, L43: the first route that holds is taken, at the boundary and at zero.
    #[test]
    fn the_first_route_that_holds_is_taken() {
        let routes = routes(None);
        for (resonance, zombies, expected) in [
            (
                json!(0.29),
                json!(0.9),
                "segment: /resonance less_than 0.3: 0.29",
            ),
            (json!(0), json!(0), "segment: /resonance less_than 0.3: 0"),
            (json!(0.3), json!(0.69), "gate: no route holds"),
            (
                json!(3.0),
                json!(0.7),
                "value: /zombies at_least 0.7: 0.7, /resonance at_most 3: 3.0",
            ),
            (json!(3.01), json!(0.7), "gate: no route holds"),
        ] {
            let state = json!({"resonance": resonance, "zombies": zombies});
            assert_eq!(taken(&routes, &state), expected);
        }
    }

    /// L41: where evidence is missing neither the route that asks for it nor `otherwise` is taken.
    #[test]
    fn missing_evidence_blocks_the_routes_from_there_on() {
        let routes = routes(Some("person"));
        let cases = [
            (json!({}), "Some(\"person\") /resonance"),
            (json!({"resonance": 0.5}), "Some(\"person\") /zombies"),
            (
                json!({"resonance": "0.5x", "zombies": 1}),
                "Some(\"person\") /resonance",
            ),
            // What comes before the gap is still judged.
            (
                json!({"resonance": 0.1}),
                "segment: /resonance less_than 0.3: 0.1",
            ),
        ];
        for (state, expected) in cases {
            assert_eq!(taken(&routes, &state), expected);
        }
    }
}
