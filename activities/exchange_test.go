package activities

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"talon/internal/archive"
	"talon/internal/archive/archivetest"
	"talon/internal/gateway"
	"talon/internal/objectstore"
)

// TestExchanges is the conformance suite: what holds for an eagle holds however it gets at tiger's directories.
func TestExchanges(t *testing.T) {
	kinds := map[string]func(t *testing.T, more string) *site{
		"shared disk": func(t *testing.T, more string) *site { return newSite(t, "", more) },
		"object store": func(t *testing.T, more string) *site {
			s := newSite(t, "", more)
			newFarEagle(s)
			return s
		},
	}
	tests := map[string]func(t *testing.T, s *site){
		"everything arrives":              everythingArrives,
		"a set of volumes":                aSetOfVolumes,
		"what is gone is told":            whatIsGoneIsTold,
		"an eagle that sees others":       anEagleThatSeesOtherThingsIsNotBelieved,
		"answers get lost":                answersGetLost,
		"an attempt takes over":           anAttemptTakesOver,
		"an attempt given up wastes room": anAttemptGivenUpWastesRoom,
		"damage is found":                 damageIsFound,
		"deliveries of others are none":   deliveriesOfOthersAreNone,
		"cancelled":                       cancelledExtraction,
	}
	for kind, open := range kinds {
		for name, test := range tests {
			t.Run(kind+"/"+name, func(t *testing.T) { test(t, open(t, "")) })
		}
	}
}

// farEagle is an eagle without tiger's disk, and the gateway that it has instead.
type farEagle struct {
	gateway *gateway.Gateway
	scratch string
	key     string // file
	store   *objectstore.Store
}

// newFarEagle puts the site's eagle on another host, as far as it can tell.
func newFarEagle(s *site) *farEagle {
	s.t.Helper()
	program, err := gateway.FindOrBuild(s.t.Context(), gateway.FindOptions{ToolsDir: "../tools", Log: s.t.Output()})
	require.NoError(s.t, err)
	far := &farEagle{scratch: s.t.TempDir(), key: filepath.Join(s.t.TempDir(), "key")}
	require.NoError(s.t, os.WriteFile(far.key, []byte("eagle-1:of-no-use-elsewhere"), 0o600))
	far.gateway, err = gateway.Start(s.t.Context(), gateway.Options{
		Program: program, Warehouse: s.config.Warehouse.Root, State: s.t.TempDir(), Listen: "127.0.0.1:0", EagleKeys: []string{far.key},
	})
	require.NoError(s.t, err)
	s.t.Cleanup(func() { assert.NoError(s.t, far.gateway.Stop()) })
	store, err := objectstore.Open(objectstore.Options{
		Endpoint: far.gateway.URL(), Patience: 5 * time.Second,
		Keys: func() (string, string, error) {
			content, err := os.ReadFile(far.key)
			access, secret, _ := strings.Cut(string(content), ":")
			return access, secret, err
		},
	})
	require.NoError(s.t, err)
	s.t.Cleanup(store.Close)
	far.store = store
	remote, err := NewRemote(store, gateway.BucketZip, gateway.BucketStage, far.scratch)
	require.NoError(s.t, err)
	s.eagle.Exchange, s.eagle.Boot, s.eagle.Host = remote, "boot-9", "eagle-9"
	s.t.Cleanup(func() {
		left, err := os.ReadDir(far.scratch)
		require.NoError(s.t, err)
		assert.Empty(s.t, left, "in eagle's scratch")
	})
	return far
}

// arrive puts archives into the zip warehouse, as a collection does, and plans their extraction.
func (s *site) arrive(files map[string]string) (dir string, batch Batch) {
	s.t.Helper()
	dir = filepath.Join(s.tiger.Warehouse.ZipDir(), "inbox")
	for name, content := range files {
		file := filepath.Join(dir, name)
		require.NoError(s.t, os.MkdirAll(filepath.Dir(file), 0o750))
		require.NoError(s.t, os.WriteFile(file, []byte(content), 0o600))
	}
	plan := do(s, s.tiger.PlanExtraction, s.own(dir))
	require.Len(s.t, plan.Batches, 1)
	require.Equal(s.t, "inbox", plan.ZipKey)
	return dir, plan.Batches[0]
}

