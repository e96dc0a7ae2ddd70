package bundle

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const manifest = `{"files": "…"}`

// contents are those of the bundles of these tests, in the order of names.
var (
	names    = []string{"a.csv", "报表/余额 2026.csv", "deep/" + strings.Repeat("long/", 50) + strings.Repeat("n", 250), "empty", "\xff\xfe.bin"}
	contents = map[string]string{names[0]: "1;2\n", names[1]: strings.Repeat("余额", 2_000), names[2]: "deep", names[3]: "", names[4]: "odd"}
)

func tree() (fstest.MapFS, []File) {
	tree, files := fstest.MapFS{}, []File{}
	for _, name := range names {
		tree[name] = &fstest.MapFile{Data: []byte(contents[name])}
		files = append(files, File{Path: name, Size: int64(len(contents[name]))})
	}
	return tree, files
}

// anyName opens names that io/fs would refuse, as a directory on a disk does.
type anyName struct{ fstest.MapFS }

func (a anyName) Open(name string) (fs.File, error) {
	return memory{strings.NewReader(string(a.MapFS[name].Data))}, nil
}

func pack(t testing.TB) ([]byte, []File) {
	t.Helper()
	w, err := NewWriter()
	require.NoError(t, err)
	files, listed := tree()
	var packed bytes.Buffer
	require.NoError(t, w.Write(&packed, []byte(manifest), anyName{files}, listed, nil))
	return packed.Bytes(), listed
}

// unpack returns what a bundle holds for one who expects files.
func unpack(packed io.Reader, files []File) (got map[string]string, text string, err error) {
	r, err := NewReader(packed, 1000)
	if err != nil {
		return nil, "", err
	}
	defer r.Close()
	got = map[string]string{}
	err = r.Unpack(files, func(i int, content io.Reader) error {
		data, err := io.ReadAll(content)
		got[files[i].Path] = string(data)
		return err
	})
	return got, string(r.Manifest()), err
}

func TestThereAndBack(t *testing.T) {
	packed, files := pack(t)
	got, text, err := unpack(bytes.NewReader(packed), files)
	require.NoError(t, err)
	assert.Equal(t, contents, got)
	assert.Equal(t, manifest, text)
	assert.Less(t, len(packed), 3000, "it is compressed")
}

func TestWriterServesAgain(t *testing.T) {
	w, err := NewWriter()
	require.NoError(t, err)
	files, listed := tree()
	var progress []int64
	for range 3 {
		var packed bytes.Buffer
		require.Error(t, w.Write(io.Discard, nil, anyName{files}, []File{{Path: "a.csv", Size: 5}}, nil), "shorter than it should be")
		require.Error(t, w.Write(io.Discard, nil, anyName{files}, []File{{Path: "a.csv", Size: 3}}, nil), "longer")
		require.NoError(t, w.Write(&packed, []byte(manifest), anyName{files}, listed, func(n int64) { progress = append(progress, n) }))
		got, _, err := unpack(&packed, listed)
		require.NoError(t, err)
		assert.Equal(t, contents, got)
	}
	assert.Equal(t, []int64{4, 12_004, 12_008, 12_008, 12_011}, progress[:5])
}

// TestEveryCutIsFound: a bundle that ends early, wherever, is damaged, and never mistaken for a whole one.
func TestEveryCutIsFound(t *testing.T) {
	packed, files := pack(t)
	for n := range packed {
		_, _, err := unpack(bytes.NewReader(packed[:n]), files)
		require.ErrorIs(t, err, ErrDamaged, "cut after %d of %d", n, len(packed))
	}
}

// TestEveryFlippedByteIsFound, by the checksum of the stream if by nothing else, or it makes no difference.
func TestEveryFlippedByteIsFound(t *testing.T) {
	packed, files := pack(t)
	for i := range packed {
		flipped := bytes.Clone(packed)
		flipped[i] ^= 0x10
		got, text, err := unpack(bytes.NewReader(flipped), files)
		if err == nil {
			require.Equal(t, contents, got, "byte %d", i)
			require.Equal(t, manifest, text, "byte %d", i)
		} else {
			require.ErrorIs(t, err, ErrDamaged, "byte %d", i)
		}
	}
}

func TestOtherFilesThanPromised(t *testing.T) {
	packed, files := pack(t)
	swapped := []File{files[1], files[0], files[2], files[3], files[4]}
	longer := append([]File{{files[0].Path, files[0].Size + 1}}, files[1:]...)
	for name, want := range map[string][]File{
		"one too many": files[:4], "one too few": append(files[:5:5], File{Path: "more"}), "another order": swapped, "another size": longer,
	} {
		_, _, err := unpack(bytes.NewReader(packed), want)
		require.ErrorIs(t, err, ErrDamaged, name)
	}
}

// packRaw makes a bundle out of any headers.
func packRaw(t *testing.T, headers []tar.Header, behind string) []byte {
	t.Helper()
	var packed bytes.Buffer
	packer, err := zstd.NewWriter(&packed)
	require.NoError(t, err)
	archive := tar.NewWriter(packer)
	for _, header := range headers {
		require.NoError(t, archive.WriteHeader(&header))
		_, err := archive.Write(bytes.Repeat([]byte{'x'}, int(header.Size)))
		require.NoError(t, err)
	}
	require.NoError(t, archive.Close())
	_, err = packer.Write([]byte(behind))
	require.NoError(t, errors.Join(err, packer.Close()))
	return packed.Bytes()
}

