//! What programs can call beside the list of operations: the routes of seed 003, uploads, signed requests,
//! probes, and this document.

use schemars::SchemaGenerator;
use serde_json::{Value, json};

use super::subschema;
use crate::probes::Readiness;
use crate::seed::{Approve, Decided, Kickoff, Standing, Started};
use crate::uploads::Uploaded;

/// One of them.
pub(super) struct Special {
    pub(super) path: &'static str,
    pub(super) method: &'static str,
    pub(super) operation: Value,
}

/// An answer with a document.
fn answer(status: &str, description: &str, media: &str, schema: &Value) -> Value {
    json!({
        status: {"description": description, "content": {media: {"schema": schema}}},
        "default": {"$ref": "#/components/responses/Problem"},
    })
}

fn body(media: &str, schema: &Value) -> Value {
    json!({"required": true, "content": {media: {"schema": schema}}})
}

fn in_path(name: &str, description: &str) -> Value {
    json!({
        "name": name, "in": "path", "required": true, "description": description,
        "schema": {"type": "string", "minLength": 1},
    })
}

/// Signed requests: of the project that is always there, and of any.
fn hooks() -> [Special; 2] {
    let hook = |path, id: &str, projects: &str, mut parameters: Vec<Value>| {
        parameters.push(in_path("name", "As it is configured."));
        parameters.push(json!({
            "name": "Moorline-Signature", "in": "header", "required": true,
            "description": "`t=SECONDS,v1=HEX`: HMAC-SHA256 over the seconds, a dot, and the body.",
            "schema": {"type": "string"},
        }));
        Special {
            path,
            method: "POST",
            operation: json!({
                "operationId": id,
                "tags": ["hooks"],
                "summary": format!("Start the job of a signed request, {projects}"),
                "description": "The job that `[server.incoming.NAME]` names. Signed with its secret (HMAC-SHA256), \
                                with the time, and taken once.",
                "security": [],
                "parameters": parameters,
                "requestBody": body("application/json", &json!({"type": "object"})),
                "responses": answer("202", "The run that it started.", "application/json", &json!({
                    "type": "object",
                    "required": ["run_id", "status"],
                    "properties": {"run_id": {"type": "string"}, "status": {"type": "string"}},
                })),
            }),
        }
    };
    let project = in_path("project", "A project that takes the hook.");
    [
        hook(
            "/hooks/{name}",
            "hook_start",
            "in the project `default`",
            vec![],
        ),
        hook(
            "/hooks/{project}/{name}",
            "hook_start_in",
            "in a project",
            vec![project],
        ),
    ]
}

/// All of them.
pub(super) fn all(generator: &mut SchemaGenerator) -> Vec<Special> {
    let mut all = seed(generator);
    all.extend(files(generator));
    all.extend(probes(generator));
    all.extend(hooks());
    all.push(Special {
        path: "/v1/ws",
        method: "GET",
        operation: json!({
            "operationId": "live",
            "tags": ["event"],
            "summary": "Follow events and logs over a WebSocket",
            "responses": {
                "101": {"description": "A WebSocket (RFC 6455)."},
                "default": {"$ref": "#/components/responses/Problem"},
            },
            "x-moorline-operation": "event.watch",
        }),
    });
    all.push(Special {
        path: "/openapi.json",
        method: "GET",
        operation: json!({
            "operationId": "openapi",
            "tags": ["probes"],
            "summary": "This document",
            "security": [],
            "responses": answer("200", "The document.", "application/json", &json!({"type": "object"})),
        }),
    });
    all
}

