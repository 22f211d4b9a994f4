//! `POST /v1/uploads`: a directory as a tar archive, or one file.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, RequestExt as _};
use futures::StreamExt as _;
use http::{StatusCode, header};
use jiff::Timestamp;
use moorline_api::{ApiError, Operation};
use moorline_core::denial::Denial;
use moorline_core::error_code::ErrorCode;
use moorline_engine::Engine;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt as _;
use uuid::Uuid;

use super::{KEPT_FOR, Place, UPLOAD, kept, shared_name, unpack};
use crate::access::Caller;
use crate::app::App;
use crate::problem::Problem;
use crate::request::mebibytes;

/// The media type of a directory.
const TAR: &str = "application/x-tar";
/// The media type of one file.
const FILE: &str = "application/octet-stream";
/// The name of a file that has none.
const UNNAMED: &str = "input";
/// The longest name of a file, in bytes.
const LONGEST_NAME: usize = 255;
/// The largest upload that other machines get, in bytes; a larger one has to be taken where it came to.
const SHARED: u64 = 64 << 20;

/// Operations that take files. Whoever may do none of them has nothing to upload.
const FOR: [Operation; 7] = [
    Operation::RunSubmit,
    Operation::ArtifactSubmit,
    Operation::ArtifactReview,
    Operation::ArtifactVerify,
    Operation::JobCheck,
    Operation::SecretCheck,
    Operation::SecretAudit,
];

/// What is in the query.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Named {
    /// The name of the one file.
    name: Option<String>,
}

/// An upload that was kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Uploaded {
    /// How requests name it: `upload:ID`.
    pub(crate) upload: String,
}

pub(super) async fn receive(
    State(app): State<Arc<App>>,
    caller: Caller,
    mut request: Request,
) -> Result<Response, Problem> {
    let refused = FOR.iter().map(|operation| caller.permit(*operation));
    refused.reduce(Result::or).unwrap_or(Ok(()))?;
    let Query(named) = request
        .extract_parts::<Query<Named>>()
        .await
        .map_err(|error| ApiError::new(ErrorCode::Usage, error.body_text()))?;
    let kind = request.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let file = match kind.split(';').next().unwrap_or_default().trim() {
        TAR => None,
        FILE => Some(file_name(named.name)?),
        _ => return Ok(StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response()),
    };
    let place = Place::of(&caller.project.engine);
    let limit = mebibytes(app.server().upload_limit_mb) as u64;
    let spooled = spool(&place, request.into_body(), limit).await?;
    let id = app.ids.uuid();
    keep(&caller.project.engine, place, id, spooled, file, limit).await?;
    let answer = Uploaded {
        upload: format!("{UPLOAD}{id}"),
    };
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

/// The name of a file, which stands for no path.
fn file_name(name: Option<String>) -> Result<String, ApiError> {
    let name = name.unwrap_or_else(|| UNNAMED.to_owned());
    let wrong = name.is_empty()
        || name.len() > LONGEST_NAME
        || matches!(name.as_str(), "." | "..")
        || name.contains(|c: char| c == '/' || c.is_control());
    if wrong {
        let message = "`name` of the query is not the name of a file";
        let denial = Denial::new(ErrorCode::Usage, "D-AUDIT-2", message);
        return Err(denial
            .hint("give the last part of its path, as `may.ofx`")
            .into());
    }
    Ok(name)
}

/// Writes a body to a file as it comes.
async fn spool(place: &Place, body: Body, limit: u64) -> Result<NamedTempFile, ApiError> {
    place.create()?;
    let spooled = tempfile::Builder::new()
        .prefix(".incoming-")
        .tempfile_in(place.root())
        .map_err(|error| kept(&error))?;
    let file = spooled.reopen().map_err(|error| kept(&error))?;
    let mut file = tokio::fs::File::from_std(file);
    let mut chunks = body.into_data_stream();
    let mut left = limit;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| {
            ApiError::new(ErrorCode::Usage, "the upload broke off").because(error)
        })?;
        left = left.checked_sub(chunk.len() as u64).ok_or_else(|| {
            let message = format!("the upload is larger than {} MiB", limit >> 20);
            ApiError::new(ErrorCode::TooLarge, message)
                .hint("send less, or have `server.upload_limit_mb` raised")
        })?;
        file.write_all(&chunk).await.map_err(|error| kept(&error))?;
    }
    file.flush().await.map_err(|error| kept(&error))?;
    Ok(spooled)
}

