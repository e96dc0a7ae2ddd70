package archivetest_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"fmt"
	"hash/crc32"
	"io"
	"testing"

	"github.com/bodgit/sevenzip"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	fastxz "github.com/therootcompany/xz"

	"talon/internal/archive/archivetest"
)

func TestHostileArchivesAreSmall(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range archivetest.Hostile() {
		assert.False(t, seen[f.Name], f.Name)
		seen[f.Name] = true
		assert.NotEmpty(t, f.Data, f.Name)
		assert.Less(t, len(f.Data), 2<<20, f.Name)
	}
}

func gunzip(t *testing.T, data []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(data))
	require.NoError(t, err)
	out, err := io.ReadAll(r)
	require.NoError(t, err)
	return out
}

// unzip reads every entry, whose checksum the reader compares.
func unzip(t *testing.T, data []byte) map[string][]byte {
	t.Helper()
	r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	require.NoError(t, err)
	contents := map[string][]byte{}
	for _, f := range r.File {
		entry, err := f.Open()
		require.NoError(t, err, f.Name)
		contents[f.Name], err = io.ReadAll(entry)
		require.NoError(t, err, f.Name)
	}
	return contents
}

func TestQuinesContainThemselves(t *testing.T) {
	quine := archivetest.GzipQuine()
	assert.Equal(t, quine, gunzip(t, quine))
	quine = archivetest.ZipQuine()
	assert.Equal(t, map[string][]byte{"r.zip": quine}, unzip(t, quine))
}

func TestBombsAreGoodArchives(t *testing.T) {
	for _, size := range []int64{0, 1, 1 << 20, 3<<20 + 7} {
		zeros := make([]byte, size)
		assert.Equal(t, zeros, append([]byte{}, gunzip(t, archivetest.GzipOfZeros(size))...))
		assert.Equal(t, zeros, append([]byte{}, unzip(t, archivetest.ZipOfZeros("z", size))["z"]...))
	}
	assert.Less(t, len(archivetest.Gzip(archivetest.GzipOfZeros(10<<30))), 100<<10)

	assert.Len(t, unzip(t, archivetest.SameDataBomb(3, 1000)), 3)
	nested := unzip(t, archivetest.NestedBomb(3, 2, 1000))
	assert.Len(t, nested, 3)
	assert.Len(t, unzip(t, nested["lib 0.zip"])["0.dll"], 1000)
}

// Read by hand, as a reader that knows nothing of overlaps would.
func TestEveryOverlappingEntryIsGood(t *testing.T) {
	data := archivetest.OverlapBomb(5, 1<<20)
	r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	require.NoError(t, err)
	require.Len(t, r.File, 5)
	for _, f := range r.File {
		at, err := f.DataOffset()
		require.NoError(t, err)
		section := io.NewSectionReader(bytes.NewReader(data), at, int64(f.CompressedSize64))
		content, err := io.ReadAll(flate.NewReader(section))
		require.NoError(t, err)
		assert.Equal(t, f.UncompressedSize64, uint64(len(content)))
		assert.Equal(t, f.CRC32, crc32.ChecksumIEEE(content))
	}
}

func TestDeepAndManyAndLong(t *testing.T) {
	data := archivetest.NestedGzip([]byte("core"), 20)
	for range 20 {
		data = gunzip(t, data)
	}
	assert.Equal(t, "core", string(data))
	assert.Contains(t, unzip(t, archivetest.NestedZip(nil, 2)), "n.zip")

	assert.Len(t, unzip(t, archivetest.ManyEntriesZip(70_000)), 70_000, "needs zip64")
	names := untar(t, archivetest.ManyEntriesTar(1000))
	assert.Len(t, names, 1000)
	assert.Equal(t, "d0/f0000999", names[999])
	for _, length := range []int{1, 199, 200, 201, 1<<16 - 1} {
		assert.Len(t, archivetest.LongPath(length), length)
	}
}

func untar(t *testing.T, data []byte) (names []string) {
	t.Helper()
	r := tar.NewReader(bytes.NewReader(data))
	for {
		header, err := r.Next()
		if err == io.EOF {
			return names
		}
		require.NoError(t, err)
		names = append(names, header.Name)
	}
}

func TestTarsAreGoodWhereTheySayNoLies(t *testing.T) {
	assert.Equal(t, []string{"link", "link/pwned.txt", "hard", "hard"}, untar(t, archivetest.SymlinkTar("/x")))
	assert.Len(t, untar(t, archivetest.SpecialsTar()), 9)

	r := tar.NewReader(bytes.NewReader(archivetest.SparseTar(1 << 60)))
	header, err := r.Next()
	require.NoError(t, err)
	assert.Equal(t, int64(1<<60), header.Size)
	assert.Equal(t, []string{"sparse.dat", "last.txt"}, untar(t, archivetest.SparseTar(1<<20)))

	some := []archivetest.File{{Name: "a.txt", Data: []byte("alpha")}}
	both := archivetest.TarZipPolyglot(archivetest.Twins(), some)
	assert.Len(t, untar(t, both), len(archivetest.Twins()))
	assert.Equal(t, map[string][]byte{"a.txt": []byte("alpha")}, unzip(t, both))
	assert.Len(t, unzip(t, archivetest.Prefixed("MZ", 4097, archivetest.Zip(some))), 1)
	assert.Equal(t, "text", string(unzip(t, archivetest.DescriptorZip([]byte("text")))["a.txt"]))
	assert.Contains(t, unzip(t, archivetest.SymlinkZip("/x")), "link/pwned.txt")
}

func TestStoredXZAndDeltaAreGood(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789 abcdefghijklmnop\n"), 4000)
	for code := range byte(8) {
		r, err := fastxz.NewReader(bytes.NewReader(archivetest.XZ(data, code)), 0)
		require.NoError(t, err)
		content, err := io.ReadAll(r)
		require.NoError(t, err)
		assert.Equal(t, data, content)
	}
	some := []archivetest.File{{Name: "a.txt", Data: data}}
	archives := map[string][]byte{"lzma2": archivetest.SevenZipDictionary(some, 8)}
	for _, distance := range []int{1, 4, 254, 255} { // 256 would never end
		archives[fmt.Sprint("delta ", distance)] = archivetest.SevenZipDelta(some, distance)
	}
	for name, archive := range archives {
		r, err := sevenzip.NewReader(bytes.NewReader(archive), int64(len(archive)))
		require.NoError(t, err, name)
		require.Len(t, r.File, 1)
		entry, err := r.File[0].Open()
		require.NoError(t, err, name)
		content, err := io.ReadAll(entry)
		require.NoError(t, err, name)
		assert.Equal(t, data, content, name)
	}
}