/// The contract of seed 003.
fn seed(generator: &mut SchemaGenerator) -> Vec<Special> {
    let kickoff = subschema::<Kickoff>(generator);
    let started = subschema::<Started>(generator);
    let status = subschema::<Standing>(generator);
    let approve = subschema::<Approve>(generator);
    let decided = subschema::<Decided>(generator);
    vec![
        Special {
            path: "/kickoff",
            method: "POST",
            operation: json!({
                "operationId": "kickoff",
                "tags": ["validation"],
                "summary": "Start the validation of an idea",
                "requestBody": body("application/json", &kickoff),
                "responses": answer("202", "It was started.", "application/json", &started),
                "x-moorline-operation": "run.submit",
            }),
        },
        Special {
            path: "/status/{run_id}",
            method: "GET",
            operation: json!({
                "operationId": "status",
                "tags": ["validation"],
                "summary": "How a validation stands",
                "parameters": [
                    in_path("run_id", "The run."),
                    {
                        "name": "since", "in": "query", "required": false,
                        "description": "Only progress behind this event.",
                        "schema": {"type": "integer", "minimum": 0},
                    },
                ],
                "responses": answer("200", "How it stands.", "application/json", &status),
                "x-moorline-operation": "run.get",
            }),
        },
        Special {
            path: "/hitl/approve",
            method: "POST",
            operation: json!({
                "operationId": "hitl_approve",
                "tags": ["validation"],
                "summary": "Decide a checkpoint",
                "requestBody": body("application/json", &approve),
                "responses": answer("200", "It was decided.", "application/json", &decided),
                "x-moorline-operation": "approval.decide",
            }),
        },
    ]
}

fn files(generator: &mut SchemaGenerator) -> Vec<Special> {
    let uploaded = subschema::<Uploaded>(generator);
    vec![
        Special {
            path: "/v1/uploads",
            method: "POST",
            operation: json!({
                "operationId": "upload",
                "tags": ["uploads"],
                "summary": "Send a directory or a file",
                "description": "Later requests name it where they have a path. It is kept for a day.",
                "parameters": [{
                    "name": "name", "in": "query", "required": false,
                    "description": "The name of the file, when it is one.",
                    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[A-Za-z0-9_-][A-Za-z0-9._-]*$"},
                }],
                "requestBody": {
                    "required": true,
                    "content": {
                        "application/x-tar": {"schema": {"type": "string", "format": "binary"}},
                        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
                    },
                },
                "responses": answer("201", "How to name it.", "application/json", &uploaded),
            }),
        },
        Special {
            path: "/v1/artifacts/{artifact}/content",
            method: "GET",
            operation: json!({
                "operationId": "artifact_content",
                "tags": ["artifact"],
                "summary": "Fetch an artifact with its records",
                "description": "What `artifact export` writes, as a tar archive.",
                "parameters": [
                    in_path("artifact", "A reference."),
                    {
                        "name": "lane", "in": "query", "required": false,
                        "description": "The lane that a `live:JOB` reference is about.",
                        "schema": {"type": "string"},
                    },
                ],
                "responses": answer("200", "The archive.", "application/x-tar",
                    &json!({"type": "string", "format": "binary"})),
                "x-moorline-operation": "artifact.export",
            }),
        },
    ]
}

fn probes(generator: &mut SchemaGenerator) -> Vec<Special> {
    let readiness = subschema::<Readiness>(generator);
    let text = json!({"type": "string"});
    let probe = |path, id: &str, summary: &str, responses: Value| Special {
        path,
        method: "GET",
        operation: json!({
            "operationId": id,
            "tags": ["probes"],
            "summary": summary,
            "security": [],
            "responses": responses,
        }),
    };
    let alive = answer("200", "It is.", "text/plain", &text);
    let numbers = answer("200", "The text form of Prometheus.", "text/plain", &text);
    let mut ready = answer("200", "It may.", "application/json", &readiness);
    ready["503"] = json!({
        "description": "It may not: see the checks.",
        "content": {"application/json": {"schema": readiness}},
    });
    vec![
        probe("/healthz", "healthz", "Whether the process is alive", alive),
        probe("/readyz", "readyz", "Whether it may get requests", ready),
        probe("/metrics", "metrics", "Numbers for Prometheus", numbers),
    ]
}
