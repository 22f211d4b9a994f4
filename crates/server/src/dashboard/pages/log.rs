//! The log of a run: the last lines for its page, and the whole as a file.

use axum::body::Body;
use axum::extract::Path;
use axum::response::{IntoResponse as _, Response};
use futures::{StreamExt as _, TryStreamExt as _};
use http::header;
use moorline_api::{ApiError, ControlPlane as _, LogLine, LogsRequest, Operation, RunRequest};

use crate::dashboard::fault::Fault;
use crate::dashboard::viewer::Viewer;

/// Lines that stand on the page of a run; the script and the file have all.
const SHOWN: usize = 400;

/// The end of a log, and how many lines there are before it.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// The last lines, oldest first.
    pub(super) lines: Vec<LogLine>,
    /// Lines before them.
    pub(super) before: usize,
    /// The number of the last line: what comes after it is new.
    pub(super) last: u64,
    /// Why it could not be read.
    pub(super) fault: Option<String>,
}

/// The end of a run's log. What can not be read keeps nobody from the rest of the page.
pub(super) async fn tail(viewer: &Viewer, run: &str) -> Tail {
    read(viewer, run).await.unwrap_or_else(|error| Tail {
        fault: Some(error.to_string()),
        ..Tail::default()
    })
}

async fn read(viewer: &Viewer, run: &str) -> Result<Tail, ApiError> {
    let mut lines = viewer.engine().run_logs(whole(run));
    let mut tail = std::collections::VecDeque::new();
    let mut before = 0;
    while let Some(line) = lines.next().await {
        if tail.len() == SHOWN {
            tail.pop_front();
            before += 1;
        }
        tail.push_back(line?);
    }
    Ok(Tail {
        last: tail.back().map_or(0, |line: &LogLine| line.line),
        before,
        lines: tail.into(),
        fault: None,
    })
}

fn whole(run: &str) -> LogsRequest {
    LogsRequest {
        run: run.to_owned(),
        follow: false,
        step: None,
        after: 0,
    }
}

/// The whole log so far, as a text file.
pub(super) async fn download(viewer: Viewer, Path(run): Path<String>) -> Result<Response, Fault> {
    viewer.permit(Operation::RunLogs)?;
    // A run that is not there is a page that says so, and no file that breaks off.
    let request = RunRequest { run: run.clone() };
    let id = viewer.engine().run_get(request).await?.summary.run_id;
    let lines = viewer.engine().run_logs(whole(&run)).map_ok(|line| {
        let LogLine {
            at,
            step,
            attempt,
            stream,
            text,
            line: _,
        } = line;
        format!("{at} {step}/{attempt} {stream} {text}\n")
    });
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"run-{id}.log\""),
        ),
    ];
    Ok((headers, Body::from_stream(lines)).into_response())
}
