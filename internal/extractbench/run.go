package extractbench

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// sample is what one run cost.
type sample struct {
	wall   time.Duration
	cpu    time.Duration // user and system, of all processes
	memory int64         // bytes, the largest resident set of one of the processes
}

// patience is how long a script may take.
const patience = 10 * time.Minute

// run runs a script in a directory, with another one as $OUT.
func (b *bench) run(ctx context.Context, script, dir, out string) (sample, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var complaints bytes.Buffer
	cmd := exec.CommandContext(ctx, "sh", "-c", script)
	cmd.Dir = dir
	cmd.Env = slices.Concat(b.tools.env, []string{"OUT=" + out, "WORKER=" + b.opts.Worker})
	cmd.Stderr = &complaints
	// All processes of a script end with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	started := time.Now()
	err := cmd.Run()
	wall := time.Since(started)
	if ctx.Err() != nil {
		return sample{}, ctx.Err()
	}
	if err != nil {
		first, _, _ := strings.Cut(strings.TrimSpace(complaints.String()), "\n")
		return sample{}, fmt.Errorf("%w: %s", err, first)
	}
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage) // with that of all descendants that were waited for: wait4(2)
	return sample{
		wall: wall, cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), memory: usage.Maxrss << 10,
	}, nil
}
