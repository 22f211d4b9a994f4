//! The outputs of a step: checked against what the spec declares before anything is kept as a result.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::Path;

use moorline_core::content_id::ContentId;
use moorline_core::error_code::{ErrorCode, FailureClass};
use moorline_core::run::{Failure, OutputRef, Run, Verdict};
use moorline_core::schema;
use moorline_core::spec::{OutputDecl, OutputFormat, RecordSchema};
use moorline_core::tx::TxValidator;
use moorline_executor::CollectedFile;
use moorline_secrets::{Redactor, SecretEnv};
use serde_json::Value;

use crate::attempt::Plan;
use crate::dirs::StateDirs;
use crate::{export, files, job_types};

/// Bytes of an output that are looked at for secrets at once.
const SCAN: usize = 1 << 20;

/// A finding that fails the step.
type Finding = (FailureClass, ErrorCode, String);

/// Checks the output files of a step that ended well: declared ones present and valid, thresholds kept,
/// no secret inside (D-RUN-6). Counts what it can count itself; a job that reports another number fails.
pub(crate) fn check(
    plan: &Plan,
    run: &Run,
    collected: &[CollectedFile],
    secrets: &SecretEnv,
    data: Value,
    reported: Option<u64>,
) -> Verdict {
    match examine(plan, run, collected, secrets, reported) {
        Ok((outputs, transaction_count)) => Verdict::Success {
            data,
            outputs,
            transaction_count,
        },
        Err((class, code, reason)) => Verdict::failure(class, code, reason),
    }
}

/// Looks for secrets in what a failed attempt left, before it is kept for people: a leak is worse than
/// whatever failed, and sets it apart (D-RUN-7).
pub(crate) fn check_partial(
    failure: Failure,
    collected: &[CollectedFile],
    secrets: &SecretEnv,
) -> Verdict {
    if secrets.is_empty() {
        return Verdict::Failure(failure);
    }
    match refuse_secrets(collected, secrets) {
        Err((class @ FailureClass::Leak, code, reason)) => Verdict::Failure(Failure {
            class,
            code,
            reason: format!("{reason}; the attempt had failed: {}", failure.reason),
            ..failure
        }),
        // A file that can not be read tells nothing, and the attempt has its reason already.
        _ => Verdict::Failure(failure),
    }
}

/// Keeps the files of a step: as its outputs when it succeeded, else where the failure matrix says, for people.
pub(crate) fn keep(
    dirs: &StateDirs,
    run: &Run,
    plan: &Plan,
    collected: &[CollectedFile],
    verdict: &Verdict,
) -> io::Result<()> {
    let step = &plan.attempt.step;
    let to = match verdict {
        Verdict::Success { .. } => export::kept_outputs(dirs, run, step),
        Verdict::Failure(failure) => match export::kept_apart(dirs, run, failure.class) {
            Some(apart) => apart.join(format!("{step}-{}", plan.attempt.number)),
            None => return Ok(()),
        },
    };
    if !collected.is_empty() {
        crate::dirs::private_dir(&to)?;
    }
    for file in collected {
        files::place(&file.local, &to.join(&file.path))?;
    }
    Ok(())
}

fn examine(
    plan: &Plan,
    run: &Run,
    collected: &[CollectedFile],
    secrets: &SecretEnv,
    reported: Option<u64>,
) -> Result<(Vec<OutputRef>, Option<u64>), Finding> {
    let declared: &[OutputDecl] = plan.step().map_or(&[], |step| &step.outputs);
    if secrets.iter().len() > 0 {
        refuse_secrets(collected, secrets)?;
    }
    job_types::check(&plan.spec, run, collected)?;
    let mut counted: Option<u64> = None;
    for declaration in declared {
        let Some(file) = collected.iter().find(|file| file.path == declaration.path) else {
            if declaration.required {
                return Err(invalid(format!(
                    "the declared output {} is missing",
                    declaration.path
                )));
            }
            continue;
        };
        if let Some(count) = check_file(plan, run, declaration, file)? {
            counted = Some(counted.unwrap_or(0) + count);
        }
    }
    if let (Some(counted), Some(reported)) = (counted, reported)
        && counted != reported
    {
        let reason = format!("the job reported {reported} transactions and wrote {counted}");
        return Err(invalid(reason));
    }
    let count = counted.or(reported);
    let last_step = run.step + 1 == run.steps.len();
    check_thresholds(plan, collected, declared, count, last_step)?;
    let mut outputs = Vec::with_capacity(collected.len());
    for file in collected {
        let declaration = declared
            .iter()
            .find(|declaration| declaration.path == file.path);
        let unreadable =
            |error| invalid(format!("the output {} can not be read: {error}", file.path));
        let hash = File::open(&file.local)
            .and_then(ContentId::of_reader)
            .map_err(unreadable)?;
        outputs.push(OutputRef {
            path: file.path.clone(),
            hash,
            size: file.size,
            export: declaration.is_some_and(|declaration| declaration.export),
        });
    }
    outputs.sort_by(|a, b| a.path.cmp(&b.path));
    Ok((outputs, count))
}

fn invalid(reason: String) -> Finding {
    (FailureClass::Validation, ErrorCode::Validation, reason)
}

