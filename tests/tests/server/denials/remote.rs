//! The command line against a server: each operation without a token, without the right to it, and from another
//! project. The exit code is that of the table, `--json` gives one document with the error, and nothing happens.

use std::fs::File;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use moorline_api::routes::{Route, route};
use moorline_api::{Operation, authorization};
use moorline_core::principal::Role;
use moorline_testkit::moorline::{Moorline, Output, Running};

use super::super::support::PATIENCE;
use super::Estate;
use super::commands::{Asked, COMMANDS, Other};

/// Commands at once: each is a process.
const AT_ONCE: usize = 4;

/// A person's machine, without any state.
struct Laptop {
    moorline: Moorline,
    server: String,
}

impl Laptop {
    fn new(estate: &Estate) -> Self {
        let moorline = Moorline::new().unwrap();
        std::fs::write(moorline.root().join("value"), "a value").unwrap();
        Self {
            moorline,
            server: estate.server.url().to_owned(),
        }
    }

    /// Runs a command of the table, with this token where there is one.
    fn ask(&self, words: &[String], token: Option<&str>) -> Output {
        let mut command = self.moorline.bare_command();
        command
            .args(["--server", &self.server, "--json"])
            .args(words);
        command.envs(token.map(|token| ("MOORLINE_TOKEN", token)));
        // Those that read a secret get one.
        command.stdin(File::open(self.moorline.root().join("value")).unwrap());
        Running::start(&mut command)
            .unwrap()
            .wait(PATIENCE)
            .unwrap()
    }
}

/// The words of a command, about the things of the estate: those in capitals stand for them.
fn words(estate: &Estate, laptop: &Laptop, form: &[&str]) -> Vec<String> {
    let out = laptop.moorline.root().join("out");
    let thing = |word: &&str| match *word {
        "OUT" => out.display().to_string(),
        "SOURCE" => estate.things["source_id"].clone(),
        "run:RUN" => format!("run:{}", estate.things["run"]),
        word if word.chars().any(char::is_lowercase) => word.to_owned(),
        word => {
            let thing = estate.things.get(word.to_lowercase().as_str());
            thing.cloned().unwrap_or_else(|| word.to_owned())
        }
    };
    form.iter().map(thing).collect()
}

/// What is wrong with a refusal, if anything: it has this exit code, and one document, which is this error.
fn wrong(output: &Output, exit: i32, code: &str, rule: &str) -> Option<String> {
    let document = output.json().unwrap_or_default();
    let error = &document["error"];
    let alone = document
        .as_object()
        .is_some_and(|members| members.len() == 1);
    let told = output.stderr.contains(code) && error.to_string().contains(rule);
    let holds = output.code == Some(exit) && alone && error["code"] == code && told;
    (!holds).then(|| format!("not {exit} {code} {rule}: {output}"))
}

/// One command that has to be refused.
struct Case<'t> {
    route: &'static Route,
    words: Vec<String>,
    token: Option<&'t str>,
    exit: i32,
    code: &'static str,
    rule: &'static str,
}

/// Tries all, several at once, and says which were not refused as they have to be.
fn all_refused(laptop: &Laptop, cases: &[Case<'_>]) {
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let output = laptop.ask(&case.words, case.token);
                    if let Some(wrong) = wrong(&output, case.exit, case.code, case.rule) {
                        let line = format!("{} {:?}: {wrong}", case.route.name, case.words);
                        found.lock().unwrap().push(line);
                    }
                }
            });
        }
    });
    assert_eq!(found.into_inner().unwrap(), Vec::<String>::new());
}

/// Every command of the table with its route.
fn every_command(estate: &Estate, laptop: &Laptop) -> Vec<(&'static Route, Vec<String>, Other)> {
    let commands = COMMANDS.iter().filter_map(|(name, asked)| match asked {
        Asked::By(form, other) => Some((
            route(name).expect("a route of the list"),
            words(estate, laptop, form),
            *other,
        )),
        Asked::Within(..) => None,
    });
    commands.collect()
}

