package archive

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// VolumeStyle says how the volumes of a set make up one archive.
type VolumeStyle string

// Styles of sets.
const (
	PartVolumes   VolumeStyle = "part" // x.part1.rar, x.part2.rar, …: RAR volumes, each with headers of its own
	OldRarVolumes VolumeStyle = "r00"  // x.rar, x.r00, …, x.r99, x.s00, …: the same, called as RAR did up to version 2
	ZipVolumes    VolumeStyle = "z01"  // x.z01, x.z02, …, and at the end x.zip with the directory (APPNOTE.TXT 8.3)
	CutVolumes    VolumeStyle = "001"  // x.7z.001, x.7z.002, …: one file, cut in pieces
)

// VolumeSet is what the names in a directory tell of an archive in several files. Whether it is whole only its contents
// can tell.
type VolumeSet struct {
	Name    string // of the volume that stands for the set, there or not: x.part1.rar, x.rar, x.zip, x.7z.001
	Style   VolumeStyle
	Volumes []string // in their order, as far as there is no gap; none if the volume Name is missing
	Next    string   // what the volume that would continue Volumes is called
	Rest    []string // volumes behind the gap: of no use by themselves
}

// VolumeOf says by a name, or a path, alone what set the file belongs to: first is the name of the volume that stands for
// the set, written like this one, and number counts from 1 in the order of the set. Names that whole archives have too
// (x.rar, x.zip) are not ok: only their neighbours make volumes of them.
func VolumeOf(name string) (first string, number int, ok bool) {
	v, ok := parseVolume(name)
	if !ok || v.isPlain() {
		return "", 0, false
	}
	return v.first(), v.number, true
}

// isLaterVolume recognises by its name what has no mark of its own: the rest of a file that was cut, or of a zip archive.
func isLaterVolume(name string) bool {
	v, ok := parseVolume(name)
	return ok && v.number > 1 && v.number != lastVolume && (v.style == CutVolumes || v.style == ZipVolumes)
}

// VolumeSets finds the sets among the names in one directory, or among paths, in the order of VolumeSet.Name. Extensions
// may differ in upper and lower case, and numbers in their leading zeros.
func VolumeSets(names []string) []VolumeSet {
	type key struct {
		style VolumeStyle
		stem  string
	}
	groups := map[key]map[int]volumeName{}
	for _, name := range slices.Backward(slices.Sorted(slices.Values(names))) { // of twins the first one stays
		if v, ok := parseVolume(name); ok {
			k := key{v.style, v.stem}
			if groups[k] == nil {
				groups[k] = map[int]volumeName{}
			}
			groups[k][v.number] = v
		}
	}
	var sets []VolumeSet
	for _, group := range groups {
		if set, ok := newVolumeSet(group); ok {
			sets = append(sets, set)
		}
	}
	slices.SortFunc(sets, func(a, b VolumeSet) int { return strings.Compare(a.Name, b.Name) })
	return sets
}

// loneVolume is the set of a file that has no neighbours, for an archive that turns out to be one volume of several.
func loneVolume(name string) VolumeSet {
	v, ok := parseVolume(name)
	if !ok {
		return VolumeSet{Name: name, Style: CutVolumes, Volumes: []string{name}, Next: name + ", continued"}
	}
	set, _ := newVolumeSet(map[int]volumeName{v.number: v})
	return set
}

// newVolumeSet orders the volumes of a set. It is not ok if all there is may be a whole archive, or no archive at all.
func newVolumeSet(group map[int]volumeName) (_ VolumeSet, ok bool) {
	numbers := slices.Sorted(maps.Keys(group))
	sample := group[numbers[0]]
	set := VolumeSet{Name: sample.first(), Style: sample.style}
	next := 1
	for ; group[next].name != ""; next++ {
		set.Volumes = append(set.Volumes, group[next].name)
	}
	for _, number := range numbers {
		if number >= next && group[number].isEvident() {
			set.Rest = append(set.Rest, group[number].name)
		}
	}
	set.Next = sample.sibling(next)
	last, hasLast := group[lastVolume]
	switch {
	case hasLast:
		set.Name, set.Volumes = last.name, append(set.Volumes, last.name)
	case sample.style == ZipVolumes:
		set.Volumes, set.Rest, set.Next = nil, append(set.Volumes, set.Rest...), set.Name
	case len(set.Volumes) > 0:
		set.Name = set.Volumes[0]
	}
	known := len(set.Volumes) + len(set.Rest)
	return set, known > 1 || known == 1 && !sample.isPlain()
}

// missing is the fault of a set whose volume Next is needed.
func (s VolumeSet) missing() error {
	return fault(ReasonMissingVolume, "the volume %q is missing", printable(path.Base(s.Next)))
}

// explain says of a file in pieces that ended too early which piece is missing.
func (s VolumeSet) explain(err error) error {
	if err == nil || s.Style != CutVolumes {
		return err
	}
	if reason, _ := reasonOf(err); reason != ReasonTruncated {
		return err
	}
	return fmt.Errorf("%w: %w", s.missing(), err)
}

// lastVolume stands for the number of x.zip, which is the last volume of its set, however many there are.
const lastVolume = math.MaxInt

// volumeName is a name that a volume may have.
type volumeName struct {
	name   string
	style  VolumeStyle
	stem   string // what the names of the set have in common
	number int    // from 1
}

