package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"talon/internal/archive"
)

// errHangs: a disk or the catalog has not answered in time.
var errHangs = errors.New("does not answer")

// able returns what tells whether this host can do the work: it can stage files, it has room, and its catalog answers. An eagle that cannot get at
// tiger's directories is able all the same: archives wait for the gateway, and no other eagle would fare better (see talon_store_reachable).
func (h *host) able() func(context.Context) error {
	checks := []func(context.Context) error{inTime(h.stage.Try, "the disk"), inTime(h.hasRoom, "the disk")}
	if h.catalog != nil {
		checks = append(checks, inTime(func() error { return h.catalog.Check(context.Background()) }, "the catalog")) // SQLite hangs with its disk
	}
	return func(ctx context.Context) error {
		for _, check := range checks {
			if err := check(ctx); err != nil {
				return err
			}
		}
		return nil
	}
}

// hasRoom fails when less is free than has to stay free.
func (h *host) hasRoom() error {
	_, free, floor, err := h.space()
	if err == nil && free < floor {
		err = fmt.Errorf("disk full: %d bytes are free, %d must stay free (extract.limits.free_space)", free, floor)
	}
	return err
}

// space is the size of the file system that this worker writes to, what of it is free, and what has to stay free.
func (h *host) space() (size, free, floor int64, err error) {
	size, free, err = h.stage.Space()
	floor = int64(h.config.Extract.Limits.FreeSpace)
	if floor == 0 {
		floor = archive.DefaultFreeSpace(size)
	}
	return size, free, floor, err
}

// checked is one call of a check.
type checked struct {
	done chan struct{} // closed when it has answered
	err  error
}

// inTime makes a check that may hang, as those of a broken disk do, end with its context. What hangs is not asked again before it has answered: those
// who ask meanwhile wait for that answer.
func inTime(check func() error, what string) func(context.Context) error {
	var mu sync.Mutex
	var running *checked
	begin := func() *checked {
		mu.Lock()
		defer mu.Unlock()
		if running != nil {
			return running
		}
		begun := &checked{done: make(chan struct{})}
		running = begun
		go func() {
			begun.err = check()
			mu.Lock()
			defer mu.Unlock()
			running = nil
			close(begun.done)
		}()
		return begun
	}
	return func(ctx context.Context) error {
		asked := begin()
		select {
		case <-asked.done:
			return asked.err
		case <-ctx.Done():
			return fmt.Errorf("%s %w: %w", what, errHangs, ctx.Err())
		}
	}
}
