package devstack

import (
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
)

// Sizes of what makes a site take its time.
const (
	largeSize = 24 * megabyte // of the one large file
	bulkSize  = 6 * megabyte  // of each of the two files in a bulk archive
)

// sitePlans are the branches of a site, in the order of their numbers.
var sitePlans = []plan{
	{about: "plain files, a large one among them, zip and tar.gz archives", items: mixedFiles},
	{about: "names in Chinese, GBK on the wire; archives inside archives", encoding: "gbk", emptyDirs: []string{"归档"}, items: chineseNests},
	{about: "every kind of archive, and one whose upload broke off", items: mixedUploads},
}

// SiteNames are the names of a site's branches.
func SiteNames() []string {
	var names []string
	for i := range sitePlans {
		names = append(names, branchName(i))
	}
	return names
}

// SiteBranch returns a branch of the site that the containers of docker-compose.yml play, all in good health. bulk archives more, of 12 MiB each,
// make collecting and extracting take their time. The same seed and bulk give the same branch, byte for byte.
func SiteBranch(name string, seed uint64, bulk int) (Branch, error) {
	index := slices.Index(SiteNames(), name)
	if index < 0 {
		return Branch{}, fmt.Errorf("there is no branch %q: the site has %v", name, SiteNames())
	}
	p := sitePlans[index]
	few := p.items
	p.items = func(w *writer) []item { return append(few(w), bulkArchives(w, bulk)...) }
	return p.branch(name, seed, index), nil
}

// WriteManifest writes what a collection of the branch and the extraction of its archives have to leave below the root of the warehouse, a line for
// each file, as sha256sum writes and checks it.
func (b *Branch) WriteManifest(w io.Writer) error {
	sums := map[string]string{}
	for name, sum := range b.Expect.Files {
		sums[path.Join("zip", b.Name, name)] = sum
	}
	for _, archive := range b.Expect.Archives {
		for name, sum := range archive.Files {
			sums[path.Join("unzip", b.Name, archive.Dir, name)] = sum
		}
	}
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		if _, err := fmt.Fprintf(w, "%s  %s\n", sums[name], name); err != nil {
			return err
		}
	}
	return nil
}

func mixedFiles(w *writer) []item {
	items := append(plainFiles(w), text("large/journal", ".jsonl", w.journal(largeSize)))
	items = append(items, inDirectory("morning", zipArchives(w))...)
	return append(items, inDirectory("evening", tarGzArchives(w))...)
}

// inDirectory moves items into a directory: some archives of a kind are called like those of another, and would extract to one place.
func inDirectory(dir string, items []item) []item {
	var moved []item
	for _, it := range items {
		switch it := it.(type) {
		case document:
			it.path = path.Join(dir, it.path)
			moved = append(moved, it)
		case packed:
			it.stem = path.Join(dir, it.stem)
			moved = append(moved, it)
		default:
			panic(fmt.Sprintf("BUG: %T cannot be moved", it))
		}
	}
	return moved
}

func chineseNests(w *writer) []item { return append(chineseNames(w), threeDeep(w)...) }

func mixedUploads(w *writer) []item {
	var items []item
	for _, some := range []func(*writer) []item{brokenUpload, tarZstArchives, sevenZipArchives, rarArchives, mixedNests} {
		items = append(items, some(w)...)
	}
	return items
}

func bulkArchives(w *writer, count int) []item {
	var items []item
	for number := range count {
		items = append(items, pack(fmt.Sprintf("bulk/%03d", number), ".zip",
			document{path: "front.bin", data: w.noise(bulkSize)}, document{path: "back.bin", data: w.noise(bulkSize)}))
	}
	return items
}
