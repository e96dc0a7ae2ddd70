package catalog

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func extraction(archiveID int64, unzipPath string) Extraction {
	return Extraction{
		Archive: Archive{
			ID: archiveID, UnzipPath: unzipPath, Result: 2, Reason: "layer_failed", Detail: "one", Host: "eagle",
			Start: monday, End: monday.Add(time.Second), Failed: 1, Received: 2, Bytes: 30,
		},
		Layers: []Layer{
			{Path: "a.zip", Archives: 1, Files: 1},
			{Path: "a.zip/in.tar.gz", Result: 1, Files: 1, Reason: "corrupt", Detail: "crc"},
		},
		Members: []Member{
			{Layer: "a.zip", Path: "top.txt", Size: 10, SHA256: "t"},
			{Layer: "a.zip/in.tar.gz", Path: "in/报.txt", RawName: []byte("\xb1\xa8.txt"), Size: 20, SHA256: "i"},
		},
		Refused: []Refusal{{Layer: "a.zip", Name: "../evil", RawName: []byte("../evil"), Reason: "unsafe_name"}},
	}
}

func TestSaveExtraction(t *testing.T) {
	c := open(t)
	before := collectAll(t, c, testRun, "a.zip")[0]
	x := extraction(before.ID, "branch-001/a")
	twice(t, c, func() { require.NoError(t, c.SaveExtraction(t.Context(), []Extraction{x})) })
	want := before
	want.Done, want.UnzipPath, want.Result, want.Reason, want.Detail = true, "branch-001/a", 2, "layer_failed", "one"
	want.Host, want.Start, want.End = "eagle", monday, monday.Add(time.Second)
	want.Failed, want.Received, want.Bytes = 1, 2, 30
	got, err := c.Archive(t.Context(), before.ID)
	require.NoError(t, err)
	assert.Equal(t, want, got)

	fewer := Extraction{Archive: Archive{ID: before.ID, Result: 1, Reason: "deadline"}}
	require.NoError(t, c.SaveExtraction(t.Context(), []Extraction{fewer}))
	for _, table := range []string{"layers", "members", "refusals"} {
		var count int
		require.NoError(t, c.reader.QueryRow("SELECT count(*) FROM "+table).Scan(&count))
		assert.Zero(t, count, table)
	}
}

func TestSaveExtractionIsAllOrNothing(t *testing.T) {
	c := open(t)
	archive := collectAll(t, c, testRun, "a.zip")[0]
	before := dump(t, c)
	good := extraction(archive.ID, "branch-001/a")
	require.ErrorIs(t, c.SaveExtraction(t.Context(), []Extraction{good, {Archive: Archive{ID: 999}}}), ErrNoRow)
	assert.Equal(t, before, dump(t, c))
	good.Members = append(good.Members, good.Members[0])
	require.Error(t, c.SaveExtraction(t.Context(), []Extraction{good}), "two members cannot have one path")
	assert.Equal(t, before, dump(t, c))
}

func TestArchivesOfADecompressionOfItsOwn(t *testing.T) {
	c := open(t)
	ctx := t.Context()
	const own = "decompress/own"
	archives := []Archive{
		{Decompression: own, ZipDir: "/in", Path: "x.zip", Size: 1, UnzipDir: "/out"},
		{Decompression: own, ZipDir: "/in", Path: "y\xff.zip", Size: 2, UnzipDir: "/out"},
		{Decompression: own, ZipDir: "/in", Path: "z.zip", Size: 3, UnzipDir: "/out"},
	}
	twice(t, c, func() { require.NoError(t, c.AddArchives(ctx, archives)) })
	pending, err := c.PendingArchives(ctx, own, 0, 2)
	require.NoError(t, err)
	require.Len(t, pending, 2)
	archives[1].ID = pending[1].ID
	assert.Equal(t, archives[1], pending[1])
	require.NoError(t, c.SaveExtraction(ctx, []Extraction{
		{Archive: Archive{ID: pending[0].ID, SHA256: "known now"}},
		{Archive: Archive{ID: pending[1].ID, Result: 2}},
	}))
	require.NoError(t, c.AddArchives(ctx, archives), "registering again leaves outcomes alone")
	rest, err := c.PendingArchives(ctx, own, 0, 10)
	require.NoError(t, err)
	require.Len(t, rest, 1)
	assert.Equal(t, "z.zip", rest[0].Path)
	none, err := c.PendingArchives(ctx, own, rest[0].ID, 10)
	require.NoError(t, err)
	assert.Empty(t, none)

	total, succeeded, partial, failed, left, err := c.DecompressionTotals(ctx, own)
	require.NoError(t, err)
	assert.Equal(t, []int{3, 1, 1, 0, 1}, []int{total, succeeded, partial, failed, left})
	require.NoError(t, c.SaveExtraction(ctx, []Extraction{{Archive: Archive{ID: rest[0].ID, Result: 1}}}))
	_, _, _, failed, left, err = c.DecompressionTotals(ctx, own)
	require.NoError(t, err)
	assert.Equal(t, []int{1, 0}, []int{failed, left})

	first, err := c.Archive(ctx, pending[0].ID)
	require.NoError(t, err)
	assert.Equal(t, "known now", first.SHA256)
	assert.Equal(t, "/out", first.UnzipDir)
	_, err = c.Archive(ctx, 999)
	require.ErrorIs(t, err, ErrNoRow)
}

