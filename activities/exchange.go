package activities

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"talon/internal/archive"
	"talon/internal/warehouse"
)

// Exchange is how an eagle gets at archives and hands over what it extracted. Its methods may be called from several goroutines.
type Exchange interface {
	// Fetch makes an archive, and the further volumes of its set, files of this host. errGone: it is not in the zip directory any more.
	// errOutOfReach: this eagle cannot get at it, nor will it ever.
	Fetch(ctx context.Context, in ExtractInput, ref ArchiveRef, progress func(bytes int64)) (Fetched, error)
	// Prepare makes an empty directory for what an attempt extracts from one archive; name is that attempt's alone.
	Prepare(decompression, name string) (Parcel, error)
	// Holds tells whether an earlier attempt's delivery is still there: a checkpoint is a hint, tiger's stage is the truth. An error says that
	// tiger's stage cannot be reached, and that it is of no use to ask for others.
	Holds(ctx context.Context, delivery Delivery) (bool, error)
}

// Fetched is an archive on this host.
type Fetched struct {
	Archive string
	Release func() error // removes what was made for it
}

// Parcel is what an attempt extracts from one archive, on its way to tiger.
type Parcel interface {
	// Dir is the absolute path of the directory to extract into.
	Dir() string
	// Deliver hands over the directory with the engine's report and fills in where they are. Not before that anything of it counts.
	Deliver(ctx context.Context, report archive.Report, delivery *Delivery, progress func(bytes int64)) error
	// Discard removes what Prepare made, or what is left of it after Deliver.
	Discard() error
}

// Errors of Fetch, which no other attempt mends.
var (
	errGone       = errors.New("the archive is no longer in the zip warehouse")
	errOutOfReach = errors.New("out of this eagle's reach")
)

// Reasons of archives that an eagle could not even read.
const (
	reasonMissing    = "archive_missing" // it vanished between collection and extraction
	reasonOutOfReach = "out_of_reach"
)

// SharedDisk is the Exchange of an eagle that sees tiger's warehouse, as a disk of its host or through a mount.
type SharedDisk struct {
	Warehouse *warehouse.Warehouse
}

// Fetch implements Exchange: the archive is where it is.
func (s SharedDisk) Fetch(_ context.Context, in ExtractInput, ref ArchiveRef, _ func(int64)) (Fetched, error) {
	file := filepath.Join(in.ZipDir, filepath.FromSlash(ref.Path))
	if _, err := os.Stat(in.ZipDir); err != nil { // not mounted on this host: nothing is known of the archive
		return Fetched{}, fmt.Errorf("%w: %w", archive.ErrSource, err)
	}
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		return Fetched{}, errGone
	}
	return Fetched{Archive: file, Release: func() error { return nil }}, nil
}

// Prepare implements Exchange.
func (s SharedDisk) Prepare(decompression, name string) (Parcel, error) {
	rel := path.Join(decompressionStage(decompression), name)
	dir, err := s.Warehouse.MakeStagedDir(path.Join(rel, deliveredTree))
	return &stagedParcel{house: s.Warehouse, rel: rel, dir: dir}, err
}

// Holds implements Exchange.
func (s SharedDisk) Holds(_ context.Context, delivery Delivery) (bool, error) {
	if delivery.Dir == "" {
		return false, nil
	}
	content, err := s.Warehouse.ReadStaged(path.Join(delivery.Dir, deliveredManifest), maxManifest)
	return err == nil && hashOf(content) == delivery.Manifest, nil
}

// stagedParcel is a directory of the stage: tree/ with the files, and at last manifest.json.
type stagedParcel struct {
	house     *warehouse.Warehouse
	rel, dir  string
	delivered bool
}

func (p *stagedParcel) Dir() string { return p.dir }

func (p *stagedParcel) Deliver(_ context.Context, report archive.Report, delivery *Delivery, _ func(int64)) error {
	content, err := json.Marshal(report)
	if err != nil {
		return err
	}
	file, err := p.house.CreateStaged(path.Join(p.rel, deliveredManifest))
	if err != nil {
		return err
	}
	if _, err := file.Write(content); err != nil {
		return errors.Join(err, file.Discard())
	}
	written, err := file.Close()
	if err != nil {
		return err
	}
	p.delivered = true
	delivery.Dir, delivery.Manifest, delivery.Bytes = p.rel, written.SHA256, report.Bytes
	return nil
}

func (p *stagedParcel) Discard() error {
	if p.delivered {
		return nil
	}
	_, err := p.house.RemoveStaged(p.rel)
	return err
}

// EagleScratch holds a directory in a stage for what an eagle has in hand; release removes it. What eagles of this host that died have
// left there goes first; what those of other hosts have left in tiger's stage the janitor removes when it is old enough.
func EagleScratch(stage *warehouse.Stage, host string) (dir string, release func() error, err error) {
	const parent = "eagle"
	prefix := slug(host) + "-"
	if _, err := stage.RemoveAbandoned(parent, prefix); err != nil {
		return "", nil, err
	}
	return stage.HoldStagedDir(path.Join(parent, prefix+rand.Text()[:10]))
}
