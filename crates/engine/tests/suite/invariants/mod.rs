//! The invariants of governance, over random sequences of operations and actors.
//!
//! Each case is a world of its own: the real engine on a real store, a clock that is moved by hand, and an
//! [executor] without processes. A [plan] of operations is drawn, each by one of several actors; after each
//! of them every invariant is [checked](checks) against what is in the store, on the disk, and in the
//! executor's notes. What the operations answer is only looked at where an invariant speaks of it.
//!
//! 1. enabled implies approved, gated and not stopped
//! 2. an enabled schedule equals `SCHEDULE.json` equals the cadence
//! 3. approved hashes never change
//! 4. promote is idempotent, and rollback restores exactly
//! 5. agents never approve, promote or enable
//! 6. nothing starts after an acknowledged stop
//! 7. disable always succeeds
//! 8. `needs_reauth` implies disabled
//! 9. failed validation leaves exports unchanged
//! 10. attempts within limits, and never again after auth or validation
//! 11. one summary for each run that started
//! 12. no secret in any sink
//! 13. a prod run's secrets are within the declared set
//! 14. dev never gets what is prod's
//! 15. the audit chain verifies, and tampering is found
//! 16. exports equal the fold of the runs
//!
//! A failure says `invariant N` and shows the shortest plan that breaks it. That the checks can fail is
//! shown by `cargo xtask mutants`.

mod acts;
mod checks;
mod executor;
mod plan;
mod world;

use proptest::prelude::*;

use crate::invariants::plan::{Step, steps};
use crate::invariants::world::World;

/// Carries a plan out, in a world of its own.
fn carry_out(plan: &[Step]) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut world = World::new().await;
        for step in plan {
            Box::pin(world.act(step)).await;
            checks::after_each(&world).await;
        }
        checks::at_the_end(&world).await;
        world.end().await;
    });
}

/// A case takes about a second; `PROPTEST_CASES` asks for more of them.
fn cases() -> u32 {
    let asked = moorline_testkit::env::read("PROPTEST_CASES");
    asked.and_then(|text| text.parse().ok()).unwrap_or(8)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        max_shrink_iters: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_invariants_hold_whatever_people_and_programs_do(plan in steps(40)) {
        carry_out(&plan);
    }
}
