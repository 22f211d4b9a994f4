//! Whether the Modal that an attempt ran at is still there: an emulator's world ends with it.

use std::io;

use moorline_core::attempt::{Exit, Handle, Outcome};
use moorline_core::clock::{Clock as _, SystemClock};
use moorline_modal_client::ServerUrl;
use tokio::net::TcpStream;

use super::archive::Archives;
use super::handle;
use super::outcome::{SandboxEnd, without_record};
use crate::executor::ExecutorError;
use crate::supervise::guest::GuestRecord;

/// The outcome of an attempt that ran at a Modal other than the configured one: lost, for good, where that
/// was an emulator of this machine and nobody answers there any more.
///
/// # Errors
/// When the other Modal is there: then it has to be asked, and is not asked with the credentials of this one.
pub(super) async fn elsewhere(
    archives: &Archives,
    handle: &Handle,
) -> Result<Outcome, ExecutorError> {
    let place = handle::place(handle)?;
    if !is_gone(&place.server).await {
        let what = format!(
            "attempt {} runs at {}, which is not the Modal that is configured: set MODAL_SERVER_URL to it",
            handle.attempt_id, place.server
        );
        return Err(ExecutorError::io(what, io::ErrorKind::Unsupported.into()));
    }
    let mut outcome = without_record(&SandboxEnd::Terminated, false, SystemClock.now());
    let reason = format!("the emulator at {} that it ran in is gone", place.server);
    outcome.exit = Exit::Lost { reason };
    let record = GuestRecord {
        outcome,
        outputs: Ok(Vec::new()),
    };
    archives
        .fill(handle.attempt_id)?
        .finish(&place.owner, handle, &record)?;
    let kept = archives.record(handle.attempt_id)?;
    Ok(kept.unwrap_or(record).outcome)
}

/// Whether an address is of this machine and nobody listens there.
async fn is_gone(server: &str) -> bool {
    let Ok(url) = ServerUrl::parse(server) else {
        return false;
    };
    if !url.is_local() {
        return false;
    }
    let connected = TcpStream::connect((url.host(), url.port())).await;
    connected.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_an_address_of_this_machine_where_nobody_listens_is_gone() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        assert!(!is_gone(&url).await, "somebody listens");
        drop(listener);
        assert!(is_gone(&url).await);
        assert!(
            !is_gone("https://api.modal.com").await,
            "it may be out of reach for a while"
        );
        assert!(!is_gone("what").await);
    }
}
