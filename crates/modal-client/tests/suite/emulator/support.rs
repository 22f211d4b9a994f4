//! An emulator and a client of it.

use std::path::Path;
use std::time::Duration;

use moorline_modal_client::images::{BuildOptions, ImageDefinition};
use moorline_modal_client::sandbox::SandboxSpec;
use moorline_modal_client::{Client, Config, Existence, RetryPolicy};
use moorline_modal_emulator::{Effect, Emulator, EmulatorOptions, FaultPlan};
use moorline_testkit::moorline::binary;

/// A running emulator and a client that gives up on a silent attempt after a second.
pub(crate) struct Emu {
    pub(crate) client: Client,
    emulator: Emulator,
}

impl Emu {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut EmulatorOptions)) -> Self {
        let mut options = EmulatorOptions {
            helper: binary("modal-sandbox-fs-tools").unwrap(),
            ..EmulatorOptions::default()
        };
        change(&mut options);
        let emulator = Emulator::start(options).await.unwrap();
        let client = client(&emulator.url());
        Self { client, emulator }
    }

    pub(crate) fn url(&self) -> String {
        self.emulator.url()
    }

    /// Faults from now on, as the emulator's users write them.
    pub(crate) fn faults(&self, plan: &str) {
        let plan: FaultPlan = serde_json::from_str(plan).unwrap();
        self.emulator.set_faults(plan);
    }

    /// What really happened, by kind.
    pub(crate) fn effects(&self, what: &str) -> Vec<Effect> {
        self.emulator.journal().effects(Some(what))
    }

    /// How many different things happened, and how many times in all.
    pub(crate) fn counts(&self, what: &str) -> (usize, usize) {
        let effects = self.effects(what);
        let mut subjects: Vec<_> = effects.iter().map(|effect| &effect.subject).collect();
        subjects.sort_unstable();
        subjects.dedup();
        (subjects.len(), effects.len())
    }

    /// A sandbox in the machine's own file system that runs `command`.
    pub(crate) async fn spec(&self, command: &[&str]) -> SandboxSpec {
        let app = self
            .client
            .apps()
            .lookup("tests", None, Existence::CreateIfMissing)
            .await
            .unwrap();
        let definition = ImageDefinition::from_registry("debian:bookworm-slim").unwrap();
        let options = BuildOptions::default();
        let image = self
            .client
            .images()
            .build(&app.id, &definition, &options)
            .await
            .unwrap();
        SandboxSpec::new(&app.id, &image.id).command(command.iter().copied())
    }
}

pub(crate) fn client(url: &str) -> Client {
    let mut retry = RetryPolicy::default();
    retry.attempt_timeout = Duration::from_secs(1);
    let config = Config::new(url, "ak-emulator", "as-emulator")
        .unwrap()
        .retry(retry);
    Client::new(config).unwrap()
}

/// Bytes that do not compress into anything, with stretches of zeros at ends of blocks.
pub(crate) fn content(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut content: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .take(len.div_ceil(8))
    .flatten()
    .collect();
    content.truncate(len);
    for block in content.chunks_mut(8 * 1024 * 1024).step_by(2) {
        let zeros = block.len() / 3;
        let start = block.len() - zeros;
        block[start..].fill(0);
    }
    content
}

/// Whether two files have the same content, without either in memory.
pub(crate) fn same(a: &Path, b: &Path) -> bool {
    use std::io::Read as _;
    let open =
        |path| std::io::BufReader::with_capacity(1 << 20, std::fs::File::open(path).unwrap());
    let (mut a, mut b) = (open(a), open(b));
    let (mut one, mut other) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let n = a.read(&mut one).unwrap();
        if n == 0 {
            return b.read(&mut other).unwrap() == 0;
        }
        if b.read_exact(&mut other[..n]).is_err() || one[..n] != other[..n] {
            return false;
        }
    }
}
