package ftpclient

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/time/rate"
)

const (
	// maxFailures is how many tries at a server out of reach are made in a row before it is parked. With the pauses between
	// them that is about half a minute: long enough for a server that is started anew.
	maxFailures = 6
	firstPause  = time.Second
	longestWait = 15 * time.Second
	// growAfter is how long a server that had no room for another session is believed to have none.
	growAfter = time.Minute
)

// account is what a Pool keeps of one server, across connections.
type account struct {
	memory    *memory
	bandwidth int64
	limit     *rate.Limiter

	open    int // connections in use, idle, or being made
	dialing int // logins in progress

	room   int       // sessions that the server allows; 0: no bound is known
	growAt time.Time // when one more is tried

	failures   int       // tries in a row at a server out of reach
	lastFailed time.Time // when the latest of them ended
	retryAt    time.Time // no try before
	wakeAt     time.Time // when a timer looks again
	admitted   Options   // those of the latest login that the server accepted in this run
	run        string    // that parked holds for
	parked     error     // wishes with the options below are refused with it
	parkedFor  Options
}

// account returns that of a server. The caller holds p.mu.
func (p *Pool) account(name string) *account {
	a := p.accounts[name]
	if a == nil {
		a = &account{memory: &memory{}}
		p.accounts[name] = a
	}
	return a
}

// of returns what connections to a server share: its memory, and the bandwidth limits.
func (p *Pool) of(opt Options) (*memory, []*rate.Limiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.account(opt.Name)
	if a.bandwidth != opt.Bandwidth {
		a.bandwidth, a.limit = opt.Bandwidth, limiter(opt.Bandwidth)
	}
	var limits []*rate.Limiter
	for _, limit := range []*rate.Limiter{a.limit, p.limit} {
		if limit != nil {
			limits = append(limits, limit)
		}
	}
	return a.memory, limits
}

// limiter bounds bytes per second. A burst is one buffer, which is the most that is asked for at once.
func limiter(bytesPerSecond int64) *rate.Limiter {
	if bytesPerSecond == 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(bytesPerSecond), bufferSize)
}

// Begin tells which run wants connections to a server from now on. A server that was parked in another run is tried again.
// What is already known of the server (Behaviour) is taken over, unless the pool has learned more itself.
func (p *Pool) Begin(name, run string, known Behaviour) {
	p.change(func() []*Conn {
		a := p.account(name)
		if a.run != run {
			a.run, a.parked, a.failures, a.retryAt, a.admitted = run, nil, 0, time.Time{}, Options{}
		}
		a.memory.learn(func(b *Behaviour) {
			if *b == (Behaviour{}) {
				*b = known
				a.room = known.Sessions
				a.growAt = p.now().Add(growAfter)
			}
		})
		return nil
	})
}

// At is the run that Begin was last called with for a server; "" before.
func (p *Pool) At(name string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.account(name).run
}

// Behaviour is what is known about a server by now.
func (p *Pool) Behaviour(name string) Behaviour {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.account(name).memory.recall()
}

// admits tells whether another login at the server may begin now. If only time is needed, somebody looks again then.
func (a *account) admits(p *Pool, opt Options) bool {
	now := p.now()
	switch {
	case a.full() && now.Before(a.growAt):
		a.lookAgain(p, a.growAt)
		return false
	case now.Before(a.retryAt):
		a.lookAgain(p, a.retryAt)
		return false
	case a.dialing > 0 && (a.failures > 0 || a.admitted != opt):
		return false // one try shows whether the server is back, and whether it lets us in: more would lock the account
	}
	return true
}

// full tells whether the server is believed to allow no further session.
func (a *account) full() bool { return a.room > 0 && a.open >= a.room }

// begin notes a login in progress. One beyond the known bound is a trial, and the only one for a while.
func (a *account) begin(p *Pool) {
	if a.full() {
		a.growAt = p.now().Add(growAfter)
	}
	a.open++
	a.dialing++
}

// lookAgain serves who waits at a later time; one timer is enough.
func (a *account) lookAgain(p *Pool, at time.Time) {
	now := p.now()
	if a.wakeAt.After(now) && !a.wakeAt.After(at) {
		return
	}
	a.wakeAt = at
	p.after(at.Sub(now), func() { p.change(func() []*Conn { return nil }) })
}

// succeeded: the server is in reach. A session beyond the known bound shows that there is more room by now.
func (a *account) succeeded(opt Options) {
	a.failures, a.retryAt, a.admitted = 0, time.Time{}, opt
	if a.room > 0 && a.open > a.room {
		a.room = a.open
		a.memory.learn(func(b *Behaviour) { b.Sessions = a.room })
	}
}

// failed draws the conclusions from a login that came to nothing, and reports whether the wish can wait for one of the
// server's open sessions instead. began is when the login began: tries that were under way together count once.
func (a *account) failed(p *Pool, opt Options, began time.Time, err error) (wait bool) {
	switch {
	case errors.Is(err, ErrBusy):
		a.room, a.growAt = max(a.open, 1), p.now().Add(growAfter)
		if a.open == 0 {
			return false // it has no room for anybody, which says nothing about how many sessions it allows us
		}
		a.memory.learn(func(b *Behaviour) { b.Sessions = a.room })
		return true
	case errors.Is(err, ErrLoginRefused), errors.Is(err, ErrUntrusted), errors.Is(err, ErrNoTLS):
		a.park(opt, err)
	case (errors.Is(err, ErrUnreachable) || errors.Is(err, ErrProtocol)) && !began.Before(a.lastFailed):
		a.failures++
		a.lastFailed = p.now()
		a.retryAt = a.lastFailed.Add(pause(a.failures))
		if a.failures >= maxFailures {
			a.park(opt, err)
		}
	}
	return false
}

// park refuses every further wish of this run with the error that showed why, unless the configuration changes.
func (a *account) park(opt Options, err error) {
	var f *failure
	if !errors.As(err, &f) {
		return
	}
	parked := *f
	parked.parked = true
	if a.failures > 0 {
		parked.words = fmt.Sprintf("%s (%d times in a row; not tried again in this run)", f.words, a.failures)
	}
	a.parked, a.parkedFor, a.admitted = &parked, opt, Options{}
}

// pause doubles from try to try, with some jitter so that a hundred servers behind one broken line do not come back at once.
func pause(failures int) time.Duration {
	wait := min(firstPause<<(failures-1), longestWait)
	return wait + rand.N(wait/4)
}
