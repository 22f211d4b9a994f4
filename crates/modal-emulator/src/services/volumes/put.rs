//! Writing files: `VolumePutFiles` (version 1: by the hash of the whole file) and `VolumePutFiles2` (version
//! 2: by blocks, in at most two rounds).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

use moorline_modal_proto::client::volume_put_files2_request::{
    Block as SentBlock, File as SentFile,
};
use moorline_modal_proto::client::volume_put_files2_response::MissingBlock;
use moorline_modal_proto::client::{
    VolumeFsVersion, VolumePutFiles2Request, VolumePutFiles2Response, VolumePutFilesRequest,
};
use tempfile::TempPath;
use tonic::Status;

use super::blocks::{BLOCK, Block, EMPTY_SHA256, Place, Upload, read_token};
use super::tree::{Tree, TreeError, normal_name};
use super::{Volumes, blocking, of_version};
use crate::call::{Call, Meta};
use crate::ids;
use crate::services::named::now;
use crate::world::World;

/// The mode of a file for which none is given.
const FILE_MODE: u32 = 0o644;

fn stored(error: &io::Error) -> Status {
    Status::failed_precondition(format!("the emulator can not store the file: {error}"))
}

fn effects(meta: &Meta, volume: &str, paths: impl Iterator<Item = PathBuf>) {
    for path in paths {
        meta.effect("volume.put", format!("{volume}/{}", path.display()));
    }
}

/// The paths of new files, after the checks that are made before anything is written.
fn targets<'r>(
    tree: &Tree,
    paths: impl Iterator<Item = &'r str>,
    keep_existing: bool,
) -> Result<Vec<PathBuf>, TreeError> {
    let mut targets = Vec::new();
    for path in paths {
        let target = normal_name(path)?;
        if keep_existing && tree.exists(&target)? {
            return Err(TreeError::Exists {
                path: target.display().to_string(),
            });
        }
        targets.push(target);
    }
    Ok(targets)
}

/// `VolumePutFiles`.
pub(super) async fn put_files(
    world: Arc<World>,
    call: Call<VolumePutFilesRequest>,
) -> Result<(), Status> {
    let request = call.message;
    let dir = of_version(&world, &request.volume_id, VolumeFsVersion::V1)?;
    blocking(move || {
        let tree = Tree::open(&dir)?;
        let names = request.files.iter().map(|file| file.filename.as_str());
        let targets = targets(&tree, names, request.disallow_overwrite_existing_files)?;
        let content = &world.storage.content;
        if let Some(file) = request
            .files
            .iter()
            .find(|file| !content.has(&file.sha256_hex))
        {
            let (name, sha256) = (&file.filename, &file.sha256_hex);
            let text = format!("the content of '{name}' ({sha256}) was not uploaded");
            return Err(Status::failed_precondition(text));
        }
        for (file, target) in request.files.iter().zip(&targets) {
            let staged = TempPath::try_from_path(world.storage.volumes.staging());
            let staged = staged.map_err(|error| stored(&error))?;
            content
                .copy_to(&file.sha256_hex, &staged)
                .map_err(|error| stored(&error))?;
            let mode = file.mode.filter(|mode| *mode != 0).unwrap_or(FILE_MODE);
            tree.place(&staged, mode, target)?;
        }
        effects(&call.meta, &request.volume_id, targets.into_iter());
        Ok(())
    })
    .await
}

/// `VolumePutFiles2`.
pub(super) async fn put_files2(
    world: Arc<World>,
    call: Call<VolumePutFiles2Request>,
) -> Result<VolumePutFiles2Response, Status> {
    let dir = of_version(&world, &call.message.volume_id, VolumeFsVersion::V2)?;
    blocking(move || {
        let tree = Tree::open(&dir)?;
        let names = call.message.files.iter().map(|file| file.path.as_str());
        let keep_existing = call.message.disallow_overwrite_existing_files;
        let targets = targets(&tree, names, keep_existing)?;
        let put = Put {
            world: &world,
            volume: &call.message.volume_id,
            tree: &tree,
        };
        let sources = call.message.files.iter().map(|file| put.sources(file));
        let sources = sources.collect::<Result<Vec<_>, Status>>()?;
        if sources
            .iter()
            .flatten()
            .any(|source| matches!(source, Source::Missing(_)))
        {
            let missing_blocks = put.ask(&call.message.files, &sources)?;
            return Ok(VolumePutFiles2Response { missing_blocks });
        }
        put.commit(&call.message.files, &targets, sources)?;
        effects(&call.meta, &call.message.volume_id, targets.into_iter());
        Ok(VolumePutFiles2Response::default())
    })
    .await
}

