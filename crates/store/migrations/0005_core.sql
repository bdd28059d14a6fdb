-- Projects, and what moves through them. `body` is the aggregate as JSON; the other columns are
-- what queries ask for. Times are microseconds since 1970 in UTC.

CREATE TABLE projects (
    name           TEXT   PRIMARY KEY,
    protected_refs TEXT   NOT NULL,          -- JSON list of patterns
    directory      TEXT   NOT NULL,          -- of the pipeline file in the repository; '' is the root
    created_at     BIGINT NOT NULL
);

CREATE TABLE runs (
    id          TEXT   PRIMARY KEY,
    project     TEXT   NOT NULL REFERENCES projects (name),
    number      BIGINT NOT NULL,
    state       TEXT   NOT NULL,
    reference   TEXT   NOT NULL,
    commit_sha  TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    finished_at BIGINT,
    body        TEXT   NOT NULL,
    UNIQUE (project, number)
);
CREATE INDEX runs_unfinished ON runs (project) WHERE finished_at IS NULL;

CREATE TABLE releases (
    digest     TEXT   PRIMARY KEY,
    project    TEXT   NOT NULL REFERENCES projects (name),
    version    TEXT   NOT NULL,
    run_id     TEXT   NOT NULL REFERENCES runs (id),
    commit_sha TEXT   NOT NULL,
    signature  TEXT   NOT NULL,              -- digest of the DSSE envelope
    created_at BIGINT NOT NULL,
    body       TEXT   NOT NULL,              -- the stages and makers, for the route; the manifest is a blob
    UNIQUE (project, version)
);
CREATE INDEX releases_by_time ON releases (project, created_at);

CREATE TABLE environments (
    project TEXT   NOT NULL REFERENCES projects (name),
    name    TEXT   NOT NULL,
    wake_at BIGINT,
    body    TEXT   NOT NULL,
    PRIMARY KEY (project, name)
);
CREATE INDEX environments_by_wakeup ON environments (wake_at) WHERE wake_at IS NOT NULL;

-- Every Promotion, waiting, running or ended. For those that have not ended, the Environment's body is the truth.
CREATE TABLE promotions (
    id           TEXT   PRIMARY KEY,
    project      TEXT   NOT NULL,
    environment  TEXT   NOT NULL,
    release      TEXT   NOT NULL,
    revision     TEXT   NOT NULL,
    state        TEXT   NOT NULL,
    requested_at BIGINT NOT NULL,
    finished_at  BIGINT,
    body         TEXT   NOT NULL,
    FOREIGN KEY (project, environment) REFERENCES environments (project, name)
);
CREATE INDEX promotions_by_environment ON promotions (project, environment, requested_at);
CREATE INDEX promotions_by_release ON promotions (release);

-- Every version of every environment document, as it was applied.
CREATE TABLE documents (
    project     TEXT   NOT NULL,
    environment TEXT   NOT NULL,
    version     BIGINT NOT NULL,
    source      TEXT   NOT NULL,
    applied_by  TEXT   NOT NULL,
    applied_at  BIGINT NOT NULL,
    PRIMARY KEY (project, environment, version)
);

CREATE TABLE configs (
    digest      TEXT   PRIMARY KEY,
    project     TEXT   NOT NULL,
    environment TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    body        TEXT   NOT NULL
);

-- Values are sealed by the instance's master key; environment '' means the Jobs of the Project.
CREATE TABLE secrets (
    project     TEXT   NOT NULL,
    environment TEXT   NOT NULL,
    name        TEXT   NOT NULL,
    version     BIGINT NOT NULL,
    sealed      BYTEA  NOT NULL,
    created_by  TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    PRIMARY KEY (project, environment, name, version)
);

-- The queue of the agents. A lease is (agent, fence); the fence grows with each lease.
CREATE TABLE attempts (
    id         TEXT    PRIMARY KEY,
    project    TEXT    NOT NULL,
    owner_kind TEXT    NOT NULL,             -- run, environment
    owner      TEXT    NOT NULL,             -- the run's id, or the environment's name
    state      TEXT    NOT NULL,             -- queued, leased, done
    labels     TEXT    NOT NULL,             -- JSON object that the agent's labels must contain
    fence      BIGINT  NOT NULL,
    agent      TEXT,
    cancel     TEXT,                         -- why, once it was cancelled
    queued_at  BIGINT  NOT NULL,
    body       TEXT    NOT NULL              -- what the agent is told, without secret values
);
CREATE INDEX attempts_queued ON attempts (queued_at) WHERE state = 'queued';
CREATE INDEX attempts_leased ON attempts (agent) WHERE state = 'leased';

-- Effects that are still to be performed, in the order in which they were decided.
CREATE TABLE outbox (
    id      INTEGER PRIMARY KEY,
    kind    TEXT    NOT NULL,
    project TEXT    NOT NULL,
    owner   TEXT    NOT NULL,
    body    TEXT    NOT NULL,
    tries   BIGINT  NOT NULL,
    due_at  BIGINT  NOT NULL
);
CREATE INDEX outbox_due ON outbox (due_at);

CREATE TABLE agents (
    id         TEXT    PRIMARY KEY,
    hostname   TEXT    NOT NULL,
    labels     TEXT    NOT NULL,
    runner     BOOLEAN NOT NULL,
    deployer   BOOLEAN NOT NULL,
    address    TEXT    NOT NULL,
    version    TEXT    NOT NULL,
    seen_at    BIGINT  NOT NULL,
    generation BIGINT  NOT NULL              -- of its desired Instances
);

CREATE TABLE gateways (
    name     TEXT   PRIMARY KEY,
    version  TEXT   NOT NULL,
    session  TEXT   NOT NULL,
    sequence BIGINT NOT NULL,                -- of the last measurements that were taken in
    seen_at  BIGINT NOT NULL
);

CREATE TABLE counters (
    name  TEXT   PRIMARY KEY,
    value BIGINT NOT NULL
);

-- What the gateways measured, summed over each second.
CREATE TABLE measurements (
    project        TEXT   NOT NULL,
    environment    TEXT   NOT NULL,
    second         BIGINT NOT NULL,
    revision       TEXT   NOT NULL,
    requests       BIGINT NOT NULL,
    errors         BIGINT NOT NULL,
    gateway_errors BIGINT NOT NULL,
    weight         BIGINT NOT NULL,
    latency        TEXT   NOT NULL,          -- JSON list of bucket counts
    PRIMARY KEY (project, environment, second, revision)
);
