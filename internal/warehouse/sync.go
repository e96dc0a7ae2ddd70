package warehouse

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Sync makes everything durable that was staged before the call. Calls that come while a sync is under way share the next
// one. After ErrSync nothing that was staged so far can be published: it must be fetched again.
func (w *Warehouse) Sync(ctx context.Context) error {
	if err := w.sync.wait(ctx); err != nil {
		return fmt.Errorf("warehouse: %s: %w", w.StageDir(), err)
	}
	return nil
}

// groupSync shares syncs of one file system between callers. It keeps one descriptor for all of them: the kernel reports a
// writeback error once to each descriptor that was open when it happened (syncfs(2), since Linux 5.8), so a descriptor opened
// late could miss one.
type groupSync struct {
	dir    *os.File
	syncfs func(fd int) error

	mu       sync.Mutex
	running  bool
	next     *syncRound
	failedAt time.Time // end of the last sync that failed
}

// syncRound is one sync that callers wait for.
type syncRound struct {
	done chan struct{}
	err  error
}

func (g *groupSync) open(dir string) (err error) {
	g.syncfs = unix.Syncfs
	g.dir, err = os.Open(dir)
	return err
}

func (g *groupSync) close() error { return g.dir.Close() }

// wait returns when a sync that started after the call has ended.
func (g *groupSync) wait(ctx context.Context) error {
	round := g.join()
	select {
	case <-round.done:
		return round.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// join returns the round that has not started yet.
func (g *groupSync) join() *syncRound {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.next == nil {
		g.next = &syncRound{done: make(chan struct{})}
	}
	if !g.running {
		g.running = true
		go g.run()
	}
	return g.next
}

// run syncs until nobody waits for another round.
func (g *groupSync) run() {
	for round := g.begin(); round != nil; round = g.begin() {
		if err := g.syncfs(int(g.dir.Fd())); err != nil {
			round.err = fmt.Errorf("%w: %w", ErrSync, err)
			g.mu.Lock()
			g.failedAt = time.Now()
			g.mu.Unlock()
		}
		close(round.done)
	}
}

// begin takes the round that is to be run now.
func (g *groupSync) begin() *syncRound {
	g.mu.Lock()
	defer g.mu.Unlock()
	round := g.next
	g.next = nil
	g.running = round != nil
	return round
}

// distrust refuses what was staged before a sync failed. The error has been reported by then, to whoever waited for that
// sync; a later one that succeeds says nothing about older data.
func (w *Warehouse) distrust(staged string) error {
	w.sync.mu.Lock()
	failedAt := w.sync.failedAt
	w.sync.mu.Unlock()
	if failedAt.IsZero() {
		return nil
	}
	return walk(w.stage, staged, func(name string, info fs.FileInfo) error {
		if info.Mode().IsRegular() && !changed(info).After(failedAt) {
			return fmt.Errorf("%s was staged before a sync failed: %w", name, ErrSync)
		}
		return nil
	})
}
