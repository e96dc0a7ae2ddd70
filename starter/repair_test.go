package main

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"talon/activities"
	"talon/workflows"
)

// tigers is a Temporal behind which tiger answers questions; other workflows end as fakeTemporal says.
type tigers struct {
	*fakeTemporal
	answer func(input any) (any, error) // nil, nil: it is no question
}

func (f *tigers) ExecuteWorkflow(ctx context.Context, options client.StartWorkflowOptions, workflow any, args ...any) (client.WorkflowRun, error) {
	run, err := f.fakeTemporal.ExecuteWorkflow(ctx, options, workflow, args...)
	if answer, broken := f.answer(args[0]); err == nil && (answer != nil || broken != nil) {
		return &fakeRun{id: options.ID, get: func(context.Context) (any, error) { return answer, broken }}, nil
	}
	return run, err
}

// run runs a command line.
func (f *tigers) run(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	a := &app{stdout: &out, stderr: &errs, dial: func(context.Context) (client.Client, error) { return f, nil }}
	code = a.execute(ctx, args)
	return code, out.String(), errs.String()
}

// forgetting answers with a result, or refuses.
func forgetting(result activities.ForgetResult, err error) *tigers {
	return &tigers{newFake(), func(any) (any, error) {
		if err != nil {
			return nil, workflowError(err)
		}
		return result, nil
	}}
}

func TestForget(t *testing.T) {
	done := activities.ForgetResult{Forgotten: []activities.Forgotten{
		{Server: "branch-001", Kind: "collected", Path: "a.zip", LocalPath: "branch-001/a.zip", Version: 2, Size: 5, Gone: "delete"},
		{Server: "branch-001", Kind: "adopted", Path: "/out/b.csv", Again: true},
	}}
	f := forgetting(done, nil)
	code, stdout, stderr := f.run(t.Context(), "forget", "--server", "branch-001", "--all-versions", "a.zip", "b.csv", "-o", "csv")
	assert.Zero(t, code, stderr)
	for _, word := range []string{"branch-001/a.zip", "was deleted on the server", "was adopted, not collected; had been forgotten before"} {
		assert.Contains(t, stdout, word)
	}
	require.Len(t, f.started, 1)
	options := f.started[0].options
	assert.Regexp(t, `^forget/\d{8}-\d{6}-[a-z0-9]{4}$`, options.ID)
	assert.Equal(t, "forget a.zip, b.csv", options.StaticSummary)
	assert.Contains(t, options.StaticDetails, `b\.csv`)
	assert.Equal(t, activities.ForgetInput{Files: []string{"a.zip", "b.csv"}, Server: "branch-001", AllVersions: true}, f.started[0].input)

	_, stdout, _ = f.run(t.Context(), "forget", "a.zip", "-o", "json")
	var decoded activities.ForgetResult
	require.NoError(t, json.Unmarshal([]byte(stdout), &decoded))
	assert.Equal(t, done, decoded)
}

func TestForgetCodes(t *testing.T) {
	refusal := []activities.ForgetRefusal{{Name: "x", Reason: "unknown_file", Detail: "the catalog knows no such file"}}
	code, _, stderr := forgetting(activities.ForgetResult{Refused: refusal}, nil).run(t.Context(), "forget", "x")
	assert.Equal(t, 1, code)
	assert.Contains(t, stderr, "x: the catalog knows no such file")
	code, _, _ = forgetting(activities.ForgetResult{Refused: refusal, Forgotten: []activities.Forgotten{{Path: "a"}}}, nil).run(t.Context(), "forget", "x", "a")
	assert.Equal(t, 2, code)
	unknown := temporal.NewNonRetryableApplicationError(`there is no server "o"`, activities.UnknownServer, nil)
	code, _, stderr = forgetting(activities.ForgetResult{}, unknown).run(t.Context(), "forget", "x", "--server", "o")
	assert.Equal(t, 3, code)
	assert.Contains(t, stderr, `there is no server "o"`)
}

// verified is a Temporal with a verification that found two things, on two pages.
func verified(result workflows.VerifyResult) *tigers {
	f := newFake()
	f.end("", result, nil)
	f.end(result.Verification, result, nil)
	return &tigers{f, func(input any) (any, error) {
		in, ok := input.(activities.FindingsInput)
		switch {
		case !ok:
			return nil, nil
		case in.After == 0:
			return activities.FindingsPage{More: true, Findings: []activities.Finding{{ID: 4, Kind: "damaged", Area: "zip", Path: "b/one.zip", Detail: "it has 3 bytes"}}}, nil
		default:
			return activities.FindingsPage{Findings: []activities.Finding{{ID: 9, Kind: "missing", Area: "unzip", Path: "b/two/x"}}}, nil
		}
	}}
}

var oneOfThree = workflows.VerifyResult{
	Verification: "verify/k", Result: 2, Counts: activities.VerifyCounts{Checked: 3, Intact: 1, Damaged: 1, Missing: 1, Unknown: 4, Stuck: 5, Bytes: 7},
}

