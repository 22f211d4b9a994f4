//! Whom tokens let in, and for how long.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use moorline_api::{PrincipalChangeRequest, PrincipalOperations as _, PrincipalRemoveRequest};
use moorline_core::clock::{ManualClock, SystemIds};
use moorline_secrets::SourceChain;
use moorline_store::{SqliteStore, Store};

use super::*;
use crate::dirs::StateDirs;
use crate::engine::EngineConfig;

/// An engine over a store of its own, with a clock that is moved by hand.
struct World {
    dir: tempfile::TempDir,
    store: Arc<dyn Store>,
    clock: Arc<ManualClock>,
    engine: Engine,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&dir.path().join("store.db")).unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let start: Timestamp = "2026-03-01T06:15:00Z".parse().unwrap();
        let clock = Arc::new(ManualClock::new(start));
        let engine = engine(&dir, &store, &clock, "acme");
        Self {
            dir,
            store,
            clock,
            engine,
        }
    }

    /// Another engine over the same store, as another replica has it.
    fn another(&self, project: &str) -> Engine {
        engine(&self.dir, &self.store, &self.clock, project)
    }

    async fn token(&self, request: TokenCreateRequest) -> TokenCreated {
        self.engine.token_create(request).await.unwrap()
    }
}

fn engine(
    dir: &tempfile::TempDir,
    store: &Arc<dyn Store>,
    clock: &Arc<ManualClock>,
    project: &str,
) -> Engine {
    let dirs = StateDirs::new(dir.path());
    dirs.create().unwrap();
    let mut config = EngineConfig::embedded(dirs);
    project.clone_into(&mut config.project);
    let (store, clock) = (Arc::clone(store), Arc::clone(clock));
    let secrets = Arc::new(SourceChain::new());
    Engine::builder(config, store, secrets, clock, Arc::new(SystemIds)).build()
}

fn who(text: &str) -> Principal {
    text.parse().unwrap()
}

fn request(name: &str) -> TokenCreateRequest {
    TokenCreateRequest {
        name: name.to_owned(),
        principal: who("human:ada"),
        actor: who("human:root"),
        reason: "for the test".to_owned(),
        ..TokenCreateRequest::default()
    }
}

fn revoke(record: &TokenRecord) -> TokenRevokeRequest {
    TokenRevokeRequest {
        token: record.id.to_string(),
        actor: who("human:root"),
        reason: "it leaked".to_owned(),
    }
}

async fn refused(engine: &Engine, token: &str) {
    let error = engine.authenticate(token).await.unwrap_err();
    let (code, text, hint) = (error.code, error.to_string(), error.hint);
    let nobody = Engine::unauthenticated();
    assert_eq!(
        (code, &text, &hint),
        (nobody.code, &nobody.message, &nobody.hint)
    );
}

/// L28: whatever lets nobody in is refused in the same words.
#[tokio::test]
async fn a_token_lets_its_principal_in_and_whatever_else_nobody() {
    let world = World::new();
    let TokenCreated { token, record } = world.token(request("laptop")).await;
    assert_eq!(record.hash, "", "no answer has what is made of the secret");
    assert_eq!(record.scopes, ["*"]);
    let identity = world.engine.authenticate(&token).await.unwrap();
    assert_eq!(identity.principal, who("human:ada"));
    assert_eq!(identity.role, Role::Admin);
    let (rest, last) = token.split_at(token.len() - 1);
    let other = if last == "A" { "B" } else { "A" };
    refused(&world.engine, &format!("{rest}{other}")).await;
    refused(&world.engine, "").await;
    refused(&world.engine, "Bearer").await;
    refused(&world.another("other"), &token).await;
    let unknown = token.replacen(&record.id.uuid().simple().to_string(), &"0".repeat(32), 1);
    refused(&world.engine, &unknown).await;
    world.clock.advance(Duration::from_hours(30 * 24));
    refused(&world.engine, &token).await;
}

