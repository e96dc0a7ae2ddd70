package sandbox_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/archive"
	"talon/internal/archive/archivetest"
)

// impatient are limits under which hostile archives do not last long and zeros are welcome.
var impatient = archive.Limits{Ratio: 1 << 20, IdleTime: time.Minute, MemoryBytes: 256 << 20}

// siblings returns a zip archive with layers of these contents between good ones.
func siblings(evil map[string][]byte) []byte {
	list := files(file("first.txt", "1"), archivetest.File{Name: "good.gz", Data: archivetest.Gzip([]byte("good"))})
	for name, data := range evil {
		list = append(list, archivetest.File{Name: name, Data: data})
	}
	return archivetest.Zip(append(list, archivetest.File{Name: "well.gz", Data: archivetest.Gzip([]byte("well"))}, file("z.txt", "2")))
}

// assertSiblings checks that everything beside the evil layers was had, and that those are files.
func assertSiblings(t *testing.T, contents map[string]string, evil ...string) {
	t.Helper()
	good := map[string]string{"first.txt": "1", "good": "good", "well": "well", "z.txt": "2"}
	for path, content := range good {
		assert.Equal(t, content, contents[path], path)
	}
	assert.Len(t, contents, len(good)+len(evil))
	for _, path := range evil {
		assert.Contains(t, contents, path)
	}
}

// Whatever a decoder does to its process costs its layer and nothing else. A child that was used before is not believed: an
// earlier archive might have spoilt it.
func TestALayerThatAChildDiesOf(t *testing.T) {
	for deed, want := range map[string]archive.Layer{
		"panic": {Result: 1, Reason: archive.ReasonCrashed, Detail: "the decoder crashed: panic: that was"},
		"eat":   {Result: 1, Reason: archive.ReasonLimitMemory, Detail: "needs more than 268435456 bytes of memory"},
		"hang":  {Result: 1, Reason: archive.ReasonTimeout, Detail: "given up after 2s without progress"},
		"exit":  {Result: 1, Reason: archive.ReasonCrashed, Detail: "the process that read it ended: exit status 0"},
		"kill": {
			Result: 1, Reason: archive.ReasonCrashed,
			Detail: "the process that read it ended: killed from outside, perhaps because the machine had no memory left",
		},
	} {
		t.Run(deed, func(t *testing.T) {
			skipUnderRace(t, deed == "eat")
			pool := newPool(t, faulty)
			for range 2 {
				req := request(t, "a.zip", siblings(map[string][]byte{"evil.zip": long(deed + ".do")}))
				req.Limits, req.Parallel = impatient, 1
				if deed == "hang" {
					req.Limits.IdleTime = 2 * time.Second
				}
				report := extract(t, pool, req)
				assert.Equal(t, want, report.Layers["a.zip/evil.zip"])
				assert.Equal(t, archive.Layer{Result: 2, Archives: 3, Files: 2, Reason: archive.ReasonNestedFailed}, report.Layers["a.zip"])
				assert.Equal(t, 1, report.Failed)
				assertSiblings(t, onDisk(t, req.Dest), "evil.zip")
			}
		})
	}
}

func skipUnderRace(t *testing.T, isAboutMemory bool) {
	t.Helper()
	if raceDetector && isAboutMemory {
		t.Skip("the race detector takes memory as it likes")
	}
}

// Where several layers were open, one more child finds out which of them it was.
func TestALayerAmongOthersThatAChildDiesOf(t *testing.T) {
	pool := newPool(t, faulty)
	evil := map[string][]byte{"1.zip": long("calm"), "2.zip": long("exit.do"), "3.zip": long("calm")}
	req := request(t, "a.zip", siblings(evil))
	req.Limits, req.Parallel = impatient, 3
	report := extract(t, pool, req)
	want := archive.Layer{Result: 1, Reason: archive.ReasonCrashed, Detail: "the process that read it ended: exit status 0"}
	assert.Equal(t, want, report.Layers["a.zip/2.zip"])
	assert.Equal(t, 1, report.Failed)
	contents := onDisk(t, req.Dest)
	assert.Contains(t, contents, "2.zip")
	assert.Len(t, contents["1/zeros"], 256<<20)
	assert.Len(t, contents["3/zeros"], 256<<20)
}

