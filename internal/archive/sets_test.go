package archive

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/bodgit/sevenzip"
	"github.com/klauspost/compress/zip"
	"github.com/nwaples/rardecode/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/archive/archivetest"
	"talon/internal/archivetools"
)

// noise is content that no compressor makes small, always the same.
func noise(size int) []byte {
	data := make([]byte, size)
	state := uint32(1)
	for i := range data {
		state = state*1664525 + 1013904223
		data[i] = byte(state >> 24)
	}
	return data
}

// brief is a content that can be compared and shown.
func brief(data []byte) string {
	if len(data) < 100 {
		return string(data)
	}
	return fmt.Sprintf("%d bytes of %x", len(data), sha256.Sum256(data))
}

// setFiles are what the sets of the tests contain, and the same in brief, by name.
func setFiles() ([]archivetest.File, map[string]string) {
	files := []archivetest.File{
		{Name: "empty.txt"},
		{Name: "d/a.txt", Data: []byte("alpha")},
		{Name: "big.bin", Data: noise(150_000)},
		{Name: "d/b.bin", Data: noise(70_000)},
	}
	contents := map[string]string{}
	for _, f := range files {
		contents[f.Name] = brief(f.Data)
	}
	return files, contents
}

// setOf gives the volumes their names, and finds the set that they are by those.
func setOf(t *testing.T, names []string, data [][]byte) (VolumeSet, []volume) {
	t.Helper()
	require.Len(t, data, len(names))
	byName := map[string][]byte{}
	for i, name := range names {
		byName[name] = data[i]
	}
	return openSet(t, names, func(name string) []byte { return byName[name] })
}

func openSet(t *testing.T, names []string, read func(string) []byte) (VolumeSet, []volume) {
	t.Helper()
	sets := VolumeSets(names)
	require.Len(t, sets, 1, "%v", names)
	var volumes []volume
	for _, name := range sets[0].Volumes {
		data := read(name)
		volumes = append(volumes, volume{name: name, r: bytes.NewReader(data), size: int64(len(data))})
	}
	return sets[0], volumes
}

// tool is a command of another program; without it the test is skipped.
func tool(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	command, err := archivetools.Command(name, args...)
	if err != nil {
		t.Skip(err)
	}
	return command
}

// runHere runs a program in a directory with the files of the tests, and returns the one that OUT in its arguments means.
func runHere(t *testing.T, program string, args ...string) string {
	t.Helper()
	in, out := t.TempDir(), t.TempDir()
	files, _ := setFiles()
	for _, f := range files {
		at := filepath.Join(in, f.Name)
		require.NoError(t, os.MkdirAll(filepath.Dir(at), 0o700))
		require.NoError(t, os.WriteFile(at, f.Data, 0o600))
	}
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "OUT", out)
	}
	command := tool(t, program, args...)
	command.Dir = in
	output, err := command.CombinedOutput()
	require.NoError(t, err, "%s", output)
	return out
}

// written is the set that a program writes.
func written(t *testing.T, program string, args ...string) (VolumeSet, []volume) {
	t.Helper()
	out := runHere(t, program, args...)
	entries, err := os.ReadDir(out)
	require.NoError(t, err)
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return openSet(t, names, func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(out, name))
		require.NoError(t, err)
		return data
	})
}

func readRarSet(set VolumeSet, volumes []volume) (map[string]string, error) {
	contents := map[string]string{}
	rr, err := openRarSet(set, volumes)
	if err != nil {
		return contents, err
	}
	for {
		header, err := rr.Next()
		if err == io.EOF {
			return contents, nil
		}
		if err != nil {
			return contents, err
		}
		data, err := io.ReadAll(rr)
		if err != nil {
			return contents, err
		}
		contents[header.Name] = brief(data)
	}
}

func readZipSet(t *testing.T, set VolumeSet, volumes []volume) (map[string]string, error) {
	t.Helper()
	contents := map[string]string{}
	whole, spare, err := openZipVolumes(set, volumes)
	if err != nil {
		return contents, err
	}
	assert.Empty(t, spare)
	zr, err := zip.NewReader(whole, whole.size)
	if err != nil {
		return contents, err
	}
	for _, file := range zr.File {
		if strings.HasSuffix(file.Name, "/") {
			continue
		}
		r, err := file.Open()
		if err != nil {
			return contents, err
		}
		data, err := io.ReadAll(r)
		if err != nil {
			return contents, err
		}
		contents[file.Name] = brief(data)
	}
	return contents, nil
}

