package inflate_test

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	kflate "github.com/klauspost/compress/flate"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/archive/inflate"
)

// contents are what the tests compress; the names are those of the subtests.
func contents() map[string][]byte {
	random := make([]byte, 300_000)
	source := rand.New(rand.NewPCG(1, 2))
	for i := range random {
		random[i] = byte(source.Uint32())
	}
	text := table(600_000)
	mixed := slices.Concat(text[:40_000], random[:70_000], make([]byte, 100_000), text[:200_000], random[:70_000])
	all := map[string][]byte{
		"empty": nil, "byte": {7}, "text": text, "random": random, "zeros": make([]byte, 1_000_000), "mixed": mixed,
	}
	for period := 2; period <= 20; period++ { // matches that overlap themselves
		all[fmt.Sprint("period ", period)] = bytes.Repeat(random[:period], 3000)
	}
	return all
}

// table is text as the branches send it.
func table(size int) []byte {
	source := rand.New(rand.NewPCG(3, 4))
	kinds := []string{"deposit", "withdrawal", "transfer", "interest"}
	var text bytes.Buffer
	for text.Len() < size {
		fmt.Fprintf(&text, "2026-%02d-%02d,%s,%08d,%d.%02d\r\n", 1+source.IntN(12), 1+source.IntN(28),
			kinds[source.IntN(len(kinds))], source.IntN(1e8), source.IntN(1e4), source.IntN(100))
	}
	return text.Bytes()[:size]
}

// compressors are all that a stream can come from.
func compressors() map[string]func(data []byte) []byte {
	all := map[string]func([]byte) []byte{
		"all kinds of blocks": func(data []byte) []byte { return new(bitWriter).compress(data, 5000) },
		"short blocks":        func(data []byte) []byte { return new(bitWriter).compress(data, 50) },
	}
	for level := flate.HuffmanOnly; level <= flate.BestCompression; level++ {
		all[fmt.Sprint("flate ", level)] = func(data []byte) []byte { return deflated(data, level) }
		all[fmt.Sprint("klauspost ", level)] = func(data []byte) []byte {
			var out bytes.Buffer
			w, _ := kflate.NewWriter(&out, level)
			_, _ = w.Write(data)
			_ = w.Close()
			return out.Bytes()
		}
	}
	return all
}

func deflated(data []byte, level int) []byte {
	var out bytes.Buffer
	w, _ := flate.NewWriter(&out, level)
	_, _ = w.Write(data)
	_ = w.Close()
	return out.Bytes()
}

func TestWhatWasCompressedComesBack(t *testing.T) {
	d := inflate.NewReader(nil)
	all := contents()
	for by, compress := range compressors() {
		for _, name := range slices.Sorted(maps.Keys(all)) {
			stream := compress(all[name])
			d.Reset(bytes.NewReader(stream))
			var got bytes.Buffer
			n, err := d.WriteTo(&got)
			require.NoError(t, err, "%s by %s", name, by)
			assert.True(t, bytes.Equal(all[name], got.Bytes()), "%s by %s", name, by)
			assert.EqualValues(t, len(all[name]), n)
			requireAgreement(t, stream)
		}
	}
}

func TestAnySourceAndAnyBufferWillDo(t *testing.T) {
	want := contents()["mixed"]
	stream := new(bitWriter).compress(want, 20_000)
	sources := map[string]func(io.Reader) io.Reader{
		"whole": func(r io.Reader) io.Reader { return r }, "bytes": iotest.OneByteReader, "halves": iotest.HalfReader,
		"end with data": iotest.DataErrReader,
	}
	for name, source := range sources {
		for _, size := range []int{1, 3, 300, 4096, 1 << 20} {
			d := inflate.NewReader(source(bytes.NewReader(stream)))
			var got bytes.Buffer
			_, err := io.CopyBuffer(struct{ io.Writer }{&got}, struct{ io.Reader }{d}, make([]byte, size))
			require.NoError(t, err, "%s, %d", name, size)
			assert.True(t, bytes.Equal(want, got.Bytes()), "%s, %d", name, size)
			n, err := d.Read(make([]byte, 1))
			assert.Zero(t, n)
			assert.Equal(t, io.EOF, err, "the end stays the end")
		}
	}
}

func TestNothingIsReadIntoNothing(t *testing.T) {
	d := inflate.NewReader(bytes.NewReader(deflated([]byte("x"), 6)))
	n, err := d.Read(nil)
	assert.Zero(t, n)
	require.NoError(t, err)
}

