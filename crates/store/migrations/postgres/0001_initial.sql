-- The state of one installation.
--
-- Times are microseconds since the Unix epoch, UTC. Ids are hyphenated lower-case UUIDs, whose order
-- as text is the order of their creation: hence the collation. `doc` and `data` are JSON.

-- Where the logs end: one row, rewritten by the transaction that appends. Reading it first and
-- writing it last makes event ids gapless in commit order, and the audit chain serial.
CREATE TABLE head (
    id         BIGINT  NOT NULL PRIMARY KEY CHECK (id = 1),
    event_id   BIGINT  NOT NULL,
    audit_id   BIGINT  NOT NULL,
    audit_hash TEXT    NOT NULL,
    outbox_id  BIGINT  NOT NULL
);

INSERT INTO head (id, event_id, audit_id, audit_hash, outbox_id)
VALUES (1, 0, 0, 'b3:0000000000000000000000000000000000000000000000000000000000000000', 0);

-- A run's document is what its next transition depends on; the columns are what is searched for.
CREATE TABLE runs (
    id              TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    job_id          TEXT    NOT NULL,
    source_id       TEXT,
    status          TEXT    NOT NULL,
    due_at          BIGINT,
    driver          TEXT COLLATE "C",
    lease_until     BIGINT,
    ended_at        BIGINT,
    idempotency_key TEXT,
    fingerprint     TEXT    NOT NULL,
    doc             TEXT    NOT NULL
);

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
    run_id     TEXT COLLATE "C" NOT NULL REFERENCES runs (id),
    ordinal    BIGINT  NOT NULL,
    id         TEXT COLLATE "C" NOT NULL UNIQUE,
    step       TEXT    NOT NULL,
    number     BIGINT  NOT NULL,
    handle     TEXT,
    outcome    TEXT,
    claimed_at BIGINT  NOT NULL,
    ended_at   BIGINT,
    PRIMARY KEY (run_id, ordinal)
);

-- The primary key is the promise that a run has one summary (D-RUN-2).
CREATE TABLE summaries (
    run_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES runs (id),
    doc    TEXT NOT NULL
);

CREATE TABLE specs (
    hash TEXT NOT NULL PRIMARY KEY,
    doc  TEXT NOT NULL
);

CREATE TABLE sources (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    state      TEXT    NOT NULL,
    run_id     TEXT COLLATE "C",
    updated_at BIGINT  NOT NULL
);

-- Stops in force; a release removes the row. The logs keep the history.
CREATE TABLE stops (
    scope  TEXT    NOT NULL PRIMARY KEY,
    actor  TEXT    NOT NULL,
    reason TEXT    NOT NULL,
    since  BIGINT  NOT NULL
);

-- `level`: 0 info, 1 warn, 2 error.
CREATE TABLE events (
    id     BIGINT  NOT NULL PRIMARY KEY,
    at     BIGINT  NOT NULL,
    kind   TEXT    NOT NULL,
    level  BIGINT  NOT NULL,
    run_id TEXT COLLATE "C",
    job_id TEXT,
    data   TEXT    NOT NULL
);

CREATE INDEX events_run ON events (run_id, id) WHERE run_id IS NOT NULL;
CREATE INDEX events_job ON events (job_id, id) WHERE job_id IS NOT NULL;
CREATE INDEX events_kind ON events (kind, id);
CREATE INDEX events_notable ON events (id) WHERE level > 0;

CREATE TABLE audit (
    id        BIGINT  NOT NULL PRIMARY KEY,
    at        BIGINT  NOT NULL,
    actor     TEXT    NOT NULL,
    operation TEXT    NOT NULL,
    subject   TEXT    NOT NULL,
    reason    TEXT,
    data      TEXT    NOT NULL,
    prev_hash TEXT    NOT NULL,
    hash      TEXT    NOT NULL
);

-- Effects to carry out, at least once each.
CREATE TABLE outbox (
    id         BIGINT  NOT NULL PRIMARY KEY,
    run_id     TEXT COLLATE "C" NOT NULL REFERENCES runs (id),
    effect     TEXT    NOT NULL,
    created_at BIGINT  NOT NULL,
    done_at    BIGINT
);

CREATE INDEX outbox_pending ON outbox (id) WHERE done_at IS NULL;
CREATE INDEX outbox_pending_run ON outbox (run_id, id) WHERE done_at IS NULL;
