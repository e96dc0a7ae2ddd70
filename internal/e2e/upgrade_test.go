package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"

	"talon/internal/devstack"
	"talon/internal/ftpclient/ftptest"
)

// A change of CollectServerWorkflow that adds a timer before a page is listed. The source is not touched: the Go command takes the
// changed file instead (go help build, -overlay).
const (
	changedFile = "workflows/server.go"
	// anchor is the line that the change goes before. Where it is gone, another line that comes before the transfers does as well.
	anchor   = "\tif err := s.list(ctx); err != nil {\n"
	changeID = "rest before listing"
	// guarded is how a change has to be made, unguarded how it must not.
	guarded = "\tif workflow.GetVersion(ctx, \"" + changeID + "\", workflow.DefaultVersion, 1) == 1 {\n" +
		"\t\t_ = workflow.Sleep(ctx, 1_000_000)\n\t}\n"
	unguarded = "\t_ = workflow.Sleep(ctx, 1_000_000)\n"
)

// overlay writes what the flag -overlay takes to make the change.
func overlay(dir, change string) (string, error) {
	file, err := filepath.Abs(filepath.Join(repository, changedFile))
	if err != nil {
		return "", err
	}
	source, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	if strings.Count(string(source), anchor) != 1 {
		return "", os.ErrNotExist
	}
	changed, list := filepath.Join(dir, "changed.go"), filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(changed, []byte(strings.Replace(string(source), anchor, change+anchor, 1)), 0o600); err != nil {
		return "", err
	}
	content, err := json.Marshal(map[string]map[string]string{"Replace": {file: changed}})
	if err != nil {
		return "", err
	}
	return list, os.WriteFile(list, content, 0o600)
}

// buildChanged builds a worker with a change, once for all tests.
func buildChanged(name, change string) func(t *testing.T) string {
	var once sync.Once
	var program string
	var output []byte
	var err error
	return func(t *testing.T) string {
		t.Helper()
		once.Do(func() {
			var dir, list string
			if dir, err = os.MkdirTemp(filepath.Dir(workerProgram), name); err != nil {
				return
			}
			if list, err = overlay(dir, change); err != nil {
				return
			}
			program = filepath.Join(dir, "worker")
			output, err = goCommand(slices.Concat([]string{"build", "-overlay", list, "-o", program}, buildFlags, []string{"./worker"})...)
		})
		require.NoError(t, err, "%s: %s", changedFile, output)
		return program
	}
}

var (
	goodUpgrade = buildChanged("good", guarded)
	badUpgrade  = buildChanged("bad", unguarded)
)

func goCommand(args ...string) ([]byte, error) {
	command := exec.Command("go", args...)
	command.Dir = repository
	command.Env = append(os.Environ(), buildCGO)
	return command.CombinedOutput()
}

// TestReplayIsAGate: the replay of recorded histories, which is part of make test, fails for the change that would break runs in flight, for the
// right reason, and passes for the same change made in the right way.
func TestReplayIsAGate(t *testing.T) {
	t.Parallel()
	replay := func(change string) (string, error) {
		list, err := overlay(t.TempDir(), change)
		require.NoError(t, err, "the line that the change goes before is gone from %s", changedFile)
		output, err := goCommand(slices.Concat([]string{"test", "-overlay", list, "-run", "^TestReplay$"}, buildFlags, []string{"./workflows"})...)
		return string(output), err
	}
	output, err := replay(unguarded)
	require.Error(t, err, output)
	assert.Contains(t, output, "--- FAIL: TestReplay/all-good/CollectServerWorkflow-1")
	assert.Contains(t, output, "TMPRL1100")
	assert.NotContains(t, output, "--- FAIL: TestReplay/all-good/DecompressWorkflow", "what did not change replays")
	output, err = replay(guarded)
	require.NoError(t, err, output)
}

