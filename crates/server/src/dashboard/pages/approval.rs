//! A request for a decision: what the person has to know, what can be chosen, and what follows.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use moorline_api::{
    ApprovalDecideRequest, ApprovalListRequest, ApprovalOperations as _, ApprovalShowRequest,
    Operation,
};
use moorline_core::approval::{ApprovalRequest, ApprovalStatus, OfferedOption, OptionInput};
use moorline_core::workflow::{ExpiryPolicy, FeedbackRule, Operator, Reading};
use serde_json::{Map, Value};

use super::approvals::ApprovalLine;
use super::{done, html};
use crate::dashboard::chrome::{Area, Chrome};
use crate::dashboard::fault::Fault;
use crate::dashboard::fields::Fields;
use crate::dashboard::parts::tree::inline;
use crate::dashboard::parts::{Badge, Countdown, Id, Moment, Tone, Tree};
use crate::dashboard::viewer::Viewer;

/// Evidence with the threshold that it is held against.
struct EvidenceLine {
    what: String,
    found: String,
    threshold: String,
    holds: Badge,
}

/// An option with its form.
struct OptionForm {
    name: String,
    label: String,
    description: Option<String>,
    to: String,
    iterate: bool,
    pivot: bool,
    rejects: bool,
    recommended: bool,
    inputs: Vec<OptionInput>,
    words_needed: bool,
    /// The same decision sent twice is one: this is what it is called.
    key: String,
}

#[derive(Template)]
#[template(path = "approval.html")]
struct Page {
    chrome: Chrome,
    request: ApprovalRequest,
    id: Id,
    run: Id,
    status: Badge,
    opened: Moment,
    expires: Countdown,
    pending: bool,
    on_expiry: &'static str,
    context: Tree,
    evidence: Vec<EvidenceLine>,
    options: Vec<OptionForm>,
    may_decide: bool,
    /// Why the viewer may not, where they may not.
    why_not: String,
    decision: Option<ApprovalLine>,
    history: Vec<ApprovalLine>,
}

/// The page.
pub(super) async fn page(viewer: Viewer, Path(approval): Path<String>) -> Result<Response, Fault> {
    viewer.permit(Operation::ApprovalShow)?;
    let engine = viewer.engine();
    let request = engine
        .approval_show(ApprovalShowRequest { approval })
        .await?;
    let history = if viewer.may(Operation::ApprovalList) {
        let of_run = ApprovalListRequest {
            run: Some(request.run_id.to_string()),
            limit: 100,
            ..ApprovalListRequest::default()
        };
        let mut all = engine.approval_list(of_run).await?;
        all.retain(|other| other.id != request.id);
        all
    } else {
        Vec::new()
    };
    let title = request.title.clone();
    let chrome = Chrome::load(&viewer, Area::Approvals, title).await?;
    html(&of(&viewer, chrome, request, history))
}

fn of(
    viewer: &Viewer,
    chrome: Chrome,
    request: ApprovalRequest,
    history: Vec<ApprovalRequest>,
) -> Page {
    let pending = request.status == ApprovalStatus::Pending;
    let why_not = why_not(viewer, &request);
    let who = viewer.actor();
    Page {
        chrome,
        id: Id::plain(request.id),
        run: Id::below("/runs", request.run_id),
        status: request.status.into(),
        opened: viewer.moment(request.opened_at),
        expires: viewer.countdown(request.expires_at),
        pending,
        on_expiry: match request.on_expiry {
            ExpiryPolicy::Fail => "the run fails",
            ExpiryPolicy::Hold => "the run goes on waiting, and people are told that it is overdue",
            ExpiryPolicy::AutoReject => "the run is rejected",
        },
        context: Tree::of(&request.context),
        evidence: request.evidence.iter().map(evidence).collect(),
        options: request
            .options
            .iter()
            .map(|option| OptionForm {
                key: format!(
                    "page:{}:{}:{who}:{}",
                    request.id, request.version, option.name
                ),
                recommended: request.recommended.as_ref() == Some(&option.name),
                ..OptionForm::from(option)
            })
            .collect(),
        may_decide: pending && why_not.is_empty(),
        why_not,
        decision: ApprovalLine::all(viewer, vec![request.clone()])
            .pop()
            .filter(|line| line.decision.is_some()),
        history: ApprovalLine::all(viewer, history),
        request,
    }
}

