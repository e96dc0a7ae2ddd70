package activities

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"talon/config"
	"talon/internal/archive"
	"talon/internal/warehouse"
)

// Eagle holds the activities of the extracting role. It knows no FTP server and no catalog.
type Eagle struct {
	Config    *config.Config // with resolved archive passwords
	Warehouse *warehouse.Warehouse
	Host      string // shown as the host of an archive's result
	Boot      string
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
	var result Deliveries
	for _, ref := range in.Batch.Archives {
		delivery, ok := finished[ref.ID]
		if !ok {
			var err error
			if delivery, err = e.deliver(ctx, in, ref, beat); err != nil {
				return Deliveries{}, Classify(err)
			}
			beat.delivered(ctx, delivery)
		}
		result.Archives = append(result.Archives, delivery)
	}
	return result, nil
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
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		delivery.Reason, delivery.Detail = reasonMissing, "the archive is no longer in the zip warehouse"
		return delivery, nil
	}
	delivery.Dir = path.Join(decompressionStage(in.Decompression), attemptName(ctx, ref.ID))
	dest, err := e.Warehouse.MakeStagedDir(path.Join(delivery.Dir, deliveredTree))
	if err != nil {
		return delivery, err
	}
	report, err := archive.Extract(ctx, archive.Request{
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
