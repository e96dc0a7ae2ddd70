package main

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// completions asks as a shell does, and returns what is offered and the directive.
func (f *fakeTemporal) completions(t *testing.T, args ...string) (offered []string, directive string) {
	t.Helper()
	got := f.start(t.Context(), append([]string{"__complete"}, args...)...)
	assert.Zero(t, got.code, got.stderr)
	lines := strings.Split(strings.TrimSpace(got.stdout), "\n")
	return lines[:len(lines)-1], lines[len(lines)-1]
}

// Directives to shells.
const (
	noFiles   = ":4"
	asOffered = ":36" // and no files
	files     = ":0"
	endings   = ":8"
	dirs      = ":16"
)

func TestCompletion(t *testing.T) {
	config := writeConfig(t, settings+"  # password: hunter2\n")
	t.Setenv("TALON_CONFIG", writeConfig(t, "servers: {alpha: {host: h, password: hunter2}, beta: {host: h}}\n"))
	f := newFake()
	started := time.Date(2026, time.January, 5, 6, 0, 0, 0, time.UTC)
	for _, id := range []string{"collect/20260105-b", "collect/20260105-a", "decompress/20260104-c"} {
		f.listed = append(f.listed, &workflowpb.WorkflowExecutionInfo{
			Execution: &commonpb.WorkflowExecution{WorkflowId: id}, StartTime: timestamppb.New(started), Status: enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING,
		})
	}
	f.listed = append(f.listed, &workflowpb.WorkflowExecutionInfo{
		Execution: &commonpb.WorkflowExecution{WorkflowId: "collect/20260105-b/1"}, ParentExecution: &commonpb.WorkflowExecution{},
	})
	running := func(ids ...string) (lines []string) {
		for _, id := range ids {
			lines = append(lines, id+"\t2026-01-05 06:00:00, running")
		}
		return lines
	}
	for _, test := range []struct {
		line, directive string
		want            []string
	}{
		{"collect -o |", noFiles, []string{"table", "json", "csv"}},
		{"probe -o |", noFiles, []string{"table", "json"}},
		{"schedule describe --output |", noFiles, []string{"table", "json"}},
		{"runs --kind |", noFiles, []string{"collect", "decompress"}},
		{"runs --result |", noFiles, []string{"complete", "partly", "failed", "running", "unfinished"}},
		{"files --state |", noFiles, fileStates},
		{"files |", noFiles, []string{}},
		{"deployment current |", noFiles, []string{"tiger", "eagle"}},
		{"deployment current tiger |", noFiles, []string{}},
		{"files --since |", noFiles, []string{}},
		{"collect --config " + config + " --server |", noFiles, []string{"branch-001", "branch-002", "headquarters"}},
		{"schedule create --config " + config + " --server br|", noFiles, []string{"branch-001", "branch-002"}},
		{"collect --config /nowhere --server |", noFiles, []string{}},
		{"collect --server |", noFiles, []string{"alpha", "beta"}},
		{"pause |", noFiles, []string{"alpha", "beta"}},
		{"pause alpha |", noFiles, []string{}},
		{"probe alpha |", noFiles, []string{"beta"}},
		{"servers a|", noFiles, []string{"alpha"}},
		{"collect |", noFiles, []string{}},
		{"collect --config |", endings, []string{"yaml", "yml"}},
		{"collect --run-file |", files, []string{}},
		{"collect --buffer |", dirs, []string{}},
		{"status --lag |", noFiles, []string{}},
		{"pause alpha --why |", noFiles, []string{}},
		{"decompress /a |", dirs, []string{}},
		{"result |", asOffered, running("collect/20260105-b", "collect/20260105-a", "decompress/20260104-c")},
		{"result 20260105-a|", asOffered, running("20260105-a")},
		{"cancel decompress/|", asOffered, running("decompress/20260104-c")},
	} {
		prefix := strings.Fields(strings.TrimSuffix(test.line, "|"))
		if strings.HasSuffix(test.line, " |") {
			prefix = append(prefix, "")
		}
		offered, directive := f.completions(t, prefix...)
		assert.Equal(t, test.want, append([]string{}, offered...), test.line)
		assert.Equal(t, test.directive, directive, test.line)
	}
	assert.NotContains(t, f.queries[0], "ExecutionStatus")
	assert.Contains(t, f.queries[len(f.queries)-1], "ExecutionStatus = 'Running'", "only what runs can be cancelled")
	offered, _ := f.completions(t, "retry", "")
	assert.Equal(t, append([]string{"alpha", "beta"}, running("collect/20260105-b", "collect/20260105-a", "decompress/20260104-c")...), offered[:5])
}

// TestCompletionUsualConfig: without --config and TALON_CONFIG it is talon.yaml here.
func TestCompletionUsualConfig(t *testing.T) {
	t.Setenv("TALON_CONFIG", "")
	t.Chdir(filepath.Dir(writeConfig(t, settings)))
	offered, _ := newFake().completions(t, "probe", "head")
	assert.Equal(t, []string{"headquarters"}, offered)
}

// TestCompletionScripts: the scripts go where everything goes.
func TestCompletionScripts(t *testing.T) {
	f := newFake()
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		got := f.start(t.Context(), "completion", shell)
		assert.Zero(t, got.code)
		assert.Contains(t, got.stdout, "__complete", shell)
	}
	assert.Zero(t, f.dialled)
	f.listError = errors.New("away")
	offered, directive := f.completions(t, "result", "")
	assert.Empty(t, offered)
	assert.Equal(t, noFiles, directive)
}
