//! The crash harness: SIGKILL at seeded moments of a three-step job, then the next command.
//!
//! Each kill starts `moorline run`, strikes at its moment ([`plan`], [`strike`]), tells from what was left
//! behind which part of the run's life was hit ([`phase`]), runs the next command, and checks that nothing
//! ran twice, nothing is lost, every run has one summary, and nothing is left over ([`check`]). What ran is
//! told by a witness outside the store ([`job`]), and everything that commands print is compared with the
//! store itself ([`ledger`]).
//!
//! Half of the moments are drawn uniformly over a run's time, from before the submission until after its
//! end. The others hit the narrow windows on purpose: they strike when a record appears. The histogram tells
//! both apart.
//!
//! | variable | effect |
//! |---|---|
//! | `MOORLINE_CRASH_KILLS` | kills of the main campaign; the others are in proportion |
//! | `MOORLINE_CRASH_SEED` | the seed; told in every report |
//! | `MOORLINE_CRASH_ONLY` | only the kill of this number |
//!
//! A kill of this kind proves what survives the death of processes. It says nothing of a power loss, where
//! what was written and not synced is gone too.

mod arena;
mod campaign;
mod check;
mod control;
mod job;
mod ledger;
mod phase;
mod plan;
mod random;
mod report;
mod strike;

use moorline_testkit::coverage::{self, Backend as Covered};
use moorline_testkit::env;

use self::arena::Backend;
use self::campaign::run;
use self::plan::Campaign;

/// Kills of the main campaign where nobody asks for more.
const KILLS: u32 = 12;

/// From this many kills on, every narrow window has to be hit.
const MANY: u32 = 100;

fn kills() -> u32 {
    env::crash_kills(KILLS).unwrap()
}

/// L31, L56: the SIGKILL of `moorline` loses no run, starts none twice and leaves one summary for each.
#[test]
fn crash_harness_kills_the_runner() {
    let report = run(Campaign::Runner, Backend::Sqlite, kills());
    report.tell();
    report.assert_clean();
    if report.kills >= MANY {
        report.assert_narrow_windows_were_hit();
    }
    coverage::record(Covered::Sqlite).unwrap();
}

/// L31, L56, L63: so it is over PostgreSQL, with `fsync` on.
#[test]
fn crash_harness_kills_the_runner_over_postgres() {
    let report = run(
        Campaign::RunnerOverPostgres,
        Backend::Postgres,
        (kills() / 5).max(4),
    );
    report.tell();
    report.assert_clean();
    coverage::record(Covered::Postgres).unwrap();
}

/// L56: a supervisor's death loses its attempt, which is then said; it is tried again only where the step
/// is idempotent, and nothing of it goes on without a supervisor.
#[test]
fn crash_harness_kills_supervisors() {
    let report = run(Campaign::Supervisor, Backend::Sqlite, (kills() / 4).max(6));
    report.tell();
    report.assert_clean();
}
