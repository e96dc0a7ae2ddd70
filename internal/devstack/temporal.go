package devstack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	enums "go.temporal.io/api/enums/v1"
	namespacepb "go.temporal.io/api/namespace/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"google.golang.org/protobuf/types/known/durationpb"

	"talon/internal/subprocess"
)

const (
	// transferRate is how often a second the server hands tasks of a shard to the queues. A development server has one shard, and its own
	// value, 20, leaves a workflow that does one thing after the other waiting for most of its time.
	transferRate = "history.transferProcessorMaxPollRPS"
	// Namespace is the Temporal namespace that the development server always creates.
	Namespace = "default"
	// DefaultRetention is how long finished workflows stay visible; the development server's own value is 24 hours.
	DefaultRetention = 30 * 24 * time.Hour

	usualPort   = 7233 // where Temporal's clients look first
	usualUIPort = 8233

	temporalStartLimit = 90 * time.Second
	temporalStartTries = 3
	temporalGrace      = 20 * time.Second
	callLimit          = 5 * time.Second
)

// SearchAttributes returns the search attributes that Talon's workflows set, by name, with their types.
func SearchAttributes() map[string]string {
	return map[string]string{
		"TalonServer": "Keyword", "TalonRun": "Keyword", "TalonState": "Keyword",
		"TalonResult": "Int", "TalonFiles": "Int", "TalonFailed": "Int",
	}
}

// TemporalOptions describe a Temporal development server.
type TemporalOptions struct {
	CLI    string // path of the Temporal CLI, see FindOrBuildCLI
	DBFile string // the server's state; created if it is not there. "" keeps the state in memory: it does not survive Restart
	Port   int    // of the gRPC service; 0: 7233 if it is free, else another
	UIPort int    // of the Web UI; 0: 8233 if it is free, else another
	// Headless leaves the Web UI away.
	Headless bool
	Log      string // file for the server's output
	// SearchAttributes are registered if they are missing; nil: SearchAttributes().
	SearchAttributes map[string]string
	Retention        time.Duration     // 0: DefaultRetention
	SQLitePragmas    map[string]string // such as {"journal_mode": "wal"}
	DynamicConfig    map[string]string // key: value as JSON, such as {"limit.blobSize.error": "4096"}
}

// Temporal is a running Temporal development server.
type Temporal struct {
	opts    TemporalOptions
	process *Process
}

