package contest_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/contest"
	"talon/internal/debian"
)

func TestSummarise(t *testing.T) {
	sample := func(wall, cpu time.Duration, memory int64) contest.Sample {
		return contest.Sample{Wall: wall, CPU: cpu, Memory: memory}
	}
	samples := []contest.Sample{sample(5, 50, 1), sample(1, 10, 3), sample(3, 30, 2)}
	assert.Equal(t, contest.Summary{Best: 1, Median: 3, Worst: 5, CPU: 10, Memory: 3}, contest.Summarise(samples))
	assert.EqualValues(t, 5, samples[0].Wall, "the samples keep their order")
	assert.Equal(t, contest.Summary{Best: 2, Median: 4, Worst: 6, CPU: 20}, contest.Summarise([]contest.Sample{sample(6, 60, 0), sample(2, 20, 0)}))
}

func TestInTurn(t *testing.T) {
	all := []string{"a", "b", "c"}
	for round, want := range []string{"abc", "bca", "cab", "abc"} {
		assert.Equal(t, want, strings.Join(slices.Collect(contest.InTurn(round, all)), ""))
	}
	for first := range contest.InTurn(1, all) {
		assert.Equal(t, "b", first)
		break
	}
}

func TestTree(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, contest.NewClerk(1).Tree(dir, 25, 500))
	tree, err := contest.ReadTree(dir)
	require.NoError(t, err)
	assert.Len(t, tree.Files, 25)
	again := t.TempDir()
	require.NoError(t, contest.NewClerk(1).Tree(again, 25, 500))
	same, err := contest.ReadTree(again)
	require.NoError(t, err)
	assert.Empty(t, tree.Difference(same), "the same seed gives the same files")
	require.NoError(t, contest.NewClerk(2).Movements(filepath.Join(again, "more.csv"), 1000))
	other, err := contest.ReadTree(again)
	require.NoError(t, err)
	assert.Equal(t, "of 25 files 0 are missing and 0 wrong, and 1 are too many: more.csv", tree.Difference(other))
	require.NoError(t, os.Symlink("more.csv", filepath.Join(again, "link")))
	_, err = contest.ReadTree(again)
	assert.ErrorContains(t, err, "link is no file")
}

func TestScript(t *testing.T) {
	run := func(text string) (contest.Sample, error) {
		return contest.Script{Text: text, Dir: t.TempDir(), Env: []string{"PATH=" + os.Getenv("PATH"), "A=alpha"}, Patience: time.Minute}.Run(t.Context())
	}
	sample, err := run(`test "$A" = alpha && test -z "$HOME"`)
	require.NoError(t, err)
	assert.Positive(t, sample.Wall)
	assert.Positive(t, sample.Memory)
	_, err = run("echo one >&2; echo two >&2; exit 4")
	assert.EqualError(t, err, "exit status 4: one")
	_, err = contest.Script{Text: "sleep 1000 & wait", Env: os.Environ(), Patience: time.Millisecond}.Run(t.Context())
	assert.EqualError(t, err, "it took more than 1ms")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = contest.Script{Text: "sleep 1000", Env: os.Environ(), Patience: time.Minute}.Run(ctx)
	assert.ErrorIs(t, err, context.Canceled)
}

func TestFindPrograms(t *testing.T) {
	asked := 0
	found := contest.FindPrograms([]string{"sh", "no-such-program", "nor-this"}, func(debian.Set) (*debian.Installation, error) {
		asked++
		return nil, errors.New("no network")
	}, debian.Set{Files: []string{"usr/bin/no-such-program"}}, debian.Set{Files: []string{"usr/bin/sh"}})
	assert.Equal(t, 1, asked, "a set without anything that is missing is not brought")
	assert.Empty(t, found.Missing([]string{"sh"}))
	assert.Equal(t, "no no-such-program on the PATH, nor from Debian: no network", found.Missing([]string{"sh", "no-such-program"}))
	assert.Equal(t, "no nor-this on the PATH", found.Missing([]string{"nor-this"}))
	path, err := found.Path("sh")
	require.NoError(t, err)
	assert.True(t, filepath.IsAbs(path))
	_, err = found.Path("no-such-program")
	require.ErrorIs(t, err, exec.ErrNotFound)
	assert.Equal(t, []string{"A=1", "PATH=" + os.Getenv("PATH")}, found.Environ([]string{"A=1"}))
}

// TestProcesses: what children do is counted, whether they still run or not.
func TestProcesses(t *testing.T) {
	before := contest.CPUOfDescendants()
	busy := exec.Command("sh", "-c", "i=0; while test $i -lt 100000; do i=$((i+1)); done; echo; read wait")
	input, err := busy.StdinPipe()
	require.NoError(t, err)
	output, err := busy.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, busy.Start())
	_, err = output.Read(make([]byte, 1))
	require.NoError(t, err)
	running := contest.CPUOfDescendants() - before
	assert.Positive(t, running)
	assert.True(t, slices.ContainsFunc(contest.Processes(), func(p contest.Process) bool {
		return p.ID == busy.Process.Pid && p.Parent == os.Getpid() && p.CPU > 0
	}))
	assert.Positive(t, contest.PeakOf(busy.Process.Pid))
	require.NoError(t, input.Close())
	_ = busy.Wait() // it could not read
	assert.GreaterOrEqual(t, contest.CPUOfDescendants()-before, running)
	assert.Zero(t, contest.PeakOf(busy.Process.Pid))
}

func TestPeak(t *testing.T) {
	contest.ResetPeak()
	small := contest.Peak()
	assert.Positive(t, small)
	const more = 64 << 20
	block := make([]byte, more)
	for i := range block {
		block[i] = 1
	}
	assert.Greater(t, contest.Peak(), small+more/2)
	runtime.KeepAlive(block)
}