func TestJoinedIsOneFile(t *testing.T) {
	text := noise(1000)
	for _, size := range []int{1, 7, 333, 500, 999, 1000, 2000} {
		var volumes []volume
		for _, piece := range archivetest.Cut(text, size) {
			volumes = append(volumes, volume{r: bytes.NewReader(piece), size: int64(len(piece))}, volume{r: bytes.NewReader(nil)})
		}
		j := join(volumes...)
		assert.Equal(t, int64(len(text)), j.size)
		assert.NoError(t, iotest.TestReader(io.NewSectionReader(j, 0, j.size), text))
		_, err := j.ReadAt(make([]byte, 1), -1)
		assert.Equal(t, ReasonCorrupt, reason(err))
	}
	_, err := join().ReadAt(make([]byte, 1), 0)
	assert.Equal(t, io.EOF, err)

	shrunk := volume{r: strings.NewReader("abc"), size: 4}
	p := make([]byte, 5)
	n, err := join(shrunk, volume{r: strings.NewReader("x"), size: 1}).ReadAt(p, 0)
	assert.Equal(t, 3, n, "what follows a volume that has shrunk is not moved up")
	assert.Equal(t, io.ErrUnexpectedEOF, err)
}

func reason(err error) Reason {
	if err == nil {
		return ReasonNone
	}
	r, _ := reasonOf(err)
	return r
}

func detail(err error) string {
	_, d := reasonOf(err)
	return d
}

func rarNames(style string, count int) []string {
	var names []string
	for i := range count {
		switch {
		case style == "part":
			names = append(names, fmt.Sprintf("x.part%d.rar", i+1))
		case i == 0:
			names = append(names, "x.rar")
		default:
			names = append(names, fmt.Sprintf("x.%c%02d", 'r'+(i-1)/100, (i-1)%100))
		}
	}
	return names
}

func TestRarSets(t *testing.T) {
	files, want := setFiles()
	for _, style := range []string{"part", "old"} {
		for _, size := range []int{1000, 20_000, 150_005, 1_000_000} {
			data := archivetest.RarVolumes(files, size)
			if style == "old" && len(data) == 1 {
				continue
			}
			set, volumes := setOf(t, rarNames(style, len(data)), data)
			contents, err := readRarSet(set, volumes)
			require.NoError(t, err, "%s %d", style, size)
			assert.Equal(t, want, contents)

			set, volumes = setOf(t, rarNames(style, len(data)), archivetest.OldRarVolumes(files, size))
			contents, err = readRarSet(set, volumes)
			require.NoError(t, err, "version 2, %s %d", style, size)
			assert.Equal(t, want, contents)
		}
	}
}

// Another program takes the sets of the tests for good ones.
func TestRarSetsAreRight(t *testing.T) {
	files, want := setFiles()
	for style, data := range map[string][][]byte{
		"part": archivetest.RarVolumes(files, 50_000), "old": archivetest.OldRarVolumes(files, 50_000),
	} {
		in, out := t.TempDir(), t.TempDir()
		names := rarNames(style, len(data))
		for i, name := range names {
			require.NoError(t, os.WriteFile(filepath.Join(in, name), data[i], 0o600))
		}
		output, err := tool(t, "unar", "-D", "-o", out, filepath.Join(in, names[0])).CombinedOutput()
		require.NoError(t, err, "%s", output)
		contents := map[string]string{}
		for name := range want {
			data, err := os.ReadFile(filepath.Join(out, name))
			require.NoError(t, err)
			contents[name] = brief(data)
		}
		assert.Equal(t, want, contents)
	}
}

func TestAMissingRarVolumeIsNamed(t *testing.T) {
	files, want := setFiles()
	data := archivetest.RarVolumes(files, 50_000)
	require.Greater(t, len(data), 4)
	for _, style := range []string{"part", "old"} {
		names := rarNames(style, len(data))
		for missing := range data {
			there := append(append([]string(nil), names[:missing]...), names[missing+1:]...)
			blocks := append(append([][]byte(nil), data[:missing]...), data[missing+1:]...)
			set, volumes := setOf(t, there, blocks)
			contents, err := readRarSet(set, volumes)
			assert.Equal(t, ReasonMissingVolume, reason(err), "%s without %s: %v", style, names[missing], err)
			assert.Contains(t, detail(err), names[missing])
			for name, content := range contents {
				assert.Equal(t, want[name], content, "what is there is right")
			}
			if missing > 0 {
				assert.Contains(t, contents, "d/a.txt", "and is read")
			}
		}
	}
	alone := []volume{{name: "x.rar", r: bytes.NewReader(data[0]), size: int64(len(data[0]))}}
	_, err := readRarSet(loneVolume("x.rar"), alone)
	assert.Contains(t, detail(err), `"x.r00"`)
}

