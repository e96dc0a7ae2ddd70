package lzma

import "io"

// Control bytes of the chunks of LZMA2. From lzmaChunk on, the bits 5 and 6 tell what is reset, and the bits 0 to 4 are
// the highest of the size.
const (
	endOfChunks     = 0x00
	storedNewDict   = 0x01
	storedChunk     = 0x02
	lzmaChunk       = 0x80
	lzmaNewState    = 0xa0
	lzmaNewProps    = 0xc0
	lzmaNewDict     = 0xe0
	maxLiteralProps = 4 // lc + lp
)

// Reader2 decodes a raw LZMA2 stream.
type Reader2 struct {
	output
	source    io.Reader
	unpacked  int  // bytes of output that the chunk still has
	packed    int  // bytes of input of an LZMA chunk; 0 = the chunk is stored
	needDict  bool // the next chunk must reset the dictionary
	needProps bool // the next LZMA chunk must bring properties
}

// NewReader2 returns a reader for a raw LZMA2 stream; dictSize is in bytes. No more memory than that is used, and a constant
// (200 KiB). No byte behind the stream is read from r, which need not be buffered.
func NewReader2(r io.Reader, dictSize uint32) (*Reader2, error) {
	z := &Reader2{}
	z.window = newWindow(dictSize)
	z.output.more = z.decodeMore
	z.Reset(r)
	return z, nil
}

// Reset makes the reader start again with another stream of the same size of dictionary. It keeps the memory.
func (z *Reader2) Reset(r io.Reader) {
	z.resetWindow()
	z.source, z.err = r, nil
	z.unpacked, z.pending = 0, 0
	z.needDict, z.needProps = true, true
}

func (z *Reader2) decodeMore() error {
	if z.unpacked == 0 {
		if err := z.nextChunk(); err != nil {
			return err
		}
	}
	end := z.room(min(z.unpacked, step))
	start := z.pos
	var err error
	if z.packed == 0 {
		err = z.copyStored(end)
	} else {
		err = z.decodeChunk(end)
	}
	z.unpacked -= z.pos - start
	if err == nil && z.unpacked == 0 && z.packed > 0 {
		err = z.endChunk()
	}
	return err
}

func (z *Reader2) copyStored(end int) error {
	count, err := io.ReadFull(z.source, z.buf[z.pos:end])
	z.pos += count
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (z *Reader2) decodeChunk(end int) error {
	if z.decode(end) != unfinished {
		return corrupted("an impossible distance")
	}
	if z.pos < end {
		return corrupted("a chunk of LZMA2 is too short")
	}
	return nil
}

func (z *Reader2) endChunk() error {
	z.normalise()
	if z.pending > 0 || z.ip != z.packed || z.code != 0 {
		return corrupted("a chunk of LZMA2 has another size")
	}
	return nil
}

// nextChunk reads the header of the next chunk, and an LZMA chunk as a whole: io.EOF if there is none.
func (z *Reader2) nextChunk() error {
	var header [6]byte
	if err := readFull(z.source, header[:1]); err != nil {
		return err
	}
	control := header[0]
	switch {
	case control == endOfChunks:
		return io.EOF
	case control > storedChunk && control < lzmaChunk:
		return corrupted("control byte %#x of LZMA2", control)
	case control == storedNewDict || control >= lzmaNewDict:
		z.resetWindow()
		z.needDict, z.needProps = false, true
	case z.needDict:
		return corrupted("LZMA2 does not start with a new dictionary")
	}
	if control < lzmaChunk {
		return z.openStored(header[:2])
	}
	size := 4
	if control >= lzmaNewProps {
		size = 5
	}
	rest := header[1 : 1+size]
	if err := readFull(z.source, rest); err != nil {
		return err
	}
	if err := z.prepare(control, rest[4:]); err != nil {
		return err
	}
	z.unpacked = int(control&0x1f)<<16 + int(rest[0])<<8 + int(rest[1]) + 1
	z.packed = int(rest[2])<<8 + int(rest[3]) + 1
	return z.openLZMA()
}

func (z *Reader2) openStored(size []byte) error {
	if err := readFull(z.source, size); err != nil {
		return err
	}
	z.unpacked, z.packed = int(size[0])<<8+int(size[1])+1, 0
	return nil
}

// prepare resets what the control byte asks for.
func (z *Reader2) prepare(control byte, props []byte) error {
	switch {
	case control >= lzmaNewProps:
		if !z.setProps(props[0]) || len(z.literals) > literalCoder<<maxLiteralProps {
			return corrupted("properties %#x of LZMA2", props[0])
		}
		z.needProps = false
	case z.needProps:
		return corrupted("LZMA2 has no properties")
	}
	if control >= lzmaNewState {
		z.resetState()
	}
	return nil
}

func (z *Reader2) openLZMA() error {
	if err := readFull(z.source, z.in[:z.packed]); err != nil {
		return err
	}
	clear(z.in[z.packed : z.packed+inputMargin])
	z.ip, z.inLimit = 0, z.packed
	if z.packed < rangeHeader || !z.startRange() {
		return corrupted("the range coder starts wrongly")
	}
	return nil
}
