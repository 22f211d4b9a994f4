//! `moorline artifact …`

mod show;

use std::future::Future;

use moorline_api::{
    ApiError, ArtifactDiffRequest, ArtifactListRequest, ArtifactRequest, ArtifactReviewRequest,
    ArtifactSubmitRequest, DecisionRequest, ExportRequest, HistoryRequest, PromoteRequest,
    PromotionView, RollbackRequest, TrustedKey, VerifyRequest,
};
use moorline_core::artifact::{Artifact, ArtifactState};
use moorline_core::error_code::ErrorCode;

use crate::args::{ArtifactCommand, DecisionArgs};
use crate::context::Context;
use crate::output;
use crate::remote::Plane;

/// Exit code where something that was looked at is not as it must be (sysexits: data).
const NOT_AS_IT_MUST_BE: u8 = 65;

pub(super) fn run(context: &Context<'_>, command: ArtifactCommand) -> Result<u8, ApiError> {
    use ArtifactCommand as C;
    match command {
        C::Submit { dir, note } => {
            let request = ArtifactSubmitRequest {
                dir: context.env.cwd.join(dir),
                note,
                actor: context.principal()?,
            };
            let done = context
                .with_new_plane(|plane| async move { plane.artifact_submit(request).await })?;
            Ok(print(context, &done, |done| {
                show::submitted(&done.artifact, done.created);
            }))
        }
        C::Review { what } => review(context, &what),
        C::List {
            job,
            status,
            before,
            limit,
        } => {
            let request = ArtifactListRequest {
                job_id: job,
                state: status.as_deref().map(state_named).transpose()?,
                before: before.map(|text| text.parse()).transpose().map_err(usage)?,
                limit,
            };
            let found =
                context.with_plane(|plane| async move { plane.artifact_list(request).await })?;
            Ok(print(context, &found, |found| show::list(found)))
        }
        C::Show { artifact } => {
            let request = ArtifactRequest {
                artifact,
                lane: context.global.lane.clone(),
            };
            let view =
                context.with_plane(|plane| async move { plane.artifact_show(request).await })?;
            Ok(print(context, &view, show::artifact))
        }
        C::Diff { a, b } => diff(context, a, b),
        C::Approve(args) => decide(context, args, Vec::new(), |plane, request| async move {
            plane.artifact_approve(request).await
        }),
        C::Reject(args) => decide(context, args, Vec::new(), |plane, request| async move {
            plane.artifact_reject(request).await
        }),
        C::RequestChanges { decision, changes } => {
            decide(context, decision, changes, |plane, request| async move {
                plane.artifact_request_changes(request).await
            })
        }
        C::SecurityReview(args) => decide(context, args, Vec::new(), |plane, request| async move {
            plane.artifact_security_review(request).await
        }),
        C::Archive(args) => decide(context, args, Vec::new(), |plane, request| async move {
            plane.artifact_archive(request).await
        }),
        C::Promote(args) => {
            let request = PromoteRequest {
                artifact: args.artifact,
                lane: context.global.lane.clone(),
                reason: args.reason,
                actor: context.principal()?,
            };
            let done =
                context.with_plane(|plane| async move { plane.artifact_promote(request).await })?;
            Ok(pointed(context, &done))
        }
        C::Rollback { job, to, reason } => {
            let request = RollbackRequest {
                job_id: job,
                to,
                lane: context.global.lane.clone(),
                reason,
                actor: context.principal()?,
            };
            let done = context
                .with_plane(|plane| async move { plane.artifact_rollback(request).await })?;
            Ok(pointed(context, &done))
        }
        C::History { job } => {
            let request = HistoryRequest {
                job_id: job,
                lane: context.global.lane.clone(),
            };
            let history =
                context.with_plane(|plane| async move { plane.artifact_history(request).await })?;
            Ok(print(context, &history, |history| show::history(history)))
        }
        C::Verify { what, trusted } => verify(context, what, &trusted),
        C::Export { artifact, out } => {
            let request = ExportRequest {
                artifact,
                out: context.env.cwd.join(out),
                lane: context.global.lane.clone(),
            };
            let done =
                context.with_plane(|plane| async move { plane.artifact_export(request).await })?;
            Ok(print(context, &done, |done| {
                let (artifact, out, export) = (done.artifact, done.out.display(), done.export);
                output::line(&format!("artifact {artifact} is in {out} ({export})"));
            }))
        }
        C::Project => {
            let done = context.with_plane(|plane| async move { plane.artifact_project().await })?;
            Ok(print(context, &done, |done| {
                output::line(&format!(
                    "{}: {} artifacts, {} entries changed",
                    done.tree.display(),
                    done.shown,
                    done.changed
                ));
            }))
        }
    }
}

