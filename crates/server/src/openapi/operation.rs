//! One operation of the list in the document: its request spread over path, query, headers and body by the
//! rule of [`moorline_api::routes`].

use moorline_api::authorization;
use moorline_api::routes::{Kind, Method, Route};
use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

use super::SCHEMAS;
use crate::answer::PAGES;

/// What an answer gives to the parameter of another operation: from, to, parameter, where it is.
const LINKS: [(&str, &str, &str, &str); 12] = [
    ("run_submit", "run_get", "run", "run_id"),
    ("run_submit", "run_wait", "run", "run_id"),
    ("run_submit", "run_cancel", "run", "run_id"),
    ("run_submit", "run_logs", "run", "run_id"),
    ("run_retry", "run_get", "run", "run_id"),
    ("schedule_run_now", "run_get", "run", "run_id"),
    (
        "artifact_submit",
        "artifact_show",
        "artifact",
        "artifact/id",
    ),
    (
        "artifact_submit",
        "artifact_diff",
        "artifact",
        "artifact/id",
    ),
    (
        "artifact_submit",
        "artifact_export",
        "artifact",
        "artifact/id",
    ),
    ("token_create", "token_revoke", "token", "record/id"),
    ("approval_show", "approval_decide", "approval", "id"),
    ("approval_show", "approval_link", "approval", "id"),
];

/// The operation of a route.
pub(super) fn of(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let request = route.request.map(|request| {
        let schema = request(generator).to_value();
        resolved(schema, generator)
    });
    let in_path: Vec<&str> = route
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .collect();
    let mut parameters = Vec::new();
    let mut body = None;
    if let Some(request) = &request {
        for name in &in_path {
            parameters.push(parameter(request, name, "path"));
        }
        if route.method == Method::Get {
            for name in names(request) {
                if name != "actor" && !in_path.contains(&name) {
                    parameters.push(parameter(request, name, "query"));
                }
            }
        } else {
            body = rest(request, &in_path);
        }
    }
    parameters.extend(headers(route, request.as_ref()));
    let rule = authorization::rule(route.operation);
    let mut operation = json!({
        "operationId": route.name,
        "tags": [route.operation.as_str().split('.').next()],
        "summary": words(route.name),
        "parameters": parameters,
        "responses": responses(route, generator),
        "x-moorline-operation": route.operation.as_str(),
        "x-moorline-role": rule.least,
    });
    let description = request
        .as_ref()
        .and_then(|request| request.get("description"));
    if let Some(description) = description {
        operation["description"] = description.clone();
    }
    if let Some(people) = rule.humans_only {
        operation["x-moorline-people-only"] = people.into();
    }
    if let Some(body) = body {
        let needed = body.get("required").is_some() || body.get("oneOf").is_some();
        operation["requestBody"] = json!({
            "required": needed,
            "content": {"application/json": {"schema": body}},
        });
    }
    operation
}

/// `artifact_request_changes` as words.
fn words(name: &str) -> String {
    let words = name.replace('_', " ");
    let mut letters = words.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

/// A schema, instead of a reference to it.
fn resolved(schema: Value, generator: &SchemaGenerator) -> Value {
    let name = schema
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|reference| reference.strip_prefix(SCHEMAS));
    match name.and_then(|name| generator.definitions().get(name)) {
        Some(definition) => definition.clone(),
        None => schema,
    }
}

fn names(request: &Value) -> impl Iterator<Item = &str> {
    let properties = request.get("properties").and_then(Value::as_object);
    properties
        .into_iter()
        .flat_map(Map::keys)
        .map(String::as_str)
}

fn parameter(request: &Value, name: &str, place: &str) -> Value {
    let mut schema = request["properties"][name].clone();
    let description = schema
        .as_object_mut()
        .and_then(|schema| schema.remove("description"));
    let required = request["required"]
        .as_array()
        .is_some_and(|names| names.iter().any(|known| known == name));
    // What is not said is left out; there is no way to write `null` there.
    drop_null(&mut schema);
    if place == "path" && schema["type"] == "string" {
        schema["minLength"] = 1.into();
    }
    let mut parameter = json!({
        "name": name,
        "in": place,
        "required": place == "path" || required,
        "schema": schema,
    });
    if let Some(description) = description {
        parameter["description"] = description;
    }
    parameter
}

