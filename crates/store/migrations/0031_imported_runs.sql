-- Runs that other servers exported. They are no rows of `runs`, so that nothing that counts or delivers ever meets one.

CREATE TABLE imported_runs (
    project TEXT   NOT NULL REFERENCES projects (name),
    number  BIGINT NOT NULL,               -- 1, 2, 3 … among the imported ones of the Project
    digest  TEXT   NOT NULL,               -- of the file, in the content store
    bytes   BIGINT NOT NULL,
    at      BIGINT NOT NULL,
    by_whom TEXT   NOT NULL,
    body    TEXT   NOT NULL,               -- what a list shows of it, as JSON
    PRIMARY KEY (project, number),
    UNIQUE (project, digest)
);
