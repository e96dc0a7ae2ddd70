package archive_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"

	"talon/internal/archive"
	"talon/internal/archive/archivetest"
)

func recognise(name string, data []byte) archive.Format {
	format, _ := archive.Recognise(name, bytes.NewReader(data), int64(len(data)))
	return format
}

func candidate(name string, data []byte) bool {
	return archive.IsCandidate(name, bytes.NewReader(data), int64(len(data)))
}

func TestContentsAreRecognisedWhateverTheName(t *testing.T) {
	some := files(file("a.txt", "alpha"))
	for ext, build := range containers {
		want := archive.Format(ext[strings.LastIndex(ext, ".")+1:])
		if ext == ".tgz" {
			want = archive.Gzip
		}
		for _, name := range []string{"x" + ext, "x.dat", "a.tar.zip", "north.branch07.csv", "x.br", "x"} {
			assert.Equal(t, want, recognise(name, build(some)), "%s as %s", ext, name)
			assert.True(t, candidate(name, build(some)), "%s as %s", ext, name)
		}
	}
	for ext, pack := range compressors(t) {
		want := archive.Format(ext[1:])
		assert.Equal(t, want, recognise("x"+ext, pack([]byte("text"))), ext)
		if ext != ".br" && ext != ".zz" {
			assert.Equal(t, want, recognise("x.dat", pack([]byte("text"))), ext)
		}
	}
}

func TestRareForms(t *testing.T) {
	some := archivetest.Zip(files(file("a.txt", "alpha")))
	skippable := append([]byte{0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0}, "abc"...)
	encoder, err := zstd.NewWriter(nil)
	assert.NoError(t, err)
	old := archivetest.Tar(files(file("a.txt", "alpha")))
	clear(old[257:265]) // "ustar", which the oldest archives do not have
	setTarSum(old)
	for name, data := range map[string][]byte{
		"empty.zip":   archivetest.Zip(nil),
		"setup.exe":   append([]byte(strings.Repeat("MZ program ", 100)), some...),
		"comment.exe": append([]byte("MZ"), withComment(some, "a comment")...),
		"empty.tar":   archivetest.Tar(nil),
		"skip.zst":    append(skippable, encoder.EncodeAll([]byte("text"), nil)...),
		"old.tar":     old,
		"comment.zip": withComment(some, "a comment"),
	} {
		contents, report := extract(t, name, data)
		assert.Zero(t, report.Result, "%s %+v", name, report)
		assert.True(t, candidate(name, data), name)
		assert.Equal(t, strings.HasPrefix(name, "empty"), len(contents) == 0, name)
	}
}

func setTarSum(header []byte) {
	copy(header[148:156], "        ")
	sum := 0
	for _, b := range header[:512] {
		sum += int(b)
	}
	for i := 153; i >= 148; i-- {
		header[i], sum = byte('0'+sum%8), sum/8
	}
	header[154] = 0
}

func withComment(zipped []byte, comment string) []byte {
	data := append(bytes.Clone(zipped), comment...)
	data[len(zipped)-2] = byte(len(comment))
	return data
}

func TestPlainFilesAreNoCandidates(t *testing.T) {
	embedded := append([]byte("\xd0\xcf\x11\xe0 an old document with "), archivetest.Zip(files(file("a.txt", "a")))...)
	for name, data := range map[string]string{
		"hkd.csv": "HKD,100.00\n", "x.csv": "x^2", "s.txt": "(S)", "h.txt": "hC", "bzip.txt": "BZh1 is no archive",
		"stmt.tar.csv": "1,2", "a.zip.txt": "text", "empty": "", "zeros.dat": strings.Repeat("\x00", 4096),
		"old.doc":              string(embedded) + "and more behind it",
		"__MACOSX/._inner.zip": "\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X",
		"short":                "PK", "pyc": "\xa7\r\r\n\x00\x00\x00\x00",
	} {
		assert.False(t, candidate(name, []byte(data)), name)
	}
}

func TestNamedLikeAnArchive(t *testing.T) {
	for _, name := range []string{
		"a.zip", "a.ZIP", "a.tar", "a.7z", "a.rar", "a.gz", "a.tgz", "a.tar.gz", "a.bz2", "a.tbz2", "a.xz", "a.txz",
		"a.zst", "a.tzst", "a.lz4", "a.sz", "a.lz", "a.zz",
	} {
		for _, data := range []string{"", "HKD,100.00\n"} {
			assert.True(t, candidate(name, []byte(data)), name)
			contents, report := extract(t, name, []byte(data))
			assert.Empty(t, contents)
			assert.Equal(t, 1, report.Result, name)
			assert.Equal(t, archive.ReasonUnrecognised, report.Reason, name)
			assert.Equal(t, archive.ReasonUnrecognised, report.Layers[name].Reason)
		}
	}
}

// Whatever the bytes are: no panic, no file outside, no result 0 without an account that adds up.
func FuzzExtract(f *testing.F) {
	for ext, build := range containers {
		f.Add("a"+ext, build(files(file("a.txt", "alpha"), file("d/b.txt", "beta"))))
	}
	f.Add("a.csv.gz", archivetest.Gzip([]byte("text")))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		contents, report := extract(t, "a/"+strings.ToValidUTF8(name, ""), data, limits(archive.Limits{TreeBytes: 1 << 20, TreeEntries: 100}))
		assert.Contains(t, report.Layers, report.Archive)
		assert.Len(t, contents, report.Received)
	})
}
