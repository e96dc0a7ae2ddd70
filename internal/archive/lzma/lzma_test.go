package lzma_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	ulzma "github.com/ulikunitz/xz/lzma"

	"talon/internal/archive/lzma"
)

func openLZMA(props byte, dict uint32, size int64) func(io.Reader) (io.Reader, error) {
	return func(r io.Reader) (io.Reader, error) { return lzma.NewReader(r, props, dict, size) }
}

func TestLZMASamples(t *testing.T) {
	ends := map[string]ulzma.WriterConfig{
		"marker": {EOSMarker: true}, "size": {SizeInHeader: true}, "both": {EOSMarker: true, SizeInHeader: true},
	}
	for end, config := range ends {
		for _, s := range samples() {
			t.Run(s.name+"/"+end, func(t *testing.T) {
				config.Size, config.DictCap = int64(len(s.data)), 1<<16
				raw, props, size := ulikunitzLZMA(t, s.data, config)
				requireDecodes(t, s.data, raw, openLZMA(props, 1<<16, size))
			})
		}
	}
}

func TestLZMAOfXZ(t *testing.T) {
	needXZ(t)
	for _, dict := range []string{"4KiB", "12KiB", "96KiB", "1MiB", "8MiB"} {
		for _, s := range samples() {
			t.Run(dict+"/"+s.name, func(t *testing.T) {
				coded := xzCommand(t, s.data, "--format=lzma", "--lzma1=dict="+dict)
				size := uint32(coded[1]) | uint32(coded[2])<<8 | uint32(coded[3])<<16 | uint32(coded[4])<<24
				requireDecodes(t, s.data, coded[13:], openLZMA(coded[0], size, -1))
			})
		}
	}
}

func TestLZMAProperties(t *testing.T) {
	data := append(text(6000), patches(6000)...)
	for lc := range 9 {
		for lp := range 5 {
			for pb := range 5 {
				config := ulzma.WriterConfig{Properties: &ulzma.Properties{LC: lc, LP: lp, PB: pb}, EOSMarker: true}
				raw, props, size := ulikunitzLZMA(t, data, config)
				r, err := lzma.NewReader(bytes.NewReader(raw), props, 1<<20, size)
				require.NoError(t, err)
				requireSame(t, data, r, fmt.Sprint(lc, lp, pb))
			}
		}
	}
	_, err := lzma.NewReader(bytes.NewReader(nil), 225, 1<<20, -1)
	assert.ErrorIs(t, err, lzma.ErrCorrupt)
}

// ending has the end marked, or tells the size.
func ending(marker bool, data []byte) ulzma.WriterConfig {
	return ulzma.WriterConfig{EOSMarker: marker, SizeInHeader: !marker, Size: int64(len(data))}
}

func TestLZMALeavesTheSourceBehindTheStream(t *testing.T) {
	data := text(100_000)
	trailer := noise(100)
	for _, marker := range []bool{true, false} {
		for _, buffer := range []int{64, 100, 4096, 1 << 20} {
			raw, props, size := ulikunitzLZMA(t, data, ending(marker, data))
			whole := append(bytes.Clone(raw), trailer...)
			source := bufio.NewReaderSize(iotest.HalfReader(bytes.NewReader(whole)), buffer)
			r, err := lzma.NewReader(source, props, 1<<23, size)
			require.NoError(t, err)
			requireSame(t, data, r, "with something behind")
			rest, err := io.ReadAll(source)
			require.NoError(t, err)
			assert.Equal(t, trailer, rest, "marker %v, buffer %d", marker, buffer)
		}
	}
}

func TestLZMASourceWithTinyBuffer(t *testing.T) {
	raw, props, size := ulikunitzLZMA(t, text(1000), ulzma.WriterConfig{EOSMarker: true})
	r, err := lzma.NewReader(bufio.NewReaderSize(bytes.NewReader(raw), 16), props, 1<<23, size)
	require.NoError(t, err)
	requireSame(t, text(1000), r, "")
}

