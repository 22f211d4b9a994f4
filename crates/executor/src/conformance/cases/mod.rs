//! The cases, each listed once.

mod cancel;
mod files;
mod launch;
mod logs;
mod observe;
mod owned;
mod refuse;
mod secrets;

use super::report::{During, Failure, ensure, same};
use super::{Bench, Case, Feature, Program};

/// `case!(module::function, "the clause", needs…)`
macro_rules! case {
    ($module:ident::$name:ident, $clause:expr $(, $need:ident)*) => {
        Case {
            name: stringify!($name),
            clause: $clause,
            needs: &[$(Feature::$need),*],
            run: |bench| Box::pin($module::$name(bench)),
        }
    };
}

const ONE_LAUNCH: &str = "`launch` is idempotent in the attempt id: a second call starts nothing and \
    returns a handle of the first launch, also when the first caller died before it saw one, and also \
    when the attempt is already over; two concurrent calls start one process";
const LAUNCH_ERROR: &str =
    "an error of `launch` means that nothing runs under that id, and nothing will";
const PLAIN_HANDLE: &str = "a `Handle` is plain data: any process with the same configuration can use \
    it after the one that launched has died";
const OBSERVE: &str = "`observe` never blocks on the attempt, and after the end it answers the same \
    outcome for as long as the attempt is kept";
const WAIT: &str = "`wait` returns when the attempt is over, with the outcome that `observe` gives from \
    then on; dropping its future changes nothing";
const EXIT: &str = "the outcome tells how the main process ended, and nothing else is taken for it";
const CANCEL: &str = "`cancel` ends the whole process tree: politely, then after `grace` by force, \
    whatever the job does";
const CANCEL_RETURNS: &str =
    "`cancel` returns when the request is durable, not when the tree is gone";
const CANCEL_OVER: &str = "`cancel` is `Ok` for an attempt that is over, and a job that ends by itself first keeps its own exit";
const CANCEL_AGAIN: &str =
    "a repeated `cancel` can shorten the grace of an earlier one and never lengthens it";
const TREE: &str = "when an attempt is over, nothing of its process tree is left";
const TIMEOUT: &str = "an attempt that runs past its timeout ends as timed out, its tree with it";
const OWNED: &str = "`find_owned` is complete or an error, never a short list: every attempt of that \
    owner that was launched and not forgotten";
const WITHDRAW: &str = "`withdraw` decides a launch whose caller died: either it took place, and its \
    handle is returned, or it never will";
const FORGET: &str =
    "`forget` drops what is kept of an attempt that is over, and only of one that is";
const LOGS: &str = "logs have every line of both streams, each stream in its order";
const CURSOR: &str = "a cursor resumes exactly behind the last chunk that was read";
const FOLLOW: &str =
    "with `follow`, the stream goes on until the attempt is over; without, it ends";
const LOG_CAP: &str = "logs are capped and drained: a job that writes without end neither blocks nor \
    fills the disk";
const COLLECT: &str = "`collect` gives the output files of an attempt that is over, complete, and of none that is not";
const CONTRACT: &str = "the process contract: exact argv, plain and `MOORLINE_*` environment, the \
    input document and its files, the line protocol";
const REFUSE: &str = "what an executor can not give is refused and not left out: nothing ran";
const SECRETS: &str = "secrets reach the job's environment and nothing else: no argv, no file, no log, \
    no error";

/// Every case of the suite.
pub const CASES: &[Case] = &[
    case!(launch::an_exit_code_is_told, EXIT),
    case!(launch::a_signal_is_told, EXIT, Signals),
    case!(launch::a_second_launch_starts_nothing, ONE_LAUNCH),
    case!(
        launch::a_launch_by_another_instance_starts_nothing,
        ONE_LAUNCH
    ),
    case!(launch::a_launch_after_the_end_starts_nothing, ONE_LAUNCH),
    case!(launch::concurrent_launches_start_one_process, ONE_LAUNCH),
    case!(
        launch::a_program_that_is_missing_never_succeeds,
        LAUNCH_ERROR
    ),
    case!(launch::a_handle_survives_as_text, PLAIN_HANDLE),
    case!(
        launch::a_handle_names_its_attempt_and_executor,
        PLAIN_HANDLE
    ),
    case!(
        launch::another_instance_can_do_everything_with_a_handle,
        PLAIN_HANDLE
    ),
    case!(observe::observe_answers_while_the_attempt_runs, OBSERVE),
    case!(observe::an_outcome_does_not_change, OBSERVE),
    case!(observe::an_outcome_tells_when, OBSERVE),
    case!(observe::a_foreign_handle_is_not_found, OBSERVE),
    case!(observe::every_waiter_gets_the_outcome, WAIT),
    case!(observe::a_dropped_wait_changes_nothing, WAIT),
    case!(cancel::a_job_is_asked_before_it_is_killed, CANCEL),
    case!(cancel::a_job_that_ignores_the_request_is_killed, CANCEL),
    case!(cancel::a_cancel_right_after_the_launch_counts, CANCEL),
    case!(cancel::another_instance_can_cancel, CANCEL),
    case!(cancel::a_stubborn_tree_is_gone, CANCEL, HostDirectories),
    case!(cancel::a_cancel_does_not_wait_for_the_end, CANCEL_RETURNS),
    case!(cancel::a_later_cancel_shortens_the_grace, CANCEL_AGAIN),
    case!(cancel::cancelling_what_is_over_is_fine, CANCEL_OVER),
    case!(
        cancel::a_descendant_does_not_outlive_its_attempt,
        TREE,
        HostDirectories
    ),
    case!(
        cancel::a_timeout_ends_the_whole_tree,
        TIMEOUT,
        HostDirectories
    ),
    case!(cancel::a_timeout_is_told, TIMEOUT),
    case!(owned::all_attempts_of_an_owner_are_found, OWNED),
    case!(owned::nobody_elses_attempts_are_found, OWNED),
    case!(owned::what_was_launched_is_not_withdrawn, WITHDRAW),
    case!(owned::what_was_not_launched_is_withdrawn, WITHDRAW),
    case!(owned::what_is_forgotten_is_gone, FORGET),
    case!(owned::what_runs_can_not_be_forgotten, FORGET),
    case!(logs::both_streams_are_kept_in_order, LOGS),
    case!(logs::any_cursor_resumes_behind_its_chunk, CURSOR),
    case!(logs::a_followed_log_ends_with_the_attempt, FOLLOW),
    case!(logs::a_log_that_is_not_followed_ends_at_once, FOLLOW),
    case!(logs::a_flood_is_drained_and_capped, LOG_CAP),
    case!(files::outputs_are_collected, COLLECT),
    case!(files::no_outputs_are_no_error, COLLECT),
    case!(files::nothing_is_collected_of_what_runs, COLLECT),
    case!(files::arguments_arrive_byte_for_byte, CONTRACT),
    case!(files::the_environment_is_as_agreed, CONTRACT),
    case!(files::inputs_are_where_the_document_says, CONTRACT),
    case!(files::a_reply_is_told, CONTRACT),
    case!(refuse::required_isolation_is_given_or_refused, REFUSE),
    case!(refuse::an_allow_list_is_enforced_or_refused, REFUSE),
    case!(secrets::a_secret_reaches_the_job, SECRETS, Secrets),
    case!(secrets::a_secret_is_nowhere_else, SECRETS, Secrets),
    case!(secrets::secrets_are_given_or_refused, SECRETS),
];
