package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"talon/internal/devstack"
)

// fakeEnv tells the fake programs how to behave: words from the list in fakeStarter and fakeWorker.
const fakeEnv = "DEVSTACK_TEST_FAKE"

const (
	patience = 2 * time.Minute
	poll     = 20 * time.Millisecond
)

// TestMain makes the test binary play the programs by the name it is called by.
func TestMain(m *testing.M) {
	behaviour := strings.Fields(os.Getenv(fakeEnv))
	switch filepath.Base(os.Args[0]) {
	case "devstack":
		main()
	case "worker":
		os.Exit(fakeWorker(behaviour))
	case "starter":
		os.Exit(fakeStarter(behaviour))
	default:
		os.Exit(m.Run())
	}
}

// argument returns the value of a flag on the command line.
func argument(flag string) string {
	if i := slices.Index(os.Args, flag); i >= 0 && i+1 < len(os.Args) {
		return os.Args[i+1]
	}
	return ""
}

// fakeWorker reports and waits for SIGTERM, which it notes in its log.
func fakeWorker(behaviour []string) int {
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	if slices.Contains(behaviour, "worker-fails") {
		fmt.Println("worker: the vault is locked")
		return 3
	}
	fmt.Println("worker started", os.Getenv("TEMPORAL_ADDRESS"), argument("--role"))
	if slices.Contains(behaviour, "eagle-dies") && argument("--role") == "eagle" {
		fmt.Println("worker: broken wing")
		return 4
	}
	if slices.Contains(behaviour, "worker-stubborn") {
		select {}
	}
	<-terminated
	fmt.Println("worker stopped")
	return 0
}

// fakeStarter starts a run that has collected nothing.
func fakeStarter(behaviour []string) int {
	if os.Args[1] == "result" {
		fmt.Printf(`{"run":%q,"result":1,"servers":{},"decompress":{}}`, os.Args[2])
		return 1
	}
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, syscall.SIGINT, syscall.SIGTERM)
	fmt.Println("the fake starter collects with", argument("--config"))
	if slices.Contains(behaviour, "starter-hangs") {
		fmt.Println("interrupted by", <-interrupted)
		return 3
	}
	if slices.Contains(behaviour, "starter-fails") {
		return 3
	}
	if err := os.WriteFile(argument("--run-file"), []byte("collect/a b\n"), 0o600); err != nil {
		fmt.Println(err)
		return 3
	}
	return 2
}

// stack is a devstack process with fake programs, in a directory of its own.
type stack struct {
	cmd    *exec.Cmd
	dir    string
	output *os.File // read with text
	done   chan struct{}
}

// newStack prepares a devstack that is not started yet. Its programs are this test binary under other names.
func newStack(t *testing.T, behaviour string, args ...string) *stack {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "bin"), 0o755))
	self, err := os.Executable()
	require.NoError(t, err)
	for _, program := range []string{"devstack", "worker", "starter"} {
		require.NoError(t, os.Symlink(self, filepath.Join(dir, "bin", program)))
	}
	output, err := os.Create(filepath.Join(dir, "output"))
	require.NoError(t, err)
	t.Cleanup(func() { output.Close() })
	s := &stack{cmd: exec.Command(filepath.Join(dir, "bin", "devstack"), args...), dir: dir, output: output, done: make(chan struct{})}
	s.cmd.Dir = dir
	s.cmd.Env = append(os.Environ(), fakeEnv+"="+behaviour, "TEMPORAL_ADDRESS=elsewhere:7233", devstack.CLIEnv+"="+temporalCLI(t))
	s.cmd.Stdout, s.cmd.Stderr = output, output
	return s
}

// temporalCLI returns a Temporal CLI and builds it if need be.
func temporalCLI(t *testing.T) string {
	t.Helper()
	path, err := devstack.FindOrBuildCLI(t.Context(), devstack.CLIOptions{ToolsDir: repository("tools"), Log: os.Stderr})
	require.NoError(t, err)
	return path
}

// repository returns a path in the repository, from this package's directory.
func repository(elements ...string) string {
	return filepath.Join(append([]string{"..", "..", "..", ".."}, elements...)...)
}

func (s *stack) start(t *testing.T) {
	t.Helper()
	require.NoError(t, s.cmd.Start())
	go func() {
		defer close(s.done)
		_ = s.cmd.Wait() // ProcessState tells the rest
	}()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		<-s.done
	})
}

