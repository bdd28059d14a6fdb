-- What forges shall be told of commits, and what they were told. `wanted` is always the newest; an effect sends it.

CREATE TABLE commit_statuses (
    run_id  TEXT   NOT NULL REFERENCES runs (id),
    context TEXT   NOT NULL,                 -- the name of the check, or 'comment:N' for pull request N
    project TEXT   NOT NULL,
    wanted  TEXT   NOT NULL,                 -- JSON
    sent    TEXT   NOT NULL DEFAULT '',      -- what was sent last; '' is nothing
    since   BIGINT NOT NULL,                 -- when it was first wanted
    error   TEXT   NOT NULL DEFAULT '',      -- why it was not sent
    PRIMARY KEY (run_id, context)
);
CREATE INDEX commit_statuses_failed ON commit_statuses (project, since) WHERE error <> '';