/// Takes `null` out of what a value may be.
fn drop_null(schema: &mut Value) {
    let Some(members) = schema.as_object_mut() else {
        return;
    };
    if members.get("default").is_some_and(Value::is_null) {
        members.remove("default");
    }
    if let Some(Value::Array(kinds)) = members.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [one] = kinds.as_slice() {
            let one = one.clone();
            members.insert("type".to_owned(), one);
        }
    }
    if let Some(Value::Array(parts)) = members.get_mut("anyOf") {
        parts.retain(|part| part["type"] != "null");
        if let [one] = parts.as_slice() {
            let one = one.clone();
            members.remove("anyOf");
            members.extend(one.as_object().cloned().unwrap_or_default());
        }
    }
}

/// The body: what stands neither in the path nor comes from the token. None where nothing is left.
fn rest(request: &Value, in_path: &[&str]) -> Option<Value> {
    let mut body = request.clone();
    let elsewhere = |name: &str| name == "actor" || in_path.contains(&name);
    strip(&mut body, &elsewhere);
    let variants = body.get("oneOf").or_else(|| body.get("anyOf"));
    (variants.is_some() || names(&body).next().is_some()).then_some(body)
}

fn strip(schema: &mut Value, elsewhere: &dyn Fn(&str) -> bool) {
    let Some(members) = schema.as_object_mut() else {
        return;
    };
    if let Some(Value::Object(properties)) = members.get_mut("properties") {
        properties.retain(|name, _| !elsewhere(name));
    }
    if let Some(Value::Array(required)) = members.get_mut("required") {
        required.retain(|name| !name.as_str().is_some_and(elsewhere));
        if required.is_empty() {
            members.remove("required");
        }
    }
    for parts in ["oneOf", "anyOf", "allOf"] {
        if let Some(Value::Array(parts)) = members.get_mut(parts) {
            for part in parts {
                strip(part, elsewhere);
            }
        }
    }
    if members.contains_key("properties") && !members.contains_key("oneOf") {
        members.insert("additionalProperties".to_owned(), false.into());
    }
}

/// Headers that mean something to the operation.
fn headers(route: &Route, request: Option<&Value>) -> Vec<Value> {
    let header = |name: &str, schema: Value, description: &str| json!({"name": name, "in": "header", "required": false, "schema": schema, "description": description});
    let mut headers = Vec::new();
    let keyed = request.is_some_and(|request| names(request).any(|name| name == "idempotency_key"));
    if keyed {
        headers.push(header(
            "Idempotency-Key",
            json!({"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}),
            "The same key again gives the same answer; as `idempotency_key` of the body.",
        ));
    }
    if route.name == "run_wait" {
        headers.push(header(
            "Prefer",
            json!({"type": "string", "pattern": "^wait=[0-9]{1,2}$"}),
            "`wait=SECONDS`: wait at most so long for the end of the run, up to 25 s.",
        ));
    }
    headers
}

fn responses(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let schema = (route.response)(generator).to_value();
    let content = match route.kind {
        Kind::Call => json!({"application/json": {"schema": schema}}),
        // One document a line, or an event each.
        Kind::Stream => json!({
            "application/x-ndjson": {"schema": {"type": "string"}, "x-moorline-line": schema},
            "text/event-stream": {"schema": {"type": "string"}, "x-moorline-data": schema},
        }),
    };
    let mut response = json!({"description": "It was done.", "content": content});
    let mut headers = Map::new();
    if PAGES.iter().any(|page| page.0 == route.name) {
        let link = "The next page, as `rel=\"next\"` (RFC 8288).";
        headers.insert(
            "Link".to_owned(),
            json!({"description": link, "schema": {"type": "string"}}),
        );
    }
    let etag =
        json!({"description": "The version that was answered.", "schema": {"type": "string"}});
    let list = schema["type"] == "array";
    if route.method == Method::Get && route.kind == Kind::Call && !list {
        headers.insert("ETag".to_owned(), etag);
    }
    if !headers.is_empty() {
        response["headers"] = headers.into();
    }
    let links: Map<String, Value> = LINKS
        .iter()
        .filter(|(from, ..)| *from == route.name)
        .map(|(_, to, name, member)| {
            let from = format!("$response.body#/{member}");
            let link = json!({"operationId": to, "parameters": {*name: from}});
            ((*to).to_owned(), link)
        })
        .collect();
    if !links.is_empty() {
        response["links"] = links.into();
    }
    let mut responses = Map::new();
    if route.name == "run_wait" {
        let mut waits = response.clone();
        waits["description"] = "It is not over yet: its summary as it stands.".into();
        responses.insert("202".to_owned(), waits);
    }
    responses.insert(route.status.to_string(), response);
    responses.insert(
        "default".to_owned(),
        json!({"$ref": "#/components/responses/Problem"}),
    );
    responses.into()
}
