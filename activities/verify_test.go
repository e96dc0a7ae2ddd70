package activities

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/catalog"
)

const verification = "verify/k"

// verify runs all pages of a verification.
func (s *site) verify(in VerifyInput) VerifyCounts {
	s.t.Helper()
	in.Verification = verification
	var counts VerifyCounts
	for {
		page := do(s, s.tiger.VerifyFiles, in)
		counts.Add(page.Counts)
		assert.Equal(s.t, counts.Checked, counts.Intact+counts.Damaged+counts.Missing+counts.Unreadable)
		if in.From = page.Next; page.Done {
			return counts
		}
	}
}

// findings are what the verification found, by area and path.
func (s *site) findings() map[string]Finding {
	s.t.Helper()
	found := map[string]Finding{}
	for in := (FindingsInput{Verification: verification}); ; {
		page := do(s, s.tiger.ReadFindings, in)
		for _, f := range page.Findings {
			found[f.Area+"/"+f.Path] = f
			in.After = f.ID
		}
		if !page.More {
			return found
		}
	}
}

// kinds are the kinds of findings.
func kinds(found map[string]Finding) map[string]string {
	all := map[string]string{}
	for name, f := range found {
		all[name] = f.Kind
	}
	return all
}

// idle is a Temporal in which no workflow runs but those named.
func (s *site) idle(running ...string) {
	s.tiger.running = func(_ context.Context, id string) (bool, error) {
		for _, name := range running {
			if name == id {
				return true, nil
			}
		}
		return false, nil
	}
}

// extracted collects and extracts what the branch has.
func (s *site) extracted(run string) {
	s.t.Helper()
	s.collect(run)
	s.extractAll(decompressionOf(run), s.tiger.Warehouse.ZipDir())
}

// extractAll extracts and seals what waits for a decompression.
func (s *site) extractAll(decompression, zipDir string) {
	s.t.Helper()
	in := ExtractionInput{Decompression: decompression, ZipDir: zipDir, UnzipDir: s.tiger.Warehouse.UnzipDir()}
	for _, batch := range do(s, s.tiger.PlanExtraction, in).Batches {
		done := do(s, s.eagle.ExtractArchives, ExtractInput{Decompression: decompression, ZipDir: zipDir, Batch: batch})
		sealed := do(s, s.tiger.SealArchives, SealInput{
			Decompression: decompression, UnzipDir: s.tiger.Warehouse.UnzipDir(), Deliveries: done.Archives, LastRound: true,
		})
		require.Equal(s.t, len(batch.Archives), sealed.Succeeded)
	}
}

func (s *site) inZip(name string) string { return filepath.Join(s.tiger.Warehouse.ZipDir(), name) }

func (s *site) inUnzip(name string) string { return filepath.Join(s.tiger.Warehouse.UnzipDir(), name) }

// flipByte changes one byte of a file.
func flipByte(t *testing.T, name string) {
	t.Helper()
	data, err := os.ReadFile(name)
	require.NoError(t, err)
	data[len(data)/2] ^= 1
	require.NoError(t, os.WriteFile(name, data, 0o600))
}

// spoilt is a site whose warehouses were damaged in many ways, and how.
func spoilt(t *testing.T) (s *site, want map[string]string) {
	s = newSite(t, "", "")
	s.idle()
	for _, name := range []string{"flipped.csv", "short.csv", "gone.csv", "link.csv", "whole.csv"} {
		s.put(name, "contents of "+name)
	}
	for _, name := range []string{"a", "b", "c"} {
		s.put(name+".zip", zipOf(name+".txt", "extracted "+name))
	}
	s.extracted(run1)
	flipByte(t, s.inZip(branch+"/flipped.csv"))
	require.NoError(t, os.Truncate(s.inZip(branch+"/short.csv"), 3))
	require.NoError(t, os.Remove(s.inZip(branch+"/gone.csv")))
	outside := filepath.Join(t.TempDir(), "link.csv")
	require.NoError(t, os.Rename(s.inZip(branch+"/link.csv"), outside))
	require.NoError(t, os.Symlink(outside, s.inZip(branch+"/link.csv")))
	flipByte(t, s.inZip(branch+"/c.zip"))
	flipByte(t, s.inUnzip(branch+"/a/a.txt"))
	require.NoError(t, os.RemoveAll(s.inUnzip(branch+"/b")))
	flipByte(t, s.inUnzip(branch+"/c/c.txt"))
	require.NoError(t, os.WriteFile(s.inZip(branch+"/stray.csv"), []byte("?"), 0o600))
	require.NoError(t, os.WriteFile(s.inUnzip(branch+"/a/stray.txt"), []byte("?"), 0o600))
	require.NoError(t, os.WriteFile(s.inUnzip("top"), []byte("?"), 0o600))
	const prefix = "zip/" + branch + "/"
	return s, map[string]string{
		prefix + "flipped.csv": "damaged", prefix + "short.csv": "damaged", prefix + "gone.csv": "missing", prefix + "link.csv": "damaged",
		prefix + "c.zip": "damaged", "unzip/" + branch + "/a/a.txt": "damaged", "unzip/" + branch + "/b/b.txt": "missing",
		"unzip/" + branch + "/c/c.txt": "damaged", prefix + "stray.csv": "unknown", "unzip/" + branch + "/a/stray.txt": "unknown", "unzip/top": "unknown",
	}
}

