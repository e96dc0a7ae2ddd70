package extractbench

import (
	"fmt"
	"path/filepath"

	"talon/internal/contest"
)

// Scale says how much is generated.
type Scale struct {
	Files      int   // of the case of many files
	TextBytes  int64 // of the case of one large text
	Zips       int   // small archives
	Inner      int   // archives in the archive of archives,
	InnerFiles int   // and how many files each of them has
}

// Full is the scale that results are quoted for.
var Full = Scale{Files: 11_000, TextBytes: 300_000_000, Zips: 200, Inner: 20, InnerFiles: 100}

// Medians of the sizes of files, in bytes.
const (
	medianSize      = 6_600
	smallMedianSize = 1_500 // in the small archives
)

// sources write the files of cases below a directory. The same scale gives the same bytes.
var sources = map[string]func(scale Scale, dir string) error{
	"files": writeMany, "text": writeText, "zips": writeZips, "nested": writeNested,
}

// generate writes the files of a source below a directory, which must exist.
func generate(name string, scale Scale, dir string) error {
	if err := sources[name](scale, dir); err != nil {
		return err
	}
	return contest.Date(dir)
}

func writeMany(scale Scale, dir string) error {
	return contest.NewClerk(1).Tree(dir, scale.Files, medianSize)
}

// writeText writes one table of account movements.
func writeText(scale Scale, dir string) error {
	return contest.NewClerk(2).Movements(filepath.Join(dir, "movements.csv"), scale.TextBytes)
}

// writeZips writes a directory of three to six small documents for each small archive.
func writeZips(scale Scale, dir string) error {
	c := contest.NewClerk(3)
	for i := range scale.Zips {
		for number := range 3 + c.Draw(4) {
			if err := c.Document(filepath.Join(dir, fmt.Sprintf("report-%03d", i+1)), number, c.Size(smallMedianSize)); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeNested writes a directory of documents for each inner archive.
func writeNested(scale Scale, dir string) error {
	c := contest.NewClerk(4)
	for i := range scale.Inner * scale.InnerFiles {
		folder := filepath.Join(dir, fmt.Sprintf("branch-%03d", i/scale.InnerFiles+1))
		if err := c.Document(folder, i%scale.InnerFiles, c.Size(medianSize)); err != nil {
			return err
		}
	}
	return nil
}
