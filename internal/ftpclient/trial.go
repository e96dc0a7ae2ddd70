package ftpclient

import (
	"bytes"
	"context"
	"errors"
	"io"
)

// Trials find out what a server can do, without a file that is wanted.

// TryResume asks for the last byte of a file of that size (at least 1), which also shows that it can be read at all. Errors
// are those of Retrieve; ErrNoResume says that the server sends something else than the one byte, or refuses REST.
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
			c.memory.learn(func(b *Behaviour) { b.Resume = No })
			return t.failed(ErrNoResume, "after REST the server sends more than what follows")
		}
		final := command(body.Close)
		if final == nil && n == 1 {
			c.memory.learn(func(b *Behaviour) { b.Resume = Yes })
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
		return errEnough
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// errEnough ends a transfer that has shown what it was to show.
var errEnough = &localError{errors.New("enough")}

// Store writes a small file. What it does to an existing one is up to the server: most overwrite it.
func (c *Conn) Store(ctx context.Context, rawPath string, content []byte) error {
	return c.onPath(ctx, rawPath, func() error {
		return command(func() error { return c.lib.Stor(rawPath, bytes.NewReader(content)) })
	})
}
