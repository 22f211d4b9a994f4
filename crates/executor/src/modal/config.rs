//! What a [`ModalExecutor`](super::ModalExecutor) must be told.

use std::path::PathBuf;
use std::time::Duration;

use moorline_core::app_name::AppPolicy;
use moorline_modal_client::Client;

pub use super::aimd::StartLimits;

/// Configuration of the Modal executor. Two executors with equal configuration are interchangeable: each
/// can use the handles of the other.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ModalConfig {
    /// The way to Modal. Its settings name the environment where the policy names none.
    pub client: Client,
    /// Directory for what is kept of attempts that are over; made when it is missing.
    pub root: PathBuf,
    /// The supervisor program that runs in every sandbox: the binary `moorline-supervisor` of this crate,
    /// or one whose `main` calls [`helper_main`](crate::local::helper_main) first. It must run in the
    /// images used: link it statically (`-C target-feature=+crt-static`) unless all of them have the glibc
    /// that it was built with.
    pub helper: PathBuf,
    /// How lanes become environments and app names.
    pub policy: AppPolicy,
    /// Whether the policy's environments are used. `false`, the default, takes the client's own
    /// environment for every lane; then the policy should tell lanes apart by a suffix.
    pub environments: bool,
    /// Image of attempts that name none.
    pub default_image: String,
    /// Bounds of how many sandboxes may be starting at once.
    pub starts: StartLimits,
    /// How long a launch waits for room at Modal before it gives up: two minutes.
    pub start_patience: Duration,
    /// How long what an attempt left at Modal is kept when nobody collects it: a day.
    pub keep: Duration,
    /// The cache of prepared file systems.
    pub warm: WarmLimits,
}

/// Bounds of the cache of prepared file systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WarmLimits {
    /// Most snapshots kept; the one used longest ago goes first. 0 switches the cache off. 16 by default.
    pub entries: usize,
    /// How long a snapshot lives at Modal: a week.
    pub ttl: Duration,
    /// How long a sandbox stays after its job's success for the snapshot to be taken: a minute.
    pub hold: Duration,
}

impl Default for WarmLimits {
    fn default() -> Self {
        Self {
            entries: 16,
            ttl: Duration::from_hours(7 * 24),
            hold: Duration::from_mins(1),
        }
    }
}

/// Has what jobs of the examples need, and little else.
const DEFAULT_IMAGE: &str = "python:3.12-slim-bookworm";

impl ModalConfig {
    /// The configuration with every default.
    pub fn new(client: Client, root: impl Into<PathBuf>, helper: impl Into<PathBuf>) -> Self {
        Self {
            client,
            root: root.into(),
            helper: helper.into(),
            policy: AppPolicy {
                scope: moorline_core::app_name::LaneScope::AppSuffix,
                ..AppPolicy::default()
            },
            environments: false,
            default_image: DEFAULT_IMAGE.to_owned(),
            starts: StartLimits::default(),
            start_patience: Duration::from_mins(2),
            keep: Duration::from_hours(24),
            warm: WarmLimits::default(),
        }
    }
}
