// Package bundle is the form in which what was extracted from one archive travels between hosts: a tar file (POSIX.1-2001,
// pax interchange format) compressed as one zstd stream (RFC 8878), with a manifest as its first entry and then the files that
// the manifest names, in its order. The reader believes nothing: what is not as the manifest says is ErrDamaged.
//
//	manifest.json        says which files follow: their paths, sizes and SHA-256
//	tree/<path>          the files
package bundle

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/klauspost/compress/zstd"
)

// ErrDamaged: a bundle is cut off, or does not hold what it should.
var ErrDamaged = errors.New("bundle is damaged")

const (
	manifestName = "manifest.json"
	treePrefix   = "tree/"
)

// window bounds the memory of either side: 1 MiB for the history, and a few buffers of that order.
const window = 1 << 20

// File is a regular file in a bundle.
type File struct {
	Path string // relative, with slashes
	Size int64  // bytes
}

// Writer writes bundles, one after the other: its buffers are worth keeping. It is for one goroutine.
type Writer struct {
	packer *zstd.Encoder
	buffer []byte // most files are smaller than what io.Copy would allocate for each
}

// copyBuffer is the size of that buffer, in bytes.
const copyBuffer = 256 << 10

// NewWriter returns a Writer.
func NewWriter() (*Writer, error) {
	packer, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(window),
		zstd.WithEncoderConcurrency(2)) // one compresses while the other takes what comes
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	return &Writer{packer, make([]byte, copyBuffer)}, nil
}

// Write writes a bundle of a manifest and of files that lie in tree. progress, if set, hears of the bytes of the files. A file
// that is not as long as it should be is an error: somebody else is at work in tree.
func (w *Writer) Write(to io.Writer, manifest []byte, tree fs.FS, files []File, progress func(int64)) error {
	w.packer.Reset(to)
	archive := tar.NewWriter(w.packer)
	err := writeEntry(archive, manifestName, int64(len(manifest)), func(to io.Writer) (int64, error) {
		n, err := to.Write(manifest)
		return int64(n), err
	})
	var written int64
	for i := 0; i < len(files) && err == nil; i++ {
		if err = w.writeFile(archive, tree, files[i]); err == nil && progress != nil {
			written += files[i].Size
			progress(written)
		}
	}
	if err = errors.Join(err, archive.Close(), w.packer.Close()); err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	return nil
}

func (w *Writer) writeFile(archive *tar.Writer, tree fs.FS, file File) error {
	opened, err := tree.Open(file.Path)
	if err != nil {
		return err
	}
	content := struct{ io.Reader }{opened} // os.File.WriteTo would not use the buffer
	err = writeEntry(archive, treePrefix+file.Path, file.Size, func(to io.Writer) (int64, error) { return io.CopyBuffer(to, content, w.buffer) })
	return errors.Join(err, opened.Close())
}

func writeEntry(archive *tar.Writer, name string, size int64, write func(io.Writer) (int64, error)) error {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, Format: tar.FormatPAX}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	written, err := write(archive)
	if err == nil && written != size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// Reader reads a bundle.
type Reader struct {
	unpacker *zstd.Decoder
	archive  *tar.Reader
	manifest []byte
}

// NewReader reads the manifest of a bundle, which may have at most limit bytes. The caller closes the Reader.
func NewReader(from io.Reader, limit int64) (*Reader, error) {
	unpacker, err := zstd.NewReader(from, zstd.WithDecoderMaxWindow(window), zstd.WithDecoderLowmem(true), zstd.WithDecoderConcurrency(2))
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	r := &Reader{unpacker: unpacker, archive: tar.NewReader(unpacker)}
	if err := r.readManifest(limit); err != nil {
		r.Close()
		return nil, fmt.Errorf("bundle: %w", err)
	}
	return r, nil
}

func (r *Reader) readManifest(limit int64) error {
	header, err := r.next(manifestName)
	if err != nil {
		return err
	}
	if header.Size > limit {
		return fmt.Errorf("%w: a manifest of %d bytes", ErrDamaged, header.Size)
	}
	r.manifest, err = io.ReadAll(r.archive)
	return damaged(err)
}

// Manifest is what the bundle says that it holds.
func (r *Reader) Manifest() []byte { return r.manifest }

// Unpack gives the files to keep, one after the other, each as a reader of File.Size bytes that keep need not read to the end.
// files are those of the manifest: any other file, another order or anything behind the last one is ErrDamaged.
func (r *Reader) Unpack(files []File, keep func(i int, content io.Reader) error) error {
	for i, file := range files {
		header, err := r.next(treePrefix + file.Path)
		if err == nil && header.Size != file.Size {
			err = fmt.Errorf("%w: %q has %d bytes instead of %d", ErrDamaged, file.Path, header.Size, file.Size)
		}
		if err == nil {
			err = keep(i, content{r.archive})
		}
		if err != nil {
			return fmt.Errorf("bundle: %w", err)
		}
	}
	if header, err := r.archive.Next(); err == nil {
		return fmt.Errorf("bundle: %w: %q is one file too many", ErrDamaged, header.Name)
	} else if !errors.Is(err, io.EOF) {
		return fmt.Errorf("bundle: %w", damaged(err))
	}
	// The checksum of the stream is at its very end, and there is nothing before it (a Writer pads no records).
	if rest, err := io.CopyN(io.Discard, r.unpacker, 1); rest > 0 {
		return fmt.Errorf("bundle: %w: something comes behind its end", ErrDamaged)
	} else if !errors.Is(err, io.EOF) {
		return fmt.Errorf("bundle: %w", damaged(err))
	}
	return nil
}

// next returns the header of the next entry, which must be the regular file of that name.
func (r *Reader) next(name string) (*tar.Header, error) {
	header, err := r.archive.Next()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("%w: %q is missing", damaged(err), name)
	}
	if header.Name != name || header.Typeflag != tar.TypeReg {
		return nil, fmt.Errorf("%w: %.200q in the place of %q", ErrDamaged, header.Name, name)
	}
	return header, nil
}

// Close releases the reader's buffers. What it reads from stays open.
func (r *Reader) Close() { r.unpacker.Close() }

// content tells errors of the bundle from those of whoever writes its files.
type content struct{ from io.Reader }

func (c content) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = damaged(err)
	}
	return n, err
}

func damaged(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}
