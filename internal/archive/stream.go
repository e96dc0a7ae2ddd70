package archive

import (
	"bufio"
	"context"
	"errors"
	"io"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/mholt/archiver/v4"
	"github.com/pierrec/lz4/v4"

	"talon/internal/archive/inflate"
	"talon/internal/archive/lzma"
	"talon/internal/pathname"
)

// readStream reads a compressed stream: a tar archive, or one file. Compressor and tar archive are one layer.
func (x *extraction) readStream(ctx context.Context, n *layer, src *source, format Format) error {
	s, err := x.openStream(src, format)
	if err != nil {
		return err
	}
	defer s.Close()
	ahead := newReadAhead(s, x.buffers)
	defer ahead.Close()
	r := bufio.NewReaderSize(ahead, 2*tarBlock)
	head, _ := r.Peek(2 * tarBlock) // what goes wrong here, the next read returns again
	if isTarHeader(head) || saysTar(n.name) && isEmptyTar(head) {
		s.isTar.Store(true)
		err = x.readTar(ctx, n, r)
	} else {
		err = x.readSingle(ctx, n, r, s.modTime)
	}
	if err == nil && s.trailing() {
		return errTrailing
	}
	return err
}

// readSingle writes the only file there is beside the archive. What is wrong with it is wrong with the layer.
func (x *extraction) readSingle(ctx context.Context, n *layer, r io.Reader, modTime time.Time) error {
	n.entries++
	if err := x.budget.entry(n.entries); err != nil {
		return err
	}
	if dir := path.Dir(n.path); n.parent != nil && dir != "." {
		n.base = dir
	}
	name, err := pathname.Portable(streamName(n.name)) // one component, whatever stands in it
	if err != nil {
		return err
	}
	m := &member{name: name, raw: name}
	x.place(n, m, path.Join(n.base, name), modTime)
	err = x.receive(ctx, m, func() (io.ReadCloser, error) { return io.NopCloser(r), nil }, x.now)
	if err == nil {
		n.members = append(n.members, m)
	}
	return err
}

// stream is a decompressor over a file.
type stream struct {
	io.ReadCloser
	source  *source
	input   *bufio.Reader
	budget  *budget
	isTar   atomic.Bool // a tar reader may skip much of it, while elsewhere all is written, and counted then
	modTime time.Time   // of the file inside, if the format tells
	ended   bool        // the decompressor met something else behind the end
	err     error       // the last word of the decompressor: not all of them say it twice
}

func (x *extraction) openStream(src *source, format Format) (*stream, error) {
	input := bufio.NewReaderSize(src.reader(), readSize)
	decoder, err := x.decompressor(input, format)
	if err != nil {
		return nil, err
	}
	s := &stream{ReadCloser: decoder, source: src, input: input, budget: x.budget}
	// A writer in wide use (github.com/klauspost/compress/gzip) puts the year 2042 where it knows no time.
	if gz, ok := decoder.(*gzipReader); ok && gz.ModTime.Before(time.Now().Add(24*time.Hour)) {
		s.modTime = gz.ModTime
	}
	return s, nil
}

func (x *extraction) decompressor(r *bufio.Reader, format Format) (io.ReadCloser, error) {
	switch format {
	case Gzip:
		decoder, err := inflate.NewGzipReader(r)
		return &gzipReader{decoder}, err
	case Bzip2:
		return archiver.Bz2{}.OpenReader(r)
	case XZ:
		return x.xz(r)
	case Zstd:
		return archiver.Zstd{DecoderOptions: x.zstdOptions()}.OpenReader(r)
	case LZ4:
		return archiver.Lz4{}.OpenReader(r)
	case Brotli:
		return archiver.Brotli{}.OpenReader(r)
	case Snappy:
		return archiver.Sz{}.OpenReader(r)
	case Lzip:
		return io.NopCloser(&lzipReader{input: r, dictionary: x.limits.DictionaryBytes}), nil
	case Zlib:
		return archiver.Zlib{}.OpenReader(r)
	}
	return nil, fault(ReasonUnrecognised, "no decompressor for %q", format)
}

// gzipReader has nothing to close.
type gzipReader struct{ *inflate.GzipReader }

// Close implements io.Closer.
func (*gzipReader) Close() error { return nil }

// Read implements io.Reader. Something else behind a complete stream ends it: each decoder has its own word for that.
func (s *stream) Read(p []byte) (int, error) {
	if s.err == nil {
		s.err = s.source.ctx.Err() // a tar reader that skips asks nobody else
	}
	if s.err != nil {
		return 0, s.err
	}
	count, err := s.ReadCloser.Read(p)
	if err != nil && err != io.EOF && isForeign(err) {
		s.ended, err = true, io.EOF
	}
	if limit := s.count(count); limit != nil {
		err = limit
	}
	s.err = err
	return count, err
}

func (s *stream) count(n int) error {
	if !s.isTar.Load() {
		return nil
	}
	return s.budget.stream(n)
}

// isForeign recognises the errors for a next member that is none. They cannot be about the first member: its mark is how
// the format was recognised.
func isForeign(err error) bool {
	return errors.Is(err, inflate.ErrTrailing) || errors.Is(err, lz4.ErrInvalidFrame) || errors.Is(err, zstd.ErrMagicMismatch) ||
		errors.Is(err, lzma.ErrTrailing) || errors.Is(err, errTrailing) ||
		strings.Contains(err.Error(), "bzip2: corrupted input: invalid stream magic") ||
		strings.Contains(err.Error(), "brotli: excessive input")
}

// trailing says whether bytes are left over behind the compressed data.
func (s *stream) trailing() bool {
	if s.ended {
		return true
	}
	_, err := s.input.Peek(1)
	return err == nil
}
