package activities

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/archive/archivetest"
	"talon/internal/catalog"
)

const ownRun = "decompress/own"

// lay writes files into a directory of tiger's host and returns it.
func lay(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		file := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
	}
	return dir
}

// own is the input of a decompression of its own.
func (s *site) own(dir string) ExtractionInput {
	return ExtractionInput{Decompression: ownRun, ZipDir: dir, UnzipDir: s.tiger.Warehouse.UnzipDir(), Scan: true, Recursive: true}
}

// paths are the archives of each batch.
func paths(plan ExtractionPlan) [][]string {
	batches := make([][]string, len(plan.Batches))
	for i, batch := range plan.Batches {
		for _, a := range batch.Archives {
			batches[i] = append(batches[i], a.Path)
		}
	}
	return batches
}

func TestPlanExtractionBatches(t *testing.T) {
	s := newSite(t, "", "extract: {batch_archives: 3, batch_bytes: 1KiB}")
	small := zipOf("a.txt", "alpha") // about 120 bytes
	require.Less(t, len(small), 200)
	half := string(archivetest.Tar(nil)) // 1 KiB
	require.Len(t, half, 1024)
	dir := lay(t, map[string]string{
		"1.zip": small, "2.zip": small, "3.zip": small, // full by number
		"4.zip": small, "5.zip": small,
		"6.tar": half, // does not fit with those before
		"7.zip": small,
		"8.tar": half + half, // a large one goes alone
		"9.zip": small,
	})
	plan := do(s, s.tiger.PlanExtraction, s.own(dir))
	assert.Equal(t, [][]string{{"1.zip", "2.zip", "3.zip"}, {"4.zip", "5.zip"}, {"6.tar"}, {"7.zip"}, {"8.tar"}, {"9.zip"}}, paths(plan))
	assert.EqualValues(t, len(small), plan.Batches[0].Archives[0].Size)
	assert.Equal(t, 9, plan.Total)
	assert.Zero(t, plan.Next)
	assert.Equal(t, s.config.Extract.Deadline, plan.Deadline)
	assert.NotNil(t, s.report(ownRun).Run, "a run of its own is in the catalog from its start")
}

func TestPlanExtractionPages(t *testing.T) {
	for name, test := range map[string]struct {
		path  string
		pages int
	}{
		"by number": {"%04d.zip", 3},
		"by names":  {"%04d" + strings.Repeat("n", 200) + ".zip", 4},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, "", "")
			archives := make([]catalog.Archive, 1100)
			for i := range archives {
				archives[i] = catalog.Archive{Decompression: ownRun, ZipDir: "/zip", Path: fmt.Sprintf(test.path, i), Size: 1}
			}
			require.NoError(t, s.tiger.Catalog.AddArchives(t.Context(), archives))
			var found []string
			pages := 0
			for in := (ExtractionInput{Decompression: ownRun}); ; {
				plan := do(s, s.tiger.PlanExtraction, in)
				assert.Equal(t, len(archives), plan.Total)
				bytes := 0
				for _, batch := range plan.Batches {
					for _, a := range batch.Archives {
						found = append(found, a.Path)
						bytes += len(a.Path)
					}
				}
				assert.LessOrEqual(t, bytes, 64<<10)
				pages++
				if in.After = plan.Next; plan.Next == 0 {
					break
				}
			}
			assert.Len(t, found, len(archives))
			for i, a := range archives {
				require.Equal(t, a.Path, found[i])
			}
			assert.GreaterOrEqual(t, pages, test.pages)
		})
	}
}

