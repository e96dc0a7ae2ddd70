-- What keeps the warehouses whole over the years: forgotten, checked, mended and cleaned files.

-- 1: the next listing takes this version for new. What collects it again takes the row over.
ALTER TABLE files ADD COLUMN forgotten INTEGER NOT NULL DEFAULT 0;
-- 0: it lies in its place; 1: it is being removed, and may lie there or not; 2: it was removed, as an old version.
ALTER TABLE files ADD COLUMN removal INTEGER NOT NULL DEFAULT 0;
CREATE INDEX files_being_removed ON files (id) WHERE removal = 1;
CREATE INDEX files_by_local_path ON files (local_path);

-- What a verification found that is not as it should be.
CREATE TABLE findings (
    verification TEXT NOT NULL,
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    area         TEXT NOT NULL CHECK (area IN ('zip', 'unzip')),
    kind         TEXT NOT NULL,
    server       TEXT NOT NULL,
    dir          TEXT NOT NULL,    -- absolute: what path is below
    path         BLOB NOT NULL,    -- below dir; the name need not be UTF-8
    file_id      INTEGER NOT NULL, -- row in files, 0 if there is none
    archive_id   INTEGER NOT NULL, -- row in archives, 0 if there is none
    detail       TEXT NOT NULL,
    found_at     INTEGER NOT NULL,
    done         TEXT NOT NULL DEFAULT '', -- what was done about it
    aside        TEXT NOT NULL DEFAULT '', -- where what was damaged lies now, below dir
    UNIQUE (verification, area, dir, path, kind)
) STRICT;
CREATE INDEX findings_in_order ON findings (verification, id);

-- Directories of extracted files that lack some of them: the next extraction of that archive may fill them in.
CREATE TABLE mending (
    unzip_root TEXT PRIMARY KEY,
    zip_file   TEXT NOT NULL,
    since      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
