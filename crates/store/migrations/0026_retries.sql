-- What became of Attempts that did not pass and could be tried again: one row an Attempt.
CREATE TABLE retries (
    attempt TEXT    PRIMARY KEY,
    project TEXT    NOT NULL,
    run     BIGINT  NOT NULL,                -- the run's number
    job     TEXT    NOT NULL,
    class   TEXT    NOT NULL,                -- lost, image_pull, network, timeout, exit_code, pattern
    why     TEXT    NOT NULL,
    refusal TEXT    NOT NULL,                -- why there was no retry; empty where there was one
    helped  BOOLEAN,                         -- whether the next attempt passed; NULL until it has ended
    at      BIGINT  NOT NULL
);
CREATE INDEX retries_by_time ON retries (project, at);