/// Where the bytes of one block are.
#[derive(Debug)]
enum Source {
    /// Nowhere: it is zero bytes.
    Zero,
    /// In the staged file of an upload.
    Landed {
        upload: String,
        staged: Arc<Upload>,
        number: u64,
        block: Block,
    },
    /// In a file of a volume, opened when its state was the known one.
    Stored {
        file: File,
        number: u64,
        block: Block,
    },
    Missing([u8; 32]),
}

struct Put<'w> {
    world: &'w World,
    volume: &'w str,
    tree: &'w Tree,
}

impl Put<'_> {
    fn volumes(&self) -> &Volumes {
        &self.world.storage.volumes
    }

    /// Finds every block of a file.
    fn sources(&self, file: &SentFile) -> Result<Vec<Source>, Status> {
        if file.size.div_ceil(BLOCK) != file.blocks.len() as u64 {
            let (path, size, blocks) = (&file.path, file.size, file.blocks.len());
            let text = format!("'{path}' of {size} bytes can not have {blocks} blocks of 8 MiB");
            return Err(Status::invalid_argument(text));
        }
        file.blocks.iter().map(|block| self.source(block)).collect()
    }

    fn source(&self, sent: &SentBlock) -> Result<Source, Status> {
        let sha256 = <[u8; 32]>::try_from(&*sent.contents_sha256)
            .map_err(|_| Status::invalid_argument("contents_sha256 is not 32 bytes long"))?;
        if sha256 == EMPTY_SHA256 {
            return Ok(Source::Zero);
        }
        if let Some((upload, number)) = sent.put_response.as_deref().and_then(read_token)
            && let Some(staged) = self.volumes().upload(upload)
            && let Some(block) = staged.block(number)
            && block.sha256 == sha256
        {
            return Ok(Source::Landed {
                upload: upload.to_owned(),
                staged,
                number,
                block,
            });
        }
        Ok(self.known(&sha256).unwrap_or(Source::Missing(sha256)))
    }

    /// A block that some file of a volume has.
    fn known(&self, sha256: &[u8; 32]) -> Option<Source> {
        let (place, stamp, number, length) = self.volumes().index().find(sha256)?;
        let dir = super::directory(self.world, &place.volume).ok()?;
        let (file, now) = Tree::open(&dir).ok()?.file(&place.path).ok()?;
        let block = Block {
            sha256: *sha256,
            length,
        };
        (now == stamp).then_some(Source::Stored {
            file,
            number: number as u64,
            block,
        })
    }

    /// Stages a file for each that lacks blocks, and asks for each missing block once.
    fn ask(
        &self,
        files: &[SentFile],
        sources: &[Vec<Source>],
    ) -> Result<Vec<MissingBlock>, Status> {
        let mut asked = HashSet::new();
        let mut missing = Vec::new();
        for (file_index, (file, sources)) in files.iter().zip(sources).enumerate() {
            let wanted: BTreeMap<u64, [u8; 32]> = (0..)
                .zip(sources)
                .filter_map(|(number, source)| match source {
                    Source::Missing(sha256) if asked.insert(*sha256) => Some((number, *sha256)),
                    _ => None,
                })
                .collect();
            if wanted.is_empty() {
                continue;
            }
            let numbers: Vec<u64> = wanted.keys().copied().collect();
            let upload = Upload::new(self.volumes().staging(), file.size, wanted, now());
            let id = ids::new("up");
            self.volumes()
                .uploads()
                .insert(id.clone(), Arc::new(upload.map_err(|e| stored(&e))?));
            missing.extend(numbers.into_iter().map(|block_index| {
                MissingBlock {
                    file_index: file_index as u64,
                    block_index,
                    put_url: self
                        .world
                        .url(&format!("/volumes/blocks/{id}/{block_index}")),
                }
            }));
        }
        Ok(missing)
    }

    /// Puts every file together and into its place.
    fn commit(
        &self,
        files: &[SentFile],
        targets: &[PathBuf],
        sources: Vec<Vec<Source>>,
    ) -> Result<(), Status> {
        // Files that are made by copying go first: a staged file that becomes a file is moved away.
        let mut moved: HashMap<String, usize> = HashMap::new();
        for (at, (file, sources)) in files.iter().zip(&sources).enumerate() {
            if let Some(upload) = whole_upload(file, sources) {
                moved.entry(upload).or_insert(at);
            }
        }
        let mut staged = Vec::new();
        for (at, (file, sources)) in files.iter().zip(&sources).enumerate() {
            if moved.values().all(|moves| *moves != at) {
                staged.push((at, self.assemble(file, sources)?));
            }
        }
        let blocks: Vec<Vec<Block>> = sources.iter().map(|sources| blocks(sources)).collect();
        drop(sources);
        let place = |at: usize, path: &std::path::Path| -> Result<(), Status> {
            let (Some(file), Some(target)) = (files.get(at), targets.get(at)) else {
                return Ok(());
            };
            let mode = file.mode.filter(|mode| *mode != 0).unwrap_or(FILE_MODE);
            let stamp = self.tree.place(path, mode, target)?;
            let place = Place {
                volume: self.volume.to_owned(),
                path: target.clone(),
            };
            let known = blocks.get(at).cloned().unwrap_or_default();
            self.volumes().index().insert(place, stamp, known);
            Ok(())
        };
        for (at, path) in staged {
            place(at, &path)?;
        }
        for (upload, at) in moved {
            let taken = self.volumes().uploads().remove(&upload);
            if let Some(upload) = taken {
                place(at, &upload.path)?;
            }
        }
        Ok(())
    }

    /// A new staged file with the bytes of the blocks.
    fn assemble(&self, file: &SentFile, sources: &[Source]) -> Result<TempPath, Status> {
        let path = self.volumes().staging();
        let copying = || -> io::Result<TempPath> {
            let mut target = File::options().write(true).create_new(true).open(&path)?;
            let path = TempPath::try_from_path(&path)?;
            target.set_len(file.size)?;
            for (at, source) in (0..).zip(sources) {
                let (from, number, length) = match source {
                    Source::Zero | Source::Missing(_) => continue,
                    Source::Landed {
                        staged,
                        number,
                        block,
                        ..
                    } => (&*staged.file(), *number, block.length),
                    Source::Stored {
                        file,
                        number,
                        block,
                    } => (file, *number, block.length),
                };
                copy_range(from, number * BLOCK, &mut target, at * BLOCK, length)?;
            }
            Ok(path)
        };
        copying().map_err(|error| stored(&error))
    }
}