// goods is the file in tiger's stage that a delivery consists of: the bundle, or one of the files.
func (s *site) goods(d Delivery, file string) string {
	if d.Bundle != "" {
		return filepath.Join(s.tiger.Warehouse.StageDir(), bundleStage, d.Bundle)
	}
	return filepath.Join(s.tiger.Warehouse.StageDir(), d.Dir, deliveredTree, file)
}

// requireTidy closes the decompression and finds nothing left of it.
func (s *site) requireTidy() {
	s.t.Helper()
	conclude(s, s.tiger.CloseDecompression, CloseDecompressionInput{Decompression: ownRun, Own: true})
	for _, dir := range []string{decompressionStage(ownRun), filepath.Join(bundleStage, bundleKey(ownRun))} {
		assert.NoDirExists(s.t, filepath.Join(s.tiger.Warehouse.StageDir(), dir))
	}
}

func everythingArrives(t *testing.T, s *site) {
	deep := strings.Repeat("long directory/", 15) + strings.Repeat("n", 200) + ".txt"
	inner := archivetest.TarGz([]archivetest.File{{Name: "余额.csv", Data: []byte("yu'e"), ModTime: written}})
	dir, batch := s.arrive(map[string]string{
		"a b+c%20&=#?.zip": string(archivetest.Zip([]archivetest.File{
			{Name: "a.txt", Data: []byte("alpha"), ModTime: written},
			{Name: "empty", ModTime: written},
			{Name: deep, Data: []byte("deep"), ModTime: written},
			{Name: "inner.tar.gz", Data: inner, ModTime: written},
			{Name: "big", Data: bytes.Repeat([]byte("0123456789"), 1<<20), ModTime: written},
		})),
		"报表/一月.zip":   zipOf("一.txt", "one"),
		"nothing.zip": string(archivetest.Zip(nil)),
		"bad.zip":     zipOf("a.txt", strings.Repeat("alpha", 1000))[:100],
	})
	delivered := s.extract(ownRun, dir, batch)
	assert.Empty(t, s.unzip(), "nothing is visible before tiger has sealed it")
	result := do(s, s.tiger.SealArchives, s.sealInput(ownRun, delivered))
	assertSealed(t, SealResult{Succeeded: 3, Failed: 1, Files: 6, Bytes: 5 + 0 + 4 + 4 + 10<<20 + 3}, result)
	got := s.unzip()
	assert.Len(t, got["a b+c%20&=#?/big"], 10<<20)
	delete(got, "a b+c%20&=#?/big")
	assert.Equal(t, map[string]string{
		"a b+c%20&=#?/a.txt": "alpha", "a b+c%20&=#?/empty": "", "a b+c%20&=#?/" + deep: "deep", "a b+c%20&=#?/inner/余额.csv": "yu'e", "报表/一月/一.txt": "one",
	}, got)
	info, err := os.Stat(filepath.Join(s.tiger.Warehouse.UnzipDir(), "a b+c%20&=#?/inner/余额.csv"))
	require.NoError(t, err)
	assert.True(t, info.ModTime().Equal(written), "the time in the archive, not that of the journey: %s", info.ModTime())
	report := s.report(ownRun)
	assert.Len(t, report.Archives, 4)
	for _, a := range report.Archives {
		assert.Equal(t, s.eagle.Host, a.Host)
	}
	s.requireTidy()
}

func aSetOfVolumes(t *testing.T, s *site) {
	whole := zipOf("a.txt", strings.Repeat("alpha", 1000))
	cut := len(whole) / 3
	dir, batch := s.arrive(map[string]string{"a.zip.001": whole[:cut], "a.zip.002": whole[cut : 2*cut], "a.zip.003": whole[2*cut:], "b.zip": zipOf("b.txt", "beta")})
	require.Equal(t, []VolumeRef{{"a.zip.002", int64(cut)}, {"a.zip.003", int64(len(whole) - 2*cut)}}, batch.Archives[0].Volumes)
	assert.EqualValues(t, len(whole), batch.Archives[0].TotalSize(), "all of it is fetched")
	assert.EqualValues(t, len(whole)+len(zipOf("b.txt", "beta")), batch.Size())
	assertSealed(t, SealResult{Succeeded: 2, Files: 2, Bytes: 5004}, s.decompress(ownRun, dir, batch))
	s.requireTidy()
}

