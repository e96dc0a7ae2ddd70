package archive

import (
	"context"
	"errors"
	"hash"
	"hash/crc32"
	"io"
	"io/fs"

	"github.com/bodgit/sevenzip"
	"github.com/mholt/archiver/v4"
)

// readSevenZip reads a 7z archive with the first password that fits, the first try being none.
func (x *extraction) readSevenZip(ctx context.Context, n *layer, src *source) error {
	password := x.sevenZipPassword(ctx, src)
	based := false
	err := archiver.SevenZip{Password: password}.Extract(ctx, src.reader(), func(ctx context.Context, file archiver.FileInfo) error {
		if !based {
			if err := x.claimBase(n); err != nil {
				return err
			}
			based = true
		}
		return x.take(ctx, n, sevenZipEntry(file))
	})
	if err == nil && !based {
		return x.claimBase(n)
	}
	return err
}

// sevenZipPassword returns the first password that opens the first file; "" if none is needed, or none fits.
func (x *extraction) sevenZipPassword(ctx context.Context, src *source) string {
	if len(x.passwords) == 0 || x.trySevenZip(ctx, src, "") == nil {
		return ""
	}
	for _, password := range x.passwords {
		if x.trySevenZip(ctx, src, password) == nil {
			return password
		}
	}
	return ""
}

var errTried = errors.New("one file was enough")

func (x *extraction) trySevenZip(ctx context.Context, src *source, password string) error {
	err := archiver.SevenZip{Password: password}.Extract(ctx, src.reader(), func(ctx context.Context, file archiver.FileInfo) error {
		e := sevenZipEntry(file)
		if e.kind != regular || file.Size() == 0 {
			return nil
		}
		r, err := e.open()
		if err != nil {
			return err
		}
		defer r.Close()
		if err := x.trial(ctx, r); err != nil {
			return err
		}
		return errTried
	})
	if errors.Is(err, errTried) {
		return nil
	}
	return err
}

func sevenZipEntry(file archiver.FileInfo) entry {
	header := file.Header.(sevenzip.FileHeader)
	e := entry{name: header.Name, text: header.Name, modTime: header.Modified}
	e.open = func() (io.ReadCloser, error) {
		r, err := file.Open()
		if err != nil {
			return nil, err
		}
		return &checkedReader{ReadCloser: r, sum: crc32.NewIEEE(), want: header.CRC32, left: header.UncompressedSize}, nil
	}
	const reparsePoint = 0x400 // Windows: a link or junction
	switch mode := header.Mode(); {
	case mode.IsDir():
		e.kind = directory
	case mode&fs.ModeType != 0, header.Attributes&reparsePoint != 0:
		e.kind = special
	}
	return e
}

// checkedReader compares a file with the size and checksum that its archive has for it, which the decoder leaves to others.
type checkedReader struct {
	io.ReadCloser
	sum  hash.Hash32
	want uint32 // 0 = not known
	left uint64
}

// Read implements io.Reader.
func (c *checkedReader) Read(p []byte) (int, error) {
	count, err := c.ReadCloser.Read(p)
	c.sum.Write(p[:count])
	c.left -= uint64(count)
	if err != io.EOF {
		return count, err
	}
	if c.left > 0 {
		return count, io.ErrUnexpectedEOF
	}
	if c.want != 0 && c.sum.Sum32() != c.want {
		return count, fault(ReasonCorrupt, "the checksum does not match, or the password is wrong")
	}
	return count, io.EOF
}
