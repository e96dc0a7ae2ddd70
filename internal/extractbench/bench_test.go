package extractbench_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/extractbench"
)

// worker is the program that is measured, built by TestMain.
var worker string

func TestMain(m *testing.M) {
	code, err := runAll(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "extractbench:", err)
		code = 1
	}
	os.Exit(code)
}

func runAll(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "talon-extractbench-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	worker = filepath.Join(dir, "worker")
	if output, err := exec.Command("go", "build", "-trimpath", "-o", worker, "talon/worker").CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build the worker: %w: %s", err, output)
	}
	return m.Run(), nil
}

// measure runs the cases once, small, with what is on the PATH.
func measure(t *testing.T, options extractbench.Options) extractbench.Result {
	t.Helper()
	var log bytes.Buffer
	options.Rounds, options.Log = 1, &log
	options.Scale = extractbench.Scale{Files: 30, TextBytes: 50_000, Zips: 3, Inner: 2, InnerFiles: 5}
	if options.Cache == "" {
		options.Cache = t.TempDir()
	}
	result, err := extractbench.Run(t.Context(), options)
	require.NoError(t, err, log.String())
	return result
}

// contenders are those that were measured, and why the others were not.
func contenders(c extractbench.CaseResult) (best map[string]float64, skipped map[string]string) {
	best, skipped = map[string]float64{}, map[string]string{}
	for _, contender := range c.Contenders {
		if contender.Skipped != "" {
			skipped[contender.Name] = contender.Skipped
		} else {
			best[contender.Name] = contender.Best
		}
	}
	return best, skipped
}

// onPath leaves only these programs on the PATH, and returns the directory with them.
func onPath(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		file, err := exec.LookPath(name)
		require.NoError(t, err)
		require.NoError(t, os.Symlink(file, filepath.Join(dir, name)))
	}
	t.Setenv("PATH", dir)
	return dir
}

// TestEveryCase: the archives of every case can be made, and Talon and its peers make the same of them.
func TestEveryCase(t *testing.T) {
	result := measure(t, extractbench.Options{Worker: worker})
	assert.True(t, result.Verified())
	require.Len(t, result.Cases, len(extractbench.Cases()))
	var printed bytes.Buffer
	result.PrintTables(&printed)
	for i, c := range result.Cases {
		t.Run(c.Case, func(t *testing.T) {
			assert.Equal(t, extractbench.Cases()[i], c.Case)
			assert.Regexp(t, "│ "+c.Case+" +│ "+c.Title+" ", printed.String())
			best, skipped := contenders(c)
			for name, reason := range skipped {
				t.Logf("without %s: %s", name, reason)
			}
			if c.Problem != "" {
				t.Skip(c.Problem) // a program is missing
			}
			require.Contains(t, best, "talon")
			require.Contains(t, best, c.Peer)
			for name, seconds := range best {
				assert.True(t, name == "talon" || seconds >= best[c.Peer], "%s is faster than the fastest peer", name)
			}
			assert.InDelta(t, best["talon"]/best[c.Peer], c.Ratio, 1e-9)
			assert.Equal(t, c.Ratio <= c.Target, c.Reached)
		})
	}
}

// TestWorkNotDone: who does not extract the right files is not measured, and if it is Talon, all is said to be in vain.
func TestWorkNotDone(t *testing.T) {
	for name, test := range map[string]struct{ script, reason string }{
		"nothing": {"exit 0", "30 are missing and 0 wrong, and 0 are too many: branch-001/2026-11-01/journal-0002.json"},
		"wrong":   {`tar -xf "$2" -C "$3" && echo >>"$3/branch-001/2026-11-02/ledger-0022.txt"`, "0 are missing and 1 wrong, and 0 are too many"},
		"extra":   {`tar -xf "$2" -C "$3" && echo >"$3/x"`, "0 are missing and 0 wrong, and 1 are too many: x"},
		"broken":  {"echo no way >&2; exit 4", "exit status 4: no way"},
	} {
		t.Run(name, func(t *testing.T) {
			onPath(t, "sh", "tar", "gzip")
			lazy := filepath.Join(t.TempDir(), "lazy")
			require.NoError(t, os.WriteFile(lazy, []byte("#!/bin/sh\n"+test.script), 0o700))
			result := measure(t, extractbench.Options{Worker: lazy, Cases: []string{"tar.gz"}})
			assert.False(t, result.Verified())
			_, skipped := contenders(result.Cases[0])
			assert.Contains(t, skipped["talon"], test.reason)
			assert.Equal(t, "Talon does not do the work", result.Cases[0].Problem)
			assert.False(t, result.Cases[0].Reached)
		})
	}
}

