package archive_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	kzip "github.com/klauspost/compress/zip"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"talon/internal/archive"
	"talon/internal/archive/archivetest"
)

func TestDefaults(t *testing.T) {
	assert.Equal(t, archive.Limits{
		Depth: 16, ArchiveEntries: 20_000, TreeEntries: 100_000, TreeBytes: 4 << 30, FileBytes: 2 << 30,
		Ratio: 200, RatioArmedAt: 64 << 20, DictionaryBytes: 256 << 20,
		LayerTime: 5 * time.Minute, TreeTime: 30 * time.Minute, IdleTime: time.Minute, MemoryBytes: 1 << 30,
	}, archive.Limits{}.WithDefaults())
	assert.Equal(t, int64(7), archive.Limits{Ratio: 7}.WithDefaults().Ratio)
}

func TestLimitsKeepWhatWasGood(t *testing.T) {
	inner := archivetest.Zip(files(file("i1.txt", "i"), file("i2.txt", "i"), file("i3.txt", "i")))
	top := archivetest.Zip(files(
		file("a.txt", "alpha"), archivetest.File{Name: "in.zip", Data: inner}, file("b.txt", strings.Repeat("b", 5000)), file("c.txt", "c")))
	for name, c := range map[string]struct {
		limits archive.Limits
		want   []string // of the files, in.zip being kept
		layer  string
		reason archive.Reason
	}{
		"entries of the layer": {archive.Limits{ArchiveEntries: 2}, []string{"a.txt", "in.zip", "in/i1.txt", "in/i2.txt"}, "a.zip", archive.ReasonLimitEntries},
		"entries of the tree":  {archive.Limits{TreeEntries: 6}, []string{"a.txt", "b.txt", "c.txt", "in.zip", "in/i1.txt", "in/i2.txt"}, "a.zip/in.zip", archive.ReasonLimitEntries},
		"bytes of a file":      {archive.Limits{FileBytes: 4999}, []string{"a.txt", "in/i1.txt", "in/i2.txt", "in/i3.txt"}, "a.zip", archive.ReasonLimitFileBytes},
		"bytes of the tree":    {archive.Limits{TreeBytes: 5000}, []string{"a.txt", "in.zip"}, "a.zip", archive.ReasonLimitBytes},
		"ratio":                {archive.Limits{Ratio: 1, RatioArmedAt: 1}, []string{"a.txt", "in.zip"}, "a.zip", archive.ReasonLimitRatio},
	} {
		t.Run(name, func(t *testing.T) {
			contents, report := extract(t, "a.zip", top, limits(c.limits))
			var have []string
			for _, f := range report.Files {
				have = append(have, f.Path)
			}
			assert.Equal(t, c.want, have)
			assert.Len(t, contents, len(c.want))
			assert.Equal(t, 2, report.Result)
			assert.Equal(t, c.reason, report.Layers[c.layer].Reason)
			assert.NotEmpty(t, report.Layers[c.layer].Detail)
			require.NotEmpty(t, report.Refused)
			for _, refusal := range report.Refused {
				assert.Equal(t, c.reason, refusal.Reason)
			}
		})
	}
	_, report := extract(t, "a.zip", top, limits(archive.Limits{ArchiveEntries: 4, TreeEntries: 7, FileBytes: 5000}))
	assert.Zero(t, report.Result, "a limit that is reached and not exceeded: %+v", report)
}

// After a limit of the tree was hit no archive is opened any more, and each says so.
func TestASpentTreeOpensNothingMore(t *testing.T) {
	inner := archivetest.Zip(files(file("i.txt", strings.Repeat("i", 1000))))
	top := archivetest.Tar(files(archivetest.File{Name: "1.zip", Data: inner}, archivetest.File{Name: "2.zip", Data: inner}))
	contents, report := extract(t, "a.tar", top, limits(archive.Limits{TreeBytes: int64(2*len(inner)) + 500}))
	assert.Len(t, contents, 2)
	for _, key := range []string{"a.tar/1.zip", "a.tar/2.zip"} {
		assert.Equal(t, 1, report.Layers[key].Result)
		assert.Equal(t, archive.ReasonLimitBytes, report.Layers[key].Reason)
	}
}

