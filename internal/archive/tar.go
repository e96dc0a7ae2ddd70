package archive

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"io"
	"unicode/utf8"

	"github.com/mholt/archiver/v4"
)

// readTarFile reads a tar archive that is not compressed.
func (x *extraction) readTarFile(ctx context.Context, n *layer, src *source) error {
	return x.readTar(ctx, n, bufio.NewReaderSize(src.reader(), bufferSize))
}

// readTar reads a stream of one tar archive, or of several that were appended to one another, to its end.
func (x *extraction) readTar(ctx context.Context, n *layer, r *bufio.Reader) error {
	if err := x.claimBase(n); err != nil {
		return err
	}
	for {
		stream := &tarStream{r: r}
		err := archiver.Tar{}.Extract(ctx, stream, func(ctx context.Context, file archiver.FileInfo) error {
			if e, ok := tarEntry(file); ok {
				return x.take(ctx, n, e)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if stream.ended {
			return fault(ReasonTruncated, "the mark at the end of the tar archive is missing")
		}
		if again, err := x.skipPadding(ctx, r); err != nil || !again {
			return err
		}
	}
}

// skipPadding reads the zero blocks behind a tar archive. It says whether another one follows.
func (x *extraction) skipPadding(ctx context.Context, r *bufio.Reader) (another bool, err error) {
	for {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		block, err := r.Peek(tarBlock)
		switch {
		case isTarHeader(block):
			return true, nil
		case !isZero(block):
			// The checksum of a compressed stream stands at its end.
			if _, err := io.Copy(io.Discard, r); err != nil {
				return false, err
			}
			return false, errTrailing
		case err == nil:
		case errors.Is(err, io.EOF):
			return false, nil
		default:
			return false, err
		}
		_, _ = r.Discard(len(block))
	}
}

// tarStream notices when a tar reader meets the end of the stream: an archive that is complete ends before, with two
// blocks of zeros.
type tarStream struct {
	r     *bufio.Reader
	ended bool
}

// Read implements io.Reader.
func (t *tarStream) Read(p []byte) (int, error) {
	count, err := t.r.Read(p)
	if count > 0 && err == io.EOF {
		return count, nil
	}
	t.ended = t.ended || err == io.EOF
	return count, err
}

// tarEntry returns ok = false for what is no member but a note of the program that wrote the archive.
func tarEntry(file archiver.FileInfo) (e entry, ok bool) {
	header := file.Header.(*tar.Header)
	e = entry{
		name: header.Name, target: header.Linkname, modTime: header.ModTime,
		open: func() (io.ReadCloser, error) { return file.Open() },
	}
	if path := header.PAXRecords["path"]; utf8.ValidString(path) { // which the standard wants to be UTF-8
		e.text = path
	}
	// GNU: the name of a volume; the rest of a file that began on the volume before; a directory with a list of its files.
	const label, continuation, dumpedDir = 'V', 'M', 'D'
	switch header.Typeflag {
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
	case tar.TypeDir, dumpedDir:
		e.kind = directory
	case tar.TypeLink:
		e.kind = link
	case continuation:
		e.refuse = fault(ReasonMissingVolume, "the file began on another volume")
	case label:
		return e, false
	default:
		e.kind = special
	}
	return e, true
}