func TestVerifyFiles(t *testing.T) {
	s, want := spoilt(t)
	before := map[string]map[string]string{"zip": s.zip(), "unzip": s.unzip()}
	counts := s.verify(VerifyInput{})
	assert.Equal(t, want, kinds(s.findings()))
	counts.Bytes = 0
	assert.Equal(t, VerifyCounts{Checked: 11, Intact: 3, Damaged: 6, Missing: 2, Unknown: 3}, counts)
	assert.Equal(t, Partial, counts.Code())
	assert.Equal(t, before, map[string]map[string]string{"zip": s.zip(), "unzip": s.unzip()}, "nothing is touched")
}

// TestVerifyAPart: by area, by server and by age.
func TestVerifyAPart(t *testing.T) {
	s, _ := spoilt(t)
	assert.Equal(t, 8, s.verify(VerifyInput{VerifyOptions: VerifyOptions{Area: AreaZip}}).Checked)
	assert.Equal(t, 3, s.verify(VerifyInput{VerifyOptions: VerifyOptions{Area: AreaUnzip}}).Checked)
	require.NoError(t, s.tiger.Catalog.SaveServer(t.Context(), catalog.ServerRow{Run: run1, Server: "branch-002"}))
	other := s.verify(VerifyInput{VerifyOptions: VerifyOptions{Scope: catalog.Scope{Servers: []string{"branch-002"}}}})
	assert.Zero(t, other)
	assert.Zero(t, s.verify(VerifyInput{VerifyOptions: VerifyOptions{Scope: catalog.Scope{Since: time.Now().Add(time.Hour)}}}))
	assert.Equal(t, 11, s.verify(VerifyInput{VerifyOptions: VerifyOptions{Scope: catalog.Scope{Servers: []string{branch}, Since: written}}}).Checked)
}

func TestVerifyUnreadable(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root reads every file, whatever its mode")
	}
	s := newSite(t, "", "")
	s.idle()
	s.put("a.csv", "a")
	s.collect(run1)
	require.NoError(t, os.Chmod(s.inZip(branch+"/a.csv"), 0))
	assert.Equal(t, 1, s.verify(VerifyInput{}).Unreadable)
}

// TestVerifyDirectoryThatLeadsOutside: what lies behind it is not looked at, and not taken for the file either.
func TestVerifyDirectoryThatLeadsOutside(t *testing.T) {
	s := newSite(t, "", "")
	s.idle()
	s.put("a.csv", "a")
	s.collect(run1)
	outside := t.TempDir()
	require.NoError(t, os.Rename(s.inZip(branch+"/a.csv"), filepath.Join(outside, "a.csv")))
	require.NoError(t, os.Remove(s.inZip(branch)))
	require.NoError(t, os.Symlink(outside, s.inZip(branch)))
	counts := s.verify(VerifyInput{})
	assert.Equal(t, 1, counts.Unreadable)
	assert.Equal(t, 1, counts.Unknown, "the link itself")
}

// TestVerifyWhileFilesArePublished: what the catalog does not know yet is no unknown file.
func TestVerifyWhileFilesArePublished(t *testing.T) {
	s := newSite(t, "", "")
	s.put("a.csv", "a")
	in := s.commitInput(run1, s.download(run1, s.list(run1)))
	s.publish(in, in.Files)
	s.idle("server/" + branch)
	counts := s.verify(VerifyInput{})
	assert.Equal(t, VerifyCounts{Unsettled: 1}, counts)
	s.tiger.running = func(context.Context, string) (bool, error) { // it ends while it is asked for
		s.conclude(in)
		return false, nil
	}
	assert.Equal(t, VerifyCounts{}, s.verify(VerifyInput{}))
	assert.Empty(t, s.findings())
}

