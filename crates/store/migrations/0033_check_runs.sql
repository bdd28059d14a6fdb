-- A check run of GitHub is changed under the number that it got when it was made.

ALTER TABLE commit_statuses ADD COLUMN remote TEXT NOT NULL DEFAULT '';
