//! `If-Match` on changes (RFC 9110): the object must be as it was when it was seen.
//!
//! The version of the object is asked for first, then what `GET` would answer now is compared by its `ETag`;
//! the change carries that version into its transaction, so that of two changes that saw the same only one is
//! made ([`Engine::expecting`]). A decision of an approval does so with the request's own version. What changes
//! nothing of the object (running, deploying and undeploying a schedule) is compared when it begins.

use http::{HeaderMap, header};
use moorline_api::routes::Route;
use moorline_api::{
    ApiError, ApprovalOperations as _, ApprovalShowRequest, ArtifactOperations as _,
    ArtifactRequest, ControlPlane as _, PrincipalOperations as _, PrincipalRequest, RunRequest,
    ScheduleOperations as _, ScheduleRequest, SourceOperations as _, SourceRequest,
};
use moorline_core::error_code::ErrorCode;
use moorline_engine::{Engine, Seen, Versioned};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::answer;

/// Checks what a request says of the version that it changes. The version that the change must rest on is
/// answered, where there is one.
///
/// # Errors
/// [`ErrorCode::Precondition`] where the object is another by now, and whatever looking at it gives.
pub(crate) async fn check(
    engine: &Engine,
    route: &Route,
    headers: &HeaderMap,
    members: &mut Map<String, Value>,
) -> Result<Option<Seen>, ApiError> {
    if !headers.contains_key(header::IF_MATCH) {
        return Ok(None);
    }
    let (seen, now) = match route.name {
        "approval_decide" => {
            let shown = engine
                .approval_show(named::<ApprovalShowRequest>(members, "approval")?)
                .await?;
            members
                .entry("version")
                .or_insert_with(|| shown.version.into());
            (None, etag(&shown)?)
        }
        "artifact_approve"
        | "artifact_reject"
        | "artifact_request_changes"
        | "artifact_security_review"
        | "artifact_archive"
        | "artifact_promote" => {
            let mut request = named::<ArtifactRequest>(members, "artifact")?;
            let lane = members.get("lane").and_then(Value::as_str);
            request.lane = lane.map(str::to_owned);
            // A reference (`live:JOB`) may lead elsewhere by then; what the version is of may not.
            let id = engine.artifact_show(request.clone()).await?.artifact.id;
            let seen = engine.version_of(&Versioned::Artifact(id)).await?;
            let shown = engine.artifact_show(request).await?;
            (Some(seen), etag(&shown)?)
        }
        "schedule_enable" | "schedule_resume" | "schedule_run_now" | "schedule_deploy"
        | "schedule_undeploy" => {
            let request = named::<ScheduleRequest>(members, "schedule")?;
            let what = Versioned::Schedule(request.schedule.clone());
            let seen = engine.version_of(&what).await?;
            (Some(seen), etag(&engine.schedule_show(request).await?)?)
        }
        "source_pause" | "source_resume" => {
            let request = named::<SourceRequest>(members, "source_id")?;
            let what = Versioned::Source(request.source_id.clone());
            let seen = engine.version_of(&what).await?;
            (Some(seen), etag(&engine.source_show(request).await?)?)
        }
        "principal_set" | "principal_remove" => {
            let request = named::<PrincipalRequest>(members, "principal")?;
            let what = Versioned::Principal(request.principal.clone());
            let seen = engine.version_of(&what).await?;
            (Some(seen), etag(&engine.principal_get(request).await?)?)
        }
        "run_cancel" => {
            let request = named::<RunRequest>(members, "run")?;
            let id = engine.run_get(request.clone()).await?.summary.run_id;
            let seen = engine.version_of(&Versioned::Run(id)).await?;
            (Some(seen), etag(&engine.run_get(request).await?)?)
        }
        // What has no version has none to be compared with.
        _ => return Ok(None),
    };
    if !answer::matches(headers, &header::IF_MATCH, &now) {
        let message = "the object changed since it was seen: its `ETag` is another by now";
        return Err(ApiError::new(ErrorCode::Precondition, message));
    }
    // `*` asks for nothing but that it is there.
    let any = answer::matches(headers, &header::IF_MATCH, "*");
    Ok(seen.filter(|_| !any))
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
