//! Which files an artifact must have, by job type, and what they must say (D-ART-1).
//!
//! | job type | files |
//! |---|---|
//! | `generate_and_test`, `repair_source`, `bootstrap_*` | `job_spec.json`, `extractor/` with tests, `TEST_REPORT.md`, `RUNBOOK.md`, `RISKS.md`, `sample_output.jsonl` (valid `tx_v1`) |
//! | `intake_research` (step 1) | `job_spec.json`, `DecisionBrief.md`, `SourcePlan.md`, `RiskAssessment.md`; `planned_job_spec.json` where it plans a job; no code, no schedule |
//! | `task` | `job_spec.json`, `RUNBOOK.md` |
//!
//! Beside these, `SCHEDULE.json` exactly where the spec has a cadence, and equal to it (D-SCHED-1). A job that
//! follows from approved research is the planned one, field by field: step 2 alters nothing of it, so it can
//! not widen egress either. `metadata` and `$schema` are not compared.
//!
//! A pure function of the files: the same content has the same findings. All are given at once, each with the
//! file (and line, or the place in a document), the rule and what to do. Deliberately absent: secrets in files
//! and links that leave, which are looked for where files are read.

use super::checklist;
use super::files::{Entry, Files, MAX_FILE_BYTES, MAX_FILES, MAX_TOTAL_BYTES};
use crate::canonical;
use crate::content_id::ContentId;
use crate::denial::Detail;
use crate::schedule::ScheduleDocument;
use crate::schedule::document::FILE_NAME as SCHEDULE;
use crate::spec::{self, JobSpec, JobType};
use crate::tx::TxValidator;

mod content;

/// The job spec of an artifact.
pub const SPEC: &str = "job_spec.json";
/// The job that research plans: step 2 is to be this one.
pub const PLANNED_SPEC: &str = "planned_job_spec.json";
/// Records as the extractor writes them.
pub const SAMPLE: &str = "sample_output.jsonl";
/// The directory of the extractor.
pub const EXTRACTOR: &str = "extractor";

const RULE: &str = "D-ART-1";

/// The documents that a job type needs, beside the spec.
pub const fn documents(job_type: JobType) -> &'static [&'static str] {
    match job_type {
        JobType::IntakeResearch => &["DecisionBrief.md", "SourcePlan.md", "RiskAssessment.md"],
        JobType::GenerateAndTest
        | JobType::RepairSource
        | JobType::BootstrapSource
        | JobType::BootstrapPortfolio => &["TEST_REPORT.md", "RUNBOOK.md", "RISKS.md"],
        JobType::Task => &["RUNBOOK.md"],
    }
}

/// Whether a job type needs an extractor and records that it wrote.
pub const fn needs_extractor(job_type: JobType) -> bool {
    matches!(
        job_type,
        JobType::GenerateAndTest
            | JobType::RepairSource
            | JobType::BootstrapSource
            | JobType::BootstrapPortfolio
    )
}

/// The job spec of an artifact, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct SpecFile {
    /// The spec.
    pub spec: JobSpec,
    /// Its canonical text (RFC 8785).
    pub canonical: String,
    /// Content id of that text: what an approval approves (D-SPEC-5).
    pub hash: ContentId,
}

impl SpecFile {
    /// Reads one of the spec files of an artifact.
    ///
    /// # Errors
    /// Every violation, with the file and the place in it.
    pub fn read(files: &Files, path: &str) -> Result<Self, Vec<Detail>> {
        let Some(bytes) = files.bytes(path) else {
            return Err(vec![missing(path, "the job spec")]);
        };
        let spec = spec::load(bytes).map_err(|violations| {
            violations
                .iter()
                .map(|v| Detail {
                    at: format!("{path}:{}", v.pointer),
                    rule: v.rule.clone(),
                    message: v.message.clone(),
                    hint: v.hint.clone(),
                })
                .collect::<Vec<_>>()
        })?;
        let canonical = canonical::to_string(&spec)
            .map_err(|error| vec![finding(path, error.to_string(), "write numbers as text")])?;
        let hash = ContentId::of_bytes(canonical.as_bytes());
        Ok(Self {
            spec,
            canonical,
            hash,
        })
    }

