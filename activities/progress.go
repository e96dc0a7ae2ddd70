package activities

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/activity"

	"talon/internal/warehouse"
)

// beatEvery is well below every heartbeat timeout in use (policies of package workflows), so that a missed tick is harmless.
const beatEvery = 5 * time.Second

// stallAfter is how long an attempt may show no further progress before its heartbeats stop and the server gives it up. Longer than
// any idle deadline on a socket, so that an engine that can tell what is wrong says so first.
const stallAfter = 5 * time.Minute

// Checkpoint is what an attempt leaves for the next one. Heartbeats always carry a whole one: an empty heartbeat would wipe it.
type Checkpoint struct {
	Bytes int64 `json:"bytes"`
	// Staged is what DownloadFile has of its file, for the next attempt to continue.
	Staged    *warehouse.Mark `json:"staged,omitempty"`
	Delivered []Delivery      `json:"delivered,omitempty"` // ExtractArchives: archives that are finished and in the stage
	// Verified is how far VerifyFiles is with its page: what it found is in the catalog.
	Verified *VerifyPage `json:"verified,omitempty"`
	// Cleaned is what CleanWarehouse has removed or counted of its page.
	Cleaned *CleanPage `json:"cleaned,omitempty"`
}

// progress heartbeats on behalf of one attempt, at a fixed beat and not only when work moves, because one slow step must not look
// like a dead worker; a watchdog ends the beat when what has moved moves no more. It leaves alone what never shows progress: to wait for a
// connection, or for a disk to take gigabytes, is not to hang, and the attempt has its own deadline.
type progress struct {
	mu         sync.Mutex
	checkpoint Checkpoint
	staged     *warehouse.StagedFile // where the bytes go, if the next attempt can continue it
	moved      atomic.Int64          // unix nanoseconds of the last sign of progress; 0: none yet
	stop       func()
}

// startProgress begins to heartbeat; the caller must call stop. Local activities have no heartbeats: there it only keeps count.
func startProgress(ctx context.Context, from Checkpoint) *progress {
	p := &progress{checkpoint: from, stop: func() {}}
	if activity.GetInfo(ctx).IsLocalActivity {
		return p
	}
	beatCtx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.beat(beatCtx)
	}()
	p.stop = func() {
		cancel()
		<-done
	}
	return p
}

func (p *progress) beat(ctx context.Context) {
	ticker := time.NewTicker(beatEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if moved := p.moved.Load(); moved != 0 && time.Since(time.Unix(0, moved)) > stallAfter {
				return
			}
			activity.RecordHeartbeat(ctx, p.snapshot())
		}
	}
}

// bytes notes that work moves, and how far it is.
func (p *progress) bytes(n int64) {
	p.moved.Store(time.Now().UnixNano())
	p.count(n)
}

// count notes how far work is that needs no watchdog: each of its steps ends by itself when it hangs, and between them it may wait for its
// turn, or for the other side, for longer than stallAfter.
func (p *progress) count(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.checkpoint.Bytes = n
}

// rest ends the watch until work moves again: what follows shows no progress.
func (p *progress) rest() { p.moved.Store(0) }

// keep replaces what the checkpoint says to be finished.
func (p *progress) keep(delivered []Delivery) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.checkpoint.Delivered = delivered
}

// delivered adds a finished archive and sends it at once: the next attempt need not do it again.
func (p *progress) delivered(ctx context.Context, d Delivery) {
	p.mu.Lock()
	p.checkpoint.Delivered = append(p.checkpoint.Delivered, d)
	p.mu.Unlock()
	p.report(ctx)
}

// verified notes how far a verification is, and sends it at once: the next attempt need not read that again.
func (p *progress) verified(ctx context.Context, page VerifyPage) {
	p.mu.Lock()
	p.checkpoint.Verified = &page
	p.mu.Unlock()
	p.report(ctx)
}

// cleaned notes how far a cleaning is, and sends it at once.
func (p *progress) cleaned(ctx context.Context, page CleanPage) {
	page.Spent = maps.Clone(page.Spent)
	p.mu.Lock()
	p.checkpoint.Cleaned = &page
	p.mu.Unlock()
	p.report(ctx)
}

// watch makes the checkpoint tell of a staged file from now on; nil ends that, with nothing to continue.
func (p *progress) watch(staged *warehouse.StagedFile) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.staged, p.checkpoint.Staged = staged, nil
}

// takeOver returns what was left to continue, by an earlier attempt or by this one on a connection that turned out to be dead; nil if there
// is nothing, or if it was taken over before.
func (p *progress) takeOver() *warehouse.Mark {
	p.mu.Lock()
	defer p.mu.Unlock()
	left := p.checkpoint.Staged
	if p.staged != nil {
		mark := p.staged.Mark()
		left = &mark
	}
	p.staged, p.checkpoint.Staged = nil, nil
	return left
}

// report sends the checkpoint at once, where there are heartbeats, also of an attempt that was told to end.
func (p *progress) report(ctx context.Context) {
	if !activity.GetInfo(ctx).IsLocalActivity {
		activity.RecordHeartbeat(context.WithoutCancel(ctx), p.snapshot())
	}
}

func (p *progress) snapshot() Checkpoint {
	p.mu.Lock()
	defer p.mu.Unlock()
	copied := p.checkpoint
	if p.staged != nil {
		mark := p.staged.Mark()
		copied.Staged, copied.Bytes = &mark, mark.Size
	}
	copied.Delivered = append([]Delivery(nil), p.checkpoint.Delivered...)
	return copied
}

// lastCheckpoint returns what the attempt before this one left, or an empty Checkpoint.
func lastCheckpoint(ctx context.Context) Checkpoint {
	var checkpoint Checkpoint
	if activity.HasHeartbeatDetails(ctx) {
		// Details that cannot be read are as good as none: the work is done again.
		_ = activity.GetHeartbeatDetails(ctx, &checkpoint)
	}
	return checkpoint
}
