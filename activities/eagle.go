package activities

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"talon/config"
	"talon/internal/archive"
	"talon/internal/warehouse"
)

// Eagle holds the activities of the extracting role. It knows no FTP server and no catalog.
type Eagle struct {
	Config    *config.Config // with resolved archive passwords
	Warehouse *warehouse.Warehouse
	Extractor Extractor
	Host      string // shown as the host of an archive's result
	Boot      string
}

// Extractor opens archives as archive.Extract does. Its methods may be called from several goroutines; it decides how many are at work.
type Extractor interface {
	Extract(ctx context.Context, request archive.Request) (archive.Report, error)
}

// EagleScratch holds a directory in the stage for what an eagle's extractor has in hand; release removes it. What eagles of this host that
// died have left there goes first; what those of other hosts have left the janitor removes when it is old enough.
func EagleScratch(house *warehouse.Warehouse, host string) (dir string, release func() error, err error) {
	const stage = "eagle"
	prefix := slug(host) + "-"
	if _, err := house.RemoveAbandoned(stage, prefix); err != nil {
		return "", nil, err
	}
	return house.HoldStagedDir(path.Join(stage, prefix+rand.Text()[:10]))
}

// ExtractArchives extracts a batch into the stage, one delivery per archive, below a prefix of this attempt alone. What an earlier attempt had
// finished is taken over from its checkpoint when it is still there. What is wrong with an archive's contents is data in its delivery; an error
// is returned only where another attempt may help.
func (e *Eagle) ExtractArchives(ctx context.Context, in ExtractInput) (Deliveries, error) {
	checkpoint := lastCheckpoint(ctx)
	beat := startProgress(ctx, Checkpoint{Delivered: e.stillThere(checkpoint.Delivered)})
	defer beat.stop()
	finished := make(map[int64]Delivery)
	for _, delivery := range beat.snapshot().Delivered {
		finished[delivery.ID] = delivery
	}
	deliveries := make([]Delivery, len(in.Batch.Archives))
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var running sync.WaitGroup
	var telling sync.Mutex // an older checkpoint must not come after a newer one
	for i, ref := range in.Batch.Archives {
		delivery, ok := finished[ref.ID]
		if ok {
			deliveries[i] = delivery
			continue
		}
		running.Go(func() {
			delivery, err := e.deliver(ctx, in, ref, beat)
			if err != nil {
				stop(err) // another attempt does the rest
				return
			}
			deliveries[i] = delivery
			telling.Lock()
			defer telling.Unlock()
			beat.delivered(ctx, delivery)
		})
	}
	running.Wait()
	if err := context.Cause(ctx); err != nil {
		return Deliveries{}, Classify(err)
	}
	return Deliveries{Archives: deliveries}, nil
}

// stillThere keeps the deliveries of an earlier attempt whose manifests are unharmed: a checkpoint is a hint, the stage is the truth.
func (e *Eagle) stillThere(delivered []Delivery) []Delivery {
	var kept []Delivery
	for _, d := range delivered {
		content, err := e.Warehouse.ReadStaged(path.Join(d.Dir, deliveredManifest), maxManifest)
		if d.Dir != "" && err == nil && hashOf(content) == d.Manifest {
			kept = append(kept, d)
		}
	}
	return kept
}

// deliver extracts one archive into the stage, its manifest last.
func (e *Eagle) deliver(ctx context.Context, in ExtractInput, ref ArchiveRef, beat *progress) (Delivery, error) {
	delivery := Delivery{ID: ref.ID, Host: e.Host, Boot: e.Boot, Start: time.Now()}
	file := filepath.Join(in.ZipDir, filepath.FromSlash(ref.Path))
	if _, err := os.Stat(in.ZipDir); err != nil { // not mounted on this host: nothing is known of the archive
		return delivery, fmt.Errorf("%w: %w", archive.ErrSource, err)
	}
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		delivery.Reason, delivery.Detail = reasonMissing, "the archive is no longer in the zip warehouse"
		return delivery, nil
	}
	delivery.Dir = path.Join(decompressionStage(in.Decompression), attemptName(ctx, ref.ID))
	dest, err := e.Warehouse.MakeStagedDir(path.Join(delivery.Dir, deliveredTree))
	if err != nil {
		return delivery, err
	}
	report, err := e.Extractor.Extract(ctx, archive.Request{
		Archive: file, Name: ref.Path, Dest: dest, Limits: EngineLimits(e.Config.Extract.Limits), Passwords: e.passwords(ref),
		Encodings: e.Config.Extract.Encodings, Progress: beat.bytes,
	})
	if err != nil {
		_, removeErr := e.Warehouse.RemoveStaged(delivery.Dir)
		return delivery, errors.Join(fmt.Errorf("extract %s: %w", ref.Path, err), removeErr)
	}
	delivery.Manifest, err = e.writeManifest(delivery.Dir, report)
	return delivery, err
}

// reasonMissing: the archive vanished between collection and extraction.
const reasonMissing = "archive_missing"

func (e *Eagle) writeManifest(dir string, report archive.Report) (sum string, err error) {
	content, err := json.Marshal(report)
	if err != nil {
		return "", err
	}
	file, err := e.Warehouse.CreateStaged(path.Join(dir, deliveredManifest))
	if err != nil {
		return "", err
	}
	if _, err := file.Write(content); err != nil {
		return "", errors.Join(err, file.Discard())
	}
	written, err := file.Close()
	return written.SHA256, err
}

func hashOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// EngineLimits are the configured limits as the extraction engine takes them.
func EngineLimits(l config.Limits) archive.Limits {
	return archive.Limits{
		Depth: l.Depth, ArchiveEntries: l.ArchiveEntries, TreeEntries: l.TreeEntries, TreeBytes: int64(l.TreeBytes),
		FileBytes: int64(l.FileBytes), Ratio: l.Ratio, RatioArmedAt: int64(l.RatioArmedAt), DictionaryBytes: int64(l.DictionaryBytes),
		FreeSpace: int64(l.FreeSpace), MemoryBytes: int64(l.MemoryBytes), LayerTime: l.LayerTime, TreeTime: l.TreeTime, IdleTime: l.IdleTime,
	}
}

// passwords are those of the server that the archive came from, as its path in the zip warehouse says, and those for all.
func (e *Eagle) passwords(ref ArchiveRef) []string {
	server, _, _ := strings.Cut(ref.Path, "/")
	return e.Config.ArchivePasswords(server)
}
