//! What every [`Store`] must do, as cases that run against any implementation.
//!
//! The engines of this crate pass it, and whoever writes another one runs it on theirs:
//!
//! ```
//! use std::path::PathBuf;
//! use std::sync::Arc;
//!
//! use async_trait::async_trait;
//! use moorline_store::conformance::{Databases, run_all};
//! use moorline_store::{SqliteStore, Store, StoreError};
//!
//! struct Files(PathBuf);
//!
//! #[async_trait]
//! impl Databases for Files {
//!     async fn open(&self, name: &str) -> Result<Arc<dyn Store>, StoreError> {
//!         Ok(Arc::new(SqliteStore::open(&self.0.join(name))?))
//!     }
//! }
//!
//! # let directory = tempfile::tempdir().unwrap();
//! # let files = Files(directory.path().to_owned());
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
//! let report = runtime.block_on(run_all(Arc::new(files)));
//! assert!(report.all_hold(), "{report}");
//! ```
//!
//! A case that races opens its database several times, as several processes would. What needs real
//! processes (a crash) or the engine's own file (tampering) is in the tests of this crate.

#[macro_use]
mod check;
mod fixture;

mod alerts;
mod approvals;
mod artifacts;
mod attempts;
mod blobs;
mod cancelling;
mod changes;
mod claims;
mod counts;
mod emergencies;
mod endings;
mod lists;
mod logs;
mod principals;
mod promotions;
mod requests;
mod schedules;
mod secrets;
mod sources;
mod starts;
mod stops;
mod submission;
mod tokens;
mod trail;
mod versions;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;

use crate::error::StoreError;
use crate::store::Store;

pub use check::Failure;
pub use fixture::{Shape, World};

/// Where the cases get their databases.
#[async_trait]
pub trait Databases: Send + Sync {
    /// Opens a database. A name that was not used before is a new, empty database; the same name
    /// again is another connection to the same one, as another process would have it.
    async fn open(&self, name: &str) -> Result<Arc<dyn Store>, StoreError>;
}

/// What a case is given: a database of its own.
#[derive(Clone)]
pub struct Subject {
    databases: Arc<dyn Databases>,
    name: &'static str,
}

impl Subject {
    /// Opens the case's database, another time if it is open.
    pub async fn open(&self) -> Result<Arc<dyn Store>, StoreError> {
        self.databases.open(self.name).await
    }

