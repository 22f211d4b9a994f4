//! From an archive to a directory: nothing leaves it, and nothing but files, directories and links comes out.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};

use moorline_api::{ApiError, directory};
use moorline_core::denial::Denial;
use moorline_core::error_code::ErrorCode;
use tar::EntryType;

/// The most entries of one archive.
const ENTRIES: usize = 50_000;
/// The longest path, in bytes.
const LONGEST_PATH: usize = 1024;

/// Unpacks an archive into a directory that exists and is empty; at most so many bytes of files.
///
/// # Errors
/// [`ErrorCode::Usage`] with D-AUDIT-2 for an absolute path, `..`, a link out of the directory, a device, or
/// a path that comes twice; [`ErrorCode::TooLarge`] beyond the limits.
pub(super) fn unpack(archive: impl Read, root: &Path, limit: u64) -> Result<(), ApiError> {
    let mut left = limit;
    let mut seen = BTreeSet::new();
    let mut links: Vec<(PathBuf, PathBuf)> = Vec::new();
    let mut archive = tar::Archive::new(archive);
    for entry in archive.entries().map_err(|error| broken(&error))? {
        let mut entry = entry.map_err(|error| broken(&error))?;
        let kind = entry.header().entry_type();
        // Said of the entries that follow; the reader has taken it in.
        if matches!(kind, EntryType::XGlobalHeader) {
            continue;
        }
        let path = entry.path().map_err(|error| broken(&error))?;
        let path = plain(&path)?;
        if path.as_os_str().is_empty() {
            continue;
        }
        if seen.len() >= ENTRIES {
            let message = format!("the archive has more than {ENTRIES} entries");
            return Err(ApiError::new(ErrorCode::TooLarge, message)
                .hint("leave out what the job does not need"));
        }
        let again = !seen.insert(path.clone());
        if again && kind != EntryType::Directory {
            return Err(refused(&path, "comes twice"));
        }
        match kind {
            EntryType::Directory => {
                fs::create_dir_all(root.join(&path)).map_err(|error| super::kept(&error))?;
            }
            EntryType::Regular | EntryType::Continuous => {
                let executable = entry.header().mode().is_ok_and(|mode| mode & 0o111 != 0);
                let size = entry.size();
                left = left.checked_sub(size).ok_or_else(|| {
                    let message = format!("the archive holds more than {} MiB", limit >> 20);
                    ApiError::new(ErrorCode::TooLarge, message)
                        .hint("send less, or have `server.upload_limit_mb` raised")
                })?;
                write(&mut entry, &root.join(&path), executable)?;
            }
            EntryType::Symlink => {
                let target = entry.link_name().map_err(|error| broken(&error))?;
                let target = target.ok_or_else(|| refused(&path, "is a link to nothing"))?;
                if !directory::stays_inside(&path.to_string_lossy(), &target) {
                    return Err(refused(&path, "is a link out of the directory"));
                }
                links.push((path, target.into_owned()));
            }
            _ => return Err(refused(&path, "is neither a file, a directory nor a link")),
        }
    }
    // Last, so that nothing is written through one of them.
    for (path, target) in &links {
        let path = path.as_path();
        let below = seen
            .iter()
            .any(|other| *other != path && other.starts_with(path));
        if below {
            return Err(refused(path, "is a link and a directory"));
        }
        let place = root.join(path);
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent).map_err(|error| super::kept(&error))?;
        }
        symlink(target, place).map_err(|error| super::kept(&error))?;
    }
    // By way of another link, a target can be elsewhere than its text says.
    let inside = root.canonicalize().map_err(|error| super::kept(&error))?;
    for (path, _) in &links {
        match root.join(path).canonicalize() {
            Ok(target) if target.starts_with(&inside) => {}
            Ok(_) => return Err(refused(path, "is a link out of the directory")),
            Err(_) => return Err(refused(path, "is a link to nothing")),
        }
    }
    Ok(())
}

fn write(entry: &mut impl Read, place: &Path, executable: bool) -> Result<(), ApiError> {
    if let Some(parent) = place.parent() {
        fs::create_dir_all(parent).map_err(|error| super::kept(&error))?;
    }
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(if executable { 0o755 } else { 0o644 })
        .open(place)
        .map_err(|error| super::kept(&error))?;
    io::copy(entry, &mut file).map_err(|error| broken(&error))?;
    Ok(())
}

