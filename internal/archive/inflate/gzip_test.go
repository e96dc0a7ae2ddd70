package inflate_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/archive/inflate"
)

func gzipped(data []byte, header ...gzip.Header) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	for _, h := range header {
		w.Header = h
	}
	_, _ = w.Write(data)
	_ = w.Close()
	return out.Bytes()
}

// gunzip reads all; the error of the header comes back as any other.
func gunzip(r io.Reader) ([]byte, error) {
	z, err := inflate.NewGzipReader(r)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

func TestGzipComesBack(t *testing.T) {
	for name, data := range contents() {
		for _, source := range []io.Reader{
			bytes.NewReader(gzipped(data)), iotest.OneByteReader(bytes.NewReader(gzipped(data))),
			iotest.DataErrReader(bytes.NewReader(gzipped(data))),
		} {
			z, err := inflate.NewGzipReader(source)
			require.NoError(t, err, name)
			var got bytes.Buffer
			n, err := z.WriteTo(&got)
			require.NoError(t, err, name)
			assert.EqualValues(t, len(data), n)
			assert.True(t, bytes.Equal(data, got.Bytes()), name)
		}
	}
}

func TestMembersAreOneStream(t *testing.T) {
	first, second := table(200_000), contents()["random"]
	both := slices.Concat(gzipped(first, gzip.Header{Name: "one"}), gzipped(nil), gzipped(second, gzip.Header{Name: "two"}))
	for _, source := range []io.Reader{bytes.NewReader(both), iotest.OneByteReader(bytes.NewReader(both))} {
		z, err := inflate.NewGzipReader(source)
		require.NoError(t, err)
		got, err := io.ReadAll(iotest.OneByteReader(z))
		require.NoError(t, err)
		assert.True(t, bytes.Equal(slices.Concat(first, second), got))
		assert.Equal(t, "one", z.Name, "the name of the first member")
	}
}

func TestAMatchDoesNotReachIntoTheMemberBefore(t *testing.T) {
	stream := new(bitWriter).fixed(true, []token{{length: 3, distance: 3}}).out
	want := "abcabc"
	one := slices.Concat(gzipMark(0), stream, trailer("abc"))
	_, err := gunzip(bytes.NewReader(slices.Concat(gzipped([]byte(want)), one)))
	require.ErrorIs(t, err, inflate.ErrCorrupt)
}

// gzipMark is a header without time, gzip's trailer follows the stream.
func gzipMark(flags byte, fields ...byte) []byte {
	return append([]byte{0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 255}, fields...)
}

func trailer(data string) []byte {
	sum := binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(data)))
	return binary.LittleEndian.AppendUint32(sum, uint32(len(data)))
}

// member is a gzip member with any header.
func member(flags byte, fields ...byte) []byte {
	return slices.Concat(gzipMark(flags, fields...), new(bitWriter).stored(true, []byte("data")).out, trailer("data"))
}

func TestGzipHeaders(t *testing.T) {
	sum := func(flags byte, fields ...byte) []byte {
		whole := binary.LittleEndian.AppendUint16(nil, uint16(crc32.ChecksumIEEE(gzipMark(flags, fields...))))
		return member(flags, append(fields, whole...)...)
	}
	all := []byte("\x03\x00xyzname.csv\x00comment\x00")
	long := strings.Repeat("n", 5000)
	for name, tt := range map[string]struct {
		data []byte
		want string // the name
		err  error
	}{
		"no fields":              {member(0), "", nil},
		"text":                   {member(1), "", nil},
		"name":                   {member(8, []byte("a/\xe9.csv\x00")...), "a/\xe9.csv", nil},
		"long name":              {member(8, append([]byte(long), 0)...), long[:1024], nil},
		"extra":                  {member(4, 3, 0, 0, 0, 0), "", nil},
		"all fields and sum":     {sum(2|4|8|16, all...), "name.csv", nil},
		"sum":                    {sum(2), "", nil},
		"wrong sum":              {member(2, 1, 2), "", inflate.ErrHeader},
		"reserved flag":          {member(0x20), "", inflate.ErrHeader},
		"another method":         {append([]byte{0x1f, 0x8b, 7}, member(0)[3:]...), "", inflate.ErrHeader},
		"something else":         {[]byte("name,amount\n"), "", inflate.ErrHeader},
		"one byte":               {[]byte("x"), "", inflate.ErrHeader},
		"nothing":                {nil, "", io.ErrUnexpectedEOF},
		"half a mark":            {[]byte{0x1f}, "", io.ErrUnexpectedEOF},
		"a name without an end":  {gzipMark(8, 'n'), "", io.ErrUnexpectedEOF},
		"an extra field cut off": {gzipMark(4, 255, 255, 1), "", io.ErrUnexpectedEOF},
	} {
		z, err := inflate.NewGzipReader(bytes.NewReader(tt.data))
		require.ErrorIs(t, err, tt.err, name)
		if err != nil {
			assert.Nil(t, z, name)
			continue
		}
		assert.Equal(t, inflate.Header{Name: tt.want}, z.Header, name)
		got, err := io.ReadAll(z)
		require.NoError(t, err, name)
		assert.Equal(t, "data", string(got), name)
	}
}

