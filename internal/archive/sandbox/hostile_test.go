package sandbox_test

import (
	"encoding/binary"
	"hash/crc32"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/archive"
	"talon/internal/archive/archivetest"
)

// impatient are limits under which hostile archives do not last long and zeros are welcome.
var impatient = archive.Limits{Ratio: 1 << 20, IdleTime: 2 * time.Second, MemoryBytes: 256 << 20}

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

// Archives that made decoders ask for 300 GB or run for ever. Whether the engine knows them or the sandbox ends them, all
// else is extracted.
func TestHostileSevenZip(t *testing.T) {
	pool := newPool(t)
	for name, evil := range map[string][]byte{"files.7z": sevenZipManyFiles(), "delta.7z": sevenZipDelta256([]byte("some content"))} {
		t.Run(name, func(t *testing.T) {
			req := request(t, "a.zip", siblings(map[string][]byte{name: evil}))
			req.Limits, req.Parallel = impatient, 1
			report := extract(t, pool, req)
			assert.Equal(t, 2, report.Result)
			row := report.Layers["a.zip/"+name]
			assert.Equal(t, 1, row.Result)
			assert.NotEmpty(t, row.Reason)
			t.Log(row.Reason, row.Detail)
			assertSiblings(t, onDisk(t, req.Dest), name)
		})
	}
}

// sevenZipManyFiles claims 4,294,967,295 files: github.com/bodgit/sevenzip v1.6.5 makes room for all of them.
func sevenZipManyFiles() []byte {
	const header, filesInfo, eight = 0x01, 0x05, 0xff
	return sealSevenZip(nil, []byte{header, filesInfo, eight, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0})
}

// sevenZipDelta256 has a delta filter of distance 256, which is stored as 0xff: github.com/bodgit/sevenzip v1.6.5 adds one
// in 8 bits and runs for ever.
func sevenZipDelta256(data []byte) []byte {
	size := byte(len(data))
	return sealSevenZip(data, slices.Concat(
		[]byte{0x01, 0x04},                           // header, main streams
		[]byte{0x06, 0, 1, 0x09, size, 0},            // one packed stream at 0 of that size
		[]byte{0x07, 0x0b, 1, 0},                     // one folder
		[]byte{1, 0x21, 0x03, 1, 0xff},               // one coder: delta, with a property
		[]byte{0x0c, size, 0, 0},                     // its unpacked size
		[]byte{0x05, 1, 0x11, 5, 0, 'a', 0, 0, 0, 0}, // one file, its name
		[]byte{0}))
}

// sealSevenZip puts the start header before both (7zFormat.txt of the LZMA SDK).
func sealSevenZip(packed, header []byte) []byte {
	start := binary.LittleEndian.AppendUint64(nil, uint64(len(packed)))
	start = binary.LittleEndian.AppendUint64(start, uint64(len(header)))
	start = binary.LittleEndian.AppendUint32(start, crc32.ChecksumIEEE(header))
	out := binary.LittleEndian.AppendUint32([]byte("7z\xbc\xaf\x27\x1c\x00\x04"), crc32.ChecksumIEEE(start))
	return slices.Concat(out, start, packed, header)
}
