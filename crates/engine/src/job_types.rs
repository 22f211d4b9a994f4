//! Job types at work: what a run of one is told, and what it may leave (D-JOB).
//!
//! The rules are those of [`moorline_core::job_types`]; here are the files that they are asked about.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};

use moorline_core::canonical;
use moorline_core::denial::Detail;
use moorline_core::error_code::{ErrorCode, FailureClass};
use moorline_core::job_types::products;
use moorline_core::run::Run;
use moorline_core::schedule::ScheduleDocument;
use moorline_core::spec::{self, JobSpec, ToolPermissions};
use moorline_executor::CollectedFile;

/// The variable that tells a job which tools it may use: JSON, as `tool_permissions` of a spec.
const TOOLS: &str = "MOORLINE_TOOLS";

/// Longest spec or schedule that is read.
const LONGEST: u64 = 16 << 20;

/// What fails a step.
type Finding = (FailureClass, ErrorCode, String);

/// The plain environment of a step, and which tools it may use.
pub(crate) fn told(
    env: &BTreeMap<String, String>,
    tools: &ToolPermissions,
) -> BTreeMap<String, String> {
    let mut env = env.clone();
    let text = canonical::to_string(tools).unwrap_or_default();
    env.insert(TOOLS.to_owned(), text);
    env
}

/// Checks the files of a step that ended well against what the type of its job may leave.
///
/// Everything that a step 1 run leaves is a document, whether it was declared or not, and with its last step
/// the three that a reviewer needs are there. A spec or a schedule that a step 2 run leaves says nothing
/// that the run's own spec does not allow.
pub(crate) fn check(spec: &JobSpec, run: &Run, collected: &[CollectedFile]) -> Result<(), Finding> {
    let mut found = Vec::new();
    if products::is_step_1(spec.job_type) {
        for file in collected {
            let head = head(file).map_err(|error| unreadable(file, &error))?;
            found.extend(products::document(&file.path, &head));
        }
        if run.step + 1 == run.steps.len() {
            found.extend(missing_documents(run, collected));
        }
    } else if products::is_step_2(spec.job_type) {
        for file in collected {
            found.extend(check_decided(spec, file)?);
        }
    }
    match found.as_slice() {
        [] => Ok(()),
        [first, ..] => {
            let reason = format!(
                "{}: {} ({}; {} in all)",
                first.at,
                first.message,
                first.rule,
                found.len()
            );
            Err((FailureClass::Policy, ErrorCode::Policy, reason))
        }
    }
}

/// The beginning of a file.
fn head(file: &CollectedFile) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(products::HEAD);
    let limit = u64::try_from(products::HEAD).unwrap_or(u64::MAX);
    File::open(&file.local)?
        .take(limit)
        .read_to_end(&mut head)?;
    Ok(head)
}

/// The documents of step 1 that no step of the run left.
fn missing_documents<'a>(
    run: &'a Run,
    collected: &'a [CollectedFile],
) -> impl Iterator<Item = Detail> + 'a {
    let left = |name: &str| {
        let earlier = run.steps.iter().flat_map(|step| &step.outputs);
        collected
            .iter()
            .map(|file| &file.path)
            .chain(earlier.map(|output| &output.path))
            .any(|path| path == name)
    };
    products::DOCUMENTS
        .into_iter()
        .filter(move |name| !left(name))
        .map(|name| Detail {
            at: name.to_owned(),
            rule: products::STEP_1.to_owned(),
            message: "is missing: every step 1 job leaves it".to_owned(),
            hint: None,
        })
}

/// What a spec or a schedule that a step 2 run leaves decides by itself. Other files decide nothing.
fn check_decided(base: &JobSpec, file: &CollectedFile) -> Result<Vec<Detail>, Finding> {
    let name = file.path.rsplit('/').next().unwrap_or(&file.path);
    let broken = |message: String| Detail {
        at: file.path.clone(),
        rule: products::STEP_2.to_owned(),
        message,
        hint: None,
    };
    match name {
        "job_spec.json" => {
            let text = whole(file)?;
            Ok(match spec::load(&text) {
                Ok(generated) => products::generated_spec(&file.path, base, &generated),
                Err(violations) => {
                    let first = violations.iter().next().map(ToString::to_string);
                    vec![broken(format!(
                        "is not a job spec: {}",
                        first.unwrap_or_default()
                    ))]
                }
            })
        }
        "SCHEDULE.json" => {
            let text = whole(file)?;
            Ok(match serde_json::from_slice::<ScheduleDocument>(&text) {
                Ok(schedule) => products::generated_schedule(&file.path, base, &schedule),
                Err(error) => vec![broken(format!("is not a schedule: {error}"))],
            })
        }
        _ => Ok(Vec::new()),
    }
}

fn whole(file: &CollectedFile) -> Result<Vec<u8>, Finding> {
    let mut text = Vec::new();
    File::open(&file.local)
        .and_then(|open| open.take(LONGEST).read_to_end(&mut text))
        .map_err(|error| unreadable(file, &error))?;
    Ok(text)
}

fn unreadable(file: &CollectedFile, error: &io::Error) -> Finding {
    let reason = format!("the output {} can not be read: {error}", file.path);
    (FailureClass::Validation, ErrorCode::Validation, reason)
}
