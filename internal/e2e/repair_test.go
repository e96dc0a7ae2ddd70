package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
)

// The JSON of verify, forget and clean.
type (
	verifyResult struct {
		Verification string
		Result       int
		Counts       struct{ Checked, Intact, Damaged, Missing, Unreadable, Unknown, Unsettled, Aside, Stuck int }
		Mended       *struct {
			Aside, Forgotten, Again, Hopeless int
			Servers                           []string
			Collection                        string
		}
		Findings []struct{ Area, Kind, Path, Done, Aside, Detail string }
	}
	forgetResult struct {
		Forgotten []struct {
			Server, Path, Gone string
			LocalPath          string `json:"local_path"`
			Version            int
		}
	}
	cleanResult struct {
		Meant bool
		Spent map[string]struct {
			Count int
			Bytes int64
		}
	}
)

// verify runs a verification, demands its exit code and that its counts add up.
func (s *stack) verify(want int, args ...string) verifyResult {
	s.t.Helper()
	return s.begin(append([]string{"verify", "-o", "json"}, args...)...).verified(want)
}

func (c *call) verified(want int) verifyResult {
	c.stack.t.Helper()
	var result verifyResult
	c.code(want).decode(&result)
	n := result.Counts
	assert.Equal(c.stack.t, n.Checked, n.Intact+n.Damaged+n.Missing+n.Unreadable)
	return result
}

// found are the kinds of findings by the path below the root of the warehouse.
func (r verifyResult) found() map[string]string {
	found := map[string]string{}
	for _, f := range r.Findings {
		found[f.Area+"/"+f.Path] = f.Kind
	}
	return found
}

// spoil changes one byte of a visible file.
func (s *stack) spoil(name string) {
	s.t.Helper()
	file := filepath.Join(s.root, name)
	data, err := os.ReadFile(file)
	require.NoError(s.t, err)
	data[len(data)/2] ^= 0x40
	require.NoError(s.t, os.WriteFile(file, data, 0o600))
}

// withoutAside takes the damaged files that were set aside out of the warehouse, so that the oracle need not know of them, and returns their names.
func (s *stack) withoutAside() []string {
	s.t.Helper()
	visible, err := s.look()
	require.NoError(s.t, err)
	var names []string
	for name := range visible {
		if strings.Contains(name, ".damaged-") {
			names = append(names, name)
			require.NoError(s.t, os.Remove(filepath.Join(s.root, name)))
		}
	}
	return names
}

// TestVerifyAndMend: bytes that flipped and files that vanished are named, exactly; then they come back from the servers and from their archives.
func TestVerifyAndMend(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	a, b := s.addSite("a"), s.addSite("b")
	for i := range 6 {
		a.put(fmt.Sprintf("f%d.csv", i), text(fmt.Sprint("f", i), 3000))
		a.putZip(fmt.Sprintf("p%d.zip", i), member("m.txt", text(fmt.Sprint("m", i), 2000)), member("dir/n.txt", text(fmt.Sprint("n", i), 2000)))
	}
	b.put("whole.csv", text("whole", 100))
	s.configure("")
	s.start()
	s.collect(complete)
	s.requireWarehouse()
	s.refused("there is no server \"bb\"", "verify", "--server", "bb")
	sound := s.verify(complete)
	assert.Equal(t, 25, sound.Counts.Intact)
	assert.Empty(t, sound.Findings)

	s.spoil("zip/a/f1.csv")
	s.spoil("zip/a/p1.zip")
	s.spoil("unzip/a/p1/m.txt")
	s.spoil("unzip/a/p2/dir/n.txt")
	for _, name := range []string{"zip/a/f2.csv", "unzip/a/p3/m.txt"} {
		require.NoError(t, os.Remove(filepath.Join(s.root, name)))
	}
	stray := filepath.Join(s.root, "zip/b/stray.csv")
	require.NoError(t, os.WriteFile(stray, []byte("?"), 0o600))
	spoilt := map[string]string{
		"zip/a/f1.csv": "damaged", "zip/a/p1.zip": "damaged", "zip/a/f2.csv": "missing", "unzip/a/p1/m.txt": "damaged",
		"unzip/a/p2/dir/n.txt": "damaged", "unzip/a/p3/m.txt": "missing", "zip/b/stray.csv": "unknown",
	}
	before, err := s.look()
	require.NoError(t, err)
	result := s.verify(partly)
	assert.Equal(t, spoilt, result.found())
	assert.Equal(t, []int{25, 19, 4, 2, 1}, []int{
		result.Counts.Checked, result.Counts.Intact, result.Counts.Damaged, result.Counts.Missing, result.Counts.Unknown,
	})
	after, err := s.look()
	require.NoError(t, err)
	assert.Equal(t, before, after, "nothing is touched")
	assert.Equal(t, result, s.verify(partly, "--show", result.Verification), "told again")

	mended := s.verify(partly, "--fetch")
	assert.Equal(t, spoilt, mended.found())
	require.NotNil(t, mended.Mended)
	assert.Equal(t, []int{4, 3, 3, 0}, []int{mended.Mended.Aside, mended.Mended.Forgotten, mended.Mended.Again, mended.Mended.Hopeless})
	assert.Equal(t, []string{"a"}, mended.Mended.Servers)
	require.NoError(t, os.Remove(stray))
	again := s.verify(complete)
	assert.Equal(t, []int{25, 25, 4}, []int{again.Counts.Checked, again.Counts.Intact, again.Counts.Aside})
	assert.Len(t, s.withoutAside(), 4, "what was damaged is not lost")
	s.requireWarehouse()
	s.requireNothingNew()
}

