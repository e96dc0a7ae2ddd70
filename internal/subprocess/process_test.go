package subprocess

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// startHelper starts the test binary as a helper that logs to a file; whatever is left of it is killed with the test.
func startHelper(t *testing.T, name string, more ...string) *Process {
	t.Helper()
	p, err := Start(Options{
		Name: name, Path: os.Args[0], Env: helperEnviron(name, more...), LogFile: filepath.Join(t.TempDir(), "logs", "helper.log"),
	})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, p.Kill()) })
	return p
}

func awaitLog(t *testing.T, p *Process, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, p.WaitForLog(ctx, text))
}

// reportedChild waits until the helper has reported the process ID of its child.
func reportedChild(t *testing.T, p *Process) int {
	t.Helper()
	var pid int
	eventually(t, func() bool {
		log, err := p.ReadLog(0)
		if err != nil || !strings.HasSuffix(string(log), "\n") {
			return false
		}
		_, err = fmt.Sscanf(string(log), "child %d\n", &pid)
		return err == nil
	}, "the helper reports its child")
	return pid
}

func TestStopAsksFirst(t *testing.T) {
	p := startHelper(t, "obedient")
	awaitLog(t, p, "ready")
	require.NoError(t, p.Stop(patience))
	assert.Equal(t, 7, p.ExitCode(), "it ended by itself")
	require.NoError(t, p.Stop(patience), "a second Stop has nothing to do")
}

func TestStopKillsWhatDoesNotListen(t *testing.T) {
	p := startHelper(t, "stubborn")
	awaitLog(t, p, "ready")
	require.ErrorIs(t, p.Stop(10*time.Millisecond), ErrKilled)
	assert.Equal(t, -1, p.ExitCode())
	assert.False(t, running(p.Pid()))
}

func TestWaitForLogTellsWhyAProcessEnded(t *testing.T) {
	p := startHelper(t, "fails")
	err := p.WaitForLog(t.Context(), "ready")
	require.ErrorIs(t, err, ErrExited)
	assert.ErrorContains(t, err, "exit status 3")
	assert.ErrorContains(t, err, "cannot open the safe", "the end of the log is part of the error")
	assert.Equal(t, 3, p.ExitCode())
}

func TestWaitForLogEndsWithItsContext(t *testing.T) {
	p := startHelper(t, "obedient")
	awaitLog(t, p, "ready")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(syscall.ETIME)
	require.ErrorIs(t, p.WaitForLog(ctx, "never written"), syscall.ETIME)
}

func TestLogIsAppendedAndEachProcessSeesItsOwnPart(t *testing.T) {
	opts := Options{
		Name: "helper", Path: os.Args[0], Env: helperEnviron("fails"), LogFile: filepath.Join(t.TempDir(), "helper.log"),
	}
	require.NoError(t, os.WriteFile(opts.LogFile, []byte("ready\n"), 0o644))
	p, err := Start(opts)
	require.NoError(t, err)
	require.ErrorIs(t, p.WaitForLog(t.Context(), "ready"), ErrExited, "the line of an earlier process does not count")
	whole, err := os.ReadFile(opts.LogFile)
	require.NoError(t, err)
	assert.Equal(t, "ready\ncannot open the safe\n", string(whole))
}

func TestStartReportsAMissingProgram(t *testing.T) {
	_, err := Start(Options{Name: "ghost", Path: filepath.Join(t.TempDir(), "ghost")})
	require.ErrorIs(t, err, os.ErrNotExist)
	assert.ErrorContains(t, err, "ghost")
}

func TestForegroundStaysInTheGroup(t *testing.T) {
	for _, foreground := range []bool{true, false} {
		t.Run(strconv.FormatBool(foreground), func(t *testing.T) {
			p, err := Start(Options{
				Name: "helper", Path: os.Args[0], Env: helperEnviron("stubborn"), Foreground: foreground,
			})
			require.NoError(t, err)
			group, err := unix.Getpgid(p.Pid())
			require.NoError(t, err)
			if foreground {
				assert.Equal(t, unix.Getpgrp(), group)
			} else {
				assert.Equal(t, p.Pid(), group)
			}
			require.NoError(t, p.Kill())
		})
	}
}

func TestDescendantsEndWithTheProcess(t *testing.T) {
	p := startHelper(t, "deserter")
	child := reportedChild(t, p)
	require.NoError(t, p.Wait())
	eventually(t, func() bool { return !running(child) }, "the child that was left behind is gone")
}

func TestProcessDiesWithItsParent(t *testing.T) {
	childLog := filepath.Join(t.TempDir(), "child.log")
	parent := startHelper(t, "parent", "CHILD_LOG="+childLog)
	child := reportedChild(t, parent)
	eventually(t, func() bool {
		log, err := os.ReadFile(childLog)
		return err == nil && strings.Contains(string(log), "ready")
	}, "the child runs")
	childGroup, err := unix.Getpgid(child)
	require.NoError(t, err)
	require.NotEqual(t, parent.Pid(), childGroup, "the child is not killed with the parent's group")

	require.NoError(t, unix.Kill(parent.Pid(), unix.SIGKILL))
	eventually(t, func() bool { return !running(child) }, "the child is gone")
}

// onDyingThread runs do on an OS thread that ends with it. The main thread never ends, so it is avoided: do runs elsewhere
// while this goroutine occupies it.
func onDyingThread(do func(thread int)) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if thread := unix.Gettid(); thread != unix.Getpid() {
			do(thread)
			return
		}
		onDyingThread(do)
	}()
	<-done
}

// A process must outlive the thread of the goroutine that asked for it: the kernel's parent-death signal looks at threads.
func TestProcessOutlivesTheThreadOfItsCaller(t *testing.T) {
	var p *Process
	var err error
	var caller int
	onDyingThread(func(thread int) {
		caller = thread
		p, err = Start(Options{
			Name: "helper", Path: os.Args[0], Env: helperEnviron("obedient"), LogFile: filepath.Join(t.TempDir(), "helper.log"),
		})
	})
	require.NoError(t, err)
	awaitLog(t, p, "ready")
	eventually(t, func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", caller))
		return os.IsNotExist(err)
	}, "the caller's thread has ended")

	require.NoError(t, p.Stop(patience))
	assert.Equal(t, 7, p.ExitCode(), "it ended because it was asked to")
}