// TestMissingPrograms: peers that are not there are left out with a reason, and so are archives that cannot be made. Those
// that were made before are used again.
func TestMissingPrograms(t *testing.T) {
	programs := onPath(t, "sh", "tar", "gzip")
	options := extractbench.Options{Worker: worker, Cases: []string{"tar.gz", "zip"}, Cache: t.TempDir()}
	result := measure(t, options)
	assert.True(t, result.Verified())
	best, skipped := contenders(result.Cases[1])
	assert.Len(t, best, 2, "talon and tar")
	assert.Equal(t, "no unar on the PATH", skipped["unar"])
	assert.Equal(t, "no zip on the PATH", result.Cases[0].Problem)
	var printed bytes.Buffer
	result.PrintTables(&printed)
	assert.Contains(t, printed.String(), "tar.gz: without unar: no unar on the PATH\n")
	assert.Contains(t, printed.String(), "zip: no ratio: no zip on the PATH\n")

	require.NoError(t, os.Remove(filepath.Join(programs, "gzip"))) // no more archives, and no peer
	options.Cases = []string{"tar.gz"}
	result = measure(t, options)
	assert.Equal(t, "there is no peer", result.Cases[0].Problem)
	assert.True(t, result.Verified())
}

func TestSameArchives(t *testing.T) {
	onPath(t, "sh", "tar", "gzip")
	options := extractbench.Options{Worker: worker, Cases: []string{"tar.gz"}}
	first, second := measure(t, options), measure(t, options)
	assert.Equal(t, first.Cases[0].ArchiveBytes, second.Cases[0].ArchiveBytes)
	assert.Equal(t, first.Cases[0].Bytes, second.Cases[0].Bytes)
}

func TestUnknownCase(t *testing.T) {
	_, err := extractbench.Run(t.Context(), extractbench.Options{Worker: worker, Cases: []string{"arj"}, Cache: t.TempDir()})
	require.ErrorContains(t, err, `there is no case "arj": there are zip, tar.gz,`)
}

func TestPrint(t *testing.T) {
	result := extractbench.Result{MemoryFloor: 10e6, Cases: []extractbench.CaseResult{
		{
			Case: "zip", Title: "many", Archives: 1, ArchiveBytes: 24_100_000, Files: 11000, Bytes: 109_000_000, Peer: "unzip", Ratio: 0.5, Target: 1,
			Reached: true, Contenders: []extractbench.ContenderResult{
				{Name: "talon", Best: 0.5, Median: 0.75, CPU: 0.25, Memory: 45_600_000},
				{Name: "unzip", Best: 1, Median: 2, CPU: 1, Memory: 10e6},
				{Name: "unar", Skipped: "no unar on the PATH"},
			},
		},
		{Case: "7z", Title: "none", Target: 1.7, Problem: "no 7zz on the PATH"},
	}}
	var tables, document bytes.Buffer
	result.PrintTables(&tables)
	lines := strings.Join(strings.Fields(strings.ReplaceAll(tables.String(), "│", "|")), " ")
	for _, row := range []string{
		"| zip | talon | 0.500 | 0.750 | 0.250 | 45.6 |", "| zip | unzip | 1.000 | 2.000 | 1.000 | < 10.0 |",
		"| zip | many | unzip | 1 | 24.1 | 11000 | 109.0 | 0.500 | 1.000 | 0.50 | 1.00 | yes |",
		"| 7z | none | | 0 | 0.0 | 0 | 0.0 | - | - | - | 1.70 | NO |",
		"zip: without unar: no unar on the PATH", "7z: no ratio: no 7zz on the PATH",
	} {
		assert.Contains(t, lines, row)
	}
	require.NoError(t, result.PrintJSON(&document))
	var read extractbench.Result
	require.NoError(t, json.Unmarshal(document.Bytes(), &read))
	assert.Equal(t, result, read)
}
