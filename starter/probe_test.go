package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"

	"talon/activities"
	"talon/workflows"
)

func checked(outcomes ...string) []activities.Check {
	names := []string{
		activities.CheckLogin, activities.CheckSessions, activities.CheckList, activities.CheckRead, activities.CheckResume, activities.CheckTLS,
		activities.CheckStore, activities.CheckRename, activities.CheckDelete,
	}
	checks := make([]activities.Check, len(names))
	for i, name := range names {
		checks[i] = activities.Check{Name: name, Outcome: activities.CheckSkipped}
		if i < len(outcomes) {
			checks[i].Outcome = outcomes[i]
		}
	}
	return checks
}

// Probes of each kind: fine, with problems, and failed, by the server or by Talon itself.
func someProbes() []activities.ServerProbe {
	const ok, failed, skipped = activities.CheckOK, activities.CheckFailed, activities.CheckSkipped
	return []activities.ServerProbe{
		{
			Server: "branch-001", Address: "10.0.0.1:21", Checks: checked(ok, ok, ok, ok, ok, ok),
			Learned: activities.Learned{
				Software: "(vsFTPd 3.0.5)", Passive: "EPSV", Listing: "MLSD", REST: "yes", Charset: "utf-8", Zone: "UTC", TLS: "TLS 1.3", TLSResume: "yes",
				Sessions: 5, Features: []string{"EPSV", "MDTM", "MLST type*;size*;modify*;"},
			},
		},
		{
			Server: "branch-002", Address: "10.0.0.2:21", Result: activities.Partial, Checks: checked(ok, failed, ok, ok, failed, skipped),
			Learned: activities.Learned{Passive: "PASV", Listing: "LIST", REST: "no", Charset: "gbk", Zone: "+08:00", Sessions: 2},
			Problems: []activities.Problem{
				{What: "too_few_sessions", Detail: "server busy: 421 太多连接", Advice: "Set connections: 2 for this server, or have it allow this user 5 sessions at once."},
				{What: "no_rest", Detail: "REST /a.csv: transfer cannot be resumed: 502 No.", Advice: "Have REST enabled."},
			},
		},
		{
			Server: "branch-012", Address: "10.0.0.12:21", Result: activities.Failed, Checks: checked(failed),
			Problems: []activities.Problem{{
				What: "login_refused", Detail: "PASS: login refused: 530 Login\x1b[2J incorrect.", Advice: "Check user collector and its password.",
			}},
		},
		activities.FailedProbe("branch-020", errors.New("the worker died")),
	}
}

func printedProbes(t *testing.T, probes []activities.ServerProbe, output string) string {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, printProbes(&out, probes, output))
	return out.String()
}

func TestProbeOutput(t *testing.T) {
	table := printedProbes(t, someProbes(), outputTable)
	golden(t, "probe.txt", table)
	assertAligned(t, table)
	assert.NotContains(t, table, "\x1b")
	golden(t, "probe.json", printedProbes(t, someProbes(), outputJSON))

	written := someProbes()[:1]
	written[0].Checks = checked("ok", "ok", "ok", "ok", "ok", "ok", "ok", "ok", "failed")
	written[0].Learned.TLSResume = "no"
	golden(t, "probe-write.txt", printedProbes(t, written, outputTable))
}

// TestProbe: page after page, with progress on stderr and everything on stdout.
func TestProbe(t *testing.T) {
	probes := someProbes()
	f := newFake()
	f.end("probe/1", workflows.ProbePage{Servers: probes[:2], Next: "branch-002"}, nil)
	f.end("probe/2", workflows.ProbePage{Servers: probes[2:]}, nil)
	f.progress["probe/1"] = []workflows.Progress{{
		Done: 2, Servers: 4, Position: 2,
		Finished: []workflows.Brief{{Server: "branch-002", Result: 2, Reason: "no_rest", Detail: "502"}, {Server: "branch-001"}},
	}}
	got := f.start(t.Context(), "probe", "--write", "-o", "json")
	assert.Equal(t, activities.Partial, got.code)
	assert.Equal(t, printedProbes(t, probes, outputJSON), got.stdout)
	assert.Equal(t, "branch-002: problems: no rest: 502\nbranch-001: fine\n", got.stderr)

	require.Len(t, f.started, 2)
	first, second := f.started[0], f.started[1]
	assert.Regexp(t, `^probe/\d{8}-\d{6}-[a-z0-9]{4}$`, first.options.ID)
	assert.Equal(t, first.options.ID+"/2", second.options.ID)
	assert.Equal(t, "tiger", first.options.TaskQueue)
	assert.Equal(t, 2*time.Hour, first.options.WorkflowExecutionTimeout)
	assert.Equal(t, enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL, first.options.WorkflowIDConflictPolicy)
	assert.Equal(t, "probe and write to all servers", first.options.StaticSummary)
	assert.Contains(t, first.options.StaticDetails, "stores a small file")
	assert.Equal(t, whoami(), first.options.Memo["by"])
	assert.Equal(t, workflows.ProbeInput{Servers: []string{}, Write: true}, first.input)
	assert.Equal(t, workflows.ProbeInput{Servers: []string{}, Write: true, After: "branch-002"}, second.input)
	assert.Empty(t, f.cancelled)
	assert.Equal(t, 1, f.closed)
}

