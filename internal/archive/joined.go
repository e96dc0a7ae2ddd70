package archive

import (
	"io"
	"slices"
)

// volume is one file of a set, open for reading. Who opened it closes it.
type volume struct {
	name string
	r    io.ReaderAt
	size int64
}

// joined reads volumes as if they were one file.
type joined struct {
	volumes []volume
	starts  []int64 // where each volume begins
	size    int64
}

func join(volumes ...volume) *joined {
	j := &joined{volumes: volumes}
	for _, v := range volumes {
		j.starts = append(j.starts, j.size)
		j.size += v.size
	}
	return j
}

// from returns what follows an offset in the first volume, before which there is something else.
func (j *joined) from(offset int64) *joined {
	if offset == 0 {
		return j
	}
	volumes := slices.Clone(j.volumes)
	first := &volumes[0]
	first.r, first.size = io.NewSectionReader(first.r, offset, first.size-offset), first.size-offset
	return join(volumes...)
}

// ReadAt implements io.ReaderAt.
func (j *joined) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fault(ReasonCorrupt, "the archive points before its beginning")
	}
	i, found := slices.BinarySearch(j.starts, off)
	if !found {
		i--
	}
	for ; n < len(p) && i < len(j.volumes) && i >= 0; i++ {
		count, err := j.readVolume(i, p[n:], off+int64(n)-j.starts[i])
		if n += count; err != nil {
			return n, err
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// readVolume fills p up to the end of a volume. A volume that ends before its size has shrunk: what comes next does not
// belong there.
func (j *joined) readVolume(i int, p []byte, off int64) (int, error) {
	p = p[:min(int64(len(p)), max(j.volumes[i].size-off, 0))]
	n, err := j.volumes[i].r.ReadAt(p, off)
	switch {
	case n == len(p):
		return n, nil
	case err == io.EOF:
		return n, io.ErrUnexpectedEOF
	}
	return n, err
}