    /// When the job is started by itself, if it is.
    pub fn schedule(&self) -> Option<ScheduleDocument> {
        ScheduleDocument::of(&self.spec, self.hash)
    }
}

/// Everything that is wrong with the files of an artifact. `spec` is its own, when it can be read; `research`
/// holds the files of the newest approved research of the job, when there is one.
pub fn findings(files: &Files, spec: Option<&SpecFile>, research: Option<&Files>) -> Vec<Detail> {
    let mut found = Vec::new();
    sizes(files, &mut found);
    content::binaries(files, &mut found);
    if let Some(own) = spec {
        let job_type = own.spec.job_type;
        for document in documents(job_type) {
            needs_text(files, document, &mut found);
        }
        if needs_extractor(job_type) {
            content::extractor(files, &mut found);
            sample(files, &mut found);
        }
        schedule(files, own, &mut found);
        if job_type == JobType::IntakeResearch {
            content::no_code(files, &mut found);
            planned(files, own, &mut found);
        } else {
            follows(files, own, research, &mut found);
        }
    }
    found.sort();
    found.dedup();
    found
}

fn finding(at: impl Into<String>, message: impl Into<String>, hint: &str) -> Detail {
    Detail {
        at: at.into(),
        rule: RULE.to_owned(),
        message: message.into(),
        hint: Some(hint.to_owned()),
    }
}

fn missing(path: &str, what: &str) -> Detail {
    finding(path, format!("{what} is missing"), "add the file")
}

fn sizes(files: &Files, found: &mut Vec<Detail>) {
    let mut total = 0_u64;
    for (path, entry) in files.iter() {
        let Entry::File { size, .. } = entry else {
            continue;
        };
        total = total.saturating_add(*size);
        if *size > MAX_FILE_BYTES {
            let message = format!("has {size} bytes; at most {MAX_FILE_BYTES} are reviewed");
            found.push(finding(
                path,
                message,
                "leave it out, or let the job fetch it",
            ));
        }
    }
    if total > MAX_TOTAL_BYTES {
        let message = format!("all files have {total} bytes; at most {MAX_TOTAL_BYTES} are taken");
        found.push(finding(
            ".",
            message,
            "leave out what the job does not need",
        ));
    }
    if files.len() > MAX_FILES {
        let message = format!("holds {} files; at most {MAX_FILES} are taken", files.len());
        found.push(finding(
            ".",
            message,
            "leave out what the job does not need",
        ));
    }
}

fn needs_text(files: &Files, path: &str, found: &mut Vec<Detail>) {
    match files.bytes(path) {
        None => found.push(missing(path, "the document")),
        Some(bytes) if bytes.trim_ascii().is_empty() => {
            found.push(finding(path, "is empty", "say what the reviewer must know"));
        }
        Some(_) => {}
    }
}

fn sample(files: &Files, found: &mut Vec<Detail>) {
    let Some(bytes) = files.bytes(SAMPLE) else {
        found.push(missing(SAMPLE, "a sample of the output (tx_v1)"));
        return;
    };
    let mut validator = TxValidator::new(None);
    validator.push(bytes);
    let report = validator.finish();
    for violation in &report.violations {
        found.push(Detail {
            at: format!("{SAMPLE}:{}", violation.line),
            rule: RULE.to_owned(),
            message: format!("{}: {}", violation.pointer, violation.message),
            hint: violation.hint.clone(),
        });
    }
    if report.is_valid() && report.count == 0 {
        found.push(finding(
            SAMPLE,
            "holds no record",
            "write what the extractor makes of a test statement",
        ));
    }
}