func TestProbeExitCodes(t *testing.T) {
	probes := someProbes()
	for _, test := range []struct {
		probes []activities.ServerProbe
		want   int
	}{
		{probes[:1], activities.Success},
		{probes[2:], activities.Failed},
		{probes[1:2], activities.Partial},
		{probes[:3], activities.Partial},
	} {
		f := newFake()
		f.end("probe/1", workflows.ProbePage{Servers: test.probes}, nil)
		got := f.start(t.Context(), "probe", "branch-001")
		assert.Equal(t, test.want, got.code)
		assert.Equal(t, printedProbes(t, test.probes, outputTable), got.stdout)
		assert.Equal(t, workflows.ProbeInput{Servers: []string{"branch-001"}}, f.started[0].input)
		assert.Equal(t, "probe branch-001", f.started[0].options.StaticSummary)
		assert.Contains(t, f.started[0].options.StaticDetails, "Nothing is changed on a server")
	}
}

func TestProbeThatCannotRun(t *testing.T) {
	unknown := temporal.NewNonRetryableApplicationError(`there is no server "brnch-001": did you mean branch-001?`, activities.UnknownServer, nil)
	for words, end := range map[string]error{
		"did you mean branch-001?":         workflowError(unknown),
		"was cancelled, terminated or out": workflowError(temporal.NewCanceledError()),
		"lost sight of probe/":             errors.New("connection reset"),
	} {
		f := newFake()
		f.end("probe/1", workflows.ProbePage{}, end)
		f.start(t.Context(), "probe", "brnch-001", "-o", "json").unusable(t, words)
	}
	f := newFake()
	f.startError = errors.New("no such namespace")
	f.start(t.Context(), "probe").unusable(t, "start the probe: no such namespace")
}

// TestProbeInterrupted: tiger does not go on for nobody.
func TestProbeInterrupted(t *testing.T) {
	for _, stubborn := range []error{nil, errors.New("connection reset")} {
		f := newFake()
		f.endless, f.stubborn = true, stubborn
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-f.waiting
			cancel()
		}()
		got := f.start(ctx, "probe")
		got.unusable(t, "interrupted", f.started[0].options.ID)
		assert.Equal(t, stubborn != nil, strings.Contains(got.stderr, "goes on"))
		assert.Equal(t, []string{f.started[0].options.ID}, f.cancelled)
	}
}

func TestProbeBars(t *testing.T) {
	var s screen
	b := newBars(&s, 100)
	b.probed(workflows.Brief{Server: "branch-001"})
	b.probed(workflows.Brief{Server: "branch-012", Result: activities.Failed, Reason: "login_refused", Detail: "530"})
	b.probing(1, 4)
	b.close()
	assert.NotContains(t, s.text(), "branch-001")
	assert.Contains(t, s.text(), "branch-012: FAILED: login refused: 530")
	assert.Contains(t, s.text(), "25.00%")
}

// TestProbeJSONNames: other programs read them.
func TestProbeJSONNames(t *testing.T) {
	var read struct {
		Servers map[string]map[string]any `json:"servers"`
	}
	require.NoError(t, json.Unmarshal([]byte(printedProbes(t, someProbes(), outputJSON)), &read))
	assert.Len(t, read.Servers, 4)
	for _, name := range []string{"server", "address", "result", "checks", "learned", "problems"} {
		assert.Contains(t, read.Servers["branch-002"], name)
	}
}
