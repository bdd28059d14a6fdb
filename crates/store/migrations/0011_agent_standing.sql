-- Whether an agent is given work, and why not.

ALTER TABLE agents ADD COLUMN hold     TEXT;                        -- JSON: since when, by whom and why it is given none
ALTER TABLE agents ADD COLUMN one_job  BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE agents ADD COLUMN capacity BIGINT  NOT NULL DEFAULT 0;  -- Attempts that it runs at once
