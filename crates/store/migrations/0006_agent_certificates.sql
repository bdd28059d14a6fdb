-- When the newest certificate of each agent ends.

ALTER TABLE agent_identities ADD COLUMN certificate_ends BIGINT NOT NULL DEFAULT 0;
