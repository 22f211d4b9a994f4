//! Attempts in Modal's sandboxes: [`ModalExecutor`].
//!
//! An attempt is one sandbox, one volume and two mounts, all made by its launch and found by its id. Inside
//! runs the same supervisor as on this machine, see [`helper_main`](crate::local::helper_main): it starts
//! the job, redacts and caps its log, ends its process tree, and leaves record, log and outputs in the
//! volume before the sandbox ends. So this side holds no state that matters, and the rules of the process
//! contract are kept by the same code on both executors.
//!
//! | what | where |
//! |---|---|
//! | job directory, inputs, request | a mount, sent by content; `/job`, `/in`, `/__moorline` |
//! | secrets | values in the request that creates the sandbox, as variables of its environment; or only the names of objects that Modal keeps, see [`ModalSecrets`] |
//! | log | the sandbox's standard output, frame by frame; an offset in it is a cursor |
//! | record, log, outputs after the end | the attempt's volume, then [`ModalConfig::root`] |
//! | who owns it | tags of the sandbox |
//!
//! # Life of the remote objects
//! Nothing lives for ever: a sandbox has a timeout a little longer than its attempt's; a volume is deleted
//! when its attempt is collected or forgotten, and by the next launch when it is older than
//! [`ModalConfig::keep`]; mounts and images belong to the app, and a snapshot has a time to live.
//!
//! # What starts once
//! The sandbox's name and the idempotency key of its creation come from the attempt's id, and the supervisor
//! inside takes the attempt by a file in its volume. Modal frees a name when its sandbox ends; so a launch
//! first looks for a sandbox of the attempt, also among those that have ended.
//!
//! Deliberately absent: deploying anything, reading the environment, and the directories of this machine
//! (a step's mounts are volumes of the same names at Modal).

mod aimd;
mod archive;
mod bundle;
mod config;
mod deployer;
mod egress;
mod executor;
mod handle;
mod helper;
mod inner;
mod launch;
mod log_source;
mod logs;
mod outcome;
mod reap;
mod remote;
mod secrets;
mod snapshot;
mod start;
mod unconfigured;
mod warm;
mod world;

pub use config::{ModalConfig, StartLimits, WarmLimits};
pub use deployer::ModalDeployer;
pub use executor::ModalExecutor;
pub use secrets::ModalSecrets;
pub use unconfigured::Unconfigured;

/// The name of this executor.
pub(crate) const NAME: &str = "modal";

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use moorline_core::attempt::{Attempt, IsolationNeed, Limits};
    use moorline_core::ids::{AttemptId, RunId};
    use moorline_core::spec::{Egress, Mode};
    use moorline_modal_client::{Client, Config};
    use uuid::Uuid;

    use super::ModalConfig;

    pub(super) fn config() -> ModalConfig {
        let config = Config::new("http://127.0.0.1:1", "ak-1", "as-1").unwrap();
        ModalConfig::new(
            Client::new(config).unwrap(),
            "/nonexistent/root",
            "/nonexistent/supervisor",
        )
    }

    pub(super) fn attempt() -> Attempt {
        Attempt {
            id: AttemptId::new(Uuid::from_u128(1)),
            run_id: RunId::new(Uuid::from_u128(2)),
            owner: "test".to_owned(),
            job_id: "bank-statement".to_owned(),
            source_id: None,
            lane: "dev".to_owned(),
            mode: Mode::Real,
            step: "load".to_owned(),
            number: 1,
            argv: vec!["/bin/true".into()],
            env: BTreeMap::new(),
            bundle: "/nonexistent/bundle".into(),
            working_dir: None,
            params: serde_json::Map::new(),
            inputs: BTreeMap::new(),
            steps: BTreeMap::new(),
            workflow: None,
            mounts: Vec::new(),
            limits: Limits::default(),
            egress: Egress::None,
            isolation: IsolationNeed::BestEffort,
            image: None,
            gpu: Vec::new(),
            warm_start: false,
            secret_objects: Vec::new(),
        }
    }
}
