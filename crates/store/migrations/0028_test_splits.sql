-- By which times a Job with `parallel` is divided: the same for all its cells and tries in a Run.

CREATE TABLE test_splits (
    project TEXT   NOT NULL REFERENCES projects (name),
    run     BIGINT NOT NULL,               -- the Run's number
    job     TEXT   NOT NULL,               -- its name in the file
    digest  TEXT,                          -- of the times, in the content store; none where there was no history
    PRIMARY KEY (project, run, job)
);
