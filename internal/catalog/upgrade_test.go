package catalog

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// addition is what a migration of a newer Talon may do while this one is at work.
const addition = `CREATE TABLE colours (name TEXT PRIMARY KEY) STRICT;
ALTER TABLE files ADD COLUMN colour TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN colour TEXT;
CREATE INDEX files_by_colour ON files (colour);`

// TestAnOlderTalonGoesOnAfterAnAddition: while it is at work, and when it is started again. It leaves the newer schema as it is.
func TestAnOlderTalonGoesOnAfterAnAddition(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	older := openAt(t, path)
	collectIn := func(c *Catalog, run, name string) {
		collectAll(t, c, run, name)
		require.NoError(t, c.SaveRun(t.Context(), RunRow{ID: run, Kind: KindCollect, Start: monday, End: monday}))
	}
	collectIn(older, testRun, "a.zip")
	scripts, err := migrationScripts()
	require.NoError(t, err)
	newer, err := connect(path, 1, "_txlock=immediate")
	require.NoError(t, err)
	require.NoError(t, migrate(t.Context(), newer, append(scripts, addition)))
	require.NoError(t, newer.Close())

	collectIn(older, testRun+"-2", "b.zip")
	again := openAt(t, path)
	collectIn(again, testRun+"-3", "c.zip")
	for _, run := range []string{testRun, testRun + "-2", testRun + "-3"} {
		report, _ := join(t, again, run, 150_000)
		assert.Len(t, report.Files, 1, run)
	}
	version, err := schemaVersion(t.Context(), again.reader)
	require.NoError(t, err)
	assert.Equal(t, len(scripts)+1, version)
}

// TestAnOlderTalonIsRefusedAfterMore than an addition.
func TestAnOlderTalonIsRefusedAfterMore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	older := openAt(t, path)
	scripts, err := migrationScripts()
	require.NoError(t, err)
	removal := fmt.Sprintf("DROP TABLE colours; PRAGMA application_id = %d", len(scripts)+2)
	require.NoError(t, migrate(t.Context(), older.writer, append(scripts, addition, removal)))
	_, err = Open(t.Context(), path)
	require.ErrorIs(t, err, ErrNewerSchema)
	require.NoError(t, migrate(t.Context(), older.writer, append(scripts, addition, removal)), "those that know it are not")
	require.NoError(t, migrate(t.Context(), older.writer, append(scripts, addition, removal, "CREATE TABLE three (x)")), "nor are those that know more")
}

// released is how many migrations there were before versions could work side by side.
const released = 3

var (
	comment  = regexp.MustCompile(`--[^\n]*`)
	additive = regexp.MustCompile(`(?is)^(CREATE TABLE |CREATE INDEX |ALTER TABLE \w+ ADD COLUMN |INSERT |UPDATE )`)
	required = regexp.MustCompile(`(?i)NOT NULL`)
	filled   = regexp.MustCompile(`(?i)DEFAULT`)
)

// misfits are the statements of a migration that workers of the release before it cannot live with.
func misfits(script string) []string {
	var found []string
	for statement := range strings.SplitSeq(comment.ReplaceAllString(script, ""), ";") {
		statement = strings.TrimSpace(statement)
		column := strings.HasPrefix(strings.ToUpper(statement), "ALTER TABLE")
		if statement != "" && (!additive.MatchString(statement) || column && required.MatchString(statement) && !filled.MatchString(statement)) {
			found = append(found, statement)
		}
	}
	return found
}

// TestMigrationsAdd: a migration only adds, or says that older programs are to be kept away (migrations/README.md).
func TestMigrationsAdd(t *testing.T) {
	scripts, err := migrationScripts()
	require.NoError(t, err)
	for i, script := range scripts {
		if i >= released && !strings.Contains(script, fmt.Sprintf("PRAGMA application_id = %d;", i+1)) {
			assert.Empty(t, misfits(script), "migration %d is more than an addition", i+1)
		}
	}
	assert.Empty(t, misfits(addition))
	for _, more := range []string{
		"DROP TABLE files", "ALTER TABLE files RENAME COLUMN size TO bytes", "ALTER TABLE files ADD COLUMN colour TEXT NOT NULL",
		"CREATE UNIQUE INDEX one ON files (sha256)", "CREATE TRIGGER t AFTER INSERT ON files BEGIN SELECT 1; END", "DELETE FROM files",
	} {
		assert.NotEmpty(t, misfits(addition+more), more)
	}
}
