//! `moorline job …`

use std::path::Path;

use moorline_api::{ApiError, JobCheckRequest, JobRow, JobView};
use moorline_core::canonical::CanonicalError;
use moorline_core::content_id::ContentId;
use moorline_core::error_code::ErrorCode;
use moorline_core::image_definition::ImageDefinition;
use moorline_core::lane::Lane;
use moorline_core::schedule::ScheduleDocument;
use moorline_core::schema;
use moorline_core::spec::JobSpec;
use moorline_engine::Engine;
use serde_json::json;

use crate::args::JobCommand;
use crate::context::Context;
use crate::output;

pub(super) fn run(context: &Context<'_>, command: JobCommand) -> Result<u8, ApiError> {
    match command {
        JobCommand::Validate { job } => {
            let view = check(context, job)?;
            if context.json() {
                let valid = json!({
                    "valid": true,
                    "job_id": view.job_id,
                    "spec_hash": view.spec_hash,
                    "artifact_hash": view.artifact_hash,
                    "default_mode": view.default_mode,
                });
                output::json(&valid);
            } else {
                output::line(&format!(
                    "{} is valid, spec {}",
                    view.job_id, view.spec_hash
                ));
            }
        }
        JobCommand::List => list(context)?,
        JobCommand::Schema { name } => {
            let document = schema::published(&name).ok_or_else(|| {
                let known: Vec<&str> = schema::all().into_iter().map(|(name, _)| name).collect();
                let message = format!("there is no published schema `{name}`");
                ApiError::new(ErrorCode::Usage, message)
                    .hint(format!("published schemas: {}", known.join(", ")))
            })?;
            output::json(&document);
        }
        JobCommand::Schedule { job } => output::json(&schedule(context, job)?),
        JobCommand::Image { file, dockerfile } => image(context, &file, dockerfile)?,
        JobCommand::Explain { job } => {
            let view = check(context, job)?;
            if context.json() {
                output::json(&view);
            } else {
                explain(&view);
            }
        }
    }
    Ok(0)
}

fn list(context: &Context<'_>) -> Result<(), ApiError> {
    let jobs = context.with_plane(|plane| async move { plane.job_list().await })?;
    if context.json() {
        output::json(&jobs);
    } else if jobs.is_empty() {
        output::note("no jobs are known here yet; `moorline run DIR` runs one");
    } else {
        let header = ["JOB", "LIVE IN", "SCHEDULES", "LAST RUN", "STATUS", "TITLE"];
        output::table(&header, jobs.iter().map(row).collect());
    }
    Ok(())
}

fn row(job: &JobRow) -> Vec<String> {
    let lanes: Vec<&str> = job.live_in.iter().map(Lane::as_str).collect();
    let last = job.last_run.as_ref();
    vec![
        job.job_id.clone(),
        lanes.join(", "),
        job.schedules.len().to_string(),
        last.map(|run| run.run_id.to_string()).unwrap_or_default(),
        last.map(|run| output::status(run.status))
            .unwrap_or_default(),
        job.title.clone().unwrap_or_default(),
    ]
}

fn check(context: &Context<'_>, job: std::path::PathBuf) -> Result<JobView, ApiError> {
    let request = JobCheckRequest {
        job: context.env.cwd.join(job),
        lane: context.global.lane.clone(),
    };
    if context.is_remote()? {
        // By the rules of the server's lanes.
        return context.with_plane(|plane| async move { plane.job_check(request).await });
    }
    let settings = context.settings()?;
    // Checking needs no store, so none is opened.
    Engine::check_job(&settings, &request, context.env.var("CI"))
}

/// What `SCHEDULE.json` must say.
fn schedule(context: &Context<'_>, job: std::path::PathBuf) -> Result<ScheduleDocument, ApiError> {
    let view = check(context, job)?;
    let internal = |error: String| ApiError::new(ErrorCode::Internal, error);
    let spec: JobSpec =
        serde_json::from_value(view.spec).map_err(|error| internal(error.to_string()))?;
    let hash: ContentId = view
        .spec_hash
        .parse()
        .map_err(|_| internal("the spec has no hash".to_owned()))?;
    ScheduleDocument::of(&spec, hash).ok_or_else(|| {
        let message = format!(
            "{} has no cadence, so it has no schedule (D-SCHED-1)",
            spec.job_id
        );
        ApiError::new(ErrorCode::Conflict, message)
            .hint("give the spec a cadence of type `cron` or `periodic`, and a `time_zone`")
    })
}

/// Checks an image definition; tells its identity, or writes it down for whoever builds.
fn image(context: &Context<'_>, file: &Path, dockerfile: bool) -> Result<(), ApiError> {
    let text = std::fs::read_to_string(context.env.cwd.join(file)).map_err(|error| {
        let message = format!("can not read {}: {error}", file.display());
        ApiError::new(ErrorCode::NotFound, message).hint("give a TOML file")
    })?;
    let definition = ImageDefinition::parse(&text)?;
    let unwritable = |error: CanonicalError| ApiError::new(ErrorCode::Config, error.to_string());
    let id = definition.id().map_err(unwritable)?;
    let lines = definition.dockerfile().map_err(unwritable)?;
    if context.json() {
        let document = json!({"definition": definition, "id": id, "dockerfile": lines});
        output::json(&document);
    } else if dockerfile {
        for line in &lines {
            output::line(line);
        }
    } else {
        output::line(&format!(
            "{} version {} is valid, definition {id}",
            definition.name, definition.version
        ));
    }
    Ok(())
}

fn explain(view: &JobView) {
    let Ok(spec) = serde_json::from_value::<JobSpec>(view.spec.clone()) else {
        output::json(&view.spec);
        return;
    };
    let title = spec
        .title
        .as_deref()
        .or(spec.objective.as_deref())
        .unwrap_or("no title");
    output::line(&format!(
        "{}, version {}: {title}",
        spec.job_id, spec.version
    ));
    output::line(&format!(
        "runs in {} mode unless asked otherwise",
        view.default_mode
    ));
    for (name, input) in &spec.inputs {
        let need = match (&input.default, input.required) {
            (Some(default), _) => format!("by default {default}"),
            (None, true) => "required".to_owned(),
            (None, false) => "optional".to_owned(),
        };
        output::line(&format!(
            "input {name} ({need}): {}",
            input.description.as_deref().unwrap_or("")
        ));
    }
    for step in spec.effective_steps() {
        let argv: Vec<String> = step.step.argv.iter().map(ToString::to_string).collect();
        output::line(&format!("step {}: {}", step.step.name, argv.join(" ")));
        output::line(&format!("  network: {}", json!(step.egress)));
        output::line(&format!(
            "  at most {} s, then {} s of grace",
            step.timeout.as_secs(),
            step.grace.as_secs()
        ));
        output::line(&format!("  retries: {}", step.retries.max));
        if !step.step.secrets.is_empty() {
            output::line(&format!("  secrets: {}", step.step.secrets.join(", ")));
        }
        for declared in &step.step.outputs {
            let schema = declared.schema.as_deref().unwrap_or("any content");
            let need = if declared.required {
                "required"
            } else {
                "optional"
            };
            output::line(&format!("  output {}: {schema}, {need}", declared.path));
        }
    }
    output::line(&format!("spec {}", view.spec_hash));
    if let Some(artifact) = &view.artifact_hash {
        output::line(&format!("job directory {artifact}"));
    }
}