/// Prints a result as the one JSON document, or for people.
fn print<T: serde::Serialize>(context: &Context<'_>, result: &T, people: impl FnOnce(&T)) -> u8 {
    if context.json() {
        output::json(result);
    } else {
        people(result);
    }
    0
}

fn usage(error: impl std::error::Error) -> ApiError {
    ApiError::new(ErrorCode::Usage, error.to_string())
}

fn state_named(text: &str) -> Result<ArtifactState, ApiError> {
    let found = ArtifactState::ALL
        .into_iter()
        .find(|state| state.as_str() == text);
    found.ok_or_else(|| {
        let known: Vec<&str> = ArtifactState::ALL.map(ArtifactState::as_str).to_vec();
        let message = format!("`{text}` is not a state of an artifact");
        ApiError::new(ErrorCode::Usage, message).hint(format!("states are {}", known.join(", ")))
    })
}

fn review(context: &Context<'_>, what: &str) -> Result<u8, ApiError> {
    let dir = context.env.cwd.join(what);
    let is_dir = dir.is_dir();
    let request = ArtifactReviewRequest {
        artifact: (!is_dir).then(|| what.to_owned()),
        dir: is_dir.then_some(dir),
        lane: context.global.lane.clone(),
    };
    // A directory can be reviewed before anything was ever submitted.
    let view =
        context.with_new_plane(|plane| async move { plane.artifact_review(request).await })?;
    print(context, &view, show::review);
    Ok(if view.review.findings.is_empty() {
        0
    } else {
        NOT_AS_IT_MUST_BE
    })
}

fn diff(context: &Context<'_>, a: String, b: Option<String>) -> Result<u8, ApiError> {
    let (before, artifact) = match b {
        Some(b) => (Some(a), b),
        None => (None, a),
    };
    let request = ArtifactDiffRequest {
        artifact,
        before,
        lane: context.global.lane.clone(),
    };
    let diff = context.with_plane(|plane| async move { plane.artifact_diff(request).await })?;
    Ok(print(context, &diff, show::diff))
}

fn decide<F>(
    context: &Context<'_>,
    args: DecisionArgs,
    changes: Vec<String>,
    work: impl FnOnce(Plane, DecisionRequest) -> F,
) -> Result<u8, ApiError>
where
    F: Future<Output = Result<Artifact, ApiError>>,
{
    let request = DecisionRequest {
        artifact: args.artifact,
        reason: args.reason,
        changes,
        actor: context.principal()?,
        lane: context.global.lane.clone(),
        signature: None,
    };
    let decided = context.with_plane(|plane| work(plane, request))?;
    Ok(print(context, &decided, show::decided))
}

fn pointed(context: &Context<'_>, done: &PromotionView) -> u8 {
    print(context, done, show::pointed)
}

fn verify(context: &Context<'_>, what: String, trusted: &[String]) -> Result<u8, ApiError> {
    let mut dir = context.env.cwd.join(&what);
    if dir.is_file() {
        // The records of an export stand for the whole of it.
        dir.pop();
    }
    let is_dir = dir.is_dir();
    let request = VerifyRequest {
        artifact: (!is_dir).then_some(what),
        export: is_dir.then_some(dir),
        lane: context.global.lane.clone(),
        trusted: trusted
            .iter()
            .map(|text| trusted_key(text))
            .collect::<Result<_, _>>()?,
    };
    let report =
        context.with_new_plane(|plane| async move { plane.artifact_verify(request).await })?;
    print(context, &report, show::verified);
    Ok(if report.intact { 0 } else { NOT_AS_IT_MUST_BE })
}

fn trusted_key(text: &str) -> Result<TrustedKey, ApiError> {
    let Some((principal, key)) = text.split_once('=') else {
        let message = format!("--trust `{text}` is not of the form PRINCIPAL=KEY");
        return Err(ApiError::new(ErrorCode::Usage, message).hint(
            "write for example --trust human:ada=KEY; `moorline principal list` shows keys",
        ));
    };
    Ok(TrustedKey {
        principal: principal.parse().map_err(usage)?,
        public_key: key.parse().map_err(usage)?,
    })
}