fn copy_range(from: &File, start: u64, to: &mut File, at: u64, length: u64) -> io::Result<()> {
    // A descriptor of its own position: others read the same file.
    let mut from = File::open(format!(
        "/proc/self/fd/{}",
        std::os::fd::AsRawFd::as_raw_fd(from)
    ))?;
    from.seek(SeekFrom::Start(start))?;
    to.seek(SeekFrom::Start(at))?;
    // In the kernel where it can: `copy_file_range`.
    if io::copy(&mut from.take(length), to)? != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

/// The upload whose staged file is exactly this file.
fn whole_upload(file: &SentFile, sources: &[Source]) -> Option<String> {
    let mut whole: Option<&str> = None;
    for (at, source) in (0..).zip(sources) {
        match source {
            Source::Zero => {}
            Source::Landed {
                upload,
                staged,
                number,
                ..
            } if *number == at
                && staged.size == file.size
                && whole.is_none_or(|whole| whole == upload) =>
            {
                whole = Some(upload);
            }
            _ => return None,
        }
    }
    whole.map(str::to_owned)
}

fn blocks(sources: &[Source]) -> Vec<Block> {
    let block = |source: &Source| match source {
        Source::Zero => Block {
            sha256: EMPTY_SHA256,
            length: 0,
        },
        Source::Missing(sha256) => Block {
            sha256: *sha256,
            length: 0,
        },
        Source::Landed { block, .. } | Source::Stored { block, .. } => *block,
    };
    sources.iter().map(block).collect()
}