func TestPlanExtractionScans(t *testing.T) {
	s := newSite(t, "", "")
	archive := zipOf("a.txt", "alpha")
	dir := lay(t, map[string]string{
		"a.zip": archive, "really-a-zip.dat": archive, "broken.zip": "no zip", "notes.txt": "no archive", "sub/b.zip": archive, "sub/sub/c.tar.gz": archive,
	})
	outside := filepath.Join(lay(t, map[string]string{"d.zip": archive}), "d.zip")
	require.NoError(t, os.Symlink(outside, filepath.Join(dir, "link.zip")))
	require.NoError(t, os.Symlink(filepath.Dir(outside), filepath.Join(dir, "linked")))

	in := s.own(dir)
	all := []string{"a.zip", "broken.zip", "really-a-zip.dat", "sub/b.zip", "sub/sub/c.tar.gz"}
	assert.Equal(t, [][]string{all}, paths(do(s, s.tiger.PlanExtraction, in)))
	assert.Equal(t, 5, do(s, s.tiger.PlanExtraction, in).Total, "a repeated scan adds nothing")

	in.Decompression, in.Recursive = ownRun+"-flat", false
	assert.Equal(t, [][]string{all[:3]}, paths(do(s, s.tiger.PlanExtraction, in)))

	link := filepath.Join(t.TempDir(), "zip")
	require.NoError(t, os.Symlink(dir, link))
	in.Decompression, in.ZipDir = ownRun+"-linked", link
	assert.Equal(t, [][]string{all[:3]}, paths(do(s, s.tiger.PlanExtraction, in)), "the directory that was named is the one that is meant")
}

func TestPlanExtractionOfNothing(t *testing.T) {
	s := newSite(t, "", "")
	plan := do(s, s.tiger.PlanExtraction, s.own(t.TempDir()))
	assert.Equal(t, []any{[]Batch(nil), 0}, []any{plan.Batches, plan.Total})
}

// TestNameThatIsNotUTF8: no payload can carry it, so the archive cannot even be asked for.
func TestNameThatIsNotUTF8(t *testing.T) {
	s := newSite(t, "", "")
	dir := lay(t, map[string]string{"a.zip": zipOf("a.txt", "alpha"), "b\xff.zip": zipOf("b.txt", "beta")})
	plan := do(s, s.tiger.PlanExtraction, s.own(dir))
	require.Len(t, plan.Batches, 1)
	result := s.decompress(ownRun, dir, plan.Batches[0])
	assertSealed(t, SealResult{Succeeded: 1, Failed: 1, Files: 1, Bytes: 5}, result)
	assert.Equal(t, map[string]string{"a/a.txt": "alpha"}, s.unzip())
	archives := s.report(ownRun).Archives
	require.Len(t, archives, 2)
	assert.Equal(t, []any{true, Failed, "unsafe_name"}, []any{archives[1].Done, archives[1].Result, archives[1].Reason})
	assert.NotEmpty(t, archives[1].Detail)
}

func TestPlanExtractionRefuses(t *testing.T) {
	s := newSite(t, "", "")
	file := filepath.Join(lay(t, map[string]string{"a.zip": zipOf("a.txt", "alpha")}), "a.zip")
	for _, dir := range []string{filepath.Join(t.TempDir(), "missing"), file} {
		_, err := attempt(s, s.tiger.PlanExtraction, s.own(dir))
		requireReason(t, err, "directory_missing", true)
		_, detail := ReasonOf(err)
		assert.Contains(t, detail, dir)
	}
	in := s.own(filepath.Dir(file))
	in.UnzipDir = otherFileSystem(t, s.tiger.Warehouse)
	_, err := attempt(s, s.tiger.PlanExtraction, in)
	requireReason(t, err, "two_file_systems", true)
}

func TestCloseDecompression(t *testing.T) {
	s := newSite(t, "", "")
	dir := lay(t, map[string]string{"a.zip": zipOf("a.txt", "alpha")})
	plan := do(s, s.tiger.PlanExtraction, s.own(dir))
	s.extract(ownRun, dir, plan.Batches[0])
	s.extract("decompress/other", dir, plan.Batches[0])
	require.Len(t, s.stage(), 4)

	conclude(s, s.tiger.CloseDecompression, CloseDecompressionInput{Decompression: "decompress/of a run"})
	conclude(s, s.tiger.CloseDecompression, CloseDecompressionInput{
		Decompression: ownRun, Own: true, Result: Partial, Reason: "cancelled", Detail: "why", Start: written,
	})
	assert.Len(t, s.stage(), 2, "only its own stage goes")
	run := s.report(ownRun).Run
	require.NotNil(t, run)
	assert.Equal(t, []any{Partial, "cancelled", "why", written}, []any{run.Result, run.Reason, run.Detail, run.Start})
	assert.False(t, run.End.IsZero())
	_, err := attempt(s, s.tiger.ReadReport, ReportInput{Run: "decompress/of a run"})
	requireReason(t, err, "unknown_run", true)
}