func (s *site) conclude(in CommitInput) { do(s, s.tiger.CommitServer, in) }

// TestVerifyGoesOnWhereItStopped: the next attempt neither reads again what is done nor counts it twice.
func TestVerifyGoesOnWhereItStopped(t *testing.T) {
	s := newSite(t, "", "")
	s.idle()
	const files = 2*verifyBatch + 10
	for i := range files {
		s.put(fmt.Sprintf("%04d.csv", i), fmt.Sprint("file ", i))
	}
	s.collect(run1)
	flipByte(t, s.inZip(branch+"/0001.csv"))
	flipByte(t, s.inZip(branch+"/0200.csv"))
	ctx, kill := context.WithCancel(s.ctx)
	s.ctx = ctx
	var last Checkpoint
	s.onBeat = func(c Checkpoint) {
		if c.Verified != nil && last.Verified == nil {
			last = c
			kill()
		}
	}
	_, err := attempt(s, s.tiger.VerifyFiles, VerifyInput{Verification: verification})
	require.Error(t, err)
	require.NotNil(t, last.Verified)
	assert.Equal(t, verifyBatch, last.Verified.Counts.Checked)

	require.NoError(t, os.Remove(s.inZip(branch+"/0002.csv"))) // had been read
	s.ctx, s.onBeat, s.checkpoint = context.Background(), nil, &last
	page := do(s, s.tiger.VerifyFiles, VerifyInput{Verification: verification})
	page.Counts.Bytes = 0
	assert.Equal(t, VerifyCounts{Checked: files, Intact: files - 2, Damaged: 2}, page.Counts)
	assert.Equal(t, files, page.Total)
	assert.True(t, page.Done)
	assert.Len(t, s.findings(), 2)
}

// TestVerifyStuckArchives: an archive whose decompression has vanished is told of, one that is worked on is not.
func TestVerifyStuckArchives(t *testing.T) {
	s := newSite(t, "", "")
	s.put("a.zip", zipOf("a.txt", "a"))
	s.collect(run1)
	s.idle(decompressionOf(run1))
	assert.Zero(t, s.verify(VerifyInput{}).Stuck)
	s.idle("server/" + branch)
	assert.Zero(t, s.verify(VerifyInput{}).Stuck, "it will start it")
	s.idle()
	counts := s.verify(VerifyInput{})
	assert.Equal(t, 1, counts.Stuck)
	assert.Equal(t, Partial, counts.Code())
	assert.Contains(t, s.findings()["unzip/"+branch+"/a.zip"].Detail, decompressionOf(run1))
}

// TestMendFindings: what is damaged is set aside, never lost, and comes back from the server or from its archive; nothing that is intact moves.
func TestMendFindings(t *testing.T) {
	s, _ := spoilt(t)
	s.verify(VerifyInput{})
	intact, err := os.Stat(s.inZip(branch + "/whole.csv"))
	require.NoError(t, err)
	in := MendInput{Verification: verification, Decompression: "decompress/k/mend", Now: time.Now()}
	page := do(s, s.tiger.MendFindings, in)
	assert.Equal(t, []string{branch}, page.Servers)
	require.Equal(t, []MendExtraction{{ZipDir: s.tiger.Warehouse.ZipDir(), UnzipDir: s.tiger.Warehouse.UnzipDir(), ID: "decompress/k/mend/1"}}, page.Extractions)
	s.idle("verify/k")
	assert.Empty(t, do(s, s.tiger.PlanRun, PlanInput{Run: run2}).Orphans, "the verification starts it when nothing is in its way any more")
	s.idle()
	orphans := do(s, s.tiger.PlanRun, PlanInput{Run: run2}).Orphans
	require.Len(t, orphans, 1, "nobody has started it, and nobody will")
	assert.Equal(t, []string{"decompress/k/mend/1", "", branch}, []string{orphans[0].ID, orphans[0].Run, orphans[0].Server})
	page.Servers, page.Extractions, page.Deadline = nil, nil, 0
	assert.Equal(t, MendPage{Aside: 6, Forgotten: 5, Again: 3}, page)
	again := do(s, s.tiger.MendFindings, in)
	assert.Equal(t, 5, again.Forgotten, "a second attempt begins the same")
	assert.Equal(t, 1, len(again.Extractions))

	found := s.findings()
	aside := found["zip/"+branch+"/flipped.csv"].Aside
	assert.Regexp(t, `^branch-001/flipped\.csv\.damaged-\d{8}-\d{6}$`, aside)
	assert.FileExists(t, s.inZip(aside))
	assert.Contains(t, found["unzip/"+branch+"/c/c.txt"].Done, "when its archive has been collected again")
	assert.Empty(t, found["unzip/top"].Done)

	s.extractAll("decompress/k/mend/1", s.tiger.Warehouse.ZipDir())
	s.extracted(run2)
	counts := s.verify(VerifyInput{})
	assert.Equal(t, []int{11, 11, 6, 3}, []int{counts.Checked, counts.Intact, counts.Aside, counts.Unknown})
	assert.Equal(t, "extracted a", s.unzip()[branch+"/a/a.txt"])
	assert.Equal(t, "extracted b", s.unzip()[branch+"/b/b.txt"])
	assert.Equal(t, "extracted c", s.unzip()[branch+"/c/c.txt"])
	assert.Equal(t, "?", s.unzip()[branch+"/a/stray.txt"])
	do(s, s.tiger.ForgetFiles, ForgetInput{Files: []string{"c.zip"}})
	s.extracted("collect/wednesday")
	assert.NoDirExists(t, s.inUnzip(branch+"/c~2"), "what was set aside does not make it another directory")
	now, err := os.Stat(s.inZip(branch + "/whole.csv"))
	require.NoError(t, err)
	assert.Equal(t, intact.Sys().(*syscall.Stat_t).Ino, now.Sys().(*syscall.Stat_t).Ino)
}

