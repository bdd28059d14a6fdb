-- How requests came to a Revision: only those that its weight brought can be compared with others.
CREATE TABLE measured (
    project        TEXT   NOT NULL,
    environment    TEXT   NOT NULL,
    second         BIGINT NOT NULL,
    revision       TEXT   NOT NULL,
    way            TEXT   NOT NULL,          -- split, routed, preview
    requests       BIGINT NOT NULL,
    errors         BIGINT NOT NULL,
    gateway_errors BIGINT NOT NULL,
    weight         BIGINT NOT NULL,
    latency        TEXT   NOT NULL,          -- JSON list of bucket counts
    PRIMARY KEY (project, environment, second, revision, way)
);
INSERT INTO measured
    SELECT project, environment, second, revision, 'split', requests, errors, gateway_errors, weight, latency FROM measurements;
DROP TABLE measurements;
ALTER TABLE measured RENAME TO measurements;
