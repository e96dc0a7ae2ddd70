package devstack

import (
	"context"
	"fmt"
)

// WaitForPort blocks until the process itself listens on the TCP port of 127.0.0.1. A process that ends before is an error
// that wraps ErrExited and carries the end of its log; so is the end of ctx, with its cause.
func (p *Process) WaitForPort(ctx context.Context, port int) error {
	return p.waitUntil(ctx, fmt.Sprintf("opened port %d", port), func() bool { return listens(p.pid, port) })
}
