//! What a campaign has to say: the histogram, and every kill after which something did not hold.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use super::phase::Phase;

/// A kill after which something did not hold.
#[derive(Debug)]
pub(super) struct Failure {
    /// The kill, its moment and its phase.
    pub(super) kill: String,
    /// The rules that do not hold.
    pub(super) broken: Vec<String>,
    /// Events, witness lines, outputs of the commands.
    pub(super) evidence: String,
}

/// What a campaign came to.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) name: String,
    pub(super) seed: u64,
    pub(super) kills: u32,
    /// What undisturbed runs took, by variant.
    pub(super) undisturbed: BTreeMap<&'static str, Duration>,
    /// How often each phase was hit, at random and on purpose.
    pub(super) histogram: BTreeMap<Phase, [u32; 2]>,
    pub(super) sandboxed: u32,
    pub(super) runs: usize,
    pub(super) attempts: usize,
    pub(super) failures: Vec<Failure>,
}

impl Report {
    pub(super) fn count(&mut self, phase: Phase, targeted: bool) {
        self.histogram.entry(phase).or_default()[usize::from(targeted)] += 1;
    }

    /// Writes the histogram where the test's own output goes to, also when the test passes.
    pub(super) fn tell(&self) {
        // Past the test runner's capture: whoever starts a long campaign wants to see what it hit.
        drop(std::io::stderr().write_all(self.text().as_bytes()));
    }

    fn text(&self) -> String {
        let mut text = format!("\n{}: {} kills, seed {}", self.name, self.kills, self.seed);
        for (variant, took) in &self.undisturbed {
            write!(text, ", {variant} run {:.0} ms", took.as_secs_f64() * 1e3).unwrap();
        }
        writeln!(
            text,
            "\n  {:<40} {:>7} {:>8}",
            "struck", "random", "targeted"
        )
        .unwrap();
        for phase in Phase::ALL {
            let Some([random, targeted]) = self.histogram.get(phase) else {
                continue;
            };
            writeln!(text, "  {:<40} {random:>7} {targeted:>8}", phase.name()).unwrap();
        }
        let Self {
            sandboxed,
            runs,
            attempts,
            failures,
            ..
        } = self;
        let failed = failures.len();
        writeln!(
            text,
            "  {sandboxed} in the sandbox; {runs} runs, {attempts} attempts; kills after which \
             something did not hold: {failed}"
        )
        .unwrap();
        text
    }

    pub(super) fn assert_clean(&self) {
        let mut text = String::new();
        for Failure {
            kill,
            broken,
            evidence,
        } in &self.failures
        {
            let broken = broken.join("\n  ");
            writeln!(text, "\nafter {kill}:\n  {broken}\n{evidence}").unwrap();
        }
        let replay = format!(
            "MOORLINE_CRASH_SEED={} MOORLINE_CRASH_ONLY=<kill>",
            self.seed
        );
        assert!(
            self.failures.is_empty(),
            "{}: replay by {replay}\n{text}",
            self.name
        );
    }

    pub(super) fn assert_narrow_windows_were_hit(&self) {
        for phase in Phase::NARROW {
            let hit = self.histogram.contains_key(&phase);
            assert!(hit, "no kill struck {}: {}", phase.name(), self.text());
        }
    }
}
