//! From an HTTP request to the request of an operation, by the rule of [`moorline_api::routes`]: members that
//! the path names stand there, of a `GET` all others in the query, else in the JSON body.
//!
//! `actor` is never sent: it is whoever the token is of (D-AUDIT-1). What is unknown is refused, so that a
//! misspelt condition is no wider one.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use axum::body::Body;
use axum::extract::{FromRequestParts as _, RawPathParams};
use http::request::Parts;
use http::{HeaderMap, header};
use moorline_api::ApiError;
use moorline_api::routes::{Method, Route};
use moorline_core::error_code::ErrorCode;
use moorline_engine::Seen;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::access::Caller;
use crate::app::App;
use crate::precondition;
use crate::shape::{Form, Shape};

/// The header that fills `idempotency_key`.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// The longest idempotency key, in bytes.
const LONGEST_KEY: usize = 255;
/// The member that the server fills.
const ACTOR: &str = "actor";
/// The member that [`IDEMPOTENCY_KEY`] fills.
const KEY: &str = "idempotency_key";

/// Shapes by name of the route: each is made when it is needed first.
static SHAPES: LazyLock<RwLock<HashMap<&'static str, Arc<Shape>>>> = LazyLock::new(RwLock::default);

/// The shape of a route's request.
pub(crate) fn shape(route: &'static Route) -> Arc<Shape> {
    let known = SHAPES.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(shape) = known.get(route.name) {
        return Arc::clone(shape);
    }
    drop(known);
    let shape = Arc::new(Shape::of(route));
    let mut known = SHAPES.write().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(known.entry(route.name).or_insert(shape))
}

/// The request of an operation, and the version that a change must rest on (`If-Match`). `secret` says that its
/// values must not be told, not even in an error.
///
/// # Errors
/// [`ErrorCode::Usage`] for what does not fit the operation, [`ErrorCode::TooLarge`] for a body beyond the
/// limit.
pub(crate) async fn read<R: DeserializeOwned>(
    app: &App,
    route: &'static Route,
    caller: &Caller,
    parts: &mut Parts,
    body: Body,
    secret: bool,
) -> Result<(R, Option<Seen>), ApiError> {
    let shape = shape(route);
    let mut members = match route.method {
        Method::Get => from_query(&shape, parts.uri.query().unwrap_or_default())?,
        Method::Post | Method::Put => {
            no_query(parts)?;
            from_body(app, &shape, &parts.headers, body, secret).await?
        }
    };
    from_path(&shape, parts, &mut members).await?;
    idempotency_key(&shape, &parts.headers, &mut members)?;
    let seen =
        precondition::check(&caller.project.engine, route, &parts.headers, &mut members).await?;
    if shape.member(ACTOR).is_some() {
        let actor = Value::String(caller.identity.principal.to_string());
        members.insert(ACTOR.to_owned(), actor);
    }
    let mut request = Value::Object(members);
    no_nul(&request, "")?;
    crate::uploads::replace(app, caller, route, &mut request).await?;
    let asked = R::deserialize(request).map_err(|error| {
        // What serde says may hold the value that it did not like.
        let message = if secret {
            format!("the request does not fit `{}`", route.name)
        } else {
            format!("the request does not fit `{}`: {error}", route.name)
        };
        usage(message)
    })?;
    Ok((asked, seen))
}

/// Refuses a request that says something, for operations that have nothing to be said.
///
/// # Errors
/// [`ErrorCode::Usage`], when there is a query.
pub(crate) fn nothing(parts: &Parts) -> Result<(), ApiError> {
    no_query(parts)
}

fn usage(message: impl Into<String>) -> ApiError {
    ApiError::new(ErrorCode::Usage, message).hint("see the operation in `/openapi.json`")
}

fn no_query(parts: &Parts) -> Result<(), ApiError> {
    match parts.uri.query() {
        None | Some("") => Ok(()),
        Some(_) => Err(usage(
            "this operation takes nothing in the query of its URL",
        )),
    }
}

fn unknown(shape: &Shape, name: &str) -> ApiError {
    let message = format!(
        "`{}` is not a member of this request",
        name.escape_default()
    );
    let known: Vec<&str> = shape.names().filter(|name| *name != ACTOR).collect();
    usage(message).hint(match known.as_slice() {
        [] => "leave it out: this operation takes nothing".to_owned(),
        known => format!("its members are {}", known.join(", ")),
    })
}

fn sent_actor() -> ApiError {
    usage("`actor` is not sent: it is whoever the token is of (D-AUDIT-1)").hint("leave it out")
}

fn from_query(shape: &Shape, query: &str) -> Result<Map<String, Value>, ApiError> {
    let mut members = Map::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, text) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decoded(name)?;
        let text = decoded(text)?;
        if name == ACTOR {
            return Err(sent_actor());
        }
        let form = shape.member(&name).ok_or_else(|| unknown(shape, &name))?;
        let value = form
            .value(&text)
            .map_err(|wanted| usage(format!("`{name}` of the query must be {wanted}")))?;
        match (form, members.get_mut(&name)) {
            (Form::List(_), Some(Value::Array(list))) => list.push(value),
            (Form::List(_), _) => {
                members.insert(name, Value::Array(vec![value]));
            }
            (_, Some(_)) => return Err(usage(format!("`{name}` stands in the query twice"))),
            (_, None) => {
                members.insert(name, value);
            }
        }
    }
    Ok(members)
}

