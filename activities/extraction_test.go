package activities

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/archive"
	"talon/internal/archive/archivetest"
	"talon/internal/archive/sandbox"
)

// extract has a batch delivered by eagle.
func (s *site) extract(decompression, dir string, batch Batch) Deliveries {
	s.t.Helper()
	return do(s, s.eagle.ExtractArchives, ExtractInput{Decompression: decompression, ZipDir: dir, ZipKey: s.tiger.zipKey(dir), Batch: batch})
}

// sealInput hands deliveries to tiger.
func (s *site) sealInput(decompression string, delivered Deliveries) SealInput {
	return SealInput{Decompression: decompression, UnzipDir: s.tiger.Warehouse.UnzipDir(), Deliveries: delivered.Archives}
}

// decompress has a batch extracted and sealed.
func (s *site) decompress(decompression, dir string, batch Batch) SealResult {
	s.t.Helper()
	return do(s, s.tiger.SealArchives, s.sealInput(decompression, s.extract(decompression, dir, batch)))
}

// planned scans a directory that holds one archive of these contents and returns it with its batch.
func (s *site) planned(files map[string]string) (dir string, batch Batch) {
	s.t.Helper()
	dir = lay(s.t, files)
	plan := do(s, s.tiger.PlanExtraction, s.own(dir))
	require.Len(s.t, plan.Batches, 1)
	return dir, plan.Batches[0]
}

// outcome is what the catalog says of an archive.
func (s *site) outcome(id int64) (result int, reason string) {
	s.t.Helper()
	row, err := s.tiger.Catalog.Archive(s.t.Context(), id)
	require.NoError(s.t, err)
	require.True(s.t, row.Done)
	return row.Result, row.Reason
}

func TestDecompress(t *testing.T) {
	s := newSite(t, "", "")
	inner := archivetest.TarGz([]archivetest.File{{Name: "deep/x.txt", Data: []byte("xi"), ModTime: written}})
	s.put("day/statements.zip", string(archivetest.Zip([]archivetest.File{
		{Name: "a.txt", Data: []byte("alpha"), ModTime: written}, {Name: "inner.tar.gz", Data: inner, ModTime: written},
	})))
	require.Equal(t, 1, s.collect(run1).Archives)
	in := ExtractionInput{Decompression: decompressionOf(run1), ZipDir: s.tiger.Warehouse.ZipDir(), UnzipDir: s.tiger.Warehouse.UnzipDir()}
	plan := do(s, s.tiger.PlanExtraction, in)
	require.Equal(t, [][]string{{branch + "/day/statements.zip"}}, paths(plan))

	delivered := s.extract(in.Decompression, in.ZipDir, plan.Batches[0])
	require.Len(t, delivered.Archives, 1)
	assert.Equal(t, "eagle-1", delivered.Archives[0].Host)
	assert.Empty(t, s.unzip(), "nothing is visible before tiger has sealed it")
	for range 2 { // the answer of the first attempt got lost
		result := do(s, s.tiger.SealArchives, s.sealInput(in.Decompression, delivered))
		assertSealed(t, SealResult{Succeeded: 1, Files: 2, Bytes: 7}, result)
	}
	assert.Equal(t, map[string]string{
		branch + "/day/statements/a.txt": "alpha", branch + "/day/statements/inner/deep/x.txt": "xi",
	}, s.unzip())

	conclude(s, s.tiger.CloseRun, CloseRunInput{Run: run1})
	report := s.report(run1)
	require.Len(t, report.Archives, 1)
	a := report.Archives[0]
	assert.Equal(t, []any{Success, "", "eagle-1", 2, 0, branch + "/day/statements"},
		[]any{a.Result, a.Reason, a.Host, a.Received, a.Failed, a.UnzipPath})
	assert.False(t, a.Start.IsZero() || a.End.Before(a.Start))
	assert.Len(t, report.Layers, 2)
	s.requireOrigin(path.Join(s.tiger.Warehouse.UnzipDir(), branch, "day/statements/inner/deep/x.txt"))
}

