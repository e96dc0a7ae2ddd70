package activities

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"talon/config"
	"talon/internal/archive"
	"talon/internal/archive/archivetest"
	"talon/internal/bundle"
	"talon/internal/warehouse"
)

func (s *site) extractFails(dir string, batch Batch) error {
	s.t.Helper()
	_, err := attempt(s, s.eagle.ExtractArchives, ExtractInput{Decompression: ownRun, ZipDir: dir, ZipKey: s.tiger.zipKey(dir), Batch: batch})
	require.Error(s.t, err)
	return err
}

// TestOutagesOfTheGateway: the archive is not to blame, which the error says, and why; when it is over the same attempt would succeed.
func TestOutagesOfTheGateway(t *testing.T) {
	for name, outage := range map[string]struct {
		begin, end func(t *testing.T, far *farEagle)
		reason     string
	}{
		"down": {
			func(t *testing.T, far *farEagle) { require.NoError(t, far.gateway.Kill()) },
			func(t *testing.T, far *farEagle) { require.NoError(t, far.gateway.Restart(t.Context())) },
			"store_unreachable",
		},
		"another key": {
			func(t *testing.T, far *farEagle) {
				require.NoError(t, os.WriteFile(far.key, []byte("eagle-1:wrong"), 0o600))
			},
			func(t *testing.T, far *farEagle) {
				require.NoError(t, os.WriteFile(far.key, []byte("eagle-1:of-no-use-elsewhere"), 0o600))
			},
			"store_refused",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, "", "")
			far := newFarEagle(s)
			dir, batch := s.arrive(map[string]string{"a.zip": zipOf("a.txt", "alpha")})
			outage.begin(t, far)
			err := s.extractFails(dir, batch)
			requireReason(t, err, outage.reason, true)
			assert.True(t, IsOutage(err))
			assert.ErrorContains(t, err, far.gateway.URL())
			assert.NotContains(t, err.Error(), "of-no-use-elsewhere")
			outage.end(t, far)
			assertSealed(t, SealResult{Succeeded: 1, Files: 1, Bytes: 5}, s.decompress(ownRun, dir, batch))
			s.requireTidy()
		})
	}
}

// TestArchiveThatCannotBeRead: an archive that the gateway will not give, while it gives others, is in trouble alone. It is no outage.
func TestArchiveThatCannotBeRead(t *testing.T) {
	s := newSite(t, "", "")
	newFarEagle(s)
	dir, batch := s.arrive(map[string]string{"a.zip": zipOf("a.txt", "alpha")})
	require.NoError(t, os.Remove(filepath.Join(dir, "a.zip")))
	require.NoError(t, unix.Mkfifo(filepath.Join(dir, "a.zip"), 0o600))
	err := s.extractFails(dir, batch)
	requireReason(t, err, "archive_unreadable", false)
	assert.ErrorContains(t, err, "no ordinary file")
	assert.False(t, IsOutage(err))
}

// TestOutageInMidBatch: what was delivered before it is not done again.
func TestOutageInMidBatch(t *testing.T) {
	s := newSite(t, "", "")
	far := newFarEagle(s)
	dir, batch := s.arrive(map[string]string{"a.zip": zipOf("a.txt", "alpha"), "b.zip": zipOf("b.txt", "beta")})
	delivered := make(chan struct{})
	s.onBeat = func(c Checkpoint) {
		if len(c.Delivered) == 1 {
			close(delivered)
		}
	}
	s.eagle.Extractor = inProcess(func(ctx context.Context, request archive.Request) (archive.Report, error) {
		if strings.HasSuffix(request.Name, "b.zip") {
			<-delivered
			assert.NoError(t, far.gateway.Kill())
		}
		return archive.Extract(ctx, request)
	})
	err := s.extractFails(dir, batch)
	requireReason(t, err, "store_unreachable", true)
	kept := DeliveredBefore(err)
	require.Len(t, kept, 1)
	require.Equal(t, batch.Archives[0].ID, kept[0].ID)
	require.NoError(t, far.gateway.Restart(t.Context()))
	rest := batch.Without(kept)
	assert.Equal(t, batch.Archives[1:], rest.Archives)
	s.onBeat, s.eagle.Extractor = nil, inProcess(archive.Extract)
	all := Deliveries{Archives: append(kept, s.extract(ownRun, dir, rest).Archives...)}
	assertSealed(t, SealResult{Succeeded: 2, Files: 2, Bytes: 9}, do(s, s.tiger.SealArchives, s.sealInput(ownRun, all)))
	s.requireTidy()
}

