package archive_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/archive"
)

func TestVolumeOf(t *testing.T) {
	for _, c := range []struct {
		name, first string
		number      int
	}{
		{"x.part1.rar", "x.part1.rar", 1},
		{"x.part2.rar", "x.part1.rar", 2},
		{"x.part012.rar", "x.part001.rar", 12},
		{"d/X.PART3.RAR", "d/X.PART1.RAR", 3},
		{"x.part1.part2.rar", "x.part1.part1.rar", 2},
		{"x.r00", "x.rar", 2},
		{"x.R99", "x.RAR", 101},
		{"x.s00", "x.rar", 102},
		{"报表.y99", "报表.rar", 801},
		{"x.z01", "x.zip", 1},
		{"x.Z10", "x.ZIP", 10},
		{"x.z100", "x.zip", 100},
		{"x.7z.001", "x.7z.001", 1},
		{"x.zip.017", "x.zip.001", 17},
		{"x.tar.gz.0002", "x.tar.gz.0001", 2},
		{"x.TGZ.002", "x.TGZ.001", 2},
		{"d.1/x.rar.002", "d.1/x.rar.001", 2},
	} {
		first, number, ok := archive.VolumeOf(c.name)
		assert.True(t, ok, c.name)
		assert.Equal(t, c.first, first, c.name)
		assert.Equal(t, c.number, number, c.name)
	}
	for _, name := range []string{
		"", "x", "x.rar", "x.zip", "x.7z", ".rar", "d/.r00", ".part1.rar", "d/.z01", "x.part.rar", "x.part0.rar", "x.part1.zip",
		"x.z00", "x.z1", "x.r0", "x.r000", "x.q00", "x.csv.001", "report.001", "x.7z.01", "x.7z.000", "x.20260304.001", "7z.001",
		"d.7z/001", "x.part123456.rar", "a\nb", "x.7z.001.txt",
	} {
		_, _, ok := archive.VolumeOf(name)
		assert.False(t, ok, "%q", name)
	}
}

func TestVolumeSets(t *testing.T) {
	for name, c := range map[string]struct {
		names []string
		want  []archive.VolumeSet
	}{
		"no sets": {[]string{"a.zip", "b.rar", "c.7z", "report.001", "report.002", "d.s01", "d.csv", "e.rar", "e.t01"}, nil},
		"parts": {[]string{"x.part2.rar", "x.part10.rar", "x.part1.rar", "y.txt"}, []archive.VolumeSet{
			{
				Name: "x.part1.rar", Style: archive.PartVolumes, Volumes: []string{"x.part1.rar", "x.part2.rar"},
				Next: "x.part3.rar", Rest: []string{"x.part10.rar"},
			},
		}},
		"case and digits": {[]string{"x.PART02.RAR", "x.part01.rar"}, []archive.VolumeSet{
			{
				Name: "x.part01.rar", Style: archive.PartVolumes, Volumes: []string{"x.part01.rar", "x.PART02.RAR"},
				Next: "x.part03.rar",
			},
		}},
		"one of many": {[]string{"x.part1.rar"}, []archive.VolumeSet{
			{Name: "x.part1.rar", Style: archive.PartVolumes, Volumes: []string{"x.part1.rar"}, Next: "x.part2.rar"},
		}},
		"without the first": {[]string{"x.part02.rar", "x.part03.rar"}, []archive.VolumeSet{
			{Name: "x.part01.rar", Style: archive.PartVolumes, Next: "x.part01.rar", Rest: []string{"x.part02.rar", "x.part03.rar"}},
		}},
		"old": {[]string{"x.RAR", "x.r01", "x.R00", "x.s01"}, []archive.VolumeSet{
			{Name: "x.RAR", Style: archive.OldRarVolumes, Volumes: []string{"x.RAR", "x.R00", "x.r01"}, Next: "x.R02"},
		}},
		"old with a gap": {[]string{"x.rar", "x.r01"}, []archive.VolumeSet{
			{Name: "x.rar", Style: archive.OldRarVolumes, Volumes: []string{"x.rar"}, Next: "x.r00", Rest: []string{"x.r01"}},
		}},
		"old without the first": {[]string{"x.r00"}, []archive.VolumeSet{
			{Name: "x.rar", Style: archive.OldRarVolumes, Next: "x.rar", Rest: []string{"x.r00"}},
		}},
		"zip": {[]string{"x.zip", "x.z02", "x.z01", "X.zip"}, []archive.VolumeSet{
			{Name: "x.zip", Style: archive.ZipVolumes, Volumes: []string{"x.z01", "x.z02", "x.zip"}, Next: "x.z03"},
		}},
		"zip with a gap": {[]string{"x.Zip", "x.z03", "x.z01"}, []archive.VolumeSet{
			{
				Name: "x.Zip", Style: archive.ZipVolumes, Volumes: []string{"x.z01", "x.Zip"}, Next: "x.z02",
				Rest: []string{"x.z03"},
			},
		}},
		"zip without the last": {[]string{"x.z02", "x.z01", "x.z04"}, []archive.VolumeSet{
			{Name: "x.zip", Style: archive.ZipVolumes, Next: "x.zip", Rest: []string{"x.z01", "x.z02", "x.z04"}},
		}},
		"pieces": {[]string{"x.7z.001", "x.7z.002", "x.zip.002", "x.7z", "y.001"}, []archive.VolumeSet{
			{Name: "x.7z.001", Style: archive.CutVolumes, Volumes: []string{"x.7z.001", "x.7z.002"}, Next: "x.7z.003"},
			{Name: "x.zip.001", Style: archive.CutVolumes, Next: "x.zip.001", Rest: []string{"x.zip.002"}},
		}},
		"directories": {[]string{"a/x.rar", "b/x.r00", "a/x.7z.001", "b/x.7z.001"}, []archive.VolumeSet{
			{Name: "a/x.7z.001", Style: archive.CutVolumes, Volumes: []string{"a/x.7z.001"}, Next: "a/x.7z.002"},
			{Name: "b/x.7z.001", Style: archive.CutVolumes, Volumes: []string{"b/x.7z.001"}, Next: "b/x.7z.002"},
			{Name: "b/x.rar", Style: archive.OldRarVolumes, Next: "b/x.rar", Rest: []string{"b/x.r00"}},
		}},
		"twins": {[]string{"x.rar", "x.r00", "x.R00"}, []archive.VolumeSet{
			{Name: "x.rar", Style: archive.OldRarVolumes, Volumes: []string{"x.rar", "x.R00"}, Next: "x.r01"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, c.want, archive.VolumeSets(c.names))
			rand.Shuffle(len(c.names), func(i, j int) { c.names[i], c.names[j] = c.names[j], c.names[i] })
			assert.Equal(t, c.want, archive.VolumeSets(c.names), "in any order")
		})
	}
}

func TestLongSetsOfOldRar(t *testing.T) {
	names := []string{"x.rar"}
	for i := range 250 {
		names = append(names, fmt.Sprintf("x.%c%02d", 'r'+i/100, i%100))
	}
	sets := archive.VolumeSets(names)
	require.Len(t, sets, 1)
	assert.Equal(t, names, sets[0].Volumes)
	assert.Equal(t, "x.t50", sets[0].Next)
	assert.Empty(t, sets[0].Rest)
}