func TestLZMATruncated(t *testing.T) {
	data := text(3000)
	for _, marker := range []bool{true, false} {
		raw, props, size := ulikunitzLZMA(t, data, ending(marker, data))
		for end := range raw {
			r, err := lzma.NewReader(bytes.NewReader(raw[:end]), props, 1<<23, size)
			require.NoError(t, err)
			got, err := io.ReadAll(r)
			require.ErrorIs(t, err, io.ErrUnexpectedEOF, "marker %v, %d bytes", marker, end)
			require.LessOrEqual(t, len(got), len(data))
		}
	}
}

func TestLZMAOfAnotherSize(t *testing.T) {
	data := text(3000)
	raw, props, _ := ulikunitzLZMA(t, data, ulzma.WriterConfig{EOSMarker: true})
	for _, size := range []int64{0, 1, 2999, 3001, 1 << 40} {
		r, err := lzma.NewReader(bytes.NewReader(raw), props, 1<<23, size)
		require.NoError(t, err)
		got, err := io.ReadAll(r)
		require.ErrorIs(t, err, lzma.ErrCorrupt, "size %d", size)
		assert.LessOrEqual(t, int64(len(got)), size)
	}
}

func TestLZMADamagedEnd(t *testing.T) {
	data := text(3000)
	for _, marker := range []bool{true, false} {
		raw, props, size := ulikunitzLZMA(t, data, ending(marker, data))
		for bit := 8 * (len(raw) - 4); bit < 8*len(raw); bit++ {
			damaged := bytes.Clone(raw)
			damaged[bit/8] ^= 1 << (bit % 8)
			r, err := lzma.NewReader(bytes.NewReader(damaged), props, 1<<23, size)
			require.NoError(t, err)
			_, err = io.ReadAll(r)
			require.Error(t, err, "marker %v, bit %d", marker, bit)
		}
	}
}

func TestLZMADistanceBehindTheDictionary(t *testing.T) {
	far := append(append(noise(3000), make([]byte, 50_000)...), noise(3000)...)
	raw, props, size := ulikunitzLZMA(t, far, ulzma.WriterConfig{EOSMarker: true, DictCap: 1 << 20})
	r, err := lzma.NewReader(bytes.NewReader(raw), props, 1<<12, size)
	require.NoError(t, err)
	_, err = io.ReadAll(r)
	require.ErrorIs(t, err, lzma.ErrCorrupt)
}

func TestErrorsOfTheSourceComeThrough(t *testing.T) {
	raw, props, size := ulikunitzLZMA(t, text(3000), ulzma.WriterConfig{EOSMarker: true})
	failing := func(p []byte) io.Reader {
		return io.MultiReader(bytes.NewReader(p[:100]), iotest.ErrReader(iotest.ErrTimeout))
	}
	r, err := lzma.NewReader(failing(raw), props, 1<<20, size)
	require.NoError(t, err)
	_, err = io.ReadAll(r)
	assert.ErrorIs(t, err, iotest.ErrTimeout)
	packed := ulikunitzLZMA2(t, text(3000), ulzma.Writer2Config{})
	r2, err := lzma.NewReader2(failing(packed), 1<<20)
	require.NoError(t, err)
	_, err = io.ReadAll(r2)
	assert.ErrorIs(t, err, iotest.ErrTimeout)
}

func TestWriteTo(t *testing.T) {
	data := patches(1 << 20)
	raw, props, size := ulikunitzLZMA(t, data, ulzma.WriterConfig{EOSMarker: true})
	r, err := lzma.NewReader(bytes.NewReader(raw), props, 1<<23, size)
	require.NoError(t, err)
	first := make([]byte, 10)
	_, err = io.ReadFull(r, first)
	require.NoError(t, err)
	var rest bytes.Buffer
	count, err := r.WriteTo(&rest)
	require.NoError(t, err)
	assert.EqualValues(t, len(data)-10, count)
	assert.True(t, bytes.Equal(data, append(first, rest.Bytes()...)))
}
