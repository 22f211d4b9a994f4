//! The engine: what it is made of, and how it is built.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use moorline_core::clock::{Clock, Ids};
use moorline_core::config::{DEFAULT_PROJECT, LaneSettings, Settings};
use moorline_core::content_id::ContentId;
use moorline_core::ids::{AttemptId, DriverId, RunId};
use moorline_core::lane::Lane;
use moorline_core::spec::JobSpec;
use moorline_executor::{Deployer, Executor};
use moorline_secrets::SourceChain;
use moorline_store::{Seen, Store, StoreCounts, StoreHealth};
use tokio::sync::{Notify, OnceCell, Semaphore};
use tracing::Span;

use crate::dirs::StateDirs;
use crate::hub::Hub;
use crate::liveness::{DriverLock, End};
use crate::principals::KeyPlace;
use crate::tasks::Tasks;
use crate::tokens::{Identity, TokenCache};
use crate::vault::Vault;

/// Settings of an engine. Read once, where the program starts; nothing here is ambient.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// The project whose state this is; part of the text of its tokens.
    pub project: String,
    /// Where state is kept.
    pub dirs: StateDirs,
    /// What is configured: lanes, review, alerts, secrets.
    pub settings: Arc<Settings>,
    /// Where the private keys of this machine's people are.
    pub keys: KeyPlace,
    /// Attempts that this process drives at once.
    pub capacity: usize,
    /// How long a lease lasts without being renewed.
    pub lease: Duration,
    /// Executor for steps that name none.
    pub default_executor: String,
    /// Value of `CI` in the environment, for the safety guard of D-RUN-8.
    pub ci: Option<String>,
    /// Whether the environment and `secrets.env` may supply secrets of jobs in interactive lanes: they are of who
    /// runs the jobs, or, on a server, of somebody else.
    pub ambient_secrets: bool,
    /// How often a worker looks for what is due and for what other processes changed.
    pub poll: Duration,
    /// How long `stop` and `cancel` wait for the last process before they report it as unreached.
    pub stop_patience: Duration,
    /// How long one attempt to tell a destination of an alert may take.
    pub delivery_timeout: Duration,
}

impl EngineConfig {
    /// Defaults for an embedded engine: eight attempts at once, leases of thirty seconds, keys in the state
    /// directory.
    pub fn embedded(dirs: StateDirs) -> Self {
        Self {
            project: DEFAULT_PROJECT.to_owned(),
            keys: KeyPlace::new(dirs.root().join("keys")),
            dirs,
            settings: Arc::default(),
            capacity: 8,
            lease: Duration::from_secs(30),
            default_executor: "local".to_owned(),
            ci: None,
            ambient_secrets: true,
            poll: Duration::from_secs(1),
            stop_patience: Duration::from_secs(30),
            delivery_timeout: Duration::from_secs(10),
        }
    }
}

/// Runs jobs: queue, leases, retries, cancellation, validation, exports, summaries.
///
/// Cheap to clone; all clones are one engine. Implements [`ControlPlane`](moorline_api::ControlPlane).
#[derive(Clone)]
pub struct Engine {
    pub(crate) inner: Arc<Inner>,
    /// Whom a token let in that this handle acts for.
    pub(crate) acting: Option<Arc<Identity>>,
    /// The version that what this handle changes must still be.
    pub(crate) seen: Option<Arc<Seen>>,
}