// TestRoomForABundle: tiger leaves its disk some room, waits for it, and says what it will never have room for.
func TestRoomForABundle(t *testing.T) {
	s := newSite(t, "", "")
	disk, free, err := s.tiger.Warehouse.Space()
	require.NoError(t, err)
	require.NoError(t, s.tiger.roomFor(1, 1))
	require.NoError(t, s.tiger.roomFor(1, 0))
	require.ErrorIs(t, s.tiger.roomFor(1, free+1<<30), syscall.ENOSPC)
	require.ErrorIs(t, s.tiger.roomFor(free, 0), syscall.ENOSPC, "the default leaves room for the catalog")
	require.ErrorIs(t, s.tiger.roomFor(disk+1, 0), warehouse.ErrDamaged)
}

// TestArchiveOutsideOfTheZipWarehouse cannot be had by an eagle that sees no more; it is told where to put it.
func TestArchiveOutsideOfTheZipWarehouse(t *testing.T) {
	s := newSite(t, "", "")
	newFarEagle(s)
	dir, batch := s.planned(map[string]string{"a.zip": zipOf("a.txt", "alpha")})
	assertSealed(t, SealResult{Failed: 1}, s.decompress(ownRun, dir, batch))
	row, err := s.tiger.Catalog.Archive(t.Context(), batch.Archives[0].ID)
	require.NoError(t, err)
	assert.Equal(t, "out_of_reach", row.Reason)
	assert.Contains(t, row.Detail, dir+" is outside of the zip warehouse")
}

// TestNamesThatNoObjectHas are the archive's trouble, and no outage.
func TestNamesThatNoObjectHas(t *testing.T) {
	s := newSite(t, "", "")
	newFarEagle(s)
	long := strings.Repeat("directory/", 120) + "a.zip"
	dir, batch := s.arrive(map[string]string{"line\nbreak.zip": zipOf("a.txt", "alpha"), long: zipOf("b.txt", "beta"), "good.zip": zipOf("c.txt", "gamma")})
	assertSealed(t, SealResult{Succeeded: 1, Failed: 2, Files: 1, Bytes: 5}, s.decompress(ownRun, dir, batch))
	for _, a := range batch.Archives {
		if a.Path != "good.zip" {
			_, reason := s.outcome(a.ID)
			assert.Equal(t, "out_of_reach", reason, a.Path)
		}
	}
}

// TestArchiveChangedSinceItWasCollected: what was collected is what is extracted, or nothing.
func TestArchiveChangedSinceItWasCollected(t *testing.T) {
	s := newSite(t, "", "")
	newFarEagle(s)
	s.put("a.zip", zipOf("a.txt", "alpha"))
	s.collect(run1)
	dir := s.tiger.Warehouse.ZipDir()
	plan := do(s, s.tiger.PlanExtraction, ExtractionInput{Decompression: decompressionOf(run1), ZipDir: dir, UnzipDir: s.tiger.Warehouse.UnzipDir()})
	require.Equal(t, ".", plan.ZipKey)
	require.Equal(t, sha(zipOf("a.txt", "alpha")), plan.Batches[0].Archives[0].SHA256)
	require.NoError(t, os.Chmod(filepath.Join(dir, branch, "a.zip"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, branch, "a.zip"), []byte(zipOf("a.txt", "omega")), 0o600))
	requireReason(t, s.extractFails(dir, plan.Batches[0]), "store_damages", false)

	scan := s.own(dir)
	assert.Equal(t, plan.Batches[0].Archives[0].SHA256, do(s, s.tiger.PlanExtraction, scan).Batches[0].Archives[0].SHA256,
		"a decompression of its own knows what was collected as well")
}

