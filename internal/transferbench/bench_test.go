package transferbench

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"talon/internal/archive/sandbox"
	"talon/internal/contest"
	"talon/internal/gateway"
)

func TestMain(m *testing.M) {
	sandbox.RunIfChild()
	RunIfChild()
	goleak.VerifyTestMain(m)
}

// versitygw is built by the first test that needs it.
var versitygw = sync.OnceValues(func() (string, error) {
	return gateway.FindOrBuild(context.Background(), gateway.FindOptions{ToolsDir: filepath.Join("..", "..", "tools"), Log: os.Stderr})
})

var small = Scale{Files: 12, Archives: 3, ArchiveFiles: 2, LargeBytes: 300_000, Tiny: 15, MemberBytes: 3_000_000, ManyArchives: 4}

// options measure once, with little, and with what is on the PATH or was fetched before.
func options(t *testing.T) Options {
	t.Helper()
	program, err := versitygw()
	require.NoError(t, err)
	return Options{Rounds: 1, Budget: time.Minute, Scale: small, Versitygw: program, Dir: t.TempDir(), EagleDir: t.TempDir(), Log: t.Output()}
}

// measure also finds that nothing is left behind.
func measure(t *testing.T, opts Options) Result {
	t.Helper()
	result, err := Run(t.Context(), opts)
	require.NoError(t, err)
	for _, dir := range []string{opts.Dir, opts.EagleDir} {
		left, err := os.ReadDir(dir)
		require.NoError(t, err)
		assert.Empty(t, left)
	}
	assert.False(t, slices.ContainsFunc(contest.Processes(), func(p contest.Process) bool { return p.Parent == os.Getpid() }), "a process is left")
	return result
}

// TestEveryCase: Talon brings the files of every case.
func TestEveryCase(t *testing.T) {
	opts := options(t)
	opts.Contenders = []string{own}
	result := measure(t, opts)
	require.Len(t, result.Cases, len(Cases()))
	for i, c := range result.Cases {
		assert.Equal(t, Cases()[i], c.Case)
		assert.Equal(t, "there is no peer", c.Problem)
		require.Len(t, c.Contenders, 1)
		require.Empty(t, c.Contenders[0].Skipped)
		assert.Positive(t, c.Contenders[0].Median)
		assert.GreaterOrEqual(t, c.Contenders[0].CPU, 0.0, "less than a tick of the kernel's clock for so little")
		assert.Positive(t, c.ArchiveBytes)
	}
	files := func(c CaseResult) [2]int { return [2]int{c.Archives, c.Files} }
	assert.Equal(t, [][2]int{{1, 12}, {3, 6}, {1, 1}, {1, 1}, {1, 15}}, [][2]int{
		files(result.Cases[0]), files(result.Cases[1]), files(result.Cases[2]), files(result.Cases[3]), files(result.Cases[4]),
	})
	assert.EqualValues(t, small.LargeBytes, result.Cases[2].Bytes)
	assert.Greater(t, result.Cases[2].ArchiveBytes, small.LargeBytes)
	assert.Less(t, result.Cases[3].ArchiveBytes, small.LargeBytes/2)
	assert.True(t, result.Verified())
}

// TestEveryContender: all bring the same files, but for peers whose programs this machine does not have.
func TestEveryContender(t *testing.T) {
	opts := options(t)
	opts.Cases, opts.Profiles = []string{caseArchives}, t.TempDir()
	result := measure(t, opts)
	assert.True(t, result.Verified())
	c := result.Cases[0]
	require.Len(t, c.Contenders, len(Contenders()))
	peers := 0
	for i, contender := range c.Contenders {
		assert.Equal(t, Contenders()[i], contender.Name)
		assert.Equal(t, !strings.HasPrefix(contender.Name, "talon"), contender.Peer)
		if contender.Skipped != "" {
			require.Contains(t, contender.Skipped, " on the PATH, nor from Debian: not available")
			continue
		}
		assert.Equal(t, 1, contender.Runs)
		if contender.Peer {
			peers++
			assert.GreaterOrEqual(t, contender.Median, c.median(c.Peer), "%s is faster than the fastest", contender.Name)
		}
	}
	for _, role := range []string{roleTiger, roleEagle, roleGateway} {
		profile, err := os.Stat(profileIn(opts.Profiles, caseArchives+"-"+own, role))
		require.NoError(t, err)
		assert.Positive(t, profile.Size())
	}
	if peers == 0 {
		t.Skip("no peer: make bench-transfer fetches them")
	}
	assert.InDelta(t, c.median(own)/c.median(c.Peer), c.Ratio, 1e-9)
}

