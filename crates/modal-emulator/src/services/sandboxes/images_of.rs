//! Images made of containers, and images shown in containers.
//!
//! A snapshot lives until it is deleted: the time to live that clients send is not counted.

use std::io;
use std::path::{Path, PathBuf};

use tonic::Status;

use super::command::told;
use super::live::{Live, Main, Place};
use super::record::ExitSnapshot;
use crate::container::Container;
use crate::ids;
use crate::services::{images, mounts};
use crate::world::World;

/// The directory of a layer that lies over `/`.
const ROOT: &str = "root";

/// Makes an image of all that a container of these mounts over this image has become.
pub(crate) async fn of_container(
    world: &World,
    container: &Container,
    image_id: &str,
    mount_ids: &[String],
) -> Result<String, Status> {
    let layer = scratch(world);
    container
        .snapshot(&layer)
        .await
        .map_err(|error| told(&error))?;
    adopt(world, layer, image_id, mount_ids).await
}

/// Makes an image of the files below a path inside.
pub(crate) async fn of_directory(
    world: &World,
    container: &Container,
    path: &str,
) -> Result<String, Status> {
    let layer = scratch(world);
    std::fs::create_dir(&layer).map_err(|error| uncopied(&error))?;
    let copied = container.snapshot_directory(path, &layer.join(ROOT)).await;
    if let Err(error) = copied {
        drop(std::fs::remove_dir_all(layer));
        return Err(told(&error));
    }
    adopt(world, layer, "", &[]).await
}

/// The image of a sandbox that has ended, whose container has stopped.
pub(super) async fn at_exit(world: &World, live: &Live, main: &Main) -> ExitSnapshot {
    let layer = scratch(world);
    let moved = main
        .place
        .container
        .into_layer(&layer)
        .map_err(|error| told(&error));
    let image = match moved {
        Ok(()) => {
            adopt(
                world,
                layer,
                &live.definition.image_id,
                &live.definition.mount_ids,
            )
            .await
        }
        Err(status) => Err(status),
    };
    match image {
        Ok(image_id) => ExitSnapshot::Image(image_id),
        Err(status) => ExitSnapshot::Failed(status.message().to_owned()),
    }
}

/// A directory that shows the files of an image, for a container to be mounted below a layer of its own.
/// What the image adds to the machine's root is shown, not the root itself; of no image, nothing.
pub(crate) async fn shown(world: &World, place: &Place, image_id: &str) -> Result<PathBuf, Status> {
    let into = scratch(world);
    let layers = if image_id.is_empty() {
        Vec::new()
    } else {
        images::root(world, image_id)?.layers
    };
    let mut roots: Vec<PathBuf> = layers.iter().map(|layer| layer.join(ROOT)).collect();
    roots.retain(|root| root.is_dir());
    if let [root] = roots.as_slice() {
        return Ok(root.clone());
    }
    place.remove_at_end(into.clone());
    blocking(move || {
        std::fs::create_dir_all(&into)?;
        roots
            .iter()
            .rev()
            .try_for_each(|root| link_tree(root, &into))?;
        Ok(into)
    })
    .await
}

async fn adopt(
    world: &World,
    layer: PathBuf,
    image_id: &str,
    mount_ids: &[String],
) -> Result<String, Status> {
    let mut base = image_id.to_owned();
    for mount in mount_ids {
        // The files of a mount belong to the image too, though they lay in a layer of their own.
        let (files, copy) = (mounts::layer(world, mount)?, scratch(world));
        let copy = blocking(move || link_tree(&files, &copy).map(|()| copy)).await?;
        base = images::adopt_layer(world, &copy, &base)?;
    }
    images::adopt_layer(world, &layer, &base)
}

fn scratch(world: &World) -> PathBuf {
    world.sandboxes.dir.join(ids::new("layer"))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Status> {
    let done = tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other);
    done.flatten().map_err(|error| uncopied(&error))
}

fn uncopied(error: &io::Error) -> Status {
    Status::failed_precondition(format!(
        "the files of an image could not be copied: {error}"
    ))
}

/// Links the files of a tree into another one, over what is there.
fn link_tree(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            link_tree(&entry.path(), &target)?;
            std::fs::set_permissions(&target, entry.metadata()?.permissions())?;
            continue;
        }
        match std::fs::remove_file(&target) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        if kind.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(entry.path())?, target)?;
        } else {
            std::fs::hard_link(entry.path(), target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_are_laid_over_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for (file, text) in [("old/a/x", "old"), ("old/a/y", "kept"), ("new/a/x", "new")] {
            std::fs::create_dir_all(path(file).parent().unwrap()).unwrap();
            std::fs::write(path(file), text).unwrap();
        }
        std::os::unix::fs::symlink("x", path("new/a/z")).unwrap();
        link_tree(&path("old"), &path("all")).unwrap();
        link_tree(&path("new"), &path("all")).unwrap();
        let text = |name: &str| std::fs::read_to_string(path(name)).unwrap();
        assert_eq!(
            [text("all/a/x"), text("all/a/y"), text("all/a/z")],
            ["new", "kept", "new"]
        );
        assert_eq!(text("old/a/x"), "old");
    }
}