func (s *stack) text(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(s.output.Name())
	require.NoError(t, err)
	return string(text)
}

func (s *stack) awaitText(t *testing.T, text string) {
	t.Helper()
	if !assert.Eventually(t, func() bool { return strings.Contains(s.text(t), text) }, patience, poll) {
		t.Fatalf("%q was not written; this was:\n%s", text, s.text(t))
	}
}

func (s *stack) exitCode(t *testing.T) int {
	t.Helper()
	select {
	case <-s.done:
		return s.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		t.Fatalf("devstack has not ended; it wrote:\n%s", s.text(t))
		return 0
	}
}

// survivors returns the command lines of processes that know the stack's directory, by their process IDs.
func (s *stack) survivors() map[int]string {
	found := map[int]string{}
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, line := range lines {
		text, err := os.ReadFile(line)
		if err != nil || !bytes.Contains(text, []byte(s.dir)) {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(line)))
		found[pid] = strings.ReplaceAll(string(text), "\x00", " ")
	}
	return found
}

func (s *stack) nothingIsLeft(t *testing.T) {
	t.Helper()
	if !assert.Eventually(t, func() bool { return len(s.survivors()) == 0 }, patience, poll) {
		t.Errorf("still there: %v", s.survivors())
	}
}

func TestDemoThatCollectsNothingIsToldSo(t *testing.T) {
	s := newStack(t, "")
	s.start(t)
	assert.Equal(t, exitDeviation, s.exitCode(t))
	text := s.text(t)
	assert.Contains(t, text, "NOT what the branches deserve")
	assert.Contains(t, text, "zip/branch-001/statements_20260630.csv is missing")
	assert.Contains(t, text, "branch-001 is not in the result")
	assert.Regexp(t, `Web UI: http://127\.0\.0\.1:\d+/namespaces/default/workflows/collect%2Fa%20b\n`, text)

	address := regexp.MustCompile(`Temporal server at (\S+),`).FindStringSubmatch(text)
	require.NotNil(t, address)
	for _, role := range []string{"tiger", "eagle"} {
		log, err := os.ReadFile(filepath.Join(s.dir, "data", "demo", "logs", role+".log"))
		require.NoError(t, err)
		assert.Equal(t, "worker started "+address[1]+" "+role+"\nworker stopped\n", string(log),
			"each worker has its role and the embedded server, and is stopped in order")
	}
	s.nothingIsLeft(t)
}

func TestUserConfigurationEndsWithTheStartersCode(t *testing.T) {
	s := newStack(t, "", "--config", "mine.yaml", "--once")
	mine := filepath.Join(s.dir, "mine.yaml")
	require.NoError(t, os.WriteFile(mine, []byte("warehouse: {root: ./w}\nservers:\n  a: {host: 127.0.0.1, user: u, password: p}\n"), 0o644))
	s.start(t)
	assert.Equal(t, 2, s.exitCode(t), s.text(t))
	assert.Contains(t, s.text(t), "the fake starter collects with "+mine)
	assert.NotContains(t, s.text(t), "branches")
	assert.FileExists(t, filepath.Join(s.dir, "data", "run", "temporal.db"), "it stays, for the next time")
	s.nothingIsLeft(t)
}

func TestWhatCannotWorkIsSaidBeforeAnythingStarts(t *testing.T) {
	missing := newStack(t, "", "--config", "none.yaml")
	missing.start(t)
	assert.Equal(t, exitUnusable, missing.exitCode(t))
	assert.Contains(t, missing.text(t), "none.yaml")
	assert.NotContains(t, missing.text(t), "Temporal server at")

	unbuilt := newStack(t, "", "--bin", "nowhere")
	unbuilt.start(t)
	assert.Equal(t, exitUnusable, unbuilt.exitCode(t))
	assert.Contains(t, unbuilt.text(t), "make build")

	crooked := newStack(t, "", "leftover")
	crooked.start(t)
	assert.Equal(t, exitUnusable, crooked.exitCode(t))
	assert.Contains(t, crooked.text(t), `unexpected argument "leftover"`)
}

func TestFailuresTellTheirReasonAndLeaveNothing(t *testing.T) {
	for behaviour, says := range map[string][]string{
		"worker-fails":             {"tiger worker: process ended", "the vault is locked", "exit status 3"},
		"starter-fails":            {"the starter ended with exit code 3"},
		"eagle-dies starter-hangs": {"the eagle worker: process ended", "broken wing"},
	} {
		t.Run(behaviour, func(t *testing.T) {
			s := newStack(t, behaviour)
			s.start(t)
			assert.Equal(t, exitUnusable, s.exitCode(t))
			for _, words := range says {
				assert.Contains(t, s.text(t), words)
			}
			s.nothingIsLeft(t)
		})
	}
}

