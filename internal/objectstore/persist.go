package objectstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

const (
	firstPause  = 100 * time.Millisecond // doubled each time; minio-go adds up to 200 ms after an error that it would repeat itself
	maxPause    = 5 * time.Second
	lifeSign    = 64 << 10 // bytes that end an outage; fewer may only have got as far as a buffer
	maxDamaged  = 3        // transfers whose bytes turn out wrong
	maxBroken   = 5        // uploads that began well and broke off, once patience is used up
	maxRenewals = 3        // changes of keys or authorities in one call

	// What an endpoint at least does in a second with an upload that has left this host: it reads what waits in buffers on the
	// way, at a slow proxy perhaps, and stores: copies parts, or syncs them to disk.
	buffered   = 8 << 20 // bytes at most
	bufferRate = 256 << 10
	storeRate  = 32 << 20
)

// call is what is asked of the endpoint, in as many attempts as it takes.
type call struct {
	verb    string // for messages
	object  Object
	resumes bool          // an attempt goes on where the one before it broke off
	sends   int64         // bytes of a file in the request
	stores  int64         // bytes that the endpoint stores before it answers
	waits   time.Duration // patience beyond Options.Patience
}

// attempt is one try of a call.
type attempt struct {
	call
	ctx    context.Context
	store  *Store
	access *access
	tries  int // attempts of this call before this one
	seen   observed
	moved  int64 // bytes of objects, in whichever direction
}

// persist makes attempts until one succeeds, the call is hopeless, or patience is used up.
func (s *Store) persist(ctx context.Context, c call, once func(*attempt) error) error {
	if err := c.object.Check(); err != nil {
		return &failure{endpoint: s.Endpoint(), call: c, verdict: verdict{kind: ErrRejected}, words: err.Error()}
	}
	p := patience{limit: s.opt.Patience + c.waits, began: time.Now()}
	for {
		a := &attempt{call: c, ctx: ctx, store: s, tries: p.tries}
		if err := a.enter(); err != nil {
			return err
		}
		err := once(a)
		if err == nil {
			return nil
		}
		if ended := ctx.Err(); ended != nil {
			return ended
		}
		var local *localError
		if errors.As(err, &local) {
			return fmt.Errorf("object store: %s %s: %w", c.verb, c.object, local.error)
		}
		f := a.judge(err)
		if p.renewals < maxRenewals && a.renew(f) {
			p.renewals++
			continue
		}
		pause, more := p.pause(f, a)
		if !more {
			return f
		}
		s.log.Info("object store: trying again", "pause", pause.Round(time.Millisecond), "error", f.Error())
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// enter takes keys, and prepares the attempt's context: who answers, and how long that may take.
func (a *attempt) enter() error {
	access, err := a.store.grant()
	if err != nil {
		return &failure{endpoint: a.store.Endpoint(), call: a.call, verdict: verdict{kind: ErrRefused, advice: adviceKeys}, words: err.Error()}
	}
	a.access = access
	a.ctx = httptrace.WithClientTrace(context.WithValue(a.ctx, observedKey{}, &a.seen), a.trace())
	return nil
}

// trace tells the connection when it may be silent for longer.
func (a *attempt) trace() *httptrace.ClientTrace {
	var conn atomic.Pointer[watchedConn] // net/http may change to another one by itself
	return &httptrace.ClientTrace{
		GotConn: func(got httptrace.GotConnInfo) {
			conn.Store(watched(got.Conn))
			conn.Load().allow(a.store.opt.Idle)
		},
		WroteRequest: func(httptrace.WroteRequestInfo) { conn.Load().allow(a.store.opt.Idle + a.silence()) },
	}
}

// silence is how long the endpoint may be silent after the request has left this host, beyond Options.Idle.
func (c call) silence() time.Duration {
	return seconds(min(c.sends, buffered), bufferRate) + seconds(c.stores, storeRate)
}

func seconds(bytes, rate int64) time.Duration {
	return time.Duration(float64(bytes) / float64(rate) * float64(time.Second))
}

// renew reports whether the call should be made again at once, with other keys or authorities than those that failed.
func (a *attempt) renew(f *failure) bool {
	switch {
	case errors.Is(f.kind, ErrUntrusted):
		return a.store.renewTrust(a.access)
	case errors.Is(f.kind, ErrRefused) && f.code != codeSkew:
		renewed, err := a.store.renewKeys(a.access)
		if err != nil {
			f.words += "; " + a.printable(err.Error())
		}
		return renewed
	}
	return false
}

// patience decides how long a call goes on. What counts is the time without a sign of life: a download that moves on after each
// break is not given up, however many breaks there are.
type patience struct {
	limit    time.Duration
	began    time.Time
	failing  time.Time // the first failure
	outage   time.Time // the first failure since a byte moved
	tries    int
	pauses   int // since a byte moved
	damaged  int
	broken   int
	renewals int
}

// pause returns how long to wait before the next attempt, if there is to be one.
func (p *patience) pause(f *failure, a *attempt) (time.Duration, bool) {
	p.tries++
	f.tries, f.over = p.tries, time.Since(p.began)
	if !f.again {
		return 0, false
	}
	if a.moved >= lifeSign {
		p.outage, p.pauses = time.Time{}, 0
		if !a.resumes {
			p.broken++
		}
	}
	if errors.Is(f.kind, ErrDamaged) {
		p.damaged++
	}
	if p.failing.IsZero() {
		p.failing = time.Now()
	}
	if p.outage.IsZero() {
		p.outage = time.Now()
	}
	pause := min(a.store.opt.firstPause<<p.pauses, maxPause)
	pause = pause/2 + rand.N(pause) // so that many callers do not come back at once
	p.pauses = min(p.pauses+1, 10)
	inTime := time.Since(p.outage)+pause <= p.limit
	hopeful := p.broken < maxBroken || time.Since(p.failing)+pause <= p.limit
	return pause, inTime && hopeful && p.damaged < maxDamaged
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
