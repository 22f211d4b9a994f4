//! Every SQL statement, one text for both engines, with parameters `$1…` that first appear in the
//! order of their numbers.
//!
//! SQLite takes a missing parameter for NULL and PostgreSQL does not take it, so a test prepares
//! each statement on both and compares the parameters. What differs between the engines is in
//! [`Dialect`].
//!
//! Lists are flat in the number of rows: each has an index of its own that gives its order, and a
//! limit. Where a filter names several values, there is one query for each, and the results are
//! merged.

/// Where the engines' SQL differs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dialect {
    /// Begins a transaction that is going to write.
    pub(crate) begin: &'static str,
    /// Reads the row that every writer rewrites, and keeps every other writer away until commit.
    pub(crate) head: &'static str,
    /// Writes that row back, and tells other processes of it where the engine can. Arguments: last event,
    /// last audit record, its hash, last outbox row.
    pub(crate) head_write: &'static str,
    /// Reads due runs. Arguments: now, limit, offset.
    pub(crate) due: &'static str,
}

macro_rules! head {
    ($lock:literal) => {
        concat!(
            "SELECT event_id, audit_id, audit_hash, outbox_id FROM head WHERE id = 1",
            $lock
        )
    };
}

macro_rules! head_write {
    ($tell:literal) => {
        concat!(
            "UPDATE head SET event_id = $1, audit_id = $2, audit_hash = $3, outbox_id = $4 ",
            "WHERE id = 1",
            $tell
        )
    };
}

macro_rules! due {
    ($lock:literal) => {
        concat!(
            "SELECT doc FROM runs WHERE due_at <= $1 ORDER BY due_at, id LIMIT $2 OFFSET $3",
            $lock
        )
    };
}

/// `BEGIN IMMEDIATE` takes the one write lock of the file at once; a transaction that read first
/// and wrote later would be refused without the busy handler being asked.
#[cfg(feature = "sqlite")]
pub(crate) const SQLITE: Dialect = Dialect {
    begin: "BEGIN IMMEDIATE",
    head: head!(""),
    head_write: head_write!(""),
    due: due!(""),
};

/// The lock on the head row makes writers serial, also those of other machines: whatever a
/// transaction reads after it (stops above all) is what the one before it committed, since each
/// statement of a `READ COMMITTED` transaction sees what is committed by then. `SKIP LOCKED`
/// keeps a claim from waiting for someone who locked a run by hand.
///
/// Who listens is told in the same transaction and the same statement: a commit is told or was none. The
/// channel is the schema's own, whatever the length of its name.
#[cfg(feature = "postgres")]
pub(crate) const POSTGRES: Dialect = Dialect {
    begin: "BEGIN ISOLATION LEVEL READ COMMITTED",
    head: head!(" FOR UPDATE"),
    head_write: head_write!(
        " RETURNING pg_notify('moorline_' || md5(current_schema()), event_id::text)"
    ),
    due: due!(" FOR UPDATE SKIP LOCKED"),
};

/// Defines the statements and, for the tests, the list of them.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:expr;)+) => {
        $($(#[$doc])* pub(crate) const $name: &str = $sql;)+

        /// Every statement by its name, the dialects' apart.
        #[cfg(test)]
        pub(crate) const ALL: &[(&str, &str)] = &[$((stringify!($name), $name)),+];
    };
}

macro_rules! runs_where {
    ($condition:literal, $limit:literal) => {
        concat!(
            "SELECT id, doc FROM runs WHERE id < $1",
            $condition,
            " ORDER BY id DESC LIMIT ",
            $limit
        )
    };
}

/// `$3` is empty or a list like `,run.queued,run.ended,`: a pattern match is the one way to test
/// membership that both engines have.
macro_rules! events_where {
    ($condition:literal, $order:literal, $limit:literal) => {
        concat!(
            "SELECT id, at, kind, level, run_id, job_id, data FROM events ",
            "WHERE id > $1 AND level >= $2 AND ($3 = '' OR $3 LIKE '%,' || kind || ',%')",
            $condition,
            " ORDER BY id ",
            $order,
            " LIMIT ",
            $limit
        )
    };
}

