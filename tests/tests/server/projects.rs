//! Projects of one server on one PostgreSQL: what each sees over HTTP, and what the database itself refuses to
//! whoever sends it statements as the role of a project (D-AUDIT-3).

use moorline_testkit::canary;
use moorline_testkit::coverage::{self, Backend};
use moorline_testkit::moorline::Moorline;
use moorline_testkit::moorlined::{Server, ServerOptions};
use moorline_testkit::postgres::{TestDatabase, create_database};
use serde_json::{Value, json};

use super::support::{Api, packed, uploaded};

/// Roles belong to the whole server of the database, which tests share: so each takes names of its own.
fn name(of: &str) -> String {
    format!("{of}-{}", canary::random_hex(4))
}

fn config(projects: &[&str]) -> String {
    format!("[server]\nprojects = {projects:?}\n")
}

fn serving(url: &str, projects: &[&str]) -> Server {
    let options = ServerOptions::new().unwrap().store(url);
    options.config(&config(projects)).unwrap().start().unwrap()
}

/// Somebody with a token of a project.
fn person(server: &Server, project: &str) -> Api {
    let arguments = ["--project", project, "--principal", "human:ada"];
    let token = server.token("ada", arguments).unwrap();
    Api::new(server.url(), Some(&token))
}

/// Runs a job of one line there: the id of its run.
async fn ran(api: &Api, says: &str) -> String {
    let job = uploaded(api, packed("says", &format!("echo {says}\n"))).await;
    let (status, run) = api.post("/v1/runs", &json!({"job": job})).await;
    assert_eq!(status, 202, "{run}");
    let id = run["run_id"].as_str().unwrap().to_owned();
    let path = format!("/v1/runs/{id}");
    let ended = |seen: &Value| seen["summary"]["ended_at"].is_string();
    let view = api.until(&path, "the run to end", ended).await;
    assert_eq!(view["summary"]["status"], "success", "{view:#}");
    id
}

/// The ids of a list.
async fn listed(api: &Api) -> Vec<String> {
    let (status, rows) = api.get("/v1/runs").await;
    assert_eq!(status, 200, "{rows}");
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| row["run_id"].as_str().unwrap().to_owned())
        .collect()
}

/// Fails in the database unless what a session finds is so many.
fn counts(session: &str, table: &str, wanted: u64) -> String {
    format!(
        "{session} DO $$ DECLARE found bigint; BEGIN SELECT COUNT(*) INTO found FROM {table}; \
         IF found <> {wanted} THEN RAISE EXCEPTION '% rows of {table}', found; END IF; END $$;"
    )
}

fn refusal(database: &TestDatabase, statement: &str) -> String {
    let refused = database.execute(statement);
    refused.expect_err(statement).to_string()
}

/// D-AUDIT-3: two projects over HTTP, and the same two as their roles.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_projects_of_a_server_share_nothing() {
    let database = create_database().unwrap();
    let (acme, other) = (name("acme"), name("other"));
    let server = serving(database.url(), &[&acme, &other]);
    let (ada, eve, anybody) = (
        person(&server, &acme),
        person(&server, &other),
        person(&server, "default"),
    );
    let (of_acme, of_other) = (ran(&ada, "acme").await, ran(&eve, "other").await);
    assert_eq!(listed(&ada).await, std::slice::from_ref(&of_acme));
    assert_eq!(listed(&eve).await, std::slice::from_ref(&of_other));
    assert_eq!(listed(&anybody).await, Vec::<String>::new());
    for (api, hidden) in [(&ada, &of_other), (&eve, &of_acme), (&anybody, &of_acme)] {
        let (status, problem) = api.get(&format!("/v1/runs/{hidden}")).await;
        assert_eq!((status, &problem["code"]), (404, &json!("ERR_NOT_FOUND")));
        let (_, events) = api.get("/v1/events?limit=1000").await;
        assert!(!events.to_string().contains(hidden.as_str()), "{events:#}");
    }

    // The same, sent as SQL: the role of one has no right to the schema of the other, nor to the default one.
    let role = |project: &str| format!("SET ROLE \"moorline_{project}\";");
    let table = |project: &str| format!("\"moorline_{project}\".runs");
    let is = |project: &str| format!("SET moorline.project = '{project}';");
    for hidden in [table(&other), "public.runs".to_owned()] {
        let said = refusal(&database, &format!("{}SELECT * FROM {hidden}", role(&acme)));
        assert!(said.contains("permission denied"), "{said}");
    }
    // In its own schema, a session that does not say that it is of the project has no row, and makes none.
    let (own, as_acme) = (table(&acme), role(&acme));
    let execute = |statement: &str| database.execute(statement).unwrap();
    execute(&counts(&as_acme, &own, 0));
    execute(&counts(&format!("{as_acme}{}", is(&other)), &own, 0));
    execute(&counts(&format!("{as_acme}{}", is(&acme)), &own, 1));
    execute(&format!("{as_acme} DELETE FROM {own}"));
    execute(&counts(&format!("{as_acme}{}", is(&acme)), &own, 1));
    let put = format!("{as_acme} INSERT INTO {own} SELECT * FROM {own}");
    execute(&put);
    let copy = format!(
        "{as_acme}{} CREATE TEMPORARY TABLE kept AS SELECT * FROM {own}; {} INSERT INTO {own} SELECT * FROM kept",
        is(&acme),
        is(&other),
    );
    let said = refusal(&database, &copy);
    assert!(said.contains("row-level security"), "{said}");
    coverage::record(Backend::Postgres).unwrap();
}

