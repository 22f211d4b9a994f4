//! What of a directory is part of a job: one rule for everybody who packs one.
//!
//! Plain files, whether they may be executed, and symbolic links that stay inside. Names of caches, version
//! control and state are passed over; sockets, devices, links that leave, and names that are not UTF-8 can be no
//! part of a job, and all of them are told at once.
//!
//! Deliberately absent: keeping the files.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use moorline_core::content_id::{ContentId, TreeEntry, TreeNode};
use rustix::fs::OFlags;

/// Names that are never part of a job: state, version control, caches.
pub const SKIPPED: &[&str] = &[
    ".moorline",
    ".git",
    "__pycache__",
    ".venv",
    "node_modules",
    "target",
];

/// Links that are followed one after the other: as many as Linux follows.
const MOST_LINKS: usize = 40;

/// One file or link of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryFile {
    /// Its path below the directory, segments joined by `/`.
    pub relative: String,
    /// Where it is.
    pub source: PathBuf,
    /// Its target, when it is a link.
    pub link: Option<PathBuf>,
    /// Whether anybody may execute it.
    pub executable: bool,
}

impl DirectoryFile {
    /// Opens the file that was surveyed, and nothing that a link was put in its place to lead to.
    ///
    /// # Errors
    /// When it can not be read, is a link by now, or is no plain file any more.
    pub fn open(&self) -> io::Result<File> {
        // A pipe in its place would be waited for.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let flags = flags.bits().cast_signed();
        let file = File::options()
            .read(true)
            .custom_flags(flags)
            .open(&self.source)?;
        if !file.metadata()?.is_file() {
            let what = format!("{} is no plain file any more", self.source.display());
            return Err(io::Error::other(what));
        }
        Ok(file)
    }
}

/// Why something can be no part of a job.
#[derive(Debug, thiserror::Error)]
#[error("{path} {why}")]
pub struct Unfit {
    /// Its path below the directory.
    pub path: String,
    /// What is wrong with it, and what to do.
    pub why: String,
}

/// Lists a directory without reading its files: what is part of the job, and all that can not be.
///
/// # Errors
/// When a directory can not be read.
pub fn survey(dir: &Path) -> io::Result<(Vec<DirectoryFile>, Vec<Unfit>)> {
    Survey::passing_over(SKIPPED).of(dir)
}

/// As [`survey`], but that no name is passed over.
///
/// # Errors
/// As [`survey`].
pub fn survey_all(dir: &Path) -> io::Result<(Vec<DirectoryFile>, Vec<Unfit>)> {
    Survey::passing_over(&[]).of(dir)
}

/// The content id of these files: order and times do not matter (D-ART-2).
///
/// # Errors
/// When a file can not be read.
pub fn content_id(files: &[DirectoryFile]) -> io::Result<ContentId> {
    let mut entries = Vec::with_capacity(files.len());
    for file in files {
        let node = match &file.link {
            Some(target) => TreeNode::Symlink {
                target: target.to_string_lossy().into_owned(),
            },
            None => TreeNode::File {
                executable: file.executable,
                content: ContentId::of_reader(file.open()?)?,
            },
        };
        entries.push(TreeEntry {
            path: file.relative.clone(),
            node,
        });
    }
    ContentId::of_tree(entries).map_err(io::Error::other)
}

/// A directory while it is looked through.
struct Survey {
    skipped: &'static [&'static str],
    files: Vec<DirectoryFile>,
    unfit: Vec<Unfit>,
}

impl Survey {
    const fn passing_over(skipped: &'static [&'static str]) -> Self {
        Self {
            skipped,
            files: Vec::new(),
            unfit: Vec::new(),
        }
    }

    fn of(mut self, dir: &Path) -> io::Result<(Vec<DirectoryFile>, Vec<Unfit>)> {
        self.walk(dir, "")?;
        // By way of another link, a target can be elsewhere than its text says.
        let links: BTreeMap<&str, &Path> = self
            .files
            .iter()
            .filter_map(|file| Some((file.relative.as_str(), file.link.as_deref()?)))
            .collect();
        let leaving: Vec<Unfit> = links
            .keys()
            .filter(|link| !ends_inside(link, &links))
            .map(|link| leaves(link))
            .collect();
        self.files
            .retain(|file| leaving.iter().all(|unfit| unfit.path != file.relative));
        self.unfit.extend(leaving);
        Ok((self.files, self.unfit))
    }

    fn walk(&mut self, dir: &Path, prefix: &str) -> io::Result<()> {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let under = |name: &str| {
                if prefix.is_empty() {
                    name.to_owned()
                } else {
                    format!("{prefix}/{name}")
                }
            };
            let name = match entry.file_name().into_string() {
                Ok(name) => name,
                Err(name) => {
                    self.unfit.push(Unfit {
                        path: under(&name.to_string_lossy()),
                        why: "has a name that is not UTF-8; rename it".to_owned(),
                    });
                    continue;
                }
            };
            if self.skipped.contains(&name.as_str()) {
                continue;
            }
            let relative = under(&name);
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.walk(&entry.path(), &relative)?;
            } else if kind.is_symlink() {
                let link = fs::read_link(entry.path())?;
                if !stays_inside(&relative, &link) || link.to_str().is_none() {
                    self.unfit.push(leaves(&relative));
                    continue;
                }
                let source = entry.path();
                self.files.push(DirectoryFile {
                    relative,
                    source,
                    link: Some(link),
                    executable: false,
                });
            } else if kind.is_file() {
                let executable = entry.metadata()?.permissions().mode() & 0o111 != 0;
                self.files.push(DirectoryFile {
                    relative,
                    source: entry.path(),
                    link: None,
                    executable,
                });
            } else {
                self.unfit.push(Unfit {
                    path: relative,
                    why: "is neither a file nor a directory; leave it out".to_owned(),
                });
            }
        }
        Ok(())
    }
}

