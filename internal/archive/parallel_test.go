package archive_test

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/archive"
	"talon/internal/archive/archivetest"
)

func parallel(count int) func(*archive.Request) {
	return func(req *archive.Request) { req.Parallel = count }
}

// rivalling is an archive in which much depends on who comes first: archives that unpack into the same directory, streams
// that unpack into the same file, damaged entries between good ones.
func rivalling(t *testing.T) []byte {
	t.Helper()
	inner := archivetest.Zip(files(file("i.txt", "i"), file("i.txt", "again"), file("deep/x.csv", strings.Repeat("x", 1000))))
	packed := archivetest.Gzip([]byte("a csv"))
	list := files(file("x.csv", "plain"))
	for i := range 40 {
		dir := fmt.Sprintf("d%d/", i%4)
		list = append(list,
			archivetest.File{Name: dir + "a.zip", Data: inner}, archivetest.File{Name: dir + "a.tar.gz", Data: archivetest.TarGz(files(file("t.txt", "t")))},
			archivetest.File{Name: dir + "a.zip.gz", Data: archivetest.Gzip(inner)}, archivetest.File{Name: dir + "x.csv.gz", Data: packed},
			file(dir+fmt.Sprintf("plain-%d.txt", i%3), "p"), archivetest.File{Name: dir + "cut.zip", Data: inner[:60]})
	}
	return archivetest.Zip(list)
}

// TestParallelWorkIsDeterministic: what comes out, and under which names, does not depend on how many goroutines work.
func TestParallelWorkIsDeterministic(t *testing.T) {
	data := rivalling(t)
	contents, report := extract(t, "a.zip", data, parallel(1))
	require.Greater(t, report.Received, 200)
	require.NotEmpty(t, report.Layers["a.zip/d0/cut.zip"].Reason)
	for _, count := range []int{2, 3, 16} {
		again, other := extract(t, "a.zip", data, parallel(count))
		assert.Equal(t, contents, again, count)
		assert.Equal(t, report, other, count)
	}
}

// TestLimitsInParallelAreDeterministic: which entries are kept when a limit is hit does not depend on which of them is faster.
func TestLimitsInParallelAreDeterministic(t *testing.T) {
	var list []archivetest.File
	for i := range 300 {
		list = append(list, file(fmt.Sprintf("%03d.txt", i), strings.Repeat("x", 1000*(1+i%7))))
	}
	for ext, build := range map[string]func([]archivetest.File) []byte{".zip": archivetest.Zip, ".7z": archivetest.SevenZip} {
		half := limits(archive.Limits{TreeBytes: 600_000})
		contents, report := extract(t, "a"+ext, build(list), half, parallel(1))
		require.Equal(t, archive.ReasonLimitBytes, report.Reason, ext)
		require.Greater(t, report.Received, 100, ext)
		for range 5 {
			again, other := extract(t, "a"+ext, build(list), half, parallel(8))
			assert.Equal(t, len(contents), len(again), ext)
			assert.Equal(t, report, other, ext)
		}
	}
}

// watch notes what it is told.
type watch struct {
	mu     sync.Mutex
	open   map[string]bool
	most   int
	opened []string
}

func (w *watch) Opened(layer string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open[layer] = true
	w.opened = append(w.opened, layer)
	w.most = max(w.most, len(w.open))
}

func (w *watch) Closed(layer string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.open, layer)
}

func (w *watch) Progress(int64, int64) {}

// TestWatcherKnowsTheLayers: every layer is opened once and closed; with one goroutine, one is open at a time.
func TestWatcherKnowsTheLayers(t *testing.T) {
	for _, count := range []int{1, 4} {
		w := &watch{open: map[string]bool{}}
		_, report := extract(t, "a.zip", rivalling(t), parallel(count), func(req *archive.Request) { req.Watch = w })
		assert.Empty(t, w.open)
		assert.Len(t, w.opened, len(report.Layers))
		for _, layer := range w.opened {
			assert.Contains(t, report.Layers, layer)
		}
		if count == 1 {
			assert.Equal(t, 1, w.most)
		}
	}
}

// TestLayersToAvoidStayFiles: they are not opened, and have the row that the caller wants.
func TestLayersToAvoidStayFiles(t *testing.T) {
	inner := archivetest.Zip(files(file("i.txt", "i")))
	top := archivetest.Zip(files(archivetest.File{Name: "bad.zip", Data: inner}, archivetest.File{Name: "good.zip", Data: inner}))
	row := archive.Layer{Result: 1, Reason: archive.ReasonCrashed, Detail: "the decoder died"}
	avoid := func(key string) func(*archive.Request) {
		return func(req *archive.Request) { req.Avoid = map[string]archive.Layer{key: row} }
	}
	contents, report := extract(t, "a.zip", top, avoid("a.zip/bad.zip"))
	assert.Equal(t, map[string]string{"bad.zip": string(inner), "good/i.txt": "i"}, contents)
	assert.Equal(t, row, report.Layers["a.zip/bad.zip"])
	assert.Equal(t, archive.ReasonNestedFailed, report.Reason)

	contents, report = extract(t, "a.zip", top, avoid("a.zip"))
	assert.Empty(t, contents)
	assert.Equal(t, archive.ReasonCrashed, report.Reason)
	assert.Equal(t, 1, report.Result)
}