func TestVerify(t *testing.T) {
	f := verified(oneOfThree)
	code, stdout, stderr := f.run(t.Context(), "verify", "--server", "b", "--zip-only", "--since", "2026-11-01", "--rate", "1MiB")
	assert.Equal(t, 2, code, stderr)
	for _, word := range []string{
		"b/one.zip", "b/two/x", "it has 3 bytes", "3 files checked", "1 intact + 1 damaged + 1 missing + 0 unreadable", "4 unknown to the catalog", "5 waiting for a decompression",
	} {
		assert.Contains(t, stdout, word)
	}
	options := f.started[0].options
	assert.Regexp(t, `^verify/\d{8}-\d{6}-[a-z0-9]{4}$`, options.ID)
	assert.Equal(t, "verify the zip warehouse of b", options.StaticSummary)
	assert.Contains(t, options.StaticDetails, "1048576 bytes")
	in := f.started[0].input.(workflows.VerifyInput)
	assert.Equal(t, []any{[]string{"b"}, "zip", int64(1 << 20), false}, []any{in.Servers, in.Area, in.Rate, in.Fetch})
	assert.Equal(t, time.Date(2026, 11, 1, 0, 0, 0, 0, time.Local), in.Since)
}

func TestVerifyLater(t *testing.T) {
	f := verified(oneOfThree)
	code, stdout, _ := f.run(t.Context(), "verify", "--wait=false")
	assert.Zero(t, code)
	assert.Equal(t, f.started[0].options.ID+"\n", stdout)
	for _, name := range []string{"k", "verify/k"} {
		f = verified(oneOfThree)
		code, stdout, _ = f.run(t.Context(), "verify", "--show", name, "-o", "json")
		assert.Equal(t, 2, code)
		var decoded verification
		require.NoError(t, json.Unmarshal([]byte(stdout), &decoded))
		assert.Equal(t, oneOfThree.Counts, decoded.Counts)
		assert.Len(t, decoded.Findings, 2)
		for _, s := range f.started {
			assert.IsType(t, activities.FindingsInput{}, s.input, "nothing else was started")
		}
	}
}

// TestVerifyAndFetch waits for what was started to mend.
func TestVerifyAndFetch(t *testing.T) {
	result := oneOfThree
	result.Mended = &workflows.Mended{Aside: 1, Forgotten: 2, Again: 3, Collection: "collect/k", Decompressions: []string{"decompress/k/mend/1"}}
	f := verified(result)
	f.end("decompress/k/mend/1", workflows.DecompressResult{Total: 3}, nil)
	f.end("collect/k", workflows.CollectResult{Run: "collect/k", Decompressions: []workflows.Decompressions{{Server: "b", Count: 1, Archives: 1}}}, nil)
	waited := false
	f.ends["decompress/k/b"] = func() (any, error) { waited = true; return workflows.DecompressResult{Total: 1}, nil }
	code, stdout, stderr := f.run(t.Context(), "verify", "--fetch")
	assert.Equal(t, 2, code, stderr)
	assert.True(t, waited)
	assert.Contains(t, stdout, "Mended: 1 set aside, 2 to be collected again, 3 to be extracted again, 0 not to be mended")
	assert.Contains(t, stdout, "starter result collect/k")
	assert.True(t, f.started[0].input.(workflows.VerifyInput).Fetch)
}

func TestVerifyThatWasTerminated(t *testing.T) {
	code, _, stderr := verified(workflows.VerifyResult{}).run(t.Context(), "verify")
	assert.Equal(t, 3, code)
	assert.Contains(t, stderr, "before it had a result")
}

func TestClean(t *testing.T) {
	f := newFake()
	f.end("", workflows.CleanResult{Cleaning: "clean/k", Spent: map[string]activities.Spent{activities.CleanVersions: {Count: 3, Bytes: 2048}}}, nil)
	got := f.start(t.Context(), "clean", "--versions-older-than", "90d", "--runs-older-than", "400d")
	assert.Zero(t, got.code, got.stderr)
	assert.Regexp(t, `old versions\s+\S\s+3 \S\s+2\.0 KiB`, got.stdout)
	assert.Contains(t, got.stdout, "Nothing was removed: add --yes")
	in := f.started[0].input.(workflows.CleanInput)
	assert.False(t, in.Meant)
	assert.Equal(t, 310*24*time.Hour, in.VersionsBefore.Sub(in.RunsBefore))
	assert.True(t, in.AsideBefore.IsZero())
	assert.Contains(t, f.started[0].options.StaticDetails, "only counted")

	f = newFake()
	f.end("", workflows.CleanResult{Cleaning: "clean/k", Meant: true}, nil)
	got = f.start(t.Context(), "clean", "--yes", "-o", "csv")
	assert.Contains(t, got.stdout, "kind,count,bytes,oldest\nold versions,0,0,\nrows of runs,0,,\n")
	assert.True(t, f.started[0].input.(workflows.CleanInput).Meant)
}

// TestRepairRefusals: nothing is started for what cannot be meant.
func TestRepairRefusals(t *testing.T) {
	for said, args := range map[string][]string{
		"forget needs 1 to 200 FILEs: 0 given":       {"forget"},
		"leave nothing to verify":                    {"verify", "--zip-only", "--unzip-only"},
		`--since "never" is no moment`:               {"verify", "--since", "never"},
		"--rate: \"20MB\" is not a size":             {"verify", "--rate", "20MB"},
		"--rate 1KiB is too slow":                    {"verify", "--rate", "1KiB"},
		`--versions-older-than "old" is no age`:      {"clean", "--versions-older-than", "old"},
		"--runs-older-than 6d is too young":          {"clean", "--runs-older-than", "6d", "--yes"},
		`--damaged-older-than "-3h" is no age`:       {"clean", "--damaged-older-than", "-3h"},
		`no output format "xml": use -o table, json`: {"clean", "-o", "xml"},
	} {
		f := newFake()
		got := f.start(t.Context(), args...)
		assert.Equal(t, 3, got.code, args)
		assert.Contains(t, got.stderr, said)
		assert.Zero(t, f.dialled, args)
	}
}
