package catalog

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOpenCreatesDurablePrivateWAL(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new dir", "50% of #1?.db")
	c := openAt(t, path)
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Zero(t, info.Mode().Perm()&0o007, "others may not read")
	for pragma, want := range map[string]string{
		"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "10000", "user_version": latestSchema(t),
	} {
		var got string
		require.NoError(t, c.writer.QueryRow("PRAGMA "+pragma).Scan(&got))
		assert.Equal(t, want, got, pragma)
	}
	_, err = c.reader.Exec("DELETE FROM runs")
	assert.Error(t, err, "readers cannot write")
}

func TestOpenKeepsWhatIsThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	c, err := Open(t.Context(), path)
	require.NoError(t, err)
	collectAll(t, c, testRun, "a.zip")
	before := dump(t, c)
	require.NoError(t, c.Close())
	assert.Equal(t, before, dump(t, openAt(t, path)))
}

func TestOpenRefusesANewerSchema(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	c, err := Open(t.Context(), path)
	require.NoError(t, err)
	_, err = c.writer.Exec("PRAGMA user_version = 99; PRAGMA application_id = 98")
	require.NoError(t, err)
	require.NoError(t, c.Close())
	_, err = Open(t.Context(), path)
	require.ErrorIs(t, err, ErrNewerSchema)
	assert.ErrorContains(t, err, path)
	assert.ErrorContains(t, err, "schema 99, which needs a Talon that knows schema 98")
}

func TestOpenRefusesWhatIsNoDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	content := make([]byte, 8192)
	copy(content, "this is somebody's text file")
	require.NoError(t, os.WriteFile(path, content, 0o600))
	_, err := Open(t.Context(), path)
	require.Error(t, err)
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, content, after)
}

func TestMigrationsRunOnceInOrderAndWholly(t *testing.T) {
	c := open(t)
	scripts, err := migrationScripts()
	require.NoError(t, err)
	good := append(scripts, "CREATE TABLE two (x)", "INSERT INTO two VALUES (1)")
	require.NoError(t, migrate(t.Context(), c.writer, good))
	require.NoError(t, migrate(t.Context(), c.writer, good))
	var count int
	require.NoError(t, c.reader.QueryRow("SELECT count(*) FROM two").Scan(&count))
	assert.Equal(t, 1, count)

	bad := append(good, "INSERT INTO two VALUES (2); INSERT INTO nowhere VALUES (1)")
	require.Error(t, migrate(t.Context(), c.writer, bad))
	require.NoError(t, c.reader.QueryRow("SELECT count(*) FROM two").Scan(&count))
	assert.Equal(t, 1, count, "a migration that fails leaves nothing")
	version, err := schemaVersion(t.Context(), c.reader)
	require.NoError(t, err)
	assert.Equal(t, len(good), version)
}

func TestManyOpenAtOnce(t *testing.T) {
	for range 100 { // it takes luck to meet in the few steps where SQLite does not wait by itself
		path := filepath.Join(t.TempDir(), "c.db")
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				c, err := Open(t.Context(), path)
				if assert.NoError(t, err) {
					assert.NoError(t, c.Close())
				}
			})
		}
		group.Wait()
	}
}

// childEnv makes the test binary act as another process: it plans and settles in a catalog.
const childEnv = "TALON_TEST_CATALOG_CHILD"

func TestChildProcess(t *testing.T) {
	path := os.Getenv(childEnv)
	if path == "" {
		t.Skip("runs as a child of TestTwoProcessesShareACatalog")
	}
	c := openAt(t, path)
	writeRuns(t, c, "child")
}

func TestTwoProcessesShareACatalog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	child := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestChildProcess$")
	child.Env = append(os.Environ(), childEnv+"="+path)
	output := make(chan string)
	go func() {
		text, err := child.CombinedOutput()
		if err != nil {
			text = append(text, err.Error()...)
		}
		output <- string(text)
	}()
	first, second := openAt(t, path), openAt(t, path)
	var group sync.WaitGroup
	group.Go(func() { writeRuns(t, first, "first") })
	group.Go(func() { writeRuns(t, second, "second") })
	group.Wait()
	require.Contains(t, <-output, "PASS")
	var runs int
	require.NoError(t, first.reader.QueryRow("SELECT count(*) FROM runs").Scan(&runs))
	assert.Equal(t, 3*sharedWrites, runs)
}

const sharedWrites = 50

func writeRuns(t *testing.T, c *Catalog, name string) {
	for i := range sharedWrites {
		assert.NoError(t, c.SaveRun(t.Context(), RunRow{ID: name + strconv.Itoa(i), Kind: KindCollect, Start: monday}))
	}
}

func TestAWriterThatCannotHaveTheLockSaysSo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	holder, other := openAt(t, path), openAt(t, path)
	tx, err := holder.writer.Begin()
	require.NoError(t, err)
	defer func() { assert.NoError(t, tx.Rollback()) }()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.Error(t, other.SaveRun(ctx, RunRow{ID: "x"}))
	_, err = other.Books(t.Context(), testRun, testServer)
	assert.NoError(t, err, "readers are not in the way of a writer")
}

func TestTimesSurvive(t *testing.T) {
	c := open(t)
	for name, want := range map[string]time.Time{
		"none":   {},
		"epoch":  time.Unix(0, 0).UTC(),
		"before": time.Date(1969, 12, 31, 23, 59, 59, 999, time.UTC),
		"exact":  monday,
		"other":  monday.In(time.FixedZone("CST", 8*3600)),
	} {
		l := line(name)
		l.ModTime = want
		planIn(t, c, name, []Listed{l})
		got := pendingIn(t, c, name)[0].ModTime
		assert.True(t, want.Equal(got), "%s: %s", name, got)
		assert.Equal(t, want.IsZero(), got.IsZero())
	}
	far := time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	assert.Greater(t, nanos(far), nanos(monday))
	assert.Less(t, nanos(time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC)), nanos(time.Unix(0, 0)))
}

// latestSchema is the number of the schema that the scripts lead to.
func latestSchema(t *testing.T) string {
	t.Helper()
	scripts, err := migrationScripts()
	require.NoError(t, err)
	return strconv.Itoa(len(scripts))
}
