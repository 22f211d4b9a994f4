//! `moorline modal volume …`

use std::path::{Path, PathBuf};
use std::pin::pin;

use futures::TryStreamExt as _;
use jiff::Timestamp;
use moorline_api::ApiError;
use moorline_core::error_code::ErrorCode;
use moorline_modal_client::transfer::Files;
use moorline_modal_client::volume::{EntryKind, PutOptions, Version, Volume};
use moorline_modal_client::{Client, Existence};
use serde_json::json;

use super::{Modal, io, time, told};
use crate::args::VolumeCommand;
use crate::output;

pub(super) fn run(modal: &Modal<'_>, command: VolumeCommand) -> Result<u8, ApiError> {
    modal.with_client(|client| async move {
        match command {
            VolumeCommand::List => list(modal, &client).await?,
            VolumeCommand::Create { name, version } => {
                let version = version.map(|version| match version {
                    1 => Version::V1,
                    _ => Version::V2,
                });
                let made = client
                    .volumes()
                    .lookup(&name, modal.environment(), Existence::CreateNew, version)
                    .await
                    .map_err(told)?;
                if modal.json() {
                    let version = made.version().to_string();
                    output::json(
                        &json!({"volume_id": made.id(), "name": name, "version": version}),
                    );
                } else {
                    output::note(&format!("created the volume {name} ({})", made.version()));
                }
            }
            VolumeCommand::Delete { name, yes } => {
                super::confirm(
                    yes,
                    &format!("delete the volume {name} and everything in it"),
                )?;
                find(modal, &client, &name)
                    .await?
                    .delete()
                    .await
                    .map_err(told)?;
                output::note(&format!("deleted the volume {name}"));
            }
            VolumeCommand::Ls {
                name,
                path,
                recursive,
            } => {
                ls(modal, &find(modal, &client, &name).await?, &path, recursive).await?;
            }
            VolumeCommand::Put {
                name,
                local,
                remote,
                force,
            } => {
                let volume = find(modal, &client, &name).await?;
                put(modal, &volume, &local, &remote, force).await?;
            }
            VolumeCommand::Get {
                name,
                remote,
                local,
                force,
            } => {
                let volume = find(modal, &client, &name).await?;
                get(modal, &volume, &remote, &local, force).await?;
            }
            VolumeCommand::Rm {
                name,
                path,
                recursive,
            } => {
                let volume = find(modal, &client, &name).await?;
                volume.remove(&path, recursive).await.map_err(told)?;
            }
            VolumeCommand::Cp {
                name,
                paths,
                recursive,
            } => {
                let volume = find(modal, &client, &name).await?;
                if let Some((target, sources)) = paths.split_last() {
                    let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
                    volume
                        .copy(&sources, target, recursive)
                        .await
                        .map_err(told)?;
                }
            }
            VolumeCommand::Rename { name, new_name } => {
                let mut volume = find(modal, &client, &name).await?;
                volume.rename(&new_name).await.map_err(told)?;
                output::note(&format!("the volume {name} is called {new_name} now"));
            }
        }
        Ok(0)
    })
}

async fn find(modal: &Modal<'_>, client: &Client, name: &str) -> Result<Volume, ApiError> {
    let volumes = client.volumes();
    volumes
        .lookup(name, modal.environment(), Existence::MustExist, None)
        .await
        .map_err(told)
}

async fn list(modal: &Modal<'_>, client: &Client) -> Result<(), ApiError> {
    let volumes = client
        .volumes()
        .list(modal.environment())
        .await
        .map_err(told)?;
    if modal.json() {
        let volumes: Vec<_> = volumes
            .iter()
            .map(|volume| {
                json!({
                    "volume_id": volume.id,
                    "name": volume.name,
                    "version": volume.version.to_string(),
                    "created_at": volume.created_at,
                    "created_by": volume.created_by,
                })
            })
            .collect();
        output::json(&volumes);
        return Ok(());
    }
    let rows = volumes.into_iter().map(|volume| {
        vec![
            volume.name,
            volume.version.to_string(),
            time(volume.created_at),
            volume.created_by.unwrap_or_default(),
        ]
    });
    output::table(&["NAME", "VERSION", "CREATED", "BY"], rows.collect());
    Ok(())
}

fn kind(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::File => "file",
        EntryKind::Directory => "dir",
        EntryKind::Symlink => "link",
        EntryKind::Fifo => "fifo",
        EntryKind::Socket => "socket",
        _ => "other",
    }
}

/// Seconds since 1970.
fn at(seconds: u64) -> Option<Timestamp> {
    Timestamp::from_second(i64::try_from(seconds).ok()?).ok()
}

