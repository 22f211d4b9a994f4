//! Which members of which requests are paths, and what may stand there over HTTP.

use std::path::{Path, PathBuf};

use moorline_api::ApiError;
use moorline_api::routes::Route;
use moorline_core::denial::Denial;
use moorline_core::error_code::ErrorCode;
use serde_json::Value;
use uuid::Uuid;

use super::{Place, UPLOAD, receive};
use crate::access::Caller;
use crate::app::App;
use crate::request::mebibytes;

/// Where an export goes over HTTP: a new upload, which later requests can name.
const NEW: &str = "upload:new";

/// Members that are paths: the name of the route, the member, and the references that may stand there as well.
/// A member that is a list or an object holds a path in each of its values.
const PATHS: [(&str, &str, &[&str]); 9] = [
    ("job_check", "job", &["live:"]),
    ("run_submit", "job", &["live:"]),
    ("run_submit", "inputs", &["run:"]),
    ("artifact_submit", "dir", &[]),
    ("artifact_review", "dir", &[]),
    ("artifact_verify", "export", &[]),
    ("artifact_export", "out", &[NEW]),
    ("secret_check", "job", &["live:"]),
    ("secret_audit", "jobs", &[]),
];

/// Replaces the uploads that a request names by where they are.
///
/// # Errors
/// [`ErrorCode::Usage`] with D-AUDIT-2 for every other path, [`ErrorCode::NotFound`] for an upload that is not
/// there, of another project or not.
pub(crate) async fn replace(
    app: &App,
    caller: &Caller,
    route: &Route,
    request: &mut Value,
) -> Result<(), ApiError> {
    for (_, member, references) in PATHS.iter().filter(|(name, ..)| *name == route.name) {
        match request.get_mut(*member) {
            Some(Value::Array(items)) => {
                for item in items {
                    one(app, caller, member, references, item).await?;
                }
            }
            Some(Value::Object(values)) => {
                for value in values.values_mut() {
                    one(app, caller, member, references, value).await?;
                }
            }
            Some(value) => one(app, caller, member, references, value).await?,
            None => {}
        }
    }
    Ok(())
}

async fn one(
    app: &App,
    caller: &Caller,
    member: &str,
    references: &[&str],
    value: &mut Value,
) -> Result<(), ApiError> {
    // What is no text does not fit the request, which is told later.
    let Value::String(text) = value else {
        return Ok(());
    };
    if text == NEW && references.contains(&NEW) {
        *text = shown(&Place::of(&caller.project.engine).dir(app.ids.uuid()))?;
        return Ok(());
    }
    let reference = references
        .iter()
        .any(|reference| text.starts_with(reference));
    if reference {
        return Ok(());
    }
    let Some(id) = text.strip_prefix(UPLOAD) else {
        let message =
            format!("`{member}` is a path, and no path of the server is read for a client");
        let denial = Denial::new(ErrorCode::Usage, "D-AUDIT-2", message);
        return Err(denial
            .hint("send what it names to `POST /v1/uploads`, and name that: `upload:ID`")
            .into());
    };
    let missing = || {
        let message = format!("there is no upload `{}`", id.escape_default());
        ApiError::new(ErrorCode::NotFound, message)
            .hint("send it again to `POST /v1/uploads`; uploads are kept for a day, and one of more than 64 MiB is at the replica that took it alone")
    };
    // Only ids lead anywhere: nothing of the text becomes a part of a path.
    let id: Uuid = id.parse().map_err(|_| missing())?;
    let place = Place::of(&caller.project.engine);
    let found = if let Some(found) = place.find(id) {
        found
    } else {
        let limit = mebibytes(app.server().upload_limit_mb) as u64;
        receive::fetch(&caller.project.engine, place.clone(), id, limit).await?;
        place.find(id).ok_or_else(missing)?
    };
    *text = shown(&found)?;
    Ok(())
}

fn shown(path: &Path) -> Result<String, ApiError> {
    PathBuf::from(path)
        .into_os_string()
        .into_string()
        .map_err(|_| {
            let message = "the path of the state directory is not UTF-8";
            ApiError::new(ErrorCode::Config, message)
        })
}

#[cfg(test)]
mod tests {
    use moorline_api::routes::{ROUTES, route};

    use super::*;
    use crate::shape::Shape;

    #[test]
    fn every_member_of_the_table_is_one_of_its_request() {
        for (name, member, _) in PATHS {
            let shape = Shape::of(route(name).unwrap());
            assert!(shape.member(member).is_some(), "{name}: {member}");
        }
    }

    /// Names of members that are paths somewhere; a new one has to be in the table.
    #[test]
    fn no_request_has_a_path_that_the_table_leaves_out() {
        for route in ROUTES {
            let shape = Shape::of(route);
            for member in [
                "job", "dir", "export", "out", "jobs", "inputs", "path", "file",
            ] {
                let listed = PATHS
                    .iter()
                    .any(|(name, m, _)| (*name, *m) == (route.name, member));
                let other = matches!(
                    (route.name, member),
                    // The id of a job.
                    ("schedule_list" | "explain" | "run_list", "job")
                    // One of the outputs that a run recorded, or nothing.
                    | ("run_output", "path")
                );
                assert!(
                    listed || other || shape.member(member).is_none(),
                    "{} has `{member}`",
                    route.name
                );
            }
        }
    }
}
