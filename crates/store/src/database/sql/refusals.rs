//! Statements over the tables of [`RefusalStore`](crate::RefusalStore).

statements! {
    REFUSAL_INSERT = "INSERT INTO refusals (id, at, doc) VALUES ($1, $2, $3)";
    /// Everything behind the newest ones; nothing while there are no more than those.
    REFUSALS_TRIM = "DELETE FROM refusals WHERE id <= \
        (SELECT id FROM refusals ORDER BY id DESC LIMIT 1 OFFSET $1)";
    REFUSALS_EXPIRE = "DELETE FROM refusals WHERE at < $1";
    REFUSAL_FIND = "SELECT doc FROM refusals WHERE id >= $1 AND id < $2 ORDER BY id LIMIT 2";
    REFUSALS = "SELECT doc FROM refusals ORDER BY id DESC LIMIT $1";
}
