package lzma_test

import (
	"bytes"
	"io"
	"os/exec"
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
		{"xz", commandReader},
	}
	const size = 8 << 20
	for _, input := range []sample{
		{"text", text(size)}, {"noise", noise(size)}, {"zeros", make([]byte, size)}, {"patches", patches(size)},
	} {
		coded := xzCommand(b, input.data)
		for _, decoder := range decoders {
			b.Run(input.name+"/"+decoder.name, func(b *testing.B) {
				b.SetBytes(size)
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

// commandReader decodes with the command xz.
func commandReader(r io.Reader) (io.Reader, error) {
	command := exec.Command("xz", "-dc")
	command.Stdin = r
	out, err := command.Output()
	return bytes.NewReader(out), err
}