func TestDepth(t *testing.T) {
	data := []byte("the core")
	for range 4 {
		data = archivetest.Zip(files(archivetest.File{Name: "n.zip", Data: data}, file("beside.txt", "b")))
	}
	contents, report := extract(t, "a.zip", data, limits(archive.Limits{Depth: 2}))
	assert.Len(t, contents, 3)
	assert.Contains(t, contents, "n/n.zip", "kept as a plain file")
	assert.Equal(t, archive.ReasonLimitDepth, report.Layers["a.zip/n.zip/n.zip"].Reason)
	assert.Equal(t, archive.ReasonNestedFailed, report.Reason)
	assert.Equal(t, 2, report.Result)

	_, report = extract(t, "a.zip", archivetest.Zip(files(archivetest.File{Name: "n.zip", Data: archivetest.Zip(nil)})),
		limits(archive.Limits{Depth: 2}))
	assert.Zero(t, report.Result)
}

// An archive that contains itself can be made only by solving equations. What the engine sees of it can be had more
// cheaply: while it is opened, the archive becomes the same as what lies in it.
func TestSelfContaining(t *testing.T) {
	var inner, outer bytes.Buffer
	w := kzip.NewWriter(&inner)
	entry, err := w.CreateHeader(&kzip.FileHeader{Name: "zeros", Method: kzip.Store})
	require.NoError(t, err)
	_, err = entry.Write(make([]byte, 40_000))
	require.NoError(t, err)
	require.NoError(t, w.Close())

	packed := archivetest.Zip(files(archivetest.File{Name: "in.zip", Data: inner.Bytes()}))
	_, err = outer.Write(packed)
	require.NoError(t, err)
	padding := inner.Len() - outer.Len()
	binary.LittleEndian.PutUint16(outer.Bytes()[outer.Len()-2:], uint16(padding)) // a comment that makes both equally long
	outer.Write(make([]byte, padding))

	req := request(t, "a.zip", outer.Bytes())
	req.Progress = func(int64) { assert.NoError(t, os.WriteFile(req.Archive, inner.Bytes(), 0o600)) }
	report, err := archive.Extract(t.Context(), req)
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"in.zip": inner.String()}, audit(t, req.Dest, report))
	assert.Equal(t, archive.ReasonSelfContaining, report.Layers["a.zip/in.zip"].Reason)
	assert.Equal(t, 2, report.Result)

	_, report = extract(t, "a.zip", outer.Bytes())
	assert.Zero(t, report.Result, "of the same size alone")
}