func TestHostileBundles(t *testing.T) {
	head := tar.Header{Typeflag: tar.TypeReg, Name: "manifest.json", Size: 3}
	file := tar.Header{Typeflag: tar.TypeReg, Name: "tree/a", Size: 3}
	want := []File{{"a", 3}}
	_, _, err := unpack(bytes.NewReader(packRaw(t, []tar.Header{head, file}, "")), want)
	require.NoError(t, err)
	for name, packed := range map[string][]byte{
		"no manifest":         packRaw(t, []tar.Header{file}, ""),
		"huge manifest":       packRaw(t, []tar.Header{{Typeflag: tar.TypeReg, Name: "manifest.json", Size: 1001}, file}, ""),
		"a link":              packRaw(t, []tar.Header{head, {Typeflag: tar.TypeSymlink, Name: "tree/a", Linkname: "/etc/passwd"}}, ""),
		"a directory":         packRaw(t, []tar.Header{head, {Typeflag: tar.TypeDir, Name: "tree/a"}}, ""),
		"a name that escapes": packRaw(t, []tar.Header{head, {Typeflag: tar.TypeReg, Name: "tree/../a", Size: 3}}, ""),
		"something behind":    packRaw(t, []tar.Header{head, file}, strings.Repeat("\x00", 100_000)),
		"a second bundle":     append(packRaw(t, []tar.Header{head, file}, ""), packRaw(t, []tar.Header{head, file}, "")...),
		"empty":               {},
		"no zstd":             []byte("PK\x03\x04"),
		"no tar":              func() []byte { e, _ := zstd.NewWriter(nil); return e.EncodeAll([]byte("hello"), nil) }(),
		"a wide window": func() []byte {
			e, _ := zstd.NewWriter(nil, zstd.WithWindowSize(64<<20), zstd.WithSingleSegment(false))
			return e.EncodeAll(bytes.Repeat([]byte("hello"), 20<<20), nil)
		}(),
	} {
		_, _, err := unpack(bytes.NewReader(packed), want)
		require.ErrorIs(t, err, ErrDamaged, name)
	}
}

// TestErrorsOfTheKeeperAreItsOwn: a full disk does not make the bundle damaged.
func TestErrorsOfTheKeeperAreItsOwn(t *testing.T) {
	packed, files := pack(t)
	r, err := NewReader(bytes.NewReader(packed), 1000)
	require.NoError(t, err)
	defer r.Close()
	full := errors.New("no space left")
	err = r.Unpack(files, func(int, io.Reader) error { return full })
	require.ErrorIs(t, err, full)
	require.NotErrorIs(t, err, ErrDamaged)

	left, _, err := unpackNothing(packed, files)
	require.NoError(t, err)
	assert.Equal(t, len(files), left, "what the keeper leaves unread is passed over")
}

func unpackNothing(packed []byte, files []File) (kept int, _ string, err error) {
	r, err := NewReader(bytes.NewReader(packed), 1000)
	if err != nil {
		return 0, "", err
	}
	defer r.Close()
	err = r.Unpack(files, func(int, io.Reader) error { kept++; return nil })
	return kept, "", err
}

// TestMemoryIsBounded: a gigabyte goes through a few megabytes on either side.
func TestMemoryIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	const size = 1 << 30
	packed, sender := io.Pipe()
	go func() {
		w, err := NewWriter()
		if err == nil {
			err = w.Write(sender, []byte(manifest), endless{}, []File{{"big", size}}, nil)
		}
		sender.CloseWithError(err)
	}()
	r, err := NewReader(packed, 1000)
	require.NoError(t, err)
	defer r.Close()
	var before, during runtime.MemStats
	runtime.ReadMemStats(&before)
	require.NoError(t, r.Unpack([]File{{"big", size}}, func(_ int, content io.Reader) error {
		if _, err := io.CopyN(io.Discard, content, size/2); err != nil {
			return err
		}
		runtime.GC()
		runtime.ReadMemStats(&during)
		_, err := io.Copy(io.Discard, content)
		return err
	}))
	assert.Less(t, int64(during.HeapAlloc)-int64(before.HeapAlloc), int64(40<<20))
}

func FuzzReader(f *testing.F) {
	packed, files := pack(f)
	f.Add(packed)
	f.Add(packed[:len(packed)/2])
	f.Fuzz(func(t *testing.T, packed []byte) {
		got, _, err := unpack(bytes.NewReader(packed), files)
		if err != nil {
			require.ErrorIs(t, err, ErrDamaged)
			return
		}
		for _, file := range files {
			require.Len(t, got[file.Path], int(file.Size))
		}
	})
}

// memory is a file that was never on a disk.
type memory struct{ io.Reader }

func (memory) Stat() (fs.FileInfo, error) { return nil, errors.ErrUnsupported }
func (memory) Close() error               { return nil }

// endless is a directory with one file of a gigabyte of noise.
type endless struct{}

func (endless) Open(string) (fs.File, error) {
	return memory{io.LimitReader(rand.NewChaCha8([32]byte{}), 1<<30)}, nil
}
