package archive_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/archive"
	"talon/internal/archive/archivetest"
)

// cut is a file in pieces of a size.
func cut(name string, data []byte, size int) []archivetest.File {
	var pieces []archivetest.File
	for i := 1; len(data) > 0; i++ {
		n := min(size, len(data))
		pieces = append(pieces, archivetest.File{Name: name + "." + strings.Repeat("0", 2) + string(rune('0'+i)), Data: data[:n], ModTime: modTime})
		data = data[n:]
	}
	return pieces
}

// TestSetsBesideTheArchive: the volumes that lie beside an archive are read with it.
func TestSetsBesideTheArchive(t *testing.T) {
	inside := files(file("a.txt", strings.Repeat("alpha ", 500)), file("d/b.txt", "beta"))
	want := map[string]string{"a.txt": strings.Repeat("alpha ", 500), "d/b.txt": "beta"}
	for name, set := range map[string][]archivetest.File{
		"x.7z.001":     cut("x.7z", archivetest.SevenZip(inside), 1000),
		"x.tar.gz.001": cut("x.tar.gz", archivetest.TarGz(inside), 90),
		"x.zip.001":    cut("x.zip", archivetest.Zip(inside), 100),
	} {
		dir := t.TempDir()
		for _, piece := range set {
			require.NoError(t, os.WriteFile(filepath.Join(dir, piece.Name), piece.Data, 0o600))
		}
		require.Greater(t, len(set), 1)
		req := archive.Request{Archive: filepath.Join(dir, name), Name: "b/" + name, Dest: t.TempDir()}
		report, err := archive.Extract(t.Context(), req)
		require.NoError(t, err)
		assert.Equal(t, want, audit(t, req.Dest, report), name)
		assert.Equal(t, map[string]archive.Layer{"b/" + name: {Files: 2}}, report.Layers)

		last := filepath.Join(dir, set[len(set)-1].Name)
		require.NoError(t, os.Remove(last))
		req.Dest = t.TempDir()
		report, err = archive.Extract(t.Context(), req)
		require.NoError(t, err)
		audit(t, req.Dest, report)
		assert.Equal(t, archive.ReasonMissingVolume, report.Reason, name)
		assert.Contains(t, report.Detail, filepath.Base(last), "it is named")
	}
}

// TestSetsInsideAnArchive: the volumes in a layer are one archive, and no files of their own once it was had.
func TestSetsInsideAnArchive(t *testing.T) {
	inner := archivetest.SevenZip(files(file("a.txt", strings.Repeat("alpha ", 500)), file("b.txt", "beta")))
	pieces := cut("d/in.7z", inner, 1200)
	require.Len(t, pieces, 3)
	top := append(files(file("plain.txt", "p")), pieces...)
	contents, report := extract(t, "a.zip", archivetest.Zip(top))
	assert.Equal(t, map[string]string{"plain.txt": "p", "d/in/a.txt": strings.Repeat("alpha ", 500), "d/in/b.txt": "beta"}, contents)
	assert.Equal(t, map[string]archive.Layer{"a.zip": {Archives: 1, Files: 1}, "a.zip/d/in.7z.001": {Files: 2}}, report.Layers)

	contents, report = extract(t, "a.zip", archivetest.Zip(top[:3]))
	assert.Contains(t, contents, "d/in.7z.001", "kept as the files they are")
	assert.Contains(t, contents, "d/in.7z.002")
	assert.Equal(t, archive.ReasonMissingVolume, report.Layers["a.zip/d/in.7z.001"].Reason)

	contents, report = extract(t, "a.zip", archivetest.Zip(append(files(file("plain.txt", "p")), pieces[1])))
	assert.Contains(t, contents, "d/in.7z.002")
	assert.Equal(t, archive.ReasonMissingVolume, report.Layers["a.zip/d/in.7z.002"].Reason)
	assert.Contains(t, report.Layers["a.zip/d/in.7z.002"].Detail, "in.7z.001")
}
