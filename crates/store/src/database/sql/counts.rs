//! Statements that count.

statements! {
    COUNT_RUNS = "SELECT status, COUNT(*) FROM runs GROUP BY status ORDER BY status";
    COUNT_OTHERS = "SELECT (SELECT COUNT(*) FROM runs WHERE driver IS NOT NULL), \
        (SELECT COUNT(*) FROM approvals WHERE status = 'pending'), event_id, \
        (SELECT COUNT(*) FROM outbox WHERE done_at IS NULL) \
        + (SELECT COUNT(*) FROM deliveries WHERE due_at IS NOT NULL) FROM head WHERE id = 1";
}
