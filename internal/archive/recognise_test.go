package archive_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/archive"
	"talon/internal/archive/archivetest"
	"talon/internal/pathname"
)

func recognise(name string, data []byte) archive.Format {
	format, _, _ := archive.Recognise(name, bytes.NewReader(data), int64(len(data)))
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
	zipped := string(archivetest.Zip(files(file("a.txt", "a"))))
	for name, data := range map[string]string{
		"hkd.csv": "HKD,100.00\n", "x.csv": "x^2", "s.txt": "(S)", "h.txt": "hC", "bzip.txt": "BZh1 is no archive",
		"stmt.tar.csv": "1,2", "a.zip.txt": "text", "empty": "", "zeros.dat": strings.Repeat("\x00", 4096),
		"old.doc":              "\xd0\xcf\x11\xe0 an old document with " + zipped + "and more behind it",
		"__MACOSX/._inner.zip": "\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X",
		"short":                "PK", "pyc": "\xa7\r\r\n\x00\x00\x00\x00", "pk.txt": "PK is where it begins",
		"picture.jpg": "\xff\xd8\xff\xe0 a picture" + zipped, "table.txt": tableWithItsSum(),
		"MZ.txt":   "MZ and 7z\xbc\xaf\x27\x1c and Rar!\x1a\x07\x00 and Rar!\x1a\x07\x01\x00 are marks" + strings.Repeat(".", 2000),
		"shell.sh": "#!/bin/sh\nexit\n", "program": "\x7fELF" + strings.Repeat("program ", 1<<17),
		"resource.exe": "MZ" + zipped + "and more of the program",
	} {
		assert.False(t, candidate(name, []byte(data)), name)
	}
}

// tableWithItsSum is a table of numbers where a tar header would have its checksum, which is right.
func tableWithItsSum() string {
	table := []byte(strings.Repeat("1234.50\n", 64))
	setTarSum(table)
	return string(table)
}

// counter counts what is read, and sees that nothing is read elsewhere than in the file.
type counter struct {
	t     *testing.T
	data  []byte
	reads int
	bytes int
}

func (c *counter) ReadAt(p []byte, off int64) (int, error) {
	assert.GreaterOrEqual(c.t, off, int64(0))
	c.reads++
	c.bytes += len(p)
	return bytes.NewReader(c.data).ReadAt(p, off)
}

func TestAPlainFileCostsOneSmallRead(t *testing.T) {
	for name, data := range map[string][]byte{"a.go": []byte("package a\n"), "b.c": bytes.Repeat([]byte("int b;\n"), 50_000), "c": nil} {
		c := &counter{t: t, data: data}
		assert.False(t, archive.IsCandidate(name, c, int64(len(data))))
		assert.Equal(t, 1, c.reads, name)
		assert.LessOrEqual(t, c.bytes, 1024, name)
	}
}

func TestArchivesBehindPrograms(t *testing.T) {
	some := files(file("a.txt", "alpha"))
	for format, data := range map[archive.Format][]byte{
		archive.Zip: archivetest.Zip(some), archive.SevenZip: archivetest.SevenZip(some), archive.Rar: archivetest.Rar(some),
	} {
		for _, length := range []int{64, 3 << 10, 128<<10 - 1030, 128<<10 - 3, 900 << 10} {
			for _, magic := range []string{"MZ", "\x7fELF"} {
				program := archivetest.Prefixed(magic, length, data)
				found, offset, ok := archive.Recognise("setup.exe", bytes.NewReader(program), int64(len(program)))
				require.True(t, ok, "%s behind %d bytes", format, length)
				assert.Equal(t, format, found)
				if format != archive.Zip {
					assert.Equal(t, int64(length), offset, format)
				}
				contents, report := extract(t, "setup.exe", program)
				assert.Equal(t, map[string]string{"a.txt": "alpha"}, contents, "%s behind %d bytes: %+v", format, length, report)
			}
		}
		other := archivetest.Prefixed("GIF89a", 64, data)
		assert.False(t, candidate("x.gif", other), "a picture with an archive behind it is a picture")
		assert.Equal(t, format == archive.Zip, recognise("x.zip", append(other, "and more"...)) == archive.Zip, format)
	}
}

