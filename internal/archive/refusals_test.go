package archive_test

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"

	kzip "github.com/klauspost/compress/zip"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/archive"
	"talon/internal/archive/archivetest"
)

// rawZip writes entries whose headers say what a normal writer would not.
func rawZip(t *testing.T, headers ...kzip.FileHeader) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := kzip.NewWriter(&buf)
	for _, header := range headers {
		data := []byte("data of " + header.Name)
		header.CompressedSize64, header.UncompressedSize64 = uint64(len(data)), uint64(len(data))
		header.CRC32 = crc32.ChecksumIEEE(data)
		entry, err := w.CreateRaw(&header)
		require.NoError(t, err)
		_, err = entry.Write(data)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return buf.Bytes()
}

func rawTar(t *testing.T, headers ...tar.Header) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, header := range headers {
		data := "data of " + header.Name
		if header.Typeflag == tar.TypeReg {
			header.Size = int64(len(data))
		}
		require.NoError(t, w.WriteHeader(&header))
		if header.Typeflag == tar.TypeReg {
			_, err := w.Write([]byte(data))
			require.NoError(t, err)
		}
	}
	require.NoError(t, w.Close())
	return buf.Bytes()
}

func TestUnsafeNamesAreRefused(t *testing.T) {
	names := []string{"../evil", "a/../../b", "..", `..\evil`, `C:\..\x`, "line\nbreak"}
	var list []archivetest.File
	for _, name := range names {
		list = append(list, file(name, "x"))
	}
	list = append(list, file("good.txt", "good"))
	for _, ext := range []string{".zip", ".tar", ".7z", ".rar"} {
		contents, report := extract(t, "a"+ext, containers[ext](list))
		assert.Equal(t, map[string]string{"good.txt": "good"}, contents, ext)
		assert.Equal(t, 2, report.Result, ext)
		assert.Equal(t, archive.ReasonPartial, report.Reason, ext)
		require.Len(t, report.Refused, len(names), ext)
		for i, refusal := range report.Refused {
			assert.Equal(t, archive.ReasonUnsafeName, refusal.Reason, ext)
			if ext != ".rar" { // its decoder makes slashes of backslashes
				assert.Equal(t, names[i] == refusal.Name, refusal.RawName == nil, "%s %q", ext, names[i])
			}
		}
	}
}

func TestForeignNamesAreMadeRelative(t *testing.T) {
	for stored, want := range map[string]string{
		"/etc/passwd": "etc/passwd", `C:\data\a.txt`: "data/a.txt", `sub\b.txt`: "sub/b.txt", "./c.txt": "c.txt",
		`\\host\share\d.txt`: "host/share/d.txt", "e//f.txt": "e/f.txt",
	} {
		contents, report := extract(t, "a.tar", archivetest.Tar(files(file(stored, "x"))))
		assert.Equal(t, map[string]string{want: "x"}, contents, stored)
		assert.Equal(t, stored, string(report.Files[0].RawName))
		assert.Zero(t, report.Result)
	}
}

func TestRootEntriesAreNoDirectories(t *testing.T) {
	contents, report := extract(t, "a.tar", archivetest.Tar(files(file("./", ""), file("./a.txt", "a"))))
	assert.Equal(t, map[string]string{"a.txt": "a"}, contents)
	assert.Equal(t, archive.Layer{Files: 1}, report.Layers["a.tar"])
}

func TestNamesInOtherEncodings(t *testing.T) {
	gbk := "\xb1\xa8\xb1\xed/\xd2\xbb\xd4\xc2.txt" // 报表/一月.txt
	field := "\x5c"                                // the second byte of some characters of GBK is a backslash: 乗 is 81 5c
	data := rawZip(t, kzip.FileHeader{Name: gbk, NonUTF8: true}, kzip.FileHeader{Name: "\x81" + field + ".csv", NonUTF8: true})

	with := func(names ...string) func(*archive.Request) {
		return func(req *archive.Request) { req.Encodings = names }
	}
	contents, report := extract(t, "a.zip", data, with("gbk"))
	assert.Contains(t, contents, "报表/一月.txt")
	assert.Contains(t, contents, "乗.csv")
	for _, f := range report.Files {
		if f.Path == "报表/一月.txt" {
			assert.Equal(t, gbk, string(f.RawName))
		}
	}
	contents, _ = extract(t, "a.zip", data, with("big5", "gb18030"))
	assert.Len(t, contents, 2)
	contents, report = extract(t, "a.zip", rawZip(t, kzip.FileHeader{Name: gbk, NonUTF8: true}))
	assert.Contains(t, contents, "%B1%A8%B1%ED/һ%D4%C2.txt")
	assert.Equal(t, gbk, string(report.Files[0].RawName))

	req := request(t, "a.zip", data, with("klingon"))
	_, err := archive.Extract(t.Context(), req)
	assert.ErrorContains(t, err, "klingon")
}

// The name of a collected file may hold what separates directories elsewhere.
func TestASingleFileIsNamedAfterItsArchive(t *testing.T) {
	contents, report := extract(t, `north/0\x.csv.gz`, archivetest.Gzip([]byte("1")))
	assert.Equal(t, map[string]string{"0%5Cx.csv": "1"}, contents)
	assert.Zero(t, report.Result)
}

// Info-ZIP stores the name a second time, in UTF-8; it counts only as long as it belongs to the first one.
func TestUnicodePathField(t *testing.T) {
	field := func(of string) []byte {
		body := append([]byte{1}, binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(of)))...)
		body = append(body, "报表.txt"...)
		head := binary.LittleEndian.AppendUint16([]byte{0x75, 0x70}, uint16(len(body)))
		return append(head, body...)
	}
	contents, _ := extract(t, "a.zip", rawZip(t,
		kzip.FileHeader{Name: "??.txt", Extra: field("??.txt")}, kzip.FileHeader{Name: "renamed.txt", Extra: field("older.txt")}))
	assert.Contains(t, contents, "报表.txt")
	assert.Contains(t, contents, "renamed.txt")
}

func TestLinksAndDevicesAreNotCreated(t *testing.T) {
	data := rawTar(t,
		tar.Header{Name: "up", Typeflag: tar.TypeSymlink, Linkname: "../.."},
		tar.Header{Name: "up/pwned.txt", Typeflag: tar.TypeReg, Mode: 0o4777},
		tar.Header{Name: "dev", Typeflag: tar.TypeChar}, tar.Header{Name: "pipe", Typeflag: tar.TypeFifo},
		tar.Header{Name: "copy.txt", Typeflag: tar.TypeLink, Linkname: "./up/pwned.txt"},
		tar.Header{Name: "lost.txt", Typeflag: tar.TypeLink, Linkname: "nowhere"},
		tar.Header{Name: "out.txt", Typeflag: tar.TypeLink, Linkname: "../../etc/passwd"},
	)
	contents, report := extract(t, "a.tar", data)
	assert.Equal(t, map[string]string{"up/pwned.txt": "data of up/pwned.txt", "copy.txt": "data of up/pwned.txt"}, contents)
	assert.Equal(t, map[string]archive.Reason{
		"up": archive.ReasonSkippedSpecial, "dev": archive.ReasonSkippedSpecial, "pipe": archive.ReasonSkippedSpecial,
		"lost.txt": archive.ReasonSkippedSpecial, "out.txt": archive.ReasonSkippedSpecial,
	}, reasons(report))

	link := kzip.FileHeader{Name: "link"}
	link.SetMode(0o777 | 1<<27) // fs.ModeSymlink
	_, report = extract(t, "a.zip", rawZip(t, link, kzip.FileHeader{Name: "a.txt"}))
	assert.Equal(t, map[string]archive.Reason{"link": archive.ReasonSkippedSpecial}, reasons(report))

	for redirection, want := range map[byte]archive.Reason{1: archive.ReasonSkippedSpecial, 4: "", 5: ""} {
		contents, report := extract(t, "a.rar", archivetest.RarLink(file("d/a.txt", "alpha"), "b.txt", redirection))
		assert.Equal(t, want, reasons(report)["b.txt"])
		if want == "" {
			assert.Equal(t, map[string]string{"d/a.txt": "alpha", "b.txt": "alpha"}, contents)
		}
	}
}

func TestEncryptedAndUnknownMethodsInZip(t *testing.T) {
	data := rawZip(t,
		kzip.FileHeader{Name: "classic.txt", Flags: 1, Method: kzip.Deflate}, kzip.FileHeader{Name: "strong.txt", Flags: 0x41, Method: kzip.Deflate},
		kzip.FileHeader{Name: "imploded.txt", Method: 6}, kzip.FileHeader{Name: "good.txt"})
	contents, report := extract(t, "a.zip", data)
	assert.Equal(t, map[string]string{"good.txt": "data of good.txt"}, contents)
	assert.Equal(t, map[string]archive.Reason{
		"classic.txt": archive.ReasonEncrypted, "strong.txt": archive.ReasonUnsupportedMethod, "imploded.txt": archive.ReasonUnsupportedMethod,
	}, reasons(report))
	assert.Equal(t, 2, report.Result)
	assert.Equal(t, archive.ReasonPartial, report.Reason)

	_, report = extract(t, "a.zip", rawZip(t, kzip.FileHeader{Name: "a", Flags: 1}, kzip.FileHeader{Name: "b", Flags: 1}))
	assert.Equal(t, 1, report.Result)
	assert.Equal(t, archive.ReasonEncrypted, report.Reason, "when all entries share a reason, it is the layer's")
}

func TestOneBadEntryDoesNotCostTheOthers(t *testing.T) {
	data := archivetest.Zip(files(file("a.txt", "alpha"), file("b.txt", strings.Repeat("beta", 100)), file("c.txt", "gamma")))
	at := bytes.Index(data, []byte("b.txt")) + len("b.txt") + 20
	data[at] ^= 0xff
	contents, report := extract(t, "a.zip", data)
	assert.Equal(t, map[string]string{"a.txt": "alpha", "c.txt": "gamma"}, contents)
	assert.Equal(t, map[string]archive.Reason{"b.txt": archive.ReasonCorrupt}, reasons(report))

	for _, ext := range []string{".7z", ".rar"} {
		data := containers[ext](files(file("a.txt", "alpha"), file("b.txt", "beta-beta"), file("c.txt", "gamma")))
		data[bytes.Index(data, []byte("beta-beta"))] ^= 1
		contents, report := extract(t, "a"+ext, data)
		assert.Equal(t, map[string]string{"a.txt": "alpha", "c.txt": "gamma"}, contents, ext)
		assert.Equal(t, map[string]archive.Reason{"b.txt": archive.ReasonCorrupt}, reasons(report), ext)
	}
}

func TestTrailingDataIsAWarning(t *testing.T) {
	all := map[string][]byte{}
	for ext, pack := range compressors(t) {
		if ext != ".sz" { // whose framing takes anything for a chunk
			all["x.csv"+ext] = pack([]byte("text"))
		}
	}
	for ext, build := range containers {
		if ext != ".7z" && ext != ".rar" { // whose headers say where they end, whatever follows
			all["x"+ext] = build(files(file("a.txt", "a")))
		}
	}
	for name, data := range all {
		contents, report := extract(t, name, append(data, bytes.Repeat([]byte("junk"), 300)...))
		assert.Len(t, contents, 1, name)
		assert.Equal(t, 0, report.Result, name)
		assert.Equal(t, archive.ReasonTrailingData, report.Reason, "%s %s", name, report.Detail)
	}
}

func TestAppendedTarArchivesAreReadWhole(t *testing.T) {
	first, second := archivetest.Tar(files(file("a.txt", "a"))), archivetest.Tar(files(file("b.txt", "b")))
	contents, report := extract(t, "a.tar", append(append(first, make([]byte, 5120)...), second...))
	assert.Equal(t, map[string]string{"a.txt": "a", "b.txt": "b"}, contents)
	assert.Equal(t, archive.ReasonNone, report.Reason)
}

func TestVolumesAreNamedAsSuch(t *testing.T) {
	zipped := archivetest.Zip(files(file("a.txt", "a")))
	binary.LittleEndian.PutUint16(zipped[len(zipped)-22+4:], 2)
	first := append([]byte("PK\x07\x08"), zipped[:40]...)
	seven := archivetest.SevenZip(files(file("a.txt", strings.Repeat("a", 500))))
	for name, data := range map[string][]byte{"a.zip": zipped, "a.z01": first, "a.7z.001": seven[:100], "a.zip.001": archivetest.Zip(files(file("a.txt", "a")))[:60]} {
		_, report := extract(t, name, data)
		assert.Equal(t, 1, report.Result, name)
		assert.Equal(t, archive.ReasonMissingVolume, report.Reason, name)
	}
}

func TestPasswords(t *testing.T) {
	secret := files(file("a.txt", "alpha"), file("b.txt", strings.Repeat("beta", 50)))
	with := func(passwords ...string) func(*archive.Request) {
		return func(req *archive.Request) { req.Passwords = passwords }
	}
	for name, data := range map[string][]byte{
		"a.7z": archivetest.SevenZipEncrypted(secret, "sesame"), "a.rar": archivetest.RarEncrypted(secret, "sesame"),
	} {
		contents, report := extract(t, name, data, with("wrong", "sesame", "other"))
		assert.Equal(t, map[string]string{"a.txt": "alpha", "b.txt": strings.Repeat("beta", 50)}, contents, name)
		assert.Zero(t, report.Result, name)
		for _, passwords := range [][]string{nil, {"wrong"}} {
			contents, report = extract(t, name, data, with(passwords...))
			assert.Empty(t, contents, name)
			assert.Equal(t, 1, report.Result, name)
			if name == "a.rar" { // a 7z archive without compression does not tell a wrong password from wrong contents
				assert.Equal(t, archive.ReasonEncrypted, report.Reason, name)
			}
			assert.NotContains(t, report.Detail+report.Refused[0].Detail, "wrong\"")
		}
	}
	for ext, build := range containers {
		_, report := extract(t, "a"+ext, build(secret), with("not", "needed"))
		assert.Zero(t, report.Result, ext)
	}
}

// TestLocalHeadersThatContradict: the directory counts, and the report says that there are two stories.
func TestLocalHeadersThatContradict(t *testing.T) {
	contents, report := extract(t, "a.zip", archivetest.TwoNamesZip("local.txt", "directory.txt"))
	assert.Len(t, contents, 1)
	assert.Contains(t, contents, "directory.txt")
	assert.Zero(t, report.Result)
	assert.Contains(t, report.Detail, "the local header says otherwise")
	_, report = extract(t, "a.zip", archivetest.Zip(files(file("a.txt", "a"))))
	assert.Empty(t, report.Detail)
}

// TestPathsThatTwinsMakeTooLong: where each directory of a deep path is the twin of a file, all of them get version marks.
// That is a matter of the names, and none of the destination.
func TestPathsThatTwinsMakeTooLong(t *testing.T) {
	var list []archivetest.File
	for i := range 330 {
		list = append(list, file(strings.Repeat("a/", i)+"A", "a"))
	}
	inner := strings.Repeat(strings.Repeat("d", 240)+"/", 12) + "in.tar"
	contents, report := extract(t, "a.tar", archivetest.Tar(files(archivetest.File{Name: inner, Data: archivetest.Tar(list)})))
	assert.NotEmpty(t, contents)
	require.NotEmpty(t, report.Refused)
	for _, refusal := range report.Refused {
		assert.Equal(t, archive.ReasonUnsafeName, refusal.Reason)
	}
}

// TestPasswordsThatMakeADecoderPanic: trying one costs no more than the password. The decoder of PPMd panics here.
func TestPasswordsThatMakeADecoderPanic(t *testing.T) {
	data := archivetest.SevenZipPPMd(1<<32 - 37)
	_, without := extract(t, "a.7z", data)
	require.Len(t, without.Refused, 1)
	_, with := extract(t, "a.7z", data, func(req *archive.Request) { req.Passwords = []string{"wrong", "too"} })
	assert.Equal(t, without, with)
}

// TestEntriesThatAreShorterThanTheySay: a good checksum of what is there does not make it whole.
func TestEntriesThatAreShorterThanTheySay(t *testing.T) {
	short := archivetest.StoredEntry("short.txt", []byte("short"))
	short.Size++
	contents, report := extract(t, "a.zip", archivetest.RawZip(short, archivetest.StoredEntry("good.txt", []byte("good"))))
	assert.Equal(t, map[string]string{"good.txt": "good"}, contents)
	assert.Equal(t, map[string]archive.Reason{"short.txt": archive.ReasonTruncated}, reasons(report))
}

// TestPasswordsThatFitTheBeginning: of many wrong ones some are found out only at the end. What they had read does not
// count as part of the file.
func TestPasswordsThatFitTheBeginning(t *testing.T) {
	var passwords []string
	for i := range 1000 { // one in 256
		passwords = append(passwords, fmt.Sprint(i))
	}
	secret := strings.Repeat("secret ", 50_000)
	data := archivetest.ZipEncrypted(files(file("a.txt", secret)), archivetest.ZipEncryption{Password: "sesame", Stored: true})
	contents, report := extract(t, "a.zip", data, limits(archive.Limits{FileBytes: int64(len(secret))}),
		func(req *archive.Request) { req.Passwords = append(passwords, "sesame") })
	assert.True(t, contents["a.txt"] == secret)
	assert.Zero(t, report.Result)
}
