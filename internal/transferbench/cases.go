package transferbench

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"talon/internal/contest"
)

// Scale says how much is transferred.
type Scale struct {
	Files                  int   // small ones in one archive
	Archives, ArchiveFiles int   // small archives, and files in each
	LargeBytes             int64 // of a single file
	Tiny                   int   // files of a few hundred bytes in one archive
	MemberBytes            int64 // of the largest member whose memory is measured
	ManyArchives           int   // in one decompression whose memory is measured
}

// Full is the scale that results are quoted for.
var Full = Scale{
	Files: 11_000, Archives: 200, ArchiveFiles: 5, LargeBytes: 1 << 30, Tiny: 100_000, MemberBytes: 10_000_000_000, ManyArchives: 1000,
}

// Medians of the sizes of files, in bytes.
const (
	smallMedian = 3_000
	tinyMedian  = 150
)

// benchCase is what is transferred.
type benchCase struct {
	name, title string
	// generate writes a directory for each archive.
	generate func(scale Scale, dir string) error
	stored   bool // its archives are not compressed: that would be in vain
}

// Names of cases.
const (
	caseFiles    = "files"
	caseArchives = "archives"
	caseRandom   = "random"
	caseText     = "text"
	caseTiny     = "tiny"
)

// cases are in the order of the results.
var cases = []benchCase{
	{caseFiles, "small files of one archive", func(scale Scale, dir string) error {
		return contest.NewClerk(1).Tree(filepath.Join(dir, "files"), scale.Files, smallMedian)
	}, false},
	{caseArchives, "small archives", func(scale Scale, dir string) error {
		return writeArchives(dir, scale.Archives, scale.ArchiveFiles)
	}, false},
	{caseRandom, "one large file, incompressible", func(scale Scale, dir string) error {
		return writeLarge(filepath.Join(dir, "random", "images.bin"), scale.LargeBytes, writeNoise)
	}, true},
	{caseText, "one large text", func(scale Scale, dir string) error {
		return writeLarge(filepath.Join(dir, "text", "movements.csv"), scale.LargeBytes, nil)
	}, false},
	{caseTiny, "tiny files of one archive", func(scale Scale, dir string) error {
		return contest.NewClerk(5).Tree(filepath.Join(dir, "tiny"), scale.Tiny, tinyMedian)
	}, false},
}

// Cases are the names of all cases.
func Cases() []string { return names(cases, func(c benchCase) string { return c.name }) }

func names[T any](all []T, name func(T) string) []string {
	var found []string
	for _, one := range all {
		found = append(found, name(one))
	}
	return found
}

// choose returns those of these names, all if there are none. kind is for messages.
func choose[T any](kind string, all []T, name func(T) string, wanted []string) ([]T, error) {
	known := names(all, name)
	for _, one := range wanted {
		if !slices.Contains(known, one) {
			return nil, fmt.Errorf("there is no %s %q: there are %s", kind, one, strings.Join(known, ", "))
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(one T) bool { return len(wanted) > 0 && !slices.Contains(wanted, name(one)) }), nil
}

func writeArchives(dir string, archives, files int) error {
	c := contest.NewClerk(3)
	for i := range archives {
		for number := range files {
			if err := c.Document(filepath.Join(dir, fmt.Sprintf("report-%04d", i+1)), number, c.Size(smallMedian)); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeLarge writes a file of so many bytes, or a text of that length if write is nil.
func writeLarge(name string, size int64, write func(w io.Writer, size int64) error) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if write == nil {
		return contest.NewClerk(2).Movements(name, size)
	}
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // Close below tells
	buffered := bufio.NewWriterSize(file, 1<<20)
	if err := write(buffered, size); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	return file.Close()
}

// noise are random bytes, the same each time.
func noise() io.Reader { return rand.NewChaCha8([32]byte{4}) }

func writeNoise(w io.Writer, size int64) error {
	_, err := io.CopyN(w, noise(), size)
	return err
}

// Of each noiseBlock bytes of writeSpeckled noisePart are noise, and the rest zeros.
const (
	noiseBlock = 64 << 10
	noisePart  = noiseBlock / 8
)

// writeSpeckled writes what compresses to an eighth, quickly, and yet is no desert.
func writeSpeckled(w io.Writer, size int64) error {
	block, random := make([]byte, noiseBlock), noise()
	for left := size; left > 0; left -= noiseBlock {
		if _, err := io.ReadFull(random, block[:noisePart]); err != nil {
			return err
		}
		if _, err := w.Write(block[:min(left, noiseBlock)]); err != nil {
			return err
		}
	}
	return nil
}
