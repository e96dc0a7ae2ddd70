package archive

import (
	"cmp"
	"slices"

	"github.com/klauspost/compress/zip"
)

// overlaps finds the entries whose data lie, wholly or partly, in those of an entry that begins before them: the way to
// zip bombs that hold the same data under many names (https://www.bamsoftware.com/hacks/zipbomb/).
//
// As long as the entries together are no larger than the archive, each byte of it is paid for once, and no output is to be
// had that would not be had without overlaps: then nothing is read and nothing is found. So an honest archive costs an
// addition for each entry, while a local header must be read to know where the data of one begin.
func overlaps(files []*zip.File, size int64) map[*zip.File]bool {
	sum := int64(0)
	for _, file := range files {
		if sum += zipLocalSize + clippedSize(file, size); sum > size {
			return findOverlaps(files, size)
		}
	}
	return nil
}

// clippedSize is the size of an entry's data, and that of the archive for one that cannot be true.
func clippedSize(file *zip.File, size int64) int64 {
	return int64(min(file.CompressedSize64, uint64(size)))
}

func findOverlaps(files []*zip.File, size int64) map[*zip.File]bool {
	type extent struct {
		file       *zip.File
		start, end int64
	}
	var extents []extent
	for _, file := range files {
		start, err := file.DataOffset()
		length := clippedSize(file, size)
		if err == nil && length > 0 { // what is wrong with the header, opening the entry will tell
			extents = append(extents, extent{file, start, start + length})
		}
	}
	slices.SortStableFunc(extents, func(a, b extent) int { return cmp.Compare(a.start, b.start) })
	found := map[*zip.File]bool{}
	end := int64(0)
	for _, e := range extents {
		if e.start < end {
			found[e.file] = true
		} else {
			end = e.end
		}
	}
	return found
}
