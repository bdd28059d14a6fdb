-- Repositories elsewhere: a Project with a row here is a mirror. The refs themselves are in git and in `git_refs`.

CREATE TABLE sources (
    project    TEXT   PRIMARY KEY REFERENCES projects (name),
    settings   TEXT   NOT NULL,              -- JSON: address, forge, polling, fork runs, statuses
    token      BYTEA,                        -- sealed, as the secrets are
    ssh_key    BYTEA,
    hook       BYTEA,
    next_look  BIGINT,                       -- when it is looked at again; NULL where only a webhook asks for it
    failures   BIGINT NOT NULL DEFAULT 0,    -- looks that failed in a row
    contact_at BIGINT,                       -- the last look that the source answered
    error      TEXT   NOT NULL DEFAULT '',   -- what the last look failed of; '' where it did not
    said       TEXT   NOT NULL DEFAULT '',   -- what the last look found
    hook_at    BIGINT                        -- the last webhook whose signature fitted
);
CREATE INDEX sources_due ON sources (next_look) WHERE next_look IS NOT NULL;

-- Webhooks that were taken in. A delivery is handled once, whatever number of times it arrives.
CREATE TABLE hook_deliveries (
    project     TEXT   NOT NULL REFERENCES projects (name),
    delivery    TEXT   NOT NULL,
    body        TEXT   NOT NULL,             -- SHA-256 of the raw body
    event       TEXT   NOT NULL,
    hint        TEXT   NOT NULL,             -- JSON: which pull request, if any; nothing of it is believed but where to look
    handled     BOOLEAN NOT NULL,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (project, delivery)
);
CREATE INDEX hook_deliveries_by_body ON hook_deliveries (project, body);
CREATE INDEX hook_deliveries_open ON hook_deliveries (project) WHERE NOT handled;
