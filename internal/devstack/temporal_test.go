package devstack

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// temporalCLI returns a Temporal CLI and builds it if need be.
func temporalCLI(t *testing.T) string {
	t.Helper()
	path, err := FindOrBuildCLI(t.Context(), CLIOptions{ToolsDir: filepath.Join("..", "..", "tools"), Log: os.Stderr})
	require.NoError(t, err)
	return path
}

func startTemporal(t *testing.T, opts TemporalOptions) *Temporal {
	t.Helper()
	opts.CLI, opts.Log = temporalCLI(t), filepath.Join(t.TempDir(), "temporal.log")
	server, err := StartTemporal(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, server.Stop()) })
	return server
}

func dial(t *testing.T, server *Temporal) client.Client {
	t.Helper()
	c, err := client.DialContext(t.Context(), client.Options{
		HostPort: server.Address(), Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// greet is a workflow that sets one of Talon's search attributes.
func greet(ctx workflow.Context, name string) (string, error) {
	key := temporal.NewSearchAttributeKeyKeyword("TalonServer")
	return "hello " + name, workflow.UpsertTypedSearchAttributes(ctx, key.ValueSet(name))
}

func runGreet(t *testing.T, c client.Client, id string) {
	t.Helper()
	w := worker.New(c, "greetings", worker.Options{})
	w.RegisterWorkflow(greet)
	require.NoError(t, w.Start())
	defer w.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: "greetings"}, greet, "branch")
	require.NoError(t, err)
	var answer string
	require.NoError(t, run.Get(ctx, &answer))
	assert.Equal(t, "hello branch", answer)
}

func countByServer(t *testing.T, c client.Client) int64 {
	t.Helper()
	answer, err := c.CountWorkflow(t.Context(), &workflowservice.CountWorkflowExecutionsRequest{Query: "TalonServer = 'branch'"})
	require.NoError(t, err)
	return answer.GetCount()
}

func TestTemporalIsReadyAndKeepsItsState(t *testing.T) {
	server := startTemporal(t, TemporalOptions{
		DBFile: filepath.Join(t.TempDir(), "temporal.db"), SQLitePragmas: map[string]string{"journal_mode": "wal"},
	})
	c := dial(t, server)
	description, err := c.WorkflowService().DescribeNamespace(t.Context(),
		&workflowservice.DescribeNamespaceRequest{Namespace: Namespace})
	require.NoError(t, err)
	assert.Equal(t, DefaultRetention, description.GetConfig().GetWorkflowExecutionRetentionTtl().AsDuration())
	runGreet(t, c, "first")
	eventually(t, func() bool { return countByServer(t, c) == 1 }, "the workflow is found by its search attribute")

	address, ui := server.Address(), server.UIAddress()
	require.NoError(t, server.Kill())
	require.NoError(t, server.Restart(t.Context()))
	assert.Equal(t, address, server.Address())
	assert.Equal(t, ui, server.UIAddress())
	c = dial(t, server)
	assert.EqualValues(t, 1, countByServer(t, c), "history survived the kill")
	runGreet(t, c, "second")
}

// A demo that is started again keeps its database and may get other ports, and a newer Talon may have other attributes.
func TestTemporalTakesAnOldDatabaseToNewPorts(t *testing.T) {
	database := filepath.Join(t.TempDir(), "temporal.db")
	old := startTemporal(t, TemporalOptions{DBFile: database, Headless: true, SearchAttributes: map[string]string{"Old": "Keyword"}})
	require.NoError(t, old.Stop())
	held, err := HoldClosedPort()
	require.NoError(t, err)
	port := held.Port()
	require.NoError(t, held.Release())

	server := startTemporal(t, TemporalOptions{DBFile: database, Headless: true, Port: port})
	assert.NotEqual(t, old.Address(), server.Address())
	runGreet(t, dial(t, server), "first")
}

func TestTemporalServesItsWebUI(t *testing.T) {
	server := startTemporal(t, TemporalOptions{})
	var status int
	eventually(t, func() bool {
		response, err := http.Get(server.UIAddress() + "/namespaces/default/workflows")
		if err != nil {
			return false
		}
		defer response.Body.Close()
		status = response.StatusCode
		return true
	}, "the Web UI answers")
	assert.Equal(t, http.StatusOK, status)
	http.DefaultClient.CloseIdleConnections()
	assert.Empty(t, startTemporal(t, TemporalOptions{Headless: true}).UIAddress(), "two servers run side by side")
}

func TestTemporalOnATakenPortTellsSo(t *testing.T) {
	held, err := HoldClosedPort()
	require.NoError(t, err)
	defer func() { assert.NoError(t, held.Release()) }()
	began := time.Now()
	_, err = StartTemporal(t.Context(), TemporalOptions{
		CLI: temporalCLI(t), Port: held.Port(), Headless: true, Log: filepath.Join(t.TempDir(), "temporal.log"),
	})
	require.ErrorIs(t, err, ErrExited)
	assert.ErrorContains(t, err, "address already in use", "the end of the log is part of the error")
	assert.Less(t, time.Since(began), temporalStartLimit, "it does not wait for a server that is gone")
}

func TestTemporalTellsWhichSearchAttributesItCannotTake(t *testing.T) {
	database := filepath.Join(t.TempDir(), "temporal.db")
	full := map[string]string{"A": "Int", "B": "Int", "C": "Int"} // the development server has room for three
	require.NoError(t, startTemporal(t, TemporalOptions{DBFile: database, Headless: true, SearchAttributes: full}).Stop())
	_, err := StartTemporal(t.Context(), TemporalOptions{
		CLI: temporalCLI(t), DBFile: database, Headless: true, Log: filepath.Join(t.TempDir(), "temporal.log"),
	})
	var invalid *serviceerror.InvalidArgument
	require.ErrorAs(t, err, &invalid)
	assert.NotErrorIs(t, err, context.DeadlineExceeded, "it does not try until time is up")
}

func TestTemporalEnvironmentOfTheUserStaysOut(t *testing.T) {
	got := WithoutTemporalEnv([]string{"HOME=/home/u", "TEMPORAL_ADDRESS=prod:7233", "TEMPORAL_API_KEY=k", "TEMPORALITY=1"})
	assert.Equal(t, []string{"HOME=/home/u", "TEMPORALITY=1", "TEMPORAL_CONFIG_FILE=" + os.DevNull}, got)
}
