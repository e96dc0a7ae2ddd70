package catalog

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testRun    = "collect/2026-11-01"
	testServer = "branch-001"
	testZip    = "/data/zip"
	testUnzip  = "/data/unzip"
	testDecomp = "decompress/collect/2026-11-01/branch-001"
)

var monday = time.Date(2026, 11, 2, 8, 15, 0, 123456789, time.UTC)

func open(t *testing.T) *Catalog {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "state", "catalog.db"))
}

func openAt(t *testing.T, path string) *Catalog {
	t.Helper()
	c, err := Open(t.Context(), path)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Close()) })
	return c
}

// dump is every row of every table.
func dump(t *testing.T, c *Catalog) string {
	t.Helper()
	var b strings.Builder
	for _, table := range []string{
		"runs", "run_servers", "listings", "entries", "files", "archives", "layers", "members", "refusals",
		"baselines", "adopted", "observations", "behaviours", "findings", "mending",
	} {
		rows, err := c.reader.QueryContext(t.Context(), "SELECT * FROM "+table+" ORDER BY 1, 2, 3")
		require.NoError(t, err)
		columns, err := rows.Columns()
		require.NoError(t, err)
		for rows.Next() {
			values := make([]any, len(columns))
			pointers := make([]any, len(columns))
			for i := range values {
				pointers[i] = &values[i]
			}
			require.NoError(t, rows.Scan(pointers...))
			fmt.Fprintln(&b, table, values)
		}
		require.NoError(t, rows.Err())
		require.NoError(t, rows.Close())
	}
	return b.String()
}

// twice does something again and expects that this changes nothing.
func twice(t *testing.T, c *Catalog, do func()) {
	t.Helper()
	do()
	before := dump(t, c)
	require.NotEmpty(t, before)
	do()
	assert.Equal(t, before, dump(t, c))
}

func line(name string) Listed {
	return Listed{
		RawPath: name, Path: name, Size: int64(10 * len(name)), ModTime: monday, Line: "-rw-r--r-- 1 0 0 " + name,
		State: StatePending,
	}
}

func lines(names ...string) []Listed {
	var all []Listed
	for _, name := range names {
		all = append(all, line(name))
	}
	return all
}

// each reads lines as a listing that goes well.
func each(listed []Listed) iter.Seq2[Listed, error] {
	return func(yield func(Listed, error) bool) {
		for _, l := range listed {
			if !yield(l, nil) {
				return
			}
		}
	}
}

func planIn(t *testing.T, c *Catalog, run string, listed []Listed) Books {
	t.Helper()
	return planWith(t, c, run, listed, PlanOptions{}).Books
}

func planWith(t *testing.T, c *Catalog, run string, listed []Listed, opt PlanOptions) Plan {
	t.Helper()
	plan, err := c.PlanListing(t.Context(), run, testServer, each(listed), opt)
	require.NoError(t, err)
	assertBalanced(t, plan.Books)
	return plan
}

func pendingIn(t *testing.T, c *Catalog, run string) []Entry {
	t.Helper()
	entries, err := c.NextEntries(t.Context(), run, testServer, 0, 1<<20)
	require.NoError(t, err)
	return entries
}

// collected settles an entry under its own name, or another one.
func collected(e Entry, localPath string) Settled {
	return Settled{
		EntryID: e.ID, State: StateCollected, SHA256: "sha-" + e.RawPath + e.ModTime.String(), Size: e.Size, LocalPath: localPath,
		Archive: strings.HasSuffix(e.RawPath, ".zip"),
	}
}

func page(run string, files ...Settled) Page {
	return Page{
		Run: run, Server: testServer, ZipDir: testZip, UnzipDir: testUnzip, Decompression: testDecomp, RemoteAction: "delete",
		Files: files,
	}
}

// collectAll plans the names in the run and collects them all.
func collectAll(t *testing.T, c *Catalog, run string, names ...string) []Archive {
	t.Helper()
	planIn(t, c, run, lines(names...))
	var files []Settled
	for _, e := range pendingIn(t, c, run) {
		files = append(files, collected(e, testServer+"/"+e.Path))
	}
	archives, err := c.Settle(t.Context(), page(run, files...))
	require.NoError(t, err)
	return archives
}

// assertBalanced checks that every listed file is accounted for exactly once.
func assertBalanced(t *testing.T, b Books) {
	t.Helper()
	assert.Equal(t, b.Listed, b.Unchanged+b.Deferred+b.Refused+b.Failed+b.Collected+b.Pending, "%+v", b)
}

// hashOf is the SHA-256 of a text, as the catalog keeps it.
func hashOf(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}