func TestRarVolumesOfDifferentSets(t *testing.T) {
	files, _ := setFiles()
	data := archivetest.RarVolumes(files, 50_000)
	other := archivetest.RarVolumes([]archivetest.File{{Name: "other.bin", Data: noise(300_000)}}, 50_000)
	whole := archivetest.RarVolumes(files, math.MaxInt)
	nothing := archivetest.RarVolumes(nil, 1)[0]
	for name, foreign := range map[string][]byte{
		"of another set": other[1], "a number of this set": data[3], "a whole archive": whole[0], "no archive": noise(50_000),
		"empty": nil, "another version": archivetest.OldRarVolumes(files, 50_000)[1], "an empty archive": nothing,
		"no head": append(bytes.Clone(nothing[:8]), nothing[len(nothing)-8:]...),
	} {
		mixed := append([][]byte(nil), data...)
		mixed[1] = foreign
		set, volumes := setOf(t, rarNames("part", len(data)), mixed)
		_, err := readRarSet(set, volumes)
		assert.Equal(t, ReasonCorrupt, reason(err), "%s: %v", name, err)
		assert.Contains(t, detail(err), "x.part2.rar", name)
	}
	old := archivetest.OldRarVolumes(files, 50_000)
	old[2] = archivetest.OldRarVolumes(files[3:], 50_000)[1]
	set, volumes := setOf(t, rarNames("old", len(old)), old)
	_, err := readRarSet(set, volumes)
	assert.Equal(t, ReasonCorrupt, reason(err), "%v", err)
	assert.Contains(t, detail(err), "x.r01")
}

// Nothing but the set is asked for what there is; the descriptors stay open.
func TestRarOptionsAreKept(t *testing.T) {
	archive := archivetest.RarEncrypted([]archivetest.File{{Name: "a", Data: []byte("secret")}}, "key")
	open := func(options ...rardecode.Option) error {
		rr, err := openRarSet(loneVolume("x.rar"), []volume{{r: bytes.NewReader(archive), size: int64(len(archive))}}, options...)
		require.NoError(t, err)
		_, err = rr.Next()
		require.NoError(t, err)
		_, err = io.ReadAll(rr)
		return err
	}
	assert.NoError(t, open(rardecode.Password("key")))
	assert.Equal(t, ReasonEncrypted, reason(open()))
}

func zipNames(count int) []string {
	var names []string
	for i := range count - 1 {
		names = append(names, fmt.Sprintf("x.z%02d", i+1))
	}
	return append(names, "x.zip")
}

func TestZipSets(t *testing.T) {
	files, want := setFiles()
	for _, size := range []int{50, 1000, 65_536, 150_000} {
		data := archivetest.SplitZip(archivetest.Zip(files), size)
		set, volumes := setOf(t, zipNames(len(data)), data)
		contents, err := readZipSet(t, set, volumes)
		require.NoError(t, err)
		assert.Equal(t, want, contents, size)

		whole, _, err := openZipVolumes(set, volumes)
		require.NoError(t, err)
		assert.Len(t, zipHeaderOffsets(whole, whole.size), len(want), "what was joined is an archive in one volume")
	}
	lone := archivetest.Zip(files)
	contents, err := readZipSet(t, loneVolume("x.zip"), []volume{{r: bytes.NewReader(lone), size: int64(len(lone))}})
	require.NoError(t, err)
	assert.Equal(t, want, contents, "one volume")
	program := append([]byte("#!/bin/sh"), lone...)
	contents, err = readZipSet(t, loneVolume("x.zip"), []volume{{r: bytes.NewReader(program), size: int64(len(program))}})
	require.NoError(t, err)
	assert.Equal(t, want, contents, "behind something else")
	empty := archivetest.Zip(nil)
	contents, err = readZipSet(t, loneVolume("x.zip"), []volume{{r: bytes.NewReader(empty), size: int64(len(empty))}})
	require.NoError(t, err)
	assert.Empty(t, contents)
}