// TestVerifyKilled: a worker that dies in the middle costs neither the verification nor its sums.
func TestVerifyKilled(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	a := s.addSite("a")
	const files = 400
	for i := range files {
		a.put(fmt.Sprintf("%03d.csv", i), text(fmt.Sprint(i), 4000))
	}
	s.configure("")
	s.start()
	s.collect(complete)
	s.spoil("zip/a/001.csv")
	s.spoil("zip/a/390.csv")

	run := s.begin("verify", "-o", "json", "--rate", "200KiB") // eight seconds
	s.eventually("a finding of the first batch", func() bool { return s.heartbeats("VerifyWorkflow") })
	require.NoError(t, s.tiger.Kill())
	require.NoError(t, os.Remove(filepath.Join(s.root, "zip/a/000.csv"))) // it had been read, and is not read again
	s.startTiger()
	result := run.verified(partly)
	assert.Equal(t, map[string]string{"zip/a/001.csv": "damaged", "zip/a/390.csv": "damaged"}, result.found())
	assert.Equal(t, []int{files, files - 2, 2}, []int{result.Counts.Checked, result.Counts.Intact, result.Counts.Damaged})
}

// heartbeats tells whether the activity of a running workflow has left a checkpoint.
func (s *stack) heartbeats(workflowType string) bool {
	open, err := s.temporal.ListWorkflow(s.t.Context(), &workflowservice.ListWorkflowExecutionsRequest{
		Namespace: s.namespace, Query: "WorkflowType = '" + workflowType + "'",
	})
	if err != nil || len(open.GetExecutions()) == 0 {
		return false
	}
	answer, err := s.temporal.DescribeWorkflowExecution(s.t.Context(), open.GetExecutions()[0].GetExecution().GetWorkflowId(), "")
	if err != nil {
		return false
	}
	for _, pending := range answer.GetPendingActivities() {
		if len(pending.GetHeartbeatDetails().GetPayloads()) > 0 && strings.Contains(string(pending.GetHeartbeatDetails().GetPayloads()[0].GetData()), `"checked"`) {
			return true
		}
	}
	return false
}

// TestForgetAndClean: a forgotten file is fetched again into its place, old versions go when they are told to, and both leave everything else alone.
func TestForgetAndClean(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	a := s.addSite("a")
	a.put("a.csv", text("a", 500))
	a.put("dir/old.csv", text("old", 500))
	s.configure("")
	s.start()
	first := s.collect(complete)
	s.requireFiles(first)
	s.requireNothingNew()

	refused := s.starter("forget", "b.csv").code(failed)
	assert.Contains(t, refused.stderr.String(), "knows no such file")
	assert.Contains(t, s.starter("forget", "A.csv").code(failed).stderr.String(), "did you mean a/a.csv")
	require.NoError(t, os.Remove(filepath.Join(s.root, "zip/a/a.csv")))
	var forgotten forgetResult
	s.starter("forget", "-o", "json", "a.csv", "a/dir/old.csv").code(complete).decode(&forgotten)
	require.Len(t, forgotten.Forgotten, 2)
	assert.Equal(t, "a/a.csv", forgotten.Forgotten[0].LocalPath)
	again := s.collect(complete)
	s.requireFiles(again)
	s.requireWarehouse()
	s.requireNothingNew()

	a.serve("dir/old.csv", text("new", 700), written.Add(time.Hour))
	s.collect(complete)
	before, err := s.look()
	require.NoError(t, err)
	require.Contains(t, before, "zip/a/dir/old~2.csv")
	var counted, cleaned cleanResult
	s.starter("clean", "--versions-older-than", "0h", "-o", "json").code(complete).decode(&counted)
	unchanged, err := s.look()
	require.NoError(t, err)
	assert.Equal(t, before, unchanged)
	s.starter("clean", "--versions-older-than", "0h", "--runs-older-than", "400d", "--yes", "-o", "json").code(complete).decode(&cleaned)
	assert.True(t, cleaned.Meant)
	assert.Equal(t, counted.Spent["old versions"], cleaned.Spent["old versions"])
	assert.Equal(t, 1, cleaned.Spent["old versions"].Count)
	assert.EqualValues(t, 500, cleaned.Spent["old versions"].Bytes)
	delete(before, "zip/a/dir/old.csv")
	left, err := s.look()
	require.NoError(t, err)
	assert.Equal(t, before, left)
	assert.Equal(t, 2, s.verify(complete).Counts.Intact)
	row := s.collect(complete).Servers["a"]
	assert.Equal(t, []int{2, 2}, []int{row.Listed, row.Unchanged})
}