/// A project comes with the configuration and goes with it; what it has stays for when it comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_project_is_added_and_taken_away_by_the_configuration() {
    let database = create_database().unwrap();
    let (first, later) = (name("first"), name("later"));
    let mut server = serving(database.url(), &[&first]);
    let ada = person(&server, &first);
    let run = ran(&ada, "first").await;
    let write = |server: &Server, projects: &[&str]| {
        let file = server.moorline().work_dir().join("moorline.toml");
        std::fs::write(file, config(projects)).unwrap();
    };

    write(&server, &[&first, &later]);
    let check = server.command(["migrate", "--check"]).unwrap();
    assert_eq!(check.code, Some(1), "{check}");
    let lines: Vec<&str> = check.stdout.lines().collect();
    assert!(lines[0].starts_with("default: up to date"), "{check}");
    assert!(
        lines[1].starts_with(&format!("{first}: up to date")),
        "{check}"
    );
    assert!(
        lines[2].starts_with(&format!("{later}: schema 0")),
        "{check}"
    );
    let output = server.end().unwrap();
    assert_eq!(output.code, Some(0), "{output}");
    server.restart().unwrap();
    let eve = person(&server, &later);
    assert_eq!(listed(&eve).await, Vec::<String>::new());
    ran(&eve, "later").await;
    // Connections of before are closed: it comes with new ones.
    let ada = ada.again();
    assert_eq!(listed(&ada).await, std::slice::from_ref(&run));

    write(&server, &[&later]);
    server.end().unwrap();
    server.restart().unwrap();
    let (status, problem) = ada.again().get("/v1/runs").await;
    assert_eq!(status, 401, "nobody of it is let in: {problem}");
    write(&server, &[&later, &first]);
    server.end().unwrap();
    server.restart().unwrap();
    assert_eq!(listed(&ada.again()).await, [run]);
}

/// `moorlined migrate` makes the schema of every project, and leaves the server nothing to do.
#[test]
fn a_migration_is_of_every_project() {
    let database = create_database().unwrap();
    let (acme, other) = (name("acme"), name("other"));
    let server = Moorline::of_binary(moorline_testkit::moorline::binary("moorlined").unwrap());
    let server = server.unwrap().env("MOORLINE_STORE", database.url());
    std::fs::write(
        server.work_dir().join("moorline.toml"),
        config(&[&acme, &other]),
    )
    .unwrap();
    let told = |arguments: &[&str], code: i32| {
        let output = server.run(arguments).unwrap();
        assert_eq!(output.code, Some(code), "{output}");
        let lines = output.stdout.lines().map(str::to_owned);
        lines.collect::<Vec<_>>()
    };
    let before = told(&["migrate", "--check"], 1);
    assert_eq!(before.len(), 3, "{before:?}");
    assert!(before.iter().all(|line| line.contains("to be applied")));
    let of_all = ["default", &acme, &other].map(|name| format!("{name}: up to date"));
    assert_eq!(told(&["migrate"], 0), of_all);
    let after = told(&["migrate", "--check"], 0);
    for (line, wanted) in after.iter().zip(&of_all) {
        assert!(line.starts_with(wanted), "{after:?}");
    }
    // The project `default` has no schema of its own, the others have nothing of it.
    for schema in [format!("\"moorline_{acme}\""), "public".to_owned()] {
        let statement = counts("", &format!("{schema}.runs"), 0);
        database.execute(&statement).unwrap();
    }
}
