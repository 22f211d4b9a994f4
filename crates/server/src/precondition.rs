//! `If-Match` on changes (RFC 9110): the object must be as it was when it was seen.
//!
//! A decision of an approval carries its version into the transaction, so that nothing comes between. Of the
//! others, the `ETag` of what `GET` would answer now is compared first: whoever changes them at the same
//! moment is told apart by the operation itself, which refuses what does not fit the state.

use http::{HeaderMap, header};
use moorline_api::routes::Route;
use moorline_api::{
    ApiError, ApprovalOperations as _, ApprovalShowRequest, ArtifactOperations as _,
    ArtifactRequest, ControlPlane as _, PrincipalOperations as _, PrincipalRequest,
    ScheduleOperations as _, ScheduleRequest, SourceOperations as _, SourceRequest,
};
use moorline_core::error_code::ErrorCode;
use moorline_engine::Engine;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::answer;

/// Checks what a request says of the version that it changes.
///
/// # Errors
/// [`ErrorCode::Precondition`] where the object is another by now, and whatever looking at it gives.
pub(crate) async fn check(
    engine: &Engine,
    route: &Route,
    headers: &HeaderMap,
    members: &mut Map<String, Value>,
) -> Result<(), ApiError> {
    if !headers.contains_key(header::IF_MATCH) {
        return Ok(());
    }
    let now = match route.name {
        "approval_decide" => {
            let seen = engine
                .approval_show(named::<ApprovalShowRequest>(members, "approval")?)
                .await?;
            members
                .entry("version")
                .or_insert_with(|| seen.version.into());
            etag(&seen)?
        }
        "artifact_approve"
        | "artifact_reject"
        | "artifact_request_changes"
        | "artifact_security_review"
        | "artifact_archive"
        | "artifact_promote" => {
            let request = named::<ArtifactRequest>(members, "artifact")?;
            etag(&engine.artifact_show(request).await?)?
        }
        "schedule_enable" | "schedule_resume" | "schedule_run_now" | "schedule_deploy"
        | "schedule_undeploy" => {
            let request = named::<ScheduleRequest>(members, "schedule")?;
            etag(&engine.schedule_show(request).await?)?
        }
        "source_pause" | "source_resume" => {
            let request = named::<SourceRequest>(members, "source_id")?;
            etag(&engine.source_show(request).await?)?
        }
        "principal_set" | "principal_remove" => {
            let request = named::<PrincipalRequest>(members, "principal")?;
            etag(&engine.principal_get(request).await?)?
        }
        "run_cancel" => {
            let request = named::<moorline_api::RunRequest>(members, "run")?;
            etag(&engine.run_get(request).await?)?
        }
        // What has no version has none to be compared with.
        _ => return Ok(()),
    };
    if answer::matches(headers, &header::IF_MATCH, &now) {
        return Ok(());
    }
    let message = "the object changed since it was seen: its `ETag` is another by now";
    Err(ApiError::new(ErrorCode::Precondition, message))
}

fn etag<A: Serialize>(document: &A) -> Result<String, ApiError> {
    Ok(answer::etag(&answer::body(document)?))
}

/// The request that shows what a change is about, by the member that names it.
fn named<R: DeserializeOwned>(members: &Map<String, Value>, name: &str) -> Result<R, ApiError> {
    let mut request = Map::new();
    request.extend(
        members
            .get(name)
            .map(|value| (name.to_owned(), value.clone())),
    );
    serde_json::from_value(Value::Object(request))
        .map_err(|error| ApiError::new(ErrorCode::Usage, format!("`{name}` does not fit: {error}")))
}
