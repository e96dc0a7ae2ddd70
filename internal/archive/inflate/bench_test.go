package inflate_test

import (
	"bytes"
	"compress/flate"
	"io"
	"testing"

	kflate "github.com/klauspost/compress/flate"

	"talon/internal/archive/inflate"
)

// BenchmarkInflate compares with the libraries: many files of 10 KB, and one of 16 MB.
func BenchmarkInflate(b *testing.B) {
	text := table(16 << 20)
	var small [][]byte
	for i := range 500 {
		small = append(small, deflated(text[i*10_000:(i+1)*10_000], 6))
	}
	for name, streams := range map[string][][]byte{"small": small, "large": {deflated(text, 6)}} {
		ours, theirs, standard := inflate.NewReader(nil), kflate.NewReader(nil), flate.NewReader(nil)
		b.Run(name+"/talon", func(b *testing.B) {
			benchmark(b, streams, ours, func(r io.Reader) { ours.Reset(r) })
		})
		b.Run(name+"/klauspost", func(b *testing.B) {
			benchmark(b, streams, theirs, func(r io.Reader) { _ = theirs.(kflate.Resetter).Reset(r, nil) })
		})
		b.Run(name+"/standard", func(b *testing.B) {
			benchmark(b, streams, standard, func(r io.Reader) { _ = standard.(flate.Resetter).Reset(r, nil) })
		})
	}
}

// BenchmarkInflate64 has no peer.
func BenchmarkInflate64(b *testing.B) {
	streams := [][]byte{(&bitWriter{large: true}).compress(table(4<<20), 20_000)}
	d := inflate.NewReader64(nil)
	benchmark(b, streams, d, func(r io.Reader) { d.Reset(r) })
}

func benchmark(b *testing.B, streams [][]byte, d io.Reader, reset func(io.Reader)) {
	var source bytes.Reader
	b.ReportAllocs()
	for b.Loop() {
		total := int64(0)
		for _, stream := range streams {
			source.Reset(stream)
			reset(&source)
			n, err := io.Copy(sink{}, d)
			if err != nil {
				b.Fatal(err)
			}
			total += n
		}
		b.SetBytes(total)
	}
}

// sink has no method that io.Copy could take instead.
type sink struct{}

func (sink) Write(p []byte) (int, error) { return len(p), nil }
