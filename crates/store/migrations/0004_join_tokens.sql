-- One-use tokens by which agents enrol.

CREATE TABLE join_tokens (
    id          TEXT   PRIMARY KEY,
    secret_hash BYTEA  NOT NULL UNIQUE,
    labels      TEXT   NOT NULL,             -- JSON object; laid over what the agent claims
    runner      BOOLEAN NOT NULL,
    deployer    BOOLEAN NOT NULL,
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    used_at     BIGINT,
    used_by     TEXT                         -- the agent's id
);

-- Identities that were given a certificate.
CREATE TABLE agent_identities (
    id          TEXT    PRIMARY KEY,
    hostname    TEXT    NOT NULL,
    labels      TEXT    NOT NULL,
    runner      BOOLEAN NOT NULL,
    deployer    BOOLEAN NOT NULL,
    enrolled_at BIGINT  NOT NULL,
    revoked_at  BIGINT
);