// requireOrigin checks the way back from an extracted file to the line of the branch's listing.
func (s *site) requireOrigin(file string) {
	s.t.Helper()
	origins, err := s.tiger.Catalog.Origins(s.t.Context(), file)
	require.NoError(s.t, err)
	require.Len(s.t, origins, 1)
	o := origins[0]
	assert.Equal(s.t, []string{sha("xi"), branch + "/day/statements.zip/inner.tar.gz", branch + "/day/statements.zip", branch, run1},
		[]string{o.SHA256, o.Layer, o.Archive, o.Server, o.Run})
	assert.Equal(s.t, "/outgoing/day/statements.zip", o.RawPath)
	assert.True(s.t, strings.HasSuffix(o.Line, "; statements.zip"), o.Line)
}

func TestDecompressWhatCannotBeHad(t *testing.T) {
	whole := zipOf("a.txt", strings.Repeat("alpha", 1000))
	for name, test := range map[string]struct {
		content string
		reason  string
	}{
		"cut short":     {whole[:len(whole)/2], "truncated"},
		"no zip at all": {"only called one", "unrecognised"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, "", "")
			dir, batch := s.planned(map[string]string{"bad.zip": test.content, "good.zip": zipOf("a.txt", "alpha")})
			result := s.decompress(ownRun, dir, batch)
			assertSealed(t, SealResult{Succeeded: 1, Failed: 1, Files: 1, Bytes: 5}, result)
			assert.Equal(t, map[string]string{"good/a.txt": "alpha"}, s.unzip(), "its neighbour does not suffer")
			got, reason := s.outcome(batch.Archives[0].ID)
			assert.Equal(t, []any{Failed, test.reason}, []any{got, reason})
			assert.Len(t, s.report(ownRun).Archives, 2)
		})
	}
}

func TestDecompressWhatIsGone(t *testing.T) {
	s := newSite(t, "", "")
	dir, batch := s.planned(map[string]string{"a.zip": zipOf("a.txt", "alpha")})
	require.NoError(t, os.Remove(filepath.Join(dir, "a.zip")))
	assertSealed(t, SealResult{Failed: 1}, s.decompress(ownRun, dir, batch))
	result, reason := s.outcome(batch.Archives[0].ID)
	assert.Equal(t, []any{Failed, "archive_missing"}, []any{result, reason})
	assert.Empty(t, s.stage())
}

// TestExtractArchivesWithoutTheDirectory: where the whole zip directory is not to be seen, another attempt or another eagle may see it.
func TestExtractArchivesWithoutTheDirectory(t *testing.T) {
	s := newSite(t, "", "")
	dir, batch := s.planned(map[string]string{"a.zip": zipOf("a.txt", "alpha")})
	require.NoError(t, os.RemoveAll(dir))
	_, err := attempt(s, s.eagle.ExtractArchives, ExtractInput{Decompression: ownRun, ZipDir: dir, Batch: batch})
	requireReason(t, err, "archive_unreadable", false)
}

func TestDecompressWhatHoldsNothing(t *testing.T) {
	s := newSite(t, "", "")
	dir, batch := s.planned(map[string]string{"empty.zip": string(archivetest.Zip(nil))})
	assertSealed(t, SealResult{Succeeded: 1}, s.decompress(ownRun, dir, batch))
	assert.NoDirExists(t, filepath.Join(s.tiger.Warehouse.UnzipDir(), "empty"))
}

func TestExtractArchivesUnreadable(t *testing.T) {
	s := newSite(t, "", "")
	dir, batch := s.planned(map[string]string{"a.zip": zipOf("a.txt", "alpha")})
	file := filepath.Join(dir, "a.zip")
	require.NoError(t, os.Remove(file))
	require.NoError(t, os.Mkdir(file, 0o755)) // it can be opened, but not read
	_, err := attempt(s, s.eagle.ExtractArchives, ExtractInput{Decompression: ownRun, ZipDir: dir, Batch: batch})
	requireReason(t, err, "archive_unreadable", false)
	left, err := os.ReadDir(filepath.Join(s.tiger.Warehouse.StageDir(), decompressionStage(ownRun)))
	require.NoError(t, err)
	assert.Empty(t, left, "another attempt begins anew")
}

