-- Who was started for which pool, until it is let in no more: whoever vanishes while no server looks is found by this.

CREATE TABLE pool_members (
    token TEXT   PRIMARY KEY REFERENCES join_tokens (id),
    pool  TEXT   NOT NULL,
    at    BIGINT NOT NULL                   -- when it was started
);
CREATE INDEX pool_members_of ON pool_members (pool, at);
