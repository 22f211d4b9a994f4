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
             [server.webhooks.ops]\nurl = \"https://ops.example\"\nsecret = \"OPS\"\nkinds = [\"run.ended\"]\n\
             [server.incoming.bank]\nsecret = \"BANK\"\njob = \"live:statement\"\n",
        )
    };
    let server = resolve(&layers).unwrap().settings.server;
    let expected = ServerSettings {
        bind: "127.0.0.1:0".parse().unwrap(),
        projects: ["acme".to_owned()].into(),
        body_limit_mb: 2,
        rate_burst: 7,
        webhooks: BTreeMap::from([(
            "ops".to_owned(),
            WebhookSettings {
                url: "https://ops.example".to_owned(),
                secret: "OPS".to_owned(),
                kinds: vec![crate::event::EventKind::RunEnded],
            },
        )]),
        incoming: BTreeMap::from([(
            "bank".to_owned(),
            IncomingSettings {
                secret: "BANK".to_owned(),
                job: "live:statement".to_owned(),
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
        "webhooks.ops = { url = \"https://user:pw@ops.example\", secret = \"OPS\" }",
    ] {
        let told = refused(&project(&format!("[server]\n{wrong}\n")));
        assert!(told.starts_with("moorline.toml:"), "{wrong}: {told}");
    }
}

/// What leaves the installation is for the project's file to say, and for no layer above it.
#[test]
fn only_the_project_says_where_its_events_go() {
    let hook = |url: &str| format!("[server.webhooks.ops]\nurl = \"{url}\"\nsecret = \"OPS\"\n");
    let layers = Layers {
        user: Some(file("config.toml", &hook("https://elsewhere.example"))),
        ..project(&hook("https://ops.example"))
    };
    let told = refused(&layers);
    assert!(
        told.contains("is decided by the project (D-AUDIT-2)"),
        "{told}"
    );
}
