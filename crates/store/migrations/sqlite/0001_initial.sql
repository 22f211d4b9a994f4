-- The state of one installation.
--
-- Times are microseconds since the Unix epoch, UTC. Ids are hyphenated lower-case UUIDs, whose order
-- as text is the order of their creation. `doc` and `data` are JSON.

-- Where the logs end: one row, rewritten by the transaction that appends. Reading it first and
-- writing it last makes event ids gapless in commit order, and the audit chain serial.
CREATE TABLE head (
    id         INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    event_id   INTEGER NOT NULL,
    audit_id   INTEGER NOT NULL,
    audit_hash TEXT    NOT NULL,
    outbox_id  INTEGER NOT NULL
) STRICT;

INSERT INTO head (id, event_id, audit_id, audit_hash, outbox_id)
VALUES (1, 0, 0, 'b3:0000000000000000000000000000000000000000000000000000000000000000', 0);

-- A run's document is what its next transition depends on; the columns are what is searched for.
CREATE TABLE runs (
    id              TEXT    NOT NULL PRIMARY KEY,
    job_id          TEXT    NOT NULL,
    source_id       TEXT,
    status          TEXT    NOT NULL,
    due_at          INTEGER,
    driver          TEXT,
    lease_until     INTEGER,
    ended_at        INTEGER,
    idempotency_key TEXT,
    fingerprint     TEXT    NOT NULL,
    doc             TEXT    NOT NULL
) STRICT;

CREATE UNIQUE INDEX runs_idempotency_key ON runs (idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX runs_due ON runs (due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX runs_live ON runs (id) WHERE driver IS NOT NULL;
CREATE INDEX runs_open ON runs (id) WHERE ended_at IS NULL;
CREATE INDEX runs_status ON runs (status, id);
CREATE INDEX runs_job ON runs (job_id, id);
CREATE INDEX runs_job_status ON runs (job_id, status, id);
CREATE INDEX runs_source ON runs (source_id, id) WHERE source_id IS NOT NULL;
CREATE INDEX runs_source_status ON runs (source_id, status, id) WHERE source_id IS NOT NULL;

-- Every launch of a step; `ordinal` counts the attempts of a run, all steps.
CREATE TABLE attempts (
    run_id     TEXT    NOT NULL REFERENCES runs (id),
    ordinal    INTEGER NOT NULL,
    id         TEXT    NOT NULL UNIQUE,
    step       TEXT    NOT NULL,
    number     INTEGER NOT NULL,
    handle     TEXT,
    outcome    TEXT,
    claimed_at INTEGER NOT NULL,
    ended_at   INTEGER,
    PRIMARY KEY (run_id, ordinal)
) STRICT;

-- The primary key is the promise that a run has one summary (D-RUN-2).
CREATE TABLE summaries (
    run_id TEXT NOT NULL PRIMARY KEY REFERENCES runs (id),
    doc    TEXT NOT NULL
) STRICT;

CREATE TABLE specs (
    hash TEXT NOT NULL PRIMARY KEY,
    doc  TEXT NOT NULL
) STRICT;

CREATE TABLE sources (
    id         TEXT    NOT NULL PRIMARY KEY,
    state      TEXT    NOT NULL,
    run_id     TEXT,
    updated_at INTEGER NOT NULL
) STRICT;

-- Stops in force; a release removes the row. The logs keep the history.
CREATE TABLE stops (
    scope  TEXT    NOT NULL PRIMARY KEY,
    actor  TEXT    NOT NULL,
    reason TEXT    NOT NULL,
    since  INTEGER NOT NULL
) STRICT;

-- `level`: 0 info, 1 warn, 2 error.
CREATE TABLE events (
    id     INTEGER NOT NULL PRIMARY KEY,
    at     INTEGER NOT NULL,
    kind   TEXT    NOT NULL,
    level  INTEGER NOT NULL,
    run_id TEXT,
    job_id TEXT,
    data   TEXT    NOT NULL
) STRICT;

CREATE INDEX events_run ON events (run_id, id) WHERE run_id IS NOT NULL;
CREATE INDEX events_job ON events (job_id, id) WHERE job_id IS NOT NULL;
CREATE INDEX events_kind ON events (kind, id);
CREATE INDEX events_notable ON events (id) WHERE level > 0;

CREATE TABLE audit (
    id        INTEGER NOT NULL PRIMARY KEY,
    at        INTEGER NOT NULL,
    actor     TEXT    NOT NULL,
    operation TEXT    NOT NULL,
    subject   TEXT    NOT NULL,
    reason    TEXT,
    data      TEXT    NOT NULL,
    prev_hash TEXT    NOT NULL,
    hash      TEXT    NOT NULL
) STRICT;

-- Effects to carry out, at least once each.
CREATE TABLE outbox (
    id         INTEGER NOT NULL PRIMARY KEY,
    run_id     TEXT    NOT NULL REFERENCES runs (id),
    effect     TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    done_at    INTEGER
) STRICT;

CREATE INDEX outbox_pending ON outbox (id) WHERE done_at IS NULL;
CREATE INDEX outbox_pending_run ON outbox (run_id, id) WHERE done_at IS NULL;