// TestExtractArchivesTakesOver: an attempt does not do again what the one before had finished, as far as it is still there.
func TestExtractArchivesTakesOver(t *testing.T) {
	for name, test := range map[string]struct {
		harm  func(t *testing.T, dir string)
		again bool
	}{
		"unharmed": {func(*testing.T, string) {}, false},
		"manifest damaged": {func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, deliveredManifest), []byte("{}"), 0o600))
		}, true},
		"removed": {func(t *testing.T, dir string) { require.NoError(t, os.RemoveAll(dir)) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, "", "")
			dir, batch := s.planned(map[string]string{"a.zip": zipOf("a.txt", "alpha"), "b.zip": zipOf("b.txt", "beta")})
			var beats []Checkpoint
			s.onBeat = func(c Checkpoint) { beats = append(beats, c) }
			first := s.extract(ownRun, dir, batch)
			require.NotEmpty(t, beats)
			told := slices.IndexFunc(beats, func(c Checkpoint) bool { return len(c.Delivered) == 1 })
			require.GreaterOrEqual(t, told, 0, "each finished archive is told at once")
			s.checkpoint = &beats[told]
			done := slices.IndexFunc(first.Archives, func(d Delivery) bool { return d.Dir == beats[told].Delivered[0].Dir })
			require.GreaterOrEqual(t, done, 0)

			test.harm(t, filepath.Join(s.tiger.Warehouse.StageDir(), first.Archives[done].Dir))
			second := s.extract(ownRun, dir, batch)
			require.Len(t, second.Archives, 2)
			assert.Equal(t, test.again, second.Archives[done].Dir != first.Archives[done].Dir)
			assert.NotEqual(t, first.Archives[1-done].Dir, second.Archives[1-done].Dir, "nobody knew that it was finished")
			assertSealed(t, SealResult{Succeeded: 2, Files: 2, Bytes: 9}, do(s, s.tiger.SealArchives, s.sealInput(ownRun, second)))
			assert.Equal(t, map[string]string{"a/a.txt": "alpha", "b/b.txt": "beta"}, s.unzip())
		})
	}
}

// TestExtractArchivesAtOnce: no archive of a batch waits for another, and the deliveries are in its order all the same.
func TestExtractArchivesAtOnce(t *testing.T) {
	s := newSite(t, "", "")
	dir, batch := s.planned(map[string]string{"a.zip": zipOf("a.txt", "alpha"), "b.zip": zipOf("b.txt", "beta")})
	second := make(chan struct{})
	s.eagle.Extractor = inProcess(func(ctx context.Context, request archive.Request) (archive.Report, error) {
		if request.Name == "b.zip" {
			defer close(second)
		} else {
			<-second
		}
		return archive.Extract(ctx, request)
	})
	delivered := s.extract(ownRun, dir, batch)
	for i, delivery := range delivered.Archives {
		assert.Equal(t, batch.Archives[i].ID, delivery.ID)
	}
	assertSealed(t, SealResult{Succeeded: 2, Files: 2, Bytes: 9}, do(s, s.tiger.SealArchives, s.sealInput(ownRun, delivered)))
}

