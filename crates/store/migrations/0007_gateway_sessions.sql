-- What was taken in of each session of a gateway. A gateway that is replaced sends its last measurements while its successor
-- sends its first, so each session counts for itself.

CREATE TABLE gateway_sessions (
    gateway  TEXT   NOT NULL,
    session  TEXT   NOT NULL,
    sequence BIGINT NOT NULL,                -- of the last measurements that were taken in
    taken_at BIGINT NOT NULL,
    PRIMARY KEY (gateway, session)
);
INSERT INTO gateway_sessions (gateway, session, sequence, taken_at)
    SELECT name, session, sequence, seen_at FROM gateways WHERE session <> '';

ALTER TABLE gateways DROP COLUMN session;
ALTER TABLE gateways DROP COLUMN sequence;
