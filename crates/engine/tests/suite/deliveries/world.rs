//! An engine with destinations, a store of its own and a clock that is moved by hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use moorline_api::{AlertListRequest, AlertOperations as _, AlertView};
use moorline_core::alert::{Alert, Delivery};
use moorline_core::clock::{Clock as _, ManualClock, SystemIds};
use moorline_core::config::{AlertDestination, DestinationChannel, Settings};
use moorline_core::error_code::AlertLevel;
use moorline_engine::{Engine, EngineConfig, StateDirs};
use moorline_secrets::{EnvironmentSource, SourceChain};
use moorline_store::{RaiseAlert, SqliteStore, Store};
use serde_json::json;

/// What signs the requests to `ops`.
pub(crate) const SECRET: &str = "a-shared-secret-of-the-receiver";

/// How long a destination may take to answer, where a test does not wait for just that.
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) struct World {
    dir: tempfile::TempDir,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) engine: Engine,
    patience: Duration,
}

impl World {
    /// An engine that tells these destinations.
    pub(crate) fn new(destinations: Vec<AlertDestination>) -> Self {
        Self::with_patience(PATIENCE, destinations)
    }

    /// As [`World::new`], where a destination may take this long to answer.
    pub(crate) fn with_patience(patience: Duration, destinations: Vec<AlertDestination>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&dir.path().join("store.db")).unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let start: Timestamp = "2026-03-01T06:15:00Z".parse().unwrap();
        let clock = Arc::new(ManualClock::new(start));
        let engine = engine(&dir, &store, &clock, patience, destinations);
        Self {
            dir,
            store,
            clock,
            engine,
            patience,
        }
    }

    /// Another engine over the same store, as another worker has it.
    pub(crate) fn another(&self, destinations: Vec<AlertDestination>) -> Engine {
        engine(
            &self.dir,
            &self.store,
            &self.clock,
            self.patience,
            destinations,
        )
    }

    /// Raises an alert that is told in one line.
    pub(crate) async fn raise(&self, key: &str, level: AlertLevel, title: &str) -> Alert {
        let raise = RaiseAlert {
            key: key.to_owned(),
            level,
            title: title.to_owned(),
            data: json!({"reason": title, "source_id": "chase"}),
            now: self.clock.now(),
        };
        self.store.alert_raise(raise).await.unwrap()
    }

    /// Every alert with its deliveries, newest first.
    pub(crate) async fn alerts(&self) -> Vec<AlertView> {
        let all = AlertListRequest::default();
        self.engine.alert_list(all).await.unwrap()
    }

    /// The deliveries of the newest alert, by destination.
    pub(crate) async fn deliveries(&self) -> BTreeMap<String, Delivery> {
        let alerts = self.alerts().await;
        let newest = alerts.into_iter().next().unwrap();
        let named = |delivery: Delivery| (delivery.destination.clone(), delivery);
        newest.deliveries.into_iter().map(named).collect()
    }

    /// Sends what is due, then moves the clock to when the next is due. `false` when nothing waits.
    pub(crate) async fn send_and_wait(&self) -> bool {
        match self.engine.deliver_due().await.unwrap() {
            Some(next) => {
                self.clock.set(next);
                true
            }
            None => false,
        }
    }
}

fn engine(
    dir: &tempfile::TempDir,
    store: &Arc<dyn Store>,
    clock: &Arc<ManualClock>,
    patience: Duration,
    destinations: Vec<AlertDestination>,
) -> Engine {
    let dirs = StateDirs::new(dir.path());
    dirs.create().unwrap();
    let mut config = EngineConfig::embedded(dirs);
    config.delivery_timeout = patience;
    config.settings = Arc::new(Settings {
        alerts: destinations,
        ..Settings::default()
    });
    let secrets = SourceChain::new().with(EnvironmentSource::new([
        ("OPS_SIGNING_KEY", SECRET),
        ("SMTP_PASSWORD", "correct horse battery"),
    ]));
    let (store, clock) = (Arc::clone(store), Arc::clone(clock));
    Engine::builder(config, store, Arc::new(secrets), clock, Arc::new(SystemIds)).build()
}

/// A destination without a secret.
pub(crate) fn destination(
    name: &str,
    channel: DestinationChannel,
    target: &str,
) -> AlertDestination {
    AlertDestination {
        name: name.to_owned(),
        channel,
        target: Some(target.to_owned()),
        target_secret: None,
        secret: None,
        smtp: None,
        from: None,
        min_level: None,
    }
}

/// A webhook that signs.
pub(crate) fn webhook(name: &str, url: &str) -> AlertDestination {
    AlertDestination {
        secret: Some("OPS_SIGNING_KEY".to_owned()),
        ..destination(name, DestinationChannel::Webhook, url)
    }
}
