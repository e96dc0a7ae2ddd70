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

// source is an archive file that is open for reading. Its reads fail as soon as the context is done, so that no decoder
// goes on without input, and it remembers a failure of the storage, which is no fault of the contents.
type source struct {
	ctx     context.Context // of the layer that is being decoded, or of the whole Extract call
	steps   *atomic.Int64   // counts reads
	file    *os.File
	size    int64
	modTime time.Time
	fault   atomic.Pointer[error] // decoders may read in goroutines of their own
}

func newSource(ctx context.Context, file *os.File) (*source, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", info.Name())
	}
	return &source{ctx: ctx, file: file, size: info.Size(), modTime: info.ModTime()}, nil
}

// use sets what the next reads are for.
func (s *source) use(ctx context.Context, steps *atomic.Int64) { s.ctx, s.steps = ctx, steps }

// ReadAt implements io.ReaderAt.
func (s *source) ReadAt(p []byte, off int64) (int, error) {
	if s.steps != nil {
		s.steps.Add(1)
	}
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, fault(ReasonCorrupt, "the archive points before its beginning")
	}
	n, err := s.file.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		s.fault.Store(&err)
	}
	return n, err
}

// reader returns a new reader over the whole file.
func (s *source) reader() *io.SectionReader { return io.NewSectionReader(s, 0, s.size) }

// err returns why the storage could not be read, if it could not.
func (s *source) err() error {
	if fault := s.fault.Load(); fault != nil {
		return *fault
	}
	return nil
}
