//! The OpenAPI 3.1 document, made from the list of routes and the types.
//!
//! Everything that programs can call is in it; the pages of the dashboard, for people, are not. It is served at
//! `/openapi.json` and kept reviewed as `schemas/openapi.json` (`cargo xtask gen`).

mod operation;
mod special;

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use bytes::Bytes;
use http::header;
use moorline_api::routes::ROUTES;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::problem::{MEDIA_TYPE, ProblemDocument};

/// Where definitions are.
const SCHEMAS: &str = "#/components/schemas/";

/// `/openapi.json`.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new().route("/openapi.json", get(serve))
}

async fn serve() -> Response {
    // Made when somebody asks for it first; it never changes while the program runs.
    static DOCUMENT: OnceLock<Bytes> = OnceLock::new();
    let bytes = DOCUMENT.get_or_init(|| Bytes::from(document().to_string()));
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, bytes.clone()).into_response()
}

/// The document.
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    let problem = subschema::<ProblemDocument>(&mut generator);
    for route in ROUTES {
        let operation = operation::of(route, &mut generator);
        add(&mut paths, route.path, route.method.as_str(), operation);
    }
    for special in special::all(&mut generator) {
        add(&mut paths, special.path, special.method, special.operation);
    }
    let mut schemas = generator.take_definitions(true);
    keep_named(&mut schemas, &[&Value::Object(paths.clone()), &problem]);
    json!({
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "Moorline",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The control plane of Moorline: jobs, runs, approvals, artifacts, schedules, stops. \
                            Errors are problem documents (RFC 9457) with a code of one closed set; what changes \
                            something can be repeated safely where it takes an `Idempotency-Key`.",
            "license": {"name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT"},
        },
        "security": [{"token": []}, {"session": []}],
        "tags": tags(&paths),
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {
                "Problem": {
                    "description": "It was refused or failed: which code, which rule, what to do.",
                    "content": {MEDIA_TYPE: {"schema": problem}},
                },
            },
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "mlt_<project>_<id>_<secret>",
                    "description": "A token: `moorline tokens create NAME`.",
                },
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "moorline_session",
                    "description": "The session of a browser that logged in with a token.",
                },
            },
        },
    })
}

/// A reference to the schema of a type, which becomes a definition.
fn subschema<T: schemars::JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

fn add(paths: &mut Map<String, Value>, path: &str, method: &str, operation: Value) {
    let entry = paths.entry(path).or_insert_with(|| json!({}));
    entry[method.to_ascii_lowercase()] = operation;
}

/// Every tag that an operation has.
fn tags(paths: &Map<String, Value>) -> Vec<Value> {
    let operations = paths.values().filter_map(Value::as_object);
    let tags: BTreeSet<&str> = operations
        .flat_map(Map::values)
        .filter_map(|operation| operation["tags"][0].as_str())
        .collect();
    tags.into_iter().map(|tag| json!({"name": tag})).collect()
}

/// Leaves the definitions that something refers to, directly or by way of others.
fn keep_named(schemas: &mut Map<String, Value>, roots: &[&Value]) {
    let mut named = BTreeSet::new();
    let mut open = Vec::new();
    for root in roots {
        references(root, &mut open);
    }
    while let Some(name) = open.pop() {
        if named.insert(name.clone())
            && let Some(schema) = schemas.get(&name)
        {
            references(schema, &mut open);
        }
    }
    schemas.retain(|name, _| named.contains(name));
}

fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                found.extend(reference.strip_prefix(SCHEMAS).map(str::to_owned));
            }
            members.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use moorline_api::routes::Method;

    use super::*;

    #[test]
    fn every_operation_of_the_list_is_in_the_document() {
        let document = document();
        for route in ROUTES {
            let method = route.method.as_str().to_ascii_lowercase();
            let operation = &document["paths"][route.path][method];
            assert_eq!(operation["operationId"], route.name, "{}", route.path);
        }
    }

    #[test]
    fn every_reference_leads_to_a_definition_and_every_definition_is_referred_to() {
        let document = document();
        let mut found = Vec::new();
        references(&document, &mut found);
        let named: BTreeSet<String> = found.into_iter().collect();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let defined: BTreeSet<String> = schemas.keys().cloned().collect();
        assert_eq!(named, defined);
    }

    /// Who acts is never sent, and what the path names stands there alone.
    #[test]
    fn no_body_has_an_actor_or_a_member_of_its_path() {
        let document = document();
        for route in ROUTES.iter().filter(|route| route.method != Method::Get) {
            let method = route.method.as_str().to_ascii_lowercase();
            let body = &document["paths"][route.path][method]["requestBody"];
            let schema = &body["content"]["application/json"]["schema"];
            let properties = schema["properties"].as_object();
            for name in properties.into_iter().flat_map(Map::keys) {
                assert!(name != "actor", "{}", route.name);
                assert!(
                    !route.path.contains(&format!("{{{name}}}")),
                    "{}",
                    route.name
                );
            }
        }
    }
}
