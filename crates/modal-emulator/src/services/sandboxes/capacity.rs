//! GPUs as the fault plan says that there are: a sandbox waits until it can hold those it asked for.
//!
//! The machine's own GPUs, if any, have nothing to do with it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use moorline_modal_proto::client::Sandbox;
use tokio::sync::Notify;

use super::live::lock;
use crate::faults::{Faults, millis};

/// Who holds how many GPUs.
#[derive(Debug, Default)]
pub(crate) struct Capacity {
    held: Arc<Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// By type, in capitals.
    count: Mutex<HashMap<String, u32>>,
    freed: Notify,
}

/// GPUs that are held while this lives.
#[derive(Debug)]
pub(crate) struct Hold {
    held: Arc<Held>,
    gpu: String,
    count: u32,
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(count) = lock(&self.held.count).get_mut(&self.gpu) {
            *count = count.saturating_sub(self.count);
        }
        self.held.freed.notify_waiters();
    }
}

impl Capacity {
    /// Waits until what a definition asks for is there, and takes it. `None`: it asks for nothing.
    pub(crate) async fn take(&self, faults: &Faults, definition: &Sandbox) -> Option<Hold> {
        let wanted = definition.resources.as_ref()?.gpu_config.as_ref()?;
        if wanted.gpu_type.is_empty() && wanted.count == 0 {
            return None;
        }
        let (gpu, count) = (wanted.gpu_type.to_uppercase(), wanted.count.max(1));
        if let Some(stock) = faults.gpus(&gpu) {
            tokio::time::sleep(millis(stock.delay_ms)).await;
        }
        loop {
            let (freed, changed) = (self.held.freed.notified(), faults.changed.notified());
            tokio::pin!(freed, changed);
            // Before the look: what happens after it wakes us.
            freed.as_mut().enable();
            changed.as_mut().enable();
            if self.try_take(faults, &gpu, count) {
                return Some(Hold {
                    held: Arc::clone(&self.held),
                    gpu,
                    count,
                });
            }
            tokio::select! {
                () = freed => {}
                () = changed => {}
            }
        }
    }

    fn try_take(&self, faults: &Faults, gpu: &str, count: u32) -> bool {
        let mut held = lock(&self.held.count);
        let held = held.entry(gpu.to_owned()).or_default();
        let fits = faults
            .gpus(gpu)
            .is_none_or(|stock| *held + count <= stock.count);
        if fits {
            *held += count;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use moorline_modal_proto::client::{GpuConfig, Resources};

    use super::*;

    fn asks_for(gpu: &str, count: u32) -> Sandbox {
        let config = GpuConfig {
            gpu_type: gpu.to_owned(),
            count,
            ..GpuConfig::default()
        };
        let resources = Resources {
            gpu_config: Some(config),
            ..Resources::default()
        };
        Sandbox {
            resources: Some(resources),
            ..Sandbox::default()
        }
    }

    #[tokio::test]
    async fn a_sandbox_waits_until_another_one_gives_its_gpu_back() {
        let (capacity, faults) = (Capacity::default(), Faults::default());
        let free = capacity.take(&faults, &asks_for("T4", 8)).await;
        drop(free);
        faults.set(serde_json::from_str(r#"{"gpus":[{"gpu":"T4","count":2}]}"#).unwrap());
        let first = capacity.take(&faults, &asks_for("t4", 2)).await.unwrap();
        let second = asks_for("T4", 1);
        let mut second = Box::pin(capacity.take(&faults, &second));
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        assert!(second.await.is_some());
        assert!(capacity.take(&faults, &Sandbox::default()).await.is_none());
    }
}
