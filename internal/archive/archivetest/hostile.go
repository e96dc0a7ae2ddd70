package archivetest

import (
	"archive/zip"
	"bytes"
	"strings"
)

// Hostile returns small archives that make naive decoders run out of memory, run for ever, panic, or write where they must
// not. Each is built in a moment and takes less than 2 MiB. A decoder under the default limits has to survive all of them
// within seconds; what it makes of each is said where each is built.
func Hostile() []File {
	some := []File{{Name: "a.txt", Data: []byte("alpha")}, {Name: "b.txt", Data: []byte("beta")}}
	return []File{
		{Name: "files.7z", Data: SevenZipManyFiles()},
		{Name: "delta.7z", Data: SevenZipDelta(some, 256)},
		{Name: "lzma2.7z", Data: SevenZipDictionary(some, 39)},
		{Name: "ppmd.7z", Data: SevenZipPPMd(1<<32 - 37)},
		{Name: "cycles.7z", Data: SevenZipCycles(24)},
		{Name: "dictionary.xz", Data: XZ([]byte("text"), lzma2MaxDictionary)},
		{Name: "dictionary.zip", Data: ZipXZ(XZ([]byte("text"), lzma2MaxDictionary), []byte("text"))},
		{Name: "broken-xz.zip", Data: ZipXZ([]byte("this is no xz stream"), []byte("text"))},
		{Name: "zeros.gz.gz", Data: Gzip(GzipOfZeros(10 << 30))},
		{Name: "zeros.zip", Data: Zip([]File{{Name: "zeros.zip", Data: ZipOfZeros("zeros.dat", 1<<30)}})},
		{Name: "nested.zip", Data: NestedBomb(16, 5, 1<<20)},
		{Name: "overlap.zip", Data: OverlapBomb(250, 21<<20)},
		{Name: "same.zip", Data: SameDataBomb(1000, 1<<20)},
		{Name: "quine.gz", Data: GzipQuine()},
		{Name: "quine.zip", Data: ZipQuine()},
		{Name: "deep.gz", Data: Nested([]byte("core"), 1000, storedGzip)},
		{Name: "deep.zip", Data: Nested([]byte("core"), 1000, storedZip("n.zip"))},
		{Name: "many.zip", Data: ManyEntriesZip(10_000)},
		{Name: "many.tar.gz", Data: Gzip(ManyEntriesTar(30_000))},
		{Name: "long.zip", Data: RawZip(ZipEntry{Name: LongPath(1<<16 - 1)})},
		{Name: "long.tar", Data: Tar([]File{{Name: LongPath(1<<16 - 1)}})},
		{Name: "symlink.zip", Data: SymlinkZip("../../evil")},
		{Name: "symlink.tar", Data: SymlinkTar("../../evil")},
		{Name: "specials.tar", Data: SpecialsTar()},
		{Name: "twins.zip", Data: Zip(Twins())},
		{Name: "twins.tar", Data: Tar(Twins())},
		{Name: "names.zip", Data: TwoNamesZip("inside.txt", "../outside.txt")},
		{Name: "zip64.zip", Data: Zip64Lie(1 << 62)},
		{Name: "crc.zip", Data: WrongCRCZip()},
		{Name: "descriptor.zip", Data: DescriptorZip([]byte("text"))},
		{Name: "declared.zip", Data: DeclaredSizeZip([]byte("text"), 1<<40)},
		{Name: "tar+zip.tar", Data: TarZipPolyglot(some, some)},
		{Name: "gz+zip.gz", Data: append(Gzip([]byte("text")), Zip(some)...)},
		{Name: "sparse.tar", Data: SparseTar(1 << 60)},
		{Name: "paxsize.tar", Data: PaxSizeTar(1 << 60)},
		{Name: "prefixed.exe", Data: Prefixed("MZ", 4096, Zip(some))},
	}
}

// Nested returns core packed depth times. Ten thousand layers take the stack of a decoder that calls itself for each; 100
// and more were met in samples for virus scanners, which give up after 16 to 20.
func Nested(core []byte, depth int, pack func([]byte) []byte) []byte {
	for range depth {
		core = pack(core)
	}
	return core
}

// NestedGzip is gzip in gzip, depth times, stored rather than deflated, so that ten thousand layers are built in a second.
func NestedGzip(core []byte, depth int) []byte { return Nested(core, depth, storedGzip) }

// NestedZip is zip in zip, depth times, each in one entry "n.zip".
func NestedZip(core []byte, depth int) []byte { return Nested(core, depth, storedZip("n.zip")) }

func storedZip(name string) func([]byte) []byte {
	return func(data []byte) []byte { return RawZip(StoredEntry(name, data)) }
}

// ManyEntriesZip returns a zip archive of count empty files; a million of them take 100 MB here and, in a file system, a
// million inodes. More than 65,535 need the zip64 end record (APPNOTE 4.3.14).
func ManyEntriesZip(count int) []byte {
	var w rawZipWriter
	for i := range count {
		w.add(ZipEntry{Name: serial(i)})
	}
	return w.close()
}

// ManyEntriesTar returns a tar archive of count empty files, of 512 bytes each.
func ManyEntriesTar(count int) []byte {
	out := make([]byte, 0, (count+2)*tarBlock)
	for i := range count {
		out = append(out, RawTarHeader(TarHeader{Name: serial(i)})...)
	}
	return append(out, make([]byte, 2*tarBlock)...)
}

func serial(i int) string {
	name := []byte("d0/f0000000")
	for at := len(name) - 1; i > 0; at-- {
		name[at], i = byte('0'+i%10), i/10
	}
	return string(name)
}

// LongPath returns a relative path of exactly length bytes, in components of at most 200. It is longer than any file
// system takes; a decoder that makes directories as it goes makes hundreds before it notices.
func LongPath(length int) string {
	const component = 200
	path := strings.Repeat(strings.Repeat("d", component-1)+"/", length/component+1)[:length-1]
	return strings.TrimSuffix(path, "/") + strings.Repeat("f", length-len(strings.TrimSuffix(path, "/")))
}

// Twins are files whose names are the same, or the same where case or the form of Unicode does not count: extracted by
// name, the last one wins and the others are lost without a word. One is a directory where another is a file.
func Twins() []File {
	return []File{
		{Name: "a.txt", Data: []byte("first")},
		{Name: "a.txt", Data: []byte("second")},
		{Name: "A.TXT", Data: []byte("third")},
		{Name: "caf\u00e9.txt", Data: []byte("composed")},
		{Name: "cafe\u0301.txt", Data: []byte("decomposed")},
		{Name: "d", Data: []byte("a file")},
		{Name: "d/e.txt", Data: []byte("below the file")},
		{Name: "./a.txt", Data: []byte("fourth")},
		{Name: "x/../a.txt", Data: []byte("fifth")},
	}
}

// Prefixed returns data behind a stub of the given length that begins with magic ("MZ", "\x7fELF", "#!"), as self-extracting
// archives have it.
func Prefixed(magic string, length int, data []byte) []byte {
	stub := bytes.Repeat([]byte("stub"), length/4+1)[:length]
	copy(stub, magic)
	return append(stub, data...)
}

// TarZipPolyglot returns a file that is a good tar archive from its beginning and a good zip archive from its end. Two
// programs see different contents: one scans what the other never unpacks.
func TarZipPolyglot(inTar, inZip []File) []byte {
	out := bytes.NewBuffer(Tar(inTar))
	w := zip.NewWriter(out)
	w.SetOffset(int64(out.Len()))
	addToZip(w, inZip)
	return out.Bytes()
}
