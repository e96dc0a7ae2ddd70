package inflate_test

import (
	"bytes"
	"io"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/archive/inflate"
)

// sizes makes the lengths of a code: pairs of symbol and length, and how many symbols there are.
func sizes(count int, pairs ...int) []uint8 {
	all := make([]uint8, count)
	for ; len(pairs) > 0; pairs = pairs[2:] {
		all[pairs[0]] = uint8(pairs[1])
	}
	return all
}

// block writes a last block with the given codes; what is in it follows. The end of the block has symbol 256.
func block(literals, distances []uint8, symbols func(w *bitWriter, l, d code)) func(*bitWriter) {
	return func(w *bitWriter) {
		w.header(true, 2).dynamicHeader(literals, distances)
		symbols(w, newCode(literals), newCode(distances))
	}
}

// ends is a block that has nothing in it, abc one with three literals.
func ends(w *bitWriter, l, _ code) { w.symbol(l, 256) }

func abc(w *bitWriter, l, _ code) {
	w.symbol(l, 'a').symbol(l, 'b').symbol(l, 'c').symbol(l, 256)
}

// four is a complete code for three literals and the end; five has the shortest length, too.
var (
	four = sizes(257, 'a', 2, 'b', 2, 'c', 2, 256, 2)
	five = sizes(258, 'a', 2, 'b', 2, 'c', 2, 256, 3, 257, 3)
)

// special are streams that no compressor writes, with their contents in both formats; "refused" for ErrCorrupt.
var special = []struct {
	name    string
	write   func(*bitWriter)
	deflate string
	large   string
}{
	{"a block of type 3", func(w *bitWriter) { w.header(true, 3).put(0, 32) }, "refused", "refused"},
	{"a stored block of no bytes", func(w *bitWriter) { w.stored(true, nil) }, "", ""},
	{
		"a stored block with a wrong complement",
		func(w *bitWriter) { w.header(true, 0).align().put(1, 16).put(0xffff, 16).put('a', 8) }, "refused", "refused",
	},
	{
		"bits before a stored block are of no interest",
		func(w *bitWriter) { w.header(true, 0).put(31, 5).put(1, 16).put(0xfffe, 16).put('a', 8) }, "a", "a",
	},
	{"a complete code", block(four, sizes(1), abc), "abc", "abc"},
	{"too many literal codes", block(sizes(257, 'a', 1, 'b', 1, 256, 2), sizes(1), ends), "refused", "refused"},
	{"too few literal codes", block(sizes(257, 'a', 2, 'b', 2, 256, 2), sizes(1), ends), "refused", "refused"},
	{"nothing but an end", block(sizes(257, 256, 1), sizes(1), ends), "", ""},
	{"an end of two bits alone", block(sizes(257, 256, 2), sizes(1), ends), "refused", "refused"},
	{"the other bit of a code of one bit", block(sizes(257, 256, 1), sizes(1), bit1), "refused", "refused"},
	{"no end", block(sizes(257, 'a', 1, 'b', 1), sizes(1), bit1), "refused", "refused"},
	{"no distance code and none used", block(five, sizes(1), abc), "abc", "abc"},
	{"no distance code and one used", block(five, sizes(1), match), "refused", "refused"},
	{"one distance code of one bit", block(five, sizes(1, 0, 1), match), "aaaa", "aaaa"},
	{"its other bit", block(five, sizes(1, 0, 1), matchOther), "refused", "refused"},
	{"one distance code of two bits", block(five, sizes(1, 0, 2), match), "refused", "refused"},
	{"too few distance codes", block(five, sizes(3, 0, 2, 1, 2, 2, 2), match), "refused", "refused"},
	{"too many distance codes", block(five, sizes(3, 0, 1, 1, 1, 2, 1), match), "refused", "refused"},
	{"31 distance codes", block(five, sizes(31, 0, 1, 30, 1), match), "refused", "aaaa"},
	{"32 distance codes", block(five, sizes(32, 0, 1, 31, 1), match), "refused", "aaaa"},
	{"287 literal codes", block(sizes(287, 'a', 1, 256, 1), sizes(1), ends), "refused", "refused"},
	{"286 literal codes", block(sizes(286, 'a', 1, 256, 2, 285, 2), sizes(1), ends), "", ""},
	{"a match before the output", fixedMatch(257, 1), "refused", "refused"},
	{"length symbol 286", fixedMatch(286, 0), "refused", "refused"},
	{"length symbol 287", fixedMatch(287, 0), "refused", "refused"},
	{"distance symbol 30", fixedMatch(257, 30), "refused", "refused"},
	{"distance symbol 31", fixedMatch(257, 31), "refused", "refused"},
	{"a length code length code of too few codes", lengthCodes(2, 2, 2), "refused", "refused"},
	{"a length code length code of too many codes", lengthCodes(1, 1, 1), "refused", "refused"},
	{"a length code of no codes", lengthCodes(), "refused", "refused"},
	{"a repetition of nothing", repetition(1, func(w *bitWriter, c code) { w.symbol(c, 16).put(0, 2) }), "refused", "refused"},
	{"a repetition beyond the end", repetition(7, func(w *bitWriter, c code) {
		w.symbol(c, 18).put(127, 7).symbol(c, 18).put(118-11, 7).symbol(c, 1).symbol(c, 18).put(0, 7)
	}), "refused", "refused"},
	{"a repetition over both codes", repetition(8, func(w *bitWriter, c code) {
		w.symbol(c, 18).put(127, 7).symbol(c, 18).put(118-11, 7).symbol(c, 1).symbol(c, 18).put(0, 7)
	}), "", ""},
}

