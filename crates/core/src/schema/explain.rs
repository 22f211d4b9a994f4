//! From a validator's error to a [`Violation`]: where, what, and what to do, without the value itself.

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use serde_json::Value;

use crate::spec::Violation;
use crate::spec::violation::{did_you_mean, join};

const RULE: &str = "schema";

/// What one error of the validator comes to: several violations for several unknown members.
pub(super) fn violations(error: &ValidationError<'_>, schema: &Value) -> Vec<Violation> {
    let here = error.instance_path().to_string();
    let one = |message: String| vec![Violation::new(&here, RULE, message)];
    let at_least = |limit: &dyn std::fmt::Display, what: &str| one(format!("must {what} {limit}"));
    match error.kind() {
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            let known = known_members(error, schema);
            unexpected
                .iter()
                .map(|name| unknown_member(&here, name, &known))
                .collect()
        }
        Kind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            let violation = Violation::new(join(&here, name), RULE, "is required");
            vec![match description(parent(error, schema), name) {
                Some(text) => violation.with_hint(text),
                None => violation,
            }]
        }
        Kind::Type { kind } => {
            let wanted = match kind {
                TypeKind::Single(kind) => with_article(&kind.to_string()),
                TypeKind::Multiple(kinds) => {
                    let kinds: Vec<_> = kinds
                        .iter()
                        .map(|kind| with_article(&kind.to_string()))
                        .collect();
                    kinds.join(" or ")
                }
            };
            one(format!(
                "must be {wanted}, not {}",
                kind_of(error.instance())
            ))
        }
        Kind::Enum { options } => {
            let options: Vec<&Value> = options.as_array().into_iter().flatten().collect();
            let list: Vec<String> = options.iter().map(|option| quoted(option)).collect();
            let texts = options.iter().filter_map(|option| option.as_str());
            let violation =
                Violation::new(&here, RULE, format!("must be one of {}", list.join(", ")));
            let meant = error
                .instance()
                .as_str()
                .and_then(|text| did_you_mean(text, texts));
            vec![match meant {
                Some(meant) => violation.with_hint(format!("did you mean `{meant}`?")),
                None => violation,
            }]
        }
        Kind::Constant { expected_value } => one(format!("must be {}", quoted(expected_value))),
        Kind::Minimum { limit } => at_least(limit, "be at least"),
        Kind::Maximum { limit } => at_least(limit, "be at most"),
        Kind::ExclusiveMinimum { limit } => at_least(limit, "be more than"),
        Kind::ExclusiveMaximum { limit } => at_least(limit, "be less than"),
        Kind::MinLength { limit: 1 } => one("must not be empty".to_owned()),
        Kind::MinLength { limit } => one(format!("must have at least {limit} characters")),
        Kind::MaxLength { limit } => one(format!("must have at most {limit} characters")),
        Kind::MinItems { limit: 1 } => one("must have at least one entry".to_owned()),
        Kind::MinItems { limit } => one(format!("must have at least {limit} entries")),
        Kind::MaxItems { limit } => one(format!("must have at most {limit} entries")),
        Kind::UniqueItems => one("must not have an entry twice".to_owned()),
        Kind::Pattern { pattern } => {
            let violation = Violation::new(&here, RULE, format!("must match `{pattern}`"));
            vec![match parent(error, schema).and_then(first_sentence) {
                Some(text) => violation.with_hint(text),
                None => violation,
            }]
        }
        Kind::Format { format } => one(format!("is not a valid {format}")),
        Kind::PropertyNames { error: inner } => {
            let name = inner.instance().as_str().unwrap_or_default();
            let at_name = join(&here, name);
            violations(inner, schema)
                .into_iter()
                .map(|violation| Violation {
                    pointer: at_name.clone(),
                    ..violation
                })
                .collect()
        }
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
            closest_choice(context, &here, schema)
        }
        Kind::OneOfMultipleValid { .. } => {
            one("fits more than one of the allowed forms".to_owned())
        }
        other => one(format!(
            "does not satisfy `{}` of its schema",
            other.keyword()
        )),
    }
}

/// Of a choice, the errors of the one form that the value resembles: whose own type it has. When none or
/// several do, the forms themselves are named.
fn closest_choice(
    choices: &[Vec<ValidationError<'static>>],
    here: &str,
    schema: &Value,
) -> Vec<Violation> {
    let resembles = |errors: &&Vec<ValidationError<'static>>| {
        !errors.is_empty()
            && errors.iter().all(|error| {
                let at_root = error.instance_path().to_string() == here;
                !(at_root && matches!(error.kind(), Kind::Type { .. } | Kind::Constant { .. }))
            })
    };
    let mut close = choices.iter().filter(resembles);
    if let (Some(errors), None) = (close.next(), close.next()) {
        return errors
            .iter()
            .flat_map(|error| violations(error, schema))
            .collect();
    }
    let mut forms: Vec<String> = Vec::new();
    for error in choices.iter().flatten() {
        for violation in violations(error, schema) {
            if violation.pointer == here && !forms.contains(&violation.message) {
                forms.push(violation.message);
            }
        }
    }
    vec![Violation::new(here, RULE, forms.join(", or "))]
}

fn unknown_member(here: &str, name: &str, known: &[&str]) -> Violation {
    let violation = Violation::new(join(here, name), RULE, "is not a field of this object");
    match did_you_mean(name, known.iter().copied()) {
        Some(meant) => violation.with_hint(format!("did you mean `{meant}`?")),
        None if known.is_empty() => violation.with_hint("remove it"),
        None if known.len() > 12 => violation.with_hint("remove it, or move it into `metadata`"),
        None => violation.with_hint(format!("its fields are {}", known.join(", "))),
    }
}

/// The schema object that holds the keyword that refused.
fn parent<'a>(error: &ValidationError<'_>, schema: &'a Value) -> Option<&'a Value> {
    let path = error.schema_path().to_string();
    let (object, _) = path.rsplit_once('/')?;
    schema.pointer(object)
}

fn known_members<'a>(error: &ValidationError<'_>, schema: &'a Value) -> Vec<&'a str> {
    let properties = parent(error, schema).and_then(|object| object.get("properties"));
    let members = properties.and_then(Value::as_object);
    members.map_or_else(Vec::new, |members| {
        members.keys().map(String::as_str).collect()
    })
}

/// What the schema says of a member.
fn description(object: Option<&Value>, name: &str) -> Option<String> {
    first_sentence(object?.get("properties")?.get(name)?)
}

fn first_sentence(schema: &Value) -> Option<String> {
    let text = schema.get("description")?.as_str()?;
    let first = text.split_once(". ").map_or(text, |(first, _)| first);
    Some(uncapitalised(first.trim_end_matches('.')))
}

/// A sentence as it goes on after a semicolon; an acronym keeps its capitals.
fn uncapitalised(sentence: &str) -> String {
    let mut rest = sentence.chars();
    match (rest.next(), rest.clone().next()) {
        (Some(first), Some(second)) if !second.is_uppercase() => {
            first.to_lowercase().chain(rest).collect()
        }
        _ => sentence.to_owned(),
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a number with decimals",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn with_article(kind: &str) -> String {
    match kind {
        "null" => "null".to_owned(),
        "integer" | "object" | "array" => format!("an {kind}"),
        other => format!("a {other}"),
    }
}

fn quoted(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}
