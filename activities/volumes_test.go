package activities

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"talon/internal/archive/archivetest"
)

// pieces are a 7z archive of one file, cut into three volumes.
func pieces() []string {
	whole := string(archivetest.SevenZip([]archivetest.File{{Name: "a.txt", Data: []byte(strings.Repeat("alpha ", 500)), ModTime: written}}))
	third := len(whole) / 3
	return []string{whole[:third], whole[third : 2*third], whole[2*third:]}
}

// TestCommitServerVolumes: a set is one archive, whenever its volumes come; a late one has the set extracted again.
func TestCommitServerVolumes(t *testing.T) {
	s := newSite(t, "", "")
	volumes := pieces()
	s.put("d/x.7z.001", volumes[0])
	s.put("d/x.7z.003", volumes[2])
	s.put("d/y.7z.002", volumes[1])
	s.collect(run1)
	assert.ElementsMatch(t, []string{branch + "/d/x.7z.001", branch + "/d/y.7z.002"}, s.pending(run1),
		"y.7z.002 waits in vain: that is to be said, too")
	s.put("d/x.7z.002", volumes[1])
	result := s.collect(run2)
	assert.Equal(t, 1, result.Archives)
	assert.Equal(t, []string{branch + "/d/x.7z.001"}, s.pending(run2))
}

// TestDecompressVolumes: the volumes of a directory are one archive, extracted and sealed under its name.
func TestDecompressVolumes(t *testing.T) {
	s := newSite(t, "", "")
	volumes := pieces()
	dir, batch := s.planned(map[string]string{
		"d/x.7z.001": volumes[0], "d/x.7z.002": volumes[1], "d/x.7z.003": volumes[2], "plain.7z": strings.Join(volumes, ""),
		"y.7z.001": volumes[0], "y.7z.002": volumes[1],
	})
	assert.Equal(t, [][]string{{"d/x.7z.001", "plain.7z", "y.7z.001"}}, paths(ExtractionPlan{Batches: []Batch{batch}}))
	result := s.decompress(ownRun, dir, batch)
	assert.Equal(t, 2, result.Succeeded)
	assert.Equal(t, 1, result.Failed)
	text := strings.Repeat("alpha ", 500)
	assert.Equal(t, map[string]string{"d/x/a.txt": text, "plain/a.txt": text}, s.unzip())
	_, reason := s.outcome(batch.Archives[2].ID)
	assert.Equal(t, "missing_volume", reason)
}
