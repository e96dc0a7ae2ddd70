package archive

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/nwaples/rardecode/v2"
)

// rarSet reads the volumes of a RAR archive, which may be one, as *rardecode.Reader reads one.
type rarSet struct {
	reader  *rardecode.ReadCloser
	volumes *rarVolumes
}

// openRarSet opens the set whose volumes are given in the order of set.Volumes.
func openRarSet(set VolumeSet, volumes []volume, options ...rardecode.Option) (*rarSet, error) {
	source := &rarVolumes{set: set, volumes: volumes}
	options = append(slices.Clip(options), rardecode.FileSystem(source))
	reader, err := rardecode.OpenReader("volume1.rar", options...)
	if err != nil {
		return nil, source.explain(err)
	}
	return &rarSet{reader, source}, nil
}

// Next is rardecode.Reader.Next.
func (s *rarSet) Next() (*rardecode.FileHeader, error) {
	header, err := s.reader.Next()
	return header, s.volumes.explain(err)
}

// Read implements io.Reader for the current file.
func (s *rarSet) Read(p []byte) (int, error) {
	n, err := s.reader.Read(p)
	return n, s.volumes.explain(err)
}

// rarVolumes gives the decoder its volumes in their order. It does not look at the names that the decoder makes up: what
// a volume is really called the set knows better, and nothing is opened by its path.
type rarVolumes struct {
	set     VolumeSet
	volumes []volume
	opened  int
}

// Open implements fs.FS. That there is no file the decoder takes for the end of an archive too old to say so itself.
func (r *rarVolumes) Open(string) (fs.File, error) {
	if r.opened == len(r.volumes) {
		return nil, fmt.Errorf("%w: %w", r.set.missing(), fs.ErrNotExist)
	}
	v := r.volumes[r.opened]
	r.opened++
	return rarVolume{io.NewSectionReader(v.r, 0, v.size)}, nil
}

// explain names the volume that does not continue the ones before it.
func (r *rarVolumes) explain(err error) error {
	if r.opened <= 1 {
		return err
	}
	for _, foreign := range []error{
		rardecode.ErrBadVolumeNumber, rardecode.ErrVerMismatch, rardecode.ErrInvalidFileBlock, rardecode.ErrUnexpectedArcEnd,
		rardecode.ErrNoSig, rardecode.ErrNoArchiveBlock,
	} {
		if errors.Is(err, foreign) {
			name := printable(r.volumes[r.opened-1].name)
			return fault(ReasonCorrupt, "the volume %q does not continue the one before it: %v", name, err)
		}
	}
	return err
}

// rarVolume is a volume as the decoder wants it. It seeks, so that files nobody wants cost no reading.
type rarVolume struct{ *io.SectionReader }

// Close implements fs.File; the volume stays open for whoever opened it.
func (rarVolume) Close() error { return nil }

// Stat implements fs.File. The decoder does not ask.
func (rarVolume) Stat() (fs.FileInfo, error) { return nil, fs.ErrInvalid }