func TestWhatFollowsTheStreamIsNotLost(t *testing.T) {
	rest := []byte("what follows, and is longer than the reservoir of bits")
	for by, compress := range compressors() {
		stream := compress(table(50_000))
		source := bytes.NewReader(append(stream, rest...))
		d := inflate.NewReader(source)
		_, err := io.Copy(io.Discard, d)
		require.NoError(t, err, by)
		behind, _ := io.ReadAll(source)
		assert.Equal(t, string(rest), string(d.Buffered())+string(behind), by)
	}
}

// TestNoByteBehindTheEndIsWaitedFor also holds for a connection that stays open after the last byte.
func TestNoByteBehindTheEndIsWaitedFor(t *testing.T) {
	for by, compress := range compressors() {
		stream := compress(table(20_000))
		for name, whole := range map[string]io.Reader{
			"whole": bytes.NewReader(stream), "bytes": iotest.OneByteReader(bytes.NewReader(stream)),
		} {
			d := inflate.NewReader(io.MultiReader(whole, iotest.ErrReader(errors.New("one byte too many"))))
			_, err := io.Copy(io.Discard, d)
			require.NoError(t, err, "%s by %s", name, by)
		}
	}
}

func TestATruncatedStreamIsToldAtEveryByte(t *testing.T) {
	d := inflate.NewReader(nil)
	for by, compress := range compressors() {
		want := table(1500)
		stream := compress(want)
		for cut := range stream {
			d.Reset(bytes.NewReader(stream[:cut]))
			got, err := io.ReadAll(d)
			require.Equal(t, io.ErrUnexpectedEOF, err, "%s, %d", by, cut)
			require.True(t, bytes.HasPrefix(want, got), "%s, %d", by, cut)
		}
	}
}

func TestEveryFlippedBitIsJudgedAsByOthers(t *testing.T) {
	all := compressors()
	for _, by := range []string{"all kinds of blocks", "short blocks", "flate -2", "flate 0", "flate 6", "klauspost 9"} {
		stream := all[by](slices.Concat(table(200), make([]byte, 300)))
		for bit := range len(stream) * 8 {
			stream[bit/8] ^= 1 << (bit % 8)
			requireAgreement(t, stream)
			requireReference(t, stream, false)
			stream[bit/8] ^= 1 << (bit % 8)
		}
	}
}

var (
	readers   = sync.Pool{New: func() any { return inflate.NewReader(nil) }}
	readers64 = sync.Pool{New: func() any { return inflate.NewReader64(nil) }}
	theirs    = sync.Pool{New: func() any { return flate.NewReader(nil) }}
)

// requireAgreement compares with compress/flate: the same bytes and the same judgement, and all that was decompressed
// before an error is delivered.
func requireAgreement(t *testing.T, stream []byte) {
	t.Helper()
	const limit = 4 << 20
	source := bytes.NewReader(stream)
	other := theirs.Get().(io.Reader)
	defer theirs.Put(other)
	require.NoError(t, other.(flate.Resetter).Reset(source, nil))
	want, refused := io.ReadAll(io.LimitReader(other, limit))
	requireSame(t, stream, false, limit, want, len(stream)-source.Len(), refused)
}

// requireReference compares with the slow decoder.
func requireReference(t *testing.T, stream []byte, large bool) {
	t.Helper()
	const limit = 1 << 20
	want, used, refused := inflateSlowly(stream, large, limit)
	if refused == io.ErrShortBuffer {
		refused = nil
	}
	requireSame(t, stream, large, limit, want, used, refused)
}

func requireSame(t *testing.T, stream []byte, large bool, limit int64, want []byte, used int, refused error) {
	t.Helper()
	pool := &readers
	if large {
		pool = &readers64
	}
	d := pool.Get().(*inflate.Reader)
	defer pool.Put(d)
	source := bytes.NewReader(stream)
	d.Reset(source)
	got, err := io.ReadAll(io.LimitReader(d, limit))
	require.Equal(t, refused == nil, err == nil, "%v, %v", refused, err)
	if err != nil {
		require.True(t, errors.Is(err, inflate.ErrCorrupt) || err == io.ErrUnexpectedEOF, "%v", err)
		require.True(t, bytes.HasPrefix(want, got) || bytes.HasPrefix(got, want), "%v, %v", refused, err)
		return
	}
	require.True(t, bytes.Equal(want, got), "%d and %d bytes", len(want), len(got))
	if int64(len(got)) < limit {
		require.Equal(t, used, len(stream)-source.Len()-len(d.Buffered()), "bytes of the stream")
	}
}

