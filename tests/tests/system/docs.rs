//! What README and docs print works as printed, and commands stay in their own directory.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use moorline_testkit::moorline::{Moorline, Output, Running, Signal, binary};
use moorline_testkit::moorlined;
use moorline_tests::repository;

/// Pages whose commands are run. Every page with a `sh` block is one; the test looks for others.
fn pages() -> Vec<PathBuf> {
    let root = repository();
    let mut pages = vec![root.join("README.md")];
    for folder in [
        "docs",
        "docs/decisions",
        "examples/bank-statement",
        "examples/hello",
        "examples/job-types",
        "examples/two-step",
        "examples/validation-workflow",
    ] {
        let entries = fs::read_dir(root.join(folder)).unwrap();
        pages.extend(
            entries
                .map(|e| e.unwrap().path())
                .filter(|p| p.extension().is_some_and(|x| x == "md")),
        );
    }
    pages.sort();
    pages
}

/// The commands of a page's `sh` blocks, joined over continued lines.
fn commands(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap();
    let mut commands = Vec::new();
    let mut inside = false;
    let mut open = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside && matches!(line.trim(), "```sh" | "```bash" | "```console");
            continue;
        }
        let line = line.trim();
        if !inside || line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("$ ").unwrap_or(line);
        if let Some(start) = line.strip_suffix('\\') {
            open.push_str(start);
            continue;
        }
        open.push_str(line);
        commands.push(std::mem::take(&mut open));
    }
    commands
}

/// Where pages say that a server listens. Here it takes a free port, and commands get that one.
const PRINTED: &str = "http://127.0.0.1:7420";
/// For one command, and for a server to end.
const PATIENCE: Duration = Duration::from_mins(1);

/// A page being followed: a home of its own, and the server that the page has started.
struct Follower {
    home: Moorline,
    path: String,
    server: Option<(Running, String)>,
}

impl Follower {
    fn new() -> Self {
        let moorline = binary("moorline").unwrap();
        let programs = moorline.parent().unwrap().display();
        let path = moorline_testkit::env::read("PATH").unwrap_or_default();
        Self {
            home: Moorline::new().unwrap(),
            path: format!("{programs}:{path}"),
            server: None,
        }
    }

    /// A shell with a clean environment, in the repository. State goes to a place of the test's own, as
    /// `MOORLINE_STATE` allows.
    fn shell(&self, command: &str) -> std::process::Command {
        let mut shell = sh(command);
        shell
            .env_clear()
            .env("PATH", &self.path)
            .env("HOME", self.home.root())
            .env("MOORLINE_STATE", self.home.state_dir())
            .current_dir(repository())
            .stdin(std::process::Stdio::null());
        shell
    }

    /// A line that ends with ` &`: a server, which goes on until the end of the page.
    fn start(&mut self, command: &str) {
        let mut shell = self.shell(&format!("exec {command}"));
        let server = Running::start(shell.env("MOORLINE_SERVER_BIND", "127.0.0.1:0")).unwrap();
        let url = moorlined::listening(&server).unwrap();
        assert!(self.server.replace((server, url)).is_none(), "`{command}`");
    }

    fn run(&self, command: &str) -> Output {
        let command = match &self.server {
            Some((_, url)) => command.replace(PRINTED, url),
            None => command.to_owned(),
        };
        let mut shell = self.shell(&command);
        Running::start(&mut shell).unwrap().wait(PATIENCE).unwrap()
    }

    /// Ends the server as Ctrl-C does, and it ends well.
    fn end(self, page: &Path) {
        if let Some((mut server, _)) = self.server {
            server.signal(Signal::INT).unwrap();
            let output = server.wait(PATIENCE).unwrap();
            assert_eq!(output.code, Some(0), "{}\n{output}", page.display());
        }
    }
}

/// Whether a command may end with this code: 0, or the one of `# exits CODE` behind it. `# exits CODE where …`
/// depends on the machine.
fn is_expected(command: &str, code: Option<i32>) -> bool {
    let Some((_, said)) = command.split_once("# exits ") else {
        return code == Some(0);
    };
    let digits = said.find(|c: char| !c.is_ascii_digit());
    let (number, rest) = said.split_at(digits.unwrap_or(said.len()));
    number.parse().ok() == code || (rest.starts_with(" where") && code == Some(0))
}

/// L09 and L25: every command is run as it is printed, in the order of its page, with the repository as
/// the working directory. `cargo run --bin moorline --` stands for the binary that was built already;
/// `cargo xtask …` is what runs this test, so only that the command is known is checked.
#[test]
fn every_command_of_the_documentation_works_as_printed() {
    let mut told = BTreeSet::new();
    let mut servers = BTreeSet::new();
    for page in pages() {
        let mut follower = Follower::new();
        for command in commands(&page) {
            let runnable = command.replace("cargo run --bin moorline --", "moorline");
            let built = ["cargo build", "cargo run", "cargo test", "cargo xtask"];
            if built.iter().any(|start| runnable.starts_with(start)) {
                told.insert(command);
                continue;
            }
            if let Some(server) = runnable.strip_suffix(" &") {
                follower.start(server);
                servers.insert(page.file_name().map(ToOwned::to_owned));
                continue;
            }
            let output = follower.run(&runnable);
            assert!(
                is_expected(&command, output.code),
                "{}: `{command}`\n{output}",
                page.display()
            );
        }
        follower.end(&page);
    }
    assert!(told.contains("cargo xtask test"), "{told:?}");
    assert!(servers.contains(&Some("tutorial.md".into())), "{servers:?}");
}

#[expect(clippy::disallowed_methods, reason = "pages are written for a shell")]
fn sh(command: &str) -> std::process::Command {
    let mut shell = std::process::Command::new("/bin/sh");
    shell.args(["-c", command]);
    shell
}

/// L26: commands write nothing outside their state directory.
#[test]
fn commands_write_only_below_their_state_directory() {
    let moorline = Moorline::new().unwrap();
    let hello = repository().join("examples/hello");
    let hello = hello.to_str().unwrap();
    let before = listing(moorline.root(), &moorline.state_dir());
    let job_before = listing(Path::new(hello), Path::new("/nowhere"));
    for arguments in [
        vec!["init"],
        vec!["run", hello],
        vec!["runs", "list"],
        vec!["runs", "show", "latest"],
        vec!["runs", "logs", "latest"],
        vec!["stop", "all"],
        vec!["release", "all", "--reason", "r"],
        vec!["events", "list"],
        vec!["audit", "verify"],
        vec!["doctor"],
        vec!["job", "validate", hello],
    ] {
        let output = moorline.run(&arguments).unwrap();
        assert_eq!(output.code, Some(0), "{arguments:?}\n{output}");
    }
    assert_eq!(listing(moorline.root(), &moorline.state_dir()), before);
    assert_eq!(listing(Path::new(hello), Path::new("/nowhere")), job_before);
}

/// Every path below `root` but those below `except`.
fn listing(root: &Path, except: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut pending = vec![root.to_path_buf()];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path == except {
                continue;
            }
            if path.is_dir() && !path.is_symlink() {
                pending.push(path.clone());
            }
            found.insert(path);
        }
    }
    found
}