func TestProgramsThatKnowTheMarksOfArchives(t *testing.T) {
	seven, rar4 := archivetest.SevenZip(nil), rar4Start()
	for _, data := range [][]byte{seven, archivetest.Rar(nil), rar4} {
		program := archivetest.Prefixed("MZ 7z\xbc\xaf\x27\x1c Rar!\x1a\x07\x01\x00 Rar!\x1a\x07\x00", 500, data)
		_, offset, ok := archive.Recognise("setup.exe", bytes.NewReader(program), int64(len(program)))
		assert.True(t, ok)
		assert.Equal(t, int64(500), offset)
		for _, broken := range []int{500 + 9, 500 + 12} { // in the checksum, or in what it is of
			program[broken] ^= 1
			assert.False(t, candidate("setup.exe", program))
			program[broken] ^= 1
		}
	}
	far := archivetest.Prefixed("MZ", 3<<20, seven)
	assert.False(t, candidate("setup.exe", far))
}

// rar4Start is the beginning of a RAR archive of version 4: its mark and main header.
func rar4Start() []byte {
	header := []byte{0x73, 0, 0, 13, 0, 0, 0, 0, 0, 0, 0}
	sum := binary.LittleEndian.AppendUint16(nil, uint16(crc32.ChecksumIEEE(header)))
	return slices.Concat([]byte("Rar!\x1a\x07\x00"), sum, header)
}

// Beyond 65,535 entries the directory is found by the zip64 record, also behind something else.
func TestLargeZipsBehindPrograms(t *testing.T) {
	many := archivetest.ManyEntriesZip(1 << 16)
	assert.True(t, candidate("setup.exe", archivetest.Prefixed("MZ", 4096, many)))
	assert.False(t, candidate("tool", archivetest.Prefixed("MZ", 4096, many[:len(many)-1])))

	entries := make([]archivetest.ZipEntry, 1<<16)
	for i := range entries {
		entries[i] = archivetest.StoredEntry(fmt.Sprint(i), nil)
	}
	entries[5].Name = "META-INF/MANIFEST.MF"
	assert.False(t, candidate("large.jar", archivetest.RawZip(entries...)))
}

func TestBrotliAndZlibNeedATrial(t *testing.T) {
	text := []byte(strings.Repeat("0123456789 abcdefghijklmnop\n", 20_000))
	pack := compressors(t)
	for _, ext := range []string{".br", ".zz"} {
		packed := pack[ext](text)
		assert.Equal(t, archive.Format(ext[1:]), recognise("x.csv"+ext, packed))
		assert.Equal(t, archive.Format(ext[1:]), recognise("x.csv"+ext, packed[:len(packed)-1]), "torn, and worth a report")
		assert.Equal(t, archive.Format(ext[1:]), recognise("EMPTY"+strings.ToUpper(ext), pack[ext](nil)))
		assert.Empty(t, recognise("x.csv", packed))
		for _, other := range []string{"", "; a text", "HKD,100.00\n", "PK", "x^2", "\x06 and more", string(text), "\x78\x9c", "\x00\x00\x00\x00"} {
			assert.Empty(t, recognise("x"+ext, []byte(other)), "%q%s", other[:min(len(other), 12)], ext)
		}
	}
	largeWindow := append([]byte{0x11, 0x1e}, pack[".br"](text)...)
	assert.Empty(t, recognise("x.br", largeWindow))
}

func TestFormatsThatAreNotOpenedAreReported(t *testing.T) {
	lzma := "\x5d\x00\x00\x80\x00\xff\xff\xff\xff\xff\xff\xff\xff\x00"
	for name, data := range map[string]string{
		"x.csv.Z": "\x1f\x9d\x90", "x.tar.lzma": lzma, "x.tlz": lzma, "x.cab": "MSCF\x00\x00\x00\x00", "x.arj": "\x60\xea\x2b\x00",
		"x.lzh": "\x22\x00-lh5-", "x.lha": "\x22\x00-lh0-", "x.ace": "\x12\x34\x31\x00\x00\x00\x90**ACE**",
		"x.cpio": "070701000000", "y.cpio": "\xc7\x71\x00\x00", "x.rar": "RE~^\x07\x00\x00",
	} {
		assert.True(t, candidate(name, []byte(data)), name)
		contents, report := extract(t, name, []byte(data))
		assert.Empty(t, contents)
		assert.Equal(t, archive.ReasonUnsupportedMethod, report.Reason, name)
		assert.NotEmpty(t, report.Detail)
		assert.False(t, candidate("x.txt", []byte(data)), "%s by another name", name)
	}
	for name, data := range map[string]string{
		"x.z": "\x1f\x8c", "notes.lzma.txt": lzma, "x.cab": "MSCF, a club", "x.lzma": "]" + lzma, "y.lzma": "\x5d\x00", "x.lzh": "a -lh5 ",
		"z.lzma": "\x5d\x00\x00\x81\x00\xff\xff\xff\xff\xff\xff\xff\xff", "u.lzma": "\x5d\x00\x00\x80\x00\x00\x00\x00\x00\x00\x01\x00\x00",
	} {
		assert.False(t, candidate(name, []byte(data)), name)
	}
}

