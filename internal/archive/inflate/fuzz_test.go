package inflate_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"talon/internal/archive/inflate"
)

// seeds adds small streams of all kinds, and the special ones.
func seeds(f *testing.F, large bool) {
	data := slices.Concat(table(300), make([]byte, 300), table(100))
	f.Add((&bitWriter{large: large}).compress(data, 25))
	for _, compress := range compressors() {
		f.Add(compress(data))
	}
	for _, s := range special {
		w := &bitWriter{large: large}
		s.write(w)
		f.Add(w.out)
		f.Add(append(w.out, make([]byte, 40)...))
	}
}

// FuzzInflate compares with compress/flate and the slow decoder: same bytes, same judgement.
func FuzzInflate(f *testing.F) {
	seeds(f, false)
	f.Fuzz(func(t *testing.T, stream []byte) {
		requireAgreement(t, stream)
		requireReference(t, stream, false)
	})
}

// FuzzInflate64 takes the input for a stream, and compares with the slow decoder; and for contents, which must come back.
func FuzzInflate64(f *testing.F) {
	seeds(f, true)
	f.Fuzz(func(t *testing.T, data []byte) {
		requireReference(t, data, true)
		requireInflates64(t, data, (&bitWriter{large: true}).compress(data, 40))
	})
}

// FuzzGzip compares with compress/gzip, which takes headers that the standard forbids and has a limit for names.
func FuzzGzip(f *testing.F) {
	f.Add(gzipped(table(300)))
	f.Add(slices.Concat(gzipped(table(50)), gzipped(table(50)), []byte("rest")))
	f.Add(gzipped(nil, gzip.Header{Name: "name", Comment: "comment", Extra: []byte("extra")}))
	f.Add(member(2|4|8|16, 1, 0, 'x', 'n', 0, 'c', 0, 0, 0))
	f.Fuzz(func(t *testing.T, data []byte) {
		const limit = 4 << 20
		var got []byte
		z, err := inflate.NewGzipReader(bytes.NewReader(data))
		if err == nil {
			got, err = io.ReadAll(io.LimitReader(z, limit))
		}
		var want []byte
		other, refused := gzip.NewReader(bytes.NewReader(data))
		if refused == nil {
			want, refused = io.ReadAll(io.LimitReader(other, limit))
		}
		if err == nil || errors.Is(err, inflate.ErrTrailing) {
			headers := len(data) > 512
			require.True(t, refused == nil || headers || errors.Is(refused, gzip.ErrHeader) ||
				refused == io.ErrUnexpectedEOF && err != nil, "%v, %v", err, refused)
		} else {
			require.True(t, refused != nil || errors.Is(err, inflate.ErrHeader), "%v, %v", err, refused)
		}
		require.True(t, bytes.HasPrefix(want, got) || bytes.HasPrefix(got, want), "%v, %v", err, refused)
	})
}