/// A path of an archive without `./`.
fn plain(path: &Path) -> Result<PathBuf, ApiError> {
    if path.as_os_str().len() > LONGEST_PATH {
        return Err(refused(path, "is longer than 1024 bytes"));
    }
    if path.to_str().is_none_or(|text| text.contains('\0')) {
        return Err(refused(path, "is not UTF-8"));
    }
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => plain.push(part),
            Component::CurDir => {}
            Component::ParentDir => return Err(refused(path, "leaves the directory")),
            Component::RootDir | Component::Prefix(_) => {
                return Err(refused(path, "is absolute"));
            }
        }
    }
    Ok(plain)
}

fn refused(path: &Path, why: &str) -> ApiError {
    let message = format!("`{}` of the archive {why}", path.display());
    let denial = Denial::new(ErrorCode::Usage, "D-AUDIT-2", message);
    denial
        .hint("pack files, directories and links within the directory alone")
        .into()
}

fn broken(error: &io::Error) -> ApiError {
    ApiError::new(
        ErrorCode::Usage,
        format!("the body is no tar archive: {error}"),
    )
    .hint("send a directory as `tar --create` packs it, as `application/x-tar`")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// An archive of entries: kind, path, what is in it or where it leads to.
    fn archive(entries: &[(EntryType, &str, &str)]) -> Vec<u8> {
        let mut packed = tar::Builder::new(Vec::new());
        for (kind, path, said) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(if *said == "true" { 0o777 } else { 0o600 });
            // As it is, since the builder refuses what an attacker would write.
            let name = &mut header.as_old_mut().name;
            name[..path.len()].copy_from_slice(path.as_bytes());
            let data = if kind.is_file() { said.as_bytes() } else { b"" };
            if kind.is_symlink() || *kind == EntryType::Link {
                header.as_old_mut().linkname[..said.len()].copy_from_slice(said.as_bytes());
            }
            header.set_size(data.len() as u64);
            header.set_cksum();
            packed.append(&header, data).unwrap();
        }
        packed.into_inner().unwrap()
    }

    fn unpacked(entries: &[(EntryType, &str, &str)]) -> Result<tempfile::TempDir, ApiError> {
        let root = tempfile::tempdir().unwrap();
        unpack(archive(entries).as_slice(), root.path(), 1 << 20).map(|()| root)
    }

    #[test]
    fn files_directories_and_links_come_out_as_they_went_in() {
        let root = unpacked(&[
            (EntryType::Directory, "./", ""),
            (EntryType::Regular, "./job_spec.json", "{}"),
            (EntryType::Symlink, "latest.sh", "steps/run.sh"),
            (EntryType::Regular, "steps/run.sh", "true"),
        ])
        .unwrap();
        let text = fs::read_to_string(root.path().join("latest.sh")).unwrap();
        assert_eq!(text, "true");
        let mode = |name: &str| {
            let data = fs::metadata(root.path().join(name)).unwrap();
            data.permissions().mode() & 0o777
        };
        assert_eq!(mode("steps/run.sh") & 0o700, 0o700);
        assert_eq!(mode("job_spec.json") & 0o100, 0);
    }

    #[test]
    fn nothing_leaves_the_directory() {
        let file = EntryType::Regular;
        for entries in [
            vec![(file, "/etc/passwd", "x")],
            vec![(file, "../outside", "x")],
            vec![(file, "a/../../outside", "x")],
            vec![(EntryType::Symlink, "out", "/etc")],
            vec![(EntryType::Symlink, "a/out", "../../etc")],
            vec![
                (EntryType::Directory, "p/q", ""),
                (EntryType::Symlink, "p/q/root", "../.."),
                (EntryType::Symlink, "out", "p/q/root/.."),
            ],
            vec![(EntryType::Symlink, "nowhere", "missing")],
            vec![(EntryType::Link, "hard", "/etc/passwd")],
            vec![(EntryType::Char, "device", "")],
            vec![(EntryType::Fifo, "pipe", "")],
            vec![(EntryType::Symlink, "a", "b"), (file, "a/x", "x")],
            vec![(file, "twice", "x"), (file, "twice", "y")],
        ] {
            let error = unpacked(&entries).unwrap_err();
            assert_eq!(error.code, ErrorCode::Usage, "{entries:?}: {error}");
            assert!(error.message.contains("D-AUDIT-2"), "{error}");
        }
    }

    #[test]
    fn what_is_too_large_or_no_archive_is_refused() {
        let large = "x".repeat((1 << 20) + 1);
        let error = unpacked(&[(EntryType::Regular, "large", &large)]).unwrap_err();
        assert_eq!(error.code, ErrorCode::TooLarge);
        let root = tempfile::tempdir().unwrap();
        let error = unpack([7_u8; 1024].as_slice(), root.path(), 1 << 20).unwrap_err();
        assert_eq!(error.code, ErrorCode::Usage);
    }
}
