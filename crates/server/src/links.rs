//! Links by which one person decides one request, once: `/decide/{token}` (D-FLOW-4).
//!
//! Looking never decides: what reads mail opens links before people do. The link's token stands in the path
//! and permits nothing else. A link that was used up, has expired or was revoked says so; one that never was,
//! is not there.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Form, Path, State};
use axum::middleware::map_response;
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::get;
use http::StatusCode;
use moorline_api::{ApiError, ApprovalDecided};
use moorline_core::approval::{ApprovalRequest, ApprovalStatus, OfferedOption};
use moorline_core::error_code::ErrorCode;
use moorline_core::workflow::FeedbackRule;
use moorline_engine::{LinkChoice, LinkState, LinkView};
use serde_json::{Map, Value};
use tracing::Instrument as _;

use crate::access;
use crate::app::{App, Project};
use crate::dashboard::assets::{PATHS, Paths};
use crate::dashboard::headers;
use crate::problem::Problem;

/// The largest form, in bytes: words of a person.
const FORM: usize = 256 << 10;

/// What the members of a form begin with that go to the option.
const INPUT: &str = "input.";

/// `/decide/{token}`.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/decide/{token}", get(show).post(decide))
        .layer(DefaultBodyLimit::max(FORM))
        .layer(map_response(headers::of_page))
}

#[derive(Template)]
#[template(path = "decide.html")]
struct Page<'a> {
    assets: &'a Paths,
    /// What became of it, or why not.
    said: Option<&'a str>,
    /// Whether that is bad news.
    refused: bool,
    /// The person of the link.
    principal: String,
    request: Option<Shown<'a>>,
    /// What can be chosen; empty where nothing can be any more.
    options: &'a [OfferedOption],
}

/// A request, as people read it.
struct Shown<'a> {
    of: &'a ApprovalRequest,
    context: Vec<(&'a str, String)>,
}

impl<'a> Shown<'a> {
    fn new(of: &'a ApprovalRequest) -> Self {
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => serde_json::to_string_pretty(other).unwrap_or_default(),
        };
        let context = of.context.iter();
        Self {
            of,
            context: context
                .map(|(key, value)| (key.as_str(), text(value)))
                .collect(),
        }
    }

    fn recommends(&self, option: &OfferedOption) -> bool {
        self.of.recommended.as_ref() == Some(&option.name)
    }
}

/// Whether the option wants words.
fn wants_words(option: &OfferedOption) -> bool {
    option.feedback == FeedbackRule::Required
}

async fn show(State(app): State<Arc<App>>, Path(token): Path<String>) -> Response {
    match look(&app, &token).await {
        Ok(view) => answer(&view),
        Err(error) => failed(error),
    }
}

async fn look(app: &App, token: &str) -> Result<LinkView, ApiError> {
    project(app, token)?.engine.link_show(token).await
}

fn project<'a>(app: &'a App, token: &str) -> Result<&'a Arc<Project>, ApiError> {
    access::project(app, token)
}

async fn decide(
    State(app): State<Arc<App>>,
    Path(token): Path<String>,
    Form(form): Form<Vec<(String, String)>>,
) -> Response {
    let deciding = {
        let (app, token, choice) = (Arc::clone(&app), token.clone(), choice(form));
        async move {
            let project = project(&app, &token)?;
            project.engine.link_decide(&token, choice).await
        }
    };
    // Done to its end, whether or not the browser waits; in the span of the request, so that a run is of its trace.
    let deciding = app.tasks.spawn(deciding.in_current_span());
    let decided = deciding.await.unwrap_or_else(|error| {
        Err(ApiError::new(ErrorCode::Internal, "the decision broke").because(error))
    });
    match (decided, look(&app, &token).await) {
        (Ok(decided), _) => done(&decided),
        // What went wrong, beside the request as it stands now.
        (Err(refused), Ok(view)) => {
            let status = StatusCode::from_u16(refused.code.info().http_status);
            let said = match &refused.hint {
                Some(hint) => format!("{}. {hint}", refused.message),
                None => refused.message.clone(),
            };
            let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            view_page(status, &view, Some(&said), true)
        }
        (Err(refused), Err(_)) => failed(refused),
    }
}

