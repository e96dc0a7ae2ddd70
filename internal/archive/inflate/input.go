package inflate

import (
	"encoding/binary"
	"io"
)

const inputSize = 32 << 10

// input is the compressed side: what was read ahead, and a reservoir of bits. Bits above count are zero or those that
// come next.
type input struct {
	src      io.Reader
	buf      []byte
	pos, end int // what is left of buf
	err      error
	bits     uint64
	count    uint
}

func (in *input) reset(src io.Reader) {
	if in.buf == nil {
		in.buf = make([]byte, inputSize)
	}
	*in = input{src: src, buf: in.buf}
}

// fill reads something when nothing is left. The end is io.EOF.
func (in *input) fill() error {
	const patience = 100 // as bufio.Reader
	for i := 0; in.err == nil; i++ {
		in.pos, in.end = 0, 0
		in.end, in.err = in.src.Read(in.buf)
		if in.end > 0 {
			return nil
		}
		if i == patience {
			in.err = io.ErrNoProgress
		}
	}
	return in.err
}

// top moves what is there into the reservoir: at least 56 bits, if there are as many.
func (in *input) top() {
	if in.pos+8 <= in.end {
		in.bits |= binary.LittleEndian.Uint64(in.buf[in.pos:]) << (in.count & 63)
		in.pos += int(63-in.count) >> 3
		in.count |= 56
		return
	}
	for ; in.count < 56 && in.pos < in.end; in.count += 8 {
		in.bits |= uint64(in.buf[in.pos]) << in.count
		in.pos++
	}
}

// more gets at least one more byte into the reservoir. The input must not end here.
func (in *input) more() error {
	if in.pos == in.end {
		if err := in.fill(); err != nil {
			return noEOF(err)
		}
	}
	in.top()
	return nil
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// take returns the next n bits, at most 16.
func (in *input) take(n uint) (int, error) {
	for in.count < n {
		if err := in.more(); err != nil {
			return 0, err
		}
	}
	value := int(in.bits & (1<<n - 1))
	in.drop(n)
	return value, nil
}

func (in *input) drop(n uint) {
	in.bits >>= n
	in.count -= n
}

// symbol takes the next symbol, without its extra bits. It never asks for a byte that the symbol does not need.
func (in *input) symbol(table []entry, mainBits uint) (entry, error) {
	for {
		e := table[in.bits&(1<<mainBits-1)]
		if e&isLink != 0 {
			e = table[e.index(in.bits, mainBits)]
		}
		if e.code() <= in.count {
			in.drop(e.code())
			return e, nil
		}
		if err := in.more(); err != nil {
			return 0, err
		}
	}
}

// extra takes the extra bits of a symbol and returns what both stand for together.
func (in *input) extra(e entry) (int, error) {
	more, err := in.take(e.taken() - e.code())
	return e.value() + more, err
}

// align gives whole bytes back and drops the rest of the current one.
func (in *input) align() {
	in.pos -= int(in.count >> 3)
	in.bits, in.count = 0, 0
}

// byte takes the next byte, when the reservoir is empty.
func (in *input) byte() (byte, error) {
	if in.pos == in.end {
		if err := in.fill(); err != nil {
			return 0, err
		}
	}
	in.pos++
	return in.buf[in.pos-1], nil
}
