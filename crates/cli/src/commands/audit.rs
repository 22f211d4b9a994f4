//! `moorline audit …`

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, IsTerminal as _, Read, Write};
use std::path::{Path, PathBuf};

use futures::StreamExt as _;
use indicatif::ProgressBar;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use moorline_api::{
    ApiError, AuditExportLine, AuditListRequest, AuditReport, AuditVerifyRequest, ControlPlane,
};
use moorline_core::audit::AuditRecord;
use moorline_core::audit::export::ExportVerifier;
use moorline_core::error_code::ErrorCode;
use serde_json::json;

use crate::args::AuditCommand;
use crate::context::Context;
use crate::output;

/// Longest line of an export: far more than any record has, and a bound on what a broken file can take.
const LONGEST_LINE: u64 = 64 << 20;

pub(super) fn run(context: &Context<'_>, command: AuditCommand) -> Result<u8, ApiError> {
    match command {
        AuditCommand::List {
            operation,
            actor,
            subject,
            since,
            until,
            before,
            limit,
        } => {
            let request = AuditListRequest {
                operation,
                by: actor,
                subject,
                since: since.as_deref().map(time).transpose()?,
                until: until.as_deref().map(time).transpose()?,
                before,
                limit,
            };
            list(context, request)
        }
        AuditCommand::Verify { file, head } => verify(context, file.as_deref(), head),
        AuditCommand::Export { out } => export(context, &out),
    }
}

/// A date or a time, in UTC when it names no offset.
fn time(text: &str) -> Result<Timestamp, ApiError> {
    let timestamp = text.parse::<Timestamp>().ok();
    let local = || {
        let civil = text.parse::<DateTime>().ok()?;
        let zoned: Zoned = civil.to_zoned(TimeZone::UTC).ok()?;
        Some(zoned.timestamp())
    };
    timestamp.or_else(local).ok_or_else(|| {
        let message = format!("`{}` is not a time", text.escape_default());
        ApiError::new(ErrorCode::Usage, message)
            .hint("write `2026-03-01` or `2026-03-01T06:15:00Z` (RFC 3339)")
    })
}

fn list(context: &Context<'_>, request: AuditListRequest) -> Result<u8, ApiError> {
    let limit = request.limit;
    let records = context.with_plane(|plane| async move { plane.audit_list(request).await })?;
    if context.json() {
        output::json(&records);
    } else if records.is_empty() {
        output::note("no audit record is like that");
    } else {
        let header = ["ID", "AT", "ACTOR", "OPERATION", "SUBJECT", "REASON"];
        output::table(&header, records.iter().map(row).collect());
        if let Some(oldest) = records.last()
            && u32::try_from(records.len()).is_ok_and(|count| count == limit)
            && oldest.id > 1
        {
            output::note(&format!("older ones: --before {}", oldest.id));
        }
    }
    Ok(0)
}

fn row(record: &AuditRecord) -> Vec<String> {
    vec![
        record.id.to_string(),
        record.at.strftime("%Y-%m-%d %H:%M:%S%.3fZ").to_string(),
        record.actor.clone(),
        record.operation.clone(),
        record.subject.clone(),
        record.reason.clone().unwrap_or_default(),
    ]
}

fn verify(
    context: &Context<'_>,
    file: Option<&Path>,
    known_head: Option<String>,
) -> Result<u8, ApiError> {
    let report = if let Some(file) = file {
        verify_file(file, known_head)?
    } else {
        let request = AuditVerifyRequest { known_head };
        context.with_plane(|plane| async move { plane.audit_verify(request).await })?
    };
    if context.json() {
        output::json(&report);
    } else {
        match &report.problem {
            None => output::line(&format!(
                "{} records, chain intact, head {}",
                report.records, report.head
            )),
            Some(problem) => output::note(&format!("the audit trail is broken: {problem}")),
        }
    }
    Ok(u8::from(!report.intact))
}

