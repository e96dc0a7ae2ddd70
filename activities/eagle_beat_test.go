package activities

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/config"
	"talon/internal/archive"
	"talon/internal/objectstore"
)

// slowSteps is an exchange, and an extractor, where each step takes its time without a sign of progress.
type slowSteps struct {
	Exchange
	t                 *testing.T
	look, queue, join time.Duration
	away              error // what Holds fails with
}

func (s *slowSteps) Holds(context.Context, Delivery) (bool, error) {
	time.Sleep(s.look)
	return s.away == nil, s.away
}

func (s *slowSteps) Fetch(_ context.Context, _ ExtractInput, _ ArchiveRef, progress func(int64)) (Fetched, error) {
	progress(10 << 30)
	return Fetched{Archive: filepath.Join(s.t.TempDir(), "a.zip"), Release: func() error { return nil }}, nil
}

func (s *slowSteps) Prepare(string, string) (Parcel, error) { return s, nil }
func (s *slowSteps) Dir() string                            { return os.TempDir() }
func (s *slowSteps) Discard() error                         { return nil }

func (s *slowSteps) Extract(context.Context, archive.Request) (archive.Report, error) {
	time.Sleep(s.queue) // until a child is free
	return archive.Report{}, nil
}

func (s *slowSteps) Deliver(_ context.Context, _ archive.Report, _ *Delivery, progress func(int64)) error {
	progress(10 << 30)
	time.Sleep(s.join) // while the gateway joins the parts
	return nil
}

// extractSlowly returns the heartbeats of an attempt that takes over archive 1 and is to extract the others, and its end.
func extractSlowly(t *testing.T, steps *slowSteps, archives ...ArchiveRef) (times []time.Duration, end time.Duration, err error) {
	t.Helper()
	steps.t = t
	eagle := &Eagle{Config: &config.Config{}, Exchange: steps, Extractor: steps}
	times, details := beats(t, func(ctx context.Context) {
		start := time.Now()
		_, err = eagle.ExtractArchives(ctx, ExtractInput{Batch: Batch{Archives: archives}})
		end = time.Since(start)
	})
	for i, c := range details {
		assert.NotEmpty(t, c.Delivered, "beat %d wiped what the attempt before had finished", i)
	}
	return times, end, err
}

func requireSteady(t *testing.T, times []time.Duration, end time.Duration) {
	t.Helper()
	last := time.Duration(0)
	for _, at := range append(times, end) {
		require.LessOrEqual(t, at-last, 35*time.Second, "silent from %s on, of %s", last, end)
		last = at
	}
}

// TestLookingForEarlierDeliveriesDoesNotLookDead: a gateway that is away is asked for as long as a heartbeat may be missing.
func TestLookingForEarlierDeliveriesDoesNotLookDead(t *testing.T) {
	times, end, err := extractSlowly(t, &slowSteps{look: 2 * time.Minute}, ArchiveRef{ID: 1})
	require.NoError(t, err)
	requireSteady(t, times, end)

	away := fmt.Errorf("stat: %w", objectstore.ErrUnavailable)
	times, end, err = extractSlowly(t, &slowSteps{look: 2 * time.Minute, away: away}, ArchiveRef{ID: 1})
	requireReason(t, err, "store_unreachable", true)
	requireSteady(t, times, end)
}

// TestWaitingForATurnDoesNotLookLikeAStall: an archive that was fetched may wait long for a child, and its bundle for the gateway.
func TestWaitingForATurnDoesNotLookLikeAStall(t *testing.T) {
	const long = stallAfter + 4*time.Minute // the test's attempts have ten minutes
	for _, steps := range []*slowSteps{{queue: long}, {join: long}} {
		times, end, err := extractSlowly(t, steps, ArchiveRef{ID: 1}, ArchiveRef{ID: 2}, ArchiveRef{ID: 3})
		require.NoError(t, err)
		require.Equal(t, long, end)
		requireSteady(t, times, end)
	}
}