// TestMendWhatCannotBeHadAgain: the result says so, and the damaged file is still there under its other name.
func TestMendWhatCannotBeHadAgain(t *testing.T) {
	s := newSite(t, ", after: delete", "")
	s.idle()
	s.put("a.csv", "aaa")
	s.put("b.zip", zipOf("b.txt", "b"))
	s.extracted(run1)
	flipByte(t, s.inZip(branch+"/a.csv"))
	require.NoError(t, os.Remove(s.inZip(branch+"/b.zip")))
	flipByte(t, s.inUnzip(branch+"/b/b.txt"))
	s.verify(VerifyInput{})
	page := do(s, s.tiger.MendFindings, MendInput{Verification: verification, Decompression: "decompress/k/mend", Now: time.Now()})
	page.Deadline = 0
	assert.Equal(t, MendPage{Aside: 1, Hopeless: 3}, page)
	found := s.findings()
	assert.Contains(t, found["zip/"+branch+"/a.csv"].Done, "cannot be had again")
	assert.Contains(t, found["unzip/"+branch+"/b/b.txt"].Done, "its archive branch-001/b.zip is missing")
	assert.FileExists(t, s.inUnzip(branch+"/b/b.txt"), "left where it is: damaged is better than nothing")
}

// TestVerifyUnknownServer: a name that nobody knows must not pass for a clean bill; one that was in the configuration once may be verified.
func TestVerifyUnknownServer(t *testing.T) {
	s := newSite(t, "", "")
	s.idle()
	in := VerifyInput{Verification: "verify/k"}
	in.Servers = []string{branch + "x"}
	_, err := attempt(s, s.tiger.VerifyFiles, in)
	requireReason(t, err, "unknown_server", true)
	require.ErrorContains(t, err, "did you mean "+branch)
	require.NoError(t, s.tiger.Catalog.SaveServer(t.Context(), catalog.ServerRow{Run: run1, Server: "closed last year"}))
	in.Servers = []string{"closed last year"}
	assert.Zero(t, do(s, s.tiger.VerifyFiles, in).Counts.Checked)
}

// TestMendAnOldVersion: the server has another one in its place, so that nothing can be fetched. The copy stays what it is until it is cleaned.
func TestMendAnOldVersion(t *testing.T) {
	s := newSite(t, "", "")
	s.idle()
	s.put("a.zip", zipOf("a.txt", "one"))
	s.extracted(run1)
	s.putAt("a.zip", zipOf("a.txt", "two, and longer"), written.Add(time.Hour))
	s.extracted(run2)
	flipByte(t, s.inZip(branch+"/a.zip"))
	flipByte(t, s.inUnzip(branch+"/a/a.txt"))
	s.verify(VerifyInput{})
	page := do(s, s.tiger.MendFindings, MendInput{Verification: verification, Decompression: "decompress/k/mend", Now: time.Now()})
	page.Deadline = 0
	assert.Equal(t, MendPage{Hopeless: 2, Aside: 1}, page)
	assert.Contains(t, s.findings()["zip/"+branch+"/a.zip"].Done, "newer version")
	assert.FileExists(t, s.inUnzip(branch+"/a/a.txt"), "left where it is: damaged is better than nothing")
	assert.Equal(t, 1, s.clean(CleanOptions{VersionsBefore: time.Now().Add(time.Hour), Meant: true})[CleanVersions].Count)
	assert.Equal(t, 1, s.verify(VerifyInput{}).Damaged, "of the extracted file alone")
}

