package catalog

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// schema1Rows are of a run that collected an archive and a file, could not delete either, and of a server without a run of its own.
const schema1Rows = `
INSERT INTO runs VALUES ('collect/2026-11-01', 'collect', 2, '', '', 1000, 2000);
INSERT INTO run_servers (run, server, result, reason, detail, listed, excluded, unchanged, deferred, refused, failed, collected, pending,
bytes, buffer_path, leftovers, started_at, ended_at)
VALUES ('collect/2026-11-01', 'branch-001', 2, 'incomplete', '', 3, 1, 0, 0, 0, 1, 2, 0, 30, '/data/zip/branch-001', 0, 1000, 2000);
INSERT INTO listings VALUES (1, 'collect/2026-11-01', 'branch-001', 3, 1, 0), (2, 'lost', 'branch-002', 0, 0, 0), (3, 'later', 'branch-001', 3, 1, 2);
INSERT INTO entries VALUES
(1, 1, CAST('a.zip' AS BLOB), 10, 100, 0, 'a.zip', CAST('line of a' AS BLOB), 'pending', '', '', NULL), (2, 1, CAST('b' AS BLOB), 20, 200, 0, 'b', CAST('line of b' AS BLOB), 'pending', '', '', NULL),
(3, 1, CAST('c' AS BLOB), 30, 300, 0, 'c', CAST('line of c' AS BLOB), 'failed', 'timeout', 'slow', NULL);
INSERT INTO files (id, server, raw_path, size, mtime, precision, sha256, path, version, bytes, zip_dir, local_path, entry_id, run,
collected_at, remote_action, remote_done, remote_detail) VALUES
(1, 'branch-001', CAST('a.zip' AS BLOB), 10, 100, 0, 'sha-a', 'a.zip', 1, 10, '/data/zip', 'branch-001/a.zip', 1, 'collect/2026-11-01', 1500, 'delete', 0, '550 no'),
(2, 'branch-001', CAST('b' AS BLOB), 20, 200, 0, 'sha-b', 'b', 1, 20, '/data/zip', 'branch-001/b', 2, 'collect/2026-11-01', 1500, 'move', 0, ''),
(3, 'branch-001', CAST('old' AS BLOB), 5, 50, 0, 'sha-o', 'old', 1, 5, '/data/zip', 'branch-001/old', 2, 'collect/2026-11-01', 1500, '', 0, '');
UPDATE entries SET state = 'collected', file_id = id WHERE id < 3;
INSERT INTO archives (id, decompression, run, server, file_id, zip_dir, path, size, sha256, unzip_dir, done, unzip_path, result, reason,
detail, host, started_at, ended_at, failed, received, bytes)
VALUES (1, 'd', 'collect/2026-11-01', 'branch-001', 1, '/data/zip', 'branch-001/a.zip', 10, 'sha-a', '/data/unzip', 1, 'branch-001/a', 0, '',
'', 'eagle', 1600, 1700, 0, 1, 7);
INSERT INTO members VALUES (1, 'top.txt', 'a.zip', x'', 7, 't');`

// schema1Catalog makes a catalog as the first version of Talon left it, and tells which indexes it has.
func schema1Catalog(t *testing.T) (path string, indexes []string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "c.db")
	db, err := connect(path, 1, "_txlock=immediate", "_pragma=journal_mode(WAL)")
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	scripts, err := migrationScripts()
	require.NoError(t, err)
	require.NoError(t, migrate(t.Context(), db, scripts[:1]))
	_, err = db.Exec(schema1Rows)
	require.NoError(t, err)
	return path, indexesOf(t, db)
}

func indexesOf(t *testing.T, db *sql.DB) []string {
	t.Helper()
	names, err := query(t.Context(), db, func(row scanner) (name string, err error) { return name, row.Scan(&name) },
		`SELECT name FROM sqlite_master WHERE type = 'index' ORDER BY name`)
	require.NoError(t, err)
	return names
}

