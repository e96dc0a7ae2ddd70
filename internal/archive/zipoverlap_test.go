package archive

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/klauspost/compress/zip"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/archive/archivetest"
)

// rawEntry is an entry of a zip archive as its headers describe it.
type rawEntry struct {
	name   string
	offset int
	sum    uint32
	packed int
	size   int
}

var le = binary.LittleEndian

func (e rawEntry) common(b []byte) []byte {
	b = append(b, 20, 0, 0, 0, 8, 0, 0, 0, 0, 0) // deflate
	b = le.AppendUint32(b, e.sum)
	b = le.AppendUint32(b, uint32(e.packed))
	b = le.AppendUint32(b, uint32(e.size))
	return append(le.AppendUint16(b, uint16(len(e.name))), 0, 0)
}

func (e rawEntry) local() []byte { return append(e.common([]byte(zipLocalMark)), e.name...) }

func (e rawEntry) central() []byte {
	b := append(e.common(append([]byte(zipCentralMark), 20, 0)), make([]byte, 10)...)
	return append(le.AppendUint32(b, uint32(e.offset)), e.name...)
}

// rawZip puts a directory behind data.
func rawZip(data []byte, entries []rawEntry) []byte {
	out := bytes.Clone(data)
	for _, e := range entries {
		out = append(out, e.central()...)
	}
	end := append([]byte(zipEndMark), 0, 0, 0, 0)
	end = le.AppendUint16(le.AppendUint16(end, uint16(len(entries))), uint16(len(entries)))
	end = le.AppendUint32(le.AppendUint32(end, uint32(len(out)-len(data))), uint32(len(data)))
	return append(append(out, end...), 0, 0)
}

func deflated(t *testing.T, data []byte) []byte {
	t.Helper()
	file := openZip(t, archivetest.Zip([]archivetest.File{{Name: "a", Data: data}}))[0]
	r, err := file.OpenRaw()
	require.NoError(t, err)
	packed, err := io.ReadAll(r)
	require.NoError(t, err)
	return packed
}

// fullOverlap shows one entry under many names.
func fullOverlap(t *testing.T, names int, kernel []byte) []byte {
	packed := deflated(t, kernel)
	e := rawEntry{name: "000", sum: crc32.ChecksumIEEE(kernel), packed: len(packed), size: len(kernel)}
	data := append(e.local(), packed...)
	var entries []rawEntry
	for i := range names {
		e.name = fmt.Sprintf("%03d", i)
		entries = append(entries, e)
	}
	return rawZip(data, entries)
}

// quotedOverlap has entries that begin with a block of deflate in which the header of the next one is the content, and that
// so run on to the same end.
func quotedOverlap(t *testing.T, names int, kernel []byte) []byte {
	packed, content := deflated(t, kernel), kernel
	entries := make([]rawEntry, names)
	var data []byte
	for i := names - 1; i >= 0; i-- {
		e := rawEntry{name: fmt.Sprintf("%03d", i), sum: crc32.ChecksumIEEE(content), packed: len(packed), size: len(content)}
		header := e.local()
		data = append(bytes.Clone(header), packed...)
		e.offset = -len(data) // from the end, which stays
		entries[i] = e
		quote := le.AppendUint16([]byte{0}, uint16(len(header))) // a stored block, not the last one
		quote = le.AppendUint16(quote, ^uint16(len(header)))
		packed = append(append(quote, header...), packed...)
		content = append(bytes.Clone(header), content...)
	}
	for i := range entries {
		entries[i].offset += len(data)
	}
	return rawZip(data, entries)
}

func names(found map[*zip.File]bool) map[string]bool {
	var names map[string]bool
	for file := range found {
		if names == nil {
			names = map[string]bool{}
		}
		names[file.Name] = true
	}
	return names
}

func TestOverlapsAreFound(t *testing.T) {
	kernel := make([]byte, 1<<20)
	for name, archive := range map[string][]byte{
		"full": fullOverlap(t, 100, kernel), "quoted": quotedOverlap(t, 100, kernel),
	} {
		files := openZip(t, archive)
		require.Len(t, files, 100)
		for _, file := range files {
			r, err := file.Open()
			require.NoError(t, err)
			n, err := io.Copy(io.Discard, r)
			require.NoError(t, err, "%s: the bomb is a good one", name)
			assert.GreaterOrEqual(t, n, int64(len(kernel)))
		}
		found := names(overlaps(files, int64(len(archive))))
		assert.Len(t, found, 99, "%s: all but the first", name)
		assert.NotContains(t, found, "000")
	}
}

func TestTwoNamesForOneEntryAreEnough(t *testing.T) {
	archive := fullOverlap(t, 2, noise(10_000))
	assert.Equal(t, map[string]bool{"001": true}, names(overlaps(openZip(t, archive), int64(len(archive)))))
}

