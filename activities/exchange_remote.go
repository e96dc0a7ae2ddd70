package activities

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"unicode"

	"talon/internal/archive"
	"talon/internal/bundle"
	"talon/internal/objectstore"
	"talon/internal/warehouse"
)

// ObjectStore is what an eagle without tiger's disk needs of one: never a list, a deletion or a change.
type ObjectStore interface {
	Fetch(ctx context.Context, object objectstore.Object, size int64, sha256 string, file *os.File, progress func(int64)) (string, error)
	Put(ctx context.Context, object objectstore.Object, content io.ReaderAt, size int64, progress func(int64)) error
	Stat(ctx context.Context, object objectstore.Object) (size int64, err error)
	Check(ctx context.Context, bucket string) error
}

// mostTransfers is how many objects of one eagle are on their way at a time: enough to fill a line with small ones.
const mostTransfers = 16

// Remote is the Exchange of an eagle that reaches tiger's host through an object store alone.
type Remote struct {
	store           ObjectStore
	archives, stage string // buckets
	scratch         string // absolute; nobody else's
	transfers       chan struct{}
	writers         chan *bundle.Writer
}

// NewRemote returns a Remote that keeps what it has in hand in scratch, a directory of this process alone.
func NewRemote(store ObjectStore, archives, stage, scratch string) (*Remote, error) {
	r := &Remote{
		store: store, archives: archives, stage: stage, scratch: scratch,
		transfers: make(chan struct{}, mostTransfers), writers: make(chan *bundle.Writer, runtime.NumCPU()),
	}
	for range cap(r.writers) {
		writer, err := bundle.NewWriter()
		if err != nil {
			return nil, err
		}
		r.writers <- writer
	}
	return r, nil
}

// Fetch implements Exchange: the archive and its volumes are copied into a directory of their own.
func (r *Remote) Fetch(ctx context.Context, in ExtractInput, ref ArchiveRef, progress func(int64)) (Fetched, error) {
	if in.ZipKey == "" {
		return Fetched{}, fmt.Errorf("%w: %s is outside of the zip warehouse, which is all that this eagle can read through the object store; "+
			"move the archives into a directory of the zip warehouse, or run an eagle on tiger's host", errOutOfReach, in.ZipDir)
	}
	dir, err := os.MkdirTemp(r.scratch, "archive-")
	if err != nil {
		return Fetched{}, fmt.Errorf("%w: %w", archive.ErrDestination, err)
	}
	fetched := Fetched{Archive: filepath.Join(dir, path.Base(ref.Path)), Release: func() error { return os.RemoveAll(dir) }}
	key := path.Join(in.ZipKey, ref.Path)
	err = r.fetch(ctx, key, ref.Size, ref.SHA256, fetched.Archive, progress)
	for i := 0; i < len(ref.Volumes) && err == nil; i++ {
		volume := ref.Volumes[i]
		err = r.fetch(ctx, path.Join(path.Dir(key), volume.Name), volume.Size, "", filepath.Join(dir, path.Base(volume.Name)), progress)
	}
	if err != nil {
		return Fetched{}, errors.Join(err, fetched.Release())
	}
	return fetched, nil
}

func (r *Remote) fetch(ctx context.Context, key string, size int64, sum, to string, progress func(int64)) error {
	object := objectstore.Object{Bucket: r.archives, Key: key}
	err := object.Check()
	if err == nil && strings.ContainsFunc(key, unicode.IsControl) { // as package gateway has it
		err = fmt.Errorf("%q holds a control character: rename the file", key)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errOutOfReach, err)
	}
	release, err := r.enter(ctx)
	if err != nil {
		return err
	}
	defer release()
	file, err := os.OpenFile(to, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("%w: %w", archive.ErrDestination, err)
	}
	_, err = r.store.Fetch(ctx, object, size, sum, file, progress)
	switch {
	case errors.Is(err, objectstore.ErrNotFound):
		err = fmt.Errorf("%w: %w", errGone, err)
	case objectstore.IsAnswer(err) && !errors.Is(err, objectstore.ErrDamaged) && r.store.Check(ctx, r.archives) == nil:
		err = fmt.Errorf("%w: %v", archive.ErrSource, err) // others can be had: it is no outage, and must not be taken for one
	}
	return errors.Join(err, file.Close())
}

