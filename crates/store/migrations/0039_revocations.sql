-- Releases that were taken back: they start nowhere any more.

CREATE TABLE revocations (
    release TEXT   NOT NULL PRIMARY KEY REFERENCES releases (digest),
    project TEXT   NOT NULL REFERENCES projects (name),
    at      BIGINT NOT NULL,
    body    TEXT   NOT NULL                  -- JSON
);
CREATE INDEX revocations_of_project ON revocations (project, at);
