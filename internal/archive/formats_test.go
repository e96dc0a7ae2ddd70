package archive

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestFormatsOfOtherPrograms opens what 7zz, xz, zip and others make of the same files, with every method and filter that is
// said to be opened (docs/archives.md), and sees the others refused.
func TestFormatsOfOtherPrograms(t *testing.T) {
	sevenZip := func(args ...string) []string { return append([]string{"7zz", "a", "-t7z", "OUT/x.7z", "."}, args...) }
	zip := func(args ...string) []string { return append([]string{"7zz", "a", "-tzip", "OUT/x.zip", "."}, args...) }
	tar := func(pipe string) []string { return []string{"sh", "-c", "tar -cf - . | " + pipe + " > OUT/x.tar.z"} }
	all := map[string][]string{
		"tar gzip": tar("gzip"), "tar bzip2": tar("bzip2"), "tar xz blocks": tar("TOOL:xz -T2 --block-size=100KiB"),
		"tar zstd": tar("TOOL:zstd -q --long=27"), "tar lz4": tar("TOOL:lz4 -q"), "zip -9": {"zip", "-q", "-9", "-r", "OUT/x.zip", "."},
		"zip -s": {"zip", "-q", "-s", "100k", "-r", "OUT/x.zip", "."}, "7z -v": sevenZip("-v100k"), "zip.001": zip("-v100k"),
		"7z BCJ2":        sevenZip("-m0=BCJ2", "-m1=LZMA", "-m2=LZMA", "-m3=LZMA", "-mb0:1", "-mb0s1:2", "-mb0s2:3"),
		"7z not solid":   sevenZip("-ms=off"),
		"7z many blocks": sevenZip("-ms=64k"),
	}
	for _, method := range []string{"Copy", "LZMA", "LZMA2", "PPMd", "BZip2", "Deflate", "Deflate64"} {
		all["7z "+method] = sevenZip("-m0=" + method)
	}
	for _, filter := range []string{"BCJ", "ARM", "ARMT", "ARM64", "PPC", "SPARC", "IA64", "Delta:1", "Delta:256"} {
		all["7z "+filter] = sevenZip("-m0="+filter, "-m1=LZMA2")
	}
	for _, method := range []string{"Copy", "Deflate", "Deflate64", "BZip2", "LZMA", "XZ"} {
		all["zip "+method] = zip("-mm=" + method)
	}
	for _, filter := range []string{"x86", "arm", "armthumb", "arm64", "powerpc", "sparc", "ia64", "delta=dist=4"} {
		all["xz "+filter] = tar("TOOL:xz --" + filter + " --lzma2=preset=1")
	}
	for name, line := range all {
		t.Run(name, func(t *testing.T) {
			contents, report := extracted(t, line)
			assert.Zero(t, report.Result, "%s %s %v", report.Reason, report.Detail, report.Refused)
			_, want := setFiles()
			assert.Equal(t, want, contents)
		})
	}
	for name, line := range map[string][]string{"7z SWAP4": sevenZip("-m0=SWAP4", "-m1=LZMA2"), "7z SWAP2": sevenZip("-m0=SWAP2", "-m1=LZMA2")} {
		t.Run(name, func(t *testing.T) {
			_, report := extracted(t, line)
			require.NotEmpty(t, report.Refused)
			assert.Equal(t, ReasonUnsupportedMethod, report.Refused[0].Reason)
		})
	}
}

// extracted is what comes out of the archive that a command makes of the files of the tests. "TOOL:" in a line of the shell
// stands for the path of a program.
func extracted(t *testing.T, line []string) (map[string]string, Report) {
	t.Helper()
	for i, arg := range line {
		if before, after, ok := strings.Cut(arg, "TOOL:"); ok {
			name, rest, _ := strings.Cut(after, " ")
			line[i] = before + tool(t, name).Path + " " + rest
		}
	}
	out := runHere(t, line[0], line[1:]...)
	entries, err := os.ReadDir(out)
	require.NoError(t, err)
	first := entries[0].Name()
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), ".zip") {
			first = entry.Name() // stands for a set
		}
	}
	dest := t.TempDir()
	report, err := Extract(t.Context(), Request{Archive: filepath.Join(out, first), Dest: dest})
	require.NoError(t, err)
	contents := map[string]string{}
	for _, file := range report.Files {
		data, err := os.ReadFile(filepath.Join(dest, file.Path))
		require.NoError(t, err)
		contents[file.Path] = brief(bytes.Clone(data))
	}
	return contents, report
}