// enter waits for a turn to use the line.
func (r *Remote) enter(ctx context.Context) (release func(), err error) {
	select {
	case r.transfers <- struct{}{}:
		return func() { <-r.transfers }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Prepare implements Exchange.
func (r *Remote) Prepare(decompression, name string) (Parcel, error) {
	p := &bundledParcel{remote: r, key: newBundle(decompression, name), dir: filepath.Join(r.scratch, "parcel-"+name+"-"+rand.Text()[:6])}
	if err := os.MkdirAll(p.Dir(), 0o700); err != nil {
		return nil, fmt.Errorf("%w: %w", archive.ErrDestination, err)
	}
	return p, nil
}

// Holds implements Exchange. What the bundle holds tiger finds out.
func (r *Remote) Holds(ctx context.Context, delivery Delivery) (bool, error) {
	if delivery.Bundle == "" {
		return delivery.Dir == "", nil // the delivery says why there is nothing
	}
	_, err := r.store.Stat(ctx, objectstore.Object{Bucket: r.stage, Key: delivery.Bundle})
	if errors.Is(err, objectstore.ErrUnavailable) {
		return false, err
	}
	return err == nil, nil
}

// bundledParcel is a directory that becomes an object.
type bundledParcel struct {
	remote   *Remote
	key, dir string
}

func (p *bundledParcel) Dir() string { return filepath.Join(p.dir, deliveredTree) }

func (p *bundledParcel) Deliver(ctx context.Context, report archive.Report, delivery *Delivery, progress func(int64)) error {
	manifest, err := json.Marshal(report)
	if err != nil {
		return err
	}
	packed, err := os.OpenFile(filepath.Join(p.dir, "bundle"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("%w: %w", archive.ErrDestination, err)
	}
	defer packed.Close() //nolint:errcheck // it is of no further use
	size, err := p.pack(ctx, packed, manifest, report, progress)
	if err != nil {
		return fmt.Errorf("%w: %w", archive.ErrDestination, err)
	}
	if err := os.RemoveAll(p.Dir()); err != nil { // the line may be slow, and others want the room
		return fmt.Errorf("%w: %w", archive.ErrDestination, err)
	}
	release, err := p.remote.enter(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := p.remote.store.Put(ctx, objectstore.Object{Bucket: p.remote.stage, Key: p.key}, packed, size, progress); err != nil {
		return err
	}
	delivery.Bundle, delivery.Manifest, delivery.Bytes = p.key, hashOf(manifest), report.Bytes
	return nil
}

// pack writes the bundle into a file first: an object's size must be known before its first byte is sent.
func (p *bundledParcel) pack(
	ctx context.Context, to *os.File, manifest []byte, report archive.Report, progress func(int64),
) (size int64, err error) {
	tree, err := os.OpenRoot(p.Dir())
	if err != nil {
		return 0, err
	}
	defer tree.Close() //nolint:errcheck // nothing was written
	descent := warehouse.NewDescent(tree)
	defer descent.Close() //nolint:errcheck // nothing was written
	files := make([]bundle.File, len(report.Files))
	for i, file := range report.Files {
		files[i] = bundle.File{Path: file.Path, Size: file.Size}
	}
	select {
	case writer := <-p.remote.writers:
		defer func() { p.remote.writers <- writer }()
		if err := writer.Write(to, manifest, descent, files, progress); err != nil {
			return 0, err
		}
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	info, err := to.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (p *bundledParcel) Discard() error { return os.RemoveAll(p.dir) }