async fn ls(
    modal: &Modal<'_>,
    volume: &Volume,
    path: &str,
    recursive: bool,
) -> Result<(), ApiError> {
    let entries = volume.list(path, recursive);
    let entries: Vec<_> = entries.try_collect().await.map_err(told)?;
    if modal.json() {
        let entries: Vec<_> = entries
            .iter()
            .map(|entry| {
                json!({
                    "path": entry.path,
                    "type": kind(entry.kind),
                    "size": entry.size,
                    "modified_at": at(entry.modified),
                })
            })
            .collect();
        output::json(&entries);
        return Ok(());
    }
    let rows = entries.into_iter().map(|entry| {
        let size = match entry.kind {
            EntryKind::File => output::bytes(entry.size),
            _ => String::new(),
        };
        vec![
            kind(entry.kind).to_owned(),
            size,
            time(at(entry.modified)),
            entry.path,
        ]
    });
    output::table(&["TYPE", "SIZE", "MODIFIED", "PATH"], rows.collect());
    Ok(())
}

async fn put(
    modal: &Modal<'_>,
    volume: &Volume,
    local: &Path,
    remote: &str,
    force: bool,
) -> Result<(), ApiError> {
    let local = modal.context.env.cwd.join(local);
    let shown = local.display().to_string();
    let meta = std::fs::metadata(&local).map_err(io(format!("{shown} can not be read")))?;
    let mut target = remote.to_owned();
    if remote.ends_with('/') {
        let name = local
            .file_name()
            .and_then(|name| name.to_str())
            .ok_or_else(|| {
                ApiError::new(
                    ErrorCode::Usage,
                    format!("{shown} has no name that a volume can hold"),
                )
                .hint("say what it is called there")
            })?;
        target.push_str(name);
    }
    let files = if meta.is_dir() {
        Files::new().directory(&local, target.clone())
    } else {
        Files::new().file(&local, target.clone())
    };
    let options = if force {
        PutOptions::new().overwrite()
    } else {
        PutOptions::new()
    };
    let put = volume.put(&files, options).await.map_err(told)?;
    if modal.json() {
        output::json(&json!({
            "path": target, "files": put.files, "bytes": put.bytes, "bytes_sent": put.sent,
        }));
    } else {
        let (bytes, sent) = (output::bytes(put.bytes), output::bytes(put.sent));
        output::note(&format!(
            "{} files, {bytes}, {sent} sent, at {target}",
            put.files
        ));
    }
    Ok(())
}

async fn get(
    modal: &Modal<'_>,
    volume: &Volume,
    remote: &str,
    local: &Path,
    force: bool,
) -> Result<(), ApiError> {
    if local == Path::new("-") {
        let mut pieces = pin!(volume.read(remote));
        while let Some(piece) = pieces.try_next().await.map_err(told)? {
            output::raw(&piece);
        }
        return Ok(());
    }
    let local = modal.context.env.cwd.join(local);
    let directory = is_directory(volume, remote).await?;
    let target = if directory {
        local
    } else {
        file_target(local, remote)
    };
    if !directory && target.exists() && !force {
        let message = format!("{} exists", target.display());
        return Err(ApiError::new(ErrorCode::Usage, message).hint("give --force to replace it"));
    }
    let got = if directory {
        volume.get_directory(remote, &target).await
    } else {
        volume.get(remote, &target).await
    };
    let got = got.map_err(told)?;
    if modal.json() {
        output::json(&json!({"path": target, "files": got.files, "bytes": got.bytes}));
    } else {
        output::note(&format!(
            "{} files, {}, at {}",
            got.files,
            output::bytes(got.bytes),
            target.display()
        ));
    }
    Ok(())
}

/// A listing of a file is the file itself.
async fn is_directory(volume: &Volume, remote: &str) -> Result<bool, ApiError> {
    let wanted = remote.trim_matches('/');
    if wanted.is_empty() {
        return Ok(true);
    }
    let mut entries = pin!(volume.list(remote, false));
    match entries.try_next().await.map_err(told)? {
        Some(entry) => {
            Ok(entry.path.trim_matches('/') != wanted || entry.kind == EntryKind::Directory)
        }
        // Nothing in it.
        None => Ok(true),
    }
}

fn file_target(local: PathBuf, remote: &str) -> PathBuf {
    let name = remote
        .rsplit('/')
        .find(|part| !part.is_empty())
        .unwrap_or(remote);
    if local.is_dir() {
        local.join(name)
    } else {
        local
    }
}
