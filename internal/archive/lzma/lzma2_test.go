package lzma_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	ulzma "github.com/ulikunitz/xz/lzma"

	"talon/internal/archive/lzma"
)

func openLZMA2(dict uint32) func(io.Reader) (io.Reader, error) {
	return func(r io.Reader) (io.Reader, error) { return lzma.NewReader2(r, dict) }
}

func TestLZMA2Samples(t *testing.T) {
	for _, dict := range []int{1 << 16, 100_000, 1 << 20} { // with less, its writer fails on noise
		for _, s := range samples() {
			t.Run(fmt.Sprint(s.name, "/", dict), func(t *testing.T) {
				requireDecodes(t, s.data, ulikunitzLZMA2(t, s.data, ulzma.Writer2Config{DictCap: dict}), openLZMA2(uint32(dict)))
			})
		}
	}
}

func TestLZMA2OfXZ(t *testing.T) {
	needXZ(t)
	for _, dict := range []string{"4KiB", "12KiB", "96KiB", "8MiB"} {
		for _, s := range samples() {
			t.Run(dict+"/"+s.name, func(t *testing.T) {
				sizes := map[string]uint32{"4KiB": 4 << 10, "12KiB": 12 << 10, "96KiB": 96 << 10, "8MiB": 8 << 20}
				requireDecodes(t, s.data, xzCommand(t, s.data, "--format=raw", "--lzma2=dict="+dict), openLZMA2(sizes[dict]))
			})
		}
	}
}

func TestLZMA2Properties(t *testing.T) {
	data := append(text(6000), patches(6000)...)
	for lc := range 5 {
		for lp := range 5 - lc {
			for pb := range 5 {
				packed := ulikunitzLZMA2(t, data, ulzma.Writer2Config{Properties: &ulzma.Properties{LC: lc, LP: lp, PB: pb}})
				r, err := lzma.NewReader2(bytes.NewReader(packed), 1<<20)
				require.NoError(t, err)
				requireSame(t, data, r, fmt.Sprint(lc, lp, pb))
			}
		}
	}
}

func TestLZMA2ReadsNothingBehindTheStream(t *testing.T) {
	data := text(100_000)
	source := bytes.NewReader(append(ulikunitzLZMA2(t, data, ulzma.Writer2Config{}), "behind"...))
	r, err := lzma.NewReader2(source, 1<<23)
	require.NoError(t, err)
	requireSame(t, data, r, "")
	rest, err := io.ReadAll(source)
	require.NoError(t, err)
	assert.Equal(t, "behind", string(rest))
}

func TestLZMA2Truncated(t *testing.T) {
	packed := ulikunitzLZMA2(t, append(text(2000), noise(500)...), ulzma.Writer2Config{})
	for end := range packed {
		r, err := lzma.NewReader2(bytes.NewReader(packed[:end]), 1<<23)
		require.NoError(t, err)
		_, err = io.ReadAll(r)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, "%d bytes", end)
	}
}

func TestLZMA2Damaged(t *testing.T) {
	repeated := string(ulikunitzLZMA2(t, bytes.Repeat([]byte("a"), 100), ulzma.Writer2Config{}))
	const stored = "\x01\x00\x02abc" // with a new dictionary
	lzmaData := string(ulikunitzLZMA2(t, text(1000), ulzma.Writer2Config{}))
	require.Equal(t, byte(0xe0), lzmaData[0])
	control := func(b byte) string { return string(b) + lzmaData[1:] }
	withoutProps := func(b byte) string { return string(b) + lzmaData[1:5] + lzmaData[6:] }
	cases := map[string]string{
		"unknown control byte":                 "\x03\x00\x00a",
		"stored without a dictionary":          "\x02\x00\x02abc\x00",
		"lzma without a dictionary":            control(0xc0),
		"no properties":                        stored + withoutProps(0xa0),
		"no properties after a new dictionary": repeated[:len(repeated)-1] + stored + "\xa0" + repeated[1:5] + repeated[6:],
		"impossible properties":                lzmaData[:5] + "\xe1" + lzmaData[6:],
		"lc + lp > 4":                          lzmaData[:5] + "\x08" + lzmaData[6:],
		"range coder":                          lzmaData[:6] + "\x01" + lzmaData[7:],
		"range coder too wide":                 lzmaData[:6] + "\x00\xff\xff\xff\xff" + lzmaData[11:],
		"chunk of 1 byte":                      lzmaData[:3] + "\x00\x00" + lzmaData[5:7] + "\x00",
		"chunk longer than its data":           lzmaData[:2] + "\xff" + lzmaData[3:],
		"chunk shorter than its data":          lzmaData[:2] + "\x10" + lzmaData[3:],
	}
	for name, packed := range cases {
		t.Run(name, func(t *testing.T) {
			r, err := lzma.NewReader2(bytes.NewReader([]byte(packed)), 1<<23)
			require.NoError(t, err)
			_, err = io.ReadAll(r)
			require.ErrorIs(t, err, lzma.ErrCorrupt)
			_, again := r.Read(make([]byte, 1))
			assert.Equal(t, err, again)
		})
	}
}
