-- What failed Attempts said in the end: one row an Attempt, so that a failure is known when it comes again.
CREATE TABLE failures (
    attempt   TEXT   PRIMARY KEY REFERENCES attempts (id),
    project   TEXT   NOT NULL,
    signature TEXT   NOT NULL,               -- the words without what differs from one time to the next
    words     TEXT   NOT NULL,               -- the line of the log
    line      BIGINT NOT NULL,               -- its number, from 1
    run       BIGINT NOT NULL,               -- the run's number
    job       TEXT   NOT NULL,
    number    BIGINT NOT NULL,               -- of the attempt, from 1
    step      TEXT   NOT NULL,               -- the step's name
    agent     TEXT   NOT NULL,               -- the host's name; empty where it is not known
    commit_sha TEXT  NOT NULL,
    at        BIGINT NOT NULL
);
CREATE INDEX failures_by_signature ON failures (project, signature, at);
CREATE INDEX failures_by_time ON failures (project, at);
CREATE INDEX failures_by_run ON failures (project, run);
