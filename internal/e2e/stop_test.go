package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"

	"talon/internal/archive/archivetest"
	"talon/internal/devstack"
	"talon/internal/ftpclient/ftptest"
)

// resumeOverlap is how many bytes behind a checkpoint may be fetched twice, to prove that it is the same file.
const resumeOverlap = 64 << 10

// TestTigerStoppedInALargeFile: a worker that is told to stop hands a large transfer over at once, though the server would hold it for ever; the next
// worker continues where the file stood.
func TestTigerStoppedInALargeFile(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	a := s.addFake("a", ftptest.Options{})
	a.put("large.bin", text("large", largeSize))
	a.onFile("large.bin", once(ftptest.Stall(largeCut, nil)))
	s.configure("collect: {small_file: 256KiB}")
	s.watch()
	s.tiger = s.worker("tiger", "--stop-grace", patience.String())
	s.startEagle()

	run := s.beginCollect()
	s.eventually("the part of the file in the stage", func() bool { return s.stagedBytes() == largeCut }) // no heartbeat has told of it yet
	stopped := s.tiger
	s.terminate(stopped)
	assert.Zero(t, await(s, "end of the worker, long before its grace is over", exit(stopped)))
	assert.NotContains(t, s.tail(stopped), "cut off")
	s.startTiger()

	result := run.result(complete)
	s.requireWarehouse()
	s.requireFiles(result)
	offsets := a.offsets("large.bin")
	require.Len(t, offsets, 2)
	assert.Zero(t, offsets[0])
	assert.GreaterOrEqual(t, offsets[1], int64(largeCut-resumeOverlap), "nothing is fetched twice")
	requireNoSessions(t, a)
	s.requireNothingNew()
}

// TestTigerStoppedInSmallFiles: a worker that is told to stop finishes the small file it is in, begins no other, and ends well; the next worker
// fetches the rest. No file is fetched twice.
func TestTigerStoppedInSmallFiles(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	a := s.addFake("a", ftptest.Options{})
	a.settings = ", connections: 1"
	names := []string{"0.csv", "1.csv", "2.csv", "3.csv"}
	for _, name := range names {
		a.put(name, text(name, 3000))
	}
	open := make(chan struct{})
	a.onFile("1.csv", ftptest.Stall(1000, open))
	s.configure("")
	s.watch()
	s.start()

	run := s.beginCollect()
	s.eventually("the transfer of 1.csv", func() bool { return len(a.offsets("1.csv")) == 1 })
	stopped := s.tiger
	s.terminate(stopped)
	ctx, cancel := s.limited()
	defer cancel()
	require.NoError(t, stopped.WaitForLog(ctx, "worker stops"))
	close(open)
	assert.Zero(t, await(s, "end of the worker", exit(stopped)))
	assert.Contains(t, s.tail(stopped), "everything it had begun is finished or handed over")
	assert.Empty(t, a.offsets("2.csv"), "nothing was begun after the request to stop")
	s.startTiger()

	result := run.result(complete)
	for _, name := range names {
		assert.Len(t, a.offsets(name), 1, name)
	}
	s.requireWarehouse()
	s.requireFiles(result)
	s.requireNothingNew()
}

// TestTigerCutOff: work that does not end within the grace is named, cut off and handed over, and the worker ends well.
func TestTigerCutOff(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	a := s.addFake("a", ftptest.Options{})
	a.put("x.csv", text("x", 3000))
	a.onFile("x.csv", once(ftptest.Stall(1000, nil)))
	s.configure("")
	s.watch()
	s.tiger = s.worker("tiger", "--stop-grace", "1s")
	s.startEagle()

	run := s.beginCollect()
	s.eventually("the transfer of x.csv", func() bool { return len(a.offsets("x.csv")) == 1 })
	stopped := s.tiger
	s.terminate(stopped)
	assert.Zero(t, await(s, "end of the worker", exit(stopped)))
	tail := s.tail(stopped)
	assert.Contains(t, tail, "the grace is over")
	assert.Contains(t, tail, "running=1")
	assert.Contains(t, tail, "DownloadFile of server/a for ")
	assert.Contains(t, tail, "what it had not finished is handed over")
	s.startTiger()

	result := run.result(complete)
	s.requireWarehouse()
	s.requireFiles(result)
	s.requireNothingNew()
}

