//! What `[server]` says.

use super::*;

#[test]
fn the_server_is_set_by_every_layer_and_says_what_is_wrong() {
    let layers = Layers {
        variables: BTreeMap::from([
            ("MOORLINE_SERVER_BIND".to_owned(), "127.0.0.1:0".to_owned()),
            ("MOORLINE_SERVER_RATE_BURST".to_owned(), "7".to_owned()),
        ]),
        ..project(
            "[server]\nprojects = [\"acme\"]\nbody_limit_mb = 2\n\
             [server.incoming.bank]\nsecret = \"BANK\"\njob = \"live:statement\"\n",
        )
    };
    let server = resolve(&layers).unwrap().settings.server;
    let expected = ServerSettings {
        bind: "127.0.0.1:0".parse().unwrap(),
        projects: ["acme".to_owned()].into(),
        body_limit_mb: 2,
        rate_burst: 7,
        incoming: BTreeMap::from([(
            "bank".to_owned(),
            IncomingSettings {
                secret: "BANK".to_owned(),
                job: "live:statement".to_owned(),
                projects: ["default".to_owned()].into(),
            },
        )]),
        ..ServerSettings::default()
    };
    assert_eq!(server, expected);
    assert_eq!(
        refused(&project("[server]\ntls_cert = \"cert.pem\"\n")),
        "moorline.toml:2: server.tls_cert: has no `tls_key` beside it (schema); TLS needs both the \
         certificate chain and its key"
    );
    for wrong in [
        "bind = \"everywhere\"",
        "projects = [\"A b\"]",
        "public_url = \"https://moorline.example/path\"",
        "cors_origins = [\"*\"]",
        "session_hours = 0",
    ] {
        let told = refused(&project(&format!("[server]\n{wrong}\n")));
        assert!(told.starts_with("moorline.toml:"), "{wrong}: {told}");
    }
}

/// What starts a job from outside is for the project's file to say, and for no layer above it.
#[test]
fn only_the_project_says_what_starts_its_jobs() {
    let hook = |secret: &str| {
        format!("[server.incoming.bank]\nsecret = \"{secret}\"\njob = \"live:statement\"\n")
    };
    let layers = Layers {
        user: Some(file("config.toml", &hook("OTHER"))),
        ..project(&hook("BANK"))
    };
    let told = refused(&layers);
    assert!(
        told.contains("is decided by the project (D-AUDIT-2)"),
        "{told}"
    );
}

/// Who misspells a project hears of it, and not that its signatures are wrong.
#[test]
fn a_hook_is_taken_by_projects_of_the_server() {
    let hook = |projects: &str| {
        project(&format!(
            "[server]\nprojects = [\"acme\"]\n\
             [server.incoming.bank]\nsecret = \"BANK\"\njob = \"live:statement\"\nprojects = {projects}\n"
        ))
    };
    let server = resolve(&hook("[\"acme\", \"default\"]")).unwrap();
    let taken = &server.settings.server.incoming["bank"].projects;
    assert_eq!(*taken, ["acme".to_owned(), "default".to_owned()].into());
    let told = refused(&hook("[\"acne\"]"));
    assert!(
        told.contains("server.incoming.bank.projects: `acne` is no project of the server"),
        "{told}"
    );
    assert!(resolve(&hook("[]")).is_err());
}
