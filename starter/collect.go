package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"talon/activities"
	"talon/config"
	"talon/workflows"
)

// runLimit ends a run that is stuck in spite of its own deadline.
const runLimit = 24 * time.Hour

type collectOptions struct {
	config  string
	servers []string
	buffer  string
	follow  followOptions
}

func (a *app) collectCommand() *cobra.Command {
	var o collectOptions
	command := &cobra.Command{
		Use:   "collect",
		Short: "Collect all new and changed files now",
		Long: "Start a collection of all configured servers, or of those named with --server. With --wait it shows the progress and, at the end,\n" +
			"what became of every server and archive; the exit code is then the result: 0 all there, 1 nothing, 2 partly (3: could not run).",
		Example: "  starter collect --wait\n  starter collect --server branch-001 --server branch-002 --wait -o json\n  starter collect --buffer /data/other-zip",
		Args:    arguments(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.collect(cmd.Context(), o) },
	}
	command.Flags().StringVar(&o.config, "config", "", "configuration file: checks the server names before anything starts")
	command.Flags().StringArrayVar(&o.servers, "server", nil, "collect only this server (may be repeated)")
	command.Flags().StringVar(&o.buffer, "buffer", "", "another directory for the collected files, on tiger's host and the warehouse's file system")
	o.follow.register(command)
	return command
}

func (a *app) collect(ctx context.Context, o collectOptions) error {
	called := time.Now()
	if err := o.check(); err != nil {
		return err
	}
	temporal, err := a.dial(ctx)
	if err != nil {
		return err
	}
	defer temporal.Close()
	in := workflows.CollectInput{Servers: o.servers, Buffer: o.buffer}
	run, err := temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: workflows.CollectID(newKey(called)), TaskQueue: activities.TigerQueue, WorkflowExecutionTimeout: runLimit,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL, StaticSummary: collectSummary(o),
		StaticDetails: workflows.CollectDetails("By hand."), Memo: memo(),
	}, workflows.CollectWorkflow, in)
	if err != nil {
		return fmt.Errorf("start the collection: %w", err)
	}
	return a.follow(ctx, temporal, run.GetID(), called, o.follow)
}

// check refuses what can be known to be wrong before anything starts.
func (o *collectOptions) check() error {
	if o.buffer != "" && !filepath.IsAbs(o.buffer) {
		absolute, err := filepath.Abs(o.buffer)
		if err != nil {
			return err
		}
		o.buffer = absolute
	}
	if o.config == "" {
		return o.follow.check()
	}
	settings, err := config.Load(o.config)
	if err != nil {
		return err
	}
	return errors.Join(checkServers(settings, o.servers), o.follow.check())
}

// checkServers refuses names that are not in the configuration, and says which ones are near.
func checkServers(settings *config.Config, names []string) error {
	var unknown []error
	for _, name := range names {
		if _, ok := settings.Servers[name]; !ok {
			unknown = append(unknown, errors.New(activities.UnknownServerMessage(settings, name)))
		}
	}
	return errors.Join(unknown...)
}

func collectSummary(o collectOptions) string {
	if len(o.servers) == 0 {
		return "started by hand: collect all servers"
	}
	return workflows.Summary("started by hand: collect " + strings.Join(o.servers, ", "))
}

// newKey names a run by when it was called; the random end keeps two starters of one second apart.
func newKey(now time.Time) string {
	return now.UTC().Format("20060102-150405") + "-" + strings.ToLower(rand.Text()[:4])
}

func quietLogger() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
}
