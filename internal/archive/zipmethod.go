package archive

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"sync"

	"github.com/dsnet/compress/bzip2"
	"github.com/klauspost/compress/zip"
	"github.com/klauspost/compress/zstd"
	"github.com/mholt/archiver/v4"

	"talon/internal/archive/inflate"
	"talon/internal/archive/lzma"
)

// Methods of zip entries (APPNOTE.TXT 4.4.5) that are read here.
const (
	methodStore     = 0
	methodDeflate   = 8
	methodDeflate64 = 9
	methodBzip2     = 12
	methodLZMA      = 14
	methodZstd      = 93
	methodXZ        = 95
	methodAES       = 99 // encrypted as WinZip does it; the method below is in an extra field
)

// methodNames are the methods that are not read, for the report.
var methodNames = map[uint16]string{
	1: "shrink", 2: "reduce", 3: "reduce", 4: "reduce", 5: "reduce", 6: "implode", 10: "PKWARE DCL implode", 16: "IBM CMPSC",
	18: "IBM TERSE", 19: "IBM LZ77", 94: "MP3", 96: "JPEG", 97: "WavPack", 98: "PPMd",
}

// openZip opens an entry that is not encrypted.
func (x *extraction) openZip(src *joined, file *zip.File) (io.ReadCloser, error) {
	offset, err := file.DataOffset()
	if err != nil {
		return nil, err
	}
	if file.CompressedSize64 > uint64(max(src.size-offset, 0)) {
		return nil, io.ErrUnexpectedEOF
	}
	packed := io.NewSectionReader(src, offset, int64(file.CompressedSize64))
	content, err := x.zipDecompressor(file)(file.Method, packed)
	if err != nil {
		return nil, err
	}
	return &checkedReader{ReadCloser: content, sum: crc32.NewIEEE(), checked: true, want: file.CRC32, left: file.UncompressedSize64}, nil
}

// zipDecompressor returns how the methods of zip are decompressed for an entry. All but the common ones may take much
// memory: those are read one at a time.
func (x *extraction) zipDecompressor(file *zip.File) zipDecompress {
	return func(method uint16, packed io.Reader) (io.ReadCloser, error) {
		switch method {
		case methodStore:
			return io.NopCloser(packed), nil
		case methodDeflate:
			return newInflater(packed, &inflaters), nil
		case methodDeflate64:
			return newInflater(packed, &inflaters64), nil
		case methodBzip2, methodLZMA, methodZstd, methodXZ:
			return x.heavyMethod(method, bufio.NewReaderSize(packed, readSize), file.UncompressedSize64)
		}
		if name, ok := methodNames[method]; ok {
			return nil, fault(ReasonUnsupportedMethod, "compressed with %s (method %d)", name, method)
		}
		return nil, fault(ReasonUnsupportedMethod, "compression method %d", method)
	}
}

func (x *extraction) heavyMethod(method uint16, packed *bufio.Reader, size uint64) (decoder io.ReadCloser, err error) {
	x.heavy.Lock()
	unlock := sync.OnceFunc(x.heavy.Unlock)
	defer func() {
		if decoder == nil { // a decoder may panic, too
			unlock()
		}
	}()
	switch method {
	case methodBzip2:
		decoder, err = bzip2.NewReader(packed, nil)
	case methodLZMA:
		decoder, err = x.zipLZMA(packed, size)
	case methodZstd:
		decoder, err = archiver.Zstd{DecoderOptions: x.zstdOptions()}.OpenReader(packed)
	case methodXZ:
		decoder, err = x.xz(packed)
	}
	if err != nil {
		return nil, err
	}
	return &unlocking{ReadCloser: decoder, unlock: unlock}, nil
}

// zipLZMA reads the header of method 14 (APPNOTE.TXT 5.8.8): a version, the size of the properties, the properties.
func (x *extraction) zipLZMA(packed io.Reader, size uint64) (io.ReadCloser, error) {
	var header [9]byte
	if _, err := io.ReadFull(packed, header[:]); err != nil {
		return nil, io.ErrUnexpectedEOF
	}
	if properties := binary.LittleEndian.Uint16(header[2:]); properties != 5 || size > math.MaxInt64 {
		return nil, fault(ReasonCorrupt, "%d bytes of LZMA properties for %d bytes", properties, size)
	}
	dictionary := binary.LittleEndian.Uint32(header[5:])
	if err := boundDictionary(uint64(dictionary), size, x.limits.DictionaryBytes); err != nil {
		return nil, err
	}
	decoder, err := lzma.NewReader(packed, header[4], dictionary, int64(size))
	return io.NopCloser(decoder), err
}

// xz opens a stream of xz.
func (x *extraction) xz(packed io.Reader) (io.ReadCloser, error) {
	decoder, err := lzma.NewXZReader(packed, x.dictionary())
	return io.NopCloser(decoder), err
}

// boundDictionary refuses a dictionary above the limit, unless so little is packed that no decoder will fill it: the
// decoder here takes no more memory than it has data.
func boundDictionary(dictionary, size uint64, limit int64) error {
	if needed := min(dictionary, size); needed > uint64(limit) {
		return &limitError{ReasonLimitDictionary, fmt.Sprintf("a dictionary of %d bytes", needed)}
	}
	return nil
}

// unlocking is a reader whose Close lets the next one begin.
type unlocking struct {
	io.ReadCloser
	unlock func()
}

// Close implements io.Closer.
func (u *unlocking) Close() error {
	defer u.unlock()
	return u.ReadCloser.Close()
}

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

// readSize is how much of a compressed file is read at once.
const readSize = 64 << 10

// inflater is a decompressor of deflate or deflate64; it and its tables are used again.
type inflater struct {
	*inflate.Reader
	pool *sync.Pool
}

var (
	inflaters   = sync.Pool{New: func() any { return inflate.NewReader(nil) }}
	inflaters64 = sync.Pool{New: func() any { return inflate.NewReader64(nil) }}
)

func newInflater(packed io.Reader, pool *sync.Pool) io.ReadCloser {
	z := &inflater{pool.Get().(*inflate.Reader), pool}
	z.Reset(packed)
	return z
}

// Close gives the decoder back; it must not be read any more.
func (z *inflater) Close() error {
	z.Reset(nil)
	z.pool.Put(z.Reader)
	return nil
}
