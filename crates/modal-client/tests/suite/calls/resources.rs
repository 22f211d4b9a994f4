//! What each resource does when nothing fails.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use moorline_modal_client::apps::{AppState, LogFilter};
use moorline_modal_client::queues::PutOptions;
use moorline_modal_client::secrets::SecretValues;
use moorline_modal_client::{ErrorKind, Existence};

use crate::calls::Harness;

#[tokio::test]
async fn a_dict_keeps_what_is_put_until_it_is_taken() {
    let harness = Harness::start().await;
    let dicts = harness.client.dicts();
    assert_eq!(
        dicts
            .lookup("d", None, Existence::MustExist)
            .await
            .unwrap_err()
            .kind(),
        ErrorKind::NotFound
    );
    let dict = dicts
        .lookup("d", None, Existence::CreateIfMissing)
        .await
        .unwrap();
    dict.put("a", &vec![1, 2]).await.unwrap();
    assert!(!dict.put_if_absent("a", &0).await.unwrap());
    assert!(dict.put_if_absent("b", &"x").await.unwrap());
    assert_eq!(dict.get::<Vec<i64>>("a").await.unwrap(), Some(vec![1, 2]));
    assert_eq!(dict.get::<i64>("c").await.unwrap(), None);
    assert_eq!(
        dict.get::<i64>("b").await.unwrap_err().kind(),
        ErrorKind::Protocol
    );
    assert!(dict.contains("b").await.unwrap());
    let mut keys: Vec<String> = dict
        .entries()
        .map_ok(|(key, _)| moorline_modal_client::cbor::decode(&key).unwrap())
        .try_collect()
        .await
        .unwrap();
    keys.sort();
    assert_eq!(keys, ["a", "b"]);
    assert_eq!(dict.pop::<String>("b").await.unwrap().as_deref(), Some("x"));
    assert_eq!(dict.len().await.unwrap(), 1);
    dict.clear().await.unwrap();
    assert!(dict.is_empty().await.unwrap());
    assert_eq!(dicts.list(None).await.unwrap()[0].name, "d");
    dicts.delete(dict.id()).await.unwrap();
    assert_eq!(dict.len().await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_queue_is_first_in_first_out_in_each_partition() {
    let harness = Harness::start().await;
    let queue = harness
        .client
        .queues()
        .lookup("q", None, Existence::CreateIfMissing)
        .await
        .unwrap();
    let other = queue.partition("other");
    for value in 0..3 {
        queue.put(&value, PutOptions::default()).await.unwrap();
    }
    other
        .put(
            &"x",
            PutOptions::default().partition_ttl(Duration::from_mins(1)),
        )
        .await
        .unwrap();
    assert_eq!(
        (queue.len().await.unwrap(), queue.total_len().await.unwrap()),
        (3, 4)
    );
    let seen: Vec<_> = queue
        .iter_bytes(Duration::ZERO)
        .try_collect()
        .await
        .unwrap();
    assert_eq!(seen.len(), 3);
    assert_eq!(queue.get::<i64>(None).await.unwrap(), Some(0));
    assert_eq!(queue.get_bytes(9, None).await.unwrap().len(), 2);
    assert_eq!(
        queue
            .get::<i64>(Some(Duration::from_millis(50)))
            .await
            .unwrap(),
        None
    );
    assert_eq!(
        other.get::<String>(None).await.unwrap().as_deref(),
        Some("x")
    );
}

#[tokio::test]
async fn a_get_that_waits_is_woken_by_a_put() {
    let harness = Harness::start().await;
    let queue = harness.client.queues().ephemeral(None).await.unwrap();
    let (got, put) = tokio::join!(
        queue.get::<i64>(Some(Duration::from_secs(20))),
        queue.put(&7, PutOptions::default())
    );
    put.unwrap();
    assert_eq!(got.unwrap(), Some(7));
}

#[tokio::test]
async fn secrets_are_created_changed_and_never_shown() {
    let harness = Harness::start().await;
    let secrets = harness.client.secrets();
    let values = SecretValues::from([
        ("KEY".to_owned(), "hunter2".into()),
        ("OTHER".to_owned(), "x".into()),
    ]);
    let secret = secrets
        .create("s", None, &values, Existence::CreateNew)
        .await
        .unwrap();
    let again = secrets
        .create("s", None, &values, Existence::CreateNew)
        .await
        .unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    assert!(!format!("{again:?} {again}").contains("hunter2"));
    assert_eq!(
        secrets.lookup("s", None, &["KEY"]).await.unwrap().id,
        secret.id
    );
    let missing = secrets.lookup("s", None, &["ABSENT"]).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Conflict);
    let changes = BTreeMap::from([
        ("OTHER".to_owned(), None),
        ("NEW".to_owned(), Some("y".into())),
    ]);
    secrets.update(&secret.id, &changes).await.unwrap();
    let mut keys = secrets.info(&secret.id).await.unwrap().keys;
    keys.sort();
    assert_eq!(keys, ["KEY", "NEW"]);
    assert_eq!(secrets.list(None).await.unwrap()[0].name, "s");
    secrets.delete(&secret.id).await.unwrap();
    assert_eq!(
        secrets.info(&secret.id).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

#[tokio::test]
async fn more_secrets_than_a_page_are_all_listed() {
    let harness = Harness::start().await;
    let secrets = harness.client.secrets();
    for number in 0..130 {
        let name = format!("s-{number}");
        secrets
            .create(&name, None, &SecretValues::new(), Existence::CreateNew)
            .await
            .unwrap();
    }
    let mut names: Vec<_> = secrets
        .list(None)
        .await
        .unwrap()
        .into_iter()
        .map(|info| info.name)
        .collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 130);
}

#[tokio::test]
async fn an_app_is_found_tagged_and_stopped() {
    let harness = Harness::start().await;
    let apps = harness.client.apps();
    let app = apps
        .lookup("a", None, Existence::CreateIfMissing)
        .await
        .unwrap();
    assert_eq!(
        apps.lookup("a", None, Existence::MustExist).await.unwrap(),
        app
    );
    let tags = BTreeMap::from([("team".to_owned(), "x".to_owned())]);
    apps.set_tags(&app.id, tags.clone()).await.unwrap();
    assert_eq!(apps.tags(&app.id).await.unwrap(), tags);
    let listed = apps.list(None).await.unwrap();
    assert!(listed.iter().any(|info| info.id == app.id));
    apps.stop(&app.id).await.unwrap();
    assert_eq!(apps.state(&app.id).await.unwrap(), AppState::Stopped);
}

#[tokio::test]
async fn the_log_of_an_ephemeral_app_ends_with_the_app() {
    let harness = Harness::start().await;
    let app = harness
        .client
        .apps()
        .create_ephemeral("test", None, BTreeMap::new())
        .await
        .unwrap();
    let id = app.app().id.clone();
    assert_eq!(
        harness.client.apps().state(&id).await.unwrap(),
        AppState::Ephemeral
    );
    let logs = harness.client.apps().follow_logs(&id, &LogFilter::new());
    let (lines, closed) = tokio::join!(logs.collect::<Vec<_>>(), app.close());
    closed.unwrap();
    assert!(lines.iter().all(Result::is_ok), "{lines:?}");
}

#[tokio::test]
async fn environments_have_settings_and_budgets() {
    let harness = Harness::start().await;
    let environments = harness.client.environments();
    environments.create("dev").await.unwrap();
    let dev = environments
        .lookup(Some("dev"), Existence::MustExist)
        .await
        .unwrap();
    assert!(dev.image_builder_version.is_some());
    environments.set_budget(&dev.id, Some(12.5)).await.unwrap();
    assert_eq!(environments.budget(&dev.id).await.unwrap().set, Some(12.5));
    environments.set_budget(&dev.id, None).await.unwrap();
    assert_eq!(environments.budget(&dev.id).await.unwrap().set, None);
    let names: Vec<_> = environments
        .list()
        .await
        .unwrap()
        .into_iter()
        .map(|info| info.name)
        .collect();
    assert!(names.contains(&"dev".to_owned()), "{names:?}");
    environments.delete("dev").await.unwrap();
    let error = environments
        .lookup(Some("dev"), Existence::MustExist)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn the_workspace_knows_the_token_and_what_was_spent() {
    let harness = Harness::start().await;
    let workspace = harness.client.workspace();
    workspace.hello().await.unwrap();
    let info = workspace.token_info().await.unwrap();
    assert_eq!(info.id, "ak-emulator");
    assert_eq!(workspace.name().await.unwrap(), info.workspace);
    let since = "2026-01-01T00:00:00Z".parse().unwrap();
    let query = moorline_modal_client::billing::ReportQuery::since(since);
    harness.client.billing().report(&query).await.unwrap();
    harness.client.billing().summary(None).await.unwrap();
}

#[tokio::test]
async fn proxy_tokens_are_made_listed_and_deleted() {
    let harness = Harness::start().await;
    let tokens = harness.client.proxy_tokens();
    let token = tokens.create("t", false).await.unwrap();
    assert_eq!(tokens.list().await.unwrap()[0].id, token.id);
    tokens.delete(&token.id).await.unwrap();
    assert!(tokens.list().await.unwrap().is_empty());
}
