package devstack

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"path"
	"strings"
	"testing"

	"github.com/spf13/afero"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding/simplifiedchinese"
)

const testSeed = 7

func TestBranchesAreTheSameForTheSameSeed(t *testing.T) {
	first, second, other := Branches(testSeed), Branches(testSeed), Branches(testSeed+1)
	assert.Equal(t, first, second)
	assert.NotEqual(t, first[0].Files[0].Data, other[0].Files[0].Data)
}

func TestBranchesHoldWhatTheDemoPromises(t *testing.T) {
	branches := Branches(testSeed)
	assert.GreaterOrEqual(t, len(branches), 12)
	faults, kinds := map[Fault]int{}, map[string]int{}
	var empty, corrupt, chinese, gbk, total int
	for _, b := range branches {
		faults[b.Fault]++
		if b.Fault == Healthy && len(b.Files) == 0 {
			empty++
		}
		for _, file := range b.Files {
			total += len(file.Data)
			assert.True(t, len(file.Data) >= kilobyte/2 && len(file.Data) <= 3*megabyte, "%s: %d bytes", file.Path, len(file.Data))
			kinds[strings.TrimPrefix(path.Base(file.Path), strings.SplitN(path.Base(file.Path), ".", 2)[0])]++
			if strings.ContainsAny(file.Path, "账报水") {
				chinese++
			}
			if file.Raw != file.Path {
				gbk++
			}
		}
		for _, archive := range b.Expect.Archives {
			if archive.Result != resultSuccess {
				corrupt++
			}
		}
	}
	assert.Equal(t, 1, faults[WrongPassword])
	assert.Equal(t, 1, faults[Down])
	assert.Equal(t, 1, empty, "branches with nothing to collect")
	assert.Equal(t, 1, corrupt, "corrupt archives")
	assert.NotZero(t, chinese)
	assert.NotZero(t, gbk)
	for _, kind := range []string{".csv", ".txt", ".jsonl", ".zip", ".tar.gz", ".tar.zst", ".7z", ".rar"} {
		assert.NotZero(t, kinds[kind], "files of kind %s", kind)
	}
	assert.InDelta(t, 12*megabyte, total, 8*megabyte, "bytes on all servers")
}

// unpackStandard unpacks with the standard library alone and returns the sums of what is inside, nested archives included.
func unpackStandard(t *testing.T, name string, data []byte, dir string, sums map[string]string) {
	t.Helper()
	stem, isZip := strings.CutSuffix(name, ".zip")
	stem, isTarGz := strings.CutSuffix(stem, ".tar.gz")
	switch {
	case isZip:
		archive, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
		require.NoError(t, err)
		for _, entry := range archive.File {
			reader, err := entry.Open()
			require.NoError(t, err)
			unpackStandardEntry(t, entry.Name, reader, path.Join(dir, stem), sums)
			require.NoError(t, reader.Close())
		}
	case isTarGz:
		plain, err := gzip.NewReader(bytes.NewReader(data))
		require.NoError(t, err)
		archive := tar.NewReader(plain)
		for {
			header, err := archive.Next()
			if err == io.EOF {
				return
			}
			require.NoError(t, err)
			unpackStandardEntry(t, header.Name, archive, path.Join(dir, stem), sums)
		}
	default:
		sums[path.Join(dir, name)] = hexSHA256(data)
	}
}

func unpackStandardEntry(t *testing.T, name string, reader io.Reader, dir string, sums map[string]string) {
	t.Helper()
	data, err := io.ReadAll(reader)
	require.NoError(t, err)
	unpackStandard(t, name, data, dir, sums)
}

func TestExpectationsAgreeWithTheStandardLibrary(t *testing.T) {
	checked := 0
	for _, b := range Branches(testSeed) {
		for _, file := range b.Files {
			expected, isArchive := b.Expect.Archives[file.Path]
			if !isArchive || expected.Result != resultSuccess {
				continue
			}
			standard := true
			for name := range expected.Files {
				standard = standard && !strings.Contains(name, "parts/") && !strings.Contains(name, "fees")
			}
			if ext := strings.TrimPrefix(file.Path, expected.Dir); !standard || ext != ".zip" && ext != ".tar.gz" {
				continue
			}
			sums := map[string]string{}
			unpackStandard(t, file.Path, file.Data, "", sums)
			wanted := map[string]string{}
			for name, sum := range expected.Files {
				wanted[path.Join(expected.Dir, name)] = sum
			}
			assert.Equal(t, wanted, sums, "%s of %s", file.Path, b.Name)
			assert.Len(t, sums, expected.Received)
			checked++
		}
	}
	assert.GreaterOrEqual(t, checked, 6)
}

func TestThreeDeepIsThreeDeep(t *testing.T) {
	for _, b := range Branches(testSeed) {
		for _, archive := range b.Expect.Archives {
			if _, ok := archive.Files["region_20260630/branch_20260630/ledger_20260630.txt"]; ok {
				return
			}
		}
	}
	t.Error("no branch has a document three archives deep")
}

func TestCompressedDocumentUnpacksBesideWhereItLay(t *testing.T) {
	document := text("in/events", ".csv", []byte("a,b\n"))
	files := map[string][]byte{}
	gzipped{document}.unpack("top", files)
	assert.Equal(t, map[string][]byte{"top/in/events_20260630.csv": []byte("a,b\n")}, files)

	reader, err := gzip.NewReader(bytes.NewReader(gzipped{document}.bytes(demoTime)))
	require.NoError(t, err)
	data, err := io.ReadAll(reader)
	require.NoError(t, err)
	assert.Equal(t, "a,b\n", string(data))
}

func TestCutShortArchiveCannotBeOpened(t *testing.T) {
	archive := cutShort{pack("evening", ".zip", text("a", ".txt", bytes.Repeat([]byte("money "), 1000)))}
	data := archive.bytes(demoTime)
	assert.Equal(t, "PK\x03\x04", string(data[:4]), "it begins like a zip")
	_, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	assert.ErrorIs(t, err, zip.ErrFormat)
}

func TestFSShowsTheFilesInTheServersCharset(t *testing.T) {
	for _, b := range Branches(testSeed) {
		files, err := b.FS()
		require.NoError(t, err)
		decode := func(raw string) string { return raw }
		if b.Encoding == "gbk" {
			decode = func(raw string) string {
				name, err := simplifiedchinese.GBK.NewDecoder().String(raw)
				require.NoError(t, err)
				return name
			}
		}
		sums := map[string]string{}
		require.NoError(t, afero.Walk(files, b.RemoteDir, func(name string, info fs.FileInfo, err error) error {
			require.NoError(t, err)
			if !info.IsDir() {
				data, err := afero.ReadFile(files, name)
				require.NoError(t, err)
				sums[decode(strings.TrimPrefix(name, b.RemoteDir+"/"))] = hexSHA256(data)
				assert.Equal(t, businessDay.Day(), info.ModTime().UTC().Day())
			}
			return nil
		}), "the remote directory exists, even if nothing is in it")
		if b.Fault == Healthy {
			assert.Equal(t, b.Expect.Files, sums, b.Name)
		}
	}
}