func bit1(w *bitWriter, _, _ code) { w.put(0xffff, 16) }

func match(w *bitWriter, l, _ code) {
	w.symbol(l, 'a').symbol(l, 257).put(0, 1).symbol(l, 256)
}

func matchOther(w *bitWriter, l, _ code) {
	w.symbol(l, 'a').symbol(l, 257).put(1, 1).symbol(l, 256)
}

func fixedMatch(length, distance int) func(*bitWriter) {
	return func(w *bitWriter) {
		literals, distances := fixedCodes()
		w.header(true, 1).symbol(literals, 'a').symbol(literals, length).symbol(distances, distance).put(0, 32)
	}
}

func lengthCodes(lengths ...uint8) func(*bitWriter) {
	return func(w *bitWriter) { w.header(true, 2).lengthCode(257, 1, lengths).put(0, 64) }
}

// repetition writes a header with 260 literals whose lengths of codes have the symbols 0, 1, 16 and 18.
func repetition(distances int, write func(*bitWriter, code)) func(*bitWriter) {
	lengths := sizes(19, 0, 2, 1, 2, 16, 2, 18, 2)
	return func(w *bitWriter) {
		w.header(true, 2).lengthCode(260, distances, lengths)
		write(w, newCode(lengths))
		w.put(0, 64)
	}
}

// TestSpecialStreams reads each stream with little behind it and with enough for the fast loop.
func TestSpecialStreams(t *testing.T) {
	for _, tt := range special {
		for _, large := range []bool{false, true} {
			w := &bitWriter{large: large}
			tt.write(w)
			for _, rest := range []int{0, 100} {
				stream := append(slices.Clone(w.out), make([]byte, rest)...)
				want, d := tt.deflate, inflate.NewReader(bytes.NewReader(stream))
				if large {
					want, d = tt.large, inflate.NewReader64(bytes.NewReader(stream))
				}
				got, err := io.ReadAll(d)
				if want == "refused" {
					require.ErrorIs(t, err, inflate.ErrCorrupt, "%s, %t", tt.name, large)
				} else {
					require.NoError(t, err, "%s, %t", tt.name, large)
					assert.Equal(t, want, string(got), "%s, %t", tt.name, large)
				}
				requireReference(t, stream, large)
				if !large {
					requireAgreement(t, stream)
				}
			}
		}
	}
}

func TestAMatchReachesAsFarAsTheWindow(t *testing.T) {
	random := contents()["random"]
	for _, before := range []int{32767, 32768, 200_000} {
		stream := new(bitWriter).stored(false, random[:before]).fixed(true, []token{{length: 258, distance: 32768}}).out
		requireAgreement(t, stream)
		requireReference(t, stream, false)
		got, err := io.ReadAll(inflate.NewReader(bytes.NewReader(stream)))
		if before < 32768 {
			require.ErrorIs(t, err, inflate.ErrCorrupt)
			continue
		}
		require.NoError(t, err)
		assert.Equal(t, random[before-32768:before-32768+258], got[before:])
	}
}
