//! An output of a run, read back: the bytes that were recorded, or why there are none.
//!
//! What is asked for is looked up among the outputs that the run recorded, so a path names one of them or
//! nothing. The file is opened beneath the run's own directory without following a link (`openat2`), and its
//! content is compared with the recorded hash before the first byte is given. What a machine that shares its
//! store does not have, it takes from there ([`crate::shared`]).
//!
//! Outputs were searched for secrets before they were recorded (D-RUN-6). What was set apart because one was
//! found is given to nobody (D-RUN-7): the person who looks into it reads it where it lies.
//!
//! Deliberately absent: outputs above [`LARGEST`], and what retention has removed.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use moorline_api::{ApiError, OutputChunk, OutputRequest};
use moorline_core::content_id::ContentId;
use moorline_core::denial::Denial;
use moorline_core::error_code::{ErrorCode, OutputsRule};
use moorline_core::paths::OutputPath;
use moorline_core::run::{OutputRef, Run};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};

use crate::engine::{Engine, Inner};
use crate::error::io_error;
use crate::shared::blocking;

/// The largest output that is given, in bytes: what an attempt may write where its spec says nothing.
const LARGEST: u64 = 4 << 30;
/// Bytes of a piece.
const PIECE: u64 = 64 << 10;
/// Outputs that an error names.
const NAMED: usize = 10;

/// What an output is read from.
type Source = Box<dyn Read + Send>;

/// The pieces of an output.
pub(crate) fn stream(
    engine: Engine,
    request: OutputRequest,
) -> BoxStream<'static, Result<OutputChunk, ApiError>> {
    async_stream::try_stream! {
        let inner = &engine.inner;
        let run = inner.must_get(inner.find(&request.run).await?).await?;
        let (step, output) = recorded(&run, &request)?;
        let mut source = inner.output(&run, step, output).await?;
        let mut offset = 0;
        loop {
            let (rest, content) = piece(source).await.map_err(io_error("read an output"))?;
            source = rest;
            let length = content.len() as u64;
            if length == 0 && offset < output.size {
                Err::<(), _>(lost(&run, output))?;
            }
            yield OutputChunk {
                path: output.path.clone(),
                hash: output.hash,
                size: output.size,
                offset,
                content: BASE64_STANDARD.encode(content),
            };
            offset += length;
            if offset >= output.size {
                break;
            }
        }
    }
    .boxed()
}

async fn piece(mut source: Source) -> io::Result<(Source, Vec<u8>)> {
    blocking(move || {
        let mut content = Vec::new();
        source.by_ref().take(PIECE).read_to_end(&mut content)?;
        Ok((source, content))
    })
    .await
}

/// The output that is asked for, and its step: the last one that wrote the path, or the one of that content.
fn recorded<'r>(
    run: &'r Run,
    request: &OutputRequest,
) -> Result<(&'r str, &'r OutputRef), ApiError> {
    let path: OutputPath = request.path.parse().map_err(|error| {
        ApiError::new(ErrorCode::Usage, "that is no path of an output").because(error)
    })?;
    let outputs = run.steps.iter().flat_map(|step| {
        let outputs = step.outputs.iter();
        outputs.map(move |output| (step.name.as_str(), output))
    });
    let wanted = |(_, output): &(&str, &OutputRef)| {
        output.path == path.as_str() && request.hash.is_none_or(|hash| hash == output.hash)
    };
    outputs.clone().rfind(wanted).ok_or_else(|| {
        let message = format!("run {} has no output `{path}`", run.id);
        let known: Vec<&str> = outputs.map(|(_, output)| output.path.as_str()).collect();
        let hint = match known.len() {
            0 => "it has left no outputs so far".to_owned(),
            many => {
                let more = if many > NAMED { ", …" } else { "" };
                let first: Vec<&str> = known.into_iter().take(NAMED).collect();
                format!("it has {}{more}", first.join(", "))
            }
        };
        ApiError::new(ErrorCode::NotFound, message).hint(hint)
    })
}