/// What a form says: `option`, `feedback`, `version`, and `input.KEY` as JSON or as plain text.
fn choice(form: Vec<(String, String)>) -> LinkChoice {
    let mut choice = LinkChoice::default();
    let mut input = Map::new();
    for (name, text) in form {
        match name.as_str() {
            "option" => choice.option = text,
            "feedback" => choice.feedback = Some(text).filter(|text| !text.trim().is_empty()),
            "version" => choice.version = text.parse().ok(),
            other => {
                if let Some(key) = other.strip_prefix(INPUT)
                    && !text.trim().is_empty()
                {
                    let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
                    input.insert(key.to_owned(), value);
                }
            }
        }
    }
    choice.input = input;
    choice
}

/// How a link stands, in words; none where it decides.
const fn standing(view: &LinkView) -> Option<&'static str> {
    Some(match (view.state, view.request.status) {
        (LinkState::UsedUp, _) => "This link was used: you have decided by it.",
        (LinkState::Revoked, _) => "This link was revoked.",
        (_, ApprovalStatus::Approved | ApprovalStatus::Rejected) => "Somebody has decided already.",
        (_, ApprovalStatus::AutoApproved) => "A rule of the gate has decided already.",
        (_, ApprovalStatus::Withdrawn) => "The run is over: there is nothing to decide any more.",
        (_, ApprovalStatus::Expired) => "The request has expired: nobody decided in time.",
        (LinkState::Expired, _) => "This link has expired.",
        (LinkState::Open, ApprovalStatus::Pending) => return None,
    })
}

fn answer(view: &LinkView) -> Response {
    match standing(view) {
        None => view_page(StatusCode::OK, view, None, false),
        Some(why) => view_page(StatusCode::GONE, view, Some(why), true),
    }
}

fn view_page(status: StatusCode, view: &LinkView, said: Option<&str>, refused: bool) -> Response {
    let page = Page {
        assets: &PATHS,
        said,
        refused,
        principal: view.token.principal.to_string(),
        request: Some(Shown::new(&view.request)),
        options: match standing(view) {
            None => &view.request.options,
            Some(_) => &[],
        },
    };
    rendered(status, &page)
}

fn done(decided: &ApprovalDecided) -> Response {
    let request = &decided.request;
    let said = match &request.decision {
        Some(decision) => format!("Decided: {}. Thank you.", decision.option),
        None => "Decided. Thank you.".to_owned(),
    };
    let by = request.decision.as_ref().map(|by| by.by.to_string());
    let page = Page {
        assets: &PATHS,
        said: Some(&said),
        refused: false,
        principal: by.unwrap_or_default(),
        request: Some(Shown::new(request)),
        options: &[],
    };
    rendered(StatusCode::OK, &page)
}

fn failed(error: ApiError) -> Response {
    // Whether there ever was such a link is nobody's business.
    if error.code != ErrorCode::Unauthenticated {
        return Problem(error).into_response();
    }
    let said = "There is no such link. Look whether it is whole, or ask for another one.";
    let page = Page {
        assets: &PATHS,
        said: Some(said),
        refused: true,
        principal: String::new(),
        request: None,
        options: &[],
    };
    rendered(StatusCode::NOT_FOUND, &page)
}

fn rendered(status: StatusCode, page: &Page<'_>) -> Response {
    match page.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(error) => {
            let message = "the page could not be rendered";
            Problem(ApiError::new(ErrorCode::Internal, message).because(error)).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_form_says_what_is_chosen() {
        let form = [
            ("option", "custom_segment"),
            ("feedback", "  "),
            ("version", "3"),
            ("input.segment", "night owls"),
            ("input.budget", "12.5"),
            ("input.nothing", ""),
            ("else", "x"),
        ];
        let form = form.map(|(name, text)| (name.to_owned(), text.to_owned()));
        let Value::Object(input) = json!({"segment": "night owls", "budget": 12.5}) else {
            unreachable!("an object")
        };
        let expected = LinkChoice {
            option: "custom_segment".to_owned(),
            feedback: None,
            input,
            version: Some(3),
        };
        assert_eq!(choice(form.to_vec()), expected);
    }
}
