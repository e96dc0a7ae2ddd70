package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
)

// TestCancelledRun cancels a run in the middle of its second page: what has arrived stays, what has not is accounted for, nothing
// is left in the stage, and the next run collects the rest.
func TestCancelledRun(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	a := s.addSite("a")
	for i := range 9 {
		a.put(fmt.Sprintf("%d.csv", i), text(fmt.Sprint("a", i), 3000))
	}
	a.putZip("0.zip", member("one.txt", text("one", 500)))
	s.configure("collect: {page: 4}")
	held := a.hold("6.csv")
	s.watch()
	s.start()

	named := filepath.Join(s.dir, "run")
	run := s.beginCollect("--run-file", named)
	await(s, "transfer of 6.csv", held.held)
	id := s.runID(named)
	require.NoError(t, s.temporal.CancelWorkflow(t.Context(), id, ""))
	result := run.result(partly)
	err := s.temporal.GetWorkflow(t.Context(), id, "").Get(t.Context(), nil)
	require.True(t, temporal.IsCanceledError(err), "the run ended with %v", err)
	assert.Equal(t, "cancelled", result.Servers["a"].Reason)
	assert.Equal(t, partly, result.Servers["a"].Result)
	assert.GreaterOrEqual(t, result.Servers["a"].NumberOfFiles, 4, "the first page")
	assert.Equal(t, "cancelled", reasons(result.Servers["a"].Failed)["6.csv"])
	assert.Equal(t, complete, result.Decompress.Archives["a/0.zip"].Result)
	require.Empty(t, s.staged())

	held.release()
	rest := s.collect(complete)
	assert.Equal(t, 10, result.Servers["a"].NumberOfFiles+rest.Servers["a"].NumberOfFiles)
	s.requireWarehouse()
	s.requireFiles(result, rest)
}

// runID reads what --run-file has written.
func (s *stack) runID(file string) string {
	s.t.Helper()
	written, err := os.ReadFile(file)
	require.NoError(s.t, err)
	return strings.TrimSpace(string(written))
}

// TestTwoRunsAtOnce: the second run finds the server that the first one holds busy, and collects the others.
func TestTwoRunsAtOnce(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	a, b := s.addSite("a"), s.addSite("b")
	a.put("1.csv", text("one", 3000))
	a.putZip("2.zip", member("two.txt", text("two", 500)))
	s.configure("")
	held := a.hold("1.csv")
	s.watch()
	s.start()

	first := s.beginCollect()
	await(s, "transfer of 1.csv", held.held)
	s.eventually("b to be free again", func() bool {
		return s.workflows("WorkflowId = 'server/b' AND ExecutionStatus = 'Completed'") == 1
	})
	b.put("3.csv", text("three", 300))
	second := s.collect(partly)
	assert.Equal(t, failed, second.Servers["a"].Result)
	assert.Equal(t, "busy", second.Servers["a"].Reason)
	assert.Zero(t, second.Servers["a"].NumberOfFiles)
	assert.Equal(t, 1, second.Servers["b"].NumberOfFiles)

	held.release()
	result := first.result(complete)
	assert.Equal(t, 2, result.Servers["a"].NumberOfFiles)
	s.requireWarehouse()
	s.requireFiles(result, second)
	s.requireNothingNew()
}
