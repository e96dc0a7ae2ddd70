package e2e

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"google.golang.org/protobuf/types/known/durationpb"

	"talon/internal/devstack"
)

const (
	// glance is how often a condition is looked at.
	glance = 20 * time.Millisecond
	// stopGrace is what a worker may take to end on SIGTERM.
	stopGrace = 40 * time.Second
)

// stack is one installation of Talon: a namespace of a Temporal server, a warehouse, FTP servers, a configuration, and the
// worker processes. What it started ends with the test.
type stack struct {
	t         *testing.T
	server    *devstack.Temporal
	namespace string
	temporal  client.Client
	dir       string // everything of this test
	root      string // the warehouse
	config    string // the configuration file
	sites     []*site
	flags     []string // of the workers, beside what tells them apart
	env       []string // of the programs, beside the address and namespace of Temporal
	want      *expectation
	tiger     *devstack.Process
	eagle     *devstack.Process
	others    []*devstack.Process // whose logs are of interest, too
}

// namespaces counts, so that a test that runs twice gets another one.
var namespaces atomic.Int64

// newStack makes an installation on the shared Temporal server; nothing runs yet but that.
func newStack(t *testing.T) *stack { return newStackOn(t, sharedTemporal) }

func newStackOn(t *testing.T, server *devstack.Temporal) *stack {
	t.Helper()
	dir := t.TempDir()
	name := strings.NewReplacer("/", "-", "_", "-").Replace(t.Name())
	s := &stack{
		t: t, server: server, namespace: fmt.Sprintf("%s-%d", name, namespaces.Add(1)), dir: dir,
		root: filepath.Join(dir, "data"), config: filepath.Join(dir, "talon.yaml"), want: newExpectation(),
	}
	s.openNamespace()
	t.Cleanup(s.readLogs)
	return s
}

// openNamespace creates the namespace and returns when the server knows it everywhere: it reaches the services through caches.
func (s *stack) openNamespace() {
	options := client.Options{
		HostPort: s.server.Address(), Namespace: s.namespace, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	}
	administration, err := client.NewNamespaceClient(options)
	require.NoError(s.t, err)
	defer administration.Close()
	require.NoError(s.t, administration.Register(s.t.Context(), &workflowservice.RegisterNamespaceRequest{
		Namespace: s.namespace, WorkflowExecutionRetentionPeriod: durationpb.New(24 * time.Hour),
	}))
	s.eventually("the namespace "+s.namespace, func() bool {
		connected, err := client.DialContext(s.t.Context(), options)
		if err != nil {
			return false
		}
		if _, err = connected.CountWorkflow(s.t.Context(), &workflowservice.CountWorkflowExecutionsRequest{Namespace: s.namespace}); err != nil {
			connected.Close()
			return false
		}
		s.temporal = connected
		return true
	})
	s.t.Cleanup(s.temporal.Close)
}

// configure writes the configuration: the warehouse, a server per site, and more (YAML).
func (s *stack) configure(more string) {
	s.t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "warehouse: {root: %q}\ndefaults: {user: %s, path: %s}\n%s\nservers:\n", s.root, ftpUser, remoteDir, more)
	for _, site := range s.sites {
		secret := filepath.Join(s.dir, "secret-"+site.name)
		require.NoError(s.t, os.WriteFile(secret, []byte(site.configured), 0o600))
		fmt.Fprintf(&b, "  %s: {host: %s, port: %d, password: {file: %q}%s}\n", site.name, cmp.Or(site.host, loopback), site.port, secret, site.settings)
	}
	require.NoError(s.t, os.WriteFile(s.config, []byte(b.String()), 0o600))
}

// start runs both workers.
func (s *stack) start() {
	s.t.Helper()
	s.startTiger()
	s.startEagle()
}

func (s *stack) startTiger() {
	s.t.Helper()
	s.tiger = s.worker("tiger")
}

func (s *stack) startEagle() {
	s.t.Helper()
	s.eagle = s.worker("eagle")
}

// worker starts a worker and returns when it polls. It ends with the test.
func (s *stack) worker(role string, args ...string) *devstack.Process {
	s.t.Helper()
	return s.workerOf(workerProgram, role, args...)
}

// workerOf is worker with another build of the program.
func (s *stack) workerOf(program, role string, args ...string) *devstack.Process {
	s.t.Helper()
	process, err := devstack.StartProcess(devstack.ProcessOptions{
		Name: role, Path: program, Args: slices.Concat([]string{"--config", s.config, "--role", role, "--name", role + "-host"}, s.flags, args),
		Env: s.environ(), LogFile: s.log(role),
	})
	require.NoError(s.t, err)
	s.t.Cleanup(func() {
		if err := process.Stop(stopGrace); err != nil {
			s.t.Error(err)
		}
	})
	ctx, cancel := s.limited()
	defer cancel()
	require.NoError(s.t, process.WaitForLog(ctx, "worker started"))
	return process
}

// log is the log file of the workers of a role: all that the test starts, one after the other.
func (s *stack) log(role string) string { return filepath.Join(s.dir, "logs", role+".log") }

func (s *stack) environ() []string {
	env := append(devstack.WithoutTemporalEnv(os.Environ()), "TEMPORAL_ADDRESS="+s.server.Address(), "TEMPORAL_NAMESPACE="+s.namespace)
	return append(env, s.env...)
}

// never are words that no program may ever write: they stand for bugs, whatever a test is about. TMPRL1100 is how the SDK
// reports that workflow code does not match its history.
var never = []string{"TMPRL1100", "panic", "BUG:", "DATA RACE"}

// readLogs looks for signs of bugs in the logs of the test's programs, and tells after a failure what the workers had to say.
func (s *stack) readLogs() {
	logs, err := filepath.Glob(s.log("*"))
	assert.NoError(s.t, err)
	for _, name := range logs {
		written, err := os.ReadFile(name)
		assert.NoError(s.t, err)
		for line := range strings.Lines(string(written)) {
			for _, word := range never {
				assert.False(s.t, strings.Contains(line, word), "%s: %s", filepath.Base(name), line)
			}
		}
	}
	for _, process := range append([]*devstack.Process{s.tiger, s.eagle}, s.others...) {
		if process != nil && s.t.Failed() {
			s.t.Log(process.LogTail())
		}
	}
}

// limited is a context for one wait.
func (s *stack) limited() (context.Context, context.CancelFunc) {
	return context.WithTimeout(s.t.Context(), patience)
}

// eventually waits for a condition.
func (s *stack) eventually(what string, condition func() bool) {
	s.t.Helper()
	require.Eventually(s.t, condition, patience, glance, what)
}

// await waits for an event.
func await[T any](s *stack, what string, event <-chan T) T {
	s.t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	var value T
	select {
	case value = <-event:
	case <-timer.C:
		require.FailNow(s.t, "no "+what+" in "+patience.String())
	}
	return value
}