// TestDirectoryThatCannotBeOpened: who knows what lies in it. Nothing is fetched again for that.
func TestDirectoryThatCannotBeOpened(t *testing.T) {
	s := newSite(t, "", "")
	s.idle()
	s.put("a.csv", "a")
	s.put("b.zip", zipOf("b.txt", "b"))
	s.extracted(run1)
	bar := func() {
		for _, dir := range []string{s.tiger.Warehouse.ZipDir(), s.tiger.Warehouse.UnzipDir()} {
			require.NoError(t, os.Rename(dir, dir+".away"))
			require.NoError(t, os.WriteFile(dir, nil, 0o600))
		}
	}
	mend := func(id string) MendPage {
		return do(s, s.tiger.MendFindings, MendInput{Verification: id, Decompression: "decompress/k/mend", Now: time.Now()})
	}
	require.NoError(t, os.Remove(s.inZip(branch+"/a.csv")))
	before := s.verify(VerifyInput{})
	assert.Equal(t, []int{3, 1}, []int{before.Checked, before.Missing})
	bar()
	page := mend(verification)
	assert.Equal(t, []int{0, 1}, []int{page.Forgotten, page.Hopeless}, "it was open when it was verified")

	later := do(s, s.tiger.VerifyFiles, VerifyInput{Verification: "verify/later"})
	assert.Equal(t, []int{3, 0, 3}, []int{later.Counts.Checked, later.Counts.Missing, later.Counts.Unreadable})
	page = mend("verify/later")
	assert.Equal(t, []int{0, 3}, []int{page.Forgotten, page.Hopeless})
}

// TestVerifyWhileFilesAreRemoved: a file that is cleaned in the moment when it is to be read is neither missing nor intact: nobody has read it.
func TestVerifyWhileFilesAreRemoved(t *testing.T) {
	s := inVersions(t)
	v := &verifier{Tiger: s.tiger, roots: map[string]*os.Root{}}
	defer v.close()
	kept, err := s.tiger.Catalog.KeptFiles(t.Context(), catalog.Scope{}, 0, 1)
	require.NoError(t, err)
	s.clean(CleanOptions{VersionsBefore: time.Now().Add(time.Hour), Meant: true})
	require.NoFileExists(t, s.inZip(kept[0].Path))
	found, counts, err := v.checkAll(t.Context(), kept)
	require.NoError(t, err)
	assert.Empty(t, found)
	assert.Equal(t, VerifyCounts{}, counts)
}

// TestVerifyUnreadableDirectories: each is told of once, and more of them than a step looks at are no trap.
func TestVerifyUnreadableDirectories(t *testing.T) {
	s := newSite(t, "", "")
	s.idle()
	const count = 8*verifyBatch + 2
	for i := range count {
		require.NoError(t, os.MkdirAll(s.inZip(fmt.Sprintf("%s/%04d", branch, i)), 0o750))
		require.NoError(t, os.Chmod(s.inZip(fmt.Sprintf("%s/%04d", branch, i)), 0))
	}
	v := &verifier{Tiger: s.tiger, in: VerifyInput{Verification: verification}, roots: map[string]*os.Root{}, barred: map[string]error{}}
	v.beat, v.pace = &progress{}, newPace(0)
	defer v.close()
	for _, dir := range []string{s.tiger.Warehouse.ZipDir(), s.inZip(branch)} {
		require.NoError(t, os.Chmod(dir, 0o755))
	}
	v.root(s.tiger.Warehouse.ZipDir())
	steps := 0
	asNobody(t, func() {
		for more := true; more && steps < 5; steps++ {
			var err error
			more, err = v.strays(t.Context(), AreaZip, s.tiger.Warehouse.ZipDir())
			require.NoError(t, err)
		}
	})
	assert.Equal(t, 2, steps)
	assert.Equal(t, count, v.page.Counts.Unknown)
	assert.Equal(t, count, len(s.findings()))
}

// asNobody runs f without the rights of root over files.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() == 0 {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		require.NoError(t, syscall.Setfsuid(65534))
		defer func() { require.NoError(t, syscall.Setfsuid(0)) }()
	}
	f()
}
