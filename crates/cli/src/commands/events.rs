//! `moorline events …`

use futures::StreamExt as _;
use moorline_api::{ApiError, EventsRequest};
use moorline_core::error_code::ErrorCode;
use moorline_core::event::{Event, EventKind, Level};

use crate::args::{EventFilterArgs, EventsCommand};
use crate::context::Context;
use crate::output;

pub(super) fn run(context: &Context<'_>, command: EventsCommand) -> Result<u8, ApiError> {
    match command {
        EventsCommand::List { filter, limit } => {
            let mut request = request(&filter)?;
            request.limit = limit;
            // Without a cursor, people want to see what happened last.
            request.newest = filter.after.is_none();
            let events =
                context.with_plane(|plane| async move { plane.event_list(request).await })?;
            if context.json() {
                output::json(&events);
            } else {
                for event in &events {
                    output::line(&text(event));
                }
            }
        }
        EventsCommand::Watch { filter, count } => {
            let mut request = request(&filter)?;
            request.limit = 1_000;
            let json = context.json();
            let from_now = filter.after.is_none();
            context.with_plane(|plane| async move {
                if from_now {
                    let newest = EventsRequest {
                        newest: true,
                        limit: 1,
                        ..EventsRequest::default()
                    };
                    request.after = plane
                        .event_list(newest)
                        .await?
                        .last()
                        .map_or(0, |event| event.id);
                }
                let mut events = plane.event_watch(request);
                let mut left = count;
                while left != Some(0) {
                    let event = tokio::select! {
                        event = events.next() => event,
                        _ = tokio::signal::ctrl_c() => break,
                    };
                    let Some(event) = event else { break };
                    let event = event?;
                    if json {
                        output::json_line(&event);
                    } else {
                        output::line(&text(&event));
                    }
                    left = left.map(|n| n - 1);
                }
                Ok(())
            })?;
        }
    }
    Ok(0)
}

fn request(filter: &EventFilterArgs) -> Result<EventsRequest, ApiError> {
    let kinds = filter
        .kinds
        .iter()
        .map(|kind| kind.parse::<EventKind>())
        .collect::<Result<_, _>>();
    let kinds = kinds.map_err(|error| {
        let known: Vec<&str> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
        ApiError::new(ErrorCode::Usage, error.to_string())
            .hint(format!("kinds are {}", known.join(", ")))
    })?;
    let level = match filter.level.as_deref() {
        None => None,
        Some("info") => Some(Level::Info),
        Some("warn") => Some(Level::Warn),
        Some("error") => Some(Level::Error),
        Some(other) => {
            let message = format!("`{other}` is not a level");
            return Err(
                ApiError::new(ErrorCode::Usage, message).hint("levels are info, warn and error")
            );
        }
    };
    Ok(EventsRequest {
        after: filter.after.unwrap_or(0),
        kinds,
        level,
        run: filter.run.clone(),
        job_id: filter.job.clone(),
        limit: 0,
        newest: false,
    })
}

fn text(event: &Event) -> String {
    let run = event.run_id.map(|run| run.to_string()).unwrap_or_default();
    let at = event.at.strftime("%Y-%m-%d %H:%M:%S%.3fZ");
    format!(
        "{:>6} {at} {:<20} {run} {}",
        event.id,
        event.kind.as_str(),
        event.data
    )
}
