-- What the pipeline file of a Project's default branch says of times and of other Projects. Rewritten when that file changes;
-- what a trigger did last stays as long as the trigger itself stays.

CREATE TABLE standing_triggers (
    project  TEXT   NOT NULL REFERENCES projects (name),
    position BIGINT NOT NULL,
    kind     TEXT   NOT NULL,                -- schedule, release
    upstream TEXT   NOT NULL,                -- the other Project of a release trigger; '' for a schedule
    body     TEXT   NOT NULL,                -- the trigger as JSON
    next_at  BIGINT,                         -- when a schedule is due; NULL for a release trigger
    last_at  BIGINT,
    last     TEXT   NOT NULL DEFAULT '',     -- for people: what came of it
    PRIMARY KEY (project, position)
);
CREATE INDEX standing_triggers_due ON standing_triggers (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX standing_triggers_upstream ON standing_triggers (upstream) WHERE kind = 'release';
