package archive_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"talon/internal/archive"
	"talon/internal/archive/archivetest"
)

// buffered are sizes around that of the engine's buffers.
var buffered = []int{0, 1, 256<<10 - 1, 256 << 10, 256<<10 + 1, 1 << 20, 3 << 20}

// TestFilesOfEverySize: what fits a buffer and what does not come out alike, in every format.
func TestFilesOfEverySize(t *testing.T) {
	var list []archivetest.File
	want := map[string]string{}
	for i, size := range buffered {
		name := fmt.Sprintf("f%d.dat", i)
		content := strings.Repeat(fmt.Sprintf("%d of %d\n", i, size), size/6+1)[:size]
		list = append(list, file(name, content))
		want[name] = content
	}
	for ext, build := range containers {
		for _, count := range []int{1, 8} {
			contents, report := extract(t, "a"+ext, build(list), parallel(count))
			assert.Zero(t, report.Result, ext)
			require.Len(t, contents, len(want), ext)
			for name, content := range want {
				assert.True(t, content == contents[name], "%s in %s", name, ext)
			}
		}
	}
}

// TestManyBadEntries: each is refused and leaves nothing, no matter how much of it was read, and none keeps a buffer or a
// goroutine from the next.
func TestManyBadEntries(t *testing.T) {
	defer goleak.VerifyNone(t)
	small, large := []byte(strings.Repeat("small ", 20)), []byte(strings.Repeat("large ", 60_000))
	var entries []archivetest.ZipEntry
	for i := range 600 {
		data := small
		if i%20 == 0 {
			data = large
		}
		e := archivetest.StoredEntry(fmt.Sprintf("%03d.txt", i), data)
		if i%3 != 0 {
			e.CRC ^= 1
		}
		entries = append(entries, e)
	}
	for _, count := range []int{1, 2, 8} {
		contents, report := extract(t, "a.zip", archivetest.RawZip(entries...), parallel(count))
		assert.Len(t, contents, 200)
		assert.Len(t, report.Refused, 400)
		for _, refusal := range report.Refused {
			assert.Equal(t, archive.ReasonCorrupt, refusal.Reason)
		}
	}
	var list []archivetest.File
	for i := range 60 {
		list = append(list, archivetest.File{Name: fmt.Sprintf("%03d.txt", i), Data: append(bytes.Clone(large[:len(large)-3]), fmt.Sprintf("%03d", i)...), ModTime: modTime})
	}
	for _, ext := range []string{".7z", ".rar"} {
		data := containers[ext](list)
		for i := range 60 {
			if i%3 != 0 {
				at := bytes.LastIndex(data, []byte(fmt.Sprintf("large lar%03d", i)))
				require.Positive(t, at)
				data[at] ^= 1
			}
		}
		for _, count := range []int{1, 8} {
			contents, report := extract(t, "a"+ext, data, parallel(count))
			assert.Len(t, contents, 20, ext)
			assert.Len(t, report.Refused, 40, ext)
		}
	}
}

// TestHeavyEntries: of methods that are read one at a time, an entry that is good, is damaged, or cannot even be opened lets
// the next one begin.
func TestHeavyEntries(t *testing.T) {
	text := []byte(strings.Repeat("text ", 1000))
	pack := compressors(t)
	var entries []archivetest.ZipEntry
	for method, ext := range map[uint16]string{12: ".bz2", 93: ".zst", 95: ".xz"} {
		packed := pack[ext](text)
		for i, content := range [][]byte{packed, []byte("nonsense"), packed[:len(packed)/2], nil, packed} {
			e := archivetest.StoredEntry(fmt.Sprintf("%d%s", i, ext), text)
			e.Method, e.Packed = method, content
			entries = append(entries, e)
		}
	}
	for _, count := range []int{1, 8} {
		contents, report := extract(t, "a.zip", archivetest.RawZip(entries...), parallel(count))
		assert.Len(t, contents, 6)
		assert.Len(t, report.Refused, 9)
	}
}