func TestBombsEnd(t *testing.T) {
	zeros := func(size int64) []byte {
		var buf bytes.Buffer
		w := gzip.NewWriter(&buf)
		_, err := io.CopyN(w, zeroReader{}, size)
		require.NoError(t, err)
		require.NoError(t, w.Close())
		return buf.Bytes()
	}
	bomb := zeros(8 << 20)
	_, report := extract(t, "bomb.gz", bomb, limits(archive.Limits{RatioArmedAt: 1 << 20}))
	assert.Equal(t, 1, report.Result)
	assert.Equal(t, archive.ReasonLimitRatio, report.Reason)

	// What is skipped costs time too: a refused entry, or padding without end.
	_, report = extract(t, "pad.tgz", zeros(8<<20), limits(archive.Limits{TreeBytes: 1 << 20, TreeEntries: 10}))
	assert.Equal(t, archive.ReasonLimitBytes, report.Reason)
	skipped := archivetest.TarGz(files(file("../evil", strings.Repeat("\x00", 4<<20)), file("good.txt", "g")))
	_, report = extract(t, "skip.tgz", skipped, limits(archive.Limits{TreeBytes: 1 << 20, TreeEntries: 10}))
	assert.Equal(t, archive.ReasonLimitBytes, report.Reason)

	// Each name asks for hundreds of directories.
	var deep []archivetest.File
	for _, first := range []string{"a", "b", "c"} {
		deep = append(deep, file(first+strings.Repeat("/d", 400)+"/f", "x"))
	}
	_, report = extract(t, "deep.zip", archivetest.Zip(deep), limits(archive.Limits{TreeEntries: 500}))
	assert.Equal(t, archive.ReasonLimitEntries, report.Reason)
	assert.Equal(t, 1, report.Received)
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestDictionariesAreBounded(t *testing.T) {
	text := []byte(strings.Repeat("0123456789 abcdefghijklmnop\n", 100_000)) // more than a small window
	small := limits(archive.Limits{DictionaryBytes: 64 << 10})
	pack := compressors(t)
	for _, ext := range []string{".xz", ".zst", ".lz"} {
		_, report := extract(t, "x.csv"+ext, pack[ext](text), small)
		assert.Equal(t, archive.ReasonLimitDictionary, report.Reason, "%s %s", ext, report.Detail)
		contents, _ := extract(t, "x.csv"+ext, pack[ext](text))
		assert.Equal(t, string(text), contents["x.csv"], ext)
	}
	for ext, method := range map[string]uint16{".xz": 95, ".zst": 93, ".bz2": 12} {
		data := zipOf(t, kzip.FileHeader{Name: "x.csv", Method: method}, text, pack[ext](text))
		contents, report := extract(t, "a.zip", data)
		assert.Equal(t, len(text), len(contents["x.csv"]), "%+v", report)
		if _, report = extract(t, "a.zip", data, small); ext != ".bz2" {
			assert.Equal(t, archive.ReasonLimitDictionary, report.Reason, ext)
		}
	}
}

// zipOf returns a zip archive of one file that was compressed elsewhere.
func zipOf(t *testing.T, header kzip.FileHeader, data, packed []byte) []byte {
	t.Helper()
	header.CRC32 = crc32.ChecksumIEEE(data)
	header.CompressedSize64, header.UncompressedSize64 = uint64(len(packed)), uint64(len(data))
	var buf bytes.Buffer
	w := kzip.NewWriter(&buf)
	entry, err := w.CreateRaw(&header)
	require.NoError(t, err)
	_, err = entry.Write(packed)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return buf.Bytes()
}

func TestCancellationLeavesNothingTemporary(t *testing.T) {
	defer goleak.VerifyNone(t)
	big := strings.Repeat("0123456789 abcdefghijklmnop\n", 300_000)
	inner := archivetest.TarZst(files(file("deep.csv", big)))
	data := archivetest.TarGz(files(file("first.csv", "1"), archivetest.File{Name: "in.tar.zst", Data: inner}, file("big.csv", big)))
	for _, after := range []int64{0, 1, 1 << 20, 9 << 20} {
		ctx, cancel := context.WithCancel(t.Context())
		if after == 0 {
			cancel()
		}
		req := request(t, "a.tgz", data)
		req.Progress = func(bytes int64) {
			if bytes >= after {
				cancel()
			}
		}
		_, err := archive.Extract(ctx, req)
		require.ErrorIs(t, err, context.Canceled, after)
		for name := range onDisk(t, req.Dest) {
			assert.NotContains(t, name, ".part-")
		}
		cancel()
	}
}

func TestProgressIsToldAndBounded(t *testing.T) {
	var heard []int64
	_, report := extract(t, "a.tgz", archivetest.TarGz(files(file("a.csv", strings.Repeat("a", 5<<20)), file("b.csv", "b"))),
		func(req *archive.Request) { req.Progress = func(bytes int64) { heard = append(heard, bytes) } })
	require.NotEmpty(t, heard)
	assert.IsIncreasing(t, heard)
	assert.Equal(t, report.Bytes, heard[len(heard)-1])
	assert.LessOrEqual(t, len(heard), 8)
}

func TestErrorsThatAreNotTheArchives(t *testing.T) {
	zipped := archivetest.Zip(files(file("a.txt", "a")))

	req := request(t, "a.zip", zipped, func(req *archive.Request) { req.Archive += ".gone" })
	_, err := archive.Extract(t.Context(), req)
	assert.ErrorIs(t, err, archive.ErrSource)

	req = request(t, "a.zip", zipped, func(req *archive.Request) { req.Archive = filepath.Dir(req.Archive) })
	_, err = archive.Extract(t.Context(), req)
	assert.ErrorIs(t, err, archive.ErrSource, "a directory")

	req = request(t, "a.zip", zipped, func(req *archive.Request) { req.Dest += "/gone" })
	_, err = archive.Extract(t.Context(), req)
	assert.ErrorIs(t, err, archive.ErrDestination)

	req = request(t, "a.zip", zipped)
	require.NoError(t, os.WriteFile(filepath.Join(req.Dest, "a.txt"), []byte("precious"), 0o600))
	_, err = archive.Extract(t.Context(), req)
	assert.ErrorIs(t, err, archive.ErrDestination, "not empty")
	kept, err := os.ReadFile(filepath.Join(req.Dest, "a.txt"))
	require.NoError(t, err)
	assert.Equal(t, "precious", string(kept))

	report, err := archive.Extract(t.Context(), archive.Request{Name: "x"})
	require.Error(t, err)
	assert.False(t, errors.Is(err, archive.ErrSource) || errors.Is(err, archive.ErrDestination))
	assert.NotNil(t, report.Layers)
}

// The destination disappears while the archive is read: that is not the archive's fault.
func TestADestinationThatFails(t *testing.T) {
	big := strings.Repeat("0123456789", 400_000)
	req := request(t, "a.tgz", archivetest.TarGz(files(file("a.csv", big), file("d/b.csv", big))))
	req.Progress = func(int64) { _ = os.RemoveAll(req.Dest) }
	_, err := archive.Extract(t.Context(), req)
	assert.ErrorIs(t, err, archive.ErrDestination)
}
