-- Who did what, in one gap-free sequence. A row is never changed and never deleted.

CREATE TABLE timeline (
    seq         BIGINT PRIMARY KEY,
    at          BIGINT NOT NULL,
    actor       TEXT   NOT NULL,             -- user:alice, agent:<id>, system
    project     TEXT,
    environment TEXT,
    kind        TEXT   NOT NULL,
    subject     TEXT   NOT NULL,
    body        BYTEA  NOT NULL              -- canonical JSON
);
CREATE INDEX timeline_by_project ON timeline (project, seq);
CREATE INDEX timeline_by_subject ON timeline (subject, seq);
