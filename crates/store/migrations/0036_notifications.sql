-- Who of a project is told of what, and what they were told.

CREATE TABLE notification_documents (
    project    TEXT   NOT NULL REFERENCES projects (name),
    version    BIGINT NOT NULL,              -- 1, 2, 3 …
    source     TEXT   NOT NULL,              -- YAML as it was applied
    body       TEXT   NOT NULL,              -- JSON
    applied_by TEXT   NOT NULL,
    applied_at BIGINT NOT NULL,
    PRIMARY KEY (project, version)
);

CREATE TABLE deliveries (
    id         INTEGER PRIMARY KEY,
    project    TEXT    NOT NULL REFERENCES projects (name),
    channel    TEXT    NOT NULL,
    recipient  TEXT    NOT NULL,             -- of mail: an address or '@login'; else ''
    promotion  TEXT,
    message    TEXT    NOT NULL,             -- JSON
    state      TEXT    NOT NULL,             -- waiting, sent, failed
    error      TEXT    NOT NULL,             -- of the last try; '' if there was none
    created_at BIGINT  NOT NULL,
    ended_at   BIGINT
);
CREATE INDEX deliveries_that_wait ON deliveries (project, channel) WHERE state = 'waiting';
CREATE INDEX deliveries_of_project ON deliveries (project, id);
CREATE INDEX deliveries_of_promotion ON deliveries (promotion, id) WHERE promotion IS NOT NULL;
