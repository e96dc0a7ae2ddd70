package archive

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/dsnet/compress/bzip2"
	"github.com/klauspost/compress/zip"
	"github.com/klauspost/compress/zstd"
	"github.com/mholt/archiver/v4"
	fastxz "github.com/therootcompany/xz"
)

// methodAES marks an entry that is encrypted as WinZip does it.
const methodAES = 99

// readZip reads a zip archive with the decoder below archiver.Zip, which gives no way to bound the memory of an entry's
// method: 68 bytes of xz would take 4 GiB.
func (x *extraction) readZip(ctx context.Context, n *layer, src *source) error {
	end, ok := findZipEnd(src, src.size, zipCommentMax)
	switch {
	case !ok && isFirstZipVolume(src), ok && end.volume != 0 && end.volume != math.MaxUint16:
		return fault(ReasonMissingVolume, "one volume of several")
	case !ok:
		return fault(ReasonTruncated, "the directory at the end of the zip archive is missing")
	}
	zr, err := zip.NewReader(src, src.size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return err
	}
	x.boundZipMethods(zr)
	if err := x.claimBase(n); err != nil {
		return err
	}
	for _, file := range zr.File {
		if err := x.take(ctx, n, zipEntry(file)); err != nil {
			return err
		}
	}
	if end.rest > 0 {
		return errTrailing
	}
	return nil
}

func isFirstZipVolume(r io.ReaderAt) bool {
	mark := make([]byte, 4)
	_, _ = r.ReadAt(mark, 0)
	return string(mark) == "PK\x07\x08"
}

// boundZipMethods replaces the decompressors that archiver registers for all readers.
func (x *extraction) boundZipMethods(zr *zip.Reader) {
	zr.RegisterDecompressor(archiver.ZipMethodBzip2, orBroken(func(r io.Reader) (io.ReadCloser, error) {
		return bzip2.NewReader(r, nil)
	}))
	zr.RegisterDecompressor(archiver.ZipMethodZstd, orBroken(func(r io.Reader) (io.ReadCloser, error) {
		return archiver.Zstd{DecoderOptions: x.zstdOptions()}.OpenReader(r)
	}))
	zr.RegisterDecompressor(archiver.ZipMethodXz, orBroken(func(r io.Reader) (io.ReadCloser, error) {
		decoder, err := fastxz.NewReader(r, x.dictionary())
		return io.NopCloser(decoder), err
	}))
}

// orBroken makes a decompressor of a function that may fail: the zip reader knows no error here and would use nil.
func orBroken(open func(io.Reader) (io.ReadCloser, error)) zip.Decompressor {
	return func(r io.Reader) io.ReadCloser {
		decoder, err := open(r)
		if err != nil {
			return io.NopCloser(brokenReader{err})
		}
		return decoder
	}
}

type brokenReader struct{ err error }

// Read implements io.Reader.
func (r brokenReader) Read([]byte) (int, error) { return 0, r.err }

func (x *extraction) zstdOptions() []zstd.DOption {
	return []zstd.DOption{
		zstd.WithDecoderMaxWindow(uint64(max(x.limits.DictionaryBytes, zstd.MinWindowSize))),
		zstd.WithDecoderConcurrency(1), // no goroutines
		zstd.WithDecoderLowmem(true),
	}
}

// dictionary is Limits.DictionaryBytes for decoders that take 32 bits.
func (x *extraction) dictionary() uint32 {
	return uint32(min(x.limits.DictionaryBytes, math.MaxUint32))
}

func zipEntry(file *zip.File) entry {
	e := entry{
		name: file.Name, text: unicodePath(file), modTime: file.Modified,
		open: func() (io.ReadCloser, error) { return file.Open() },
	}
	mode := file.Mode()
	switch {
	case strings.HasSuffix(strings.ReplaceAll(file.Name, `\`, "/"), "/"), mode.IsDir():
		e.kind = directory
	case mode&fs.ModeType != 0:
		e.kind = special
	case file.Flags&1 != 0 || file.Method == methodAES:
		e.refuse = fault(ReasonEncrypted, "a password is needed")
	}
	return e
}

// unicodePath returns the name that Info-ZIP stores in UTF-8 beside one in the charset of the machine, if it belongs to
// the name that stands there (APPNOTE.TXT 4.6.9).
func unicodePath(file *zip.File) string {
	const id, fixed = 0x7075, 5 // version and checksum of the name
	for extra := file.Extra; len(extra) >= 4; {
		tag, size := binary.LittleEndian.Uint16(extra), int(binary.LittleEndian.Uint16(extra[2:]))
		if extra = extra[4:]; size > len(extra) {
			return ""
		}
		field := extra[:size]
		extra = extra[size:]
		if tag != id || size <= fixed || field[0] != 1 {
			continue
		}
		text := string(field[fixed:])
		if binary.LittleEndian.Uint32(field[1:]) == crc32.ChecksumIEEE([]byte(file.Name)) && utf8.ValidString(text) {
			return text
		}
	}
	return ""
}
