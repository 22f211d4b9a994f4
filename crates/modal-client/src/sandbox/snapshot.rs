//! Snapshots: of the file system, of a directory, of everything in memory.

use std::time::Duration;

use bytes::Bytes;
use moorline_modal_proto::client::sandbox_get_exit_snapshot_response::{ErrorCode, Outcome};
use moorline_modal_proto::client::{
    SandboxGetExitSnapshotRequest, SandboxSnapshotRequest, SandboxSnapshotWaitRequest,
};
use moorline_modal_proto::router::{
    TaskMountDirectoryRequest, TaskSnapshotDirectoryRequest, TaskSnapshotFilesystemRequest,
    TaskSnapshotMemoryRequest, TaskUnmountDirectoryRequest,
};

use super::definition::{invalid, seconds};
use super::{Api, Sandbox, rpc};
use crate::router::command_router;
use crate::transport::{instant, random_uuid};
use crate::wire::{self, failure};
use crate::{CallOptions, Error, ErrorKind, Result};

command_router! {
    MOUNT_DIRECTORY = TaskMountDirectory(TaskMountDirectoryRequest) -> Empty, Read;
    SNAPSHOT_DIRECTORY = TaskSnapshotDirectory(TaskSnapshotDirectoryRequest)
        -> TaskSnapshotDirectoryResponse, Read;
    SNAPSHOT_FILESYSTEM = TaskSnapshotFilesystem(TaskSnapshotFilesystemRequest)
        -> TaskSnapshotFilesystemResponse, Read;
    SNAPSHOT_MEMORY = TaskSnapshotMemory(TaskSnapshotMemoryRequest) -> TaskSnapshotMemoryResponse, Read;
    UNMOUNT_DIRECTORY = TaskUnmountDirectory(TaskUnmountDirectoryRequest) -> Empty, Read;
}

/// How long the server holds a question.
const HOLD: Duration = Duration::from_secs(10);

/// What an answer may take beyond the hold.
const MARGIN: Duration = Duration::from_secs(5);

/// "No end" on the wire.
const NO_EXPIRY: i64 = -1;

/// How long a memory snapshot may take.
const MEMORY_TIMEOUT: Duration = Duration::from_mins(5);

impl Sandbox {
    /// Makes an image of its file system as it is now, and returns its id (`im-…`). It is kept for `keep`,
    /// or until it is deleted. A repeated attempt makes no second image.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] if it is not done within `timeout`.
    pub async fn snapshot_filesystem(
        &self,
        keep: Option<Duration>,
        timeout: Duration,
    ) -> Result<String> {
        let router = self.router().await?;
        let request = TaskSnapshotFilesystemRequest {
            task_id: router.task_id().to_owned(),
            snapshot_id: random_uuid().to_string(),
            ttl_seconds: Some(ttl(keep)?),
            ..TaskSnapshotFilesystemRequest::default()
        };
        let response = router
            .unary_within(SNAPSHOT_FILESYSTEM, request, timeout)
            .await?;
        wire::required(response.image_id, "image id")
    }

    /// Makes an image of one directory, for [`mount_image`](Self::mount_image), and returns its id.
    ///
    /// # Errors
    /// As [`snapshot_filesystem`](Self::snapshot_filesystem); [`ErrorKind::InvalidArgument`] for a path that
    /// is not absolute.
    pub async fn snapshot_directory(
        &self,
        path: &str,
        keep: Option<Duration>,
        timeout: Duration,
    ) -> Result<String> {
        let path = absolute(path)?;
        let router = self.router().await?;
        let request = TaskSnapshotDirectoryRequest {
            task_id: router.task_id().to_owned(),
            path,
            snapshot_id: random_uuid().to_string(),
            ttl_seconds: Some(ttl(keep)?),
            ..TaskSnapshotDirectoryRequest::default()
        };
        let response = router
            .unary_within(SNAPSHOT_DIRECTORY, request, timeout)
            .await?;
        wire::required(response.image_id, "image id")
    }

    /// Lays an image over a directory; an empty id lays an empty directory there.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such image; [`ErrorKind::InvalidArgument`] for a path that is
    /// not absolute.
    pub async fn mount_image(&self, path: &str, image_id: &str) -> Result<()> {
        let path = absolute(path)?;
        let router = self.router().await?;
        let request = TaskMountDirectoryRequest {
            task_id: router.task_id().to_owned(),
            path,
            image_id: image_id.to_owned(),
            ..TaskMountDirectoryRequest::default()
        };
        router.unary(MOUNT_DIRECTORY, request).await
    }

    /// Takes away what [`mount_image`](Self::mount_image) laid there.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] while it is in use.
    pub async fn unmount_image(&self, path: &str) -> Result<()> {
        let path = absolute(path)?;
        let router = self.router().await?;
        let (task_id, container_id) = (router.task_id().to_owned(), String::new());
        let request = TaskUnmountDirectoryRequest {
            task_id,
            path,
            container_id,
        };
        router.unary(UNMOUNT_DIRECTORY, request).await
    }

