package catalog

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkSave saves what a run brings of a server (200 archives listed, collected and extracted to 12 files each) into a catalog of a million
// extracted files, with all indexes and without some: what a look-up by name or by hash costs those who never ask.
func BenchmarkSave(b *testing.B) {
	for _, without := range []string{"", "entries_by_name", "files_by_hash", "members_by_hash", "entries_by_name files_by_hash members_by_hash"} {
		b.Run("without="+without, func(b *testing.B) {
			c, err := Open(b.Context(), filepath.Join(b.TempDir(), "c.db"))
			require.NoError(b, err)
			defer func() { require.NoError(b, c.Close()) }()
			for index := range strings.FieldsSeq(without) {
				_, err := c.writer.Exec("DROP INDEX " + index)
				require.NoError(b, err)
			}
			age(b, c)
			b.ResetTimer()
			for i := range b.N {
				saveServer(b, c, i)
			}
		})
	}
}

// age fills the catalog with what years leave: rows in no run, which the indexes hold all the same.
func age(b *testing.B, c *Catalog) {
	for _, statement := range []string{
		`INSERT INTO listings (id, run, server, listed, excluded, unchanged) VALUES (1, 'old', 'old', 0, 0, 0)`,
		`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 80000)
		INSERT INTO entries (listing_id, raw_path, size, mtime, precision, path, line, state, reason, detail)
		SELECT 1, CAST(i AS BLOB), 1, i, 0, '/outgoing/' || hex(randomblob(8)), x'', 'deferred', '', '' FROM n`,
		`INSERT INTO files (server, raw_path, size, mtime, precision, sha256, path, version, bytes, zip_dir, local_path, entry_id, run, collected_at,
		remote_done, remote_detail) SELECT 'old', raw_path, 1, mtime, 0, lower(hex(randomblob(32))), path, 1, 1, '/old', id, id, 'old', 0, 0, '' FROM entries`,
		`INSERT INTO archives (decompression, run, server, file_id, zip_dir, path, size, sha256, unzip_dir, done, unzip_path, result, reason, detail,
		host, started_at, ended_at, failed, received, bytes)
		SELECT 'old', 'old', 'old', id, '/old', id, 1, sha256, '/u', 1, id, 0, '', '', '', 0, 0, 0, 0, 0 FROM files`,
		`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12)
		INSERT INTO members SELECT id, 'some/directory/file-' || i || '.csv', path, x'', 1, lower(hex(randomblob(32))) FROM archives, n`,
	} {
		_, err := c.writer.Exec(statement)
		require.NoError(b, err)
	}
}

func saveServer(b *testing.B, c *Catalog, i int) {
	ctx, run, server := b.Context(), fmt.Sprint("collect/", i), fmt.Sprint("branch-", i)
	var listed []Listed
	for n := range 200 {
		l := line(fmt.Sprintf("/outgoing/%d-%03d.zip", i, n))
		listed = append(listed, l)
	}
	_, err := c.PlanListing(ctx, run, server, each(listed), PlanOptions{})
	require.NoError(b, err)
	entries, err := c.NextEntries(ctx, run, server, 0, 1000)
	require.NoError(b, err)
	p := Page{Run: run, Server: server, ZipDir: testZip, UnzipDir: testUnzip, Decompression: run}
	for _, e := range entries {
		p.Files = append(p.Files, Settled{
			EntryID: e.ID, State: StateCollected, SHA256: hashOf(e.Path), Size: e.Size, LocalPath: server + e.Path, Archive: true,
		})
	}
	archives, err := c.Settle(ctx, p)
	require.NoError(b, err)
	var all []Extraction
	for _, a := range archives {
		x := Extraction{Archive: Archive{ID: a.ID, UnzipPath: strings.TrimSuffix(a.Path, ".zip"), Received: 12}, Layers: []Layer{{Path: a.Path, Files: 12}}}
		for n := range 12 {
			name := fmt.Sprintf("some/directory/file-%d.csv", n)
			x.Members = append(x.Members, Member{Layer: a.Path, Path: name, Size: 1, SHA256: hashOf(a.Path + name)})
		}
		all = append(all, x)
	}
	for i := 0; i < len(all); i += 50 {
		require.NoError(b, c.SaveExtraction(ctx, all[i:min(i+50, len(all))]))
	}
}
