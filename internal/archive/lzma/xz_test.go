package lzma_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/ulikunitz/xz"

	"talon/internal/archive/lzma"
)

func openXZ(r io.Reader) (io.Reader, error) { return lzma.NewXZReader(r, maxDict) }

func readXZ(coded []byte) ([]byte, error) {
	r, err := openXZ(bytes.NewReader(coded))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

func ulikunitzXZ(t testing.TB, data []byte, config xz.WriterConfig) []byte {
	var b bytes.Buffer
	w, err := config.NewWriter(&b)
	require.NoError(t, err)
	_, err = w.Write(data)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

func TestXZSamples(t *testing.T) {
	checks := map[string]xz.WriterConfig{
		"none": {NoCheckSum: true}, "crc32": {CheckSum: xz.CRC32}, "crc64": {CheckSum: xz.CRC64}, "sha256": {CheckSum: xz.SHA256},
		"blocks": {BlockSize: 30_000},
	}
	for check, config := range checks {
		for _, s := range samples() {
			t.Run(s.name+"/"+check, func(t *testing.T) {
				requireDecodes(t, s.data, ulikunitzXZ(t, s.data, config), openXZ)
			})
		}
	}
}

func TestXZOfXZ(t *testing.T) {
	needXZ(t)
	for _, options := range []string{
		"-0", "-6", "-9", "-9e", "--check=none", "--check=crc32", "--check=sha256", "--block-size=50000", "-T2 --block-size=65536",
		"--lzma2=dict=4KiB,lc=0,lp=4,pb=4", "--lzma2=dict=1MiB,lc=4,lp=0,pb=0,mf=bt2",
	} {
		for _, s := range samples() {
			t.Run(options+"/"+s.name, func(t *testing.T) {
				requireDecodes(t, s.data, xzCommand(t, s.data, strings.Fields(options)...), openXZ)
			})
		}
	}
}

func TestXZStreamsAndPadding(t *testing.T) {
	one, two := text(5000), noise(3000)
	first, second := ulikunitzXZ(t, one, xz.WriterConfig{}), ulikunitzXZ(t, two, xz.WriterConfig{CheckSum: xz.CRC32})
	zeros := make([]byte, 100)
	both := append(bytes.Clone(one), two...)
	cases := []struct {
		name  string
		coded [][]byte
		want  []byte
		err   error
	}{
		{"two streams", [][]byte{first, second}, both, nil},
		{"padding between", [][]byte{first, zeros, second}, both, nil},
		{"padding behind", [][]byte{first, second, zeros[:4]}, both, nil},
		{"padding of another size", [][]byte{first, zeros[:6]}, one, lzma.ErrTrailing},
		{"something behind", [][]byte{first, []byte("something")}, one, lzma.ErrTrailing},
		{"one byte behind", [][]byte{first, []byte("s")}, one, lzma.ErrTrailing},
		{"something behind the padding", [][]byte{first, zeros[:8], []byte("something")}, one, lzma.ErrTrailing},
		{"half a magic behind", [][]byte{first, second[:3]}, one, lzma.ErrTrailing},
		{"half a header behind", [][]byte{first, second[:8]}, one, io.ErrUnexpectedEOF},
		{"half a stream behind", [][]byte{first, second[:20]}, one, io.ErrUnexpectedEOF},
		{"a damaged header behind", [][]byte{first, second[:6], zeros}, one, lzma.ErrCorrupt},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r, err := openXZ(bytes.NewReader(bytes.Join(c.coded, nil)))
			require.NoError(t, err)
			got, err := io.ReadAll(r)
			assert.True(t, bytes.Equal(c.want, got))
			if c.err == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, c.err)
			_, again := r.Read(make([]byte, 1))
			assert.Equal(t, err, again, "the error stays")
		})
	}
}

func TestXZTruncated(t *testing.T) {
	coded := ulikunitzXZ(t, text(3000), xz.WriterConfig{BlockSize: 1000})
	for end := range coded {
		_, err := readXZ(coded[:end])
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, "%d bytes", end)
	}
}

func TestXZDamaged(t *testing.T) {
	data := append(text(600), noise(100)...)
	for name, config := range map[string]xz.WriterConfig{
		"crc32": {CheckSum: xz.CRC32}, "crc64": {}, "sha256": {CheckSum: xz.SHA256}, "blocks": {BlockSize: 200},
	} {
		coded := ulikunitzXZ(t, data, config)
		for bit := range 8 * len(coded) {
			damaged := bytes.Clone(coded)
			damaged[bit/8] ^= 1 << (bit % 8)
			_, err := readXZ(damaged)
			require.Error(t, err, "%s, bit %d", name, bit)
			known := errors.Is(err, lzma.ErrCorrupt) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, lzma.ErrUnsupported)
			require.True(t, known, "%s, bit %d: %v", name, bit, err)
		}
	}
}