/// A revocation holds at once where it was made, and in other processes when what they remember is over.
#[tokio::test]
async fn a_revocation_holds_at_once_here_and_soon_elsewhere() {
    let world = World::new();
    let TokenCreated { token, record } = world.token(request("laptop")).await;
    let other = world.another("acme");
    other.authenticate(&token).await.unwrap();
    world.engine.authenticate(&token).await.unwrap();
    let revoked = world.engine.token_revoke(revoke(&record)).await.unwrap();
    assert!(revoked.revoked_at.is_some());
    refused(&world.engine, &token).await;
    // L77: what another process remembers ends by real time, whatever the clock says.
    tokio::time::sleep(cache::KEPT_FOR + Duration::from_millis(50)).await;
    refused(&other, &token).await;
    world.engine.token_revoke(revoke(&record)).await.unwrap();
}

#[tokio::test]
async fn the_role_is_the_lesser_of_the_tokens_and_the_one_on_record_now() {
    let world = World::new();
    let capped = TokenCreateRequest {
        role: Some(Role::Operator),
        ..request("capped")
    };
    let capped = world.token(capped).await.token;
    let open = world.token(request("open")).await.token;
    let roles = async || {
        let of = async |token: &str| world.engine.authenticate(token).await.unwrap().role;
        (of(&capped).await, of(&open).await)
    };
    assert_eq!(roles().await, (Role::Operator, Role::Admin));
    let change = PrincipalChangeRequest {
        principal: who("human:ada"),
        role: Some(Role::Approver),
        add_key: None,
        retire_key: None,
        actor: who("human:root"),
        reason: "for the test".to_owned(),
    };
    world.engine.principal_set(change).await.unwrap();
    assert_eq!(roles().await, (Role::Operator, Role::Approver));
    let remove = PrincipalRemoveRequest {
        principal: who("human:ada"),
        actor: who("human:root"),
        reason: "left".to_owned(),
    };
    world.engine.principal_remove(remove).await.unwrap();
    assert_eq!(roles().await, (Role::Viewer, Role::Viewer));
}

#[tokio::test]
async fn a_session_ends_with_its_token_by_logging_out_and_in_time() {
    let world = World::new();
    let TokenCreated { token, record } = world.token(request("laptop")).await;
    let day = Duration::from_hours(24);
    let open = async || world.engine.session_open(&token, day).await.unwrap();
    let (first, second, third) = (open().await, open().await, open().await);
    for session in [&first, &second] {
        let known = world.engine.authenticate(&session.token).await.unwrap();
        assert_eq!(known, session.identity);
        assert_eq!(known.token.parent, Some(record.id));
    }
    let nested = world.engine.session_open(&first.token, day).await;
    assert_eq!(nested.unwrap_err().code, ErrorCode::Unauthenticated);

    world.engine.session_close(&first.identity).await.unwrap();
    world.engine.session_close(&first.identity).await.unwrap();
    refused(&world.engine, &first.token).await;
    world.clock.advance(Duration::from_hours(23));
    world.engine.authenticate(&second.token).await.unwrap();
    world.clock.advance(Duration::from_hours(1));
    refused(&world.engine, &second.token).await;
    world.engine.authenticate(&token).await.unwrap();

    let last = open().await;
    world.engine.token_revoke(revoke(&record)).await.unwrap();
    refused(&world.engine, &last.token).await;
    refused(&world.engine, &third.token).await;
    let after = world.engine.session_open(&token, day).await;
    assert_eq!(after.unwrap_err().code, ErrorCode::Unauthenticated);
}

#[tokio::test]
async fn the_last_use_is_recorded_and_not_at_every_request() {
    let world = World::new();
    let TokenCreated { token, record } = world.token(request("laptop")).await;
    let last_used = async || {
        world.engine.drain().await;
        let token = world.store.token_get(record.id).await.unwrap();
        token.unwrap().last_used_at
    };
    assert_eq!(last_used().await, None);
    let first = world.engine.inner.now();
    world.engine.authenticate(&token).await.unwrap();
    assert_eq!(last_used().await, Some(first));
    world.clock.advance(Duration::from_secs(59));
    world.engine.authenticate(&token).await.unwrap();
    assert_eq!(last_used().await, Some(first));
    world.clock.advance(Duration::from_secs(1));
    world.engine.authenticate(&token).await.unwrap();
    assert_eq!(last_used().await, Some(world.engine.inner.now()));
}