    /// Opens the case's database `count` times.
    pub async fn open_many(&self, count: usize) -> Result<Vec<Arc<dyn Store>>, StoreError> {
        let mut stores = Vec::with_capacity(count);
        for _ in 0..count {
            stores.push(self.open().await?);
        }
        Ok(stores)
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// One behaviour that every store has.
#[derive(Clone, Copy)]
pub struct Case {
    /// The behaviour.
    pub name: &'static str,
    run: fn(Subject) -> BoxFuture<'static, Result<(), Failure>>,
}

impl Case {
    /// Runs the case on a database of its name.
    ///
    /// # Errors
    /// [`Failure`] says what was expected and what was found.
    pub async fn run(&self, databases: Arc<dyn Databases>) -> Result<(), Failure> {
        (self.run)(Subject {
            databases,
            name: self.name,
        })
        .await
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Every case, once. Hands the list to a macro, so that a test suite can make a test of each:
///
/// ```
/// macro_rules! names {
///     ($($module:ident :: $case:ident),* $(,)?) => { [$(stringify!($case)),*] };
/// }
/// let names = moorline_store::for_each_store_case!(names);
/// assert_eq!(names.len(), moorline_store::conformance::CASES.len());
/// ```
#[macro_export]
macro_rules! for_each_store_case {
    ($with:ident) => {
        $with! {
            principals::a_changed_principal_is_read_back_with_its_traces,
            principals::a_key_is_one_principals_for_ever,
            submission::a_submitted_run_is_read_back_whole,
            submission::the_same_key_gives_the_same_run,
            submission::the_same_key_at_once_gives_one_run,
            submission::the_same_key_for_something_else_is_a_conflict,
            submission::a_run_id_is_used_once,
            submission::a_run_can_be_claimed_as_it_is_submitted,
            submission::what_was_acknowledged_survives_reopening,
            claims::due_runs_are_claimed_oldest_first_up_to_the_limit,
            claims::what_is_not_due_is_not_claimed,
            claims::one_run_can_be_claimed_alone,
            claims::an_attempt_is_claimed_by_one_driver,
            attempts::the_handle_of_a_launched_attempt_is_kept,
            attempts::a_stale_token_writes_nothing,
            attempts::what_an_attempt_says_is_recorded_once_and_for_its_driver_alone,
            attempts::only_the_live_attempt_is_taken_over,
            attempts::a_lease_is_renewed_for_live_attempts_of_its_driver,
            attempts::a_failed_attempt_is_retried_when_its_delay_is_over,
            attempts::the_next_step_is_claimed_as_the_one_before_ends,
            endings::a_success_leaves_one_summary_and_an_export,
            endings::every_failure_class_follows_the_matrix,
            endings::a_source_follows_the_ends_of_its_runs,
            endings::a_run_that_is_ended_from_all_sides_has_one_summary,
            endings::an_outbox_row_is_done_once,
            alerts::the_same_trouble_is_told_once_until_it_is_over,
            alerts::a_delivery_is_claimed_by_one_worker,
            alerts::a_lost_delivery_is_sent_again_under_its_id,
            alerts::what_was_given_up_is_replayed,
            sources::a_source_pauses_after_as_many_failed_runs_as_its_job_says,
            sources::only_a_run_that_reads_the_source_makes_it_active,
            sources::a_held_source_is_resumed_by_a_person_only,
            sources::a_schedule_starts_nothing_of_a_source_that_needs_a_person,
            approvals::a_request_opens_as_its_run_comes_to_the_gate,
            approvals::a_request_is_decided_once,
            approvals::a_decision_means_one_request,
            approvals::only_a_person_with_the_role_decides,
            approvals::of_a_hundred_decisions_at_once_one_holds,
            requests::a_request_expires_by_its_policy,
            requests::reminders_grow_louder,
            requests::a_request_is_withdrawn_with_its_run,
            requests::nothing_is_decided_under_a_stop,
            requests::an_iteration_asks_again,
            requests::requests_are_listed_newest_first_and_filtered_before_the_limit,
            cancelling::a_queued_run_ends_at_once,
            cancelling::a_live_run_ends_with_its_attempt,
            cancelling::repeating_a_cancellation_writes_nothing,
            stops::every_scope_holds_back_what_it_covers,
            stops::a_stop_of_a_schedule_holds_back_what_it_starts,
            stops::a_stop_ends_what_is_queued_and_names_what_is_live,
            stops::repeating_a_stop_writes_nothing,
            stops::a_release_lets_runs_start_again,
            stops::nothing_is_claimed_after_a_stop_was_acknowledged,
            artifacts::a_submitted_artifact_is_read_back_whole,
            artifacts::the_same_content_is_submitted_once,
            artifacts::an_approval_supersedes_the_one_before,
            artifacts::of_two_approvals_at_once_one_holds,
            promotions::a_promotion_is_recorded_once,
            promotions::a_rollback_restores_exactly_the_content_before,
            promotions::promotion_and_archive_at_once_agree,
            promotions::only_what_the_lane_points_to_runs,
            artifacts::nobody_but_people_decides,
            artifacts::artifacts_are_listed_newest_first,
            emergencies::an_emergency_begins_with_its_gate,
            emergencies::an_unfinished_emergency_is_carried_on,
            emergencies::only_a_person_calls_an_emergency,
            schedules::a_schedule_comes_and_goes_with_promotions,
            schedules::enabling_needs_every_gate,
            schedules::evidence_is_about_what_is_live,
            schedules::schedules_follow_the_failures_of_their_source,
            schedules::a_leak_disables_every_schedule,
            schedules::a_paused_schedule_is_resumed_by_a_person,
            schedules::disabling_always_succeeds,
            starts::a_due_start_is_made_by_one_worker,
            starts::a_disable_wins_over_a_due_start,
            starts::a_stop_wins_over_a_due_start,
            starts::an_overlapping_start_is_skipped,
            starts::an_overlapping_start_waits,
            starts::an_overlapping_start_takes_the_place,
            starts::missed_starts_fall_away,
            blobs::content_is_read_back_whole,
            blobs::content_that_is_there_stays,
            blobs::content_goes_with_the_last_of_its_names,
            blobs::content_beyond_the_bound_is_refused,
            blobs::content_with_an_end_is_found_once_it_has_come,
            counts::counts_follow_what_is_written,
            changes::a_commit_of_another_process_wakes_who_waits,
            changes::what_is_told_can_be_read,
            lists::runs_are_listed_newest_first_and_filtered_before_the_limit,
            lists::a_run_is_found_by_the_beginning_of_its_id,
            lists::a_job_that_ran_is_named_once,
            lists::events_are_filtered_before_the_limit,
            logs::event_ids_have_no_gap_under_concurrency,
            logs::the_audit_chain_holds_under_concurrency,
            logs::a_refused_write_leaves_no_trace,
            logs::an_operation_can_be_audited_by_itself,
            logs::a_healthy_store_says_how_it_is_set_up,
            secrets::a_change_of_a_secret_is_recorded_whole,
            secrets::each_stage_of_an_expiry_is_told_once,
            secrets::a_revocation_is_one_record,
            secrets::a_re_authentication_is_kept_by_lane_and_source,
            tokens::a_token_is_read_back_with_its_traces,
            tokens::a_revoked_token_takes_its_sessions_with_it,
            tokens::a_link_is_used_up_once,
            tokens::a_use_is_recorded_once_a_minute,
            tokens::what_ended_long_ago_is_removed,
            trail::audit_records_are_listed_newest_first_and_filtered_before_the_limit,
            trail::a_refusal_is_found_by_the_beginning_of_its_id,
            trail::only_the_newest_refusals_are_kept,
            versions::of_two_changes_of_a_principal_one_is_made,
            versions::of_two_changes_of_a_source_one_is_made,
            versions::of_two_promotions_of_an_artifact_one_is_made,
            versions::a_cancellation_means_the_run_that_was_seen,
            versions::a_change_of_a_schedule_means_the_one_that_was_seen,
        }
    };
}

macro_rules! list {
    ($($module:ident :: $case:ident),* $(,)?) => {
        /// Every case, once.
        pub const CASES: &[Case] = &[$(Case {
            name: stringify!($case),
            run: |subject| Box::pin($module::$case(subject)),
        }),*];
    };
}
for_each_store_case!(list);

/// Runs every case, one after the other.
pub async fn run_all(databases: Arc<dyn Databases>) -> Report {
    let mut failures = Vec::new();
    for case in CASES {
        if let Err(failure) = case.run(Arc::clone(&databases)).await {
            failures.push((case.name, failure));
        }
    }
    Report { failures }
}

/// How a run of all cases went.
#[derive(Debug)]
pub struct Report {
    /// The cases that do not hold, and why.
    pub failures: Vec<(&'static str, Failure)>,
}

impl Report {
    /// Whether every case holds.
    pub fn all_hold(&self) -> bool {
        self.failures.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (all, failed) = (CASES.len(), self.failures.len());
        write!(
            f,
            "{} of {all} cases of the store's contract hold",
            all - failed
        )?;
        for (name, failure) in &self.failures {
            write!(f, "\n{name}: {failure}")?;
        }
        Ok(())
    }
}