fn leaves(link: &str) -> Unfit {
    Unfit {
        path: link.to_owned(),
        why: "is a link that leaves the job directory; copy its target there instead".to_owned(),
    }
}

/// Whether a link ends below the root when every link on its way is followed, as the system would. Each step is
/// looked at, so it does not matter whether there is anything at the end; a circle ends nowhere.
fn ends_inside(link: &str, links: &BTreeMap<&str, &Path>) -> bool {
    let mut at: Vec<String> = Vec::new();
    let mut ahead: Vec<String> = link.rsplit('/').map(str::to_owned).collect();
    let mut followed = 0;
    while let Some(part) = ahead.pop() {
        if part == ".." {
            if at.pop().is_none() {
                return false;
            }
            continue;
        }
        at.push(part);
        let Some(target) = links.get(at.join("/").as_str()) else {
            continue;
        };
        followed += 1;
        if followed > MOST_LINKS {
            return false;
        }
        at.pop();
        for part in target.components().rev() {
            match part {
                Component::Normal(name) => ahead.push(name.to_string_lossy().into_owned()),
                Component::ParentDir => ahead.push("..".to_owned()),
                Component::CurDir => {}
                Component::RootDir | Component::Prefix(_) => return false,
            }
        }
    }
    true
}

/// Whether a link at `relative` (below the root, joined by `/`) that points to `target` stays below the root, by
/// its text alone: where another link is on the way, only a [`survey`] of the whole directory tells.
pub fn stays_inside(relative: &str, target: &Path) -> bool {
    let mut depth = relative.matches('/').count();
    for part in target.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_inside_or_do_not() {
        assert!(stays_inside("sub/link", Path::new("../a")));
        assert!(stays_inside("link", Path::new("./sub/../a")));
        assert!(!stays_inside("link", Path::new("../a")));
        assert!(!stays_inside("sub/link", Path::new("../../a")));
        assert!(!stays_inside("link", Path::new("/etc/passwd")));
    }

    /// The text of each of these links stays inside; the place that it leads to does not.
    #[test]
    fn a_link_that_leaves_by_way_of_another_is_no_part_of_a_job() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "canary").unwrap();
        let root = outside.path().join("job");
        fs::create_dir_all(root.join("p/q")).unwrap();
        fs::write(root.join("plain"), "1").unwrap();
        let links = [
            ("p/q/up", "../.."),
            ("out", "p/q/up/../secret"),
            ("later", "p/q/up/../not-yet"),
            ("twice", "out"),
            ("circle", "circle"),
            ("inside", "p/q/up/plain"),
        ];
        for (link, target) in links {
            std::os::unix::fs::symlink(target, root.join(link)).unwrap();
        }
        assert_eq!(fs::read_to_string(root.join("out")).unwrap(), "canary");
        let (files, unfit) = survey(&root).unwrap();
        let mut unfit: Vec<_> = unfit.into_iter().map(|unfit| unfit.path).collect();
        unfit.sort();
        assert_eq!(unfit, ["circle", "later", "out", "twice"]);
        let mut files: Vec<_> = files.into_iter().map(|file| file.relative).collect();
        files.sort();
        assert_eq!(files, ["inside", "p/q/up", "plain"]);
    }

    /// Between the survey and the reading, a file becomes a link.
    #[test]
    fn a_file_that_became_a_link_is_not_opened() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("secret"), "canary").unwrap();
        let root = home.path().join("job");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("input"), "1").unwrap();
        let (files, _) = survey(&root).unwrap();
        assert!(content_id(&files).is_ok());
        fs::remove_file(root.join("input")).unwrap();
        std::os::unix::fs::symlink("../secret", root.join("input")).unwrap();
        assert!(content_id(&files).is_err());
        fs::remove_file(root.join("input")).unwrap();
        fs::create_dir(root.join("input")).unwrap();
        assert!(content_id(&files).is_err());
    }
}
