//! Statements over the tables of [`ScheduleStore`](crate::ScheduleStore).

statements! {
    SCHEDULE_GET = "SELECT doc FROM schedules WHERE id = $1";
    SCHEDULE_WRITE = "INSERT INTO schedules (id, lane, source_id, state, next_at, doc) \
        VALUES ($1, $2, $3, $4, $5, $6) \
        ON CONFLICT (id) DO UPDATE SET source_id = excluded.source_id, state = excluded.state, \
        next_at = excluded.next_at, doc = excluded.doc";
    SCHEDULE_DELETE = "DELETE FROM schedules WHERE id = $1";
    SCHEDULES = "SELECT doc FROM schedules ORDER BY id";
    SCHEDULES_SOURCE = "SELECT doc FROM schedules WHERE source_id = $1 ORDER BY id";
    SCHEDULES_DUE = "SELECT doc FROM schedules WHERE next_at IS NOT NULL AND next_at <= $1 \
        ORDER BY next_at, id LIMIT $2";
    SCHEDULES_NEXT = "SELECT MIN(next_at) FROM schedules WHERE next_at IS NOT NULL";

    EVIDENCE_INSERT = "INSERT INTO evidence (id, gate, lane, job_id, artifact, doc) \
        VALUES ($1, $2, $3, $4, $5, $6)";
    EVIDENCE = "SELECT doc FROM evidence WHERE lane = $1 AND job_id = $2 AND artifact = $3 \
        ORDER BY id";
}