pub(crate) struct Inner {
    pub(crate) config: EngineConfig,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) executors: BTreeMap<String, Arc<dyn Executor>>,
    /// Where schedules can be deployed to.
    pub(crate) deployer: Option<Arc<dyn Deployer>>,
    /// What interactive lanes take before what is kept for them.
    pub(crate) secrets: Arc<SourceChain>,
    /// Where the secrets of lanes are kept.
    pub(crate) vault: Option<Arc<Vault>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) driver: DriverId,
    pub(crate) tasks: Tasks,
    /// Wakes whoever waits for a change that this process made.
    pub(crate) changed: Notify,
    /// Where those who follow the events join, in a process that serves many.
    pub(crate) hub: Hub,
    /// Held while this process may drive attempts; made at the first claim.
    pub(crate) lock: OnceCell<DriverLock>,
    /// One permit for each attempt that may be driven here at once.
    pub(crate) slots: Arc<Semaphore>,
    /// Held while effects are carried out, so that this process does each once.
    pub(crate) settling: tokio::sync::Mutex<()>,
    /// Whom tokens let in, for a moment.
    pub(crate) tokens: TokenCache,
    /// Runs that this process carries.
    pub(crate) carrying: Mutex<HashSet<RunId>>,
    /// Workers that work in this process.
    pub(crate) working: AtomicUsize,
    /// Set when the engine is drained: nothing waits for a later attempt any more.
    pub(crate) closing: AtomicBool,
    /// Set when this process takes up nothing more: what waits for its next attempt is left to others.
    pub(crate) leaving: AtomicBool,
    /// Makes the span of a run a part of the trace of whoever asked for it.
    pub(crate) join_trace: OnceLock<fn(&Span)>,
    /// When the leases were last renewed, microseconds.
    pub(crate) renewed: AtomicI64,
    /// Specs by hash; a spec never changes, so an entry is never stale.
    specs: Mutex<HashMap<ContentId, Arc<JobSpec>>>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("driver", &self.inner.driver)
            .field("executors", &self.inner.executors.keys())
            .finish_non_exhaustive()
    }
}

/// Puts an engine together; see [`Engine::builder`].
pub struct EngineBuilder {
    config: EngineConfig,
    store: Arc<dyn Store>,
    executors: BTreeMap<String, Arc<dyn Executor>>,
    deployer: Option<Arc<dyn Deployer>>,
    secrets: Arc<SourceChain>,
    vault: Option<Arc<Vault>>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
}

impl fmt::Debug for EngineBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineBuilder")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Starts building an engine over a store, a source of secrets, a clock and a source of ids.
    pub fn builder(
        config: EngineConfig,
        store: Arc<dyn Store>,
        secrets: Arc<SourceChain>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
    ) -> EngineBuilder {
        EngineBuilder {
            config,
            store,
            executors: BTreeMap::new(),
            deployer: None,
            secrets,
            vault: None,
            clock,
            ids,
        }
    }

    /// What the engine was built with.
    pub fn config(&self) -> &EngineConfig {
        &self.inner.config
    }

    /// The time that the engine goes by.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// How the store is set up; also whether it answers.
    ///
    /// # Errors
    /// [`ErrorCode::Store`](moorline_core::error_code::ErrorCode::Store) when it does not.
    pub async fn store_health(&self) -> Result<StoreHealth, moorline_api::ApiError> {
        let health = self.inner.store.health().await;
        health.map_err(crate::error::store_error)
    }

    /// How much of everything the store has.
    ///
    /// # Errors
    /// As [`store_health`](Self::store_health).
    pub async fn counts(&self) -> Result<StoreCounts, moorline_api::ApiError> {
        let counts = self.inner.store.counts().await;
        counts.map_err(crate::error::store_error)
    }

    /// The store, for callers that need more than the operations.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.store
    }

    /// Takes up nothing more: attempts that run here are seen to their end, and their runs are left due after it,
    /// as are those that wait for a slot. Another process goes on with them, or the next one that starts. What is
    /// submitted here from now on is queued.
    pub fn leave(&self) {
        self.inner.leaving.store(true, Ordering::Relaxed);
        if let Some(lock) = self.inner.lock.get() {
            lock.leave();
        }
        self.inner.slots.close();
        self.inner.changed.notify_waiters();
    }

    /// How the span of a run becomes a part of the trace of whoever asked for it. `join` is called with the new
    /// span, inside of the span of who asked. Only the first one counts; without it the spans of runs are traces
    /// of their own.
    pub fn join_traces(&self, join: fn(&Span)) {
        self.inner.join_trace.get_or_init(|| join);
    }

    /// Waits until everything that this engine started in the background has ended: attempts that run are
    /// seen to their end; a run whose next attempt is due later is left to whoever drives it then.
    pub async fn drain(&self) {
        self.inner.closing.store(true, Ordering::Relaxed);
        self.inner.changed.notify_waiters();
        self.inner.tasks.drain().await;
    }
}

