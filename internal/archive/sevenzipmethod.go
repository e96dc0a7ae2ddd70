package archive

import (
	"encoding/binary"
	"io"

	"github.com/bodgit/sevenzip"

	"talon/internal/archive/inflate"
	"talon/internal/archive/lzma"
)

// The methods of 7z (Methods.txt of the LZMA SDK) that are decoded here: those that the library below lacks, and those that
// it decodes slowly or not to the end - its delta filter of distance 256 never returns.
func init() {
	for method, decode := range map[string]sevenZipMethod{
		"\x21":             sevenZipLZMA2,
		"\x03\x01\x01":     sevenZipLZMA,
		"\x03":             sevenZipFilter(lzma.FilterDelta),
		"\x03\x03\x04\x01": sevenZipFilter(lzma.FilterIA64),
		"\x03\x03\x07\x01": sevenZipFilter(lzma.FilterThumb),
		"\x04\x01\x08":     func(r io.Reader, _ []byte, _ uint64) (io.Reader, error) { return inflate.NewReader(r), nil },
		"\x04\x01\x09":     func(r io.Reader, _ []byte, _ uint64) (io.Reader, error) { return inflate.NewReader64(r), nil },
	} {
		sevenzip.RegisterDecompressor([]byte(method), decode.decompressor())
	}
}

// sevenZipMethod returns a reader of what a method with these properties makes of r, which is to be size bytes.
type sevenZipMethod func(r io.Reader, props []byte, size uint64) (io.Reader, error)

func (m sevenZipMethod) decompressor() sevenzip.Decompressor {
	return func(props []byte, size uint64, readers []io.ReadCloser) (io.ReadCloser, error) {
		if len(readers) != 1 {
			return nil, fault(ReasonCorrupt, "a method of one stream has %d", len(readers))
		}
		decoder, err := m(readers[0], props, size)
		if err != nil {
			return nil, err
		}
		return &sevenZipDecoder{decoder, readers[0]}, nil
	}
}

// sevenZipDecoder is a decoder that closes what it reads.
type sevenZipDecoder struct {
	io.Reader
	io.Closer
}

func sevenZipLZMA(r io.Reader, props []byte, size uint64) (io.Reader, error) {
	const length = 5
	if len(props) != length {
		return nil, fault(ReasonCorrupt, "%d bytes of LZMA properties", len(props))
	}
	dictionary := binary.LittleEndian.Uint32(props[1:])
	if err := boundSevenZip(uint64(dictionary), size); err != nil {
		return nil, err
	}
	return lzma.NewReader(r, props[0], dictionary, int64(size))
}

func sevenZipLZMA2(r io.Reader, props []byte, size uint64) (io.Reader, error) {
	const most = 40 // stands for 4 GiB
	if len(props) != 1 || props[0] > most {
		return nil, fault(ReasonCorrupt, "LZMA2 properties %x", props)
	}
	dictionary := min(uint64(2|props[0]&1)<<(props[0]/2+11), 1<<32-1)
	if err := boundSevenZip(dictionary, size); err != nil {
		return nil, err
	}
	return lzma.NewReader2(r, uint32(dictionary))
}

// boundSevenZip cannot know the limits of a request: the library's methods are the same for all archives.
func boundSevenZip(dictionary, size uint64) error {
	if size >= 1<<63 {
		return fault(ReasonCorrupt, "a stream of %d bytes", size)
	}
	return boundDictionary(dictionary, size, defaultDictionaryBytes)
}

func sevenZipFilter(id uint64) sevenZipMethod {
	return func(r io.Reader, props []byte, _ uint64) (io.Reader, error) { return lzma.NewFilter(r, id, props) }
}
