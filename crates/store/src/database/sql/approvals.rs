//! Statements over the tables of [`ApprovalStore`](crate::ApprovalStore).

macro_rules! approvals_where {
    ($condition:literal, $limit:literal) => {
        concat!(
            "SELECT doc FROM approvals WHERE id < $1",
            $condition,
            " ORDER BY id DESC LIMIT ",
            $limit
        )
    };
}

statements! {
    /// Makes a request, or writes what became of it. Arguments: id, run, job, checkpoint, status, when
    /// something is due of it next, document.
    APPROVAL_WRITE = "INSERT INTO approvals (id, run_id, job_id, checkpoint, status, look_at, doc) \
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO UPDATE \
        SET status = excluded.status, look_at = excluded.look_at, doc = excluded.doc";
    APPROVAL_GET = "SELECT doc FROM approvals WHERE id = $1";
    APPROVAL_FIND = "SELECT id FROM approvals WHERE id >= $1 AND id < $2 ORDER BY id LIMIT 2";
    APPROVALS = approvals_where!("", "$2");
    APPROVALS_STATUS = approvals_where!(" AND status = $2", "$3");
    APPROVALS_JOB = approvals_where!(" AND job_id = $2", "$3");
    APPROVALS_JOB_STATUS = approvals_where!(" AND job_id = $2 AND status = $3", "$4");
    /// Those of a run, which are few. `$3` is empty or a status.
    APPROVALS_RUN = approvals_where!(" AND run_id = $2 AND ($3 = '' OR status = $3)", "$4");
    /// Those of which something is due. Arguments: now, limit.
    APPROVALS_DUE = "SELECT id FROM approvals WHERE look_at <= $1 ORDER BY look_at, id LIMIT $2";
}
