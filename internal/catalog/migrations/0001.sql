-- Raw names are BLOB: they are the server's bytes and need not be UTF-8. Times are nanoseconds since 1970 in UTC; the smallest
-- integer stands for "no time".

CREATE TABLE runs (
    id         TEXT PRIMARY KEY,
    kind       TEXT NOT NULL,
    result     INTEGER NOT NULL,
    reason     TEXT NOT NULL,
    detail     TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at   INTEGER NOT NULL
) STRICT;

CREATE TABLE run_servers (
    id          INTEGER PRIMARY KEY,
    run         TEXT NOT NULL,
    server      TEXT NOT NULL,
    result      INTEGER NOT NULL,
    reason      TEXT NOT NULL,
    detail      TEXT NOT NULL,
    listed      INTEGER NOT NULL,
    excluded    INTEGER NOT NULL,
    unchanged   INTEGER NOT NULL,
    deferred    INTEGER NOT NULL,
    refused     INTEGER NOT NULL,
    failed      INTEGER NOT NULL,
    collected   INTEGER NOT NULL,
    pending     INTEGER NOT NULL,
    bytes       INTEGER NOT NULL,
    buffer_path TEXT NOT NULL,
    leftovers   INTEGER NOT NULL,
    started_at  INTEGER NOT NULL,
    ended_at    INTEGER NOT NULL,
    UNIQUE (run, server)
) STRICT;
CREATE INDEX run_servers_of_run ON run_servers (run);

-- One listing per server and run: the counts of what has no entry.
CREATE TABLE listings (
    id        INTEGER PRIMARY KEY,
    run       TEXT NOT NULL,
    server    TEXT NOT NULL,
    listed    INTEGER NOT NULL,
    excluded  INTEGER NOT NULL,
    unchanged INTEGER NOT NULL,
    UNIQUE (run, server)
) STRICT;
CREATE INDEX listings_of_run ON listings (run);

-- A listed file that is new, changed, deferred or refused in one run.
CREATE TABLE entries (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    listing_id INTEGER NOT NULL REFERENCES listings (id),
    raw_path   BLOB NOT NULL,
    size       INTEGER NOT NULL,
    mtime      INTEGER NOT NULL,
    precision  INTEGER NOT NULL, -- of mtime, in nanoseconds; 0: none or exact
    path       TEXT NOT NULL,
    line       BLOB NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('pending', 'collected', 'deferred', 'refused', 'failed')),
    reason     TEXT NOT NULL,
    detail     TEXT NOT NULL,
    file_id    INTEGER REFERENCES files (id) CHECK ((file_id IS NOT NULL) = (state = 'collected')),
    UNIQUE (listing_id, raw_path, size, mtime)
) STRICT;
CREATE INDEX entries_by_state ON entries (listing_id, state);
CREATE INDEX entries_of_file ON entries (file_id) WHERE file_id IS NOT NULL;

-- A collected file in one version. The hash is part of the key: listings have minutes for a clock, so two contents may
-- come under one size and time, and both are kept.
CREATE TABLE files (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    server        TEXT NOT NULL,
    raw_path      BLOB NOT NULL,
    size          INTEGER NOT NULL, -- as listed
    mtime         INTEGER NOT NULL,
    precision     INTEGER NOT NULL,
    sha256        TEXT NOT NULL,
    path          TEXT NOT NULL,
    version       INTEGER NOT NULL,
    bytes         INTEGER NOT NULL, -- as received
    zip_dir       TEXT NOT NULL,
    local_path    TEXT NOT NULL,
    zip_file      TEXT NOT NULL GENERATED ALWAYS AS (zip_dir || '/' || local_path) VIRTUAL,
    entry_id      INTEGER NOT NULL REFERENCES entries (id),
    run           TEXT NOT NULL,
    collected_at  INTEGER NOT NULL,
    remote_action TEXT NOT NULL CHECK (remote_action IN ('', 'delete', 'move')),
    remote_done   INTEGER NOT NULL,
    remote_detail TEXT NOT NULL,
    UNIQUE (server, raw_path, size, mtime, sha256)
) STRICT;
CREATE UNIQUE INDEX files_by_place ON files (zip_file);
CREATE INDEX files_by_entry ON files (entry_id);
CREATE INDEX files_remote ON files (server, (remote_detail <> '')) WHERE remote_action <> '' AND remote_done = 0;