func TestZipSetsOfOtherPrograms(t *testing.T) {
	_, want := setFiles()
	for name, args := range map[string][]string{
		"stored":   {"zip", "-q", "-0", "-s", "64k", "-r", "OUT/x.zip", "."},
		"deflated": {"zip", "-q", "-s", "64k", "-r", "OUT/x.zip", "."},
		"zip64":    {"zip", "-q", "-fz", "-s", "64k", "-r", "OUT/x.zip", "."},
	} {
		t.Run(name, func(t *testing.T) {
			set, volumes := written(t, args[0], args[1:]...)
			require.Greater(t, len(volumes), 2)
			contents, err := readZipSet(t, set, volumes)
			require.NoError(t, err)
			assert.Equal(t, want, contents)
		})
	}
}

func TestAMissingZipVolumeIsNamed(t *testing.T) {
	files, _ := setFiles()
	data := archivetest.SplitZip(archivetest.Zip(files), 50_000)
	names := zipNames(len(data))
	require.Greater(t, len(data), 4)
	for missing := range data {
		there := append(append([]string(nil), names[:missing]...), names[missing+1:]...)
		blocks := append(append([][]byte(nil), data[:missing]...), data[missing+1:]...)
		set, volumes := setOf(t, there, blocks)
		_, err := readZipSet(t, set, volumes)
		assert.Equal(t, ReasonMissingVolume, reason(err), names[missing])
		assert.Contains(t, detail(err), `"`+names[missing]+`"`)
	}
}

func TestZipVolumesOfDifferentSets(t *testing.T) {
	files, want := setFiles()
	data := archivetest.SplitZip(archivetest.Zip(files), 50_000)
	other := archivetest.SplitZip(archivetest.Zip(append(files, files...)), 50_000)

	mixed := append([][]byte(nil), data...)
	mixed[2] = other[len(other)-2][:40_000]
	set, volumes := setOf(t, zipNames(len(data)), mixed)
	_, err := readZipSet(t, set, volumes)
	assert.Equal(t, ReasonCorrupt, reason(err))

	mixed = append([][]byte(nil), data...)
	mixed[0] = mixed[0][:5]
	set, volumes = setOf(t, zipNames(len(data)), mixed)
	_, err = readZipSet(t, set, volumes)
	assert.Equal(t, ReasonCorrupt, reason(err))
	assert.ErrorContains(t, err, "not of this set")

	left := append(append([][]byte(nil), data[:len(data)-1]...), other[len(data)-1], data[len(data)-1])
	set, volumes = setOf(t, zipNames(len(left)), left)
	whole, spare, err := openZipVolumes(set, volumes)
	require.NoError(t, err)
	require.Len(t, spare, 1)
	assert.Equal(t, fmt.Sprintf("x.z%02d", len(data)), spare[0].name, "left over from a larger set")
	zr, err := zip.NewReader(whole, whole.size)
	require.NoError(t, err)
	assert.Len(t, zr.File, len(want))
}

func TestZipSetsBeyond4GiB(t *testing.T) {
	files, want := setFiles()
	data := archivetest.SplitZip(archivetest.Zip(files), 100_000)
	set, volumes := setOf(t, zipNames(len(data)), data)
	volumes[0] = volume{name: volumes[0].name, size: 5 << 30, r: readerAtFunc(func(p []byte, off int64) (int, error) {
		n, _ := bytes.NewReader(data[0]).ReadAt(p, off)
		clear(p[n:])
		return len(p), nil
	})}
	whole, _, err := openZipVolumes(set, volumes)
	require.NoError(t, err)
	zr, err := zip.NewReader(whole, whole.size)
	require.NoError(t, err)
	require.Len(t, zr.File, len(want))
	offset, err := zr.File[3].DataOffset()
	require.NoError(t, err)
	assert.Greater(t, offset, int64(5<<30))
	r, err := zr.File[3].Open()
	require.NoError(t, err)
	content, err := io.ReadAll(r)
	require.NoError(t, err)
	assert.Equal(t, want["d/b.bin"], brief(content))
}

type readerAtFunc func(p []byte, off int64) (int, error)

func (f readerAtFunc) ReadAt(p []byte, off int64) (int, error) { return f(p, off) }