// holding is an installation in the middle of the transfer of a large file, on the worker of this tree.
func holding(t *testing.T) (s *stack, run *call) {
	s = newStack(t)
	a := s.addFake("a", ftptest.Options{})
	a.put("large.bin", text("large", largeSize))
	a.putZip("p.zip", member("m.txt", text("m", 1000)))
	a.onFile("large.bin", once(ftptest.Stall(largeCut, nil)))
	s.addFake("b", ftptest.Options{}).put("large.bin", text("other", largeSize))
	s.configure("collect: {small_file: 256KiB}")
	s.watch()
	s.start()
	run = s.beginCollect("--server", "a")
	s.eventually("a heartbeat with what is staged", func() bool { return s.checkpoint("server/a") == largeCut })
	return s, run
}

// stop ends a worker as an upgrade does. It must end well.
func (s *stack) stop(p *devstack.Process) {
	s.t.Helper()
	s.terminate(p)
	require.Zero(s.t, await(s, "end of the worker", exit(p)))
}

// TestUpgradeInMidRun: a run that the old worker began ends on the new one along its old path; what begins afterwards takes the new path.
func TestUpgradeInMidRun(t *testing.T) {
	t.Parallel()
	upgraded := goodUpgrade(t)
	s, run := holding(t)
	s.stop(s.tiger)
	s.tiger = s.workerOf(upgraded, "tiger")

	before := run.result(complete)
	assert.Equal(t, []int{0, 0}, s.changes("server/a"), "markers and timers of the run that was under way")
	after := s.collect(complete, "--server", "b")
	assert.Equal(t, []int{1, 1}, s.changes("server/b"), "markers and timers of a run that began afterwards")
	assert.Equal(t, before.Servers["a"].NumberOfFiles, 2)
	assert.Equal(t, after.Servers["b"].NumberOfFiles, 1)
	s.requireWarehouse()
	s.requireFiles(before, after)
	s.requireNothingNew()
}

// changes counts the markers and the timers of the change in a workflow's history.
func (s *stack) changes(workflow string) []int {
	s.t.Helper()
	counts := []int{0, 0}
	events := s.temporal.GetWorkflowHistory(s.t.Context(), workflow, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		require.NoError(s.t, err)
		for _, payload := range event.GetMarkerRecordedEventAttributes().GetDetails()["change-id"].GetPayloads() {
			if string(payload.GetData()) == `"`+changeID+`"` {
				counts[0]++
			}
		}
		if event.GetTimerStartedEventAttributes().GetStartToFireTimeout().AsDuration() == time.Millisecond {
			counts[1]++
		}
	}
	return counts
}

// TestBadUpgradeInMidRun: a worker whose workflow does not match what is under way fails workflow tasks and destroys nothing; the worker before it
// ends the run.
func TestBadUpgradeInMidRun(t *testing.T) {
	t.Parallel()
	bad := badUpgrade(t)
	s, run := holding(t)
	s.stop(s.tiger)
	process, err := devstack.StartProcess(devstack.ProcessOptions{
		Name: "bad tiger", Path: bad, Args: []string{"--config", s.config, "--role", "tiger"}, Env: s.environ(),
		LogFile: filepath.Join(s.dir, "bad.log"), // not among those in which TMPRL1100 stands for a bug
	})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, process.Kill()) })
	s.eventually("failed workflow tasks", func() bool {
		description, err := s.temporal.DescribeWorkflowExecution(t.Context(), "server/a", "")
		return err == nil && description.GetPendingWorkflowTask().GetAttempt() > 1
	})
	assert.Contains(t, s.tail(process), "TMPRL1100")
	assert.Equal(t, 2, s.workflows("ExecutionStatus = 'Running'"), "the run and its server wait")
	s.stop(process)
	s.startTiger()

	result := run.result(complete)
	assert.Equal(t, []int{0, 0}, s.changes("server/a"))
	rest := s.collect(complete, "--server", "b")
	s.requireWarehouse()
	s.requireFiles(result, rest)
}
