-- One-time links by which people choose the password of a user that an admin made for them; at most one each.
CREATE TABLE invitations (
    user_id     TEXT   PRIMARY KEY REFERENCES users (id),
    secret_hash BYTEA  NOT NULL UNIQUE,
    expires_at  BIGINT NOT NULL
);