impl EngineBuilder {
    /// Adds a place where attempts run, under the name that specs give.
    #[must_use]
    pub fn executor(mut self, name: impl Into<String>, executor: Arc<dyn Executor>) -> Self {
        self.executors.insert(name.into(), executor);
        self
    }

    /// Where the secrets of lanes are kept. Without it, only interactive lanes have secrets, from the
    /// sources that the builder was started with.
    #[must_use]
    pub fn vault(mut self, vault: Vault) -> Self {
        self.vault = Some(Arc::new(vault));
        self
    }

    /// Where schedules can be deployed to, beside being kept by this engine.
    #[must_use]
    pub fn deployer(mut self, deployer: Arc<dyn Deployer>) -> Self {
        self.deployer = Some(deployer);
        self
    }

    /// The engine. Nothing runs until an operation asks for it.
    pub fn build(self) -> Engine {
        let driver = DriverId::new(self.ids.uuid());
        let slots = Arc::new(Semaphore::new(self.config.capacity));
        Engine {
            acting: None,
            seen: None,
            inner: Arc::new(Inner {
                config: self.config,
                store: self.store,
                executors: self.executors,
                deployer: self.deployer,
                secrets: self.secrets,
                vault: self.vault,
                clock: self.clock,
                ids: self.ids,
                driver,
                tasks: Tasks::default(),
                changed: Notify::new(),
                hub: Hub::default(),
                lock: OnceCell::new(),
                slots,
                tokens: TokenCache::default(),
                carrying: Mutex::default(),
                working: AtomicUsize::new(0),
                closing: AtomicBool::new(false),
                leaving: AtomicBool::new(false),
                join_trace: OnceLock::new(),
                settling: tokio::sync::Mutex::default(),
                renewed: AtomicI64::new(0),
                specs: Mutex::new(HashMap::new()),
            }),
        }
    }
}

impl Inner {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn lease_until(&self, now: Timestamp) -> Timestamp {
        let lease =
            SignedDuration::try_from(self.config.lease).unwrap_or(SignedDuration::from_secs(30));
        now.checked_add(lease).unwrap_or(now)
    }

    /// What a claim needs: driver, a fresh attempt id, the end of the lease.
    pub(crate) fn claim_ticket(&self, now: Timestamp) -> (DriverId, AttemptId, Timestamp) {
        (
            self.driver,
            AttemptId::new(self.ids.uuid()),
            self.lease_until(now),
        )
    }

    /// Makes this process a driver that others can see to be alive.
    pub(crate) async fn become_driver(&self) -> Result<(), moorline_api::ApiError> {
        self.lock
            .get_or_try_init(|| async {
                let end = if self.is_shared() || self.leaves() {
                    End::Leave
                } else {
                    End::Remove
                };
                DriverLock::take(&self.config.dirs.drivers(), self.driver, end)
            })
            .await
            .map(|_| ())
            .map_err(|error| {
                let message = "can not create this process's driver lock in the state directory";
                moorline_api::ApiError::new(moorline_core::error_code::ErrorCode::Store, message)
                    .because(error)
            })
    }

    /// What a lane permits, and what it means outside.
    pub(crate) fn lane_settings(
        &self,
        lane: &Lane,
    ) -> Result<&LaneSettings, moorline_api::ApiError> {
        crate::submit::lane_settings(&self.config.settings, lane)
    }

    pub(crate) fn remember_spec(&self, hash: ContentId, spec: Arc<JobSpec>) {
        self.specs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(hash, spec);
    }

    pub(crate) fn known_spec(&self, hash: &ContentId) -> Option<Arc<JobSpec>> {
        self.specs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(hash)
            .cloned()
    }
}