func whatIsGoneIsTold(t *testing.T, s *site) {
	dir, batch := s.arrive(map[string]string{"a.zip": zipOf("a.txt", "alpha"), "b.zip": zipOf("b.txt", "beta")})
	require.NoError(t, os.Remove(filepath.Join(dir, "a.zip")))
	assertSealed(t, SealResult{Succeeded: 1, Failed: 1, Files: 1, Bytes: 4}, s.decompress(ownRun, dir, batch))
	result, reason := s.outcome(batch.Archives[0].ID)
	assert.Equal(t, []any{Failed, "archive_missing"}, []any{result, reason})
	s.requireTidy()
}

// anEagleThatSeesOtherThingsIsNotBelieved: an archive is gone only when tiger does not find it, either.
func anEagleThatSeesOtherThingsIsNotBelieved(t *testing.T, s *site) {
	dir, batch := s.arrive(map[string]string{"a.zip": zipOf("a.txt", "alpha")})
	file := filepath.Join(dir, "a.zip")
	require.NoError(t, os.Rename(file, file+".away"))
	in := s.sealInput(ownRun, s.extract(ownRun, dir, batch))
	require.NoError(t, os.Rename(file+".away", file))
	assertSealed(t, SealResult{Damaged: batch.Archives}, do(s, s.tiger.SealArchives, in), "it is tried again")
	in.LastRound = true
	assertSealed(t, SealResult{Failed: 1}, do(s, s.tiger.SealArchives, in))
	result, reason := s.outcome(batch.Archives[0].ID)
	assert.Equal(t, []any{Failed, "archive_unseen"}, []any{result, reason})
	s.requireTidy()
}

func answersGetLost(t *testing.T, s *site) {
	dir, batch := s.arrive(map[string]string{"a.zip": zipOf("a.txt", "alpha"), "b.zip": zipOf("b.txt", "beta"), "bad.zip": "PK"})
	in := s.sealInput(ownRun, s.extract(ownRun, dir, batch))
	for range 3 {
		assertSealed(t, SealResult{Succeeded: 2, Failed: 1, Files: 2, Bytes: 9}, do(s, s.tiger.SealArchives, in))
		assert.Equal(t, map[string]string{"a/a.txt": "alpha", "b/b.txt": "beta"}, s.unzip())
		assert.Len(t, s.report(ownRun).Layers, 3, "the account is not rewritten")
		for _, delivery := range in.Deliveries {
			if delivery.Bundle != "" {
				assert.NoFileExists(t, s.goods(delivery, ""), "what is sealed takes no room")
			}
		}
	}
	s.requireTidy()
}

func anAttemptTakesOver(t *testing.T, s *site) {
	dir, batch := s.arrive(map[string]string{"a.zip": zipOf("a.txt", "alpha"), "b.zip": zipOf("b.txt", "beta")})
	first := s.extract(ownRun, dir, batch)
	s.checkpoint = &Checkpoint{Delivered: first.Archives}
	var extracted atomic.Int32
	s.eagle.Extractor = inProcess(func(ctx context.Context, request archive.Request) (archive.Report, error) {
		extracted.Add(1)
		return archive.Extract(ctx, request)
	})
	require.Equal(t, first, s.extract(ownRun, dir, batch))
	assert.Zero(t, extracted.Load())

	b := first.Archives[1]
	lost := filepath.Join(s.tiger.Warehouse.StageDir(), b.Dir)
	if b.Bundle != "" {
		lost = s.goods(b, "")
	}
	require.NoError(t, os.RemoveAll(lost))
	second := s.extract(ownRun, dir, batch)
	assert.EqualValues(t, 1, extracted.Load())
	assert.Equal(t, first.Archives[0], second.Archives[0])
	assertSealed(t, SealResult{Succeeded: 2, Files: 2, Bytes: 9}, do(s, s.tiger.SealArchives, s.sealInput(ownRun, second)))
	s.requireTidy()
}

