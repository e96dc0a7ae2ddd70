package archive_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/archive"
	"talon/internal/archive/archivetest"
)

func TestEveryContainerIsOpened(t *testing.T) {
	inside := files(
		file("a.txt", "alpha"), archivetest.File{Name: "empty/", ModTime: modTime},
		file("报表/一月.csv", strings.Repeat("1,2,3\n", 500)), file("nothing.txt", ""),
	)
	for ext, build := range containers {
		for _, name := range []string{"b" + ext, "renamed.dat"} {
			t.Run(name+" "+ext, func(t *testing.T) {
				req := request(t, "branch-001/"+name, build(inside))
				report, err := archive.Extract(t.Context(), req)
				require.NoError(t, err)
				contents := audit(t, req.Dest, report)
				assert.Equal(t, map[string]string{
					"a.txt": "alpha", "报表/一月.csv": strings.Repeat("1,2,3\n", 500), "nothing.txt": "",
				}, contents)
				assert.Equal(t, map[string]archive.Layer{"branch-001/" + name: {Files: 3}}, report.Layers)
				assert.DirExists(t, filepath.Join(req.Dest, "empty"))
				for _, f := range report.Files {
					assert.Empty(t, f.RawName)
					assert.Equal(t, modTime, f.ModTime)
					info, err := os.Stat(filepath.Join(req.Dest, f.Path))
					require.NoError(t, err)
					assert.True(t, modTime.Equal(info.ModTime()), f.Path)
				}
			})
		}
	}
}

func TestEveryCompressorIsOpened(t *testing.T) {
	text := strings.Repeat("branch,amount\n", 50_000)
	tarred := archivetest.Tar(files(file("x/a.csv", text), file("b.csv", "b")))
	for ext, pack := range compressors(t) {
		t.Run(ext, func(t *testing.T) {
			contents, report := extract(t, "x.csv"+ext, pack([]byte(text)))
			assert.Equal(t, map[string]string{"x.csv": text}, contents)
			assert.Equal(t, map[string]archive.Layer{"x.csv" + ext: {Files: 1}}, report.Layers)

			contents, report = extract(t, "x.tar"+ext, pack(tarred))
			assert.Equal(t, map[string]string{"x/a.csv": text, "b.csv": "b"}, contents)
			assert.Equal(t, map[string]archive.Layer{"x.tar" + ext: {Files: 2}}, report.Layers, "one layer")

			contents, report = extract(t, "x"+ext, pack(tarred))
			assert.Len(t, contents, 2, "the tar archive is found by its content")
			assert.Zero(t, report.Result)

			if ext == ".sz" {
				return // its writer writes nothing at all for nothing
			}
			contents, report = extract(t, "empty.txt"+ext, pack(nil))
			assert.Equal(t, map[string]string{"empty.txt": ""}, contents)
			assert.Zero(t, report.Result, "%+v", report)
		})
	}
}

func TestMembersOfACompressedFileAreReadWhole(t *testing.T) {
	for ext, pack := range compressors(t) {
		both := append(pack([]byte("one,")), pack([]byte("two"))...)
		contents, report := extract(t, "x.csv"+ext, both)
		if ext == ".br" || ext == ".zz" { // they know no members
			assert.Equal(t, archive.ReasonTrailingData, report.Reason, ext)
			continue
		}
		assert.Equal(t, map[string]string{"x.csv": "one,two"}, contents, ext)
		assert.Equal(t, archive.ReasonNone, report.Reason, ext)
	}
}

// No prefix of an archive may pass for a whole one.
func TestEveryTruncationIsReported(t *testing.T) {
	text := []byte(strings.Repeat("0123456789 abcdefghijklmnop\n", 40))
	whole := map[string][]byte{}
	for ext, pack := range compressors(t) {
		if ext != ".sz" { // its framing has no end: a cut between two chunks cannot be seen
			whole["x.csv"+ext] = pack(text)
		}
	}
	for ext, build := range containers {
		whole["x"+ext] = build(files(file("a.txt", string(text)), file("b.txt", "beta")))
	}
	for name, data := range whole {
		t.Run(name, func(t *testing.T) {
			step := max(len(data)/50, 1)
			for cut := 0; cut < len(data); cut += step {
				if strings.HasSuffix(name, ".tar") && cut > len(data)-1024 {
					break // within the mark of the end
				}
				_, report := extract(t, name, data[:cut])
				if !assert.NotZero(t, report.Result, "cut at %d of %d: %+v", cut, len(data), report) {
					return
				}
			}
		})
	}
}

// A flipped bit is found wherever the format has a checksum over it; the extraction never panics or hangs.
func TestCorruptContentsAreNotTakenForGood(t *testing.T) {
	text := strings.Repeat("0123456789 abcdefghijklmnop\n", 40)
	whole := map[string][]byte{}
	for ext, pack := range compressors(t) {
		whole["x.csv"+ext] = pack([]byte(text))
	}
	for ext, build := range containers {
		whole["x"+ext] = build(files(file("a.txt", text), file("b.txt", "beta")))
	}
	for name, data := range whole {
		t.Run(name, func(t *testing.T) {
			for at := 0; at < len(data); at += max(len(data)/40, 1) {
				broken := append([]byte(nil), data...)
				broken[at] ^= 0x10
				contents, report := extract(t, name, broken)
				if unchecked := strings.HasSuffix(name, ".tar") || strings.HasSuffix(name, ".br"); unchecked {
					continue
				}
				for path, content := range contents {
					if content != text && content != "beta" && report.Result == 0 {
						t.Fatalf("flip at %d of %d: %s is wrong and the result is 0", at, len(data), path)
					}
				}
			}
		})
	}
}

// TestChecksumsBehindTheData: they are looked at even where nothing else shows the damage.
func TestChecksumsBehindTheData(t *testing.T) {
	const lzipSums, gzipSums = 20, 8 // what stands at the end, the checksum first
	lzipped := compressors(t)[".lz"]([]byte("text"))
	lzipped[len(lzipped)-lzipSums] ^= 1
	contents, report := extract(t, "x.csv.lz", lzipped)
	assert.Empty(t, contents)
	assert.Equal(t, archive.ReasonCorrupt, report.Reason)

	tarred := append(archivetest.Tar(files(file("a.txt", "a"))), strings.Repeat("junk", 5000)...)
	zipped := archivetest.Gzip(tarred)
	_, report = extract(t, "x.tgz", zipped)
	assert.Equal(t, archive.ReasonTrailingData, report.Reason)
	zipped[len(zipped)-gzipSums] ^= 1
	_, report = extract(t, "x.tgz", zipped)
	assert.Equal(t, 2, report.Result)
	assert.Equal(t, archive.ReasonCorrupt, report.Reason)
}
