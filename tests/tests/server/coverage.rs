//! Every route of the server, by who may not call it: without a token, without the role, without the scope. A route
//! that is in the document and not tried here fails the suite. Another project's callers, and the command line, are
//! in `denials`.

use std::collections::{BTreeMap, BTreeSet};

use moorline_api::routes::ROUTES;
use moorline_api::{Operation, authorization};
use moorline_core::principal::Role;
use moorline_testkit::moorlined::{Server, ServerOptions};
use serde_json::{Value, json};

use super::support::Api;

/// The workflow that ships with Moorline.
const VALIDATION: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../examples/validation-workflow"
);

/// Paths of the document that are no operation of the list, with why no token is asked for, or how that is
/// tried elsewhere.
const SPECIAL: &[(&str, &str)] = &[
    ("/healthz", "a probe tells nothing but that it lives"),
    ("/readyz", "a probe tells which of its own checks fail"),
    ("/openapi.json", "the document is no secret"),
    (
        "/metrics",
        "numbers alone, without ids and names, on loopback; beyond it: see `auth`",
    ),
    ("/hooks/{name}", "signed instead: see `auth`"),
    ("/hooks/{project}/{name}", "signed instead: see `auth`"),
];

fn server() -> Server {
    let config = format!(
        "[server]\nprojects = [\"acme\"]\nkickoff_job = \"{VALIDATION}\"\nrate_per_second = 10000\n"
    );
    ServerOptions::new()
        .unwrap()
        .config(&config)
        .unwrap()
        .start()
        .unwrap()
}

async fn document(server: &Server) -> Value {
    let (status, document) = Api::new(server.url(), None).get("/openapi.json").await;
    assert_eq!(status, 200);
    document
}

/// Every path of the document with its methods, in upper case.
fn paths(document: &Value) -> BTreeSet<(String, String)> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap().keys();
            methods
                .filter(|method| ["get", "post", "put"].contains(&method.as_str()))
                .map(move |method| (method.to_uppercase(), path.clone()))
        })
        .collect()
}

/// The path with something in each of its braces.
fn filled(path: &str, ids: &BTreeMap<&str, String>) -> String {
    let mut filled = path.to_owned();
    while let (Some(open), Some(close)) = (filled.find('{'), filled.find('}')) {
        let name = filled.get(open + 1..close).unwrap().to_owned();
        let id = ids
            .get(name.as_str())
            .cloned()
            .unwrap_or_else(|| "nothing".to_owned());
        filled.replace_range(open..=close, &id.replace('/', "%2F"));
    }
    filled
}

async fn call(api: &Api, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let mut request = api.request(method.clone(), path);
    if method != reqwest::Method::GET {
        request = request.json(body);
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, response.json().await.unwrap_or_default())
}

/// L28: no route but the named ones answers without a token, and each says how to get in.
#[tokio::test]
async fn no_route_answers_without_a_token() {
    let server = server();
    let document = document(&server).await;
    let mut missing = Vec::new();
    for (method, path) in paths(&document) {
        if SPECIAL.iter().any(|(special, _)| *special == path) {
            continue;
        }
        for token in [
            None,
            Some("mlt_default_00000000000000000000000000000000_no"),
        ] {
            let api = Api::new(server.url(), token);
            let (status, answer) =
                call(&api, &method, &filled(&path, &BTreeMap::new()), &json!({})).await;
            if (status, &answer["code"]) != (401, &json!("ERR_UNAUTHENTICATED")) {
                missing.push(format!("{method} {path} with {token:?}: {status} {answer}"));
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
    // What is in the list of operations is in the document: nothing can be left out of the above.
    let documented = paths(&document);
    for route in ROUTES {
        let place = (route.method.as_str().to_owned(), route.path.to_owned());
        assert!(
            documented.contains(&place),
            "{place:?} is not in the document"
        );
    }
}

/// Whom an operation is not for: arguments of `tokens create`, by what they lack.
fn who_may_not(operation: Operation) -> Vec<(&'static str, &'static str)> {
    let rule = authorization::rule(operation);
    let mut who = vec![("unscoped", "unscoped")];
    if rule.least > Role::Viewer {
        who.push(("viewer", "D-AUDIT-2"));
    }
    if let Some(rule) = rule.humans_only {
        who.push(("agent", rule));
    }
    who
}

/// L28, L74: each operation refuses who has not the role, who is no person where only a person may, and a token
/// whose scopes do not name it; nothing happens, and the refusal is on record.
#[tokio::test]
async fn each_operation_refuses_who_may_not() {
    let server = server();
    let token = |name: &str, arguments: &[&str]| server.token(name, arguments).unwrap();
    let tokens = BTreeMap::from([
        (
            "viewer",
            token("viewer", &["--principal", "human:vera", "--role", "viewer"]),
        ),
        (
            "agent",
            token(
                "agent",
                &["--principal", "agent:codex", "--role", "operator"],
            ),
        ),
        (
            "unscoped",
            token(
                "unscoped",
                &["--principal", "human:ada", "--scope", "health"],
            ),
        ),
    ]);
    let mut wrong = Vec::new();
    let mut tried = 0;
    for route in ROUTES {
        for (who, rule) in who_may_not(route.operation) {
            // A scope that names the operation is no lack of scope.
            if who == "unscoped" && route.operation == Operation::Health {
                continue;
            }
            let api = Api::new(server.url(), Some(&tokens[who]));
            let path = filled(route.path, &BTreeMap::new());
            let (status, answer) = call(&api, route.method.as_str(), &path, &json!({})).await;
            let says = answer["detail"].as_str().unwrap_or_default();
            tried += 1;
            if status != 403 || !(says.contains(rule) || says.contains("D-AUDIT-2")) {
                wrong.push(format!("{} as {who}: {status} {answer}", route.name));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(tried > 2 * ROUTES.len() / 2, "{tried}");
}
