//! The OpenAPI document: as it was reviewed, and true to what the server serves.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use moorline_testkit::moorlined::Server;
use moorline_tests::repository;
use reqwest::Method;
use serde_json::Value;

use super::support::Api;

async fn served(server: &Server) -> Value {
    let (status, document) = Api::new(server.url(), None).get("/openapi.json").await;
    assert_eq!(status, 200);
    document
}

#[tokio::test]
async fn the_document_is_the_reviewed_one() {
    let server = Server::start().unwrap();
    let served = serde_json::to_string_pretty(&served(&server).await).unwrap() + "\n";
    let file = repository().join("schemas/openapi.json");
    let reviewed = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        served == reviewed,
        "{} is not what the server serves: run `cargo xtask gen` and review the change",
        file.display()
    );
}

/// Every path of the document leads to a handler that takes the method.
#[tokio::test]
async fn everything_in_the_document_is_served() {
    let server = Server::start().unwrap();
    let token = server.token("ada", ["--principal", "human:ada"]).unwrap();
    let api = Api::new(server.url(), Some(&token));
    let document = served(&server).await;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let real: Vec<&str> = path
            .split('/')
            .map(|part| {
                if part.starts_with('{') {
                    "nothing"
                } else {
                    part
                }
            })
            .collect();
        for method in methods.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            // A stream would not end.
            if path.ends_with("/stream") {
                continue;
            }
            let request = api.request(method.clone(), &real.join("/"));
            let response = request.send().await.unwrap();
            let status = response.status();
            assert_ne!(status, 405, "{method} {path}");
            let text = response.text().await.unwrap();
            let nowhere = text.contains("there is nothing at this path");
            assert!(!nowhere, "{method} {path}: {text}");
        }
    }
}

/// Every route in the code is in the document; pages, which are for people, are not for programs.
#[tokio::test]
async fn everything_that_is_served_is_in_the_document() {
    let server = Server::start().unwrap();
    let document = served(&server).await;
    let paths: BTreeSet<&str> = document["paths"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let pages = ["/login", "/logout", "/decide/{token}"];
    let mut routes = Vec::new();
    mounted(&repository().join("crates/server/src"), &mut routes);
    assert!(routes.len() > 8, "{routes:?}");
    for route in &routes {
        let known = paths.contains(route.as_str()) || pages.contains(&route.as_str());
        assert!(known, "{route} is not in the document");
    }
}

/// Literal paths of `.route("…")` in the sources, but for those of the dashboard.
fn mounted(directory: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("dashboard") {
                mounted(&path, found);
            }
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let parts = text.split(".route(").skip(1);
        found.extend(parts.filter_map(|part| {
            let literal = part.trim_start().strip_prefix('"')?;
            Some(literal.split('"').next()?.to_owned())
        }));
    }
}