/// Verifies an export without a store.
fn verify_file(file: &Path, known_head: Option<String>) -> Result<AuditReport, ApiError> {
    let reader: Box<dyn Read> = if file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(file).map_err(unreadable(file))?)
    };
    let mut verifier = ExportVerifier::default();
    if let Some(head) = known_head {
        verifier = verifier.knowing(head);
    }
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    loop {
        line.clear();
        let taken = (&mut reader)
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut line)
            .map_err(unreadable(file))?;
        if taken == 0 {
            break;
        }
        let records = verifier.records();
        // Without its end the last line was cut short.
        let text = line
            .strip_suffix(b"\n")
            .and_then(|text| std::str::from_utf8(text).ok());
        let problem = match text.map(|text| verifier.push(text)) {
            Some(Ok(())) => continue,
            Some(Err(error)) => chain(&error),
            None => format!(
                "line {} is cut short or no text (D-AUDIT-1)",
                records.saturating_add(2)
            ),
        };
        return Ok(AuditReport {
            intact: false,
            records,
            head: String::new(),
            problem: Some(problem),
        });
    }
    let records = verifier.records();
    Ok(match verifier.finish() {
        Ok((records, head)) => AuditReport {
            intact: true,
            records,
            head,
            problem: None,
        },
        Err(error) => AuditReport {
            intact: false,
            records,
            head: String::new(),
            problem: Some(chain(&error)),
        },
    })
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

fn unreadable(file: &Path) -> impl FnOnce(io::Error) -> ApiError {
    move |error| {
        let message = format!("can not read {}: {error}", file.display());
        ApiError::new(ErrorCode::NotFound, message)
            .hint("give a file that `moorline audit export` wrote")
    }
}

fn export(context: &Context<'_>, out: &Path) -> Result<u8, ApiError> {
    if out == Path::new("-") {
        if context.json() {
            let message =
                "`--out -` writes JSON Lines to stdout, where `--json` wants one document";
            return Err(ApiError::new(ErrorCode::Usage, message).hint("leave one of the two out"));
        }
        let stdout = io::stdout().lock();
        context.with_plane(|plane| async move {
            match write(&*plane, &mut BufWriter::new(stdout), None).await {
                // Who closed the pipe does not want the rest.
                Err(Failed::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                Err(Failed::Write(error)) => Err(unwritable(out, &error)),
                Err(Failed::Read(error)) => Err(error),
                Ok(_) => Ok(()),
            }
        })?;
        return Ok(0);
    }
    let partial = beside(out);
    let bar = io::stderr().is_terminal().then(ProgressBar::no_length);
    let bar = bar.as_ref();
    let place = partial.as_path();
    let written = context.with_plane(|plane| async move {
        let file = File::create(place).map_err(|error| unwritable(out, &error))?;
        let mut file = BufWriter::new(file);
        let done = write(&*plane, &mut file, bar).await;
        let done = done.and_then(|done| {
            let file = file.into_inner().map_err(io::IntoInnerError::into_error);
            file.and_then(|file| file.sync_all())
                .and_then(|()| std::fs::rename(place, out))
                .map_err(Failed::Write)?;
            Ok(done)
        });
        done.map_err(|failed| match failed {
            Failed::Write(error) => unwritable(out, &error),
            Failed::Read(error) => error,
        })
    });
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    let (records, head) = written.inspect_err(|_| {
        // What is not whole is not left behind; that it can not be removed changes nothing.
        drop(std::fs::remove_file(&partial));
    })?;
    if context.json() {
        output::json(&json!({"file": out, "records": records, "head": head}));
    } else {
        output::line(&format!(
            "{records} records written to {}, head {head}",
            out.display()
        ));
    }
    Ok(0)
}

/// Why an export ended early.
enum Failed {
    Read(ApiError),
    Write(io::Error),
}

/// Writes every line; gives the number of records and the head.
async fn write(
    plane: &dyn ControlPlane,
    to: &mut impl Write,
    bar: Option<&ProgressBar>,
) -> Result<(u64, String), Failed> {
    let mut lines = plane.audit_export();
    let (mut records, mut head) = (0, String::new());
    while let Some(line) = lines.next().await {
        let line = line.map_err(Failed::Read)?;
        match &line {
            AuditExportLine::Header(header) => {
                head.clone_from(&header.head);
                if let Some(bar) = bar {
                    bar.set_length(header.records);
                }
            }
            AuditExportLine::Record(_) => records += 1,
        }
        serde_json::to_writer(&mut *to, &line).map_err(|error| Failed::Write(error.into()))?;
        to.write_all(b"\n").map_err(Failed::Write)?;
        if let Some(bar) = bar {
            bar.set_position(records);
        }
    }
    to.flush().map_err(Failed::Write)?;
    Ok((records, head))
}

/// Where the file is written until it is whole.
pub(super) fn beside(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    out.with_file_name(name)
}

pub(super) fn unwritable(out: &Path, error: &io::Error) -> ApiError {
    let message = format!("can not write {}: {error}", out.display());
    ApiError::new(ErrorCode::Store, message).hint("give a writable file with `--out FILE`")
}
