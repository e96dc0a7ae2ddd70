package activities

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/catalog"
)

// clean runs all pages of a cleaning.
func (s *site) clean(options CleanOptions) map[string]Spent {
	s.t.Helper()
	sums := map[string]Spent{}
	for in := (CleanInput{CleanOptions: options}); ; {
		page := do(s, s.tiger.CleanWarehouse, in)
		for kind, spent := range page.Spent {
			sum := sums[kind]
			sum.Add(spent)
			sums[kind] = sum
		}
		if in.From = page.Next; page.Done {
			return sums
		}
	}
}

// inVersions is a branch that has changed its files twice: the first ones lie in a directory that nothing else is in.
func inVersions(t *testing.T) *site {
	s := newSite(t, "", "")
	s.idle()
	require.NoError(t, os.Mkdir(filepath.Join(s.remote, "dir"), 0o755))
	for i, run := range []string{run1, run2, "collect/wednesday"} {
		content := []string{"one", "two, and longer", "three, which is longer still"}[i]
		s.putAt("a.csv", content, written.Add(time.Duration(i)*time.Hour))
		s.putAt("b.zip", zipOf("b.txt", content), written.Add(time.Duration(i)*time.Hour))
		s.collect(run)
	}
	return s
}

func (s *site) versions() []string {
	s.t.Helper()
	var names []string
	for name := range s.zip() {
		names = append(names, name)
	}
	return names
}

// TestCleanVersions: the newest stays, and archives whose extraction is pending stay; nothing contradicts the catalog afterwards.
func TestCleanVersions(t *testing.T) {
	s := inVersions(t)
	soon := CleanOptions{VersionsBefore: time.Now().Add(time.Hour)}
	before := s.zip()
	assert.Equal(t, 2, s.clean(soon)[CleanVersions].Count)
	assert.EqualValues(t, len("one")+len("two, and longer"), s.clean(soon)[CleanVersions].Bytes)
	assert.Equal(t, before, s.zip(), "only counted")
	assert.Empty(t, s.clean(CleanOptions{VersionsBefore: written, Meant: true})[CleanVersions], "none is as old as that")

	soon.Meant = true
	assert.Equal(t, 2, s.clean(soon)[CleanVersions].Count)
	assert.ElementsMatch(t, []string{branch + "/a~3.csv", branch + "/b.zip", branch + "/b~2.zip", branch + "/b~3.zip"}, s.versions())
	for _, run := range []string{run1, run2, "collect/wednesday"} {
		s.extractAll(decompressionOf(run), s.tiger.Warehouse.ZipDir())
	}
	assert.Equal(t, 2, s.clean(soon)[CleanVersions].Count, "the archives have been extracted")
	assert.ElementsMatch(t, []string{branch + "/a~3.csv", branch + "/b~3.zip"}, s.versions())
	counts := s.verify(VerifyInput{})
	assert.Equal(t, Success, counts.Code())
	assert.Equal(t, 5, counts.Checked, "two collected files, and what was extracted from three archives")
	assert.Zero(t, counts.Unknown)
	assert.Equal(t, 2, s.list("collect/thursday").Books.Unchanged)
	origins, err := s.tiger.Catalog.Origins(t.Context(), s.inUnzip(branch+"/b/b.txt"))
	require.NoError(t, err)
	assert.Len(t, origins, 1, "what was extracted still leads back to its listing")
}

// TestCleanVersionsKilledBetweenItsSteps: whatever was done, a verification finds nothing wrong, and the next cleaning does the rest.
func TestCleanVersionsKilledBetweenItsSteps(t *testing.T) {
	for _, step := range []string{"begun", "unlinked"} {
		t.Run(step, func(t *testing.T) {
			s := inVersions(t)
			s.tiger.between = func(at string) error {
				if at == step {
					return errors.New("killed")
				}
				return nil
			}
			soon := CleanOptions{VersionsBefore: time.Now().Add(time.Hour), Meant: true}
			_, err := attempt(s, s.tiger.CleanWarehouse, CleanInput{CleanOptions: soon})
			require.ErrorContains(t, err, "killed")
			left := len(s.versions())
			assert.Equal(t, map[string]int{"begun": 6, "unlinked": 4}[step], left)
			counts := s.verify(VerifyInput{})
			assert.Equal(t, VerifyCounts{Checked: 4, Intact: 4}, func() VerifyCounts { counts.Bytes = 0; counts.Stuck = 0; return counts }())

			s.tiger.between = nil
			assert.Equal(t, 2, s.clean(CleanOptions{Meant: true})[CleanVersions].Count, "even if nothing more is asked for")
			assert.Len(t, s.versions(), 4)
			counts = s.verify(VerifyInput{})
			assert.Equal(t, []int{4, 0}, []int{counts.Intact, counts.Unknown})
		})
	}
}

// TestForgottenAndBeingRemoved: what is about to be removed is not collected into its place, and what is to be collected again is not removed.
func TestForgottenAndBeingRemoved(t *testing.T) {
	s := inVersions(t)
	do(s, s.tiger.ForgetFiles, ForgetInput{Files: []string{branch + "/a.csv"}})
	soon := CleanOptions{VersionsBefore: time.Now().Add(time.Hour), Meant: true}
	assert.Equal(t, 1, s.clean(soon)[CleanVersions].Count)
	assert.Contains(t, s.versions(), branch+"/a.csv")
}

