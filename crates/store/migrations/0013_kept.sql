-- What is kept from one Attempt for later ones: keyed caches, outputs of Steps, workspaces.
-- The bytes are blobs in a content store of their own. Times are microseconds since 1970 in UTC.

-- An entry that was evicted or revoked stays as a row, so that what was built with it is found.
CREATE TABLE kept_entries (
    id         TEXT   PRIMARY KEY,
    project    TEXT   NOT NULL,
    kind       TEXT   NOT NULL,              -- cache, step, workspace
    scope      TEXT   NOT NULL,              -- protected, internal, fork REF
    space      TEXT   NOT NULL,
    key        TEXT   NOT NULL,
    snapshot   TEXT   NOT NULL,
    files      BIGINT NOT NULL,
    bytes      BIGINT NOT NULL,
    stored     BIGINT NOT NULL,
    run_id     TEXT   NOT NULL,
    run_number BIGINT NOT NULL,
    job        TEXT   NOT NULL,
    attempt    TEXT   NOT NULL,
    step       BIGINT,
    commit_sha TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    used_at    BIGINT NOT NULL,
    ends_at    BIGINT NOT NULL,              -- when it goes if nobody reads it until then
    state      TEXT   NOT NULL,              -- live, evicted, revoked
    ended      TEXT   NOT NULL,              -- by whom and why, once it is not live
    body       TEXT   NOT NULL               -- parts of the key, outputs
);
CREATE INDEX kept_entries_by_key ON kept_entries (project, kind, space, key);
CREATE INDEX kept_entries_by_time ON kept_entries (project, created_at);
CREATE INDEX kept_entries_by_attempt ON kept_entries (attempt);
CREATE INDEX kept_entries_by_use ON kept_entries (used_at) WHERE state = 'live';
CREATE INDEX kept_entries_by_end ON kept_entries (ends_at) WHERE state = 'live';

-- Which blobs a Project has. `entries` counts the live entries that refer to one.
CREATE TABLE kept_blobs (
    project    TEXT   NOT NULL,
    digest     TEXT   NOT NULL,
    size       BIGINT NOT NULL,
    entries    BIGINT NOT NULL,
    touched_at BIGINT NOT NULL,
    PRIMARY KEY (project, digest)
);
CREATE INDEX kept_blobs_by_digest ON kept_blobs (digest);
CREATE INDEX kept_blobs_unused ON kept_blobs (touched_at) WHERE entries = 0;

CREATE TABLE kept_links (
    entry  TEXT NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (entry, digest)
);

-- Bytes of the blobs that live entries refer to.
CREATE TABLE kept_usage (
    project TEXT   PRIMARY KEY,
    bytes   BIGINT NOT NULL
);

-- What Attempts asked for and got.
CREATE TABLE kept_uses (
    id      INTEGER PRIMARY KEY,
    project TEXT    NOT NULL,
    run_id  TEXT    NOT NULL,
    job     TEXT    NOT NULL,
    attempt TEXT    NOT NULL,
    step    BIGINT,
    kind    TEXT    NOT NULL,
    key     TEXT    NOT NULL,
    outcome TEXT    NOT NULL,                -- hit, prefix, miss, same, differs
    entry   TEXT,                            -- which, for all but a miss
    why     TEXT    NOT NULL,
    at      BIGINT  NOT NULL
);
CREATE INDEX kept_uses_by_run ON kept_uses (run_id);
CREATE INDEX kept_uses_by_entry ON kept_uses (entry) WHERE entry IS NOT NULL;
CREATE INDEX kept_uses_by_outcome ON kept_uses (project, at) WHERE outcome = 'differs';
