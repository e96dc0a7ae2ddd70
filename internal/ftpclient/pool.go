package ftpclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	// IdleKeep is how long a connection may lie idle and still be used again; servers close theirs after minutes.
	IdleKeep = 60 * time.Second
	// maxDialing limits the logins in progress per address: vsftpd listens with a queue of 32, and each connection that
	// overflows it costs a second or more of SYN retries.
	maxDialing = 16
)

var errPoolClosed = errors.New("the connection pool is closed")

// Pool keeps logged-in connections for the next file and bounds how many there are, over all servers. It is safe for
// concurrent use. Whoever waits is served in order, except that a connection goes first to someone who waits for its
// very server: to close it for another would cost a login.
type Pool struct {
	max int
	now func() time.Time

	mu      sync.Mutex
	open    int            // connections in use, idle, or being made
	dialing map[string]int // logins in progress, by address
	idle    []*Conn        // longest idle first
	waiting []*request     // longest waiting first
	closed  bool
}

// request is a wish for a connection.
type request struct {
	opt   Options
	where string // address
	fresh bool   // no idle connection will do
	got   grant
	ready chan grant // takes one grant
}

// grant answers a request: with an idle connection, with leave to dial (no connection), or with an error.
type grant struct {
	conn *Conn
	err  error
}

// NewPool returns a pool of at most limit connections (at least one).
func NewPool(limit int) *Pool {
	return &Pool{max: max(limit, 1), now: time.Now, dialing: map[string]int{}}
}

// Get returns an idle connection of that server or a new one. It waits for room, and makes room by closing the longest
// idle connection of another server. The connection must go back with Put. Errors are those of Dial.
func (p *Pool) Get(ctx context.Context, opt Options) (*Conn, error) {
	return p.get(ctx, opt, false)
}

// Put takes a connection back; one that is no longer usable, or that the pool has no use for, is closed.
func (p *Pool) Put(c *Conn) {
	p.change(func() (surplus []*Conn) {
		if !c.lent {
			return nil // put back twice
		}
		c.lent = false
		if c.Usable() && !p.closed {
			c.idleSince = p.now()
			p.idle = append(p.idle, c)
			return nil
		}
		p.open--
		return []*Conn{c}
	})
}

// Do lends a connection to use. A server may have closed a connection while it was idle, which only the first command
// finds out; then use runs once more, on a fresh connection. It must therefore begin anew when it is called again.
func (p *Pool) Do(ctx context.Context, opt Options, use func(*Conn) error) error {
	c, err := p.get(ctx, opt, false)
	if err != nil {
		return err
	}
	if dead, err := p.lend(c, use); !dead {
		return err
	}
	if c, err = p.get(ctx, opt, true); err != nil {
		return err
	}
	_, err = p.lend(c, use)
	return err
}

func (p *Pool) lend(c *Conn, use func(*Conn) error) (dead bool, err error) {
	defer p.Put(c)
	err = use(c)
	return c.wasDead(err), err
}

// wasDead reports whether err, the first outcome since the connection was idle, only says that the server had closed it:
// by silence, or by "421 Timeout".
func (c *Conn) wasDead(err error) bool {
	if err == nil || !c.reused || c.worked || c.delivered > 0 {
		return false
	}
	var f *failure
	return errors.Is(err, ErrUnreachable) || errors.As(err, &f) && f.code == codeUnavailable
}

// CloseServer closes the idle connections of a server, at the end of its run.
func (p *Pool) CloseServer(name string) {
	p.change(func() (surplus []*Conn) {
		p.idle = slices.DeleteFunc(p.idle, func(c *Conn) bool {
			if c.opt.Name == name {
				surplus = append(surplus, c)
			}
			return c.opt.Name == name
		})
		p.open -= len(surplus)
		return surplus
	})
}

// Close closes every idle connection, refuses everyone who waits, and closes the connections in use when they come back.
func (p *Pool) Close() {
	p.change(func() []*Conn {
		p.closed = true
		surplus := p.idle
		p.idle = nil
		p.open -= len(surplus)
		return surplus
	})
}

// Len is the number of connections in use, idle, or being made.
func (p *Pool) Len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open
}

// IdleLen is the number of idle connections of a server.
func (p *Pool) IdleLen(name string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, c := range p.idle {
		if c.opt.Name == name {
			n++
		}
	}
	return n
}

