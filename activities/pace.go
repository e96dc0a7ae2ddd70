package activities

import (
	"context"
	"sync"
	"time"
)

// pace bounds how many bytes are read in a second, by all that share it. A rate of 0 is no bound.
type pace struct {
	rate int64
	mu   sync.Mutex
	next time.Time // end of the last share
	sum  int64
}

func newPace(rate int64) *pace { return &pace{rate: rate} }

// wait returns when the time is over that the bytes that were read may take.
func (p *pace) wait(ctx context.Context, bytes int) error {
	rest := p.reserve(bytes)
	if rest <= 0 {
		return nil
	}
	timer := time.NewTimer(rest)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// reserve takes the bytes' share of time, and says how long it is until its end.
func (p *pace) reserve(bytes int) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sum += int64(bytes)
	if p.rate <= 0 {
		return 0
	}
	now := time.Now()
	if p.next.Before(now) {
		p.next = now
	}
	p.next = p.next.Add(time.Duration(float64(bytes) / float64(p.rate) * float64(time.Second)))
	return p.next.Sub(now)
}

// total is how many bytes were read.
func (p *pace) total() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sum
}
