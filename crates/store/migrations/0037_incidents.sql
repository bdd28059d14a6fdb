-- What users met and people reported.
CREATE TABLE incidents (
    project     TEXT   NOT NULL REFERENCES projects (name),
    number      BIGINT NOT NULL,             -- 1, 2, 3 …
    environment TEXT   NOT NULL,
    opened_at   BIGINT NOT NULL,
    closed_at   BIGINT,                      -- NULL while it lasts
    body        TEXT   NOT NULL,             -- JSON
    PRIMARY KEY (project, number)
);
