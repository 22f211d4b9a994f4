//! `moorline emergency …`

use anstyle::AnsiColor;
use futures::StreamExt as _;
use moorline_api::{ApiError, EmergencyChoice, EmergencyRequest, EmergencyShowRequest};
use moorline_core::emergency::{Emergency, EmergencyState, EmergencyStep, StepRecord};
use moorline_core::error_code::ErrorCode;
use moorline_core::lane::{Lane, LaneError};

use crate::args::{EmergencyArgs, EmergencyCommand};
use crate::context::Context;
use crate::output;

pub(super) fn run(context: &Context<'_>, command: EmergencyCommand) -> Result<u8, ApiError> {
    match command {
        EmergencyCommand::Run(args) => call(context, args),
        EmergencyCommand::List => list(context),
        EmergencyCommand::Show { id } => show(context, &id),
    }
}

/// Carries an emergency out, with a line for each step as soon as it is recorded. The next step does not begin
/// before the line is written.
fn call(context: &Context<'_>, args: EmergencyArgs) -> Result<u8, ApiError> {
    let request = EmergencyRequest {
        which: choice(args)?,
        actor: context.principal()?,
    };
    let json = context.json();
    let emergency = context.with_plane_at_once(|plane| async move {
        let mut steps = plane.emergency_run(request);
        let mut last: Option<Emergency> = None;
        while let Some(emergency) = steps.next().await {
            let emergency = emergency?;
            if !json {
                for record in news(last.as_ref(), &emergency) {
                    output::line(&step_line(record));
                }
            }
            last = Some(emergency);
        }
        last.ok_or_else(|| ApiError::new(ErrorCode::Internal, "the emergency gave no step"))
    })?;
    if json {
        output::json(&emergency);
    } else {
        close(&emergency);
    }
    Ok(u8::from(emergency.state == EmergencyState::Unfinished))
}

fn choice(args: EmergencyArgs) -> Result<EmergencyChoice, ApiError> {
    if let Some(id) = args.resume {
        let id = (!id.is_empty()).then_some(id);
        return Ok(EmergencyChoice::Resume { id });
    }
    let lane = args.lane.as_deref().map(str::parse::<Lane>).transpose();
    let usage = |error: LaneError| ApiError::new(LaneError::CODE, error.to_string());
    Ok(EmergencyChoice::Call {
        lane: lane.map_err(usage)?,
        reason: args.reason.unwrap_or_default(),
        grace_seconds: Some(args.grace),
    })
}

/// Steps that were recorded since; all that were ever taken when there is nothing to compare with.
fn news<'a>(
    before: Option<&'a Emergency>,
    now: &'a Emergency,
) -> impl Iterator<Item = &'a StepRecord> {
    now.steps.iter().filter(move |record| {
        let known = before.and_then(|before| before.step(record.step));
        record.tries > known.map_or(0, |known| known.tries)
    })
}

fn step_line(record: &StepRecord) -> String {
    let what = match record.step {
        EmergencyStep::Disable => "schedules disabled, nothing starts",
        EmergencyStep::Stop => "runs ended",
        EmergencyStep::Revoke => "secrets revoked",
        EmergencyStep::Archive => "artifacts and exports set aside",
    };
    let (step, done) = (record.step, record.report.done.len());
    let line = format!("{step:<8} {done:>5} {what}");
    match record.report.left.len() {
        0 => line,
        left => {
            let open = output::paint(AnsiColor::Red, &format!("{left} NOT REACHED"));
            format!("{line}; {open}")
        }
    }
}

fn close(emergency: &Emergency) {
    for record in &emergency.steps {
        for (what, why) in &record.report.left {
            output::note(&format!("NOT REACHED: {what}: {why}"));
        }
        for text in &record.report.notes {
            output::note(&format!("{}: {text}", record.step));
        }
    }
    let (id, scope) = (emergency.id, emergency.scope());
    match emergency.state {
        EmergencyState::Complete => output::line(&format!("complete: emergency {id}")),
        EmergencyState::Unfinished => output::line(&format!(
            "unfinished: emergency {id}; `moorline emergency run --resume {id}` tries again"
        )),
    }
    output::line(&format!(
        "nothing of {scope} can start until `moorline release {scope} --reason …`"
    ));
}

fn list(context: &Context<'_>) -> Result<u8, ApiError> {
    let all = context.with_plane(|plane| async move { plane.emergency_list().await })?;
    if context.json() {
        output::json(&all);
    } else if all.is_empty() {
        output::note("there was no emergency");
    } else {
        let rows = all.iter().map(|emergency| {
            let open: Vec<_> = emergency.open_steps().map(EmergencyStep::as_str).collect();
            vec![
                emergency.id.to_string(),
                emergency.at.to_string(),
                emergency.scope().to_string(),
                emergency.by.to_string(),
                emergency.state.to_string(),
                open.join(", "),
                emergency.reason.clone(),
            ]
        });
        let header = ["ID", "AT", "SCOPE", "BY", "STATE", "OPEN STEPS", "REASON"];
        output::table(&header, rows.collect());
    }
    Ok(0)
}

fn show(context: &Context<'_>, id: &str) -> Result<u8, ApiError> {
    let emergency = context.with_plane(|plane| {
        let id = id.to_owned();
        async move {
            plane
                .emergency_show(EmergencyShowRequest { emergency: id })
                .await
        }
    })?;
    if context.json() {
        output::json(&emergency);
        return Ok(0);
    }
    output::line(&format!(
        "emergency {} of {}, {}\nby {} at {}: {}",
        emergency.id,
        emergency.scope(),
        emergency.state,
        emergency.by,
        emergency.at,
        emergency.reason
    ));
    for record in &emergency.steps {
        if record.tries == 0 {
            output::line(&format!("{:<8} not taken yet", record.step));
            continue;
        }
        output::line(&step_line(record));
        for what in &record.report.done {
            output::line(&format!("  {what}"));
        }
        for (what, why) in &record.report.left {
            output::line(&format!("  NOT REACHED {what}: {why}"));
        }
        for text in &record.report.notes {
            output::line(&format!("  {text}"));
        }
    }
    Ok(0)
}
