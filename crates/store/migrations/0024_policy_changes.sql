-- Documents that loosen a policy: they wait for those who could approve under the one in force.

CREATE TABLE policy_changes (
    project     TEXT   NOT NULL,
    environment TEXT   NOT NULL,
    number      BIGINT NOT NULL,             -- 1, 2, 3 … in the environment
    expires_at  BIGINT,                      -- NULL once it has ended
    body        TEXT   NOT NULL,             -- JSON
    PRIMARY KEY (project, environment, number),
    FOREIGN KEY (project, environment) REFERENCES environments (project, name)
);
CREATE INDEX policy_changes_due ON policy_changes (expires_at) WHERE expires_at IS NOT NULL;
