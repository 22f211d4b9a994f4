//! Statements over the table of [`SourceStore`](crate::SourceStore).

statements! {
    SOURCE_GET = "SELECT id, state, run_id, updated_at, doc FROM sources WHERE id = $1";
    SOURCE_DOC = "SELECT doc FROM sources WHERE id = $1";
    SOURCE_WRITE = "INSERT INTO sources (id, state, run_id, updated_at, doc) \
        VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO UPDATE SET state = excluded.state, \
        run_id = excluded.run_id, updated_at = excluded.updated_at, doc = excluded.doc";
    SOURCES = "SELECT id, state, run_id, updated_at, doc FROM sources ORDER BY id";
}