// TestWorkNotDone: who does not bring the right files is not measured, and if it is Talon, all is said to be in vain.
func TestWorkNotDone(t *testing.T) {
	opts := options(t)
	b := &bench{opts: opts, dir: opts.Dir, far: opts.EagleDir, versitygw: opts.Versitygw}
	b.findPrograms(t.Context())
	nothing := func(context.Context, *bench, *peerRun) error { return nil }
	all := []contender{
		{name: "right", peer: &peer{nil, nothing, `cp -a "$SOURCE/." "$ARRIVED"`}},
		{name: "less", peer: &peer{nil, nothing, `cp -a "$SOURCE/." "$ARRIVED" && rm -r "$ARRIVED/report-0002"`}},
		{name: "wrong", peer: &peer{nil, nothing, `cp -a "$SOURCE/." "$ARRIVED" && echo >>"$ARRIVED/report-0001/ledger-0001.txt"`}},
		{name: "broken", peer: &peer{nil, nothing, `echo no way >&2; exit 4`}},
	}
	m := &measurement{benchCase: cases[1], contenders: all, samples: map[string][]contest.Sample{}, dropped: map[string]string{}}
	require.NoError(t, b.measure(t.Context(), m))
	assert.Equal(t, map[string]string{
		"less":   "of 6 files 2 are missing and 0 wrong, and 0 are too many: report-0002/ledger-0001.txt",
		"wrong":  "of 6 files 0 are missing and 1 wrong, and 0 are too many: report-0001/ledger-0001.txt",
		"broken": "exit status 4: no way",
	}, m.dropped)
	assert.Len(t, m.samples["right"], 1)
	assert.True(t, Result{Cases: []CaseResult{m.result()}}.Verified(), "peers may fail")

	opts.Cases, opts.Contenders = []string{caseArchives}, []string{own}
	broken := filepath.Join(t.TempDir(), "broken")
	require.NoError(t, os.WriteFile(broken, []byte("#!/bin/sh\nexit 7\n"), 0o700))
	opts.Versitygw = broken
	result := measure(t, opts)
	assert.False(t, result.Verified())
	assert.Contains(t, result.Cases[0].Contenders[0].Skipped, "exit status 7")
	assert.Equal(t, "Talon's transfer was not measured", result.Cases[0].Problem)
}

// TestBudget: who is slow runs in fewer rounds, but once.
func TestBudget(t *testing.T) {
	opts := options(t)
	opts.Rounds = 3
	for budget, runs := range map[time.Duration]int{time.Nanosecond: 1, time.Hour: 3} {
		opts.Budget = budget
		b := &bench{opts: opts, dir: opts.Dir, far: opts.EagleDir}
		b.findPrograms(t.Context())
		nothing := func(context.Context, *bench, *peerRun) error { return nil }
		m := &measurement{benchCase: cases[1], samples: map[string][]contest.Sample{}, dropped: map[string]string{}, contenders: []contender{
			{name: "copy", peer: &peer{nil, nothing, `cp -a "$SOURCE/." "$ARRIVED"`}},
		}}
		require.NoError(t, b.measure(t.Context(), m))
		assert.Len(t, m.samples["copy"], runs)
	}
}