// TestXZIndexAndFooter changes what the checksums cannot tell, for they are made to match.
func TestXZIndexAndFooter(t *testing.T) {
	data := text(300)
	coded := ulikunitzXZ(t, data, xz.WriterConfig{})
	footer := len(coded) - 12
	index := footer - 12 // indicator, count, two sizes of two bytes, padding, checksum
	require.Equal(t, "\x00\x01", string(coded[index:index+2]))
	sum := func(p []byte, from, to, at int) {
		binary.LittleEndian.PutUint32(p[at:], crc32.ChecksumIEEE(p[from:to]))
	}
	for at, sizes := range map[int]string{2: "packed", 4: "unpacked", 6: "padding"} {
		damaged := bytes.Clone(coded)
		damaged[index+at] ^= 1
		sum(damaged, index, index+8, index+8)
		got, err := readXZ(damaged)
		require.ErrorIs(t, err, lzma.ErrCorrupt, sizes)
		assert.Equal(t, data, got)
	}
	for at, field := range map[int]string{4: "size of the index", 9: "flags"} {
		damaged := bytes.Clone(coded)
		damaged[footer+at] ^= 1
		sum(damaged, footer+4, footer+10, footer)
		_, err := readXZ(damaged)
		require.ErrorIs(t, err, lzma.ErrCorrupt, field)
	}
}

// block returns an .xz file with one block that has this header (without size and checksum) and the data.
func block(header, data string) []byte {
	size := (len(header) + 1 + 3) &^ 3
	fields := append([]byte{byte(size / 4)}, header...)
	fields = append(fields, make([]byte, size-len(fields))...)
	coded := []byte("\xfd7zXZ\x00\x00\x01\x69\x22\xde\x36")
	coded = append(coded, fields...)
	sum := crc32.ChecksumIEEE(fields)
	coded = append(coded, byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24))
	return append(coded, data...)
}

func TestXZHeaders(t *testing.T) {
	const stored = "\x01\x00\x02abc\x00"
	cases := []struct {
		name, header string
		err          error
	}{
		{"reserved flag", "\x04\x21\x01\x00", lzma.ErrUnsupported},
		{"unknown filter", "\x01\x7f\x00\x21\x01\x00", lzma.ErrUnsupported},
		{"unknown last filter", "\x00\x04\x00", lzma.ErrUnsupported},
		{"lzma2 not last", "\x01\x21\x01\x00\x21\x01\x00", lzma.ErrUnsupported},
		{"delta without a distance", "\x01\x03\x00\x21\x01\x00", lzma.ErrUnsupported},
		{"crooked start", "\x01\x07\x04\x01\x00\x00\x00\x21\x01\x00", lzma.ErrUnsupported},
		{"odd properties of a filter", "\x01\x04\x01\x00\x21\x01\x00", lzma.ErrUnsupported},
		{"dictionary byte 41", "\x00\x21\x01\x29", lzma.ErrUnsupported},
		{"dictionary of 4 GiB", "\x00\x21\x01\x28", lzma.ErrDictionary},
		{"filter cut off", "\x00\x21\x01", lzma.ErrCorrupt},
		{"huge properties", "\x00\x21\xff\xff\xff\xff\x7f", lzma.ErrCorrupt},
		{"varint that does not end", "\x40\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", lzma.ErrCorrupt},
		{"varint too long", "\x40\x81\x00\x21\x01\x00", lzma.ErrCorrupt},
		{"packed size differs", "\x40\x09\x21\x01\x00", lzma.ErrCorrupt},
		{"unpacked size differs", "\x80\x02\x21\x01\x00", lzma.ErrCorrupt},
		{"something in the padding", "\x00\x21\x01\x00\x01", lzma.ErrUnsupported},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := readXZ(block(c.header, stored))
			require.ErrorIs(t, err, c.err)
		})
	}
}

func TestXZStreamHeaders(t *testing.T) {
	for flags, want := range map[string]error{
		"\x00\x02": lzma.ErrUnsupported, "\x01\x00": lzma.ErrUnsupported, "\x00\x10": lzma.ErrUnsupported,
		"\x00\x01": io.ErrUnexpectedEOF,
	} {
		header := binary.LittleEndian.AppendUint32([]byte("\xfd7zXZ\x00"+flags), crc32.ChecksumIEEE([]byte(flags)))
		_, err := readXZ(header)
		assert.ErrorIs(t, err, want, "%x", flags)
	}
	_, err := readXZ([]byte("no xz"))
	assert.ErrorIs(t, err, lzma.ErrCorrupt)
}

func TestXZDictionaryLimit(t *testing.T) {
	coded := ulikunitzXZ(t, text(1000), xz.WriterConfig{DictCap: 1 << 20})
	for limit, want := range map[uint32]error{1<<20 - 1: lzma.ErrDictionary, 1 << 20: nil} {
		r, err := lzma.NewXZReader(bytes.NewReader(coded), limit)
		require.NoError(t, err)
		_, err = io.ReadAll(r)
		assert.ErrorIs(t, err, want, fmt.Sprint(limit))
	}
}

func TestSmallFileClaimingALargeDictionaryUsesLittleMemory(t *testing.T) {
	coded := block("\x00\x21\x01\x28", "\x01\x00\x02abc\x00")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r, err := lzma.NewXZReader(bytes.NewReader(coded), 1<<32-1)
	require.NoError(t, err)
	got, err := io.ReadAll(r)
	runtime.ReadMemStats(&after)
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
	assert.Equal(t, "abc", string(got))
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))
}