CREATE TABLE archives (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    decompression TEXT NOT NULL,
    run           TEXT NOT NULL,
    server        TEXT NOT NULL,
    file_id       INTEGER REFERENCES files (id),
    zip_dir       TEXT NOT NULL,
    path          TEXT NOT NULL,
    zip_file      TEXT NOT NULL GENERATED ALWAYS AS (zip_dir || '/' || path) VIRTUAL,
    size          INTEGER NOT NULL,
    sha256        TEXT NOT NULL,
    unzip_dir     TEXT NOT NULL,
    done          INTEGER NOT NULL,
    unzip_path    TEXT NOT NULL,
    unzip_root    TEXT GENERATED ALWAYS AS (CASE unzip_path WHEN '' THEN NULL ELSE unzip_dir || '/' || unzip_path END) VIRTUAL,
    result        INTEGER NOT NULL,
    reason        TEXT NOT NULL,
    detail        TEXT NOT NULL,
    host          TEXT NOT NULL,
    started_at    INTEGER NOT NULL,
    ended_at      INTEGER NOT NULL,
    failed        INTEGER NOT NULL,
    received      INTEGER NOT NULL,
    bytes         INTEGER NOT NULL,
    UNIQUE (decompression, path)
) STRICT;
CREATE INDEX archives_of_run ON archives (run);
CREATE INDEX archives_of_decompression ON archives (decompression);
CREATE INDEX archives_pending ON archives (decompression) WHERE done = 0;
CREATE INDEX archives_by_place ON archives (unzip_root) WHERE unzip_root IS NOT NULL;
CREATE INDEX archives_of_file ON archives (file_id) WHERE file_id IS NOT NULL;

CREATE TABLE layers (
    archive_id INTEGER NOT NULL REFERENCES archives (id),
    seq        INTEGER NOT NULL,
    path       TEXT NOT NULL,
    result     INTEGER NOT NULL,
    archives   INTEGER NOT NULL,
    files      INTEGER NOT NULL,
    reason     TEXT NOT NULL,
    detail     TEXT NOT NULL,
    PRIMARY KEY (archive_id, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE members (
    archive_id INTEGER NOT NULL REFERENCES archives (id),
    path       TEXT NOT NULL,
    layer      TEXT NOT NULL,
    raw_name   BLOB NOT NULL,
    size       INTEGER NOT NULL,
    sha256     TEXT NOT NULL,
    PRIMARY KEY (archive_id, path)
) STRICT, WITHOUT ROWID;

CREATE TABLE refusals (
    archive_id INTEGER NOT NULL REFERENCES archives (id),
    seq        INTEGER NOT NULL,
    layer      TEXT NOT NULL,
    name       TEXT NOT NULL,
    raw_name   BLOB NOT NULL,
    reason     TEXT NOT NULL,
    detail     TEXT NOT NULL,
    PRIMARY KEY (archive_id, seq)
) STRICT, WITHOUT ROWID;

-- From every extracted file back to the line of the branch's listing. An archive that Talon did not collect ends the way early.
CREATE VIEW lineage AS
SELECT a.unzip_root,
       m.path                             AS member,
       a.unzip_root || '/' || m.path      AS unzip_file,
       m.sha256                           AS sha256,
       m.layer                            AS layer,
       a.path                             AS archive,
       coalesce(f.server, a.server)       AS server,
       coalesce(f.raw_path, x'')          AS raw_path,
       coalesce(e.line, x'')              AS line,
       coalesce(f.run, a.decompression)   AS run,
       coalesce(f.collected_at, -9223372036854775808) AS collected_at,
       a.id                               AS archive_id
FROM archives a
JOIN members m ON m.archive_id = a.id
LEFT JOIN files f ON f.id = a.file_id
LEFT JOIN entries e ON e.id = f.entry_id;