func (p *Pool) get(ctx context.Context, opt Options, fresh bool) (*Conn, error) {
	opt = opt.withDefaults()
	r := &request{opt: opt, where: address(opt), fresh: fresh, ready: make(chan grant, 1)}
	p.change(func() []*Conn {
		p.waiting = append(p.waiting, r)
		return nil
	})
	select {
	case <-ctx.Done():
		p.withdraw(r)
		return nil, fmt.Errorf("server %s: waiting for a connection: %w", opt.Name, ctx.Err())
	case g := <-r.ready:
		if g.conn != nil || g.err != nil {
			return g.conn, g.err
		}
		return p.dial(ctx, r)
	}
}

// withdraw ends a request nobody waits for any more; what it was just granted goes back.
func (p *Pool) withdraw(r *request) {
	p.mu.Lock()
	waiting := len(p.waiting)
	p.waiting = slices.DeleteFunc(p.waiting, func(other *request) bool { return other == r })
	granted := len(p.waiting) == waiting
	p.mu.Unlock()
	if !granted {
		return
	}
	switch g := <-r.ready; {
	case g.conn != nil:
		p.Put(g.conn)
	case g.err == nil:
		p.dialled(r, nil)
	}
}

func (p *Pool) dial(ctx context.Context, r *request) (*Conn, error) {
	c, err := Dial(ctx, r.opt)
	if err == nil {
		c.lent = true
	}
	p.dialled(r, c)
	return c, err
}

// dialled ends a login in progress; without a connection its place is free again.
func (p *Pool) dialled(r *request, c *Conn) {
	p.change(func() []*Conn {
		if p.dialing[r.where]--; p.dialing[r.where] == 0 {
			delete(p.dialing, r.where)
		}
		if c == nil {
			p.open--
		}
		return nil
	})
}

// change applies a change to the pool and serves who can be served after it. Connections are closed before anyone is told
// of the room they leave, so that a server never sees more than it was promised.
func (p *Pool) change(apply func() (surplus []*Conn)) {
	p.mu.Lock()
	surplus := apply()
	served, more := p.serve()
	p.mu.Unlock()
	for _, c := range append(surplus, more...) {
		_ = c.Close() // the place is free whether or not the server heard the QUIT
	}
	for _, r := range served {
		r.ready <- r.got
	}
}

// serve grants what can be granted: idle connections first, then leave to dial.
func (p *Pool) serve() (served []*request, surplus []*Conn) {
	for _, try := range []func(*request) (bool, []*Conn){p.refuse, p.reuse, p.makeRoom} {
		p.waiting = slices.DeleteFunc(p.waiting, func(r *request) bool {
			ok, old := try(r)
			surplus = append(surplus, old...)
			if ok {
				served = append(served, r)
			}
			return ok
		})
	}
	return served, surplus
}

func (p *Pool) refuse(r *request) (ok bool, surplus []*Conn) {
	if p.closed {
		r.got.err = &failure{server: r.opt.Name, kind: ErrUnreachable, words: errPoolClosed.Error()}
	}
	return p.closed, nil
}

// reuse grants the connection of r's server that was idle for the shortest time, and drops those too old to be trusted.
func (p *Pool) reuse(r *request) (ok bool, surplus []*Conn) {
	if r.fresh {
		return false, nil
	}
	for i := len(p.idle) - 1; i >= 0; i-- {
		c := p.idle[i]
		if c.opt != r.opt {
			continue
		}
		p.idle = slices.Delete(p.idle, i, i+1)
		if p.now().Sub(c.idleSince) <= IdleKeep {
			c.lent, c.reused, c.worked, c.delivered = true, true, false, 0
			r.got.conn = c
			return true, surplus
		}
		p.open--
		surplus = append(surplus, c)
	}
	return false, surplus
}

// makeRoom grants leave to dial: in a free place, or in that of the longest idle connection.
func (p *Pool) makeRoom(r *request) (ok bool, surplus []*Conn) {
	if p.open >= p.max && len(p.idle) == 0 || p.dialing[r.where] >= maxDialing {
		return false, nil
	}
	if p.open >= p.max {
		surplus, p.idle = p.idle[:1:1], p.idle[1:]
		p.open--
	}
	p.open++
	p.dialing[r.where]++
	return true, surplus
}

func address(opt Options) string {
	return net.JoinHostPort(opt.Host, strconv.Itoa(opt.Port))
}
