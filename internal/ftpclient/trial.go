package ftpclient

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"
)

// Trials find out what a server can do, without a file that is wanted.

// TryResume asks for the last byte of a file of that size (at least 2: the first needs no REST), which also shows that it can
// be read at all. Errors are those of Retrieve; ErrNoResume says that the server sends something else than the one byte, or
// refuses REST.
func (c *Conn) TryResume(ctx context.Context, rawPath string, size int64) error {
	return c.onPath(ctx, rawPath, func() error {
		t := &transfer{c: c, want: Want{RawPath: rawPath, Size: size}}
		body, err := t.open(size - 1)
		if err != nil {
			return err
		}
		n, err := io.Copy(io.Discard, io.LimitReader(body, 2))
		switch {
		case err != nil:
			return err
		case n == 2:
			t.learnResume(No)
			return t.failed(ErrNoResume, "after REST the server sends more than what follows")
		}
		final := command(body.Close)
		if final == nil && n == 1 {
			t.learnResume(Yes)
			return nil
		}
		t.received = size - 1 + n
		return t.verdict(final)
	})
}

// TryRead fetches the first byte of a file and hangs up: the connection is spent. No error: it can be read.
func (c *Conn) TryRead(ctx context.Context, rawPath string) error {
	err := c.onPath(ctx, rawPath, func() error {
		body, err := (&transfer{c: c, want: Want{RawPath: rawPath}}).open(0)
		if err != nil {
			return err
		}
		if n, err := io.ReadFull(body, make([]byte, 1)); n == 0 {
			return err
		}
		return &localError{errEnough}
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// errEnough ends a transfer that has shown what it was to show.
var errEnough = errors.New("enough")

// Store writes a small file. What it does to an existing one is up to the server: most overwrite it.
func (c *Conn) Store(ctx context.Context, rawPath string, content []byte) error {
	return c.onPath(ctx, rawPath, func() error {
		return command(func() error { return c.lib.Stor(rawPath, bytes.NewReader(content)) })
	})
}

// ClosingPause is how long a server may still count a session that was closed.
const ClosingPause = time.Second

// TrySessions opens sessions one after the other, beside those that the pool has at the server, until want are open at once or
// the server refuses one; then it closes them. What it learns about the number that is allowed is remembered. allowed is how
// many were open. The error is that of the login that came to nothing: ErrBusy where the server says that it has a limit. No
// more are opened than the pool has room for, which is no error.
func (p *Pool) TrySessions(ctx context.Context, opt Options, want int) (allowed int, err error) {
	var trial []*Conn
	defer func() {
		for _, c := range trial {
			_ = c.Close() // the session has served its purpose
			p.change(func() []*Conn { p.leave(opt.Name); return nil })
		}
	}()
	for {
		open, ok := p.claim(opt.Name, want)
		if !ok {
			p.settle(opt.Name, open, want, nil)
			return open, nil
		}
		c, err := p.tryLogin(ctx, opt)
		if err != nil {
			p.change(func() []*Conn { p.leave(opt.Name); return nil })
			p.settle(opt.Name, open, want, err)
			return open, err
		}
		trial = append(trial, c)
	}
}

// tryLogin is dial, and once more a little later where the server has no room: it may still count a session that is closed.
func (p *Pool) tryLogin(ctx context.Context, opt Options) (*Conn, error) {
	memory, limits := p.of(opt)
	c, err := dial(ctx, opt, memory, limits)
	if !errors.Is(err, ErrBusy) {
		return c, err
	}
	select {
	case <-ctx.Done():
		return nil, err
	case <-time.After(ClosingPause):
		return dial(ctx, opt, memory, limits)
	}
}

// claim takes a place for one more session at a server, unless want are open there, or the pool is full. open is how many
// there are without it.
func (p *Pool) claim(name string, want int) (open int, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.account(name)
	if open = a.open; open >= want || p.open >= p.max {
		return open, false
	}
	p.open++
	a.open++
	return open, true
}

// settle draws the conclusions from a trial of sessions.
func (p *Pool) settle(name string, open, want int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.account(name)
	switch {
	case errors.Is(err, ErrBusy):
		a.room, a.growAt = max(open, 1), p.now().Add(growAfter)
		a.memory.learn(func(b *Behaviour) { b.Sessions = a.room })
	case err == nil && open >= want && a.room <= open:
		a.room = 0
		a.memory.learn(func(b *Behaviour) { b.Sessions = 0 })
	}
}
