package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"
	"unicode/utf8"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"talon/internal/archive"
	"talon/internal/bundle"
	"talon/internal/pathname"
	"talon/internal/warehouse"
)

// receipt is a delivery as tiger has it: in its stage, with the engine's report. The zero receipt is that of a delivery without files.
type receipt struct {
	report   archive.Report
	dir      string // relative to the stage: the files are in dir/tree
	suspect  bool   // the files have not been read on this host yet
	unpacked bool   // dir is this attempt's own
	err      error  // warehouse.ErrDamaged or ErrLost: to be extracted again
}

// firstTryBytes is what a local activity may read of deliveries: its time is short, and what it had done by then would be done again.
const firstTryBytes = 256 << 20

// receiveAll takes deliveries in, and after an error returns those it had. An error is returned only where another attempt may help.
func (t *Tiger) receiveAll(ctx context.Context, in SealInput, progress func(int64)) ([]receipt, error) {
	if toRead := t.unread(in); toRead > firstTryBytes && activity.GetInfo(ctx).IsLocalActivity {
		return nil, temporal.NewApplicationError(fmt.Sprintf("%d bytes are too much for a first try", toRead), TooMuchForFirstTry)
	}
	received := make([]receipt, len(in.Deliveries))
	var done int64
	for i, delivery := range in.Deliveries {
		got, err := t.receive(ctx, in, delivery, func(n int64) { progress(done + n) })
		if mustRepeat(err) {
			got.err = err
		} else if err != nil {
			return received, err
		}
		received[i] = got
		done += got.report.Bytes
	}
	return received, nil
}

// unread is how many bytes of the deliveries no process of this host has read, as eagle says.
func (t *Tiger) unread(in SealInput) (bytes int64) {
	for _, delivery := range in.Deliveries {
		if delivery.Bundle != "" || delivery.Boot != t.Boot {
			bytes += delivery.Bytes
		}
	}
	return bytes
}

func (t *Tiger) receive(ctx context.Context, in SealInput, delivery Delivery, progress func(int64)) (receipt, error) {
	switch {
	case delivery.Bundle != "":
		return t.unpack(ctx, in, delivery, progress)
	case delivery.Dir == "" && delivery.Reason == reasonMissing:
		return receipt{}, t.confirmMissing(ctx, delivery)
	case delivery.Dir == "":
		return receipt{}, nil
	case path.Dir(delivery.Dir) != decompressionStage(in.Decompression) || path.Clean(delivery.Dir) != delivery.Dir:
		return receipt{}, fmt.Errorf("%w: archive %d was delivered into a directory of others", warehouse.ErrDamaged, delivery.ID)
	}
	content, err := t.Warehouse.ReadStaged(path.Join(delivery.Dir, deliveredManifest), maxManifest)
	if err != nil {
		return receipt{}, lostIfGone(err)
	}
	// Bytes that came from another host are hashed again.
	got := receipt{dir: delivery.Dir, suspect: delivery.Boot != t.Boot || t.Boot == ""}
	got.report, err = readReport(content, delivery)
	return got, err
}

// errUnseen: an eagle looks at other directories than tiger does.
var errUnseen = errors.New("eagle does not see the archive, which is there")

// confirmMissing believes an eagle that an archive is gone if it is gone.
func (t *Tiger) confirmMissing(ctx context.Context, delivery Delivery) error {
	row, err := t.Catalog.Archive(ctx, delivery.ID)
	if err != nil || !utf8.ValidString(row.Path) { // of the latter eagle was told another name
		return err
	}
	file := filepath.Join(row.ZipDir, filepath.FromSlash(row.Path))
	if _, err := os.Stat(file); err == nil {
		return fmt.Errorf("%w: %w: %s: does the gateway, or the mount on %s, show tiger's zip warehouse?", warehouse.ErrLost, errUnseen, file, delivery.Host)
	}
	return nil
}

func lostIfGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", warehouse.ErrLost, err)
	}
	return err
}

// readReport returns the engine's report, checked against the hash that came through Temporal.
func readReport(manifest []byte, delivery Delivery) (archive.Report, error) {
	var report archive.Report
	if hashOf(manifest) != delivery.Manifest {
		return report, fmt.Errorf("%w: manifest of archive %d has another hash than eagle said", warehouse.ErrDamaged, delivery.ID)
	}
	if err := json.Unmarshal(manifest, &report); err != nil {
		return report, fmt.Errorf("%w: manifest of archive %d: %v", warehouse.ErrDamaged, delivery.ID, err)
	}
	return report, nil
}

// unpack brings the files of a bundle into the stage, under a name of this attempt alone, and compares each with the manifest.
func (t *Tiger) unpack(ctx context.Context, in SealInput, delivery Delivery, progress func(int64)) (got receipt, err error) {
	if !ownsBundle(in.Decompression, delivery.Bundle) {
		return got, fmt.Errorf("%w: archive %d was delivered as a bundle of others", warehouse.ErrDamaged, delivery.ID)
	}
	packed, err := t.Warehouse.OpenStaged(path.Join(bundleStage, delivery.Bundle))
	if err != nil {
		return got, lostIfGone(err)
	}
	defer packed.Close() //nolint:errcheck // nothing was written
	reader, err := bundle.NewReader(packed, maxManifest)
	if err != nil {
		return got, damagedIfUntrue(err)
	}
	defer reader.Close()
	if got.report, err = readReport(reader.Manifest(), delivery); err != nil {
		return got, err
	}
	if err := t.bearable(got.report); err != nil {
		return receipt{}, err
	}
	got.dir = path.Join(decompressionStage(in.Decompression), "received-"+attemptName(ctx, delivery.ID))
	got.unpacked = true
	if err := t.unpackFiles(ctx, reader, got, progress); err != nil {
		_, removeErr := t.Warehouse.RemoveStaged(got.dir)
		return receipt{}, errors.Join(damagedIfUntrue(err), removeErr)
	}
	return got, nil
}