// anAttemptGivenUpWastesRoom: an eagle that was frozen wakes up after its work was done elsewhere, and delivers. Nobody takes note, but for
// the janitor.
func anAttemptGivenUpWastesRoom(t *testing.T, s *site) {
	dir, batch := s.arrive(map[string]string{"a.zip": zipOf("a.txt", "alpha")})
	frozen, woken := make(chan struct{}), make(chan struct{})
	s.eagle.Extractor = inProcess(func(ctx context.Context, request archive.Request) (archive.Report, error) {
		close(frozen)
		<-woken
		return archive.Extract(ctx, request)
	})
	zombie := make(chan Deliveries)
	in := ExtractInput{Decompression: ownRun, ZipDir: dir, ZipKey: "inbox", Batch: batch}
	env := s.environment()
	go func() {
		defer close(zombie)
		value, err := env.ExecuteActivity(s.eagle.ExtractArchives, in)
		if err != nil {
			assert.ErrorContains(t, err, "cannot write", "on the shared disk its place is gone")
			return
		}
		var late Deliveries
		assert.NoError(t, value.Get(&late))
		zombie <- late
	}()
	<-frozen
	other := *s.eagle
	other.Extractor = inProcess(archive.Extract)
	s.eagle = &other
	assertSealed(t, SealResult{Succeeded: 1, Files: 1, Bytes: 5}, s.decompress(ownRun, dir, batch))
	s.requireTidy()
	close(woken)
	late, delivered := <-zombie
	assert.Equal(t, map[string]string{"a/a.txt": "alpha"}, s.unzip())
	_, shared := s.eagle.Exchange.(SharedDisk)
	require.Equal(t, shared, !delivered)
	if shared {
		return
	}
	assert.FileExists(t, s.goods(late.Archives[0], "a.txt"), "in a place of its own")
	plan := do(s, s.tiger.PlanRun, PlanInput{Run: run2})
	assert.Positive(t, plan.Leftovers, "what it wasted is removed by the next run, and counted")
	assert.NoFileExists(t, s.goods(late.Archives[0], "a.txt"))
	assert.Zero(t, do(s, s.tiger.PlanRun, PlanInput{Run: "collect/later"}).Leftovers)
}

// damageIsFound: whatever happens to what was delivered, it is extracted again, and never published.
func damageIsFound(t *testing.T, s *site) {
	write := func(file, content string) { require.NoError(t, os.WriteFile(file, []byte(content), 0o600)) }
	harms := map[string]func(file, other string){
		"removed":   func(file, _ string) { require.NoError(t, os.Remove(file)) },
		"cut":       func(file, _ string) { require.NoError(t, os.Truncate(file, 3)) },
		"longer":    func(file, _ string) { require.NoError(t, os.Truncate(file, 1<<20)) },
		"emptied":   func(file, _ string) { write(file, "") },
		"flipped":   func(file, _ string) { flip(t, file) },
		"exchanged": func(file, other string) { require.NoError(t, os.Rename(other, file)) },
		"a link": func(file, _ string) {
			require.NoError(t, os.Rename(file, file+".real"))
			require.NoError(t, os.Symlink(filepath.Base(file)+".real", file))
		},
		"a pipe": func(file, _ string) {
			require.NoError(t, os.Remove(file))
			require.NoError(t, unix.Mkfifo(file, 0o600))
		},
		"a directory": func(file, _ string) {
			require.NoError(t, os.Remove(file))
			require.NoError(t, os.Mkdir(file, 0o700))
		},
	}
	s.eagle.Boot = "boot-9" // on either disk the bytes came from elsewhere
	for name, harm := range harms {
		run := "decompress/" + strings.ReplaceAll(name, " ", "-")
		in := s.own(filepath.Join(s.tiger.Warehouse.ZipDir(), "inbox"))
		in.Decompression, in.UnzipDir = run, filepath.Join(s.tiger.Warehouse.UnzipDir(), name)
		for file, content := range map[string]string{"a.zip": "alpha", "b.zip": "omega"} {
			require.NoError(t, os.MkdirAll(in.ZipDir, 0o750))
			write(filepath.Join(in.ZipDir, file), zipOf("a.txt", content))
		}
		batch := do(s, s.tiger.PlanExtraction, in).Batches[0]
		delivered := s.extract(run, in.ZipDir, batch)
		harm(s.goods(delivered.Archives[0], "a.txt"), s.goods(delivered.Archives[1], "a.txt"))
		seal := SealInput{Decompression: run, UnzipDir: in.UnzipDir, Deliveries: delivered.Archives[:1]}
		assertSealed(t, SealResult{Damaged: batch.Archives[:1]}, do(s, s.tiger.SealArchives, seal), name)
		left, err := os.ReadDir(in.UnzipDir)
		require.NoError(t, err)
		assert.Empty(t, left, "%s: nothing of it is published", name)

		seal.Deliveries = s.extract(run, in.ZipDir, Batch{Archives: batch.Archives[:1]}).Archives
		assertSealed(t, SealResult{Succeeded: 1, Files: 1, Bytes: 5}, do(s, s.tiger.SealArchives, seal), name)
		content, err := os.ReadFile(filepath.Join(in.UnzipDir, "a/a.txt"))
		require.NoError(t, err)
		assert.Equal(t, "alpha", string(content), name)
	}
}