func TestACatalogOfSchema1IsBroughtUpToDate(t *testing.T) {
	path, indexes := schema1Catalog(t)
	c := openAt(t, path)
	ctx := t.Context()
	assert.Subset(t, indexesOf(t, c.reader), indexes)
	for _, check := range []string{"PRAGMA foreign_key_check", "SELECT * FROM pragma_integrity_check WHERE integrity_check <> 'ok'"} {
		broken, err := query(ctx, c.reader, func(scanner) (bool, error) { return true, nil }, check)
		require.NoError(t, err)
		assert.Empty(t, broken, check)
	}
	report, _ := join(t, c, testRun, 150_000)
	require.Len(t, report.Servers, 1)
	assert.Equal(t, Books{Listed: 3, Excluded: 1, Failed: 1, Collected: 2, Bytes: 30}, report.Servers[0].Books)
	assert.Nil(t, report.Servers[0].Warnings)
	assert.Len(t, report.Files, 2)
	assert.Len(t, report.Issues, 1)
	assert.Len(t, report.Archives, 1)

	actions, err := c.RemoteActions(ctx, testServer, 10)
	require.NoError(t, err)
	require.Len(t, actions, 2)
	assert.Equal(t, []string{"b", "move", "a.zip", "delete"}, []string{actions[0].RawPath, actions[0].Action, actions[1].RawPath, actions[1].Action})
	failed, sample, err := c.RemoteBacklog(ctx, testServer)
	require.NoError(t, err)
	assert.Equal(t, []any{1, "550 no"}, []any{failed, sample})
	origins, err := c.Origins(ctx, testUnzip+"/branch-001/a/top.txt")
	require.NoError(t, err)
	require.Len(t, origins, 1)
	assert.Equal(t, "line of a", origins[0].Line)
}

func TestTheTableOfFilesKeepsItsRules(t *testing.T) {
	path, _ := schema1Catalog(t)
	c := openAt(t, path)
	for statement, allowed := range map[string]bool{
		`UPDATE files SET remote_action = 'rename' WHERE id = 3`:                                                   true,
		`UPDATE files SET remote_action = 'copy' WHERE id = 3`:                                                     false,
		`UPDATE files SET remote_action = NULL WHERE id = 3`:                                                       false,
		`UPDATE files SET local_path = 'branch-001/b' WHERE id = 1`:                                                false, // the place of another
		`UPDATE files SET entry_id = 99 WHERE id = 3`:                                                              false,
		`DELETE FROM files WHERE id = 1`:                                                                           false, // an entry and an archive refer to it
		`UPDATE entries SET file_id = 99 WHERE id = 1`:                                                             false,
		`UPDATE archives SET file_id = 99 WHERE id = 1`:                                                            false,
		`UPDATE files SET size = 10, mtime = 100, sha256 = 'sha-a', raw_path = CAST('a.zip' AS BLOB) WHERE id = 2`: false,
	} {
		_, err := c.writer.Exec(statement)
		assert.Equal(t, allowed, err == nil, "%s: %v", statement, err)
	}
}

func TestAServerOfSchema1HasHadItsFirstListing(t *testing.T) {
	path, _ := schema1Catalog(t)
	c := openAt(t, path)
	type baseline struct {
		server, run string
		at          int64
	}
	baselines, err := query(t.Context(), c.reader, func(row scanner) (b baseline, err error) {
		return b, row.Scan(&b.server, &b.run, &b.at)
	}, `SELECT server, run, at FROM baselines ORDER BY server`)
	require.NoError(t, err)
	assert.Equal(t, []baseline{{"branch-001", testRun, 1000}, {"branch-002", "lost", noTime}}, baselines)
	assert.Equal(t, Books{Listed: 1, Pending: 1}, planWith(t, c, "collect/next", lines("new"), adoptAll).Books)
}