/// Checks one declared file; answers how many transactions it holds, where it holds any.
fn check_file(
    plan: &Plan,
    run: &Run,
    declaration: &OutputDecl,
    file: &CollectedFile,
) -> Result<Option<u64>, Finding> {
    let unreadable =
        |error: io::Error| invalid(format!("the output {} can not be read: {error}", file.path));
    match declaration.record_schema() {
        Some(RecordSchema::TxV1) => {
            let run_id = run.id.to_string();
            let mut validator = TxValidator::new(Some(&run_id));
            let mut reader = File::open(&file.local).map_err(unreadable)?;
            let mut buffer = vec![0; 64 << 10];
            loop {
                match reader.read(&mut buffer).map_err(unreadable)? {
                    0 => break,
                    n => validator.push(buffer.get(..n).unwrap_or_default()),
                }
            }
            let report = validator.finish();
            match report.violations.first() {
                None => Ok(Some(report.count)),
                Some(first) => {
                    let total = report.invalid;
                    Err(invalid(format!("{}: {first} ({total} in all)", file.path)))
                }
            }
        }
        Some(RecordSchema::File(path)) => {
            check_schema(&plan.attempt.bundle.join(path), declaration, file).map(|()| None)
        }
        None => match declaration.effective_format() {
            OutputFormat::Any => Ok(None),
            OutputFormat::Json | OutputFormat::Jsonl => {
                each_document(declaration, file, |_, _| Ok(())).map(|()| None)
            }
        },
    }
}

/// Checks every document of a file against a JSON Schema of the job directory.
fn check_schema(
    path: &Path,
    declaration: &OutputDecl,
    file: &CollectedFile,
) -> Result<(), Finding> {
    let broken = |what: String| {
        let reason = format!(
            "the schema {} {what}",
            declaration.schema.as_deref().unwrap_or_default()
        );
        (FailureClass::Config, ErrorCode::Config, reason)
    };
    let text = std::fs::read(path).map_err(|error| broken(format!("can not be read: {error}")))?;
    let document: Value =
        serde_json::from_slice(&text).map_err(|error| broken(format!("is not JSON: {error}")))?;
    let validator = schema::Validator::compile(document)
        .map_err(|error| broken(format!("is not a JSON Schema: {error}")))?;
    each_document(declaration, file, |line, document| {
        match validator.check(document).first() {
            None => Ok(()),
            Some(violation) => Err(invalid(format!("{}:{line}: {violation}", file.path))),
        }
    })
}

fn each_document(
    declaration: &OutputDecl,
    file: &CollectedFile,
    mut check: impl FnMut(usize, &Value) -> Result<(), Finding>,
) -> Result<(), Finding> {
    let unreadable =
        |error: io::Error| invalid(format!("the output {} can not be read: {error}", file.path));
    let parse = |line: usize, text: &[u8]| {
        serde_json::from_slice::<Value>(text)
            .map_err(|error| invalid(format!("{}:{line}: not JSON: {error}", file.path)))
    };
    if declaration.effective_format() == OutputFormat::Json {
        let text = std::fs::read(&file.local).map_err(unreadable)?;
        return check(1, &parse(1, &text)?);
    }
    let reader = BufReader::new(File::open(&file.local).map_err(unreadable)?);
    for (index, line) in reader.split(b'\n').enumerate() {
        let line = line.map_err(unreadable)?;
        if !line.is_empty() {
            check(index + 1, &parse(index + 1, &line)?)?;
        }
    }
    Ok(())
}

/// Thresholds of the job's `validation`. Zero is a threshold; a missing count breaks a threshold on it.
fn check_thresholds(
    plan: &Plan,
    collected: &[CollectedFile],
    declared: &[OutputDecl],
    count: Option<u64>,
    last_step: bool,
) -> Result<(), Finding> {
    let rules = &plan.spec.validation;
    let bounded = rules.min_transactions.is_some() || rules.max_transactions.is_some();
    if bounded && last_step {
        let Some(count) = count else {
            let reason = "the job has thresholds for transactions and counted none: report a \
                          `transaction_count`, or declare a tx_v1 output";
            return Err(invalid(reason.to_owned()));
        };
        if let Some(least) = rules.min_transactions.filter(|least| count < *least) {
            return Err(invalid(format!(
                "{count} transactions, at least {least} are expected"
            )));
        }
        if let Some(most) = rules.max_transactions.filter(|most| count > *most) {
            return Err(invalid(format!(
                "{count} transactions, at most {most} are expected"
            )));
        }
    }
    for file in collected
        .iter()
        .filter(|file| declared.iter().any(|d| d.path == file.path))
    {
        if let Some(least) = rules.min_output_bytes.filter(|least| file.size < *least) {
            return Err(invalid(format!(
                "{} has {} bytes, at least {least} are expected",
                file.path, file.size
            )));
        }
        if let Some(most) = rules.max_output_bytes.filter(|most| file.size > *most) {
            return Err(invalid(format!(
                "{} has {} bytes, at most {most} are expected",
                file.path, file.size
            )));
        }
    }
    Ok(())
}

/// A secret in an output is a leak, whatever else is right with it (D-RUN-7).
fn refuse_secrets(collected: &[CollectedFile], secrets: &SecretEnv) -> Result<(), Finding> {
    let redactor = Redactor::from(secrets);
    for file in collected {
        let unreadable =
            |error| invalid(format!("the output {} can not be read: {error}", file.path));
        let mut reader = File::open(&file.local).map_err(unreadable)?;
        let mut redaction = redactor.stream();
        let (mut buffer, mut cleaned) = (vec![0; SCAN], Vec::new());
        loop {
            cleaned.clear();
            let n = reader.read(&mut buffer).map_err(unreadable)?;
            match n {
                0 => redaction.finish(&mut cleaned),
                n => redaction.push(buffer.get(..n).unwrap_or_default(), &mut cleaned),
            }
            if let Some(key) = redaction.found().next() {
                let reason = format!("the output {} holds the secret {key}", file.path);
                return Err((FailureClass::Leak, ErrorCode::LeakedSecret, reason));
            }
            if n == 0 {
                break;
            }
        }
    }
    Ok(())
}