    /// Keeps everything that runs in it, for [`restore`](super::Sandboxes::restore), and returns the id of
    /// the snapshot. The sandbox must have been made with
    /// [`memory_snapshots`](super::SandboxSpec::memory_snapshots).
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] after 5 minutes.
    pub async fn snapshot_memory(&self) -> Result<String> {
        if self.api() == Api::V1 {
            return self.snapshot_memory_v1().await;
        }
        let router = self.router().await?;
        let request = TaskSnapshotMemoryRequest {
            task_id: router.task_id().to_owned(),
            idempotency_key: random_uuid().to_string(),
        };
        let response = router
            .unary_within(SNAPSHOT_MEMORY, request, MEMORY_TIMEOUT)
            .await?;
        wire::required(response.snapshot_id, "snapshot id")
    }

    async fn snapshot_memory_v1(&self) -> Result<String> {
        self.task_id().await?;
        let request = SandboxSnapshotRequest {
            sandbox_id: self.id().to_owned(),
        };
        let snapshot_id = self
            .client()
            .unary(rpc::SNAPSHOT, request)
            .await?
            .snapshot_id;
        let request = SandboxSnapshotWaitRequest {
            snapshot_id: snapshot_id.clone(),
            timeout: 55.0,
        };
        let options = CallOptions::new().total_timeout(MEMORY_TIMEOUT);
        let response = self
            .client()
            .call(rpc::SNAPSHOT_WAIT, request, &options)
            .await?;
        match failure(&response.result.unwrap_or_default()) {
            None => Ok(snapshot_id),
            Some(error) => Err(error.context("the memory snapshot")),
        }
    }

    /// The image of the file system that the server made when the sandbox ended; waits for it.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there will be none; [`ErrorKind::Timeout`] if it is not there within
    /// `timeout`.
    pub async fn exit_snapshot(&self, timeout: Option<Duration>) -> Result<String> {
        let began = instant();
        loop {
            let left = timeout.map_or(HOLD, |timeout| timeout.saturating_sub(began.elapsed()));
            let hold = left.min(HOLD);
            let request = SandboxGetExitSnapshotRequest {
                sandbox_id: self.id().to_owned(),
                timeout: hold.as_secs_f32(),
            };
            let options = CallOptions::new().attempt_timeout(hold + MARGIN);
            let response = self
                .call_with(rpc::EXIT_SNAPSHOT, rpc::EXIT_SNAPSHOT_V2, request, options)
                .await?;
            if let Some(image_id) = exit_image(response.outcome)? {
                return Ok(image_id);
            }
            if timeout.is_some_and(|timeout| began.elapsed() >= timeout) {
                let message = format!("no exit snapshot of sandbox {} in time", self.id());
                return Err(Error::new(ErrorKind::Timeout, message));
            }
            // A server that does not hold would be asked in a busy loop.
            tokio::time::sleep(MARGIN / 50).await;
        }
    }
}

/// The image, `None` while there is none yet.
fn exit_image(outcome: Option<Outcome>) -> Result<Option<String>> {
    let said = |message: String, otherwise: &str| match message.as_str() {
        "" => otherwise.to_owned(),
        _ => message,
    };
    match outcome {
        Some(Outcome::Success(success)) => wire::required(success.image_id, "image id").map(Some),
        Some(Outcome::Pending(_)) => Ok(None),
        Some(Outcome::Error(error)) => {
            let kind = match error.error_code() {
                ErrorCode::Timeout | ErrorCode::FilesystemInconsistent => ErrorKind::NotFound,
                ErrorCode::Unspecified | ErrorCode::Internal => ErrorKind::Internal,
            };
            Err(Error::new(
                kind,
                said(error.message, "there will be no exit snapshot"),
            ))
        }
        None => Err(Error::new(ErrorKind::Protocol, "the answer has no outcome")),
    }
}

fn ttl(keep: Option<Duration>) -> Result<i64> {
    match keep {
        None => Ok(NO_EXPIRY),
        Some(keep) if keep.is_zero() => Err(invalid("a snapshot is kept for a second at least")),
        Some(keep) => Ok(seconds(keep).into()),
    }
}

fn absolute(path: &str) -> Result<Bytes> {
    if path.starts_with('/') {
        return Ok(Bytes::copy_from_slice(path.as_bytes()));
    }
    Err(invalid(format!(
        "`{path}` is not an absolute path in the sandbox"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use moorline_modal_proto::client::sandbox_get_exit_snapshot_response as message;

    #[test]
    fn a_snapshot_is_kept_for_ever_or_for_whole_seconds() {
        assert_eq!(ttl(None).unwrap(), -1);
        assert_eq!(ttl(Some(Duration::from_millis(1200))).unwrap(), 2);
        assert!(ttl(Some(Duration::ZERO)).is_err());
    }

    #[test]
    fn every_answer_about_an_exit_snapshot_is_told_apart() {
        let success = message::Success {
            image_id: "im-1".into(),
        };
        assert_eq!(
            exit_image(Some(Outcome::Success(success)))
                .unwrap()
                .as_deref(),
            Some("im-1")
        );
        assert_eq!(
            exit_image(Some(Outcome::Pending(message::Pending {}))).unwrap(),
            None
        );
        let kind = |code: ErrorCode| {
            let error = message::Error {
                error_code: code.into(),
                message: String::new(),
            };
            exit_image(Some(Outcome::Error(error))).unwrap_err().kind()
        };
        assert_eq!(kind(ErrorCode::Timeout), ErrorKind::NotFound);
        assert_eq!(kind(ErrorCode::FilesystemInconsistent), ErrorKind::NotFound);
        assert_eq!(kind(ErrorCode::Internal), ErrorKind::Internal);
        assert_eq!(exit_image(None).unwrap_err().kind(), ErrorKind::Protocol);
    }
}
