//! Files over HTTP: sent as an upload, named as `upload:ID` where a request has a path (D-AUDIT-2).
//!
//! Whoever has a token reads no file of the server: every path that is no upload is refused, but for
//! references (`live:JOB`, `run:RUN`). An upload is of one project, and kept for a day, so that a request that
//! names it can be repeated.
//!
//! | below the state directory of the project | what |
//! |---|---|
//! | `uploads/ID/` | the directory, or the one file under its name |
//! | `uploads/ID.file` | says that it is one file: its name |
//!
//! Where several machines share a store, the upload is kept there too, as it came: the next request may go to
//! another machine. Deliberately absent: what is in it. That is checked by the operation that takes it.

mod content;
mod paths;
mod receive;
mod unpack;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use jiff::{SignedDuration, Timestamp};
use moorline_api::ApiError;
use moorline_core::content_id::ContentId;
use moorline_core::error_code::ErrorCode;
use moorline_engine::Engine;
use tracing::warn;
use uuid::Uuid;

use crate::app::App;

pub(crate) use paths::replace;
pub(crate) use receive::Uploaded;

/// What a reference to an upload begins with.
pub(crate) const UPLOAD: &str = "upload:";
/// How long an upload is kept.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(24);
/// How often uploads are looked through.
const SWEEP: Duration = Duration::from_mins(30);

/// `/v1/uploads`, and what is fetched the other way.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/uploads", post(receive::receive))
        .route("/v1/artifacts/{artifact}/content", get(content::content))
        .layer(DefaultBodyLimit::disable())
}

/// Where the uploads of a project are.
#[derive(Debug, Clone)]
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn of(engine: &Engine) -> Self {
        Self(engine.config().dirs.root().join("uploads"))
    }

    /// Makes it, readable by its owner only.
    fn create(&self) -> Result<(), ApiError> {
        use std::os::unix::fs::DirBuilderExt as _;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)
            .map_err(|error| kept(&error))
    }

    /// The directory itself.
    fn root(&self) -> &Path {
        &self.0
    }

    /// The directory of an upload.
    pub(crate) fn dir(&self, id: Uuid) -> PathBuf {
        self.0.join(id.to_string())
    }

    /// What says that an upload is one file.
    fn marker(&self, id: Uuid) -> PathBuf {
        self.0.join(format!("{id}.file"))
    }

    /// What an upload is on this machine: its directory, or its one file. None where it is not here.
    fn find(&self, id: Uuid) -> Option<PathBuf> {
        let dir = self.dir(id);
        if !dir.is_dir() {
            return None;
        }
        match std::fs::read_to_string(self.marker(id)) {
            Ok(name) => Some(dir.join(name)),
            Err(_) => Some(dir),
        }
    }

    /// Removes what was kept long enough.
    fn sweep(&self, now: Timestamp) {
        let Ok(entries) = std::fs::read_dir(&self.0) else {
            // Nothing was ever uploaded.
            return;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let made = entry.metadata().and_then(|data| data.modified());
            let old = made
                .ok()
                .and_then(|made| Timestamp::try_from(made).ok())
                .is_some_and(|made| now.duration_since(made) > KEPT_FOR);
            if !old {
                continue;
            }
            let removed = if path.is_dir() {
                std::fs::remove_dir_all(&path)
            } else {
                std::fs::remove_file(&path)
            };
            if let Err(error) = removed {
                warn!("can not remove an old upload: {error}");
            }
        }
    }
}

/// The name under which a shared store keeps an upload.
fn shared_name(id: Uuid) -> ContentId {
    ContentId::of_bytes(format!("{UPLOAD}{id}").as_bytes())
}

/// Removes old uploads of all projects from this machine, until the server ends. A shared store keeps its copy
/// with an end of its own, which the engine's retention looks at.
pub(crate) async fn sweep(app: Arc<App>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(SWEEP) => {}
            () = app.closing.cancelled() => return,
        }
        for project in app.projects.values() {
            let (place, now) = (Place::of(&project.engine), app.clock.now());
            let swept = tokio::task::spawn_blocking(move || place.sweep(now)).await;
            if let Err(error) = swept {
                warn!("old uploads were not looked through: {error}");
            }
        }
    }
}

/// What can not be kept here.
fn kept(error: &std::io::Error) -> ApiError {
    ApiError::new(
        ErrorCode::Store,
        format!("the upload can not be kept: {error}"),
    )
}
