//! State directories with many runs in them.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::super::row::Bench;
use super::Samples;
use crate::error::Result;
use crate::output::say;

/// State directories by the number of runs in them, filled when first asked for and kept over the rounds.
#[derive(Debug, Default)]
pub(super) struct Filled(RefCell<BTreeSet<usize>>);

impl Filled {
    /// The name, below the scratch directory, of a state with at least so many runs: the rounds add a
    /// few hundred to it.
    pub(super) fn with_runs(&self, bench: &Bench, runs: usize) -> Result<String> {
        let state = format!("state-{runs}");
        if self.0.borrow_mut().insert(runs) {
            let rate = Samples::of_engine(bench, "fill", &state, runs)?.must("rate")?;
            say!("  wrote {runs} runs through the store, {rate:.0} in a second; none was run");
        }
        Ok(state)
    }
}