// TestHostileBundles: an eagle that somebody has taken over can make any bundle, and tell its true hash.
func TestHostileBundles(t *testing.T) {
	file := func(path, content string) archive.File {
		return archive.File{Path: path, Size: int64(len(content)), SHA256: sha(content), Layer: "a.zip", ModTime: written}
	}
	x := file("x", "x")
	huge := archive.File{Path: "x", Size: 1 << 50, SHA256: sha("x")}
	for name, files := range map[string][]archive.File{
		"out of its place":     {file("../x", "x")},
		"absolute":             {file("/tmp/x", "x")},
		"a name twice":         {x, x},
		"in a file":            {x, file("x/y", "x")},
		"a file as directory":  {file("x/y", "x"), x},
		"an endless name":      {file(strings.Repeat("n", 300), "x")},
		"an endless path":      {file(strings.Repeat("n/", 5000)+"x", "x")},
		"another hash":         {{Path: "x", Size: 1, SHA256: sha("y")}},
		"more than can be":     {huge},
		"more than can be, in": {huge, huge, huge},
		"less than nothing":    {{Path: "x", Size: -1, SHA256: sha("x")}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, "", "")
			_, batch := s.planned(map[string]string{"a.zip": zipOf("a.txt", "alpha")})
			report := archive.Report{Archive: "a.zip", Files: files, Received: len(files)}
			for _, f := range files {
				report.Bytes += f.Size
			}
			in := SealInput{Decompression: ownRun, UnzipDir: s.tiger.Warehouse.UnzipDir(), Deliveries: []Delivery{s.forge(batch.Archives[0].ID, report)}}
			assertSealed(t, SealResult{Damaged: batch.Archives}, do(s, s.tiger.SealArchives, in))
			assert.Empty(t, s.unzip())
			s.requireTidy()
		})
	}
	t.Run("the forger can do it right", func(t *testing.T) {
		s := newSite(t, "", "")
		_, batch := s.planned(map[string]string{"a.zip": zipOf("a.txt", "alpha")})
		report := archive.Report{Archive: "a.zip", Files: []archive.File{x}, Received: 1, Bytes: 1}
		in := SealInput{Decompression: ownRun, UnzipDir: s.tiger.Warehouse.UnzipDir(), Deliveries: []Delivery{s.forge(batch.Archives[0].ID, report)}}
		assertSealed(t, SealResult{Succeeded: 1, Files: 1, Bytes: 1}, do(s, s.tiger.SealArchives, in))
	})
}

// forge puts a bundle into the stage that says what the report says and holds an x for each of its files.
func (s *site) forge(id int64, report archive.Report) Delivery {
	s.t.Helper()
	manifest, err := json.Marshal(report)
	require.NoError(s.t, err)
	writer, err := bundle.NewWriter()
	require.NoError(s.t, err)
	var files []bundle.File
	for _, f := range report.Files {
		files = append(files, bundle.File{Path: f.Path, Size: 1})
	}
	var packed bytes.Buffer
	require.NoError(s.t, writer.Write(&packed, manifest, anyFile{}, files, nil))
	delivery := Delivery{ID: id, Bundle: newBundle(ownRun, "1-1-ABC"), Manifest: hashOf(manifest), Host: "eagle-9", Start: time.Now()}
	place := s.goods(delivery, "")
	require.NoError(s.t, os.MkdirAll(filepath.Dir(place), 0o750))
	require.NoError(s.t, os.WriteFile(place, packed.Bytes(), 0o600))
	return delivery
}

// anyFile is a file system in which every name is a file that holds an x.
type anyFile struct{}

func (anyFile) Open(string) (fs.File, error) {
	return fstest.MapFS{"x": &fstest.MapFile{Data: []byte("x")}}.Open("x")
}

