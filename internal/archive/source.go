package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"
)

// source is an archive that is open for reading: one file, or the volumes of a set. Its reads fail as soon as the context
// is done, so that no decoder goes on without input, and it remembers a failure of the storage, which is no fault of the
// contents.
type source struct {
	*joined
	ctx     context.Context // of the layer that is being decoded, or of the whole Extract call
	steps   *atomic.Int64   // counts reads
	modTime time.Time
	fault   atomic.Pointer[error] // decoders may read in goroutines of their own
}

func newSource(ctx context.Context, files ...*os.File) (*source, error) {
	s := &source{ctx: ctx, steps: new(atomic.Int64)}
	var volumes []volume
	for _, file := range files {
		info, err := file.Stat()
		if err != nil {
			return nil, err
		}
		if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s is not a regular file", info.Name())
		}
		if s.modTime.IsZero() {
			s.modTime = info.ModTime()
		}
		volumes = append(volumes, volume{name: info.Name(), r: &sourceFile{s, file}, size: info.Size()})
	}
	s.joined = join(volumes...)
	return s, nil
}

// use sets what the next reads are for.
func (s *source) use(ctx context.Context, steps *atomic.Int64) { s.ctx, s.steps = ctx, steps }

// reader returns a new reader over the whole archive.
func (s *source) reader() *io.SectionReader { return io.NewSectionReader(s, 0, s.size) }

// err returns why the storage could not be read, if it could not.
func (s *source) err() error {
	if fault := s.fault.Load(); fault != nil {
		return *fault
	}
	return nil
}

// sourceFile is one file of a source.
type sourceFile struct {
	*source
	file *os.File
}

// ReadAt implements io.ReaderAt.
func (f *sourceFile) ReadAt(p []byte, off int64) (int, error) {
	f.steps.Add(1)
	if err := f.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := f.file.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		f.fault.Store(&err)
	}
	return n, err
}
