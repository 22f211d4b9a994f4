//! Where groups can be made.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::{Controller, Version};

/// A directory below which a group can be made, and what such a group can limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    pub(crate) parent: PathBuf,
    pub(crate) version: Version,
    pub(crate) controllers: Vec<Controller>,
}

const ALL: [Controller; 3] = [Controller::Memory, Controller::Pids, Controller::Cpu];

/// The hierarchies that this process may use, from its own groups and the mount table.
pub(crate) fn find() -> io::Result<Vec<Hierarchy>> {
    let groups = fs::read_to_string("/proc/self/cgroup")?;
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    Ok(find_in(&groups, &mounts))
}

fn find_in(groups: &str, mounts: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for line in groups.lines() {
        // `hierarchy:controllers:path`; the second version has no controllers there.
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(names), Some(path)) = (fields.next(), fields.next()) else {
            continue;
        };
        let hierarchy = if names.is_empty() {
            second(mounts, path)
        } else {
            first(mounts, names, path)
        };
        found.extend(hierarchy);
    }
    // Where both versions are mounted, a controller is in one of them only.
    found
}

fn first(mounts: &str, names: &str, path: &str) -> Option<Hierarchy> {
    let is_ours = |controller: &Controller| names.split(',').any(|name| name == controller.name());
    let controllers: Vec<_> = ALL.into_iter().filter(is_ours).collect();
    let name = controllers.first()?.name();
    let parent = directory(mounts, "cgroup", Some(name), path)?;
    writable(&parent).then_some(Hierarchy {
        parent,
        version: Version::V1,
        controllers,
    })
}

/// In the second version a group with processes in it can not hand controllers down (the root excepted),
/// so the new group goes beside this process's own, where its parent hands them down already.
fn second(mounts: &str, path: &str) -> Option<Hierarchy> {
    let own = directory(mounts, "cgroup2", None, path)?;
    let parent = own.parent().filter(|_| path != "/").map(Path::to_owned);
    [Some(own), parent]
        .into_iter()
        .flatten()
        .find_map(|parent| {
            let handed_down = fs::read_to_string(parent.join("cgroup.subtree_control")).ok()?;
            let is_there = |controller: &Controller| {
                handed_down
                    .split_whitespace()
                    .any(|name| name == controller.name())
            };
            let controllers: Vec<_> = ALL.into_iter().filter(is_there).collect();
            let usable = !controllers.is_empty() && writable(&parent);
            usable.then_some(Hierarchy {
                parent,
                version: Version::V2,
                controllers,
            })
        })
}

/// The directory of a group in the file system.
fn directory(mounts: &str, kind: &str, controller: Option<&str>, path: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        // proc(5): `id parent major:minor root point options … - type source superoptions`.
        let (mount, kind_and_options) = line.split_once(" - ")?;
        let mut fields = kind_and_options.split(' ');
        if fields.next() != Some(kind) {
            return None;
        }
        let options = fields.nth(1)?;
        if controller.is_some_and(|name| !options.split(',').any(|option| option == name)) {
            return None;
        }
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        // In a container the mount may show a part of the hierarchy only.
        let below = if root == "/" {
            path
        } else {
            path.strip_prefix(root)?
        };
        Some(Path::new(point).join(below.trim_start_matches('/')))
    })
}

fn writable(dir: &Path) -> bool {
    access(dir, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(kind: &str, root: &str, point: &Path, options: &str) -> String {
        format!(
            "30 23 0:26 {root} {} rw,relatime shared:9 - {kind} none rw,{options}\n",
            point.display()
        )
    }

    #[test]
    fn the_first_version_is_found_by_controller_below_the_own_group() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join("memory/a/b")).unwrap();
        let mounts = mount("cgroup", "/", &home.path().join("memory"), "memory")
            + &mount("cgroup", "/", &home.path().join("absent"), "pids");
        let found = find_in("5:pids:/x\n4:memory:/a/b\n1:name=systemd:/\n", &mounts);
        let expected = Hierarchy {
            parent: home.path().join("memory/a/b"),
            version: Version::V1,
            controllers: vec![Controller::Memory],
        };
        assert_eq!(found, [expected]);
    }

    #[test]
    fn the_second_version_is_used_where_controllers_are_handed_down() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join("user/leaf")).unwrap();
        let control = |dir: &str, text: &str| {
            fs::write(home.path().join(dir).join("cgroup.subtree_control"), text).unwrap();
        };
        let mounts = mount("cgroup2", "/", home.path(), "nsdelegate");
        let find = || find_in("0::/user/leaf\n", &mounts);
        control("user", "cpuset");
        control("user/leaf", "");
        assert_eq!(find(), [], "nothing is handed down");
        control("user", "cpu memory pids\n");
        let beside = Hierarchy {
            parent: home.path().join("user"),
            version: Version::V2,
            controllers: ALL.to_vec(),
        };
        assert_eq!(find(), [beside]);
        control("user/leaf", "pids");
        assert_eq!(find()[0].parent, home.path().join("user/leaf"));
    }

    #[test]
    fn a_mount_that_shows_a_part_is_seen_from_there() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join("inner")).unwrap();
        let mounts = mount("cgroup", "/docker/1", home.path(), "pids");
        let found = find_in("3:pids:/docker/1/inner\n", &mounts);
        assert_eq!(found[0].parent, home.path().join("inner"));
        assert_eq!(find_in("3:pids:/elsewhere\n", &mounts), []);
    }
}
