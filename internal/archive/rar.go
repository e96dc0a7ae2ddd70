package archive

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"unicode/utf8"

	"github.com/nwaples/rardecode/v2"
)

// readRar reads a RAR archive with the decoder below archiver.Rar, which gives no way to bound the dictionary: 4 GiB.
func (x *extraction) readRar(ctx context.Context, n *layer, src *joined) error {
	rr, err := x.openRar(ctx, n, src)
	if err != nil {
		return err
	}
	if err := x.claimBase(n); err != nil {
		return err
	}
	for {
		header, err := rr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := x.take(ctx, n, rarEntry(rr, header)); err != nil {
			return err
		}
	}
}

// openRar opens the archive with the first password that fits, the first try being none. If none fits, the entries say so.
func (x *extraction) openRar(ctx context.Context, n *layer, src *joined) (*rarSet, error) {
	plain, err := x.newRar(n, src, nil)
	if len(x.request.Passwords) == 0 {
		return plain, err
	}
	needed := err
	if needed == nil {
		needed = x.tryRar(ctx, n, src, nil)
	}
	if !isEncrypted(needed) {
		return plain, err
	}
	for _, password := range x.request.Passwords {
		if x.tryRar(ctx, n, src, &password) == nil {
			return x.newRar(n, src, &password)
		}
	}
	return plain, err
}

func (x *extraction) newRar(n *layer, src *joined, password *string) (*rarSet, error) {
	options := []rardecode.Option{rardecode.MaxDictionarySize(x.limits.DictionaryBytes)}
	if password != nil {
		options = append(options, rardecode.Password(*password))
	}
	set := n.set
	if set.Style == "" {
		set = loneVolume(n.name) // only its headers tell whether it is one of several
	}
	return openRarSet(set, src.volumes, options...)
}

// tryRar reads the first encrypted file: only its checksum proves a password.
func (x *extraction) tryRar(ctx context.Context, n *layer, src *joined, password *string) (err error) {
	defer shield(&err) // it may be only this password that the decoder panics of
	rr, err := x.newRar(n, src, password)
	if err != nil {
		return err
	}
	for {
		header, err := rr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if header.Encrypted && !header.IsDir {
			return x.trial(ctx, rr)
		}
	}
}

// trial reads a file whose content nobody wants yet.
func (x *extraction) trial(ctx context.Context, r io.Reader) error {
	buffer := x.buffers.get()
	defer x.buffers.put(buffer)
	for left := x.limits.FileBytes; left > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		count, err := r.Read(buffer)
		if left -= int64(count); err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func rarEntry(rr *rarSet, header *rardecode.FileHeader) entry {
	e := entry{
		name: header.Name, target: header.LinkTarget, modTime: header.ModificationTime,
		open: func() (io.ReadCloser, error) { return io.NopCloser(rr), nil },
	}
	if utf8.ValidString(header.Name) { // RAR stores Unicode beside, or instead of, the charset of the machine
		e.text = header.Name
	}
	switch {
	case header.LinkType == rardecode.LinkTypeHardLink, header.LinkType == rardecode.LinkTypeFileCopy:
		e.kind = link
	case header.LinkType != rardecode.LinkTypeNone, header.Mode()&fs.ModeSymlink != 0:
		e.kind = special
	case header.IsDir:
		e.kind = directory
	}
	return e
}
