-- What a collector remembers from one listing to the next: what it adopted, what it watches, what a server is like.

ALTER TABLE run_servers ADD COLUMN adopted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE run_servers ADD COLUMN warnings TEXT NOT NULL DEFAULT '[]'; -- JSON array of sentences

ALTER TABLE listings ADD COLUMN adopted INTEGER NOT NULL DEFAULT 0; -- part of unchanged
CREATE INDEX listings_of_server ON listings (server);

ALTER TABLE entries ADD COLUMN marker BLOB NOT NULL DEFAULT x''; -- raw path of the done-marker beside the file
CREATE INDEX entries_by_marker ON entries (listing_id, marker) WHERE marker <> x'';
ALTER TABLE entries ADD COLUMN planned INTEGER NOT NULL DEFAULT 1; -- 0 only within a plan: not yet found in the new listing

-- A CHECK cannot be altered, and the table cannot be rebuilt where other tables refer to it. So a new column takes the place of the old
-- one; what refers to the table, and its other indexes, stay as they are.
DROP INDEX files_remote;
ALTER TABLE files ADD COLUMN act TEXT NOT NULL DEFAULT '' CHECK (act IN ('', 'delete', 'move', 'rename'));
UPDATE files SET act = remote_action;
ALTER TABLE files DROP COLUMN remote_action;
ALTER TABLE files RENAME COLUMN act TO remote_action;
ALTER TABLE files ADD COLUMN marker BLOB NOT NULL DEFAULT x'';
CREATE INDEX files_remote ON files (server, (remote_detail <> '')) WHERE remote_action <> '' AND remote_done = 0;

-- The first planned listing of each server. A server that was listed before this table existed has had it.
CREATE TABLE baselines (
    server TEXT PRIMARY KEY,
    run    TEXT NOT NULL,
    at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO baselines (server, run, at)
SELECT l.server, l.run, coalesce((SELECT started_at FROM runs WHERE id = l.run), -9223372036854775808)
FROM listings l WHERE l.id IN (SELECT min(id) FROM listings GROUP BY server);

-- A remote file that lay on the server before Talon first saw it, and that nobody wants collected.
CREATE TABLE adopted (
    server     TEXT NOT NULL,
    raw_path   BLOB NOT NULL,
    size       INTEGER NOT NULL,
    mtime      INTEGER NOT NULL,
    precision  INTEGER NOT NULL,
    run        TEXT NOT NULL,
    adopted_at INTEGER NOT NULL,
    PRIMARY KEY (server, raw_path, size, mtime)
) STRICT, WITHOUT ROWID;

-- A remote file that is wanted, and since when it has looked as it does.
CREATE TABLE observations (
    server     TEXT NOT NULL,
    raw_path   BLOB NOT NULL,
    size       INTEGER NOT NULL,
    mtime      INTEGER NOT NULL,
    precision  INTEGER NOT NULL,
    first_seen INTEGER NOT NULL,
    listed     INTEGER NOT NULL, -- 0 only within a plan: not yet found in the new listing
    PRIMARY KEY (server, raw_path)
) STRICT, WITHOUT ROWID;

-- What a server has been found to be like: a document that only its writer understands.
CREATE TABLE behaviours (
    server     TEXT PRIMARY KEY,
    learned    TEXT NOT NULL, -- JSON
    learned_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