// flip changes one bit in the middle of a file.
func flip(t *testing.T, file string) {
	t.Helper()
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	content[len(content)/2] ^= 1
	require.NoError(t, os.WriteFile(file, content, 0o600))
}

// deliveriesOfOthersAreNone: an eagle that somebody has taken over can name any place as its delivery. It gets nothing published, and nothing removed.
func deliveriesOfOthersAreNone(t *testing.T, s *site) {
	dir, batch := s.arrive(map[string]string{"a.zip": zipOf("a.txt", "alpha")})
	honest := s.extract(ownRun, dir, batch).Archives[0]
	keep := filepath.Join(s.tiger.Warehouse.StageDir(), "collect", branch, "download")
	require.NoError(t, os.MkdirAll(filepath.Dir(keep), 0o750))
	require.NoError(t, os.WriteFile(keep, []byte("mine"), 0o600))
	for _, place := range []string{
		"collect/" + branch, "..", "../zip/inbox", ".", "/etc", decompressionStage("decompress/other") + "/1-1-A", decompressionStage(ownRun) + "/..",
		bundleKey("decompress/other") + "/1-1-A.tar.zst", bundleKey(ownRun) + "/../../collect/" + branch, bundleKey(ownRun) + "/..", bundleKey(ownRun) + "/.",
		bundleKey(ownRun), "../collect/" + branch + "/download",
	} {
		for _, lie := range []Delivery{{Dir: place}, {Bundle: place}} {
			lie.ID, lie.Manifest, lie.Host, lie.Boot, lie.Start = honest.ID, honest.Manifest, honest.Host, honest.Boot, honest.Start
			in := SealInput{Decompression: ownRun, UnzipDir: s.tiger.Warehouse.UnzipDir(), Deliveries: []Delivery{lie}}
			assertSealed(t, SealResult{Damaged: batch.Archives}, do(s, s.tiger.SealArchives, in), "%+v", lie)
		}
	}
	assert.FileExists(t, keep)
	assert.Empty(t, s.unzip())
	in := SealInput{Decompression: ownRun, UnzipDir: s.tiger.Warehouse.UnzipDir(), Deliveries: []Delivery{honest}}
	assertSealed(t, SealResult{Succeeded: 1, Files: 1, Bytes: 5}, do(s, s.tiger.SealArchives, in), "the true one is still there")
	s.requireTidy()
}

func cancelledExtraction(t *testing.T, s *site) {
	dir, batch := s.arrive(map[string]string{"a.zip": zipOf("a.txt", "alpha")})
	ctx, cancel := context.WithCancel(t.Context())
	s.ctx = ctx
	s.eagle.Extractor = inProcess(func(ctx context.Context, request archive.Request) (archive.Report, error) {
		report, err := archive.Extract(ctx, request)
		cancel() // when all is extracted and nothing delivered
		return report, err
	})
	_, _ = attempt(s, s.eagle.ExtractArchives, ExtractInput{Decompression: ownRun, ZipDir: dir, ZipKey: "inbox", Batch: batch})
	s.ctx = context.Background()
	s.requireTidy()
	assert.Empty(t, s.unzip())
}
