//! `moorline work`

use std::io::IsTerminal as _;

use futures::StreamExt as _;
use moorline_api::{ApiError, ControlPlane as _, EventsRequest};
use moorline_core::error_code::ErrorCode;
use moorline_core::event::{Event, EventKind};
use moorline_engine::{Engine, Until, WorkReport};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::args::WorkArgs;
use crate::context::Context;
use crate::output;

/// What is told on a terminal.
const TOLD: [EventKind; 6] = [
    EventKind::ScheduleFired,
    EventKind::ScheduleSkipped,
    EventKind::ScheduleChanged,
    EventKind::RunStarted,
    EventKind::RunEnded,
    EventKind::AlertRaised,
];

pub(super) fn run(context: &Context<'_>, args: &WorkArgs) -> Result<u8, ApiError> {
    let until = match (args.once, args.until_idle) {
        (true, _) => Until::Once,
        (false, true) => Until::Idle,
        (false, false) => Until::Told,
    };
    let report = context.with_engine(|engine| async move {
        let mut signals = Signals::listen()?;
        let worked = {
            let work = engine.work(until, async {
                signals.next().await;
                output::note("finishing what runs; once more leaves it to the next worker");
            });
            tokio::select! {
                report = work => report?,
                () = tell(context, &engine, until) => WorkReport::default(),
            }
        };
        tokio::select! {
            () = engine.drain() => {}
            () = signals.next() => {}
        }
        Ok(worked)
    })?;
    if context.json() {
        output::json(&report);
    } else if until != Until::Told {
        output::line(&format!(
            "{} started, {} taken up, {} skipped",
            report.started.len(),
            report.taken_up.len(),
            report.skipped
        ));
    }
    Ok(0)
}

/// The signals that end a worker.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> Result<Self, ApiError> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                ApiError::new(ErrorCode::Internal, "can not listen for signals").because(error)
            })
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Tells on a terminal what happens; never ends.
async fn tell(context: &Context<'_>, engine: &Engine, until: Until) {
    if !context.json() && std::io::stderr().is_terminal() {
        if until == Until::Told {
            output::note("working; interrupt to end");
        }
        let newest = EventsRequest {
            newest: true,
            limit: 1,
            ..EventsRequest::default()
        };
        let after = match engine.event_list(newest).await {
            Ok(events) => events.last().map_or(0, |event| event.id),
            Err(_) => 0,
        };
        let mut events = engine.event_watch(EventsRequest {
            after,
            kinds: TOLD.to_vec(),
            ..EventsRequest::default()
        });
        while let Some(Ok(event)) = events.next().await {
            output::note(&line(&event));
        }
    }
    std::future::pending::<()>().await;
}

fn line(event: &Event) -> String {
    let text = |name: &str| event.data.get(name).and_then(serde_json::Value::as_str);
    let what = text("schedule")
        .map(str::to_owned)
        .or_else(|| event.run_id.map(|run| run.to_string()))
        .unwrap_or_default();
    let more: Vec<&str> = ["to", "cause", "status", "reason", "title"]
        .into_iter()
        .filter_map(text)
        .collect();
    format!(
        "{} {} {what} {}",
        event.at,
        event.kind.as_str(),
        more.join(" ")
    )
    .trim_end()
    .to_owned()
}