// TestTime: no archive is done within a nanosecond.
func TestTime(t *testing.T) {
	data := archivetest.TarGz(files(file("a.txt", "a"), archivetest.File{Name: "in.zip", Data: archivetest.Zip(files(file("i.txt", "i")))}))
	for name, l := range map[string]archive.Limits{"this layer": {LayerTime: time.Nanosecond}, "all layers": {TreeTime: time.Nanosecond}} {
		contents, report := extract(t, "a.tgz", data, limits(l))
		assert.Empty(t, contents)
		assert.Equal(t, 1, report.Result)
		assert.Equal(t, archive.ReasonTimeout, report.Reason)
		assert.Contains(t, report.Detail, name)
	}
}

func TestFreeSpace(t *testing.T) {
	req := request(t, "a.zip", archivetest.Zip(files(file("a.txt", "a"))), limits(archive.Limits{FreeSpace: 1 << 60}))
	_, err := archive.Extract(t.Context(), req)
	assert.ErrorIs(t, err, archive.ErrDestination)
	assert.ErrorIs(t, err, syscall.ENOSPC, "another attempt may find more")
}

// TestTimeIsOverWithinAFile: the file that was being read then is not taken for a damaged one.
func TestTimeIsOverWithinAFile(t *testing.T) {
	const layerTime = 20 * time.Millisecond
	list := files(file("a.txt", "a"), file("big.dat", strings.Repeat("x", 3<<20)), file("b.txt", "b"))
	for _, ext := range []string{".tar", ".tar.gz", ".zip", ".7z", ".rar"} {
		begun := make(chan time.Time, 1)
		_, report := extract(t, "a"+ext, containers[ext](list), parallel(1), limits(archive.Limits{LayerTime: layerTime}),
			func(req *archive.Request) {
				req.Progress = func(int64) { // the layer's time began before this
					select {
					case begun <- time.Now():
						<-time.After(layerTime)
					default:
					}
				}
			})
		assert.Equal(t, archive.ReasonTimeout, report.Reason, ext)
		for _, refusal := range report.Refused {
			assert.Equal(t, archive.ReasonTimeout, refusal.Reason, "%s: %+v", ext, refusal)
		}
	}
}

// TestRivalsWithEscapedNames: what is escaped in the name of one directory may be the very name of another.
func TestRivalsWithEscapedNames(t *testing.T) {
	var list []archivetest.File
	for i := range 60 {
		for _, name := range []string{"a .zip", "a%20.zip", "b..zip", "b%2E.zip"} {
			inner := archivetest.Zip(files(file("i.txt", strings.Repeat(name, 1+i%7*1000))))
			list = append(list, archivetest.File{Name: fmt.Sprintf("d%d/%s", i, name), Data: inner})
		}
	}
	data := archivetest.Zip(list)
	want, _ := extract(t, "a.zip", data, parallel(1))
	for range 5 {
		again, _ := extract(t, "a.zip", data, parallel(16))
		assert.True(t, maps.Equal(want, again))
	}
}

// TestLimitsAreDeterministic: what a limit leaves does not depend on how many goroutines work, nor on entries that say less
// than they hold.
func TestLimitsAreDeterministic(t *testing.T) {
	entries := []archivetest.ZipEntry{archivetest.StoredEntry("large.dat", make([]byte, 600<<10))}
	for i := range 200 {
		e := archivetest.StoredEntry(fmt.Sprintf("%03d.txt", i), []byte("small"))
		if i%2 == 0 {
			e = archivetest.StoredEntry(e.Name, make([]byte, 10<<10))
			e.Size = 5
		}
		entries = append(entries, e)
	}
	for name, c := range map[string]struct {
		limits  archive.Limits
		entries []archivetest.ZipEntry
	}{
		"bytes of a file":    {archive.Limits{FileBytes: 500 << 10}, entries},
		"bytes of the tree":  {archive.Limits{TreeBytes: 601 << 10}, entries},
		"no limit after all": {archive.Limits{TreeBytes: 1000}, entries[1:]},
	} {
		data := archivetest.RawZip(c.entries...)
		_, report := extract(t, "a.zip", data, limits(c.limits), parallel(1))
		for range 5 {
			_, again := extract(t, "a.zip", data, limits(c.limits), parallel(8))
			assert.Equal(t, report, again, name)
		}
	}
}