func TestTheTimeOfAGzipMember(t *testing.T) {
	when := time.Date(2026, 3, 4, 5, 6, 8, 0, time.UTC)
	z, err := inflate.NewGzipReader(bytes.NewReader(gzipped([]byte("data"), gzip.Header{ModTime: when})))
	require.NoError(t, err)
	assert.Equal(t, when, z.ModTime)
	require.NoError(t, z.Reset(bytes.NewReader(gzipped(nil))))
	assert.Zero(t, z.Header)
}

func TestWhatFollowsGzipData(t *testing.T) {
	data := table(150_000)
	bad := gzipMark(0x80)
	for name, tt := range map[string]struct {
		behind []byte
		want   error
	}{
		"nothing": {nil, nil}, "text": {[]byte("text"), inflate.ErrTrailing}, "a zero": {[]byte{0}, inflate.ErrTrailing},
		"zeros": {make([]byte, 10_000), inflate.ErrTrailing}, "half a mark": {[]byte{0x1f, 0x8b}, inflate.ErrTrailing},
		"another method": {[]byte{0x1f, 0x8b, 9, 0}, inflate.ErrTrailing}, "a mark": {gzipMark(0)[:3], io.ErrUnexpectedEOF},
		"a header": {gzipMark(0), io.ErrUnexpectedEOF}, "a bad header": {bad, inflate.ErrHeader},
	} {
		z, err := inflate.NewGzipReader(bytes.NewReader(append(gzipped(data), tt.behind...)))
		require.NoError(t, err)
		for range 2 { // the error stays
			got, err := io.ReadAll(z)
			require.ErrorIs(t, err, tt.want, name)
			assert.True(t, bytes.Equal(data, got), name)
			data = nil
		}
		data = table(150_000)
		require.NoError(t, z.Reset(bytes.NewReader(append(gzipped(data), tt.behind...))))
		n, err := z.WriteTo(io.Discard)
		require.ErrorIs(t, err, tt.want, name)
		assert.EqualValues(t, len(data), n, name)
	}
}

func TestATruncatedGzipMemberIsToldAtEveryByte(t *testing.T) {
	data := table(1000)
	whole := slices.Concat(gzipped(data), gzipped(data, gzip.Header{Name: "n", Comment: "c", Extra: []byte("extra")}))
	first := len(gzipped(data))
	for cut := range whole {
		_, err := gunzip(bytes.NewReader(whole[:cut]))
		switch cut - first {
		case 0:
			require.NoError(t, err)
		case 1, 2:
			require.Equal(t, inflate.ErrTrailing, err)
		default:
			require.Equal(t, io.ErrUnexpectedEOF, err, "%d", cut)
		}
	}
}

// TestEveryFlippedBitOfAGzipMemberIsSeen knows that another match may have the same bytes.
func TestEveryFlippedBitOfAGzipMemberIsSeen(t *testing.T) {
	whole := gzipped(table(600))
	for bit := range len(whole) * 8 {
		whole[bit/8] ^= 1 << (bit % 8)
		if got, err := gunzip(bytes.NewReader(whole)); err == nil {
			require.True(t, bytes.Equal(table(600), got), "bit %d", bit)
		}
		whole[bit/8] ^= 1 << (bit % 8)
	}
}

func TestGzipChecksumAndSize(t *testing.T) {
	for _, at := range []int{-1, -4, -5, -8} {
		whole := gzipped(table(100_000))
		whole[len(whole)+at]++
		got, err := gunzip(bytes.NewReader(whole))
		require.ErrorIs(t, err, inflate.ErrCorrupt)
		assert.True(t, bytes.Equal(table(100_000), got), "what was decompressed is there")
	}
}

func TestAnErrorOfTheSourceComesThroughGzip(t *testing.T) {
	broken := errors.New("broken")
	whole := gzipped(table(1000))
	for cut := range len(whole) + 1 {
		_, err := gunzip(io.MultiReader(bytes.NewReader(whole[:cut]), iotest.ErrReader(broken)))
		require.ErrorIs(t, err, broken, "%d", cut)
	}
}

func TestGzipResetAllocatesNothing(t *testing.T) {
	whole := gzipped(table(10_000))
	source := bytes.NewReader(whole)
	z, err := inflate.NewGzipReader(source)
	require.NoError(t, err)
	assert.Zero(t, testing.AllocsPerRun(10, func() {
		source.Reset(whole)
		if z.Reset(source) != nil {
			t.Error("a good header is refused")
		}
		if _, err := z.WriteTo(io.Discard); err != nil {
			t.Error(err)
		}
	}))
}