func TestDocumentsAreNoCandidates(t *testing.T) {
	zipOf := func(names ...string) []byte {
		var list []archivetest.File
		for _, name := range names {
			list = append(list, file(name, ""))
		}
		return archivetest.Zip(list)
	}
	for name, data := range map[string][]byte{
		"a.docx": zipOf("_rels/.rels", "word/document.xml", "[Content_Types].xml"), "b.xlsb": zipOf("docProps/app.xml", "[Content_Types].xml"),
		"c.nupkg": zipOf("_rels/.rels", "c.nuspec"), "d.odt": zipOf("mimetype", "content.xml"), "e.ods": zipOf("content.xml", "META-INF/manifest.xml"),
		"f.epub": zipOf("mimetype", "META-INF/container.xml"), "g.jar": zipOf("a/B.class", "c/", "META-INF/MANIFEST.MF"),
		"h.war": zipOf("WEB-INF/", "WEB-INF/web.xml"), "i.apk": zipOf("res/a.xml", "classes.dex"), "j.aar": zipOf("R.txt", "AndroidManifest.xml"),
		"k.ipa": zipOf("Payload/", "Payload/K.app/", "Payload/K.app/Info.plist"), "l.kmz": zipOf("doc.kml"), "m.WHL": zipOf("m/__init__.py"),
		"tool":      append([]byte("#!/bin/sh\nexec java -jar $0\n"), zipOf("META-INF/MANIFEST.MF")...),
		"torn.docx": zipOf("[Content_Types].xml")[:60], "renamed.zip": zipOf("[Content_Types].xml"),
	} {
		assert.Equal(t, archive.Zip, recognise(name, data), name)
		assert.False(t, candidate(name, data), name)
	}
	for name, data := range map[string][]byte{
		"folder.zip": zipOf("report/[Content_Types].xml", "report/META-INF/MANIFEST.MF"), "late.zip": zipOf("a", "mimetype"),
		"csv.docx": zipOf("a.csv"), "payload.zip": zipOf("Payload/a.txt"),
	} {
		assert.True(t, candidate(name, data), name)
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

// Whatever the bytes are: no panic, few reads, twice the same answer; and what is recognised is not unrecognised later.
func FuzzRecognise(f *testing.F) {
	some := files(file("a.txt", "alpha"), file("d/b.txt", "beta"))
	for ext, build := range containers {
		f.Add("a"+ext, build(some))
		f.Add("a.exe", archivetest.Prefixed("MZ", 100, build(some)))
	}
	f.Add("a.jar", archivetest.Zip(files(file("META-INF/MANIFEST.MF", "x"))))
	f.Add("a.zip", archivetest.Zip64Lie(1<<40))
	f.Add("a.exe", append([]byte("MZ"), rar4Start()...))
	f.Add("a.zst", []byte("\x50\x2a\x4d\x18\x03\x00\x00\x00abc\x28\xb5\x2f\xfd"))
	f.Add("a.br", []byte("\x3b"))
	f.Add("a.zz", []byte("\x78\x9c\x03\x00\x00\x00\x00\x01"))
	f.Add("a.lzma", []byte("\x5d\x00\x00\x80\x00\xff\xff\xff\xff\xff\xff\xff\xff\x00"))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		c := &counter{t: t, data: data}
		format, offset, ok := archive.Recognise(name, c, int64(len(data)))
		assert.LessOrEqual(t, c.reads, 100)
		assert.Equal(t, ok, format != "")
		assert.True(t, offset == 0 || offset < int64(len(data)))
		again, _, _ := archive.Recognise(name, c, int64(len(data)))
		assert.Equal(t, format, again)
		_ = archive.IsCandidate(name, c, int64(len(data)))
		safe, err := pathname.Clean(name)
		if ok && err == nil && safe == name && data[len(data)-1]%16 == 0 { // one in sixteen, for it is slow
			_, report := extract(t, name, data, limits(archive.Limits{TreeBytes: 1 << 20, TreeEntries: 100}))
			assert.NotEqual(t, archive.ReasonUnrecognised, report.Reason)
		}
	})
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