fn why_not(viewer: &Viewer, request: &ApprovalRequest) -> String {
    if let Err(Fault::Refused(error)) = viewer.permit(Operation::ApprovalDecide) {
        return error.message;
    }
    if viewer.rank() < request.least_role {
        return format!(
            "the gate asks for the role {}; you are {}",
            request.least_role,
            viewer.role()
        );
    }
    if request.not_by.as_ref() == Some(&viewer.actor()) {
        return "you started the run, and the gate asks for a second person".to_owned();
    }
    String::new()
}

impl From<&OfferedOption> for OptionForm {
    fn from(option: &OfferedOption) -> Self {
        Self {
            name: option.name.clone(),
            label: option.label.clone(),
            description: option.description.clone(),
            rejects: option.to == moorline_core::workflow::REJECT,
            to: option.to.clone(),
            iterate: option.iterate,
            pivot: option.pivot,
            recommended: false,
            inputs: option.inputs.clone(),
            words_needed: option.feedback == FeedbackRule::Required,
            key: String::new(),
        }
    }
}

fn evidence(reading: &Reading) -> EvidenceLine {
    let sign = match reading.condition.is {
        Operator::LessThan => "<",
        Operator::AtMost => "≤",
        Operator::MoreThan => ">",
        Operator::AtLeast => "≥",
        Operator::Equal => "=",
        Operator::NotEqual => "≠",
    };
    let shown = |value: &Value| inline(value).unwrap_or_else(|| value.to_string());
    EvidenceLine {
        what: reading
            .condition
            .evidence
            .trim_start_matches('/')
            .replace('/', " › ")
            .replace('_', " "),
        found: reading
            .found
            .as_ref()
            .map_or_else(|| "not there".to_owned(), shown),
        threshold: format!("{sign} {}", shown(&reading.condition.value)),
        holds: match reading.holds {
            Some(true) => Badge::new(Tone::Good, "holds"),
            Some(false) => Badge::new(Tone::Bad, "does not hold"),
            None => Badge::new(Tone::Warn, "missing"),
        },
    }
}

/// What somebody typed for an input: JSON where it is a number, a truth value, a list or an object, else text.
fn typed(text: &str) -> Value {
    match serde_json::from_str::<Value>(text) {
        Ok(value @ (Value::Number(_) | Value::Bool(_) | Value::Array(_) | Value::Object(_))) => {
            value
        }
        _ => Value::String(text.to_owned()),
    }
}

/// Decides.
pub(super) async fn decide(
    viewer: Viewer,
    Path(approval): Path<String>,
    fields: Fields,
) -> Result<Response, Fault> {
    let subject = format!("approval/{approval}");
    viewer.admit(Operation::ApprovalDecide, &subject).await?;
    let input: Map<String, Value> = fields
        .with_prefix("input.")
        .filter(|(_, text)| !text.trim().is_empty())
        .map(|(key, text)| (key.to_owned(), typed(text.trim())))
        .collect();
    let request = ApprovalDecideRequest {
        approval: Some(approval.clone()),
        option: fields.need("option")?.to_owned(),
        feedback: fields.text("feedback"),
        input,
        version: fields.parse("version")?,
        idempotency_key: fields.text("key"),
        actor: viewer.actor(),
        ..ApprovalDecideRequest::default()
    };
    let decided = viewer.engine().approval_decide(request).await?;
    let word = if decided.applied {
        "decided"
    } else {
        "decided-before"
    };
    Ok(done(&format!("/approvals/{}", decided.request.id), word))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_typed_is_json_only_where_it_is_more_than_text() {
        for (text, value) in [
            ("12.5", json!(12.5)),
            ("true", json!(true)),
            ("[1, 2]", json!([1, 2])),
            ("null", json!("null")),
            ("young families", json!("young families")),
            ("\"quoted\"", json!("\"quoted\"")),
        ] {
            assert_eq!(typed(text), value);
        }
    }

    #[test]
    fn evidence_is_shown_with_its_threshold_and_missing_evidence_as_missing() {
        let reading = |found, holds| -> EvidenceLine {
            evidence(
                &serde_json::from_value::<Reading>(json!({
                    "condition": {"evidence": "/desire/problem_fit", "is": "at_least", "value": 0.75},
                    "found": found, "holds": holds,
                }))
                .unwrap(),
            )
        };
        let line = reading(json!(0), json!(false));
        assert_eq!(
            (
                line.what.as_str(),
                line.found.as_str(),
                line.threshold.as_str()
            ),
            ("desire › problem fit", "0", "≥ 0.75")
        );
        assert_eq!(line.holds.tone, Tone::Bad);
        let line = reading(Value::Null, Value::Null);
        assert_eq!(
            (line.found.as_str(), line.holds.tone),
            ("not there", Tone::Warn)
        );
    }
}
