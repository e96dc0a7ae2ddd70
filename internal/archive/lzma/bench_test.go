package lzma_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
	fastxz "github.com/therootcompany/xz"
	"github.com/ulikunitz/xz"
)

// BenchmarkXZ compares decoders of .xz files with each other.
func BenchmarkXZ(b *testing.B) {
	needXZ(b)
	decoders := []struct {
		name string
		open func(io.Reader) (io.Reader, error)
	}{
		{"talon", openXZ},
		{"therootcompany", func(r io.Reader) (io.Reader, error) { return fastxz.NewReader(r, maxDict) }},
		{"ulikunitz", func(r io.Reader) (io.Reader, error) { return xz.NewReader(r) }},
	}
	inputs := map[string][]byte{"text": text(8 << 20), "noise": noise(8 << 20), "zeros": make([]byte, 8<<20), "patches": patches(8 << 20)}
	for name, data := range inputs {
		coded := xzCommand(b, data)
		for _, decoder := range decoders {
			b.Run(name+"/"+decoder.name, func(b *testing.B) {
				b.SetBytes(int64(len(data)))
				for b.Loop() {
					r, err := decoder.open(bytes.NewReader(coded))
					require.NoError(b, err)
					_, err = io.Copy(io.Discard, r)
					require.NoError(b, err)
				}
			})
		}
	}
}
