//! `moorline sources reauth`: a person refreshes the session of a source, here (D-SEC-9).

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Read as _};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

use moorline_api::ApiError;
use moorline_api::reauth::{ReauthPlan, ReauthReport, ReauthRequest, ReauthSession};
use moorline_api::secrets::SecretInput;
use moorline_core::error_code::{ErrorCode, exit_code};
use moorline_core::schedule::ScheduleState;
use moorline_core::secret::ReauthStage;
use moorline_core::spec::Arg;
use moorline_secrets::{FileSource, Origin};
use zeroize::Zeroizing;

use super::secrets::input;
use crate::args::ReauthArgs;
use crate::context::Context;
use crate::output;
use crate::remote::Plane;

/// The most bytes of a session.
const LIMIT: usize = 64 << 10;

pub(super) fn run(context: &Context<'_>, args: ReauthArgs) -> Result<u8, ApiError> {
    let request = ReauthRequest {
        source_id: args.source,
        lane: context.global.lane.clone(),
        secret: args.secret,
        fresh: args.fresh,
        actor: context.principal()?,
    };
    let work = |plane: Plane| async move {
        let plan = plane.reauth_begin(request.clone()).await?;
        if plan.stage.is_waiting() {
            output::note("a fresh session is kept already; trying it (--fresh signs on again)");
        } else {
            tell(&plan);
            let values = tokio::task::block_in_place(|| session(&plan))?;
            let request = request.clone();
            let view = plane
                .reauth_store(ReauthSession::of(&request, values))
                .await?;
            let until = view
                .expires_at
                .map_or_else(String::new, |end| format!(", until {end}"));
            output::note(&format!("the session is kept in {}{until}", view.secret));
        }
        output::note("trying it with a run");
        plane.reauth_probe(request).await
    };
    let report = context.with_plane(work)?;
    if context.json() {
        output::json(&report);
    } else {
        show(&report);
    }
    let failure = report.probe.failure.as_ref();
    Ok(exit_code(
        report.probe.status,
        failure.map(|failure| failure.class),
    ))
}

fn tell(plan: &ReauthPlan) {
    output::note(&format!(
        "re-authenticate {} for lane {}:",
        plan.source_id, plan.lane
    ));
    for line in plan.instructions.lines() {
        output::note(&format!("  {line}"));
    }
}

/// The fresh session: what the job's command writes, else what the person gives.
fn session(plan: &ReauthPlan) -> Result<BTreeMap<String, SecretInput>, ApiError> {
    let Some(argv) = plan.argv.as_deref().filter(|argv| !argv.is_empty()) else {
        let several = plan.keys.len() > 1 && !std::io::stdin().is_terminal();
        return input::values(&plan.secret, &plan.keys, several);
    };
    let shown: Vec<String> = argv.iter().map(ToString::to_string).collect();
    output::note(&format!("running {}", shown.join(" ")));
    let bytes = captured(plan, argv)?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| refused("the session that the command wrote is not UTF-8 text"))?;
    if let [key] = plan.keys.as_slice() {
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.is_empty() {
            return Err(refused("the command wrote no session"));
        }
        return Ok([(key.clone(), SecretInput::from(text))].into());
    }
    let source = FileSource::parse(text, Origin::new("the command's output"))
        .map_err(|error| refused(error.to_string()))?;
    let given: BTreeMap<String, SecretInput> = source
        .iter()
        .map(|(key, value)| (key.to_string(), SecretInput::from(value.expose())))
        .collect();
    match plan.keys.iter().find(|key| !given.contains_key(*key)) {
        Some(key) => Err(refused(format!("the command wrote no line for {key}"))),
        None => Ok(given),
    }
}

fn refused(message: impl Into<String>) -> ApiError {
    ApiError::new(ErrorCode::Inputs, message)
        .hint("nothing was changed; see what the job's `reauth.argv` writes to standard output")
}

/// Runs the job's command in its directory and in the person's own environment, and takes what it writes
/// from the pipe into memory that is wiped; it never is in a file or an argument.
#[expect(
    clippy::disallowed_methods,
    reason = "the re-auth command is the person's own, on their own machine; no executor runs it"
)]
fn captured(plan: &ReauthPlan, argv: &[Arg]) -> Result<Zeroizing<Vec<u8>>, ApiError> {
    let mut words = argv
        .iter()
        .map(|arg| std::ffi::OsString::from_vec(arg.as_bytes().to_vec()));
    let program = words.next().unwrap_or_default();
    let failed = |error: std::io::Error| {
        refused(format!(
            "the command {} can not be run: {error}",
            program.display()
        ))
    };
    let mut child = Command::new(&program)
        .args(words)
        .current_dir(&plan.job_dir)
        .stdin(Stdio::inherit())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(failed)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(LIMIT + 1));
    if let Some(stdout) = child.stdout.take() {
        let limit = u64::try_from(LIMIT + 1).unwrap_or(u64::MAX);
        stdout.take(limit).read_to_end(&mut bytes).map_err(failed)?;
    }
    let status = child.wait().map_err(failed)?;
    if bytes.len() > LIMIT {
        return Err(refused(format!(
            "the command wrote more than {LIMIT} bytes"
        )));
    }
    if status.success() {
        return Ok(bytes);
    }
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with {code}"),
        (None, signal) => format!("was ended by signal {}", signal.unwrap_or_default()),
    };
    Err(refused(format!(
        "the command {how}, so its output is no session"
    )))
}

fn show(report: &ReauthReport) {
    let reauth = &report.reauth;
    let state = report
        .source_state
        .map(|state| state.to_string())
        .unwrap_or_default();
    if reauth.stage == ReauthStage::Done {
        output::line(&format!(
            "run {} read {} with it; the source is {state}",
            report.probe.run_id, reauth.source_id
        ));
    } else {
        super::runs::print_summary(&report.probe);
        output::line(&format!(
            "the session was not accepted; the source is {state}"
        ));
    }
    for schedule in &report.schedules {
        if schedule.state != ScheduleState::Enabled && reauth.stage == ReauthStage::Done {
            output::line(&format!(
                "schedule {} is {}; when you are sure: moorline schedule enable {}",
                schedule.schedule, schedule.state, schedule.schedule
            ));
        }
    }
}
