//! How documents are written, and how clients ask for them.

use jiff::Timestamp;
use moorline_core::event::{EventKind, Level};

use super::*;

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, HeaderValue::from_static(value));
    }
    headers
}

fn event() -> Event {
    Event {
        id: 17,
        at: Timestamp::UNIX_EPOCH,
        kind: EventKind::RunEnded.into(),
        level: Level::Warn,
        run_id: None,
        job_id: Some("load".to_owned()),
        data: json!({"reason": "two\nlines"}),
    }
}

fn written_as(form: Form, next: Option<Result<Event, ApiError>>) -> (String, bool) {
    let mut out = BytesMut::new();
    let last = collect(form, next, &mut out).is_some();
    (String::from_utf8(out.to_vec()).unwrap(), last)
}

#[test]
fn events_are_for_those_who_accept_them() {
    for (accept, form) in [
        (&[][..], Form::Lines),
        (&[("accept", "*/*")], Form::Lines),
        (&[("accept", "application/x-ndjson")], Form::Lines),
        (&[("accept", "text/event-stream")], Form::Events),
        (
            &[("accept", "application/json;q=0.1, Text/Event-Stream;q=1")],
            Form::Events,
        ),
        (
            &[("accept", "text/html"), ("accept", "text/event-stream")],
            Form::Events,
        ),
    ] {
        assert_eq!(Form::of(&headers(accept)), form, "{accept:?}");
    }
}

#[test]
fn the_last_event_is_named_by_its_number() {
    let last = |value| last_event_id(&headers(&[("last-event-id", value)]));
    assert_eq!(last("17").unwrap(), Some(17));
    assert_eq!(last("").unwrap(), None);
    assert_eq!(last_event_id(&HeaderMap::new()).unwrap(), None);
    for wrong in ["-1", "1.5", "seventeen", "99999999999999999999"] {
        assert_eq!(last(wrong).unwrap_err().code, ErrorCode::Usage, "{wrong}");
    }
}

#[test]
fn a_document_is_one_line_in_either_form() {
    let json = serde_json::to_string(&event()).unwrap();
    assert_eq!(
        written_as(Form::Lines, Some(Ok(event()))),
        (format!("{json}\n"), false)
    );
    assert_eq!(
        written_as(Form::Events, Some(Ok(event()))),
        (format!("id: 17\nevent: run.ended\ndata: {json}\n\n"), false)
    );
}

#[test]
fn an_error_in_the_middle_is_the_last_document() {
    let error = || ApiError::new(ErrorCode::Store, "the store does not answer");
    let problem = Problem(error()).document();
    assert_eq!(
        written_as(Form::Lines, Some(Err(error()))),
        (format!("{}\n", json!({"problem": problem})), true)
    );
    assert_eq!(
        written_as(Form::Events, Some(Err(error()))),
        (format!("event: problem\ndata: {problem}\n\n"), true)
    );
}

#[test]
fn browsers_are_told_that_a_stream_is_complete() {
    assert_eq!(written_as(Form::Lines, None), (String::new(), true));
    assert_eq!(
        written_as(Form::Events, None),
        ("event: end\ndata: {}\n\n".to_owned(), true)
    );
}
