//! Events: what happened, newest first, and as it happens.

use askama::Template;
use axum::response::Response;
use moorline_api::{ControlPlane as _, EventsRequest, Operation};
use moorline_core::event::{Event, EventKind, Level};
use serde_json::Value;

use super::html;
use super::runs::Choice;
use crate::dashboard::chrome::{Area, Chrome};
use crate::dashboard::fault::Fault;
use crate::dashboard::fields::Fields;
use crate::dashboard::parts::id::shortened;
use crate::dashboard::parts::tree::inline;
use crate::dashboard::parts::{Badge, Id, Moment};
use crate::dashboard::viewer::Viewer;

/// Events that stand on the page.
const SHOWN: u32 = 100;
/// Bytes of a word that are told; longer ones are ids and hashes.
const LONGEST: usize = 32;
/// Members of an event's data that are told in a line.
const TOLD: usize = 6;

/// An event in a list.
pub(super) struct EventLine {
    pub(super) id: u64,
    pub(super) at: Moment,
    pub(super) level: Badge,
    pub(super) kind: String,
    pub(super) run: Option<Id>,
    pub(super) job: Option<String>,
    pub(super) says: String,
}

impl EventLine {
    /// An event, as the viewer sees it.
    pub(super) fn of(viewer: &Viewer, event: Event) -> Self {
        Self {
            id: event.id,
            at: viewer.moment(event.at),
            level: event.level.into(),
            kind: event.kind.into(),
            run: event.run_id.map(|run| Id::below("/runs", run)),
            job: event.job_id,
            says: in_a_line(&event.data),
        }
    }
}

/// The scalars of a document in one line: `step load · attempt 2`.
fn in_a_line(data: &Value) -> String {
    let Value::Object(members) = data else {
        return inline(data).filter(|_| !data.is_null()).unwrap_or_default();
    };
    let told: Vec<String> = members
        .iter()
        .filter(|(_, value)| !value.is_null())
        .filter_map(|(key, value)| {
            let value = inline(value)?;
            // Ids and hashes are told by their ends; the command line and the API have them whole.
            let long = value.len() > LONGEST && !value.contains([' ', '/']);
            let value = if long { shortened(&value) } else { value };
            Some(format!("{} {value}", key.replace('_', " ")))
        })
        .take(TOLD)
        .collect();
    told.join(" · ")
}

#[derive(Template)]
#[template(path = "events.html")]
struct Page {
    chrome: Chrome,
    events: Vec<EventLine>,
    kinds: Vec<Choice>,
    levels: Vec<Choice>,
    run: String,
    job: String,
    filtered: bool,
}

/// The page.
pub(super) async fn page(viewer: Viewer, fields: Fields) -> Result<Response, Fault> {
    viewer.permit(Operation::EventList)?;
    let kind = fields.get("kind");
    let level = fields.get("level");
    let request = EventsRequest {
        kinds: EventKind::ALL
            .iter()
            .copied()
            .filter(|known| Some(known.as_str()) == kind)
            .collect(),
        level: match level {
            Some("warn") => Some(Level::Warn),
            Some("error") => Some(Level::Error),
            _ => None,
        },
        run: fields.text("run"),
        job_id: fields.text("job"),
        limit: SHOWN,
        newest: true,
        ..EventsRequest::default()
    };
    let (run, job) = (request.run.clone(), request.job_id.clone());
    let filtered = kind.is_some() || level.is_some() || run.is_some() || job.is_some();
    let events = viewer.engine().event_list(request).await?;
    let page = Page {
        chrome: Chrome::load(&viewer, Area::Events, "Events").await?,
        events: events
            .into_iter()
            .rev()
            .map(|event| EventLine::of(&viewer, event))
            .collect(),
        kinds: Choice::of(EventKind::ALL.iter().map(|kind| kind.as_str()), kind),
        levels: Choice::of(["warn", "error"], level),
        run: run.unwrap_or_default(),
        job: job.unwrap_or_default(),
        filtered,
    };
    html(&page)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_scalars_of_an_event_are_told_in_a_line() {
        let data = json!({"step": "load", "attempt": 2, "nothing": null, "deep": {"a": 1}});
        assert_eq!(in_a_line(&data), "attempt 2 · step load");
        assert_eq!(in_a_line(&Value::Null), "");
    }
}
