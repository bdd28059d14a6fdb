-- People, what they may do, and how they prove who they are.
-- Times are microseconds since 1970 in UTC. Secrets are stored as hashes only.

CREATE TABLE users (
    id           TEXT    PRIMARY KEY,
    login        TEXT    NOT NULL UNIQUE,
    display_name TEXT    NOT NULL,
    email        TEXT    NOT NULL,
    password     TEXT,                       -- argon2id, PHC string; NULL for machine accounts
    disabled     BOOLEAN NOT NULL DEFAULT FALSE,
    created_at   BIGINT  NOT NULL
);

-- A role in one Project, or everywhere where project is '*'.
CREATE TABLE grants (
    user_id    TEXT   NOT NULL REFERENCES users (id),
    project    TEXT   NOT NULL,
    role       TEXT   NOT NULL,
    granted_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, project, role)
);
CREATE INDEX grants_by_project ON grants (project, role);

CREATE TABLE sessions (
    secret_hash  BYTEA  PRIMARY KEY,
    user_id      TEXT   NOT NULL REFERENCES users (id),
    created_at   BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL
);
CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

CREATE TABLE api_tokens (
    id           TEXT   PRIMARY KEY,
    user_id      TEXT   NOT NULL REFERENCES users (id),
    name         TEXT   NOT NULL,
    secret_hash  BYTEA  NOT NULL UNIQUE,
    scopes       TEXT   NOT NULL,            -- words separated by one space
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT,
    last_used_at BIGINT
);
CREATE INDEX api_tokens_by_user ON api_tokens (user_id);

-- The one-time link by which the first admin is made.
CREATE TABLE setup_links (
    secret_hash BYTEA  PRIMARY KEY,
    expires_at  BIGINT NOT NULL
);