// TestExtractArchivesOneInTrouble: what had been finished before is not lost, and what had begun is given up.
func TestExtractArchivesOneInTrouble(t *testing.T) {
	s := newSite(t, "", "")
	dir, batch := s.planned(map[string]string{"a.zip": zipOf("a.txt", "a"), "b.zip": zipOf("b.txt", "b"), "c.zip": zipOf("c.txt", "c")})
	finished := make(chan struct{})
	var last Checkpoint
	s.onBeat = func(c Checkpoint) {
		if last = c; len(c.Delivered) == 1 {
			close(finished)
		}
	}
	s.eagle.Extractor = inProcess(func(ctx context.Context, request archive.Request) (archive.Report, error) {
		switch request.Name {
		case "a.zip":
			return archive.Extract(ctx, request)
		case "b.zip":
			<-finished
			return archive.Report{}, fmt.Errorf("%w: %w", archive.ErrDestination, syscall.ENOSPC)
		}
		<-ctx.Done()
		return archive.Report{}, ctx.Err()
	})
	_, err := attempt(s, s.eagle.ExtractArchives, ExtractInput{Decompression: ownRun, ZipDir: dir, Batch: batch})
	requireReason(t, err, "disk_full", false)
	require.Len(t, last.Delivered, 1)
	assert.Equal(t, batch.Archives[0].ID, last.Delivered[0].ID)
	left, err := os.ReadDir(filepath.Join(s.tiger.Warehouse.StageDir(), decompressionStage(ownRun)))
	require.NoError(t, err)
	assert.Len(t, left, 1)
}

// TestExtractArchivesInChildren: as a worker does it, with hostile archives among the good ones.
func TestExtractArchivesInChildren(t *testing.T) {
	s := newSite(t, "", "extract: {limits: {memory_bytes: 256MiB}}")
	staged, release, err := EagleScratch(s.tiger.Warehouse.Stage, "eagle-1")
	require.NoError(t, err)
	defer func() { assert.NoError(t, release()) }()
	pool, err := sandbox.NewPool(sandbox.Options{Scratch: staged, Children: 2, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	defer func() { assert.NoError(t, pool.Close()) }()
	s.eagle.Extractor = pool
	dir, batch := s.planned(map[string]string{
		"a.zip": zipOf("a.txt", "alpha"), "b.7z": string(archivetest.SevenZipManyFiles()), "c.zip": zipOf("c.txt", "gamma"),
	})
	assertSealed(t, SealResult{Succeeded: 2, Failed: 1, Files: 2, Bytes: 10}, s.decompress(ownRun, dir, batch))
	assert.Equal(t, map[string]string{"a/a.txt": "alpha", "c/c.txt": "gamma"}, s.unzip())
}

// TestEagleScratchIsSwept: an eagle removes what one of the same host that was killed has left, and the janitor sees the rest.
func TestEagleScratchIsSwept(t *testing.T) {
	s := newSite(t, "", "")
	house := s.tiger.Warehouse
	left := func(name string) string {
		staged, err := house.MakeStagedDir(path.Join("eagle", name, "child-1", "tree"))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(staged, "a.txt"), []byte("alpha"), 0o600))
		return filepath.Join(house.StageDir(), "eagle", name)
	}
	ours, theirs := left(slug("host/with a slash")+"-2"), left("elsewhere-1")
	first, releaseFirst, err := EagleScratch(house.Stage, "host/with a slash")
	require.NoError(t, err)
	second, releaseSecond, err := EagleScratch(house.Stage, "host/with a slash")
	require.NoError(t, err)
	assert.NotEqual(t, first, second)
	assert.DirExists(t, first, "its eagle lives")
	assert.NoDirExists(t, ours)
	assert.DirExists(t, theirs)
	files, err := house.SweepStage(func(rel string, _ time.Time) bool { return rel != "eagle/elsewhere-1" })
	require.NoError(t, err)
	assert.Equal(t, 1, files)
	assert.NoError(t, releaseFirst())
	assert.NoError(t, releaseSecond())
}

