-- Governance: what was reviewed and promoted, what starts by itself, who may act, whom to tell.
--
-- As before: `doc` is JSON and what the next transition depends on; columns are what is searched for.

-- Principals with a role or a key of their own.
CREATE TABLE principals (
    id  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    doc TEXT NOT NULL
);

-- Submissions for review. The content itself is kept by its content id, outside.
CREATE TABLE artifacts (
    id      TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    job_id  TEXT COLLATE "C" NOT NULL,
    content TEXT NOT NULL,
    state   TEXT NOT NULL,
    doc     TEXT NOT NULL
);

CREATE INDEX artifacts_job ON artifacts (job_id, id);
CREATE INDEX artifacts_content ON artifacts (content, id);
CREATE INDEX artifacts_state ON artifacts (state, id);

-- Every promotion and rollback. The newest of a lane and job is what the lane points to.
CREATE TABLE promotions (
    id      TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    lane    TEXT COLLATE "C" NOT NULL,
    job_id  TEXT COLLATE "C" NOT NULL,
    content TEXT NOT NULL,
    doc     TEXT NOT NULL
);

CREATE INDEX promotions_lane ON promotions (lane, job_id, id);
CREATE INDEX promotions_job ON promotions (job_id, id);

-- Where each lane points: the id of its newest promotion.
CREATE TABLE live (
    lane      TEXT COLLATE "C" NOT NULL,
    job_id    TEXT COLLATE "C" NOT NULL,
    promotion TEXT COLLATE "C" NOT NULL REFERENCES promotions (id),
    PRIMARY KEY (lane, job_id)
);

-- Evidence for gates: append-only.
CREATE TABLE evidence (
    id       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    gate     TEXT NOT NULL,
    lane     TEXT COLLATE "C" NOT NULL,
    job_id   TEXT COLLATE "C" NOT NULL,
    artifact TEXT NOT NULL,
    doc      TEXT NOT NULL
);

CREATE INDEX evidence_job ON evidence (lane, job_id, artifact, id);

-- `lane/job`. `next_at` is set while it is enabled and has another time.
CREATE TABLE schedules (
    id        TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    lane      TEXT COLLATE "C" NOT NULL,
    source_id TEXT COLLATE "C",
    state     TEXT NOT NULL,
    next_at   BIGINT,
    doc       TEXT NOT NULL
);

CREATE INDEX schedules_due ON schedules (next_at, id) WHERE next_at IS NOT NULL;
CREATE INDEX schedules_source ON schedules (source_id, id) WHERE source_id IS NOT NULL;

-- What is known of a lane's secrets: when they were set and until when they hold. Never a value.
CREATE TABLE secrets (
    lane TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    doc  TEXT NOT NULL,
    PRIMARY KEY (lane, name)
);

-- How far the re-authentication of a source has come in a lane.
CREATE TABLE reauths (
    lane      TEXT COLLATE "C" NOT NULL,
    source_id TEXT COLLATE "C" NOT NULL,
    doc       TEXT NOT NULL,
    PRIMARY KEY (lane, source_id)
);

-- Alerts, by a key that the same trouble gives again. `state`: `raised` until it is decided whom to tell,
-- then `open` and `closed`.
CREATE TABLE alerts (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    dedupe_key TEXT COLLATE "C" NOT NULL,
    state      TEXT NOT NULL,
    doc        TEXT NOT NULL
);

CREATE INDEX alerts_key ON alerts (dedupe_key, id);
CREATE INDEX alerts_raised ON alerts (id) WHERE state = 'raised';
CREATE INDEX alerts_open ON alerts (dedupe_key, id) WHERE state <> 'closed';

-- One alert to one destination.
CREATE TABLE deliveries (
    alert       TEXT COLLATE "C" NOT NULL REFERENCES alerts (id),
    destination TEXT COLLATE "C" NOT NULL,
    state       TEXT NOT NULL,
    due_at      BIGINT,
    doc         TEXT NOT NULL,
    PRIMARY KEY (alert, destination)
);

CREATE INDEX deliveries_due ON deliveries (due_at, alert) WHERE due_at IS NOT NULL;
CREATE INDEX deliveries_dead ON deliveries (alert) WHERE state = 'dead';

-- Who changed a source and why; absent in rows of before.
ALTER TABLE sources ADD COLUMN doc TEXT;

CREATE TABLE emergencies (
    id    TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    state TEXT NOT NULL,
    doc   TEXT NOT NULL
);

-- Refusals that someone may ask about: the newest ones.
CREATE TABLE refusals (
    id  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    at  BIGINT NOT NULL,
    doc TEXT NOT NULL
);

CREATE INDEX refusals_at ON refusals (at);

CREATE INDEX audit_operation ON audit (operation, id);
CREATE INDEX audit_subject ON audit (subject, id);