/// `$4` and `$5` are empty, or an actor and what a subject begins with.
macro_rules! audit_where {
    ($condition:literal, $limit:literal) => {
        concat!(
            "SELECT id, at, actor, operation, subject, reason, data, prev_hash, hash FROM audit ",
            "WHERE id < $1 AND at >= $2 AND at < $3 AND ($4 = '' OR actor = $4) ",
            "AND ($5 = '' OR SUBSTR(subject, 1, LENGTH($5)) = $5)",
            $condition,
            " ORDER BY id DESC LIMIT ",
            $limit
        )
    };
}

statements! {
    EVENT_NEWEST = "SELECT event_id FROM head WHERE id = 1";
    HEAD_READ = "SELECT audit_id, audit_hash FROM head WHERE id = 1";

    RUN_INSERT = "INSERT INTO runs (id, job_id, source_id, status, due_at, driver, lease_until, \
        ended_at, idempotency_key, fingerprint, doc) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (id) DO NOTHING";
    /// A lease lasts until another is given. It means nothing where there is no driver.
    RUN_UPDATE = "UPDATE runs SET status = $1, due_at = $2, driver = $3, \
        lease_until = COALESCE($4, lease_until), ended_at = $5, doc = $6 WHERE id = $7";
    /// As [`RUN_UPDATE`] when nothing but the document changed: no index is touched.
    RUN_UPDATE_DOC = "UPDATE runs SET doc = $1 WHERE id = $2";
    RUN_GET = "SELECT doc FROM runs WHERE id = $1";
    RUN_JOB = "SELECT job_id FROM runs WHERE id = $1";
    /// The job that follows another one in order, of those of which there are runs.
    JOB_NEXT = "SELECT job_id FROM runs WHERE job_id > $1 ORDER BY job_id, id LIMIT 1";
    RUN_BY_KEY = "SELECT fingerprint, doc FROM runs WHERE idempotency_key = $1";
    RUN_DUE = "SELECT doc FROM runs WHERE id = $1 AND due_at <= $2";
    RUN_FIND = "SELECT id FROM runs WHERE id >= $1 AND id < $2 ORDER BY id LIMIT 2";
    RUNS_LIVE = "SELECT doc, lease_until FROM runs WHERE driver IS NOT NULL ORDER BY id";
    RUNS_OPEN = "SELECT doc FROM runs WHERE ended_at IS NULL AND id > $1 ORDER BY id LIMIT $2";
    RUNS = runs_where!("", "$2");
    RUNS_STATUS = runs_where!(" AND status = $2", "$3");
    RUNS_JOB = runs_where!(" AND job_id = $2", "$3");
    RUNS_JOB_STATUS = runs_where!(" AND job_id = $2 AND status = $3", "$4");
    RUNS_SOURCE = runs_where!(" AND source_id = $2", "$3");
    RUNS_SOURCE_STATUS = runs_where!(" AND source_id = $2 AND status = $3", "$4");
    RUNS_JOB_SOURCE = runs_where!(" AND job_id = $2 AND source_id = $3", "$4");
    RUNS_JOB_SOURCE_STATUS =
        runs_where!(" AND job_id = $2 AND source_id = $3 AND status = $4", "$5");
    LEASE_RENEW = "UPDATE runs SET lease_until = $1 WHERE driver = $2";
    NEXT_DUE = "SELECT MIN(due_at) FROM runs WHERE due_at IS NOT NULL";
    NEXT_DUE_RUN = "SELECT MIN(due_at) FROM runs WHERE id = $1";

    ATTEMPT_INSERT = "INSERT INTO attempts (run_id, ordinal, id, step, number, claimed_at) \
        VALUES ($1, $2, $3, $4, $5, $6)";
    ATTEMPT_LAUNCHED = "UPDATE attempts SET handle = $1 WHERE run_id = $2 AND ordinal = $3";
    ATTEMPT_ENDED = "UPDATE attempts SET outcome = $1, ended_at = $2 \
        WHERE run_id = $3 AND ordinal = $4";
    ATTEMPTS = "SELECT id, run_id, step, number, handle, outcome, claimed_at, ended_at \
        FROM attempts WHERE run_id = $1 ORDER BY ordinal";

    ATTEMPT_RUN = "SELECT run_id FROM attempts WHERE id = $1";

    SUMMARY_INSERT = "INSERT INTO summaries (run_id, doc) VALUES ($1, $2)";
    SUMMARY_GET = "SELECT doc FROM summaries WHERE run_id = $1";

    SPEC_INSERT = "INSERT INTO specs (hash, doc) VALUES ($1, $2) ON CONFLICT (hash) DO NOTHING";
    SPEC_GET = "SELECT doc FROM specs WHERE hash = $1";

    STOP_INSERT = "INSERT INTO stops (scope, actor, reason, since) VALUES ($1, $2, $3, $4)";
    STOP_DELETE = "DELETE FROM stops WHERE scope = $1";
    STOPS = "SELECT scope, actor, reason, since FROM stops ORDER BY since, scope";

    EVENT_INSERT = "INSERT INTO events (id, at, kind, level, run_id, job_id, data) \
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    EVENTS = events_where!("", "ASC", "$4");
    EVENTS_NOTABLE = events_where!(" AND level > 0", "ASC", "$4");
    EVENTS_KIND = events_where!(" AND kind = $4", "ASC", "$5");
    EVENTS_JOB = events_where!(" AND job_id = $4", "ASC", "$5");
    EVENTS_RUN = events_where!(" AND run_id = $4", "ASC", "$5");
    EVENTS_NEWEST = events_where!("", "DESC", "$4");
    EVENTS_NOTABLE_NEWEST = events_where!(" AND level > 0", "DESC", "$4");
    EVENTS_KIND_NEWEST = events_where!(" AND kind = $4", "DESC", "$5");
    EVENTS_JOB_NEWEST = events_where!(" AND job_id = $4", "DESC", "$5");
    EVENTS_RUN_NEWEST = events_where!(" AND run_id = $4", "DESC", "$5");

    AUDIT_INSERT = "INSERT INTO audit \
        (id, at, actor, operation, subject, reason, data, prev_hash, hash) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    AUDIT = "SELECT id, at, actor, operation, subject, reason, data, prev_hash, hash FROM audit \
        WHERE id > $1 ORDER BY id LIMIT $2";
    /// The newest record about a subject; no row where there is none.
    AUDIT_NEWEST_OF = "SELECT id FROM audit WHERE subject = $1 ORDER BY id DESC LIMIT 1";
    AUDIT_NEWEST = audit_where!("", "$6");
    AUDIT_OPERATION = audit_where!(" AND operation = $6", "$7");
    AUDIT_SUBJECT = audit_where!(" AND subject = $6", "$7");
    AUDIT_OPERATION_SUBJECT = audit_where!(" AND operation = $6 AND subject = $7", "$8");

    OUTBOX_INSERT = "INSERT INTO outbox (id, run_id, effect, created_at) VALUES ($1, $2, $3, $4)";
    OUTBOX_GET = "SELECT run_id, done_at FROM outbox WHERE id = $1";
    OUTBOX_DONE = "UPDATE outbox SET done_at = $1 WHERE id = $2";
    OUTBOX = "SELECT id, run_id, effect, created_at FROM outbox WHERE done_at IS NULL ORDER BY id";
    OUTBOX_RUN = "SELECT id, run_id, effect, created_at FROM outbox \
        WHERE run_id = $1 AND done_at IS NULL ORDER BY id";

    HISTORY = "SELECT version, name, checksum, COALESCE(compatible_with, version) \
        FROM schema_history ORDER BY version";
    /// As [`HISTORY`], of a table that programs up to schema 2 made.
    HISTORY_FIRST = "SELECT version, name, checksum, version FROM schema_history ORDER BY version";
    HISTORY_INSERT = "INSERT INTO schema_history (version, name, checksum, compatible_with) \
        VALUES ($1, $2, $3, $4)";
}

pub(crate) mod alerts;
pub(crate) mod approvals;
pub(crate) mod artifacts;
pub(crate) mod blobs;
pub(crate) mod counts;
pub(crate) mod emergencies;
pub(crate) mod principals;
pub(crate) mod refusals;
pub(crate) mod schedules;
pub(crate) mod secrets;
pub(crate) mod sources;
pub(crate) mod tokens;

#[cfg(test)]
mod tests;
