-- The last value of each ref that the engine was told of. What git has and this table lacks was
-- pushed just before a crash; it is reported at the next start.

CREATE TABLE git_refs (
    project    TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    commit_sha TEXT   NOT NULL,
    handled_at BIGINT NOT NULL,
    PRIMARY KEY (project, name)
);
