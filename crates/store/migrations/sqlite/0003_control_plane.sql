-- The control plane: decisions that runs wait for, who may come in over a network, content for other machines.

-- Questions to people. `look_at` is when the next reminder or the expiry is due, while it waits.
CREATE TABLE approvals (
    id         TEXT NOT NULL PRIMARY KEY,
    run_id     TEXT NOT NULL REFERENCES runs (id),
    job_id     TEXT NOT NULL,
    checkpoint TEXT NOT NULL,
    status     TEXT NOT NULL,
    look_at    INTEGER,
    doc        TEXT NOT NULL
) STRICT;

CREATE INDEX approvals_run ON approvals (run_id, id);
CREATE INDEX approvals_job ON approvals (job_id, id);
CREATE INDEX approvals_status ON approvals (status, id);
CREATE INDEX approvals_due ON approvals (look_at, id) WHERE look_at IS NOT NULL;

-- Tokens by the hash of their secrets, in the document.
CREATE TABLE tokens (
    id     TEXT NOT NULL PRIMARY KEY,
    parent TEXT,
    doc    TEXT NOT NULL
) STRICT;

CREATE INDEX tokens_parent ON tokens (parent) WHERE parent IS NOT NULL;

-- Content in parts, each base64.
CREATE TABLE blobs (
    name TEXT NOT NULL,
    part INTEGER NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (name, part)
) STRICT;