/// L28: no command does anything without a token, or with one that lets nobody in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_command_does_anything_without_a_token() {
    let estate = Estate::new().await;
    let laptop = Laptop::new(&estate);
    let unknown = format!("mlt_acme_{}_{}", "0".repeat(32), "A".repeat(43));
    let before = estate.history().await;
    let mut cases = Vec::new();
    for (route, words, _) in every_command(&estate, &laptop) {
        for token in [None, Some(unknown.as_str())] {
            cases.push(Case {
                route,
                words: words.clone(),
                token,
                exit: 77,
                code: "ERR_UNAUTHENTICATED",
                rule: "",
            });
        }
    }
    all_refused(&laptop, &cases);
    assert_eq!(estate.history().await, before);
}

/// L28, D-AUDIT-2: no command does what the role is not for, or what only a person may do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_command_does_what_the_role_is_not_for() {
    let estate = Estate::new().await;
    let laptop = Laptop::new(&estate);
    let viewer = ["--principal", "human:vera", "--role", "viewer"];
    let viewer = estate.token_of_acme("viewer", &viewer);
    let agent = estate.token_of_acme("agent", &["--principal", "agent:codex"]);
    let before = estate.history().await;
    let mut cases = Vec::new();
    for (route, words, _) in every_command(&estate, &laptop) {
        let row = authorization::rule(route.operation);
        let mut denied = Vec::new();
        if row.least > Role::Viewer {
            denied.push((&viewer, "D-AUDIT-2"));
        }
        if let Some(rule) = row.humans_only {
            denied.push((&agent, rule));
        }
        for (token, rule) in denied {
            cases.push(Case {
                route,
                words: words.clone(),
                token: Some(token),
                exit: 77,
                code: "ERR_FORBIDDEN",
                rule: if rule == "D-AUDIT-2" { "" } else { rule },
            });
        }
    }
    assert!(cases.len() > 60, "{}", cases.len());
    all_refused(&laptop, &cases);
    assert_eq!(estate.history().await, before);
}

/// L28: a token does what its scopes name, and no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_command_does_what_the_scopes_do_not_name() {
    let estate = Estate::new().await;
    let laptop = Laptop::new(&estate);
    let scoped = |name: &str, scope: &str| {
        estate.token_of_acme(name, &["--principal", "human:eve", "--scope", scope])
    };
    let (health, jobs) = (scoped("health", "health"), scoped("jobs", "job.list"));
    let before = estate.history().await;
    let commands = every_command(&estate, &laptop).into_iter();
    let cases: Vec<_> = commands
        .map(|(route, words, _)| Case {
            route,
            words,
            token: Some(match route.operation {
                Operation::Health => &jobs,
                _ => &health,
            }),
            exit: 77,
            code: "ERR_FORBIDDEN",
            rule: "",
        })
        .collect();
    all_refused(&laptop, &cases);
    assert_eq!(estate.history().await, before);
}

/// L29: no command reaches what is another project's, by whatever name or id.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_command_reaches_another_project() {
    let estate = Estate::new().await;
    let laptop = Laptop::new(&estate);
    let token = estate.server.token("ada", ["--principal", "human:ada"]);
    let token = token.unwrap();
    let before = estate.history().await;
    let mut found = Vec::new();
    // One after the other: what is asked of one's own project changes that.
    for (route, words, other) in every_command(&estate, &laptop) {
        let (exit, code) = match other {
            Other::Brings(_) => continue,
            Other::Own => {
                let output = laptop.ask(&words, Some(&token));
                let told = estate.told(&output.stdout, &words.join(" "));
                if output.code != Some(0) || !told.is_empty() {
                    found.push(format!("{} {words:?} tells {told:?}: {output}", route.name));
                }
                continue;
            }
            Other::Absent => (1, "ERR_NOT_FOUND"),
            Other::Refused(exit, code) => (exit, code),
        };
        let output = laptop.ask(&words, Some(&token));
        if let Some(wrong) = wrong(&output, exit, code, "") {
            found.push(format!("{} {words:?}: {wrong}", route.name));
        }
    }
    assert_eq!(found, Vec::<String>::new());
    assert_eq!(estate.history().await, before);
    let secrets = estate.run(&["secrets", "list", "--json"]).json().unwrap();
    assert_eq!(secrets[0]["keys"][0]["key"], "ACME_SESSION", "{secrets:#}");
}
