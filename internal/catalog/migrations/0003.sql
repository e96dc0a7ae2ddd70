-- What the janitor removed before a run: staged files that no attempt could own.

ALTER TABLE runs ADD COLUMN leftovers INTEGER NOT NULL DEFAULT 0;
