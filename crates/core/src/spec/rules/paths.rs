//! Rules on paths: of outputs, of mounts, and of files in the job directory.

use std::collections::HashSet;

use crate::paths::{OutputPath, OutputPathError};
use crate::spec::parts::Parts;
use crate::spec::step::{OutputDecl, OutputFormat, RecordSchema, Step};
use crate::spec::violation::Violation;

pub(super) fn check(parts: &Parts, found: &mut Vec<Violation>) {
    for (pointer, input) in parts.inputs.iter() {
        if let Some(path) = &input.default {
            inside_job(format!("{pointer}/default"), path, found);
        }
    }
    let mut exported = HashSet::new();
    for (pointer, step) in parts.steps.iter() {
        if let Some(path) = &step.working_dir {
            inside_job(format!("{pointer}/working_dir"), path, found);
        }
        mounts(pointer, step, found);
        let mut own = HashSet::new();
        for (index, output) in step.outputs.iter().enumerate() {
            let place = format!("{pointer}/outputs/{index}");
            let Some(path) = output_path(&place, output, found) else {
                continue;
            };
            let first_here = own.insert(path.clone());
            let first_export = !output.export || exported.insert(path);
            // L08: two writers of one file.
            if !(first_here && first_export) {
                let message = if first_here {
                    "is exported by an earlier step as well"
                } else {
                    "is the path of an earlier output of this step as well"
                };
                found.push(Violation::new(format!("{place}/path"), "D-RUN-6", message));
            }
            records(&place, output, found);
        }
    }
}

/// The path of an output; reported when it is none, or not canonical as it stands.
fn output_path(place: &str, output: &OutputDecl, found: &mut Vec<Violation>) -> Option<OutputPath> {
    let pointer = format!("{place}/path");
    match output.path.parse::<OutputPath>() {
        Ok(path) if path.as_str() == output.path => Some(path),
        Ok(path) => {
            let violation = Violation::new(pointer, "D-RUN-6", "is not canonical");
            found.push(violation.with_hint(format!("write `{path}`")));
            Some(path)
        }
        Err(error) => {
            found.push(refused(
                pointer,
                "D-RUN-6",
                "is not a path for an output",
                &error,
            ));
            None
        }
    }
}

/// The schema of an output, and whether its format can have one.
fn records(place: &str, output: &OutputDecl, found: &mut Vec<Violation>) {
    let pointer = format!("{place}/format");
    match (output.record_schema(), output.effective_format()) {
        (Some(RecordSchema::TxV1), OutputFormat::Json | OutputFormat::Any) => {
            let violation = Violation::new(
                pointer,
                "D-RUN-6",
                "must be `jsonl` with the schema `tx_v1`",
            );
            found.push(violation.with_hint("leave `format` out"));
        }
        (Some(RecordSchema::File(_)), OutputFormat::Any) => {
            let message = "must be `json` or `jsonl` where a schema is given";
            found.push(Violation::new(pointer, "D-RUN-6", message));
        }
        _ => {}
    }
    if let Some(RecordSchema::File(path)) = output.record_schema() {
        inside_job(format!("{place}/schema"), path, found);
    }
}

fn mounts(pointer: &str, step: &Step, found: &mut Vec<Violation>) {
    let mut seen = HashSet::new();
    for (index, mount) in step.mounts.iter().enumerate() {
        let place = format!("{pointer}/mounts/{index}/path");
        let inside = mount.path.strip_prefix('/').map(str::parse::<OutputPath>);
        match inside {
            Some(Ok(path)) if path.as_str() == mount.path.trim_start_matches('/') => {
                if !seen.insert(path) {
                    found.push(Violation::new(
                        place,
                        "D-SPEC-4b",
                        "is the path of an earlier mount",
                    ));
                }
            }
            _ => {
                let violation =
                    Violation::new(place, "D-SPEC-4b", "is not an absolute canonical path");
                found.push(violation.with_hint("as in `/data/exports`, and not `/` itself"));
            }
        }
    }
}

/// Checks a path of the job directory: relative, and without a way out.
fn inside_job(pointer: String, path: &str, found: &mut Vec<Violation>) {
    // `.` is the directory itself.
    if path == "." {
        return;
    }
    if let Err(error) = path.parse::<OutputPath>() {
        let message = "is not a path inside the job directory";
        found.push(refused(pointer, "D-SPEC-4c", message, &error));
    }
}

fn refused(pointer: String, rule: &str, message: &str, error: &OutputPathError) -> Violation {
    Violation::new(pointer, rule, format!("{message}: {}", error.problem()))
}