// StartTemporal starts a development server and returns when it is ready: it answers, and its namespace has the retention
// and the search attributes. A port that was left open (0) and is taken by somebody else in that moment is chosen anew.
func StartTemporal(ctx context.Context, opts TemporalOptions) (*Temporal, error) {
	if opts.SearchAttributes == nil {
		opts.SearchAttributes = SearchAttributes()
	}
	if opts.Retention == 0 {
		opts.Retention = DefaultRetention
	}
	t := &Temporal{}
	err := t.tryToStart(ctx, func() error {
		t.opts = opts
		return t.choosePorts()
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

// tryToStart prepares and starts the server, more than once if it loses a race for a port.
func (t *Temporal) tryToStart(ctx context.Context, prepare func() error) error {
	var failures []error
	for range temporalStartTries {
		if err := prepare(); err != nil {
			return err
		}
		err := t.start(ctx)
		if err == nil {
			return nil
		}
		failures = append(failures, err)
		if !t.lostPortRace() {
			break
		}
	}
	return errors.Join(failures...)
}

// lostPortRace tells from the server's log that somebody else took a port in the moment between its choice and its use: one that was chosen here, or
// one of those that the server chooses for its own parts, which may end it with a panic.
func (t *Temporal) lostPortRace() bool {
	if t.process == nil {
		return false
	}
	log, err := t.process.ReadLog(0)
	if err != nil {
		return false
	}
	return slices.ContainsFunc([]string{"address already in use", "failed assigning ephemeral port", "failed to assign a free port"},
		func(trouble string) bool { return bytes.Contains(log, []byte(trouble)) })
}

func (t *Temporal) choosePorts() (err error) {
	if t.opts.Port == 0 {
		if t.opts.Port, err = FreePort(usualPort); err != nil {
			return err
		}
	}
	if t.opts.UIPort == 0 && !t.opts.Headless {
		t.opts.UIPort, err = FreePort(usualUIPort)
	}
	return err
}

// start runs the server and prepares its namespace; if that fails, nothing is left running.
func (t *Temporal) start(ctx context.Context) error {
	process, err := StartProcess(ProcessOptions{
		Name: "Temporal server", Path: t.opts.CLI, Args: t.arguments(),
		Env: WithoutTemporalEnv(os.Environ()), LogFile: t.opts.Log,
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, temporalStartLimit,
		fmt.Errorf("it was not ready within %s", temporalStartLimit))
	defer cancel()
	t.process = process
	if err := t.prepare(ctx); err != nil {
		return errors.Join(err, process.Kill())
	}
	return nil
}

func (t *Temporal) arguments() []string {
	args := []string{
		"server", "start-dev", "--ip", loopback, "--port", strconv.Itoa(t.opts.Port), "--log-level", "warn",
		// Otherwise the server asks the internet for its newest version.
		"--dynamic-config-value", "frontend.enableServerVersionCheck=false",
	}
	if t.opts.DBFile != "" {
		args = append(args, "--db-filename", t.opts.DBFile)
	}
	if t.opts.Headless {
		args = append(args, "--headless")
	} else {
		args = append(args, "--ui-port", strconv.Itoa(t.opts.UIPort))
	}
	args = appendPairs(args, "--search-attribute", t.opts.SearchAttributes)
	args = appendPairs(args, "--sqlite-pragma", t.opts.SQLitePragmas)
	settings := map[string]string{transferRate: "10000"}
	maps.Copy(settings, t.opts.DynamicConfig)
	return appendPairs(args, "--dynamic-config-value", settings)
}

func appendPairs(args []string, flag string, pairs map[string]string) []string {
	for _, key := range slices.Sorted(maps.Keys(pairs)) {
		args = append(args, flag, key+"="+pairs[key])
	}
	return args
}

// WithoutTemporalEnv returns the environment without the variables that configure Temporal clients (TEMPORAL_*), and with
// an empty client configuration file, so that a user's settings for another cluster do not reach this one.
func WithoutTemporalEnv(env []string) []string {
	kept := slices.DeleteFunc(slices.Clone(env), func(entry string) bool { return strings.HasPrefix(entry, "TEMPORAL_") })
	return append(kept, "TEMPORAL_CONFIG_FILE="+os.DevNull)
}

// prepare waits for the server and sets up its namespace, step by step, each tried until it succeeds.
func (t *Temporal) prepare(ctx context.Context) error {
	if err := t.process.WaitUntil(ctx, "opened its ports", t.portsAreOpen); err != nil {
		return err
	}
	c, err := client.NewLazyClient(client.Options{
		HostPort: t.Address(), Namespace: Namespace, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	if err != nil {
		return fmt.Errorf("client of the Temporal server: %w", err)
	}
	defer c.Close()
	steps := []struct {
		what string
		do   func(context.Context, client.Client) error
	}{
		{"answered its health check", checkHealth},
		{"taken the retention", t.setRetention},
		{"registered the search attributes", t.addSearchAttributes},
		{"answered a query with the search attributes", t.querySearchAttributes},
	}
	for _, step := range steps {
		err := t.attempt(ctx, step.what, func(ctx context.Context) error { return step.do(ctx, c) })
		if err != nil {
			return err
		}
	}
	return nil
}

// attempt repeats a call until it succeeds, ctx ends, or the server calls it invalid.
func (t *Temporal) attempt(ctx context.Context, what string, do func(context.Context) error) error {
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	var last error
	err := t.process.WaitUntil(ctx, what, func() bool {
		call, cancel := context.WithTimeout(ctx, callLimit)
		defer cancel()
		err := do(call)
		var invalid *serviceerror.InvalidArgument
		if errors.As(err, &invalid) {
			giveUp(err)
		}
		if ctx.Err() == nil {
			last = err // what the server said before time was up says more than that it was up
		}
		return err == nil
	})
	if err != nil {
		return errors.Join(err, last)
	}
	return nil
}

func (t *Temporal) portsAreOpen() bool {
	return subprocess.Listens(t.process.Pid(), t.opts.Port) && (t.opts.Headless || subprocess.Listens(t.process.Pid(), t.opts.UIPort))
}

func checkHealth(ctx context.Context, c client.Client) error {
	_, err := c.CheckHealth(ctx, &client.CheckHealthRequest{})
	return err
}

func (t *Temporal) setRetention(ctx context.Context, c client.Client) error {
	_, err := c.WorkflowService().UpdateNamespace(ctx, &workflowservice.UpdateNamespaceRequest{
		Namespace: Namespace,
		Config:    &namespacepb.NamespaceConfig{WorkflowExecutionRetentionTtl: durationpb.New(t.opts.Retention)},
	})
	return err
}

// addSearchAttributes adds what is missing: the server registers those of its command line only in a database that is new.
func (t *Temporal) addSearchAttributes(ctx context.Context, c client.Client) error {
	known, err := c.OperatorService().ListSearchAttributes(ctx,
		&operatorservice.ListSearchAttributesRequest{Namespace: Namespace})
	if err != nil {
		return err
	}
	missing := map[string]enums.IndexedValueType{}
	for name, kind := range t.opts.SearchAttributes {
		if _, ok := known.GetCustomAttributes()[name]; ok {
			continue
		}
		if missing[name], err = enums.IndexedValueTypeFromString(kind); err != nil {
			return fmt.Errorf("search attribute %s: %w", name, err)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	_, err = c.OperatorService().AddSearchAttributes(ctx,
		&operatorservice.AddSearchAttributesRequest{Namespace: Namespace, SearchAttributes: missing})
	return err
}

// querySearchAttributes proves that the frontend knows namespace and attributes: both reach it through caches.
func (t *Temporal) querySearchAttributes(ctx context.Context, c client.Client) error {
	var terms []string
	for _, name := range slices.Sorted(maps.Keys(t.opts.SearchAttributes)) {
		terms = append(terms, name+" IS NULL")
	}
	_, err := c.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{
		Namespace: Namespace, Query: strings.Join(terms, " AND "),
	})
	return err
}

// Address returns host and port of the gRPC service, as TEMPORAL_ADDRESS takes it.
func (t *Temporal) Address() string { return net.JoinHostPort(loopback, strconv.Itoa(t.opts.Port)) }

// UIAddress returns the URL of the Web UI, "" without one.
func (t *Temporal) UIAddress() string {
	if t.opts.Headless {
		return ""
	}
	return "http://" + net.JoinHostPort(loopback, strconv.Itoa(t.opts.UIPort))
}

// Done is closed when the server process has ended.
func (t *Temporal) Done() <-chan struct{} { return t.process.Done() }

// LogTail returns the last lines the server wrote, see Process.LogTail.
func (t *Temporal) LogTail() string { return t.process.LogTail() }

// Stop ends the server in order, and kills it when it takes too long.
func (t *Temporal) Stop() error { return t.process.Stop(temporalGrace) }

// Kill ends the server as a power cut would.
func (t *Temporal) Kill() error { return t.process.Kill() }

// Restart stops the server if it still runs and starts it on the same ports and the same database file. It returns when
// the server is ready again.
func (t *Temporal) Restart(ctx context.Context) error {
	if err := t.Stop(); err != nil && !errors.Is(err, ErrKilled) {
		return err
	}
	return t.tryToStart(ctx, func() error { return nil })
}
