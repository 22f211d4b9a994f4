//! What the request of an operation is made of, as its schema says: the query of a URL is text, and becomes
//! numbers, truth values and lists by it.

use std::collections::BTreeMap;

use moorline_api::routes::Route;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Number, Value};

/// The members of a request.
#[derive(Debug, Default)]
pub(crate) struct Shape {
    members: BTreeMap<String, Form>,
}

/// What a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Form {
    /// Text, or something that is written as text.
    Text,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A list; in a query, the member is repeated.
    List(Box<Self>),
    /// An object, or one of several things: only in a body.
    Other,
}

impl Shape {
    /// The shape of the request of a route; empty where it has none.
    pub(crate) fn of(route: &Route) -> Self {
        let Some(request) = route.request else {
            return Self::default();
        };
        let mut generator = SchemaSettings::draft2020_12().into_generator();
        let schema = request(&mut generator).to_value();
        let definitions = generator.take_definitions(true);
        let mut members = BTreeMap::new();
        gather(&schema, &definitions, &mut members);
        Self { members }
    }

    /// What a member is; none where the request has no such member.
    pub(crate) fn member(&self, name: &str) -> Option<&Form> {
        self.members.get(name)
    }

    /// The names of all members.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(String::as_str)
    }
}

/// The members of an object, those of each of its variants.
fn gather(schema: &Value, definitions: &Map<String, Value>, members: &mut BTreeMap<String, Form>) {
    let object = resolve(schema, definitions);
    let properties = object.get("properties").and_then(Value::as_object);
    for (name, schema) in properties.into_iter().flatten() {
        let form = form(schema, definitions);
        members.entry(name.clone()).or_insert(form);
    }
    for parts in ["oneOf", "anyOf", "allOf"] {
        let variants = object.get(parts).and_then(Value::as_array);
        for variant in variants.into_iter().flatten() {
            gather(variant, definitions, members);
        }
    }
}

/// Follows references to definitions.
fn resolve<'a>(schema: &'a Value, definitions: &'a Map<String, Value>) -> &'a Value {
    let target = schema
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|reference| reference.strip_prefix("#/$defs/"))
        .and_then(|name| definitions.get(name));
    match target {
        Some(target) => resolve(target, definitions),
        None => schema,
    }
}

fn form(schema: &Value, definitions: &Map<String, Value>) -> Form {
    let schema = resolve(schema, definitions);
    // `Option<T>`: either T or null.
    let either = schema.get("anyOf").or_else(|| schema.get("oneOf"));
    if let Some(parts) = either.and_then(Value::as_array) {
        let mut forms = parts
            .iter()
            .filter(|part| part.get("type").is_none_or(|kind| kind != "null"))
            .map(|part| form(part, definitions));
        let first = forms.next().unwrap_or(Form::Other);
        return if forms.all(|form| form == first) {
            first
        } else {
            Form::Other
        };
    }
    let kind = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds
            .iter()
            .filter_map(Value::as_str)
            .find(|kind| *kind != "null"),
        Some(kind) => kind.as_str(),
        None if schema.get("const").is_some_and(Value::is_string) => Some("string"),
        None => None,
    };
    match kind {
        Some("string") => Form::Text,
        Some("integer") => Form::Integer,
        Some("number") => Form::Number,
        Some("boolean") => Form::Boolean,
        Some("array") => {
            let items = schema.get("items");
            Form::List(Box::new(
                items.map_or(Form::Other, |items| form(items, definitions)),
            ))
        }
        _ => Form::Other,
    }
}

impl Form {
    /// The value that a text of a path or a query stands for.
    ///
    /// # Errors
    /// What it should be, for people.
    pub(crate) fn value(&self, text: &str) -> Result<Value, &'static str> {
        match self {
            Self::Text => Ok(Value::String(text.to_owned())),
            Self::Integer => {
                let signed = text.parse::<i64>().map(Number::from);
                let number = signed.or_else(|_| text.parse::<u64>().map(Number::from));
                number.map(Value::Number).map_err(|_| "a whole number")
            }
            Self::Number => text
                .parse()
                .ok()
                .and_then(Number::from_f64)
                .map(Value::Number)
                .ok_or("a number"),
            Self::Boolean => match text {
                "true" => Ok(Value::Bool(true)),
                "false" => Ok(Value::Bool(false)),
                _ => Err("`true` or `false`"),
            },
            Self::List(item) => item.value(text),
            Self::Other => Err("in the body, as JSON"),
        }
    }
}

#[cfg(test)]
mod tests {
    use moorline_api::routes::{Method, ROUTES, route};
    use serde_json::json;

    use super::*;

    #[test]
    fn optional_members_lists_and_references_are_seen_through() {
        let shape = Shape::of(route("run_list").unwrap());
        let text = Form::Text;
        assert_eq!(
            shape.member("statuses"),
            Some(&Form::List(Box::new(text.clone())))
        );
        assert_eq!(shape.member("before"), Some(&text));
        assert_eq!(shape.member("limit"), Some(&Form::Integer));
        assert_eq!(shape.member("colour"), None);
        let shape = Shape::of(route("run_submit").unwrap());
        assert_eq!(shape.member("params"), Some(&Form::Other));
        let shape = Shape::of(route("explain").unwrap());
        assert!(shape.names().count() > 1, "{shape:?}");
    }

    #[test]
    fn text_becomes_what_the_member_is() {
        assert_eq!(Form::Integer.value("7"), Ok(json!(7)));
        assert_eq!(
            Form::Integer.value(&u64::MAX.to_string()),
            Ok(json!(u64::MAX))
        );
        assert_eq!(Form::Integer.value("7.5"), Err("a whole number"));
        assert_eq!(Form::Number.value("0.5"), Ok(json!(0.5)));
        assert_eq!(Form::Number.value("inf"), Err("a number"));
        assert_eq!(Form::Boolean.value("yes"), Err("`true` or `false`"));
        assert_eq!(Form::Text.value("7"), Ok(json!("7")));
    }

    /// Whatever stands in a path or in a query can be written as text there.
    #[test]
    fn what_is_got_has_no_objects_in_it() {
        for route in ROUTES {
            let shape = Shape::of(route);
            for name in shape.names() {
                let in_url =
                    route.method == Method::Get || route.path.contains(&format!("{{{name}}}"));
                let form = shape.member(name).unwrap();
                let ok = !matches!(form, Form::Other) && *form != Form::List(Box::new(Form::Other));
                assert!(
                    !in_url || ok,
                    "{} has {name}, which is {form:?}",
                    route.name
                );
            }
        }
    }

    /// The members that a path names are members of the request.
    #[test]
    fn every_member_of_a_path_is_one_of_the_request() {
        for route in ROUTES {
            let shape = Shape::of(route);
            for part in route
                .path
                .split('/')
                .filter_map(|part| part.strip_prefix('{'))
            {
                let name = part.trim_end_matches('}');
                assert!(shape.member(name).is_some(), "{}: {name}", route.name);
            }
        }
    }
}