// TestFirstTryIsForSmallThings: what takes long is not begun by an attempt that has little time.
func TestFirstTryIsForSmallThings(t *testing.T) {
	s := newSite(t, "", "")
	dir, batch := s.planned(map[string]string{"a.zip": zipOf("a.txt", "alpha")})
	in := s.sealInput(ownRun, s.extract(ownRun, dir, batch))
	in.Deliveries[0].Bytes = firstTryBytes + 1
	_, err := s.environment().ExecuteLocalActivity(s.tiger.SealArchives, in)
	require.NoError(t, err, "read on this host already")
	in.Deliveries[0].Boot = "boot-9"
	_, err = s.environment().ExecuteLocalActivity(s.tiger.SealArchives, in)
	require.ErrorContains(t, err, "too much for a first try")
	assert.False(t, IsFinal(err))
	assertSealed(t, SealResult{Succeeded: 1, Files: 1, Bytes: 5}, do(s, s.tiger.SealArchives, in))
}

// TestFailedAttemptsToSealLeaveNothingUnpacked: one of many waits for room on the disk, which it must not take from itself.
func TestFailedAttemptsToSealLeaveNothingUnpacked(t *testing.T) {
	s := newSite(t, "", "")
	newFarEagle(s)
	dir, batch := s.arrive(map[string]string{"a.zip": zipOf("a.txt", "alpha"), "b.zip": zipOf("b.txt", "beta")})
	in := s.sealInput(ownRun, s.extract(ownRun, dir, batch))
	stage := filepath.Join(s.tiger.Warehouse.StageDir(), decompressionStage(ownRun))
	failing := map[string]func(in *SealInput, limits *config.Limits){
		"when all are unpacked": func(in *SealInput, _ *config.Limits) { in.UnzipDir = s.tiger.Warehouse.StageDir() },
		"at the second one": func(in *SealInput, _ *config.Limits) {
			in.Deliveries = append(in.Deliveries[:1:1], Delivery{ID: 1 << 40, Reason: reasonMissing})
		},
		"at once": func(_ *SealInput, limits *config.Limits) { limits.FreeSpace = 1 << 60 },
	}
	for name, fail := range failing {
		broken, settings := in, s.config.Extract.Limits
		fail(&broken, &s.config.Extract.Limits)
		_, err := attempt(s, s.tiger.SealArchives, broken)
		s.config.Extract.Limits = settings
		require.Error(t, err, name)
		left, err := os.ReadDir(stage)
		require.True(t, err == nil || os.IsNotExist(err), err)
		assert.Empty(t, left, name)
	}
	assertSealed(t, SealResult{Succeeded: 2, Files: 2, Bytes: 9}, do(s, s.tiger.SealArchives, in))
	left, err := os.ReadDir(stage)
	require.NoError(t, err)
	assert.Empty(t, left)
	s.requireTidy()
}

// TestEagleWithHigherLimitsThanTiger: the two have configurations of their own. The account says where they differ.
func TestEagleWithHigherLimitsThanTiger(t *testing.T) {
	for name, lower := range map[string]func(*config.Limits){
		"file_bytes 4":   func(l *config.Limits) { l.FileBytes = 4 },
		"tree_bytes 8":   func(l *config.Limits) { l.TreeBytes = 8 },
		"tree_entries 1": func(l *config.Limits) { l.TreeEntries = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, "", "")
			newFarEagle(s)
			dir, batch := s.arrive(map[string]string{"a.zip": string(archivetest.Zip([]archivetest.File{
				{Name: "a.txt", Data: []byte("alpha"), ModTime: written}, {Name: "b.txt", Data: []byte("beta"), ModTime: written},
			}))})
			in := s.sealInput(ownRun, s.extract(ownRun, dir, batch))
			in.LastRound = true
			lower(&s.config.Extract.Limits)
			assertSealed(t, SealResult{Failed: 1}, do(s, s.tiger.SealArchives, in))
			row, err := s.tiger.Catalog.Archive(t.Context(), batch.Archives[0].ID)
			require.NoError(t, err)
			assert.Contains(t, row.Detail, "tiger's extract.limits")
			assert.Contains(t, row.Detail, name)
		})
	}
}
