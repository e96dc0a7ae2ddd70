package archive

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/klauspost/compress/zip"
)

// readZip reads a zip archive with the decoder below archiver.Zip, which gives no way to bound the memory of an entry's
// method, knows no passwords and no volumes, and reads one entry at a time.
func (x *extraction) readZip(ctx context.Context, n *layer, src *source) error {
	whole, rest, err := joinZip(n, src)
	if err != nil {
		return err
	}
	zr, err := zip.NewReader(whole, whole.size)
	if (err != nil || len(zr.File) == 0) && isZipDirectoryEncrypted(whole, whole.size) {
		return fault(ReasonUnsupportedMethod, "the directory is encrypted (APPNOTE.TXT 7.3), which nothing here decrypts")
	}
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return err
	}
	n.names = x.names.prior(storedNames(zr.File))
	if err := x.claimBase(n); err != nil {
		return err
	}
	if err := x.readZipFiles(ctx, n, whole, zr.File); err != nil {
		return err
	}
	return rest
}

// joinZip returns a zip archive as one file, and a warning if something does not belong to it.
func joinZip(n *layer, src *source) (whole *joined, rest, err error) {
	if n.set.Style == ZipVolumes && len(src.volumes) > 1 {
		whole, spare, err := openZipVolumes(n.set, src.volumes)
		if len(spare) > 0 {
			rest = fault(ReasonTrailingData, "the volume %q is not part of the archive", printable(spare[0].name))
		}
		return whole, rest, err
	}
	end, ok := findZipEnd(src, src.size, zipCommentMax)
	switch {
	case !ok && isFirstZipVolume(src), ok && end.volume != 0 && end.volume != math.MaxUint16:
		return nil, nil, loneVolume(n.name).missing()
	case !ok:
		return nil, nil, fault(ReasonTruncated, "the directory at the end of the zip archive is missing")
	case end.rest > 0:
		rest = errTrailing
	}
	return src.joined, rest, nil
}

func isFirstZipVolume(r io.ReaderAt) bool {
	mark := make([]byte, 4)
	_, _ = r.ReadAt(mark, 0)
	return string(mark) == "PK\x07\x08"
}

// zipFile is an entry that got a path.
type zipFile struct {
	*zip.File
	member *member
	local  int64  // where its local header begins; -1 = unknown
	note   string // what that says otherwise
}

// readZipFiles gives all entries their paths in the order of the archive, then reads them, several at once. Neighbours are
// read together: they mostly lie in one directory, where only one file can be created at a time.
func (x *extraction) readZipFiles(ctx context.Context, n *layer, whole *joined, files []*zip.File) error {
	admitted, limit := x.admitZip(ctx, n, whole, files)
	passwords := &zipPasswords{passwords: x.request.Passwords}
	const together = 32
	read := func(group int) error {
		for i := group * together; i < min((group+1)*together, len(admitted)); i++ {
			f := &admitted[i]
			if err := x.keep(ctx, f.member, x.readZipFile(ctx, whole, f, passwords)); err != nil {
				return err
			}
		}
		return nil
	}
	groups := (len(admitted) + together - 1) / together
	spread := x.spread
	if !x.budget.fits(declared(admitted)) { // what is kept must not depend on which entry is faster
		spread = inTurn
	}
	err := spread(groups, read)
	n.detail = contradictions(admitted)
	return cmp.Or(err, limit)
}

// contradictions tells of entries of which the local headers and the directory say different things. The directory counts.
func contradictions(files []zipFile) string {
	count, first := 0, zipFile{}
	for _, f := range files {
		if f.note != "" {
			if count++; count == 1 {
				first = f
			}
		}
	}
	if count == 0 {
		return ""
	}
	return fmt.Sprintf("of %d entries the local header says otherwise than the directory, which counts; the first is %q (%s)",
		count, first.member.name, first.note)
}

func (x *extraction) readZipFile(ctx context.Context, whole *joined, f *zipFile, passwords *zipPasswords) error {
	if f.local >= 0 {
		f.note, _ = localDifference(whole, f.local, f.File) // an error will come again
	}
	receive := func(open func() (io.ReadCloser, error)) error { return x.receive(ctx, f.member, open, x.now) }
	if isZipEncrypted(f.File) {
		return passwords.decrypt(f.File, x.zipDecompressor(f.File), receive)
	}
	return receive(func() (io.ReadCloser, error) { return x.openZip(whole, f.File) })
}

// inTurn is extraction.spread on one goroutine.
func inTurn(count int, work func(i int) error) error {
	for i := range count {
		if err := work(i); err != nil {
			return err
		}
	}
	return nil
}

func declared(files []zipFile) []uint64 {
	sizes := make([]uint64, len(files))
	for i, f := range files {
		sizes[i] = f.UncompressedSize64
	}
	return sizes
}

// admitZip returns the entries to be read, and the limit that was hit, if one was.
func (x *extraction) admitZip(ctx context.Context, n *layer, whole *joined, files []*zip.File) ([]zipFile, error) {
	var admitted []zipFile
	overlapping := overlaps(files, whole.size)
	offsets := zipHeaderOffsets(whole, whole.size)
	for i, file := range files {
		e := zipEntry(file)
		if overlapping[file] {
			e.refuse = fault(ReasonOverlap, "its data are those of another entry")
		}
		m, err := x.admit(ctx, n, e)
		if err != nil {
			return admitted, err
		}
		if m != nil {
			f := zipFile{File: file, member: m, local: -1}
			if len(offsets) == len(files) {
				f.local = offsets[i]
			}
			admitted = append(admitted, f)
		}
	}
	return admitted, nil
}

func storedNames(files []*zip.File) []string {
	names := make([]string, len(files))
	for i, file := range files {
		names[i] = file.Name
	}
	return names
}

func zipEntry(file *zip.File) entry {
	const utf8Names = 1 << 11 // APPNOTE.TXT 4.4.4
	e := entry{name: file.Name, text: unicodePath(file), modTime: file.Modified}
	if e.text == "" && file.Flags&utf8Names != 0 && utf8.ValidString(file.Name) {
		e.text = file.Name
	}
	mode := file.Mode()
	switch {
	case strings.HasSuffix(strings.ReplaceAll(file.Name, `\`, "/"), "/"), mode.IsDir():
		e.kind = directory
	case mode&fs.ModeType != 0:
		e.kind = special
	}
	return e
}

// unicodePath returns the name that Info-ZIP stores in UTF-8 beside one in the charset of the machine, if it belongs to
// the name that stands there (APPNOTE.TXT 4.6.9).
func unicodePath(file *zip.File) string {
	const id, fixed = 0x7075, 5 // version and checksum of the name
	for extra := file.Extra; len(extra) >= 4; {
		tag, size := binary.LittleEndian.Uint16(extra), int(binary.LittleEndian.Uint16(extra[2:]))
		if extra = extra[4:]; size > len(extra) {
			return ""
		}
		field := extra[:size]
		extra = extra[size:]
		if tag != id || size <= fixed || field[0] != 1 {
			continue
		}
		text := string(field[fixed:])
		if binary.LittleEndian.Uint32(field[1:]) == crc32.ChecksumIEEE([]byte(file.Name)) && utf8.ValidString(text) {
			return text
		}
	}
	return ""
}