func TestLocationsInZip64(t *testing.T) {
	header := make([]byte, zipCentralSize)
	header = append(header, "name"...)
	le.PutUint16(header[28:], 4)
	le.PutUint32(header[24:], math.MaxUint32)
	le.PutUint32(header[42:], math.MaxUint32)
	le.PutUint16(header[34:], math.MaxUint16)
	extra := []byte{'x', 'x', 1, 0, 0, 1, 0, 20, 0}
	extra = le.AppendUint64(le.AppendUint64(extra, 6<<30), 5<<30)
	extra = le.AppendUint32(extra, 70_000)
	header = append(header, extra...)
	le.PutUint16(header[30:], uint16(len(extra)))
	number, offset := centralLocation(header)
	assert.Equal(t, int64(70_000), number)
	assert.Equal(t, int64(5<<30), offset)
}

func TestDamagedZipDirectories(t *testing.T) {
	files, want := setFiles()
	data := archivetest.SplitZip(archivetest.Zip(files), 50_000)
	last := len(data) - 1
	counted := append([][]byte(nil), data...)
	counted[last] = bytes.Clone(data[last])
	counted[last][len(data[last])-12]++ // the number of entries
	set, volumes := setOf(t, zipNames(len(data)), counted)
	_, err := readZipSet(t, set, volumes)
	assert.Equal(t, ReasonCorrupt, reason(err))
	records := 22
	for _, f := range files {
		records += 46 + len(f.Name) + 9 // and a time
	}
	for at := len(data[last]) - records; at < len(data[last]); at++ {
		broken := append([][]byte(nil), data...)
		broken[last] = bytes.Clone(data[last])
		broken[last][at] ^= 1 << (at % 8)
		set, volumes := setOf(t, zipNames(len(data)), broken)
		contents, err := readZipSet(t, set, volumes)
		for name, content := range contents {
			if original, ok := want[name]; ok {
				require.Equal(t, original, content, "%s, byte %d: %v", name, at, err)
			}
		}
	}
}

func TestHugeZipDirectory(t *testing.T) {
	huge := readerAtFunc(func(p []byte, _ int64) (int, error) { return len(p), nil })
	_, err := readZipDirectory(huge, 0, 64<<20+1)
	assert.Equal(t, ReasonLimitEntries, reason(err))
}

// FuzzZipVolumes feeds the readers of directories: no set may make them panic, or point outside of itself.
func FuzzZipVolumes(f *testing.F) {
	files := []archivetest.File{{Name: "a", Data: []byte("alpha")}, {Name: "b", Data: []byte("beta")}}
	for _, data := range archivetest.SplitZip(archivetest.Zip(files), 100) {
		f.Add([]byte("PK\x07\x08PK\x03\x04"), data)
	}
	f.Add([]byte{}, archivetest.Zip(files))
	f.Fuzz(func(t *testing.T, first, last []byte) {
		volumes := []volume{
			{name: "x.z01", r: bytes.NewReader(first), size: int64(len(first))},
			{name: "x.zip", r: bytes.NewReader(last), size: int64(len(last))},
		}
		whole, spare, err := openZipVolumes(VolumeSet{Next: "x.z02"}, volumes)
		if err == nil {
			require.Equal(t, len(spare) == 1, whole.size == int64(len(last)))
			zipHeaderOffsets(whole, whole.size)
		}
		isZipDirectoryEncrypted(bytes.NewReader(last), int64(len(last)))
	})
}

func TestPieces(t *testing.T) {
	for _, format := range []string{"zip", "7z"} {
		t.Run(format, func(t *testing.T) {
			set, volumes := written(t, "7zz", "a", "-v64k", "OUT/x."+format, ".")
			require.Greater(t, len(volumes), 2)
			j := join(volumes...)
			found, _, ok := Recognise(set.Name, j, j.size)
			assert.True(t, ok)
			assert.Equal(t, Format(format), found)

			j = join(volumes[:len(volumes)-1]...)
			if format == "zip" {
				_, err := readZipEndRecords(volume{r: j, size: j.size})
				err = set.explain(err)
				assert.Equal(t, ReasonMissingVolume, reason(err))
				return
			}
			_, err := sevenzip.NewReader(j, j.size)
			assert.Equal(t, ReasonMissingVolume, reason(set.explain(err)))
		})
	}
	set := VolumeSet{Style: CutVolumes, Next: "d/x.7z.003"}
	err := set.explain(io.ErrUnexpectedEOF)
	assert.Equal(t, ReasonMissingVolume, reason(err))
	assert.Equal(t, `the volume "x.7z.003" is missing`, detail(err))
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
	assert.NoError(t, set.explain(nil))
	other := errors.New("something else")
	assert.Equal(t, other, set.explain(other))
	assert.Equal(t, io.ErrUnexpectedEOF, loneVolume("x.rar").explain(io.ErrUnexpectedEOF))
}