// TestMemory: each of Talon's processes is seen.
func TestMemory(t *testing.T) {
	opts := options(t)
	opts.Memory = true
	result := measure(t, opts)
	require.Len(t, result.Memory, len(memoryCases))
	for i, want := range []MemoryResult{{Archives: 1, Files: 1, Bytes: small.MemberBytes}, {Archives: 1, Files: 15}, {Archives: 4, Files: 8}} {
		got := result.Memory[i]
		require.Empty(t, got.Problem, got.Case)
		assert.Equal(t, []int{want.Archives, want.Files}, []int{got.Archives, got.Files}, got.Case)
		for name, bytes := range map[string]int64{"eagle": got.Eagle, "child": got.Child, "tiger": got.Tiger, "door": got.Door, "versitygw": got.Versitygw} {
			assert.Greater(t, bytes, int64(4<<20), "%s: %s", got.Case, name)
		}
	}
	assert.Equal(t, small.MemberBytes, result.Memory[0].Bytes)
	assert.InEpsilon(t, small.MemberBytes/8, result.Memory[0].ArchiveBytes, 0.1, "the packed member")
	assert.True(t, result.Verified())
}

// TestRoom: a member is no larger than the disk can bear.
func TestRoom(t *testing.T) {
	var log bytes.Buffer
	b := &bench{opts: Options{Scale: Scale{MemberBytes: 1 << 60}, Log: &log}, dir: t.TempDir()}
	assert.Less(t, b.memberBytes(), int64(1<<60))
	assert.Contains(t, log.String(), "there is no room for a member of 1152921504606.8 MB")
}

func TestUnknownNames(t *testing.T) {
	_, err := Run(t.Context(), Options{Cases: []string{"floppies"}})
	require.EqualError(t, err, `there is no case "floppies": there are files, archives, random, text, tiny`)
	_, err = Run(t.Context(), Options{Contenders: []string{"pigeon"}})
	require.ErrorContains(t, err, `there is no contender "pigeon": there are talon, talon-disk,`)
}

func TestPrint(t *testing.T) {
	result := Result{
		Cases: []CaseResult{
			{
				Case: "files", Title: "many", Archives: 1, ArchiveBytes: 24_100_000, Files: 1000, Bytes: 50_000_000, Contenders: []ContenderResult{
					{Name: own, Runs: 5, Best: 1, Median: 2, Worst: 3, CPU: 0.5},
					{Name: "rclone-s3", Peer: true, Runs: 2, Best: 5, Median: 8, Worst: 9, CPU: 4},
					{Name: "rclone-sftp", Peer: true, Runs: 2, Best: 3, Median: 4, Worst: 9},
					{Name: "tar-zstd-ssh", Peer: true, Skipped: "no sshd on the PATH"},
				},
			},
			{Case: "tiny", Title: "none", Problem: "no space left on device"},
		},
		Memory: []MemoryResult{
			{Case: "member", Title: "large", Archives: 1, Files: 1, Bytes: 10e9, Seconds: 100, Eagle: 11e6, Child: 12e6, Tiger: 13e6, Door: 14e6, Versitygw: 15e6},
			{Case: "members", Problem: "it took too long"},
		},
	}
	result.Cases[0].compare()
	assert.Equal(t, "rclone-sftp", result.Cases[0].Peer)
	var tables, document bytes.Buffer
	result.PrintTables(&tables)
	lines := strings.Join(strings.Fields(strings.ReplaceAll(tables.String(), "│", "|")), " ")
	for _, row := range []string{
		"| files | talon | 5 | 1.000 | 2.000 | 3.000 | 0.50 | 25.0 | 500 | 1.00 |",
		"| files | rclone-s3 | 2 | 5.000 | 8.000 | 9.000 | 4.00 | 6.2 | 125 | 4.00 |",
		"| files | many | rclone-sftp | 1 | 24.1 | 1000 | 50.0 | 2.000 | 4.000 | 0.50 |",
		"| member | large | 1 | 0.0 | 1 | 10000.0 | 100.000 | 0.0 | 11.0 | 12.0 | 13.0 | 14.0 | 15.0 |",
		"files: without tar-zstd-ssh: no sshd on the PATH", "tiny: no ratio: no space left on device", "members: not measured: it took too long",
	} {
		assert.Contains(t, lines, row)
	}
	assert.False(t, result.Verified())
	require.NoError(t, result.PrintJSON(&document))
	var read Result
	require.NoError(t, json.Unmarshal(document.Bytes(), &read))
	assert.Equal(t, result, read)
}
