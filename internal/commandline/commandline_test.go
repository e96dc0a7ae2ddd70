package commandline

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// playEnv makes the test binary a program that waits to be stopped, and whose second word says what it does then: "end" or "go on".
const playEnv = "TALON_TEST_PLAY"

func TestMain(m *testing.M) {
	if then := os.Getenv(playEnv); then != "" {
		Main(func(ctx context.Context, args []string, stdout, _ io.Writer) int {
			fmt.Fprintln(stdout, "runs with", args)
			<-ctx.Done()
			fmt.Fprintln(stdout, "stops")
			if then == "go on" {
				select {}
			}
			return 7
		})
	}
	os.Exit(m.Run())
}

// play starts the program and waits until it runs.
func play(t *testing.T, then string) (program *exec.Cmd, says func() string) {
	t.Helper()
	program = exec.CommandContext(t.Context(), os.Args[0], "one", "two") // killed when the test ends
	program.Env = append(os.Environ(), playEnv+"="+then)
	stdout, err := program.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, program.Start())
	t.Cleanup(func() { _ = program.Wait() }) // some tests have waited
	lines := bufio.NewScanner(stdout)
	says = func() string {
		lines.Scan()
		return lines.Text()
	}
	require.Equal(t, "runs with [one two]", says())
	return program, says
}

func TestASignalEndsTheContext(t *testing.T) {
	for _, stop := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		program, says := play(t, "end")
		require.NoError(t, program.Process.Signal(stop))
		require.Equal(t, "stops", says())
		var exit *exec.ExitError
		require.ErrorAs(t, program.Wait(), &exit)
		assert.Equal(t, 7, exit.ExitCode())
	}
}

func TestASecondSignalEndsTheProgram(t *testing.T) {
	program, says := play(t, "go on")
	ended := make(chan error, 1)
	require.NoError(t, program.Process.Signal(os.Interrupt))
	require.Equal(t, "stops", says())
	go func() { ended <- program.Wait() }()
	var err error
	require.Eventually(t, func() bool { // the context ends a moment before the program is deaf no more
		_ = program.Process.Signal(os.Interrupt) // it may be gone already
		select {
		case err = <-ended:
			return true
		default:
			return false
		}
	}, time.Minute, 5*time.Millisecond)
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	assert.Equal(t, syscall.SIGINT, exit.Sys().(syscall.WaitStatus).Signal())
}

func TestExitCodesAndWhatIsSaid(t *testing.T) {
	bad := errors.New("the disk is full")
	for _, c := range []struct {
		err  error
		code int
		says string
	}{
		{nil, 0, ""},
		{bad, ExitUnusable, "tool: the disk is full\n"},
		{fmt.Errorf("tool: %w", bad), ExitUnusable, "tool: the disk is full\n"},
		{ExitCode(2), 2, ""},
		{fmt.Errorf("at last: %w", ExitCode(2)), 2, ""},
		{ExitCode(1).Because(bad), 1, "tool: the disk is full\n"},
		{fmt.Errorf("at last: %w", ExitCode(1).Because(bad)), 1, "tool: at last: the disk is full\n"},
	} {
		root := &cobra.Command{Use: "tool [FILE]", RunE: func(*cobra.Command, []string) error { return c.err }}
		var stdout, stderr bytes.Buffer
		assert.Equal(t, c.code, Execute(t.Context(), root, nil, &stdout, &stderr), "%v", c.err)
		assert.Equal(t, c.says, stderr.String())
		assert.Empty(t, stdout.String())
	}
	assert.ErrorIs(t, ExitCode(1).Because(bad), bad)
}

func TestAWrongFlagPointsToTheHelp(t *testing.T) {
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"--nope"}, "tool: unknown flag: --nope (see tool --help)\n"},
		{[]string{"sub", "--nope"}, "tool: unknown flag: --nope (see tool sub --help)\n"},
	} {
		run := func(*cobra.Command, []string) error { return nil }
		root := &cobra.Command{Use: "tool", RunE: run}
		root.AddCommand(&cobra.Command{Use: "sub", RunE: run})
		var stdout, stderr bytes.Buffer
		assert.Equal(t, ExitUnusable, Execute(t.Context(), root, c.args, &stdout, &stderr))
		assert.Equal(t, c.says, stderr.String())
		assert.Empty(t, stdout.String(), "no usage")
	}
}

func TestVersionNamesTheCompiler(t *testing.T) {
	assert.Contains(t, Version(), ", "+runtime.Version())
}

func TestLogFormats(t *testing.T) {
	for format, want := range map[string]string{"text": "level=INFO msg=hello n=1\n", "json": `"level":"INFO","msg":"hello","n":1}` + "\n"} {
		var out bytes.Buffer
		log, err := NewLogger(format, &out)
		require.NoError(t, err)
		log.Info("hello", "n", 1)
		assert.Contains(t, out.String(), want)
	}
	_, err := NewLogger("xml", io.Discard)
	assert.EqualError(t, err, `there is no log format "xml": use --log text or json`)
}