#[tokio::test]
async fn what_can_not_be_asked_of_a_token_is_refused_with_its_rule() {
    let world = World::new();
    let refused = async |request: TokenCreateRequest| {
        let error = world.engine.token_create(request).await.unwrap_err();
        (error.code, error.message)
    };
    let cases = [
        (
            TokenCreateRequest {
                name: " ".to_owned(),
                ..request("x")
            },
            ErrorCode::Usage,
            "D-AUDIT-2",
        ),
        (
            TokenCreateRequest {
                days: Some(0),
                ..request("x")
            },
            ErrorCode::Usage,
            "D-AUDIT-2",
        ),
        (
            TokenCreateRequest {
                days: Some(367),
                ..request("x")
            },
            ErrorCode::Usage,
            "D-AUDIT-2",
        ),
        (
            TokenCreateRequest {
                reason: String::new(),
                ..request("x")
            },
            ErrorCode::Usage,
            "D-AUDIT-1",
        ),
        (
            TokenCreateRequest {
                scopes: vec!["run.gte".to_owned()],
                ..request("x")
            },
            ErrorCode::Usage,
            "D-AUDIT-2",
        ),
        (
            TokenCreateRequest {
                principal: Principal::system(),
                ..request("x")
            },
            ErrorCode::Forbidden,
            "D-AUDIT-2",
        ),
        (
            TokenCreateRequest {
                actor: who("agent:codex"),
                ..request("x")
            },
            ErrorCode::Forbidden,
            "D-AUDIT-2",
        ),
    ];
    for (asked, code, rule) in cases {
        let found = refused(asked).await;
        assert_eq!(found.0, code, "{}", found.1);
        assert!(found.1.contains(rule), "{}", found.1);
    }
    assert_eq!(world.store.tokens_list(true).await.unwrap(), []);
}

/// Whoever may make tokens makes none that reaches beyond their own.
#[tokio::test]
async fn a_scoped_token_makes_no_wider_one() {
    let world = World::new();
    let scopes = |scopes: &[&str]| TokenCreateRequest {
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        actor: who("human:ada"),
        ..request("made")
    };
    let maker = TokenCreateRequest {
        actor: who("human:root"),
        ..scopes(&["token.*", "run.*"])
    };
    let maker = world.token(maker).await.token;
    let identity = world.engine.authenticate(&maker).await.unwrap();
    let acting = world.engine.acting_for(identity);
    acting.token_create(scopes(&["run.get"])).await.unwrap();
    for beyond in [&["*"][..], &[], &["stop.engage"], &["run.get", "secret.*"]] {
        let error = acting.token_create(scopes(beyond)).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::Forbidden, "{beyond:?}");
    }
}

#[tokio::test]
async fn tokens_are_listed_without_sessions_and_what_is_kept_of_their_secrets() {
    let world = World::new();
    let first = world.token(request("first")).await;
    let other = TokenCreateRequest {
        principal: who("ci:github"),
        ..request("second")
    };
    let second = world.token(other).await;
    let hour = Duration::from_hours(1);
    let session = world.engine.session_open(&first.token, hour).await.unwrap();
    let listed = async |principal: Option<&str>, all: bool| -> Vec<TokenId> {
        let principal = principal.map(who);
        let request = TokenListRequest { principal, all };
        let tokens = world.engine.token_list(request).await.unwrap();
        assert!(tokens.iter().all(|token| token.hash.is_empty()));
        tokens.iter().map(|token| token.id).collect()
    };
    let (first, second) = (first.record.id, second.record.id);
    let session = session.identity.token.id;
    assert_eq!(listed(None, false).await, [second, first]);
    assert_eq!(listed(None, true).await, [session, second, first]);
    assert_eq!(listed(Some("human:ada"), true).await, [session, first]);
    assert!(world.engine.has_valid_token().await.unwrap());
}
