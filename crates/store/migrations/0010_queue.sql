-- What the queue is ordered by, how long Jobs take, and what Jobs with `paths` found out last.

ALTER TABLE attempts ADD COLUMN title       TEXT   NOT NULL DEFAULT '';   -- for people: shop#12 test
ALTER TABLE attempts ADD COLUMN job         TEXT   NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN run_number  BIGINT NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN reference   TEXT   NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN priority    BIGINT NOT NULL DEFAULT 50;
ALTER TABLE attempts ADD COLUMN concurrency TEXT;                         -- its group in the Project
ALTER TABLE attempts ADD COLUMN group_limit BIGINT NOT NULL DEFAULT 1;
ALTER TABLE attempts ADD COLUMN leased_at   BIGINT;

-- The moving average of Attempts that passed.
CREATE TABLE job_durations (
    project TEXT   NOT NULL,
    job     TEXT   NOT NULL,
    micros  BIGINT NOT NULL,
    count   BIGINT NOT NULL,
    PRIMARY KEY (project, job)
);

-- The last verdict of each Job with `paths` on each ref.
CREATE TABLE verdicts (
    project    TEXT   NOT NULL,
    reference  TEXT   NOT NULL,
    job        TEXT   NOT NULL,
    run_number BIGINT NOT NULL,
    commit_sha TEXT   NOT NULL,
    body       TEXT   NOT NULL,
    PRIMARY KEY (project, reference, job)
);