// TestCleanLeftovers: what was staged long ago, and what was set aside, with the directories that get empty.
func TestCleanLeftovers(t *testing.T) {
	s := newSite(t, "", "")
	old := time.Now().Add(-2 * 24 * time.Hour)
	aside := "dead/dir/x.csv.damaged-" + old.UTC().Format("20060102-150405")
	young := "live/y.csv.damaged-" + time.Now().UTC().Format("20060102-150405")
	for name, content := range map[string]string{aside: "12345", young: "1", "live/z.csv": "z"} {
		require.NoError(t, os.MkdirAll(filepath.Dir(s.inZip(name)), 0o755))
		require.NoError(t, os.WriteFile(s.inZip(name), []byte(content), 0o600))
	}
	stage := filepath.Join(s.tiger.Warehouse.StageDir(), extractStage, "decompress-of-nobody", "file")
	require.NoError(t, os.MkdirAll(filepath.Dir(stage), 0o755))
	require.NoError(t, os.WriteFile(stage, []byte("1234567"), 0o600))

	options := CleanOptions{AsideBefore: time.Now().Add(-24 * time.Hour)}
	for range 2 { // first it is only counted
		spent := s.clean(options)
		assert.Equal(t, []any{1, int64(5)}, []any{spent[CleanAside].Count, spent[CleanAside].Bytes})
		assert.Equal(t, old.UTC().Truncate(time.Second), spent[CleanAside].Oldest)
		assert.Equal(t, []any{1, int64(7)}, []any{spent[CleanStage].Count, spent[CleanStage].Bytes})
		options.Meant = true
	}
	assert.Equal(t, map[string]string{young: "1", "live/z.csv": "z"}, s.zip())
	assert.NoDirExists(t, s.inZip("dead"))
	assert.NoFileExists(t, stage)
}

// TestCleanRuns: rows go, but what leads from a file to its source, the last listing, and what makes files known stay.
func TestCleanRuns(t *testing.T) {
	s := newSite(t, "", "")
	s.put("a.csv", "a")
	past := time.Now().Add(-1000 * time.Hour)
	for i, run := range []string{run1, run2, "collect/wednesday", "collect/thursday"} {
		do(s, s.tiger.PlanRun, PlanInput{Run: run})
		in := s.commitInput(run, s.download(run, s.list(run)))
		in.Close = &ServerEnd{Start: past}
		do(s, s.tiger.CommitServer, in)
		conclude(s, s.tiger.CloseRun, CloseRunInput{Run: run, Start: past.Add(time.Duration(i) * time.Hour)})
	}
	before := CleanOptions{RunsBefore: time.Now().Add(time.Hour)}
	assert.Empty(t, s.clean(CleanOptions{RunsBefore: past, Meant: true})[CleanRuns].Count)
	counted := s.clean(before)[CleanRuns]
	before.Meant = true
	assert.Equal(t, counted, s.clean(before)[CleanRuns])
	assert.Equal(t, 6, counted.Count, "of two runs that found nothing new: a listing, a server, a run")
	for _, run := range []string{run2, "collect/wednesday"} {
		_, err := attempt(s, s.tiger.ReadReport, ReportInput{Run: run})
		requireReason(t, err, "unknown_run", true)
	}
	assert.Len(t, s.report(run1).Files, 1)
	assert.NotNil(t, s.report("collect/thursday").Run)
	assert.Zero(t, s.clean(before)[CleanRuns].Count)
	assert.Equal(t, 1, s.list("collect/friday").Books.Unchanged)
	_, known, err := s.tiger.Catalog.LastListing(t.Context(), branch, "collect/friday")
	require.NoError(t, err)
	assert.True(t, known)
	require.NoError(t, s.tiger.Catalog.AddFindings(t.Context(), verification, []Finding{{Area: AreaZip, Kind: catalog.FoundUnknown, Path: "x"}}))
	assert.Equal(t, 1, s.clean(before)[CleanFindings].Count)
	assert.Empty(t, s.findings())
}

// TestCleanAsideKeepsWhatWasCollected: a branch may call a file as if Talon had set it aside, and an archive may hold one.
func TestCleanAsideKeepsWhatWasCollected(t *testing.T) {
	s := newSite(t, "", "")
	s.idle()
	const name = "report.damaged-20200101-120000"
	s.put(name, "sound")
	s.put("a.zip", zipOf(name, "sound as well"))
	s.extracted(run1)
	require.NoError(t, os.WriteFile(s.inZip(branch+"/x.csv.damaged-20200101-120000"), []byte("?"), 0o600))
	spent := s.clean(CleanOptions{AsideBefore: time.Now(), Meant: true})
	assert.Equal(t, 1, spent[CleanAside].Count)
	assert.FileExists(t, s.inZip(branch+"/"+name))
	assert.FileExists(t, s.inUnzip(branch+"/a/"+name))
	assert.NoFileExists(t, s.inZip(branch+"/x.csv.damaged-20200101-120000"))
	counts := s.verify(VerifyInput{})
	assert.Equal(t, []int{3, 3, 0}, []int{counts.Checked, counts.Intact, counts.Aside})
}
