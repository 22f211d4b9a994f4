-- The control plane: decisions that runs wait for, who may come in over a network, content for other machines.

-- Questions to people. `look_at` is when the next reminder or the expiry is due, while it waits.
CREATE TABLE approvals (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    run_id     TEXT COLLATE "C" NOT NULL REFERENCES runs (id),
    job_id     TEXT NOT NULL,
    checkpoint TEXT NOT NULL,
    status     TEXT NOT NULL,
    look_at    BIGINT,
    doc        TEXT NOT NULL
);

CREATE INDEX approvals_run ON approvals (run_id, id);
CREATE INDEX approvals_job ON approvals (job_id, id);
CREATE INDEX approvals_status ON approvals (status, id);
CREATE INDEX approvals_job_status ON approvals (job_id, status, id);
CREATE INDEX approvals_due ON approvals (look_at, id) WHERE look_at IS NOT NULL;

-- Tokens, by the hash of their secrets in the document. Sessions and links are removed some time after their end.
CREATE TABLE tokens (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    kind       TEXT NOT NULL,
    parent     TEXT COLLATE "C",
    expires_at BIGINT NOT NULL,
    doc        TEXT NOT NULL
);

CREATE INDEX tokens_kind ON tokens (kind, id);
CREATE INDEX tokens_parent ON tokens (parent) WHERE parent IS NOT NULL;
CREATE INDEX tokens_ended ON tokens (expires_at) WHERE kind <> 'api';

-- Content by its names. A row comes after all of its parts, so what has a row is whole. What has an end is removed
-- after it.
CREATE TABLE blobs (
    name       TEXT NOT NULL PRIMARY KEY,
    content    TEXT NOT NULL,
    size       BIGINT NOT NULL,
    parts      BIGINT NOT NULL,
    expires_at BIGINT
);

CREATE INDEX blobs_content ON blobs (content);

CREATE INDEX blobs_expiring ON blobs (expires_at) WHERE expires_at IS NOT NULL;

-- Content by its hash, in parts, each base64.
CREATE TABLE blob_parts (
    content TEXT NOT NULL,
    part    BIGINT NOT NULL,
    data    TEXT NOT NULL,
    PRIMARY KEY (content, part)
);
