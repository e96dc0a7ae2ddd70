package inflate_test

import (
	"archive/zip"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/archive/inflate"
	"talon/internal/archivetools"
)

func requireInflates64(t *testing.T, want, stream []byte) {
	t.Helper()
	got, err := io.ReadAll(inflate.NewReader64(bytes.NewReader(stream)))
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got), "%d and %d bytes", len(want), len(got))
}

func TestDeflate64ComesBack(t *testing.T) {
	for name, data := range contents() {
		for _, blockTokens := range []int{200, 5000} {
			w := &bitWriter{large: true}
			stream := w.compress(data, blockTokens)
			requireInflates64(t, data, stream)
			requireReference(t, stream, true)
		}
		stream := (&bitWriter{large: true}).compress(data, 1000)
		got, err := io.ReadAll(inflate.NewReader64(iotest.OneByteReader(bytes.NewReader(stream))))
		require.NoError(t, err)
		assert.True(t, bytes.Equal(data, got), name)
	}
}

// TestTheLongestMatchesAndDistances has what only DEFLATE64 has: lengths up to 65,538 and distances beyond 32 KiB. That
// other programs use the same numbers for them is for TestArchivesOf7Zip to say.
func TestTheLongestMatchesAndDistances(t *testing.T) {
	history := contents()["random"][:80_000]
	for _, distance := range []int{1, 2, 7, 8, 15, 16, 32768, 32769, 40000, 49152, 49153, 60000, 65535, 65536} {
		for _, length := range []int{3, 257, 258, 259, 300, 32768, 65536, 65537, 65538} {
			w := &bitWriter{large: true}
			match := token{length: length, distance: distance}
			stream := w.stored(false, history).dynamic(false, []token{match}).fixed(true, []token{match, {literal: 'x'}}).out
			want := slices.Clone(history)
			for range 2 * length {
				want = append(want, want[len(want)-distance])
			}
			requireInflates64(t, append(want, 'x'), stream)
		}
	}
}

// TestShortLengthsMayTakeTheLongForm is about the same symbol with few extra bits set.
func TestShortLengthsMayTakeTheLongForm(t *testing.T) {
	literals, distances := fixedCodes()
	w := (&bitWriter{large: true}).header(true, 1).symbol(literals, 'a').symbol(literals, 285).put(0, 16).symbol(distances, 0)
	requireInflates64(t, []byte("aaaa"), w.symbol(literals, 256).out)
}

func TestDeflate64StreamsAreToldDamaged(t *testing.T) {
	want := slices.Concat(table(500), make([]byte, 70_000), table(300))
	w := &bitWriter{large: true}
	tokens := w.tokenise(want)
	stream := w.dynamic(false, tokens[:100]).fixed(true, tokens[100:]).out
	d := inflate.NewReader64(nil)
	for cut := range stream {
		d.Reset(bytes.NewReader(stream[:cut]))
		got, err := io.ReadAll(d)
		require.Equal(t, io.ErrUnexpectedEOF, err, "%d", cut)
		require.True(t, bytes.HasPrefix(want, got), "%d", cut)
	}
	small := (&bitWriter{large: true}).compress(slices.Concat(table(120), make([]byte, 700)), 20)
	for bit := range len(small) * 8 {
		small[bit/8] ^= 1 << (bit % 8)
		requireReference(t, small, true)
		small[bit/8] ^= 1 << (bit % 8)
	}
}

// TestArchivesOf7Zip reads what another program compressed: text, machine code and zeros.
func TestArchivesOf7Zip(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	code, err := os.ReadFile(self)
	require.NoError(t, err)
	code = code[:min(len(code), 1<<20)]
	all := map[string][]byte{
		"code": code, "twice": slices.Concat(code[:50_000], code[:50_000]), "text": table(1 << 19),
		"zeros": make([]byte, 1<<20), "mixed": contents()["mixed"],
	}
	dir := t.TempDir()
	for name, data := range all {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
	archive := filepath.Join(t.TempDir(), "a.zip")
	command, err := archivetools.Command("7zz", "a", "-tzip", "-mm=Deflate64", archive, dir+"/*")
	if err != nil {
		t.Skip(err)
	}
	out, err := command.CombinedOutput()
	require.NoError(t, err, "%s", out)
	opened, err := zip.OpenReader(archive)
	require.NoError(t, err)
	defer opened.Close()
	require.Len(t, opened.File, len(all))
	for _, file := range opened.File {
		require.EqualValues(t, 9, file.Method, file.Name)
		raw, err := file.OpenRaw()
		require.NoError(t, err)
		got, err := io.ReadAll(inflate.NewReader64(raw))
		require.NoError(t, err, file.Name)
		assert.True(t, bytes.Equal(all[file.Name], got), file.Name)
	}
}