/// Text of a query: `+` is a space there.
fn decoded(text: &str) -> Result<String, ApiError> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| usage("the query of the URL is not UTF-8"))
}

async fn from_body(
    app: &App,
    shape: &Shape,
    headers: &HeaderMap,
    body: Body,
    secret: bool,
) -> Result<Map<String, Value>, ApiError> {
    let limit = mebibytes(app.server().body_limit_mb);
    let bytes = whole(body, limit).await?;
    if bytes.is_empty() {
        return Ok(Map::new());
    }
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map_or("", |value| {
            value.split(';').next().unwrap_or_default().trim()
        });
    if !kind.eq_ignore_ascii_case("application/json") {
        return Err(
            ApiError::new(ErrorCode::Usage, "the body of this request must be JSON")
                .hint("send `content-type: application/json`"),
        );
    }
    let document: Value = serde_json::from_slice(&bytes).map_err(|error| {
        usage(if secret {
            "the body is not JSON".to_owned()
        } else {
            format!("the body is not JSON: {error}")
        })
    })?;
    let Value::Object(members) = document else {
        return Err(usage("the body must be a JSON object"));
    };
    for name in members.keys() {
        if name == ACTOR {
            return Err(sent_actor());
        }
        if shape.member(name).is_none() {
            return Err(unknown(shape, name));
        }
    }
    Ok(members)
}

/// The whole body, up to a limit.
///
/// # Errors
/// [`ErrorCode::TooLarge`] beyond the limit, [`ErrorCode::Usage`] for a body that breaks off.
pub(crate) async fn whole(body: Body, limit: usize) -> Result<bytes::Bytes, ApiError> {
    axum::body::to_bytes(body, limit).await.map_err(|error| {
        let mut cause: Option<&dyn std::error::Error> = Some(&error);
        while let Some(inner) = cause {
            if inner.is::<http_body_util::LengthLimitError>() {
                let message = format!("the body is larger than {} MiB", limit >> 20);
                return ApiError::new(ErrorCode::TooLarge, message);
            }
            cause = inner.source();
        }
        usage("the body of the request broke off")
    })
}

/// Bytes of so many MiB.
pub(crate) fn mebibytes(count: u32) -> usize {
    usize::try_from(count).map_or(usize::MAX, |count| count.saturating_mul(1 << 20))
}

async fn from_path(
    shape: &Shape,
    parts: &mut Parts,
    members: &mut Map<String, Value>,
) -> Result<(), ApiError> {
    let path = RawPathParams::from_request_parts(parts, &())
        .await
        .map_err(|error| usage(error.body_text()))?;
    for (name, text) in &path {
        let form = shape.member(name).ok_or_else(|| unknown(shape, name))?;
        let value = form
            .value(text)
            .map_err(|wanted| usage(format!("`{name}` of the path must be {wanted}")))?;
        if members.insert(name.to_owned(), value).is_some() {
            return Err(usage(format!("`{name}` stands in the path already")));
        }
    }
    Ok(())
}

/// `Idempotency-Key`: the same key again gives the same answer, where the operation knows such keys.
fn idempotency_key(
    shape: &Shape,
    headers: &HeaderMap,
    members: &mut Map<String, Value>,
) -> Result<(), ApiError> {
    let Some(given) = headers.get(IDEMPOTENCY_KEY) else {
        return Ok(());
    };
    if shape.member(KEY).is_none() {
        return Ok(());
    }
    let key = given
        .to_str()
        .ok()
        .filter(|key| !key.is_empty() && key.len() <= LONGEST_KEY)
        .ok_or_else(|| usage("`Idempotency-Key` must be 1 to 255 visible ASCII characters"))?;
    match members.get(KEY) {
        Some(Value::String(said)) if said != key => Err(usage(
            "`Idempotency-Key` and `idempotency_key` of the body differ",
        )),
        _ => {
            members.insert(KEY.to_owned(), Value::String(key.to_owned()));
            Ok(())
        }
    }
}

/// Refuses the one character that no store can keep in a text.
fn no_nul(value: &Value, at: &str) -> Result<(), ApiError> {
    let refuse = || {
        Err(usage(format!(
            "{} holds the character U+0000",
            if at.is_empty() { "the request" } else { at }
        )))
    };
    match value {
        Value::String(text) if text.contains('\0') => refuse(),
        Value::Array(items) => items.iter().try_for_each(|item| no_nul(item, at)),
        Value::Object(members) => members.iter().try_for_each(|(name, value)| {
            if name.contains('\0') {
                return refuse();
            }
            no_nul(value, if at.is_empty() { name } else { at })
        }),
        _ => Ok(()),
    }
}
