//! `moorline runs output`: an output of a run, to standard output or into a file.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use futures::TryStreamExt as _;
use moorline_api::{ApiError, ControlPlane, OutputRequest};
use moorline_core::content_id::{ContentHasher, ContentId};
use moorline_core::error_code::ErrorCode;
use serde_json::json;

use super::audit::{beside, unwritable};
use crate::context::Context;
use crate::output;

/// What was fetched.
struct Fetched {
    path: String,
    hash: ContentId,
    size: u64,
}

pub(super) fn run(
    context: &Context<'_>,
    request: OutputRequest,
    out: Option<&Path>,
) -> Result<u8, ApiError> {
    let Some(out) = out else {
        if context.json() {
            let message = "the output goes to stdout, where `--json` wants one document";
            return Err(
                ApiError::new(ErrorCode::Usage, message).hint("write it to a file: `--out FILE`")
            );
        }
        let mut stdout = BufWriter::new(io::stdout().lock());
        context.with_plane(|plane| async move {
            match fetch(&*plane, request, &mut stdout).await {
                // Who closed the pipe does not want the rest.
                Err(Failed::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                done => done
                    .map(drop)
                    .map_err(|failed| failed.at(Path::new("stdout"))),
            }
        })?;
        return Ok(0);
    };
    let partial = beside(out);
    let place = partial.as_path();
    let fetched = context.with_plane(|plane| async move {
        let file = File::create(place).map_err(|error| unwritable(out, &error))?;
        let mut file = BufWriter::new(file);
        let done = fetch(&*plane, request, &mut file).await;
        let done = done.and_then(|fetched| {
            let file = file.into_inner().map_err(io::IntoInnerError::into_error);
            file.and_then(|file| file.sync_all())
                .and_then(|()| fs::rename(place, out))
                .map_err(Failed::Write)?;
            Ok(fetched)
        });
        done.map_err(|failed| failed.at(out))
    });
    let Fetched { path, hash, size } = fetched.inspect_err(|_| {
        // What is not whole is not left behind; that it can not be removed changes nothing.
        drop(fs::remove_file(&partial));
    })?;
    if context.json() {
        output::json(&json!({"path": path, "hash": hash, "size": size, "file": out}));
    } else {
        let size = output::bytes(size);
        output::line(&format!(
            "{path} ({size}, {hash}) written to {}",
            out.display()
        ));
    }
    Ok(0)
}

/// Why nothing whole was written.
enum Failed {
    Read(ApiError),
    Write(io::Error),
}

impl Failed {
    fn at(self, out: &Path) -> ApiError {
        match self {
            Self::Read(error) => error,
            Self::Write(error) => unwritable(out, &error),
        }
    }
}

/// Writes every piece, and compares the whole with what was recorded.
async fn fetch(
    plane: &dyn ControlPlane,
    request: OutputRequest,
    to: &mut impl Write,
) -> Result<Fetched, Failed> {
    let mut pieces = plane.run_output(request);
    let (mut hasher, mut known, mut written) = (ContentHasher::default(), None, 0_u64);
    while let Some(piece) = pieces.try_next().await.map_err(Failed::Read)? {
        let bytes = piece.bytes().map_err(Failed::Read)?;
        hasher.update(&bytes);
        to.write_all(&bytes).map_err(Failed::Write)?;
        written += bytes.len() as u64;
        known = Some(Fetched {
            path: piece.path,
            hash: piece.hash,
            size: piece.size,
        });
    }
    to.flush().map_err(Failed::Write)?;
    match known {
        Some(fetched) if fetched.size == written && fetched.hash == hasher.finish() => Ok(fetched),
        _ => {
            let message = "what came is not the output that was recorded";
            Err(Failed::Read(
                ApiError::new(ErrorCode::BadResponse, message).hint("fetch it again"),
            ))
        }
    }
}