fn schedule(files: &Files, own: &SpecFile, found: &mut Vec<Detail>) {
    let wanted = own.schedule();
    match (wanted, files.get(SCHEDULE)) {
        (None, None) => {}
        (None, Some(_)) => found.push(Detail {
            rule: "D-SCHED-1".to_owned(),
            ..finding(
                SCHEDULE,
                "the spec has no cadence, so there is no schedule",
                "remove the file, or give the spec a cadence",
            )
        }),
        (Some(wanted), file) => {
            let text = canonical::to_string(&wanted).unwrap_or_default();
            let hint = format!("write exactly: {text}");
            let Some(file) = file.and_then(|_| files.text(SCHEDULE)) else {
                found.push(Detail {
                    rule: "D-SCHED-1".to_owned(),
                    ..finding(
                        SCHEDULE,
                        "the spec has a cadence and this is missing",
                        &hint,
                    )
                });
                return;
            };
            let agrees = ScheduleDocument::read(file).and_then(|file| wanted.agrees_with(&file));
            if let Err(denial) = agrees {
                let whole = finding(SCHEDULE, denial.message, &hint);
                if denial.details.is_empty() {
                    found.push(Detail {
                        rule: denial.rule,
                        ..whole
                    });
                } else {
                    found.extend(denial.details.into_iter().map(|detail| Detail {
                        hint: Some(hint.clone()),
                        ..detail
                    }));
                }
            }
        }
    }
}

/// What research plans must be a job of the same id, with everything decided.
fn planned(files: &Files, own: &SpecFile, found: &mut Vec<Detail>) {
    let (path, decided_about) = if files.get(PLANNED_SPEC).is_some() {
        match SpecFile::read(files, PLANNED_SPEC) {
            Ok(planned) => (PLANNED_SPEC, planned),
            Err(violations) => {
                found.extend(violations);
                return;
            }
        }
    } else {
        (SPEC, own.clone())
    };
    if decided_about.spec.job_id != own.spec.job_id {
        let message = format!(
            "plans the job `{}`, and this is research for `{}`",
            decided_about.spec.job_id, own.spec.job_id
        );
        found.push(finding(
            format!("{PLANNED_SPEC}:/job_id"),
            message,
            "plan the job that the research is for",
        ));
    }
    checklist::findings(files, path, &decided_about.spec, found);
}

/// A job with approved research is the planned one; a job of seed 000 without has everything decided itself.
fn follows(files: &Files, own: &SpecFile, research: Option<&Files>, found: &mut Vec<Detail>) {
    let plan = research.and_then(|research| SpecFile::read(research, PLANNED_SPEC).ok());
    let Some(plan) = plan.filter(|_| own.spec.job_type == JobType::GenerateAndTest) else {
        if own.spec.job_type.is_v1() {
            checklist::findings(files, SPEC, &own.spec, found);
        }
        return;
    };
    let (planned, present) = (fields(&plan.spec), fields(&own.spec));
    let mut names: Vec<&String> = planned.keys().chain(present.keys()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        if planned.get(name) == present.get(name) {
            continue;
        }
        let shown = |fields: &serde_json::Map<String, serde_json::Value>| match fields.get(name) {
            Some(value) => value.to_string(),
            None => "absent".to_owned(),
        };
        found.push(Detail {
            at: format!("{SPEC}:/{name}"),
            rule: "D-SPEC-5".to_owned(),
            message: format!(
                "is {} and was approved in step 1 as {}",
                shown(&present),
                shown(&planned)
            ),
            hint: Some("keep the approved spec, or have changed research approved".to_owned()),
        });
    }
}

/// The fields of a spec that an approval of research binds.
fn fields(spec: &JobSpec) -> serde_json::Map<String, serde_json::Value> {
    let mut fields = match serde_json::to_value(spec) {
        Ok(serde_json::Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    fields.remove("metadata");
    fields.remove("$schema");
    fields
}

#[cfg(test)]
mod tests;
