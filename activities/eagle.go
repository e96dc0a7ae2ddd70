package activities

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"talon/config"
	"talon/internal/archive"
)

// Eagle holds the activities of the extracting role. It knows no FTP server and no catalog.
type Eagle struct {
	Config    *config.Config // with resolved archive passwords
	Exchange  Exchange
	Extractor Extractor
	Host      string // shown as the host of an archive's result
	Boot      string
	Meter     Meter // is told what has become final; nil is nobody
}

// Extractor opens archives as archive.Extract does. Its methods may be called from several goroutines; it decides how many are at work.
type Extractor interface {
	Extract(ctx context.Context, request archive.Request) (archive.Report, error)
}

// ExtractArchives extracts a batch, one delivery per archive, under a name of this attempt alone. What an earlier attempt had
// finished is taken over from its checkpoint when it is still there. What is wrong with an archive's contents is data in its delivery; an error
// is returned only where another attempt may help.
func (e *Eagle) ExtractArchives(ctx context.Context, in ExtractInput) (Deliveries, error) {
	checkpoint := lastCheckpoint(ctx)
	beat := startProgress(ctx, checkpoint) // to ask a gateway that is away takes as long as a heartbeat may
	defer beat.stop()
	kept, err := e.stillThere(ctx, checkpoint.Delivered)
	if err != nil {
		return Deliveries{}, Classify(err)
	}
	beat.keep(kept)
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
			var delivery Delivery
			err := timed(e.Meter, StepExtract, func() (err error) {
				delivery, err = e.deliver(ctx, in, ref, beat)
				return err
			})
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
		return Deliveries{}, keepDelivered(Classify(err), beat.snapshot().Delivered)
	}
	return Deliveries{Archives: deliveries}, nil
}

// stillThere keeps the deliveries of an earlier attempt that are unharmed.
func (e *Eagle) stillThere(ctx context.Context, delivered []Delivery) (kept []Delivery, err error) {
	for _, d := range delivered {
		held, err := e.Exchange.Holds(ctx, d)
		if err != nil {
			return nil, err
		}
		if held {
			kept = append(kept, d)
		}
	}
	return kept, nil
}

// deliver extracts one archive and hands over what was in it.
func (e *Eagle) deliver(ctx context.Context, in ExtractInput, ref ArchiveRef, beat *progress) (delivery Delivery, err error) {
	delivery = Delivery{ID: ref.ID, Host: e.Host, Boot: e.Boot, Start: time.Now()}
	fetched, err := e.Exchange.Fetch(ctx, in, ref, beat.count)
	switch {
	case errors.Is(err, errGone):
		delivery.Reason, delivery.Detail = reasonMissing, err.Error()
		return delivery, nil
	case errors.Is(err, errOutOfReach):
		delivery.Reason, delivery.Detail = reasonOutOfReach, err.Error()
		return delivery, nil
	case err != nil:
		return delivery, fmt.Errorf("fetch %s: %w", ref.Path, err)
	}
	defer func() { err = errors.Join(err, fetched.Release()) }()
	parcel, err := e.Exchange.Prepare(in.Decompression, attemptName(ctx, ref.ID))
	if err != nil {
		return delivery, err
	}
	defer func() { err = errors.Join(err, parcel.Discard()) }()
	report, err := e.Extractor.Extract(ctx, archive.Request{
		Archive: fetched.Archive, Name: ref.Path, Dest: parcel.Dir(), Limits: EngineLimits(e.Config.Extract.Limits), Passwords: e.passwords(ref),
		Encodings: e.Config.Extract.Encodings, Progress: beat.count,
	})
	if err != nil {
		return delivery, fmt.Errorf("extract %s: %w", ref.Path, err)
	}
	if err := parcel.Deliver(ctx, report, &delivery, beat.count); err != nil {
		return delivery, fmt.Errorf("deliver %s: %w", ref.Path, err)
	}
	for _, layer := range report.Layers {
		listener(e.Meter).Layer(string(layer.Reason))
	}
	return delivery, nil
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