func TestOverlapsOfSome(t *testing.T) {
	packed := deflated(t, noise(100))
	entry := func(name string, offset, size int) rawEntry {
		return rawEntry{name: name, offset: offset, packed: size}
	}
	e := entry("a", 0, len(packed))
	data := bytes.Repeat(append(e.local(), packed...), 4)
	size := len(data) / 4
	for name, c := range map[string]struct {
		entries []rawEntry
		want    map[string]bool
	}{
		"none": {[]rawEntry{entry("a", 0, size-31), entry("b", size, size-31), entry("c", 2*size, size-31)}, nil},
		"one byte": {
			[]rawEntry{entry("a", 0, size-30), entry("b", size, 2*size), entry("c", 2*size, 1), entry("d", 3*size, size)},
			map[string]bool{"c": true},
		},
		"behind the rest": {[]rawEntry{entry("b", size, 3*size), entry("a", 0, 2*size)}, map[string]bool{"b": true}},
		"beyond the end":  {[]rawEntry{entry("a", 0, 1<<30), entry("b", size, 1)}, map[string]bool{"b": true}},
		"no data":         {[]rawEntry{entry("a", 0, 5*size), entry("b", size, 0), entry("c", size, 0)}, nil},
		"no header":       {[]rawEntry{entry("a", 0, 5*size), entry("b", 7, size)}, nil},
	} {
		archive := rawZip(data, c.entries)
		assert.Equal(t, c.want, names(findOverlaps(openZip(t, archive), int64(len(archive)))), name)
	}
	paid := rawZip(data, []rawEntry{entry("a", 0, size), entry("b", size, size-31)})
	assert.Nil(t, overlaps(openZip(t, paid), int64(len(paid))), "the entries are no larger than the archive")
}

// An honest archive costs no reading.
func TestOverlapsOfHonestArchivesAreNotLookedFor(t *testing.T) {
	files, _ := setFiles()
	for _, archive := range [][]byte{
		archivetest.Zip(files), archivetest.Zip(nil),
		archivetest.ZipEncrypted(files, archivetest.ZipEncryption{Stored: true, Streamed: true}),
	} {
		reads := 0
		zr, err := zip.NewReader(readerAtFunc(func(p []byte, off int64) (int, error) {
			reads++
			return bytes.NewReader(archive).ReadAt(p, off)
		}), int64(len(archive)))
		require.NoError(t, err)
		reads = 0
		assert.Nil(t, overlaps(zr.File, int64(len(archive))))
		assert.Zero(t, reads)
	}
}

func TestLocalDifferences(t *testing.T) {
	files, _ := setFiles()
	plain := archivetest.Zip(files)
	beforeEnd := len(plain) - zipEndSize
	for name, archive := range map[string][]byte{
		"a gap before the end": slices.Concat(plain[:beforeEnd], []byte("gap"), plain[beforeEnd:]),
		"streamed":             archivetest.Zip(files),
		"encrypted":            archivetest.ZipEncrypted(files, archivetest.ZipEncryption{AES: 256}),
		"behind a program":     append([]byte("#!/bin/sh\nexit\n"), archivetest.Zip(files)...),
		"quoted":               quotedOverlap(t, 10, noise(100)),
	} {
		r, size := bytes.NewReader(archive), int64(len(archive))
		list := openZip(t, archive)
		offsets := zipHeaderOffsets(r, size)
		require.Len(t, offsets, len(list), name)
		for i, file := range list {
			differs, err := localDifference(r, offsets[i], file)
			assert.NoError(t, err)
			assert.Empty(t, differs, "%s: %s", name, file.Name)
		}
	}
}

func TestLocalDifferencesAreNamed(t *testing.T) {
	packed := deflated(t, noise(10))
	e := rawEntry{name: "good.txt", sum: crc32.ChecksumIEEE(noise(10)), packed: len(packed), size: 10}
	whole := rawZip(append(e.local(), packed...), []rawEntry{e})
	for at, want := range map[int]string{
		0: "no local header", 6: "encryption", 8: "method", 14: "checksum", 18: "compressed size", 22: "size", 26: "name",
		30: "name", 10: "", 28: "",
	} {
		archive := bytes.Clone(whole)
		archive[at] ^= 1
		r := bytes.NewReader(archive)
		offsets := zipHeaderOffsets(r, r.Size())
		require.Len(t, offsets, 1)
		differs, err := localDifference(r, offsets[0], openZip(t, archive)[0])
		assert.NoError(t, err)
		assert.Equal(t, want, differs, "byte %d", at)
	}
	_, err := localDifference(bytes.NewReader(whole), int64(len(whole)), openZip(t, whole)[0])
	assert.Error(t, err)
	assert.Nil(t, zipHeaderOffsets(bytes.NewReader(whole[:40]), 40))
	files, _ := setFiles()
	volumes := archivetest.SplitZip(archivetest.Zip(files), 50_000)
	last := volumes[len(volumes)-1]
	assert.Nil(t, zipHeaderOffsets(bytes.NewReader(last), int64(len(last))))
}

func BenchmarkOverlaps(b *testing.B) {
	var files []archivetest.File
	for i := range 11_000 {
		files = append(files, archivetest.File{Name: fmt.Sprintf("branch/%06d.csv", i), Data: noise(100)})
	}
	at := filepath.Join(b.TempDir(), "x.zip")
	require.NoError(b, os.WriteFile(at, archivetest.Zip(files), 0o600))
	file, err := os.Open(at)
	require.NoError(b, err)
	defer file.Close()
	info, err := file.Stat()
	require.NoError(b, err)
	zr, err := zip.NewReader(file, info.Size())
	require.NoError(b, err)
	b.Run("sizes", func(b *testing.B) {
		for b.Loop() {
			overlaps(zr.File, info.Size())
		}
	})
	b.Run("offsets", func(b *testing.B) {
		for b.Loop() {
			findOverlaps(zr.File, info.Size())
		}
	})
	b.Run("local headers", func(b *testing.B) {
		for b.Loop() {
			for i, offset := range zipHeaderOffsets(file, info.Size()) {
				_, _ = localDifference(file, offset, zr.File[i])
			}
		}
	})
	b.Run("opening the directory", func(b *testing.B) {
		for b.Loop() {
			_, _ = zip.NewReader(file, info.Size())
		}
	})
}
