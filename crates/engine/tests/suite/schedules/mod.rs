//! Many schedules over many days: each target has exactly the runs that its policy says.
//!
//! A [plan] is drawn from a seed: schedules in every time zone whose clock jumps in the simulated days, with all
//! policies, and what happens to them: they are disabled, paused, let go on, the machine's clock jumps by an hour,
//! the engine dies and comes back on the same store. A [world] carries the plan out with the real engine, its
//! store and its scheduler, and notes what happened from outside: when it asked for a tick, when a run ended. No
//! note comes from the scheduler.
//!
//! Afterwards, in the manner of Jepsen's analysis of Chronos, a [checker](check) finds out from the schedules'
//! own texts and the notes which runs there have to be ([`expect`]), and matches the runs of the store with them.
//! Targets come from [`moorline_testkit::calendar`], which looks at the clock every minute and shares nothing with
//! the scheduler's search.
//!
//! `MOORLINE_SCHEDULES_SEED` replays a seed, `MOORLINE_SCHEDULES_DAYS` simulates more days.

mod check;
mod expect;
mod notes;
mod plan;
mod stage;
mod verdicts;
mod world;

use moorline_testkit::{env, postgres};

use crate::schedules::plan::{Plan, Window};
use crate::schedules::world::{Backing, World};

fn number(name: &str) -> Option<u64> {
    let text = env::read(name)?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{name} is {text:?}, which is not a whole number")))
}

/// Carries a plan out and checks what came of it.
fn hold(seed: u64, window: Window, schedules: usize, backing: Backing) {
    let seed = number("MOORLINE_SCHEDULES_SEED").unwrap_or(seed);
    let days = number("MOORLINE_SCHEDULES_DAYS").map(|days| u32::try_from(days).unwrap());
    let plan = Plan::draw(seed, window, schedules, days.unwrap_or(30));
    println!("MOORLINE_SCHEDULES_SEED={seed}: {plan}");
    let (notes, runs) = World::new(&plan, seed, backing).carry_out();
    let verdict = check::check(&plan.schedules, &notes, &runs);
    println!("{}", verdict.summary());
    assert!(verdict.faults.is_empty(), "seed {seed}: {verdict}");
    assert!(
        verdict.runs > schedules,
        "too little happened to show anything: {}",
        verdict.summary()
    );
}

/// L53: with [`autumn`](in_every_zone_each_target_has_the_runs_that_its_policy_says_in_autumn) every zone of the
/// database that has a transition in 2026.
#[test]
fn in_every_zone_each_target_has_the_runs_that_its_policy_says_in_spring() {
    hold(53, Window::SPRING, 200, Backing::Sqlite);
}

#[test]
fn in_every_zone_each_target_has_the_runs_that_its_policy_says_in_autumn() {
    hold(54, Window::AUTUMN, 200, Backing::Sqlite);
}

#[test]
fn on_postgresql_it_is_the_same() {
    let database = postgres::create_database().expect("this suite needs PostgreSQL");
    let url = database.url().to_string();
    hold(55, Window::SPRING, 24, Backing::Postgres(url));
}
