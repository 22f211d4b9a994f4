//! `GET /v1/artifacts/{artifact}/content`: what `artifact export` writes, as a tar archive.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use http::{HeaderValue, header};
use moorline_api::{ApiError, ArtifactOperations as _, ExportRequest, Operation};
use moorline_core::error_code::ErrorCode;
use serde::Deserialize;
use tempfile::TempDir;
use tokio_util::io::ReaderStream;

use super::Place;
use crate::access::Caller;
use crate::app::App;
use crate::problem::Problem;

/// What is in the query.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Which {
    /// The lane that a `live:JOB` reference is about.
    lane: Option<String>,
}

pub(super) async fn content(
    State(_app): State<Arc<App>>,
    caller: Caller,
    Path(artifact): Path<String>,
    which: Result<Query<Which>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    caller.permit(Operation::ArtifactExport)?;
    let Query(which) = which.map_err(|error| ApiError::new(ErrorCode::Usage, error.body_text()))?;
    let place = Place::of(&caller.project.engine);
    place.create()?;
    let staging = tempfile::Builder::new()
        .prefix(".export-")
        .tempdir_in(place.root())
        .map_err(|error| failed(&error))?;
    let out = staging.path().join("export");
    let request = ExportRequest {
        artifact,
        out: out.clone(),
        lane: which.lane,
    };
    caller.project.engine.artifact_export(request).await?;
    let packing = tokio::task::spawn_blocking(move || pack(&staging, out));
    let packed = packing
        .await
        .map_err(|error| ApiError::new(ErrorCode::Internal, "packing broke off").because(error))?;
    let packed = packed.map_err(|error| failed(&error))?;
    let stream = ReaderStream::new(tokio::fs::File::from_std(packed));
    let mut response = Response::new(Body::from_stream(stream));
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("application/x-tar");
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Packs a directory into a file without a name, and removes the directory.
fn pack(staging: &TempDir, dir: PathBuf) -> io::Result<File> {
    let mut packed = tar::Builder::new(tempfile::tempfile_in(staging.path())?);
    packed.follow_symlinks(false);
    packed.mode(tar::HeaderMode::Deterministic);
    packed.append_dir_all("", dir)?;
    let mut file = packed.into_inner()?;
    io::Seek::rewind(&mut file)?;
    Ok(file)
}

fn failed(error: &io::Error) -> ApiError {
    let message = format!("the artifact can not be packed: {error}");
    ApiError::new(ErrorCode::Store, message)
}
