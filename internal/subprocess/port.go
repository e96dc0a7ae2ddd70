package subprocess

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// WaitForPort blocks until the process itself listens on the TCP port of 127.0.0.1. A process that ends before is an error
// that wraps ErrExited and carries the end of its log; so is the end of ctx, with its cause.
func (p *Process) WaitForPort(ctx context.Context, port int) error {
	return p.WaitUntil(ctx, fmt.Sprintf("opened port %d", port), func() bool { return Listens(p.pid, port) })
}

// Listens tells whether the process itself, and not somebody else who was faster, listens on the TCP port of 127.0.0.1. It
// compares the listening socket in /proc/PID/net/tcp with the sockets that the process holds.
func Listens(pid, port int) bool {
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", pid))
	if err != nil {
		return false
	}
	address := fmt.Sprintf("0100007F:%04X", port)
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line) // sl local_address rem_address st … inode (proc_pid_net(5)); 0A is LISTEN
		if len(fields) > 9 && fields[1] == address && fields[3] == "0A" {
			return holdsSocket(pid, fields[9])
		}
	}
	return false
}

func holdsSocket(pid int, inode string) bool {
	descriptors, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		return false
	}
	return slices.ContainsFunc(descriptors, func(descriptor string) bool {
		target, err := os.Readlink(descriptor)
		return err == nil && target == "socket:["+inode+"]"
	})
}
