package inflate_test

import (
	"errors"
	"io"
)

// slow is a decoder of DEFLATE and DEFLATE64 without tables or loops for speed: the measure of the other one.
type slow struct {
	in    []byte
	at    int // in bits
	out   []byte
	limit int // of out
	large bool
}

var errRefused = errors.New("refused")

// inflateSlowly returns the contents and the number of bytes that the stream takes. It panics with nothing but errors.
func inflateSlowly(in []byte, large bool, limit int) (out []byte, used int, err error) {
	s := &slow{in: in, large: large, limit: limit}
	defer func() {
		out, used = s.out, (s.at+7)/8
		if r := recover(); r != nil {
			err = r.(error)
		}
	}()
	for !s.block() {
	}
	return
}

func (s *slow) bit() int {
	if s.at == len(s.in)*8 {
		panic(io.ErrUnexpectedEOF)
	}
	s.at++
	return int(s.in[(s.at-1)/8] >> ((s.at - 1) % 8) & 1)
}

func (s *slow) bits(n int) (value int) {
	for i := range n {
		value |= s.bit() << i
	}
	return value
}

func refuseIf(condition bool) {
	if condition {
		panic(errRefused)
	}
}

func (s *slow) put(b byte) {
	if len(s.out) == s.limit {
		panic(io.ErrShortBuffer)
	}
	s.out = append(s.out, b)
}

// symbol compares the bits with the codes of one bit, of two, and so on.
func (s *slow) symbol(c code) int {
	value := 0
	for n := 1; n <= 15; n++ {
		value = value<<1 | s.bit()
		if symbol, ok := c.symbols[[2]int{n, value}]; ok {
			return symbol
		}
	}
	panic(errRefused)
}

// block returns true after the last one.
func (s *slow) block() bool {
	final := s.bit() == 1
	switch s.bits(2) {
	case 0:
		s.at = (s.at + 7) / 8 * 8
		size := s.bits(16)
		refuseIf(s.bits(16) != size^0xffff)
		for range size {
			s.put(byte(s.bits(8)))
		}
	case 1:
		s.codes(fixedCodes())
	case 2:
		s.codes(s.dynamicCodes())
	default:
		panic(errRefused)
	}
	return final
}

func (s *slow) dynamicCodes() (code, code) {
	literals, distances, lengths := s.bits(5)+257, s.bits(5)+1, s.bits(4)+4
	refuseIf(literals > 286 || distances > 30 && !s.large)
	sizes := make([]uint8, 19)
	for _, symbol := range []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}[:lengths] {
		sizes[symbol] = uint8(s.bits(3))
	}
	refuseIf(!isComplete(sizes))
	lengthCode := newCode(sizes)
	sizes = nil
	for len(sizes) < literals+distances {
		count, size := 1, uint8(0)
		switch symbol := s.symbol(lengthCode); symbol {
		case 16:
			refuseIf(len(sizes) == 0)
			count, size = 3+s.bits(2), sizes[len(sizes)-1]
		case 17:
			count = 3 + s.bits(3)
		case 18:
			count = 11 + s.bits(7)
		default:
			size = uint8(symbol)
		}
		for range count {
			sizes = append(sizes, size)
		}
	}
	refuseIf(len(sizes) > literals+distances || sizes[256] == 0)
	refuseIf(!isComplete(sizes[:literals]) || !isComplete(sizes[literals:]))
	return newCode(sizes[:literals]), newCode(sizes[literals:])
}

// isComplete allows one code of one bit, and none.
func isComplete(sizes []uint8) bool {
	sum, used := 0, 0
	for _, size := range sizes {
		if size > 0 {
			sum += 1 << (15 - size)
			used++
		}
	}
	return sum == 1<<15 || used == 0 || used == 1 && sum == 1<<14
}

func (s *slow) codes(literals, distances code) {
	for {
		symbol := s.symbol(literals)
		switch {
		case symbol < 256:
			s.put(byte(symbol))
			continue
		case symbol == 256:
			return
		}
		refuseIf(symbol > 285)
		length := lengthBase[symbol-257] + s.bits(lengthExtra[symbol-257])
		if s.large && symbol == 285 {
			length = 3 + s.bits(16)
		}
		symbol = s.symbol(distances)
		refuseIf(symbol > 29 && !s.large)
		distance := distanceBase[symbol] + s.bits(distanceExtra[symbol])
		refuseIf(distance > len(s.out))
		for range length {
			s.put(s.out[len(s.out)-distance])
		}
	}
}
