package devstack

import (
	"path"
	"time"

	"talon/internal/archive/archivetest"
)

// item is something a branch offers or an archive holds: a document or a package of items.
type item interface {
	// name is the file's path where it lies.
	name() string
	// bytes is the file itself.
	bytes(at time.Time) []byte
	// unpack adds what people expect to find after everything was unpacked to files, below dir: path to contents.
	unpack(dir string, files map[string][]byte)
}

// document is a plain file.
type document struct {
	path string
	data []byte
}

func (d document) name() string           { return d.path }
func (d document) bytes(time.Time) []byte { return d.data }
func (d document) unpack(dir string, files map[string][]byte) {
	files[path.Join(dir, d.path)] = d.data
}

// packed is an archive: stem + ext is its path, and its contents unpack into a directory named stem.
type packed struct {
	stem, ext string
	items     []item
}

// packers build an archive of each kind.
var packers = map[string]func([]archivetest.File) []byte{
	".zip": archivetest.Zip, ".tar": archivetest.Tar, ".tar.gz": archivetest.TarGz, ".tar.zst": archivetest.TarZst,
	".7z": archivetest.SevenZip, ".rar": archivetest.Rar,
}

func (p packed) name() string { return p.stem + p.ext }

func (p packed) bytes(at time.Time) []byte {
	var files []archivetest.File
	for _, it := range p.items {
		files = append(files, archivetest.File{Name: it.name(), Data: it.bytes(at), ModTime: at})
	}
	return packers[p.ext](files)
}

func (p packed) unpack(dir string, files map[string][]byte) {
	for _, it := range p.items {
		it.unpack(path.Join(dir, p.stem), files)
	}
}

// contents is unpack for an archive at the top: paths are relative to the directory it unpacks into.
func (p packed) contents() map[string][]byte {
	files := map[string][]byte{}
	for _, it := range p.items {
		it.unpack("", files)
	}
	return files
}

// gzipped is a single compressed document: x.csv.gz, which unpacks to x.csv beside where it lay.
type gzipped struct{ document }

func (g gzipped) name() string { return g.path + ".gz" }

func (g gzipped) bytes(time.Time) []byte { return archivetest.Gzip(g.data) }

// cutShort is an archive whose upload broke off: the second half is missing, with the directory of a zip. Nothing in it can
// be relied on.
type cutShort struct{ packed }

func (c cutShort) bytes(at time.Time) []byte {
	whole := c.packed.bytes(at)
	return whole[:len(whole)/2]
}