func TestSealArchivesRepeated(t *testing.T) {
	for name, die := range map[string]func(s *site, in SealInput){
		"after the rename": func(s *site, in SealInput) { s.publishTree(in) },
		"at the very end":  func(s *site, in SealInput) { do(s, s.tiger.SealArchives, in) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, "", "")
			dir, batch := s.planned(map[string]string{"a.zip": zipOf("a.txt", "alpha")})
			in := s.sealInput(ownRun, s.extract(ownRun, dir, batch))
			die(s, in)
			assertSealed(t, SealResult{Succeeded: 1, Files: 1, Bytes: 5}, do(s, s.tiger.SealArchives, in))
			assert.Equal(t, map[string]string{"a/a.txt": "alpha"}, s.unzip())
			assert.Len(t, s.report(ownRun).Layers, 1)
		})
	}
}

// publishTree does what SealArchives does before its transaction.
func (s *site) publishTree(in SealInput) {
	s.t.Helper()
	visible, err := s.tiger.Warehouse.Visible(in.UnzipDir)
	require.NoError(s.t, err)
	defer visible.Close()
	received, err := s.tiger.receive(s.t.Context(), in, in.Deliveries[0], func(int64) {})
	require.NoError(s.t, err)
	_, err = s.tiger.seal(s.t.Context(), in, in.Deliveries[0], received, visible.NewPublication())
	require.NoError(s.t, err)
	require.NotEmpty(s.t, s.unzip())
}

// TestSealArchivesTrustsNothing: what lies in the stage may have been changed by a crash, or by somebody.
func TestSealArchivesTrustsNothing(t *testing.T) {
	write := func(t *testing.T, file, content string) {
		require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
	}
	for name, tamper := range map[string]func(t *testing.T, s *site, dir string, d *Delivery){
		"extra file": func(t *testing.T, _ *site, dir string, _ *Delivery) { write(t, dir+"/tree/extra.txt", "x") },
		"other size": func(t *testing.T, _ *site, dir string, _ *Delivery) { write(t, dir+"/tree/a.txt", "alpha and omega") },
		"file missing": func(t *testing.T, _ *site, dir string, _ *Delivery) {
			require.NoError(t, os.Remove(dir+"/tree/a.txt"))
		},
		"link": func(t *testing.T, _ *site, dir string, _ *Delivery) {
			require.NoError(t, os.Remove(dir+"/tree/a.txt"))
			require.NoError(t, os.Symlink("/etc/hostname", dir+"/tree/a.txt"))
		},
		"second name": func(t *testing.T, _ *site, dir string, _ *Delivery) {
			require.NoError(t, os.Link(dir+"/tree/a.txt", filepath.Join(t.TempDir(), "handle")))
		},
		"tree missing": func(t *testing.T, _ *site, dir string, _ *Delivery) { require.NoError(t, os.RemoveAll(dir+"/tree")) },
		"manifest missing": func(t *testing.T, _ *site, dir string, _ *Delivery) {
			require.NoError(t, os.Remove(dir+"/manifest.json"))
		},
		"other manifest": func(t *testing.T, _ *site, dir string, _ *Delivery) { write(t, dir+"/manifest.json", "{}") },
		"no manifest": func(t *testing.T, _ *site, dir string, d *Delivery) {
			write(t, dir+"/manifest.json", "no JSON")
			d.Manifest = sha("no JSON")
		},
		"other contents, from another host": func(t *testing.T, _ *site, dir string, d *Delivery) {
			write(t, dir+"/tree/a.txt", "omega")
			d.Boot = "boot-2"
		},
		"other contents, after a crash": func(t *testing.T, s *site, dir string, _ *Delivery) {
			write(t, dir+"/tree/a.txt", "omega")
			s.tiger.Boot = "boot-2"
		},
		"other contents, where no boot is known": func(t *testing.T, s *site, dir string, d *Delivery) {
			write(t, dir+"/tree/a.txt", "omega")
			s.tiger.Boot, d.Boot = "", ""
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, "", "")
			dir, batch := s.planned(map[string]string{"a.zip": zipOf("a.txt", "alpha"), "b.zip": zipOf("b.txt", "beta")})
			delivered := s.extract(ownRun, dir, batch)
			tamper(t, s, filepath.Join(s.tiger.Warehouse.StageDir(), delivered.Archives[0].Dir), &delivered.Archives[0])
			in := s.sealInput(ownRun, delivered)
			assertSealed(t, SealResult{Succeeded: 1, Files: 1, Bytes: 4, Damaged: batch.Archives[:1]}, do(s, s.tiger.SealArchives, in))
			assert.Equal(t, map[string]string{"b/b.txt": "beta"}, s.unzip())
			row, err := s.tiger.Catalog.Archive(t.Context(), batch.Archives[0].ID)
			require.NoError(t, err)
			assert.False(t, row.Done, "it is extracted again")

			in.Deliveries, in.LastRound = in.Deliveries[:1], true
			assertSealed(t, SealResult{Failed: 1}, do(s, s.tiger.SealArchives, in))
			result, reason := s.outcome(batch.Archives[0].ID)
			assert.Equal(t, []any{Failed, "damaged_in_stage"}, []any{result, reason})
			assert.Equal(t, map[string]string{"b/b.txt": "beta"}, s.unzip(), "nothing of it is published")
		})
	}
}