func TestTerminationDuringTheRunStopsEverything(t *testing.T) {
	s := newStack(t, "starter-hangs")
	s.start(t)
	s.awaitText(t, "the fake starter collects")
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGTERM))
	assert.Equal(t, exitInterrupted, s.exitCode(t))
	assert.Contains(t, s.text(t), "interrupted by terminated", "the starter was asked to stop")
	s.nothingIsLeft(t)
}

func TestSecondTerminationKills(t *testing.T) {
	s := newStack(t, "starter-hangs worker-stubborn")
	s.start(t)
	s.awaitText(t, "the fake starter collects")
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGTERM))
	s.awaitText(t, "stopping everything")
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGTERM))
	assert.Equal(t, exitInterrupted, s.exitCode(t))
	s.nothingIsLeft(t)
}

func TestNothingSurvivesAKill(t *testing.T) {
	s := newStack(t, "starter-hangs worker-stubborn")
	s.start(t)
	s.awaitText(t, "the fake starter collects")
	assert.GreaterOrEqual(t, len(s.survivors()), 5, "devstack, Temporal, two workers, a starter")
	require.NoError(t, s.cmd.Process.Kill())
	assert.Equal(t, -1, s.exitCode(t))
	s.nothingIsLeft(t)
}

func TestOneDemoAtATimeInADirectory(t *testing.T) {
	first := newStack(t, "starter-hangs")
	first.start(t)
	first.awaitText(t, "the fake starter collects")
	second := newStack(t, "", "--dir", filepath.Join(first.dir, "data", "demo"))
	second.start(t)
	assert.Equal(t, exitUnusable, second.exitCode(t))
	assert.Contains(t, second.text(t), "in use by another session")
	assert.NotContains(t, second.text(t), "Temporal server at")
}

// The real thing, as `make run ONCE=1` does it: the programs of this repository, and a judgement that shares nothing with them.
func TestDemoWithTheRealPrograms(t *testing.T) {
	s := newStack(t, "")
	build := exec.Command("go", "build", "-o", filepath.Join(s.dir, "bin"), "./worker", "./starter")
	build.Dir = repository()
	for _, program := range []string{"worker", "starter"} {
		require.NoError(t, os.Remove(filepath.Join(s.dir, "bin", program)))
	}
	output, err := build.CombinedOutput()
	require.NoError(t, err, string(output))
	s.start(t)
	require.Zero(t, s.exitCode(t), s.text(t))
	assert.Contains(t, s.text(t), "Exactly what the branches deserve")
	s.nothingIsLeft(t)
}

// openTerminal returns both sides of a new pseudo terminal.
func openTerminal(t *testing.T) (controller, terminal *os.File) {
	t.Helper()
	controller, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { controller.Close() })
	require.NoError(t, unix.IoctlSetPointerInt(int(controller.Fd()), unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(int(controller.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { terminal.Close() })
	return controller, terminal
}

func TestOnATerminalItStaysUntilCtrlC(t *testing.T) {
	s := newStack(t, "")
	controller, terminal := openTerminal(t)
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = terminal, terminal, terminal
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	go func() { _, _ = io.Copy(s.output, controller) }() // ends with an error when the terminal is closed
	s.start(t)
	s.awaitText(t, "Everything keeps running")
	assert.Regexp(t, `export TEMPORAL_ADDRESS=127\.0\.0\.1:\d+`, s.text(t))
	assert.GreaterOrEqual(t, len(s.survivors()), 4, "devstack, Temporal, two workers")

	_, err := controller.Write([]byte{3}) // Ctrl-C
	require.NoError(t, err)
	assert.Equal(t, exitDeviation, s.exitCode(t), "the outcome, although it was interrupted later")
	s.nothingIsLeft(t)
}

func TestOnlyTheCLIIsFound(t *testing.T) {
	s := newStack(t, "", "--cli")
	s.start(t)
	assert.Zero(t, s.exitCode(t))
	assert.Contains(t, s.text(t), "Temporal CLI: "+temporalCLI(t))
	assert.NoDirExists(t, filepath.Join(s.dir, "data"), "nothing else was begun")
}