func TestUnzipPathTaken(t *testing.T) {
	c := open(t)
	ctx := t.Context()
	archives := collectAll(t, c, testRun, "a.zip", "b.zip")
	a, b := archives[0], archives[1]
	require.NoError(t, c.SaveExtraction(ctx, []Extraction{extraction(a.ID, "branch-001/a")}))
	again := Archive{Decompression: "decompress/again", ZipDir: testZip + "/branch-001", Path: "a.zip", UnzipDir: testUnzip}
	require.NoError(t, c.AddArchives(ctx, []Archive{again}))
	pending, err := c.PendingArchives(ctx, "decompress/again", 0, 1)
	require.NoError(t, err)
	for _, q := range []struct {
		dir, path string
		archive   int64
		want      bool
	}{
		{testUnzip, "branch-001/a", a.ID, false},
		{testUnzip, "branch-001/a", b.ID, true},
		{testUnzip + "/branch-001", "a", b.ID, true},
		{testUnzip, "branch-001/a", pending[0].ID, false},
		{testUnzip, "branch-001/b", b.ID, false},
		{"/elsewhere", "branch-001/a", b.ID, false},
	} {
		taken, err := c.UnzipPathTaken(ctx, q.dir, q.path, q.archive)
		require.NoError(t, err)
		assert.Equal(t, q.want, taken, "%+v", q)
	}
	_, err = c.UnzipPathTaken(ctx, testUnzip, "x", 999)
	require.ErrorIs(t, err, ErrNoRow)
}

func TestOriginsLeadToTheListingLine(t *testing.T) {
	c := open(t)
	ctx := t.Context()
	started := time.Now().Add(-time.Second)
	archive := collectAll(t, c, testRun, "a.zip")[0]
	require.NoError(t, c.SaveExtraction(ctx, []Extraction{extraction(archive.ID, "branch-001/a")}))
	origins, err := c.Origins(ctx, testUnzip+"/branch-001/a//in/报.txt")
	require.NoError(t, err)
	require.Len(t, origins, 1)
	assert.True(t, origins[0].Collected.After(started))
	origins[0].Collected = time.Time{}
	assert.Equal(t, Origin{
		UnzipFile: testUnzip + "/branch-001/a/in/报.txt", SHA256: "i", Layer: "a.zip/in.tar.gz", Archive: "branch-001/a.zip",
		Server: testServer, RawPath: "a.zip", Line: line("a.zip").Line, Run: testRun,
	}, origins[0])

	for _, unknown := range []string{"", "/", "relative", testUnzip + "/branch-001/a", testUnzip + "/branch-001/a/other"} {
		origins, err := c.Origins(ctx, unknown)
		require.NoError(t, err)
		assert.Empty(t, origins, unknown)
	}
}

func TestOriginsOfADecompressionOfItsOwn(t *testing.T) {
	c := open(t)
	ctx := t.Context()
	collectAll(t, c, testRun, "a.zip")
	require.NoError(t, c.AddArchives(ctx, []Archive{
		{Decompression: "decompress/own", ZipDir: testZip + "/branch-001", Path: "a.zip", Size: 50, UnzipDir: "/out"},
		{Decompression: "decompress/own", ZipDir: testZip + "/branch-001", Path: "foreign.zip", Size: 50, UnzipDir: "/out"},
		{Decompression: "decompress/later", ZipDir: testZip, Path: "branch-001/a.zip", Size: 51, UnzipDir: "/out"},
	}))
	replaced, err := c.PendingArchives(ctx, "decompress/later", 0, 1)
	require.NoError(t, err)
	assert.Zero(t, replaced[0].FileID, "somebody has put another file in the place of the collected one")
	assert.Empty(t, replaced[0].SHA256, "whose hash nobody knows")
	pending, err := c.PendingArchives(ctx, "decompress/own", 0, 2)
	require.NoError(t, err)
	assert.True(t, strings.HasPrefix(pending[0].SHA256, "sha-a.zip"), "that of the collected file: %q", pending[0].SHA256)
	assert.Empty(t, pending[1].SHA256)
	open := func() []string {
		all, err := c.OpenDecompressions(ctx)
		require.NoError(t, err)
		assert.Contains(t, all, testDecomp, "that of the collection")
		return slices.DeleteFunc(all, func(id string) bool { return id == testDecomp })
	}
	assert.ElementsMatch(t, []string{"decompress/own", "decompress/later"}, open())
	require.NoError(t, c.SaveExtraction(ctx, []Extraction{extraction(pending[0].ID, "a")}))
	assert.ElementsMatch(t, []string{"decompress/own", "decompress/later"}, open())
	require.NoError(t, c.SaveExtraction(ctx, []Extraction{extraction(pending[1].ID, "foreign")}))
	assert.Equal(t, []string{"decompress/later"}, open(), "all archives of the other have their outcome")
	linked, err := c.Origins(ctx, "/out/a/top.txt")
	require.NoError(t, err)
	require.Len(t, linked, 1)
	assert.Equal(t, line("a.zip").Line, linked[0].Line, "the archive is one that Talon collected")
	foreign, err := c.Origins(ctx, "/out/foreign/top.txt")
	require.NoError(t, err)
	require.Len(t, foreign, 1)
	assert.Equal(t, Origin{
		UnzipFile: "/out/foreign/top.txt", SHA256: "t", Layer: "a.zip", Archive: "foreign.zip", Run: "decompress/own",
	}, foreign[0])
}