// TestDecompressAgain: the same contents are the same; other contents get a place of their own.
func TestDecompressAgain(t *testing.T) {
	s := newSite(t, "", "")
	dir := lay(t, map[string]string{"a.zip": zipOf("a.txt", "alpha")})
	decompress := func(run string) {
		in := s.own(dir)
		in.Decompression = run
		plan := do(s, s.tiger.PlanExtraction, in)
		require.Len(t, plan.Batches, 1)
		require.Equal(t, 1, s.decompress(run, dir, plan.Batches[0]).Succeeded)
		conclude(s, s.tiger.CloseDecompression, CloseDecompressionInput{Decompression: run})
		assert.Empty(t, s.stage())
	}
	decompress("decompress/1")
	decompress("decompress/2")
	want := map[string]string{"a/a.txt": "alpha"}
	assert.Equal(t, want, s.unzip(), "adopted")

	write := func(content string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "a.zip"), []byte(zipOf("a.txt", content)), 0o600))
	}
	write("omega")
	decompress("decompress/3")
	want["a~2/a.txt"] = "omega"
	assert.Equal(t, want, s.unzip())

	write("alpha")
	decompress("decompress/4")
	assert.Equal(t, want, s.unzip(), "it is there already")
}

// TestDecompressTwoArchivesOfOneStem: the directory of one is not the other's, even if they hold the same.
func TestDecompressTwoArchivesOfOneStem(t *testing.T) {
	s := newSite(t, "", "")
	tar := string(archivetest.TarGz([]archivetest.File{{Name: "a.txt", Data: []byte("alpha"), ModTime: written}}))
	dir, batch := s.planned(map[string]string{"a.zip": zipOf("a.txt", "alpha"), "a.tar.gz": tar})
	want := map[string]string{}
	for i, single := range batch.Singles() {
		place := []string{"a", "a~2"}[i]
		want[place+"/a.txt"] = "alpha"
		assert.Equal(t, 1, s.decompress(ownRun, dir, single).Succeeded)
		assert.Equal(t, want, s.unzip())
		row, err := s.tiger.Catalog.Archive(t.Context(), single.Archives[0].ID)
		require.NoError(t, err)
		assert.Equal(t, place, row.UnzipPath)
	}
}

// assertSealed compares but for the Troubles, of which there must be one for each archive that is not complete.
func assertSealed(t *testing.T, want, got SealResult, about ...any) {
	t.Helper()
	assert.Len(t, got.Troubles, got.Partly+got.Failed, about...)
	for _, trouble := range got.Troubles {
		assert.NotEmpty(t, trouble.Archive)
		assert.NotEqual(t, Success, trouble.Result)
		assert.NotEmpty(t, trouble.Reason)
	}
	got.Troubles = nil
	assert.Equal(t, want, got, about...)
}