// bearable refuses a report that no extraction within the limits makes, before its files fill the disk, and waits where there is no room
// for them now. An eagle that was taken over may send anything.
func (t *Tiger) bearable(report archive.Report) error {
	limits := EngineLimits(t.Config.Extract.Limits).WithDefaults()
	var size int64
	for _, file := range report.Files {
		if file.Size < 0 || file.Size > limits.FileBytes || size > limits.TreeBytes-file.Size {
			return fmt.Errorf("%w: its files are larger than tiger's extract.limits allow (file_bytes %d, tree_bytes %d); eagle's must not be higher",
				warehouse.ErrDamaged, limits.FileBytes, limits.TreeBytes)
		}
		if len(file.Path) > pathname.MaxPath {
			return fmt.Errorf("%w: a path has %d bytes", warehouse.ErrDamaged, len(file.Path))
		}
		size += file.Size
	}
	if len(report.Files) > limits.TreeEntries || size != report.Bytes || len(report.Files) != report.Received {
		return fmt.Errorf("%w: it counts its files wrong, or has more than tiger's extract.limits allow (tree_entries %d); eagle's must not be higher",
			warehouse.ErrDamaged, limits.TreeEntries)
	}
	return t.roomFor(size, limits.FreeSpace)
}

// roomFor waits where there is no room now, and refuses what there will never be room for. floor is what must stay free; 0: the engine's own,
// for the catalog lies on the same disk.
func (t *Tiger) roomFor(bytes, floor int64) error {
	disk, free, err := t.Warehouse.Space()
	if floor == 0 {
		floor = archive.DefaultFreeSpace(disk)
	}
	switch {
	case err != nil:
		return err
	case bytes > disk:
		return fmt.Errorf("%w: %d bytes to unpack, and tiger's disk has %d in all", warehouse.ErrDamaged, bytes, disk)
	case bytes > free-floor:
		return fmt.Errorf("%d bytes to unpack, %d free: %w", bytes, free, syscall.ENOSPC)
	}
	return nil
}

func (t *Tiger) unpackFiles(ctx context.Context, reader *bundle.Reader, got receipt, progress func(int64)) error {
	files := make([]bundle.File, len(got.report.Files))
	for i, file := range got.report.Files {
		files[i] = bundle.File{Path: file.Path, Size: file.Size}
	}
	var done int64
	tree, buffer := t.Warehouse.NewTree(path.Join(got.dir, deliveredTree)), make([]byte, copyBuffer)
	err := reader.Unpack(files, func(i int, content io.Reader) error {
		counted := &countingReader{ctx: ctx, from: content, done: done, progress: progress}
		err := unpackFile(tree, counted, got.report.Files[i], buffer)
		done = counted.done
		return err
	})
	return errors.Join(err, tree.Close())
}

// copyBuffer is one buffer for all files of a bundle: most are smaller than what io.Copy would allocate for each.
const copyBuffer = 256 << 10 // bytes

func unpackFile(tree *warehouse.StagedTree, content io.Reader, want archive.File, buffer []byte) error {
	staged, err := tree.Create(want.Path)
	if err != nil {
		return err
	}
	if _, err := io.CopyBuffer(staged, content, buffer); err != nil {
		return errors.Join(err, staged.Keep())
	}
	if err := staged.SetTime(want.ModTime); err != nil {
		return errors.Join(err, staged.Keep())
	}
	got, err := staged.Close()
	if err == nil && got != (warehouse.Identity{Size: want.Size, SHA256: want.SHA256}) {
		err = fmt.Errorf("%w: %q has SHA-256 %s", warehouse.ErrDamaged, want.Path, got.SHA256)
	}
	return err
}

// damagedIfUntrue tells what is wrong with a bundle, or with the names in it, from trouble of this host.
func damagedIfUntrue(err error) error {
	untrue := []error{
		bundle.ErrDamaged, warehouse.ErrOutside, fs.ErrExist, syscall.ENOTDIR, syscall.EISDIR, syscall.ENAMETOOLONG, syscall.EINVAL, syscall.EILSEQ,
	}
	for _, sign := range untrue {
		if errors.Is(err, sign) {
			return fmt.Errorf("%w: %w", warehouse.ErrDamaged, err)
		}
	}
	return err
}

// dropUnpacked removes what this attempt has unpacked and not published.
func (t *Tiger) dropUnpacked(received []receipt) (err error) {
	for _, got := range received {
		if got.unpacked {
			_, removeErr := t.Warehouse.RemoveStaged(got.dir)
			err = errors.Join(err, removeErr)
		}
	}
	return err
}

// removeBundles frees the room of bundles that are sealed, or are to come anew.
func (t *Tiger) removeBundles(in SealInput) error {
	for _, delivery := range in.Deliveries {
		if !ownsBundle(in.Decompression, delivery.Bundle) {
			continue
		}
		if _, err := t.Warehouse.RemoveStaged(path.Join(bundleStage, delivery.Bundle)); err != nil {
			return err
		}
	}
	return nil
}

// countingReader tells the heartbeat how far unpacking is, and ends with the attempt.
type countingReader struct {
	ctx      context.Context //nolint:containedctx // io.Reader has none
	from     io.Reader
	done     int64
	progress func(int64)
}

func (r *countingReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.from.Read(p)
	r.done += int64(n)
	r.progress(r.done)
	return n, err
}