// volumeNames are how the volumes of each style are called: the stem, and the number, if there is one. Only what is called
// an archive is taken for one in pieces: of names like "report.csv.001" there are many that count days.
var volumeNames = []struct {
	style   VolumeStyle
	pattern *regexp.Regexp
}{
	{PartVolumes, regexp.MustCompile(`(?i)^(.*[^/])\.part(\d{1,5})\.rar$`)},
	{OldRarVolumes, regexp.MustCompile(`(?i)^(.*[^/])\.(?:rar|([r-y]\d\d))$`)},
	{ZipVolumes, regexp.MustCompile(`(?i)^(.*[^/])\.(?:zip|z(\d{2,5}))$`)},
	{CutVolumes, regexp.MustCompile(`^(.*[^/]\.[^./]+)\.(\d{3,5})$`)},
}

func parseVolume(name string) (volumeName, bool) {
	if strings.TrimRight(name, "0123456789rRpP") == name {
		return volumeName{}, false // spares most names the patterns
	}
	for _, names := range volumeNames {
		match := names.pattern.FindStringSubmatch(name)
		if match == nil {
			continue
		}
		v := volumeName{name: name, style: names.style, stem: match[1]}
		ext := strings.ToLower(path.Ext(v.stem))
		if v.style == CutVolumes && !archiveNames[ext] && !tarNames[ext] {
			return v, false
		}
		v.number = v.parseNumber(strings.ToLower(match[2]))
		return v, v.number > 0
	}
	return volumeName{}, false
}

func (v volumeName) parseNumber(text string) int {
	switch {
	case text == "" && v.style == ZipVolumes:
		return lastVolume
	case text == "":
		return 1
	case v.style == OldRarVolumes:
		number, _ := strconv.Atoi(text[1:])
		return int(text[0]-'r')*100 + number + 2
	}
	number, _ := strconv.Atoi(text)
	return number
}

// sibling is the name of another volume of the set, written like this one: in the same case, with as many digits.
func (v volumeName) sibling(number int) string {
	ext := path.Ext(v.name)
	like := func(format string, args ...any) string {
		text := fmt.Sprintf(format, args...)
		if ext[1] >= 'A' && ext[1] <= 'Z' {
			text = strings.ToUpper(text)
		}
		return v.stem + text
	}
	switch {
	case v.style == PartVolumes:
		mark := len(v.stem) + len(".part")
		return fmt.Sprintf("%s%0*d%s", v.name[:mark], len(v.name)-mark-len(ext), number, ext)
	case v.style == CutVolumes:
		return fmt.Sprintf("%s.%0*d", v.stem, len(ext)-1, number)
	case number == lastVolume:
		return like(".zip")
	case v.style == ZipVolumes:
		return like(".z%02d", number)
	case number == 1:
		return like(".rar")
	default:
		return like(".%c%02d", 'r'+(number-2)/100, (number-2)%100)
	}
}

// first is the name of the volume that stands for the set.
func (v volumeName) first() string {
	if v.style == ZipVolumes {
		return v.sibling(lastVolume)
	}
	return v.sibling(1)
}

// isPlain says whether archives in one file are called so, too.
func (v volumeName) isPlain() bool {
	return v.number == lastVolume || v.style == OldRarVolumes && v.number == 1
}

// isEvident says whether the name means a volume even behind a gap. Extensions like ".s01" mean many things.
func (v volumeName) isEvident() bool {
	const r99 = 101
	return v.number != lastVolume && (v.style != OldRarVolumes || v.number <= r99)
}

// Volumes returns the paths of the files that the archive at a path is made of, in their order: itself, or the volumes that
// lie beside it. The error is one of reading the directory.
func Volumes(archive string) ([]string, error) {
	dir, name := filepath.Split(archive)
	v, ok := parseVolume(name)
	if !ok || v.isPlain() && !v.hasNeighbour(dir) {
		return []string{archive}, nil
	}
	entries, err := os.ReadDir(cmp.Or(dir, "."))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	for _, set := range VolumeSets(names) {
		if set.Name != name || len(set.Volumes) == 0 {
			continue
		}
		for i, volume := range set.Volumes {
			set.Volumes[i] = dir + volume
		}
		return set.Volumes, nil
	}
	return []string{archive}, nil
}

// hasNeighbour says whether the volume lies there that makes one of a name that whole archives have too. It saves reading
// large directories for ordinary archives.
func (v volumeName) hasNeighbour(dir string) bool {
	next := v.sibling(1)
	if v.style == OldRarVolumes {
		next = v.sibling(2)
	}
	ext := path.Ext(next)
	for _, ext := range []string{strings.ToLower(ext), strings.ToUpper(ext)} {
		if _, err := os.Lstat(dir + v.stem + ext); err == nil {
			return true
		}
	}
	return false
}

// volumeSet is the set that an archive is, which is made of files of these names. An archive in one file may be a volume by
// its name; else it has the zero set.
func volumeSet(names []string) VolumeSet {
	if len(names) == 1 {
		if _, _, ok := VolumeOf(names[0]); !ok {
			return VolumeSet{}
		}
		return loneVolume(names[0])
	}
	for _, set := range VolumeSets(names) {
		return set
	}
	return VolumeSet{}
}

func baseNames(paths []string) []string {
	names := make([]string, len(paths))
	for i, p := range paths {
		names[i] = filepath.Base(p)
	}
	return names
}
