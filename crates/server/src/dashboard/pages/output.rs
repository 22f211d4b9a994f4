//! An output of a run as a file: `GET /runs/{run}/output?path=PATH`, with `hash` where several steps wrote it.
//!
//! The bytes come from a job, so a browser is told to keep them and never to show them: a page among them would
//! be a page of this server.

use axum::body::Body;
use axum::extract::Path;
use axum::response::{IntoResponse as _, Response};
use futures::{StreamExt as _, TryStreamExt as _};
use http::header;
use moorline_api::{ApiError, ControlPlane as _, Operation, OutputRequest};

use crate::dashboard::fault::Fault;
use crate::dashboard::fields::{Fields, encoded};
use crate::dashboard::viewer::Viewer;

/// Where an output of a run is to be had.
pub(super) fn href(run: &str, path: &str, hash: &str) -> String {
    format!(
        "/runs/{run}/output?path={}&hash={}",
        encoded(path),
        encoded(hash)
    )
}

/// The file.
pub(super) async fn download(
    viewer: Viewer,
    Path(run): Path<String>,
    fields: Fields,
) -> Result<Response, Fault> {
    viewer.permit(Operation::RunOutput)?;
    let request = OutputRequest {
        run,
        path: fields.need("path")?.to_owned(),
        hash: fields.parse("hash")?,
    };
    let mut pieces = viewer.engine().run_output(request);
    let Some(first) = pieces.try_next().await? else {
        return Err(Fault::not_found("the output has no content"));
    };
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, first.size.to_string()),
        (header::CONTENT_DISPOSITION, attachment(&first.path)),
    ];
    let pieces = futures::stream::iter([Ok(first)]).chain(pieces);
    let bytes = pieces.map(|piece: Result<_, ApiError>| piece?.bytes());
    Ok((headers, Body::from_stream(bytes)).into_response())
}

/// `Content-Disposition` with the last part of a path as the name (RFC 6266): once in characters that every
/// browser takes, once in full (RFC 8187).
fn attachment(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let ascii: String = name
        .chars()
        .map(|c| if plain(c) { c } else { '_' })
        .collect();
    format!(
        "attachment; filename=\"{ascii}\"; filename*=UTF-8''{}",
        encoded(name)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_not_leave_its_header() {
        assert_eq!(
            attachment("a/report.md"),
            "attachment; filename=\"report.md\"; filename*=UTF-8''report%2Emd"
        );
        assert_eq!(
            attachment("a\"b;c ü.html"),
            "attachment; filename=\"a_b_c__.html\"; filename*=UTF-8''a%22b%3Bc%20%C3%BC%2Ehtml"
        );
    }
}
