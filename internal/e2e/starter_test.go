package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"

	"talon/internal/devstack"
)

// Result codes and the exit code of what could not run.
const (
	complete = 0
	failed   = 1
	partly   = 2
	unusable = 3
)

// runResult is the JSON of `starter collect --wait -o json` and `starter result RUN -o json`.
type runResult struct {
	Run        string                  `json:"run"`
	Result     int                     `json:"result"`
	Reason     string                  `json:"reason"`
	StartTime  time.Time               `json:"start_time"`
	EndTime    time.Time               `json:"end_time"`
	Servers    map[string]serverResult `json:"servers"`
	Decompress decompressResult        `json:"decompress"`
}

type serverResult struct {
	Result        int       `json:"result"`
	Reason        string    `json:"reason"`
	Detail        string    `json:"detail"`
	NumberOfFiles int       `json:"number_of_files"`
	Bytes         int64     `json:"bytes"`
	BufferPath    string    `json:"buffer_path"`
	Files         []file    `json:"files"`
	Listed        int       `json:"listed"`
	Unchanged     int       `json:"unchanged"`
	Excluded      int       `json:"excluded"`
	Adopted       int       `json:"adopted"`
	Deferred      int       `json:"deferred"`
	Refused       []issue   `json:"refused"`
	Failed        []issue   `json:"failed"`
	Warnings      []string  `json:"warnings"`
	StartTime     time.Time `json:"start_time"`
	EndTime       time.Time `json:"end_time"`
}

type file struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	Path   string `json:"path"`
	Note   string `json:"note"`
}

type issue struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
	Detail string `json:"detail"`
}

// reasons are the reasons of issues by the names of their files.
func reasons(issues []issue) map[string]string {
	byName := map[string]string{}
	for _, i := range issues {
		byName[i.Name] = i.Reason
	}
	return byName
}

// told is everything that a row says in words.
func (r serverResult) told() string {
	words := append([]string{r.Detail}, r.Warnings...)
	for _, i := range slices.Concat(r.Refused, r.Failed) {
		words = append(words, i.Name, i.Detail)
	}
	for _, f := range r.Files {
		words = append(words, f.Note)
	}
	return strings.Join(words, "\n")
}

type decompressResult struct {
	Run       string                   `json:"run"`
	Result    int                      `json:"result"`
	Total     int                      `json:"total"`
	Succeeded int                      `json:"succeeded"`
	Archives  map[string]archiveResult `json:"archives"`
}

type archiveResult struct {
	Result    int              `json:"result"`
	Reason    string           `json:"reason"`
	Detail    string           `json:"detail"`
	Host      string           `json:"host"`
	StartTime time.Time        `json:"start_time"`
	EndTime   time.Time        `json:"end_time"`
	Failed    int              `json:"failed"`
	Received  int              `json:"received"`
	Layers    map[string]layer `json:"layers"`
}

type layer struct {
	Result   int    `json:"result"`
	Archives int    `json:"archives"`
	Files    int    `json:"files"`
	Reason   string `json:"reason"`
}

// call is a starter that was started.
type call struct {
	stack          *stack
	args           []string
	process        *devstack.Process
	stdout, stderr bytes.Buffer
	ended          bool
}

// begin starts the starter.
func (s *stack) begin(args ...string) *call {
	s.t.Helper()
	c := &call{stack: s, args: args}
	var err error
	c.process, err = devstack.StartProcess(devstack.ProcessOptions{
		Name: "starter", Path: starterProgram, Args: args, Env: s.environ(), Stdout: &c.stdout, Stderr: &c.stderr,
	})
	require.NoError(s.t, err)
	s.t.Cleanup(func() {
		if err := c.process.Kill(); err != nil {
			s.t.Error(err)
		}
	})
	return c
}

// starter runs the starter to its end.
func (s *stack) starter(args ...string) *call {
	s.t.Helper()
	return s.begin(args...).end()
}

