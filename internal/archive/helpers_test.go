package archive_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/dsnet/compress/bzip2"
	"github.com/golang/snappy"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/sorairolake/lzip-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/ulikunitz/xz"

	"talon/internal/archive"
	"talon/internal/archive/archivetest"
)

var modTime = time.Date(2026, 3, 4, 5, 6, 8, 0, time.UTC)

// file is a short way to write an entry.
func file(name, data string) archivetest.File {
	return archivetest.File{Name: name, Data: []byte(data), ModTime: modTime}
}

func files(list ...archivetest.File) []archivetest.File { return list }

// extract writes the archive to disk, opens it and checks that the report and the directory say the same.
func extract(t *testing.T, name string, data []byte, adjust ...func(*archive.Request)) (map[string]string, archive.Report) {
	t.Helper()
	req := request(t, name, data, adjust...)
	report, err := archive.Extract(t.Context(), req)
	require.NoError(t, err)
	return audit(t, req.Dest, report), report
}

func request(t *testing.T, name string, data []byte, adjust ...func(*archive.Request)) archive.Request {
	t.Helper()
	at := filepath.Join(t.TempDir(), "archive")
	require.NoError(t, os.WriteFile(at, data, 0o600))
	require.NoError(t, os.Chtimes(at, modTime, modTime))
	req := archive.Request{Archive: at, Name: name, Dest: t.TempDir()}
	for _, f := range adjust {
		f(&req)
	}
	return req
}

// audit compares a report with what lies on the disk, and returns the contents.
func audit(t *testing.T, dest string, report archive.Report) map[string]string {
	t.Helper()
	contents := onDisk(t, dest)
	bytesThere, last := int64(0), ""
	for _, f := range report.Files {
		data, ok := contents[f.Path]
		require.True(t, ok, "%s is reported and not there", f.Path)
		sum := sha256.Sum256([]byte(data))
		assert.Equal(t, hex.EncodeToString(sum[:]), f.SHA256, f.Path)
		assert.Equal(t, int64(len(data)), f.Size, f.Path)
		assert.Contains(t, report.Layers, f.Layer, f.Path)
		assert.Less(t, last, f.Path, "the files are sorted")
		last = f.Path
		bytesThere += f.Size
	}
	failed, plain := len(report.Refused), 0
	for key, layer := range report.Layers {
		if key != report.Archive && layer.Result == 1 {
			failed++
		}
		plain += layer.Files
		good := layer.Reason == archive.ReasonNone || layer.Reason == archive.ReasonTrailingData
		assert.Equal(t, good, layer.Result == 0, "%s: %+v", key, layer)
	}
	assert.Len(t, contents, len(report.Files), "everything on the disk is reported")
	assert.Equal(t, len(report.Files), report.Received)
	assert.Equal(t, bytesThere, report.Bytes)
	assert.Equal(t, failed, report.Failed)
	assert.LessOrEqual(t, plain, report.Received)
	assert.NotNil(t, report.Refused)
	assert.NotNil(t, report.Files)
	return contents
}

// onDisk reads every file below a directory, which holds nothing but files and directories of the right modes.
func onDisk(t *testing.T, dest string) map[string]string {
	t.Helper()
	contents := map[string]string{}
	require.NoError(t, filepath.WalkDir(dest, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dest {
			return err
		}
		info, err := d.Info()
		require.NoError(t, err)
		if d.IsDir() {
			assert.Equal(t, fs.FileMode(0o750), info.Mode().Perm(), path)
			return nil
		}
		require.True(t, d.Type().IsRegular(), path)
		assert.Equal(t, fs.FileMode(0o640), info.Mode(), path)
		data, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dest, path)
		contents[rel] = string(data)
		return err
	}))
	return contents
}

func compress(t *testing.T, open func(io.Writer) (io.WriteCloser, error), data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w, err := open(&buf)
	require.NoError(t, err)
	_, err = w.Write(data)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return buf.Bytes()
}

// compressors by the extension of what they write.
func compressors(t *testing.T) map[string]func([]byte) []byte {
	by := func(open func(io.Writer) (io.WriteCloser, error)) func([]byte) []byte {
		return func(data []byte) []byte { return compress(t, open, data) }
	}
	return map[string]func([]byte) []byte{
		".gz":  archivetest.Gzip,
		".bz2": by(func(w io.Writer) (io.WriteCloser, error) { return bzip2.NewWriter(w, nil) }),
		".xz":  by(func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) }),
		".zst": by(func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) }),
		".lz4": by(func(w io.Writer) (io.WriteCloser, error) { return lz4.NewWriter(w), nil }),
		".br":  by(func(w io.Writer) (io.WriteCloser, error) { return brotli.NewWriter(w), nil }),
		".sz":  by(func(w io.Writer) (io.WriteCloser, error) { return snappy.NewBufferedWriter(w), nil }),
		".lz":  by(func(w io.Writer) (io.WriteCloser, error) { return lzip.NewWriter(w), nil }),
		".zz":  by(func(w io.Writer) (io.WriteCloser, error) { return zlib.NewWriter(w), nil }),
	}
}

// containers by the extension of what they write.
var containers = map[string]func([]archivetest.File) []byte{
	".zip": archivetest.Zip, ".tar": archivetest.Tar, ".7z": archivetest.SevenZip, ".rar": archivetest.Rar,
	".tar.gz": archivetest.TarGz, ".tar.zst": archivetest.TarZst, ".tgz": archivetest.TarGz,
}

func limits(l archive.Limits) func(*archive.Request) {
	return func(req *archive.Request) { req.Limits = l }
}

func reasons(report archive.Report) map[string]archive.Reason {
	by := map[string]archive.Reason{}
	for _, refusal := range report.Refused {
		by[refusal.Name] = refusal.Reason
	}
	return by
}
