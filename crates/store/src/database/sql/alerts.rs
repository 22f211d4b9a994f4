//! Statements over the tables of [`AlertStore`](crate::AlertStore).

statements! {
    ALERT_INSERT = "INSERT INTO alerts (id, dedupe_key, state, doc) VALUES ($1, $2, $3, $4)";
    ALERT_UPDATE = "UPDATE alerts SET state = $1, doc = $2 WHERE id = $3";
    ALERT_GET = "SELECT doc FROM alerts WHERE id = $1";
    ALERT_FIND = "SELECT id FROM alerts WHERE id >= $1 AND id < $2 ORDER BY id LIMIT 2";
    /// The newest alert of a key, which alone can be open.
    ALERT_OF_KEY = "SELECT doc FROM alerts WHERE dedupe_key = $1 ORDER BY id DESC LIMIT 1";
    /// Alerts of keys from the first to before the second that are not closed.
    ALERTS_OPEN = "SELECT doc FROM alerts \
        WHERE state <> 'closed' AND dedupe_key >= $1 AND dedupe_key < $2 ORDER BY dedupe_key, id";
    ALERTS_RAISED = "SELECT doc FROM alerts WHERE state = 'raised' ORDER BY id LIMIT $1";
    ALERTS = "SELECT doc FROM alerts WHERE id < $1 ORDER BY id DESC LIMIT $2";
    /// Those with a destination that was given up.
    ALERTS_DEAD = "SELECT doc FROM alerts WHERE id < $1 \
        AND id IN (SELECT alert FROM deliveries WHERE state = 'dead') ORDER BY id DESC LIMIT $2";

    DELIVERY_INSERT = "INSERT INTO deliveries (alert, destination, state, due_at, doc) \
        VALUES ($1, $2, $3, $4, $5) ON CONFLICT (alert, destination) DO NOTHING";
    DELIVERY_UPDATE = "UPDATE deliveries SET state = $1, due_at = $2, doc = $3 \
        WHERE alert = $4 AND destination = $5";
    DELIVERY_GET = "SELECT doc FROM deliveries WHERE alert = $1 AND destination = $2";
    DELIVERIES = "SELECT doc FROM deliveries WHERE alert = $1 ORDER BY destination";
    DELIVERIES_DUE = "SELECT doc FROM deliveries WHERE due_at <= $1 ORDER BY due_at, alert LIMIT $2";
    DELIVERIES_NEXT = "SELECT MIN(due_at) FROM deliveries WHERE due_at IS NOT NULL";
}
