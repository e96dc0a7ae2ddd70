package contest

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Script is for sh(1).
type Script struct {
	Text     string
	Dir      string        // where it runs
	Env      []string      // its whole environment
	Patience time.Duration // how long it may take
}

// Run runs a script to its end. An error carries the first line of what it complained about.
func (s Script) Run(ctx context.Context) (Sample, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.Patience, fmt.Errorf("it took more than %s", s.Patience))
	defer cancel()
	var complaints bytes.Buffer
	cmd := exec.CommandContext(ctx, "sh", "-c", s.Text)
	cmd.Dir, cmd.Env, cmd.Stderr = s.Dir, s.Env, &complaints
	// All processes of a script end with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	started := time.Now()
	err := cmd.Run()
	wall := time.Since(started)
	if ctx.Err() != nil {
		return Sample{}, context.Cause(ctx)
	}
	if err != nil {
		first, _, _ := strings.Cut(strings.TrimSpace(complaints.String()), "\n")
		return Sample{}, fmt.Errorf("%w: %s", err, first)
	}
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage) // with that of all descendants that were waited for: wait4(2)
	return Sample{
		Wall: wall, CPU: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), Memory: usage.Maxrss << 10,
	}, nil
}