func TestAReaderServesOneStreamAfterTheOther(t *testing.T) {
	whole := deflated(table(300_000), 6)
	d := inflate.NewReader(bytes.NewReader(whole))
	_, err := io.ReadFull(d, make([]byte, 200_000))
	require.NoError(t, err)
	for _, broken := range [][]byte{whole[:len(whole)/2], {7}, nil} {
		d.Reset(bytes.NewReader(broken))
		_, err = io.Copy(io.Discard, d)
		require.Error(t, err)
	}
	d.Reset(bytes.NewReader(new(bitWriter).fixed(true, []token{{length: 3, distance: 1}}).out))
	_, err = d.Read(make([]byte, 1))
	require.ErrorIs(t, err, inflate.ErrCorrupt, "no match reaches into the stream before")
	d.Reset(bytes.NewReader(whole))
	got, err := io.ReadAll(d)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(table(300_000), got))
}

func TestResetAllocatesNothing(t *testing.T) {
	for name, stream := range map[string][]byte{
		"dynamic": deflated(table(10_000), 6), "stored": deflated(table(10_000), 0),
		"fixed": new(bitWriter).fixed(true, []token{{literal: 1}, {length: 258, distance: 1}}).out,
	} {
		source := bytes.NewReader(stream)
		d := inflate.NewReader(source)
		assert.Zero(t, testing.AllocsPerRun(10, func() {
			source.Reset(stream)
			d.Reset(source)
			if _, err := d.WriteTo(io.Discard); err != nil {
				t.Error(err)
			}
		}), name)
	}
}

func TestMemoryDoesNotGrowWithTheContents(t *testing.T) {
	stream := deflated(make([]byte, 64<<20), 9)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n, err := inflate.NewReader(bytes.NewReader(stream)).WriteTo(io.Discard)
	runtime.ReadMemStats(&after)
	require.NoError(t, err)
	assert.EqualValues(t, 64<<20, n)
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(400<<10))
}

func TestReadersDoNotDisturbEachOther(t *testing.T) {
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			want := table(100_000 + i)
			got, err := io.ReadAll(inflate.NewReader(bytes.NewReader(new(bitWriter).compress(want, 100+i))))
			assert.NoError(t, err)
			assert.True(t, bytes.Equal(want, got))
		})
	}
	group.Wait()
}

func TestAnErrorOfTheSourceComesThrough(t *testing.T) {
	broken := errors.New("broken")
	want := table(100_000)
	stream := deflated(want, 6)
	half := bytes.NewReader(stream[:len(stream)/2])
	for name, source := range map[string]io.Reader{
		"after data": io.MultiReader(half, iotest.ErrReader(broken)), "at once": iotest.ErrReader(broken),
		"in a stored block": io.MultiReader(bytes.NewReader(deflated(want, 0)[:500]), iotest.ErrReader(broken)),
	} {
		d := inflate.NewReader(source)
		got, err := io.ReadAll(d)
		require.ErrorIs(t, err, broken, name)
		assert.True(t, bytes.HasPrefix(want, got), name)
		_, err = d.Read(make([]byte, 1))
		require.ErrorIs(t, err, broken, "%s: an error stays", name)
	}
	_, err := inflate.NewReader(idle{}).Read(make([]byte, 1))
	require.ErrorIs(t, err, io.ErrNoProgress)
}

// idle is a source that never gives anything.
type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

func TestWriteToStopsWhereTheWriterDoes(t *testing.T) {
	full := errors.New("full")
	d := inflate.NewReader(bytes.NewReader(deflated(table(300_000), 6)))
	n, err := d.WriteTo(writer(func([]byte) (int, error) { return 10, full }))
	assert.EqualValues(t, 10, n)
	require.ErrorIs(t, err, full)
	n, err = d.WriteTo(writer(func(p []byte) (int, error) { return len(p) - 1, nil }))
	assert.Positive(t, n)
	require.ErrorIs(t, err, io.ErrShortWrite)
	rest, err := io.ReadAll(d)
	require.NoError(t, err)
	assert.True(t, strings.HasSuffix(string(table(300_000)), string(rest)), "what was not taken is still there")
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }
