package sandbox_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/archive"
	"talon/internal/archive/archivetest"
	"talon/internal/archive/sandbox"
)

// The faults of archives, each brought to an engine in a child with its limits, as eagle runs it. Around each destination
// lie files that must stay as they are, and nothing may appear beside them.

// modest are limits that bombs reach soon.
var modest = archive.Limits{TreeBytes: 96 << 20, FileBytes: 80 << 20}

// guarded extracts an archive and checks that nothing happened outside of the destination, that the report and the
// destination say the same, and that no more was written than is allowed.
func guarded(t *testing.T, pool *sandbox.Pool, name string, data []byte, adjust ...func(*archive.Request)) (map[string]string, archive.Report) {
	t.Helper()
	req := request(t, name, data)
	around := t.TempDir()
	req.Dest = filepath.Join(around, "outer", "dest")
	require.NoError(t, os.MkdirAll(req.Dest, 0o750))
	for _, sentinel := range []string{"evil", "pwned.txt", "outer/evil", "outer/sentinel", "outer/passwd"} {
		require.NoError(t, os.WriteFile(filepath.Join(around, sentinel), []byte("sentinel"), 0o600))
	}
	req.Limits = modest
	for _, f := range adjust {
		f(&req)
	}
	before := outside(t, around, req.Dest)
	report := extract(t, pool, req)
	assert.Equal(t, before, outside(t, around, req.Dest), "%s: nothing outside of the destination was touched", name)
	contents := onDisk(t, req.Dest)
	assert.LessOrEqual(t, report.Bytes, req.Limits.WithDefaults().TreeBytes)
	requirePlain(t, req.Dest)
	return contents, report
}

// outside describes everything below around, except what is below dest.
func outside(t *testing.T, around, dest string) []string {
	t.Helper()
	var all []string
	require.NoError(t, filepath.WalkDir(around, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dest {
			return fs.SkipDir
		}
		info, err := d.Info()
		if !d.IsDir() {
			data, err := os.ReadFile(path)
			require.NoError(t, err)
			all = append(all, fmt.Sprintf("%s %s %v %q", path, info.Mode(), info.ModTime(), data))
			return nil
		}
		all = append(all, path)
		return err
	}))
	return all
}

// requirePlain demands that there is nothing but files and directories, none of them with special rights.
func requirePlain(t *testing.T, dest string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dest, func(path string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		info, err := d.Info()
		require.NoError(t, err)
		want := fs.FileMode(0o640)
		if d.IsDir() {
			want = fs.ModeDir | 0o750
		}
		require.Equal(t, want, info.Mode(), path)
		return nil
	}))
}

// reasonsOf are all reasons that a report gives.
func reasonsOf(report archive.Report) map[archive.Reason]int {
	all := map[archive.Reason]int{}
	for _, layer := range report.Layers {
		if layer.Reason != archive.ReasonNone {
			all[layer.Reason]++
		}
	}
	for _, refusal := range report.Refused {
		all[refusal.Reason]++
	}
	return all
}

func TestA01Bombs(t *testing.T) {
	pool := newPool(t)
	for name, bomb := range map[string]struct {
		data   []byte
		reason archive.Reason
	}{
		"flat.zip":    {archivetest.ZipOfZeros("zeros.dat", 1<<30), archive.ReasonLimitFileBytes},
		"twice.gz.gz": {archivetest.Gzip(archivetest.GzipOfZeros(10 << 30)), archive.ReasonLimitRatio},
		"nested.zip":  {archivetest.NestedBomb(16, 5, 1<<20), archive.ReasonLimitRatio},
		"overlap.zip": {archivetest.OverlapBomb(250, 21<<20), archive.ReasonOverlap},
		"same.zip":    {archivetest.SameDataBomb(1000, 1<<20), archive.ReasonOverlap},
	} {
		_, report := guarded(t, pool, name, bomb.data)
		assert.NotZero(t, report.Result, name)
		assert.Contains(t, reasonsOf(report), bomb.reason, "%s %v", name, reasonsOf(report))
	}
}

func TestA02ManyDeepAndLong(t *testing.T) {
	pool := newPool(t)
	for name, data := range map[string][]byte{
		"many.zip": archivetest.ManyEntriesZip(1_000_000), "many.tar.gz": archivetest.Gzip(archivetest.ManyEntriesTar(100_000)),
	} {
		_, report := guarded(t, pool, name, data, func(r *archive.Request) { r.Limits.ArchiveEntries = 2_000 })
		assert.Equal(t, 2, report.Result, name)
		assert.Equal(t, archive.ReasonLimitEntries, report.Reason, name)
		assert.Equal(t, 2_000, report.Received, "%s: what was good is kept", name)
	}
	for name, data := range map[string][]byte{
		"deep.gz": archivetest.NestedGzip([]byte("core"), 10_000), "deep.zip": archivetest.NestedZip([]byte("core"), 10_000),
	} {
		contents, report := guarded(t, pool, name, data)
		assert.Equal(t, 1, reasonsOf(report)[archive.ReasonLimitDepth], name)
		assert.Len(t, report.Layers, 17, name)
		assert.Len(t, contents, 1, "the file in the last layer stays")
	}
	long := archivetest.LongPath(1<<16 - 1)
	for name, data := range map[string][]byte{
		"long.zip": archivetest.RawZip(archivetest.ZipEntry{Name: long}), "long.tar": archivetest.Tar(files(file(long, "x"))),
	} {
		_, report := guarded(t, pool, name, data)
		assert.Len(t, report.Refused, 1, name)
		assert.Equal(t, archive.ReasonUnsafeName, report.Refused[0].Reason, name)
	}
}

func TestA03Traversal(t *testing.T) {
	pool := newPool(t)
	list := files(
		file("../evil", "x"), file("../../pwned.txt", "x"), file("a/../../evil", "x"), file(`..\evil`, "x"), file(`C:\..\evil`, "x"),
		file("/etc/passwd", "x"), file(`C:\windows\a.txt`, "x"), file("b.txt:stream", "x"), file("line\nbreak", "x"),
	)
	for _, pack := range []func([]archivetest.File) []byte{archivetest.Zip, archivetest.SevenZip, archivetest.TarGz} {
		contents, report := guarded(t, pool, "names", pack(list))
		assert.NotContains(t, contents, "evil")
		assert.Contains(t, contents, "etc/passwd", "made relative")
		assert.Contains(t, contents, "windows/a.txt")
		assert.Contains(t, contents, "b.txt%3Astream")
		assert.GreaterOrEqual(t, reasonsOf(report)[archive.ReasonUnsafeName], 5)
	}
	for name, data := range map[string][]byte{
		"symlink.zip": archivetest.SymlinkZip("../../evil"), "symlink.tar": archivetest.SymlinkTar("../../evil"),
		"absolute.tar": archivetest.SymlinkTar("/etc"), "specials.tar": archivetest.SpecialsTar(),
	} {
		_, report := guarded(t, pool, name, data)
		assert.NotZero(t, reasonsOf(report)[archive.ReasonSkippedSpecial], name)
	}
	linked := archivetest.RarLink(file("d/a.txt", "alpha"), "b.txt", 4)
	contents, _ := guarded(t, pool, "hard.rar", linked)
	assert.Equal(t, map[string]string{"d/a.txt": "alpha", "b.txt": "alpha"}, contents, "a hard link is a copy")
}

func TestA04Twins(t *testing.T) {
	pool := newPool(t)
	for name, pack := range map[string]func([]archivetest.File) []byte{"a.zip": archivetest.Zip, "a.tar": archivetest.Tar} {
		twins := archivetest.Twins()
		contents, report := guarded(t, pool, name, pack(twins))
		assert.Len(t, contents, len(twins)-reasonsOf(report)[archive.ReasonUnsafeName], "each is there")
		folded := map[string]bool{}
		for path := range contents {
			assert.False(t, folded[strings.ToLower(path)], "%s has a twin by case", path)
			folded[strings.ToLower(path)] = true
		}
		for range 2 {
			again, other := guarded(t, pool, name, pack(twins))
			assert.Equal(t, contents, again)
			assert.Equal(t, report, other)
		}
	}
	contents, report := guarded(t, pool, "names.zip", archivetest.TwoNamesZip("../outside.txt", "inside.txt"))
	assert.Contains(t, contents, "inside.txt")
	assert.Contains(t, report.Detail, "name")
}

func TestA05Damage(t *testing.T) {
	pool := newPool(t)
	text := strings.Repeat("0123456789 abcdefghijklmnop\n", 400)
	good := files(file("a.txt", text), file("b.txt", "beta"))
	gz := archivetest.Gzip([]byte(text))
	for name, c := range map[string]struct {
		data   []byte
		reason archive.Reason
		files  int
	}{
		"cut.zip":        {archivetest.Zip(good)[:200], archive.ReasonTruncated, 0},
		"cut.csv.gz":     {gz[:len(gz)/2], archive.ReasonTruncated, 0},
		"tail.csv.gz":    {append(gz[:len(gz):len(gz)], "junk"...), archive.ReasonTrailingData, 1},
		"twice.csv.gz":   {append(gz[:len(gz):len(gz)], gz...), "", 1},
		"sfx.exe":        {archivetest.Prefixed("MZ", 4096, archivetest.Zip(good)), "", 2},
		"sfx7.exe":       {archivetest.Prefixed("MZ", 100_000, archivetest.SevenZip(good)), "", 2},
		"zip64.zip":      {archivetest.Zip64Lie(1 << 62), archive.ReasonCorrupt, 0},
		"crc.zip":        {archivetest.WrongCRCZip(), archive.ReasonPartial, 1},
		"descriptor.zip": {archivetest.DescriptorZip([]byte(text)), "", 1},
		"declared.zip":   {archivetest.DeclaredSizeZip([]byte(text), 1<<40), archive.ReasonTruncated, 0},
	} {
		contents, report := guarded(t, pool, name, c.data)
		assert.Equal(t, c.reason, report.Reason, "%s %s", name, report.Detail)
		assert.Len(t, contents, c.files, name)
		for _, content := range contents {
			assert.Contains(t, []string{text, text + text, "beta", "text"}, content, "%s: nothing is half there", name)
		}
	}
}

func TestA06EncryptedUnknownAndVolumes(t *testing.T) {
	pool := newPool(t)
	secret := files(file("a.txt", "alpha"), file("b.txt", strings.Repeat("beta", 50)))
	for name, data := range map[string][]byte{
		"a.7z": archivetest.SevenZipEncrypted(secret, "sesame"), "a.rar": archivetest.RarEncrypted(secret, "sesame"),
		"crypto.zip": archivetest.ZipEncrypted(secret, archivetest.ZipEncryption{Password: "sesame"}),
		"aes.zip":    archivetest.ZipEncrypted(secret, archivetest.ZipEncryption{Password: "sesame", AES: 256}),
	} {
		contents, report := guarded(t, pool, name, data, func(r *archive.Request) { r.Passwords = []string{"wrong", "sesame"} })
		assert.Equal(t, map[string]string{"a.txt": "alpha", "b.txt": strings.Repeat("beta", 50)}, contents, name)
		assert.Zero(t, report.Result, name)
		contents, report = guarded(t, pool, name, data)
		assert.Empty(t, contents, name)
		if name != "a.7z" { // stored without compression, it does not tell a wrong password from wrong contents
			assert.Equal(t, archive.ReasonEncrypted, report.Reason, name)
		}
	}
	imploded := archivetest.RawZip(archivetest.ZipEntry{Name: "a.txt", Method: 6})
	_, report := guarded(t, pool, "imploded.zip", imploded)
	assert.Equal(t, archive.ReasonUnsupportedMethod, report.Reason)
	assert.Contains(t, report.Refused[0].Detail, "implode")
	whole := archivetest.SevenZip(files(file("a.txt", strings.Repeat("alpha ", 300))))
	volumes := files(
		archivetest.File{Name: "x.7z.001", Data: whole[:500]}, archivetest.File{Name: "x.7z.002", Data: whole[500:]},
		archivetest.File{Name: "y.7z.001", Data: whole[:500]})
	contents, report := guarded(t, pool, "sets.zip", archivetest.Zip(volumes))
	assert.Equal(t, strings.Repeat("alpha ", 300), contents["x/a.txt"])
	assert.Equal(t, archive.ReasonMissingVolume, report.Layers["sets.zip/y.7z.001"].Reason)
	assert.Contains(t, report.Layers["sets.zip/y.7z.001"].Detail, "y.7z.002")
}

func TestA07WrongExtensionsAndPolyglots(t *testing.T) {
	pool := newPool(t)
	some := files(file("a.txt", "alpha"))
	for name, data := range map[string][]byte{
		"a.tar.gz": archivetest.Zip(some), "north.branch07.zip": archivetest.SevenZip(some), "data.rar.zip": archivetest.TarGz(some), "no extension": archivetest.Tar(some),
	} {
		contents, report := guarded(t, pool, name, data)
		assert.Equal(t, map[string]string{"a.txt": "alpha"}, contents, name)
		assert.Zero(t, report.Result, name)
	}
	for _, name := range []string{"a.zip", "a.gz", "a.7z", "a.rar"} {
		_, report := guarded(t, pool, name, []byte("HKD,100.00\nplain text, whatever it is called"))
		assert.Equal(t, archive.ReasonUnrecognised, report.Reason, name)
	}
	contents, report := guarded(t, pool, "two.tar", archivetest.TarZipPolyglot(files(file("tar.txt", "t")), files(file("zip.txt", "z"))))
	assert.Equal(t, map[string]string{"tar.txt": "t"}, contents)
	assert.Equal(t, archive.ReasonTrailingData, report.Reason, "that there is more is not hidden")
}

func TestA08NamesInOtherCharsets(t *testing.T) {
	pool := newPool(t)
	gbk := archivetest.RawZip(archivetest.StoredEntry("\xb1\xa8\xb1\xed/\xd2\xbb\xd4\xc2.txt", []byte("1")))
	contents, report := guarded(t, pool, "a.zip", gbk, func(r *archive.Request) { r.Encodings = []string{"gbk"} })
	assert.Equal(t, map[string]string{"报表/一月.txt": "1"}, contents)
	assert.Equal(t, "\xb1\xa8\xb1\xed/\xd2\xbb\xd4\xc2.txt", string(report.Files[0].RawName))
	cp437 := archivetest.RawZip(archivetest.StoredEntry("Kontoausz\x81ge.txt", []byte("1")))
	contents, _ = guarded(t, pool, "a.zip", cp437, func(r *archive.Request) { r.Encodings = []string{"auto"} })
	assert.Equal(t, map[string]string{"Kontoauszüge.txt": "1"}, contents)
}

func TestA09SparseAndPaxSizes(t *testing.T) {
	pool := newPool(t)
	_, report := guarded(t, pool, "sparse.tar", archivetest.SparseTar(1<<40))
	assert.Contains(t, []archive.Reason{archive.ReasonLimitFileBytes, archive.ReasonLimitRatio, archive.ReasonLimitBytes}, report.Reason)
	contents, report := guarded(t, pool, "small.tar", archivetest.SparseTar(64<<10))
	assert.Zero(t, report.Result, report.Detail)
	sparse := 0
	for _, content := range contents {
		sparse = max(sparse, len(content))
	}
	assert.Equal(t, 64<<10, sparse, "the holes are there")
	_, report = guarded(t, pool, "pax.tar", archivetest.PaxSizeTar(1<<40))
	assert.Equal(t, archive.ReasonTruncated, report.Reason, report.Detail)
}

// TestA10NothingKillsTheWorker: after each of the archives that some decoder died of, another one is extracted.
func TestA10NothingKillsTheWorker(t *testing.T) {
	pool := newPool(t)
	for _, hostile := range archivetest.Hostile() {
		t.Run(hostile.Name, func(t *testing.T) {
			guarded(t, pool, hostile.Name, hostile.Data, func(r *archive.Request) {
				r.Passwords, r.Limits.ArchiveEntries = []string{"wrong"}, 2_000
			})
			contents, report := guarded(t, pool, "good.zip", archivetest.Zip(files(file("a.txt", "alpha"))))
			assert.Equal(t, map[string]string{"a.txt": "alpha"}, contents)
			assert.Zero(t, report.Result)
		})
	}
}

func TestA11ArchivesThatContainThemselves(t *testing.T) {
	pool := newPool(t)
	for name, data := range map[string][]byte{"quine.gz": archivetest.GzipQuine(), "quine.zip": archivetest.ZipQuine()} {
		contents, report := guarded(t, pool, name, data)
		assert.Equal(t, 1, reasonsOf(report)[archive.ReasonSelfContaining], "%v", report.Layers)
		assert.Len(t, report.Layers, 2)
		assert.Len(t, contents, 1, "what lies in it is kept as a file")
	}
}
