use std::cell::Cell;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

struct Volume {
    dir: tempfile::TempDir,
    tree: Tree,
    staged: Cell<u32>,
}

fn volume() -> Volume {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("live")).unwrap();
    fs::write(dir.path().join("outside"), "secret").unwrap();
    let tree = Tree::open(&dir.path().join("live")).unwrap();
    Volume {
        dir,
        tree,
        staged: Cell::new(0),
    }
}

impl Volume {
    fn staging(&self) -> PathBuf {
        self.staged.set(self.staged.get() + 1);
        self.dir
            .path()
            .join(format!("staged-{}", self.staged.get()))
    }

    fn put(&self, path: &str, content: &str) -> Result<Stamp, TreeError> {
        let staged = self.staging();
        fs::write(&staged, content).unwrap();
        self.tree.place(&staged, 0o640, &normal_name(path).unwrap())
    }

    fn live(&self, path: &str) -> PathBuf {
        self.dir.path().join("live").join(path)
    }

    fn paths(&self, path: &str, recursive: bool) -> Vec<String> {
        let entries = self.tree.list(Path::new(path), recursive).unwrap();
        entries.into_iter().map(|entry| entry.path).collect()
    }
}

#[test]
fn files_are_placed_below_new_directories_with_their_mode() {
    let volume = volume();
    volume.put("/a/b/c.txt", "one").unwrap();
    volume.put("a/b/c.txt", "two").unwrap();
    assert_eq!(fs::read_to_string(volume.live("a/b/c.txt")).unwrap(), "two");
    let mode = fs::metadata(volume.live("a/b/c.txt"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o640);
    assert_eq!(volume.paths("", false), ["a"]);
    assert_eq!(volume.paths("", true), ["a", "a/b", "a/b/c.txt"]);
    assert_eq!(volume.paths("a/b", false), ["a/b/c.txt"]);
    assert_eq!(volume.paths("a/b/c.txt", true), ["a/b/c.txt"]);
    assert!(matches!(
        volume.put("a/b", "x"),
        Err(TreeError::IsDirectory { .. })
    ));
    assert!(matches!(
        volume.put("a/b/c.txt/d", "x"),
        Err(TreeError::NotADirectory { .. })
    ));
}

#[test]
fn no_path_and_no_link_leads_out() {
    let volume = volume();
    for path in ["..", "a/../../outside", "/../outside", "a\0b"] {
        assert!(
            matches!(normal(path), Err(TreeError::Invalid { .. })),
            "{path}"
        );
    }
    symlink(volume.dir.path().join("outside"), volume.live("absolute")).unwrap();
    symlink("../outside", volume.live("relative")).unwrap();
    symlink("..", volume.live("up")).unwrap();
    symlink("/", volume.live("root")).unwrap();
    symlink("/proc/self/root", volume.live("magic")).unwrap();
    for path in [
        "absolute",
        "relative",
        "up/outside",
        "root/etc/passwd",
        "magic/etc/passwd",
    ] {
        let read = volume.tree.file(Path::new(path));
        assert!(
            matches!(read, Err(TreeError::Escapes { .. })),
            "{path}: {read:?}"
        );
    }
    for path in ["up/new", "root/tmp/new", "up/outside"] {
        let put = volume.put(path, "x");
        assert!(
            matches!(put, Err(TreeError::Escapes { .. })),
            "{path}: {put:?}"
        );
        let removed = volume.tree.remove(Path::new(path), true);
        assert!(
            matches!(removed, Err(TreeError::Escapes { .. })),
            "{path}: {removed:?}"
        );
    }
    // A link itself is listed, replaced and removed, never what it leads to.
    assert_eq!(volume.paths("up", true), ["up"]);
    volume.put("relative", "mine").unwrap();
    volume.tree.remove(Path::new("up"), true).unwrap();
    assert_eq!(
        fs::read_to_string(volume.dir.path().join("outside")).unwrap(),
        "secret"
    );
    assert_eq!(fs::read_to_string(volume.live("relative")).unwrap(), "mine");
}

#[test]
fn a_link_that_stays_inside_is_followed() {
    let volume = volume();
    volume.put("real/file", "x").unwrap();
    symlink("real", volume.live("link")).unwrap();
    volume.put("link/other", "y").unwrap();
    assert_eq!(fs::read_to_string(volume.live("real/other")).unwrap(), "y");
    assert!(volume.tree.file(Path::new("link/file")).is_ok());
}

#[test]
fn directories_are_removed_only_when_asked_for_and_links_in_them_are_not_followed() {
    let volume = volume();
    fs::create_dir(volume.dir.path().join("precious")).unwrap();
    fs::write(volume.dir.path().join("precious/file"), "x").unwrap();
    volume.put("d/e/f", "x").unwrap();
    symlink(volume.dir.path().join("precious"), volume.live("d/e/link")).unwrap();
    let refused = volume.tree.remove(Path::new("d"), false);
    assert!(matches!(refused, Err(TreeError::IsDirectory { .. })));
    volume.tree.remove(Path::new("d"), true).unwrap();
    assert!(volume.dir.path().join("precious/file").exists());
    assert!(matches!(
        volume.tree.remove(Path::new("d"), true),
        Err(TreeError::NotFound { .. })
    ));
}

#[test]
fn copies_follow_the_rules_of_cp() {
    let volume = volume();
    let copy = |from: &str, to: &str, recursive| {
        volume
            .tree
            .copy(Path::new(from), Path::new(to), recursive, &|| {
                volume.staging()
            })
    };
    volume.put("a/one", "1").unwrap();
    volume.put("a/in/two", "2").unwrap();
    volume.put("b/x", "x").unwrap();
    copy("a/one", "b", false).unwrap();
    copy("a/one", "three", false).unwrap();
    assert!(matches!(
        copy("a", "c", false),
        Err(TreeError::IsDirectory { .. })
    ));
    copy("a", "c", true).unwrap();
    copy("a", "b", true).unwrap();
    assert!(matches!(
        copy("a", "a/in/deeper", true),
        Err(TreeError::Invalid { .. })
    ));
    assert!(matches!(
        copy("a/one", "no/such", false),
        Err(TreeError::NotFound { .. })
    ));
    assert!(matches!(
        copy("none", "b", false),
        Err(TreeError::NotFound { .. })
    ));
    let expected = [
        "a",
        "a/in",
        "a/in/two",
        "a/one",
        "b",
        "b/a",
        "b/a/in",
        "b/a/in/two",
        "b/a/one",
        "b/one",
        "b/x",
        "c",
        "c/in",
        "c/in/two",
        "c/one",
        "three",
    ];
    assert_eq!(volume.paths("", true), expected);
    assert_eq!(
        fs::read_dir(volume.dir.path()).unwrap().count(),
        2,
        "nothing staged is left over"
    );
}

#[test]
fn a_directory_to_be_mounted_is_one_of_the_volume() {
    let volume = volume();
    let live = fs::canonicalize(volume.live("")).unwrap();
    let real = |path: &str| {
        let path = normal(path)?;
        volume.tree.make_directories(&path)?;
        volume.tree.real_path(&path)
    };
    assert_eq!(real("").unwrap(), live);
    assert_eq!(real("/users/me").unwrap(), live.join("users/me"));
    symlink("users", volume.live("link")).unwrap();
    assert_eq!(real("link/me").unwrap(), live.join("users/me"));
    symlink("/", volume.live("root")).unwrap();
    assert!(matches!(real("root/etc"), Err(TreeError::Escapes { .. })));
}
