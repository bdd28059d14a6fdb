-- Reports that Attempts left, what they say, and what is remembered of each test.

CREATE TABLE reports (
    attempt  TEXT   NOT NULL,
    position BIGINT NOT NULL,
    kind     TEXT   NOT NULL,              -- junit, coverage, sarif, load, contract
    name     TEXT   NOT NULL,
    digest   TEXT   NOT NULL,              -- of the bytes, in the content store
    bytes    BIGINT NOT NULL,
    problem  TEXT,                         -- why it says nothing, or less than it might
    PRIMARY KEY (attempt, position)
);

CREATE TABLE evidence (
    project TEXT   NOT NULL REFERENCES projects (name),
    run     BIGINT NOT NULL,               -- the Run's number
    job     TEXT   NOT NULL,
    attempt TEXT   NOT NULL,
    number  BIGINT NOT NULL,               -- the Attempt's within its Job
    kind    TEXT   NOT NULL,
    at      BIGINT NOT NULL,
    body    TEXT   NOT NULL,               -- the summary, as JSON
    PRIMARY KEY (attempt, kind)
);
CREATE INDEX evidence_by_run ON evidence (project, run);

CREATE TABLE tests (
    project TEXT   NOT NULL REFERENCES projects (name),
    id      TEXT   NOT NULL,
    job     TEXT   NOT NULL,               -- the last one that ran it
    file    TEXT,
    run     BIGINT NOT NULL,               -- the last Run that had it
    seen_at BIGINT NOT NULL,
    health  TEXT   NOT NULL,               -- stable, failing, flaky, skipped
    millis  BIGINT,                        -- how long it is expected to take
    body    TEXT   NOT NULL,               -- its history, as JSON
    PRIMARY KEY (project, id)
);
CREATE INDEX tests_by_health ON tests (project, health);
CREATE INDEX tests_by_time ON tests (project, millis);

CREATE TABLE test_failures (
    project     TEXT    NOT NULL,
    test        TEXT    NOT NULL,
    run         BIGINT  NOT NULL,
    job         TEXT    NOT NULL,
    attempt     TEXT    NOT NULL,
    number      BIGINT  NOT NULL,
    at          BIGINT  NOT NULL,
    quarantined BOOLEAN NOT NULL,
    retried     BOOLEAN NOT NULL,          -- it passed when it was tried again
    body        TEXT    NOT NULL,          -- message, text and place, as JSON
    PRIMARY KEY (attempt, test)
);
CREATE INDEX test_failures_by_test ON test_failures (project, test, at);
CREATE INDEX test_failures_by_run ON test_failures (project, run);

CREATE TABLE quarantines (
    project TEXT   NOT NULL REFERENCES projects (name),
    test    TEXT   NOT NULL,
    owner   TEXT   NOT NULL,
    reason  TEXT   NOT NULL,
    by_whom TEXT   NOT NULL,
    since   BIGINT NOT NULL,
    until   BIGINT NOT NULL,
    PRIMARY KEY (project, test)
);
