//! The client against the emulator: what is applied is read from the emulator's own journal, not from what
//! the client was told.

mod faults;
mod resources;

use std::time::Duration;

use moorline_modal_client::{Client, Config, RetryPolicy};
use moorline_modal_emulator::{Emulator, EmulatorOptions, FaultPlan};

/// A client of an emulator of its own.
struct Harness {
    emulator: Emulator,
    client: Client,
}

impl Harness {
    async fn start() -> Self {
        Self::with(RetryPolicy::default()).await
    }

    /// Waits are short, and there are attempts enough for what the tests do to it.
    async fn impatient() -> Self {
        let mut policy = RetryPolicy::default();
        policy.base_delay = Duration::from_millis(1);
        policy.max_delay = Duration::from_millis(4);
        policy.max_retries = 12;
        policy.attempt_timeout = Duration::from_secs(5);
        Self::with(policy).await
    }

    async fn with(policy: RetryPolicy) -> Self {
        let emulator = Emulator::start(EmulatorOptions::default()).await.unwrap();
        let client = Client::new(config(&emulator).retry(policy)).unwrap();
        Self { emulator, client }
    }

    fn faults(&self, plan: serde_json::Value) {
        self.emulator
            .set_faults(serde_json::from_value::<FaultPlan>(plan).unwrap());
    }

    /// How often something happened.
    fn count(&self, what: &str) -> usize {
        self.emulator.journal().effects(Some(what)).len()
    }
}

fn config(emulator: &Emulator) -> Config {
    Config::from_env(emulator.environment()).unwrap()
}
