package lzma_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	ulzma "github.com/ulikunitz/xz/lzma"
)

const maxDict = 256 << 20

// text returns something like a statement of accounts.
func text(size int) []byte {
	random := rand.New(rand.NewPCG(1, uint64(size)))
	var b bytes.Buffer
	for b.Len() < size {
		fmt.Fprintf(&b, "2026-%02d-%02d;account %06d;%8d.%02d;HUF\n",
			1+random.IntN(12), 1+random.IntN(28), random.IntN(5000), random.IntN(1e6), random.IntN(100))
	}
	return b.Bytes()[:size]
}

func noise(size int) []byte {
	random := rand.NewChaCha8([32]byte{byte(size)})
	p := make([]byte, size)
	random.Read(p)
	return p
}

// patches returns data with matches of all distances and lengths, some of them overlapping, between noise.
func patches(size int) []byte {
	random := rand.New(rand.NewPCG(2, uint64(size)))
	p := noise(min(size, 64))
	for len(p) < size {
		distance := 1 + random.IntN(1<<random.IntN(20))
		distance = min(distance, len(p))
		for range 1 + random.IntN(1<<random.IntN(10)) {
			p = append(p, p[len(p)-distance])
		}
		p = append(p, byte(random.Uint32()))
	}
	return p[:size]
}

type sample struct {
	name string
	data []byte
}

func samples() []sample {
	mixed := append(append(text(70_000), noise(200_000)...), make([]byte, 100_000)...)
	return []sample{
		{"empty", nil},
		{"one byte", []byte("x")},
		{"short", []byte("hello, hello, hello")},
		{"zeros", make([]byte, 1<<20)},
		{"text", text(400_000)},
		{"noise", noise(300_000)},
		{"patches", patches(500_000)},
		{"mixed", append(mixed, mixed...)},
	}
}

// ulikunitzLZMA returns raw LZMA, its properties and the size that a header would have (-1: there is an end marker).
func ulikunitzLZMA(t testing.TB, data []byte, config ulzma.WriterConfig) (raw []byte, props byte, size int64) {
	var b bytes.Buffer
	w, err := config.NewWriter(&b)
	require.NoError(t, err)
	_, err = w.Write(data)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	size = -1
	if config.SizeInHeader {
		size = int64(len(data))
	}
	const header = 13
	return b.Bytes()[header:], b.Bytes()[0], size
}

func ulikunitzLZMA2(t testing.TB, data []byte, config ulzma.Writer2Config) []byte {
	var b bytes.Buffer
	w, err := config.NewWriter2(&b)
	require.NoError(t, err)
	_, err = w.Write(data)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

func needXZ(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("xz"); err != nil {
		t.Skip("the command xz is not there to compare with: ", err)
	}
}

// xzCommand compresses with the command xz.
func xzCommand(t testing.TB, data []byte, args ...string) []byte {
	t.Helper()
	command := exec.Command("xz", append([]string{"-c", "-T1"}, args...)...)
	command.Stdin = bytes.NewReader(data)
	var errors strings.Builder
	command.Stderr = &errors
	out, err := command.Output()
	require.NoError(t, err, "xz %v: %s", args, errors.String())
	return out
}

// requireDecodes reads in all manners.
func requireDecodes(t *testing.T, want, coded []byte, open func(io.Reader) (io.Reader, error)) {
	t.Helper()
	sources := map[string]func(io.Reader) io.Reader{
		"plain": func(r io.Reader) io.Reader { return r }, "half": iotest.HalfReader, "data with EOF": iotest.DataErrReader,
	}
	if len(coded) < 50_000 {
		sources["one byte"] = iotest.OneByteReader
	}
	for name, source := range sources {
		r, err := open(source(bytes.NewReader(coded)))
		require.NoError(t, err, name)
		requireSame(t, want, r, name)
	}
	if len(want) < 100_000 {
		r, err := open(bytes.NewReader(coded))
		require.NoError(t, err)
		requireSame(t, want, iotest.OneByteReader(r), "one byte out")
	}
}

func requireSame(t *testing.T, want []byte, r io.Reader, note string) {
	t.Helper()
	got, err := io.ReadAll(r)
	require.NoError(t, err, note)
	require.True(t, bytes.Equal(want, got), "%s: got other data", note)
	count, err := r.Read(make([]byte, 1))
	assert.Zero(t, count, note)
	assert.Equal(t, io.EOF, err, "the end stays the end: %s", note)
}
