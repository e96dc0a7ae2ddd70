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

	"golang.org/x/time/rate"
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
//
// Of each server it keeps what was learned about it, how many sessions it allows, and whether it is out of reach: see
// account.
type Pool struct {
	max   int
	limit *rate.Limiter // bandwidth of all connections; nil: no bound
	now   func() time.Time
	after func(time.Duration, func()) // time.AfterFunc

	mu       sync.Mutex
	accounts map[string]*account // by the server's name
	open     int                 // connections in use, idle, or being made
	dialing  map[string]int      // logins in progress, by address
	idle     []*Conn             // longest idle first
	waiting  []*request          // longest waiting first
	closed   bool
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

// NewPool returns a pool of at most limit connections (at least one), which receive at most bandwidth bytes per second
// together (0: no bound).
func NewPool(limit int, bandwidth int64) *Pool {
	return &Pool{
		max: max(limit, 1), limit: limiter(bandwidth), now: time.Now,
		after:    func(d time.Duration, f func()) { time.AfterFunc(d, f) },
		accounts: map[string]*account{}, dialing: map[string]int{},
	}
}

// Get returns an idle connection of that server or a new one. It waits for room, and makes room by closing the longest
// idle connection of another server; it also waits while the server allows no further session although others are open,
// and between two tries at a server out of reach. The connection must go back with Put. Errors are those of Dial; IsParked
// tells that the server is not tried at all.
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
		p.leave(c.opt.Name)
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
	p.CloseServer(opt.Name) // those that were idle as long are as dead, and hold places that the server has free
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
	return errors.Is(err, ErrBroken) || errors.As(err, &f) && f.code == codeUnavailable
}

// CloseServer closes the idle connections of a server, at the end of its run.
func (p *Pool) CloseServer(name string) {
	p.change(func() (surplus []*Conn) {
		return p.drop(func(c *Conn) bool { return c.opt.Name == name })
	})
}

// Close closes every idle connection, refuses everyone who waits, and closes the connections in use when they come back.
func (p *Pool) Close() {
	p.change(func() []*Conn {
		p.closed = true
		return p.drop(func(*Conn) bool { return true })
	})
}

// drop takes idle connections out of the pool; the caller closes them.
func (p *Pool) drop(which func(*Conn) bool) (surplus []*Conn) {
	p.idle = slices.DeleteFunc(p.idle, func(c *Conn) bool {
		if which(c) {
			surplus = append(surplus, c)
			p.leave(c.opt.Name)
			return true
		}
		return false
	})
	return surplus
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
	for {
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
		}
		c, again, err := p.dial(ctx, r)
		if !again {
			return c, err
		}
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
		p.change(func() []*Conn {
			p.dialled(r)
			p.leave(r.opt.Name)
			return nil
		})
	}
}

// dial makes the connection that r was granted leave for. again means that the server has no room for it now, but for
// other sessions of ours: wait for one of them.
func (p *Pool) dial(ctx context.Context, r *request) (c *Conn, again bool, err error) {
	began := p.now()
	memory, limits := p.of(r.opt)
	c, err = dial(ctx, r.opt, memory, limits)
	p.change(func() []*Conn {
		p.dialled(r)
		if err != nil {
			p.leave(r.opt.Name)
			again = p.account(r.opt.Name).failed(p, r.opt, began, err)
			return nil
		}
		c.lent = true
		p.account(r.opt.Name).succeeded(r.opt)
		return nil
	})
	return c, again, err
}

// dialled ends a login in progress.
func (p *Pool) dialled(r *request) {
	if p.dialing[r.where]--; p.dialing[r.where] == 0 {
		delete(p.dialing, r.where)
	}
	p.account(r.opt.Name).dialing--
}

// leave gives up a connection's place.
func (p *Pool) leave(name string) {
	p.open--
	p.account(name).open--
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
	switch own := p.account(r.opt.Name); {
	case p.closed:
		r.got.err = &failure{server: r.opt.Name, kind: ErrUnreachable, words: errPoolClosed.Error()}
	case own.parked != nil && own.parkedFor == r.opt:
		r.got.err = own.parked
	}
	return r.got.err != nil, nil
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
		p.leave(c.opt.Name)
		surplus = append(surplus, c)
	}
	return false, surplus
}

// makeRoom grants leave to dial: in a free place, or in that of the longest idle connection.
func (p *Pool) makeRoom(r *request) (ok bool, surplus []*Conn) {
	own := p.account(r.opt.Name)
	if p.open >= p.max && len(p.idle) == 0 || p.dialing[r.where] >= maxDialing || !own.admits(p, r.opt) {
		return false, nil
	}
	if p.open >= p.max {
		surplus, p.idle = p.idle[:1:1], p.idle[1:]
		p.leave(surplus[0].opt.Name)
	}
	p.open++
	own.begin(p)
	p.dialing[r.where]++
	return true, surplus
}

func address(opt Options) string {
	return net.JoinHostPort(opt.Host, strconv.Itoa(opt.Port))
}