/// Keeps what came under an id: here, and where other machines find it.
async fn keep(
    engine: &Engine,
    place: Place,
    id: Uuid,
    spooled: NamedTempFile,
    file: Option<String>,
    limit: u64,
) -> Result<(), ApiError> {
    if engine.store().is_shared() {
        let until = engine.clock().now().checked_add(KEPT_FOR).ok();
        share(engine, id, spooled.path(), file.as_deref(), until).await?;
    }
    let unpacking = tokio::task::spawn_blocking(move || {
        let came = spooled.reopen().map_err(|error| kept(&error))?;
        put(&place, id, came, file.as_deref(), limit)
    });
    unpacking
        .await
        .map_err(|error| ApiError::new(ErrorCode::Internal, "unpacking broke off").because(error))?
}

/// Puts what came where it belongs: whole, or not at all.
fn put(
    place: &Place,
    id: Uuid,
    mut came: File,
    file: Option<&str>,
    limit: u64,
) -> Result<(), ApiError> {
    let staging = tempfile::Builder::new()
        .prefix(".unpacking-")
        .tempdir_in(place.root())
        .map_err(|error| kept(&error))?;
    match file {
        None => unpack::unpack(io::BufReader::new(came), staging.path(), limit)?,
        Some(name) => {
            let mut copy = File::create_new(staging.path().join(name)).map_err(|e| kept(&e))?;
            io::copy(&mut came, &mut copy).map_err(|error| kept(&error))?;
            fs::write(place.marker(id), name).map_err(|error| kept(&error))?;
        }
    }
    fs::rename(staging.keep(), place.dir(id)).map_err(|error| kept(&error))
}

/// What a shared store keeps: the name of the file, or nothing, a zero byte, and what came.
async fn share(
    engine: &Engine,
    id: Uuid,
    came: &Path,
    file: Option<&str>,
    until: Option<Timestamp>,
) -> Result<(), ApiError> {
    let size = fs::metadata(came).map_err(|error| kept(&error))?.len();
    if size > SHARED {
        return Ok(());
    }
    let mut bytes = file.unwrap_or_default().as_bytes().to_vec();
    bytes.push(0);
    bytes.extend(tokio::fs::read(came).await.map_err(|error| kept(&error))?);
    engine
        .store()
        .blob_put(&shared_name(id), bytes, until)
        .await
        .map_err(|error| {
            ApiError::new(ErrorCode::Store, "the upload can not be kept in the store")
                .because(error)
        })
}

/// Brings an upload here that came to another machine; nothing where there is none of that id.
pub(super) async fn fetch(
    engine: &Engine,
    place: Place,
    id: Uuid,
    limit: u64,
) -> Result<(), ApiError> {
    if !engine.store().is_shared() {
        return Ok(());
    }
    let found = engine.store().blob_get(&shared_name(id)).await;
    let found = found.map_err(|error| {
        ApiError::new(ErrorCode::Store, "the upload can not be read").because(error)
    })?;
    let Some(bytes) = found else {
        return Ok(());
    };
    let Some(end) = bytes.iter().position(|byte| *byte == 0) else {
        return Ok(());
    };
    let name = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned();
    let unpacking = tokio::task::spawn_blocking(move || {
        place.create()?;
        let mut came = tempfile::tempfile_in(place.root()).map_err(|error| kept(&error))?;
        let content = bytes.get(end + 1..).unwrap_or_default();
        io::Write::write_all(&mut came, content).map_err(|error| kept(&error))?;
        io::Seek::rewind(&mut came).map_err(|error| kept(&error))?;
        let file = (!name.is_empty()).then_some(name.as_str());
        put(&place, id, came, file, limit).or_else(|error| {
            // Another request brought it at the same time.
            if place.dir(id).is_dir() {
                Ok(())
            } else {
                Err(error)
            }
        })
    });
    unpacking
        .await
        .map_err(|error| ApiError::new(ErrorCode::Internal, "unpacking broke off").because(error))?
}