impl Inner {
    /// Where the recorded bytes of an output are to be had.
    async fn output(&self, run: &Run, step: &str, output: &OutputRef) -> Result<Source, ApiError> {
        if output.size > LARGEST {
            let message = format!(
                "the output `{}` has {} bytes, and at most {LARGEST} are given",
                output.path, output.size
            );
            let place = self.config.dirs.run(run.id);
            let hint = format!("it is on its machine, below {}", place.display());
            return Err(ApiError::new(ErrorCode::TooLarge, message).hint(hint));
        }
        let root = self.config.dirs.run(run.id);
        let places = places(run, step, output)?;
        let wanted = output.clone();
        let found = blocking(move || {
            for place in &places {
                if let Some(file) = open(&root, place, &wanted)? {
                    return Ok(Some(file));
                }
            }
            Ok(None)
        });
        let found = found.await.map_err(io_error("open an output"))?;
        if let Some(file) = found {
            return Ok(Box::new(file));
        }
        match self.shared_output(run.id, step, output).await? {
            Some(bytes) if ContentId::of_bytes(&bytes) == output.hash => {
                Ok(Box::new(Cursor::new(bytes)))
            }
            _ => Err(lost(run, output)),
        }
    }
}

/// Where an output may be, relative to the run's directory.
fn places(run: &Run, step: &str, output: &OutputRef) -> Result<Vec<PathBuf>, ApiError> {
    let kept = Path::new("outputs").join(step).join(&output.path);
    let class = run.failure.as_ref().map(|failure| failure.class);
    match class.map(|class| class.rule().outputs) {
        Some(OutputsRule::Quarantined) => {
            let message = format!(
                "the outputs of run {} were set apart, since a secret was found in what it wrote",
                run.id
            );
            Err(Denial::new(ErrorCode::Forbidden, "D-RUN-7", message)
                .hint("whoever looks into the leak reads them where they lie: `moorline runs show RUN`")
                .into())
        }
        // They are moved there when the run is over, which may be now.
        Some(_) => Ok(vec![Path::new("archive").join(&kept), kept]),
        None => Ok(vec![kept]),
    }
}

/// Opens what was recorded. Nothing where it is not there, is no file, was reached by a link, or is another
/// content by now.
fn open(root: &Path, place: &Path, output: &OutputRef) -> io::Result<Option<File>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let there = openat(CWD, root, flags, Mode::empty()).and_then(|root| {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        openat2(root, place, flags, Mode::empty(), resolve)
    });
    let mut file = match there.map(File::from) {
        Ok(file) => file,
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR) => {
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let found = file.metadata()?;
    if !found.is_file() || found.len() != output.size || ContentId::of_reader(&file)? != output.hash
    {
        return Ok(None);
    }
    file.rewind()?;
    Ok(Some(file))
}

fn lost(run: &Run, output: &OutputRef) -> ApiError {
    let message = format!(
        "the output `{}` of run {} is not kept here as it was recorded",
        output.path, run.id
    );
    ApiError::new(ErrorCode::NotFound, message).hint(
        "retention removed it, or it is on the machine that made it: large files are not shared between machines",
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn output(path: &str, content: &[u8]) -> OutputRef {
        OutputRef {
            path: path.to_owned(),
            hash: ContentId::of_bytes(content),
            size: content.len() as u64,
            export: true,
        }
    }

    fn read(root: &Path, place: &str, output: &OutputRef) -> Option<Vec<u8>> {
        let mut file = open(root, Path::new(place), output).unwrap()?;
        let mut content = Vec::new();
        file.read_to_end(&mut content).unwrap();
        Some(content)
    }

    #[test]
    fn only_the_file_that_was_recorded_is_opened() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("run");
        fs::create_dir_all(root.join("outputs/one/deep")).unwrap();
        fs::write(root.join("outputs/one/deep/a.txt"), "told").unwrap();
        let told = output("deep/a.txt", b"told");
        let place = "outputs/one/deep/a.txt";
        assert_eq!(read(&root, place, &told).unwrap(), b"told");
        assert_eq!(read(&root, "outputs/one/b.txt", &told), None);
        assert_eq!(read(&root, "outputs/one/deep", &told), None);
        assert_eq!(read(&home.path().join("other"), place, &told), None);
        fs::write(root.join(place), "else").unwrap();
        assert_eq!(read(&root, place, &told), None, "another content");
    }

    #[test]
    fn no_link_is_followed_and_nothing_outside_is_reached() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("run");
        fs::create_dir_all(root.join("outputs/one")).unwrap();
        fs::create_dir(home.path().join("outside")).unwrap();
        let outside = home.path().join("outside/a.txt");
        fs::write(&outside, "told").unwrap();
        symlink(&outside, root.join("outputs/one/a.txt")).unwrap();
        symlink(home.path().join("outside"), root.join("outputs/two")).unwrap();
        let told = output("a.txt", b"told");
        assert_eq!(read(&root, "outputs/one/a.txt", &told), None);
        assert_eq!(read(&root, "outputs/two/a.txt", &told), None);
        open(&root, Path::new("../outside/a.txt"), &told).unwrap_err();
    }
}