// end waits until the starter has ended. What it said is kept in the logs.
func (c *call) end() *call {
	c.stack.t.Helper()
	if c.ended {
		return c
	}
	await(c.stack, "end of starter "+strings.Join(c.args, " "), c.process.Done())
	c.ended = true
	log, err := os.OpenFile(c.stack.log("starter"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil && os.IsNotExist(err) {
		require.NoError(c.stack.t, os.MkdirAll(filepath.Dir(c.stack.log("starter")), 0o755))
		log, err = os.Create(c.stack.log("starter"))
	}
	require.NoError(c.stack.t, err)
	defer log.Close()
	_, err = log.WriteString("$ starter " + strings.Join(c.args, " ") + "\n" + c.stdout.String() + c.stderr.String())
	require.NoError(c.stack.t, err)
	return c
}

// code waits for the end and demands an exit code.
func (c *call) code(want int) *call {
	c.stack.t.Helper()
	c.end()
	require.Equal(c.stack.t, want, c.process.ExitCode(), "starter %s\n%s\n%s", strings.Join(c.args, " "), c.stdout.String(), c.stderr.String())
	return c
}

// decode reads standard output, which has to be one JSON value and nothing else.
func (c *call) decode(into any) {
	c.stack.t.Helper()
	c.end()
	require.NoError(c.stack.t, json.Unmarshal(c.stdout.Bytes(), into), "stdout: %s\nstderr: %s", c.stdout.String(), c.stderr.String())
}

// collect runs a whole collection, demands its exit code and that its books balance.
func (s *stack) collect(want int, args ...string) runResult {
	s.t.Helper()
	return s.beginCollect(args...).result(want)
}

func (s *stack) beginCollect(args ...string) *call {
	s.t.Helper()
	return s.begin(append([]string{"collect", "--wait", "-o", "json"}, args...)...)
}

// result is what a collection that was waited for has printed.
func (c *call) result(want int) runResult {
	c.stack.t.Helper()
	c.code(want)
	var result runResult
	c.decode(&result)
	require.Equal(c.stack.t, want, result.Result)
	c.stack.requireBooks(result)
	return result
}

// requireBooks demands that every server's row accounts for every listed file.
func (s *stack) requireBooks(result runResult) {
	s.t.Helper()
	for name, row := range result.Servers {
		accounted := row.NumberOfFiles + row.Unchanged + row.Deferred + len(row.Refused) + len(row.Failed)
		assert.Equal(s.t, row.Listed, accounted, "books of %s: %+v", name, row)
		assert.Len(s.t, row.Files, row.NumberOfFiles, "files of %s", name)
		var size int64
		for _, f := range row.Files {
			size += f.Size
		}
		assert.Equal(s.t, size, row.Bytes, "bytes of %s", name)
	}
}

// requireFiles demands that the rows of the results name exactly the files of zip/, each once and with its digest.
func (s *stack) requireFiles(results ...runResult) {
	s.t.Helper()
	named := tree{}
	for _, result := range results {
		for server, row := range result.Servers {
			for _, f := range row.Files {
				name := "zip/" + f.Path
				assert.Empty(s.t, named[name], "%s is reported twice", name)
				assert.True(s.t, strings.HasPrefix(f.Path, server+"/"), "%s is not below %s", f.Path, server)
				named[name] = f.SHA256
			}
		}
	}
	collected := s.want.all()
	for name := range collected {
		if strings.HasPrefix(name, "unzip/") {
			delete(collected, name)
		}
	}
	require.Equal(s.t, collected, named)
}

// workflows counts the workflow executions that the visibility store finds with a query; "" is all.
func (s *stack) workflows(query string) int {
	s.t.Helper()
	request := &workflowservice.CountWorkflowExecutionsRequest{Namespace: s.namespace, Query: query}
	answer, err := s.temporal.CountWorkflow(s.t.Context(), request)
	require.NoError(s.t, err)
	return int(answer.GetCount())
}
