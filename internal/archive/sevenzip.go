package archive

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"

	"github.com/bodgit/sevenzip"
)

// readSevenZip reads a 7z archive with the decoder below archiver.SevenZip, whose folders - as the format calls a stream of
// many files - can be read several at once. All entries get their paths in the order of the archive before that.
func (x *extraction) readSevenZip(ctx context.Context, n *layer, src *joined) error {
	if err := checkSevenZip(src); err != nil {
		return err
	}
	zr, err := x.openSevenZip(ctx, src)
	if err != nil {
		return err
	}
	if err := x.claimBase(n); err != nil {
		return err
	}
	folders, limit := x.admitSevenZip(ctx, n, zr.File)
	spread := x.spread
	if !x.budget.fits(sevenZipSizes(zr.File)) { // what is kept must not depend on which folder is faster
		spread = inTurn
	}
	if err := spread(len(folders), func(i int) error { return x.readFolder(ctx, n, folders[i]) }); err != nil {
		return err
	}
	return limit
}

// checkSevenZip compares the headers with their checksums (7zFormat.txt of the LZMA SDK). The decoder does so only when it has
// parsed them, and what damage makes of a number may ask for more memory than there is.
func checkSevenZip(src *joined) error {
	const length, sumAt, fields, offsetAt, sizeAt, headerSumAt = 32, 8, 12, 12, 20, 28
	start := make([]byte, length)
	if n, err := src.ReadAt(start, 0); n < length {
		return cmp.Or(err, io.ErrUnexpectedEOF)
	}
	if crc32.ChecksumIEEE(start[fields:]) != binary.LittleEndian.Uint32(start[sumAt:]) {
		return fault(ReasonCorrupt, "the checksum of the start header does not match")
	}
	offset, size := binary.LittleEndian.Uint64(start[offsetAt:]), binary.LittleEndian.Uint64(start[sizeAt:])
	if rest := uint64(src.size - length); offset > rest || size > rest-offset {
		return io.ErrUnexpectedEOF
	}
	sum := crc32.NewIEEE()
	if _, err := io.Copy(sum, io.NewSectionReader(src, length+int64(offset), int64(size))); err != nil {
		return err
	}
	if sum.Sum32() != binary.LittleEndian.Uint32(start[headerSumAt:]) {
		return fault(ReasonCorrupt, "the checksum of the header does not match")
	}
	return nil
}

// sevenZipFile is an entry that got a path.
type sevenZipFile struct {
	entry
	member *member
}

// admitSevenZip returns the entries to be read, by folder, and the limit that was hit, if one was.
func (x *extraction) admitSevenZip(ctx context.Context, n *layer, files []*sevenzip.File) ([][]sevenZipFile, error) {
	var folders [][]sevenZipFile
	last := -1
	for _, file := range files {
		e := sevenZipEntry(file)
		m, err := x.admit(ctx, n, e)
		if err != nil {
			return folders, err
		}
		if m == nil {
			continue
		}
		if len(folders) == 0 || file.Stream != last && file.UncompressedSize > 0 {
			folders, last = append(folders, nil), file.Stream
		}
		folders[len(folders)-1] = append(folders[len(folders)-1], sevenZipFile{e, m})
	}
	return folders, nil
}

// readFolder reads the files of one folder in their order. Once its stream is broken it is not begun again for each file
// that is left: they would all fail, after ever longer work.
func (x *extraction) readFolder(ctx context.Context, n *layer, files []sevenZipFile) error {
	var broken error
	for _, f := range files {
		err := broken
		if err == nil {
			err = x.receive(ctx, f.member, f.open, x.later(n))
		}
		var stream *sevenzip.ReadError
		if errors.As(err, &stream) {
			broken = err
		}
		if err := x.keep(ctx, f.member, err); err != nil {
			return err
		}
	}
	return nil
}

func sevenZipSizes(files []*sevenzip.File) []uint64 {
	sizes := make([]uint64, len(files))
	for i, f := range files {
		sizes[i] = f.UncompressedSize
	}
	return sizes
}

// openSevenZip opens the archive with the first password that reads the first file; with none, if none is needed or fits.
func (x *extraction) openSevenZip(ctx context.Context, src *joined) (*sevenzip.Reader, error) {
	if len(x.request.Passwords) > 0 && x.trySevenZip(ctx, src, "") != nil {
		for _, password := range x.request.Passwords {
			if x.trySevenZip(ctx, src, password) == nil {
				return sevenzip.NewReaderWithPassword(src, src.size, password)
			}
		}
	}
	return sevenzip.NewReader(src, src.size)
}

func (x *extraction) trySevenZip(ctx context.Context, src *joined, password string) (err error) {
	defer shield(&err) // it may be only this password that the decoder panics of
	zr, err := sevenzip.NewReaderWithPassword(src, src.size, password)
	if err != nil {
		return err
	}
	for _, file := range zr.File {
		if e := sevenZipEntry(file); e.kind == regular && file.UncompressedSize > 0 {
			return x.trySevenZipFile(ctx, e)
		}
	}
	return nil
}

func (x *extraction) trySevenZipFile(ctx context.Context, e entry) error {
	r, err := e.open()
	if err != nil {
		return err
	}
	return errors.Join(x.trial(ctx, r), r.Close())
}

func sevenZipEntry(file *sevenzip.File) entry {
	e := entry{name: file.Name, text: file.Name, modTime: file.Modified}
	e.open = func() (io.ReadCloser, error) {
		r, err := file.Open()
		if err != nil {
			return nil, err
		}
		return &checkedReader{
			ReadCloser: r, sum: crc32.NewIEEE(), checked: file.CRC32 != 0, want: file.CRC32, left: file.UncompressedSize,
		}, nil
	}
	const reparsePoint = 0x400 // Windows: a link or junction
	switch mode := file.Mode(); {
	case mode.IsDir():
		e.kind = directory
	case mode&fs.ModeType != 0, file.Attributes&reparsePoint != 0:
		e.kind = special
	}
	return e
}
