//! Everything that a sandbox is given as files: the job directory, the inputs, the request.
//!
//! They travel as mounts, whose files are sent by content: what Modal has already is not sent again, so the
//! second run of a job sends its request and its input document. No secret is among them.

use std::path::{Path, PathBuf};

use moorline_core::attempt::{Attempt, InputFile};
use moorline_modal_client::transfer::Files;

use super::NAME;
use crate::executor::ExecutorError;
use crate::supervise::guest::{self, GuestRequest};
use crate::supervise::prepare::is_plain;

/// The attempt as the sandbox sees it: the same, with paths that exist there.
pub(super) fn inside(attempt: &Attempt) -> Attempt {
    let mut inside = attempt.clone();
    inside.bundle = guest::JOB.into();
    let moved = |file: &mut InputFile| {
        file.source = Path::new(guest::INPUT).join(&file.path);
    };
    inside.inputs.values_mut().for_each(moved);
    inside
        .steps
        .values_mut()
        .flat_map(|step| &mut step.outputs)
        .for_each(moved);
    for mount in &mut inside.mounts {
        mount.source = PathBuf::from(&mount.path);
    }
    inside
}

/// The files of an attempt's mount.
///
/// # Errors
/// When the attempt has a file that a sandbox can not be given.
pub(super) fn files(attempt: &Attempt, request: &GuestRequest) -> Result<Files, ExecutorError> {
    let written = |value: Result<Vec<u8>, serde_json::Error>| {
        value.map_err(|error| ExecutorError::io("writing the request", error.into()))
    };
    let document = attempt.input_document(guest::INPUT);
    let mut files = Files::new()
        .bytes(written(serde_json::to_vec(request))?, guest::REQUEST)
        .bytes(
            written(serde_json::to_vec(&document))?,
            format!("{}/input.json", guest::INPUT),
        )
        .directory(&attempt.bundle, guest::JOB);
    for file in attempt.input_files() {
        if !is_plain(Path::new(&file.path)) {
            let what = format!(
                "take the input path `{}`, which leaves the input directory",
                file.path
            );
            return Err(ExecutorError::unsupported(NAME, what));
        }
        files = files.file(&file.source, format!("{}/{}", guest::INPUT, file.path));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modal::launch;
    use crate::modal::tests::attempt;

    fn with_input(path: &str) -> Attempt {
        let mut attempt = attempt();
        let input = InputFile {
            source: "/data/may.ofx".into(),
            path: path.to_owned(),
            size: 3,
        };
        attempt.inputs.insert("statement".to_owned(), input);
        attempt
    }

    #[test]
    fn the_sandbox_sees_paths_of_its_own() {
        let inside = inside(&with_input("statement/may.ofx"));
        assert_eq!(
            inside.inputs["statement"].source,
            Path::new("/in/statement/may.ofx")
        );
        assert_eq!(inside.bundle, Path::new("/job"));
    }

    #[test]
    fn an_input_does_not_leave_its_directory() {
        let request = |attempt: &Attempt| launch::request(attempt, &[], Vec::new(), 0);
        let good = with_input("statement/may.ofx");
        assert!(files(&good, &request(&good)).is_ok());
        for path in ["../x", "/x"] {
            let bad = with_input(path);
            assert!(files(&bad, &request(&bad)).is_err(), "{path}");
        }
    }
}