// TestEagleStopped: an eagle that is told to stop in the middle of a batch leaves what it has finished, and the next one does the rest. Its grace is
// over at once, so that there is a rest.
func TestEagleStopped(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	a := s.addSite("a")
	for i := range 24 {
		var members []archivetest.File
		for j := range 150 {
			members = append(members, member(fmt.Sprintf("dir-%d/%d.txt", j%5, j), text(fmt.Sprint(i, "/", j), 20_000)))
		}
		a.putZip(fmt.Sprintf("p%02d.zip", i), members...)
	}
	s.configure("extract: {batch_archives: 24}")
	s.watch()
	s.startTiger()
	s.eagle = s.worker("eagle", "--stop-grace", "0s")

	run := s.beginCollect()
	s.eventually("an archive that is finished", s.delivering)
	stopped := s.eagle
	at := time.Now()
	s.terminate(stopped)
	assert.Zero(t, await(s, "end of the worker", exit(stopped)))
	assert.Contains(t, s.tail(stopped), "ExtractArchives of decompress/")
	assert.Contains(t, s.tail(stopped), "what it had not finished is handed over")
	visible, err := s.look()
	require.NoError(t, err)
	require.Less(t, len(visible), len(s.want.all()), "the eagle had finished before it was stopped")
	s.startEagle()

	result := run.result(complete)
	assert.Equal(t, 24, result.Decompress.Succeeded)
	kept := 0
	for _, archive := range result.Decompress.Archives {
		if archive.StartTime.Before(at) { // by the eagle that was stopped
			kept++
		}
	}
	assert.Positive(t, kept, "what was finished is not done again")
	assert.Less(t, kept, 24, "what was not is")
	s.requireWarehouse()
	s.requireNothingNew()
}

// TestStoppedTwice: the second request to stop ends a worker at once, whatever it is in.
func TestStoppedTwice(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	a := s.addFake("a", ftptest.Options{})
	a.put("x.csv", text("x", 3000))
	a.onFile("x.csv", once(ftptest.Stall(1000, nil)))
	s.configure("")
	s.watch()
	s.tiger = s.worker("tiger", "--stop-grace", patience.String())
	s.startEagle()

	run := s.beginCollect()
	s.eventually("the transfer of x.csv", func() bool { return len(a.offsets("x.csv")) == 1 })
	stopped := s.tiger
	s.terminate(stopped)
	ctx, cancel := s.limited()
	defer cancel()
	require.NoError(t, stopped.WaitForLog(ctx, "worker stops"))
	s.terminate(stopped)
	assert.NotZero(t, await(s, "end of the worker", exit(stopped)))
	assert.NotContains(t, s.tail(stopped), "worker stopped")
	s.startTiger()
	run.result(complete)
	s.requireWarehouse()
	s.requireNothingNew()
}

// stagedBytes is how much lies in the stage.
func (s *stack) stagedBytes() (size int64) {
	for _, name := range s.staged() {
		if info, err := os.Stat(filepath.Join(s.root, name)); err == nil { // else it is gone in the meantime
			size += info.Size()
		}
	}
	return size
}

// delivering tells whether an eagle has told of an archive that it has finished.
func (s *stack) delivering() bool {
	list, err := s.temporal.ListWorkflow(s.t.Context(), &workflowservice.ListWorkflowExecutionsRequest{
		Namespace: s.namespace, Query: "WorkflowType = 'DecompressWorkflow'",
	})
	if err != nil || len(list.GetExecutions()) == 0 {
		return false
	}
	description, err := s.temporal.DescribeWorkflowExecution(s.t.Context(), list.GetExecutions()[0].GetExecution().GetWorkflowId(), "")
	if err != nil {
		return false
	}
	for _, activity := range description.GetPendingActivities() {
		for _, payload := range activity.GetHeartbeatDetails().GetPayloads() {
			if strings.Contains(string(payload.GetData()), `"delivered":[{`) {
				return true
			}
		}
	}
	return false
}

// terminate asks a program to stop, as systemd and Docker do.
func (s *stack) terminate(p *devstack.Process) {
	s.t.Helper()
	require.NoError(s.t, p.Signal(syscall.SIGTERM))
}

// exit delivers the exit code of a program when it has ended.
func exit(p *devstack.Process) <-chan int {
	code := make(chan int, 1)
	go func() {
		<-p.Done()
		code <- p.ExitCode()
	}()
	return code
}

// tail is what a program has logged.
func (s *stack) tail(p *devstack.Process) string {
	s.t.Helper()
	log, err := p.ReadLog(0)
	require.NoError(s.t, err)
	return string(log)
}