// An archive that is to blame itself gets a report of its own, and nothing is delivered.
func TestAnArchiveThatAChildDiesOf(t *testing.T) {
	pool := newPool(t, faulty)
	req := request(t, "a.zip", long("panic.do"))
	req.Limits = impatient
	row := archive.Layer{Result: 1, Reason: archive.ReasonCrashed, Detail: "the decoder crashed: panic: that was"}
	assert.Equal(t, archive.Report{
		Archive: "a.zip", Result: 1, Reason: row.Reason, Detail: row.Detail,
		Layers: map[string]archive.Layer{"a.zip": row}, Files: []archive.File{}, Refused: []archive.Refusal{},
	}, extract(t, pool, req))
	req = request(t, "b.zip", archivetest.Zip(files(file("calm", ""))))
	assert.Zero(t, extract(t, pool, req).Result, "the pool lives")
}

// So many layers that a child dies of are enough.
func TestAnArchiveThatManyChildrenDieOf(t *testing.T) {
	pool := newPool(t, faulty)
	evil := map[string][]byte{}
	for _, name := range []string{"1.zip", "2.zip", "3.zip", "4.zip"} {
		evil[name] = long("exit.do")
	}
	req := request(t, "a.zip", siblings(evil))
	req.Limits, req.Parallel = impatient, 1
	report := extract(t, pool, req)
	assert.Equal(t, archive.ReasonCrashed, report.Reason)
	assert.Equal(t, 1, report.Result)
	assert.Empty(t, onDisk(t, req.Dest))
}

// The limit of time is for all attempts together.
func TestATreeThatTakesTooLong(t *testing.T) {
	pool := newPool(t, faulty)
	req := request(t, "a.zip", siblings(map[string][]byte{"evil.zip": long("hang.do")}))
	req.Limits = archive.Limits{Ratio: 1 << 20, TreeTime: time.Second}
	report := extract(t, pool, req)
	assert.Equal(t, archive.Layer{Result: 1, Reason: archive.ReasonTimeout, Detail: "given up after 1s in all"}, report.Layers["a.zip"])
	assert.Empty(t, onDisk(t, req.Dest))
}

// Somebody kills the child: as it was the first time, the archive gets another chance.
func TestAChildThatIsKilledOnce(t *testing.T) {
	pool := newPool(t)
	extract(t, pool, request(t, "a.gz", archivetest.Gzip(nil))) // from now on the child may be spoilt
	req := request(t, "a.zip", siblings(map[string][]byte{"long.zip": long("calm")}))
	req.Limits.Ratio = 1 << 20
	killed := false
	req.Watch = &watch{opened: func(layer string) {
		if layer == "a.zip/long.zip" && !killed {
			killed = true
			assert.NoError(t, syscall.Kill(onlyChild(t), syscall.SIGKILL))
		}
	}}
	assert.Zero(t, extract(t, pool, req).Result)
	assert.True(t, killed)
}

// A child that is gone when its turn comes costs nothing.
func TestAChildThatIsKilledWhileIdle(t *testing.T) {
	pool := newPool(t)
	require.NoError(t, syscall.Kill(onlyChild(t), syscall.SIGKILL))
	assert.Zero(t, extract(t, pool, request(t, "a.gz", archivetest.Gzip(nil))).Result)
}

// TestHostileSevenZip: an archive that makes the decoder ask for 500 GB is one layer that is lost. The one that made it run
// for ever is opened by now.
func TestHostileSevenZip(t *testing.T) {
	pool := newPool(t)
	spin := archivetest.SevenZipDelta(files(file("a", "some content")), 256)
	req := request(t, "a.zip", siblings(map[string][]byte{"files.7z": archivetest.SevenZipManyFiles(), "delta.7z": spin}))
	req.Limits = impatient
	report := extract(t, pool, req)
	assert.Equal(t, 2, report.Result)
	row := report.Layers["a.zip/files.7z"]
	assert.Equal(t, archive.ReasonLimitMemory, row.Reason)
	assert.Equal(t, 1, row.Result)
	assert.Equal(t, archive.Layer{Files: 1}, report.Layers["a.zip/delta.7z"])
	contents := onDisk(t, req.Dest)
	assert.Equal(t, "some content", contents["delta/a"])
	delete(contents, "delta/a")
	assertSiblings(t, contents, "files.7z")
}
