// Package archivetest builds archives in memory, for tests and demonstrations.
package archivetest

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"io"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// File is one entry of an archive. A Name that ends in "/" is a directory.
type File struct {
	Name    string
	Data    []byte
	ModTime time.Time // zero = not stored, where the format can do without
}

func (f File) isDir() bool { return strings.HasSuffix(f.Name, "/") }

// Zip returns a zip archive with the files in their order.
func Zip(files []File) []byte {
	var buf bytes.Buffer
	addToZip(zip.NewWriter(&buf), files)
	return buf.Bytes()
}

func addToZip(w *zip.Writer, files []File) {
	for _, f := range files {
		header := &zip.FileHeader{Name: f.Name, Modified: f.ModTime, Method: zip.Deflate}
		if f.isDir() {
			header.Method = zip.Store
		}
		entry, err := w.CreateHeader(header)
		must(err)
		_, err = entry.Write(f.Data)
		must(err)
	}
	must(w.Close())
}

// Tar returns a tar archive with the files in their order.
func Tar(files []File) []byte {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range files {
		header := &tar.Header{
			Typeflag: tar.TypeReg, Name: f.Name, Size: int64(len(f.Data)), Mode: 0o644,
			ModTime: f.ModTime, Format: tar.FormatPAX,
		}
		if f.isDir() {
			header.Typeflag = tar.TypeDir
		}
		must(w.WriteHeader(header))
		_, err := w.Write(f.Data)
		must(err)
	}
	must(w.Close())
	return buf.Bytes()
}

// TarGz returns a tar archive compressed by gzip.
func TarGz(files []File) []byte { return Gzip(Tar(files)) }

// TarZst returns a tar archive compressed by zstd.
func TarZst(files []File) []byte {
	var buf bytes.Buffer
	w, err := zstd.NewWriter(&buf)
	must(err)
	compress(w, Tar(files))
	return buf.Bytes()
}

// Gzip returns data compressed by gzip.
func Gzip(data []byte) []byte {
	var buf bytes.Buffer
	compress(gzip.NewWriter(&buf), data)
	return buf.Bytes()
}

func compress(w io.WriteCloser, data []byte) {
	_, err := w.Write(data)
	must(err)
	must(w.Close())
}

// must is for what cannot fail: the writers here write to memory.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
