package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"talon/activities"
	"talon/internal/commandline"
	"talon/workflows"
)

// refresh is how often progress is asked for; answerWithin bounds one question, because a workflow that is busy answers late.
const (
	refresh      = 300 * time.Millisecond
	answerWithin = 2 * time.Second
)

// followOptions say what happens after a run was started.
type followOptions struct {
	wait    bool
	output  string
	runFile string
}

func (o *followOptions) register(command *cobra.Command) {
	command.Flags().BoolVar(&o.wait, "wait", false, "show progress, wait for the end, print the result")
	command.Flags().StringVar(&o.runFile, "run-file", "", "write the run's workflow ID into this file as soon as it is started")
	registerOutput(command, &o.output)
}

func (o *followOptions) check() error { return checkOutput(o.output) }

// follow reports a started run: its name at once, or with --wait its progress and result.
func (a *app) follow(ctx context.Context, c client.Client, run string, called time.Time, o followOptions) error {
	if o.runFile != "" {
		if err := writeWhole(o.runFile, run+"\n"); err != nil {
			return fmt.Errorf("the run %s was started, but its name could not be written: %w", run, err)
		}
	}
	if !o.wait {
		return a.announce(run, o.output)
	}
	err := a.await(ctx, c, run)
	if err == nil {
		err = a.printResult(ctx, c, run, called, o.output)
	}
	if err != nil && ctx.Err() != nil && !errors.As(err, new(commandline.ExitCode)) {
		return fmt.Errorf("interrupted; the run %s goes on: starter result %s shows its result", run, run)
	}
	return err
}

// writeWhole writes a file that nobody sees half written.
func writeWhole(name, text string) error {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() { // a pipe or a terminal: nothing can take its place
		return os.WriteFile(name, []byte(text), 0o600)
	}
	temporary, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	_, err = temporary.WriteString(text)
	if err = errors.Join(err, temporary.Close()); err == nil {
		err = os.Rename(temporary.Name(), name)
	}
	if err != nil {
		_ = os.Remove(temporary.Name())
	}
	return err
}

func (a *app) announce(run, output string) error {
	if output == outputJSON {
		return json.NewEncoder(a.stdout).Encode(map[string]string{"run": run})
	}
	_, err := fmt.Fprintf(a.stdout, "%s\n", run)
	return err
}

// await shows a run's progress until it and all its decompressions have ended. A run that was cancelled or terminated is no error here: what it
// did until then is its result.
func (a *app) await(ctx context.Context, c client.Client, run string) error {
	display := newDisplay(a.stderr)
	defer display.close()
	f := follower{temporal: c, display: display}
	if isDecompression(run) {
		var result workflows.DecompressResult
		return f.end(ctx, run, &result, f.archives)
	}
	var result workflows.CollectResult
	if err := f.end(ctx, run, &result, f.servers); err != nil {
		return err
	}
	return f.decompressions(ctx, result)
}

func isDecompression(run string) bool { return strings.HasPrefix(run, workflows.OwnDecompressID("")) }

// follower polls one run and shows what it learns.
type follower struct {
	temporal client.Client
	display  display
	position int // in the list of finished servers
	// archivesDone counts what earlier decompressions of the run contributed.
	archivesDone, archivesTotal int
}

// end waits for a workflow and calls show with its progress meanwhile, and once more at the end.
func (f *follower) end(ctx context.Context, id string, result any, show func(workflows.Progress)) error {
	finished := make(chan error, 1)
	go func() { finished <- f.temporal.GetWorkflow(ctx, id, "").Get(ctx, result) }()
	ticker := time.NewTicker(refresh)
	defer ticker.Stop()
	for {
		select {
		case err := <-finished:
			for f.poll(ctx, id, show) { // an answer holds only so many servers
				continue
			}
			return outcome(id, err)
		case <-ticker.C:
			f.poll(ctx, id, show)
		}
	}
}

// errBroken: a workflow ended with an error of its own, so that there is no result.
var errBroken = errors.New("could not run")

// outcome turns the end of a workflow into an error only when there is no result to show.
func outcome(id string, err error) error {
	var application *temporal.ApplicationError
	switch {
	case err == nil || temporal.IsCanceledError(err):
		return nil
	case errors.As(err, &application):
		return fmt.Errorf("%s %w: %s", id, errBroken, application.Message())
	case errors.As(err, new(*temporal.WorkflowExecutionError)): // terminated or timed out
		return nil
	default:
		return fmt.Errorf("lost sight of %s: %w; when Temporal is back, starter result shows what became of it", id, err)
	}
}

// poll asks for progress and reports whether there were servers to show. A workflow that does not answer in time is asked again at the next
// tick.
func (f *follower) poll(ctx context.Context, id string, show func(workflows.Progress)) bool {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	answer, err := f.temporal.QueryWorkflow(ctx, id, "", workflows.ProgressQuery, f.position)
	if err != nil {
		return false
	}
	var progress workflows.Progress
	if answer.Get(&progress) != nil {
		return false
	}
	show(progress)
	return len(progress.Finished) > 0
}

func (f *follower) servers(p workflows.Progress) {
	f.position = p.Position
	for _, brief := range p.Finished {
		f.display.server(brief)
	}
	f.display.collecting(p)
}

func (f *follower) archives(p workflows.Progress) {
	done, total := f.archivesDone+p.Done, max(f.archivesTotal, f.archivesDone+p.Total)
	if p.State == workflows.StateDone && done < total {
		p.State = workflows.StateExtracting // this one is, others are not
	}
	f.display.extracting(p.State, done, total)
}

// decompressions waits for every decompression that the collection, or a shard of it, has started.
func (f *follower) decompressions(ctx context.Context, result workflows.CollectResult) error {
	for _, shard := range result.Shards {
		var part workflows.CollectResult
		if err := outcome(shard, f.temporal.GetWorkflow(ctx, shard, "").Get(ctx, &part)); err != nil {
			return err
		}
		result.Decompressions = append(result.Decompressions, part.Decompressions...)
	}
	for _, d := range result.Decompressions {
		f.archivesTotal += d.Archives
	}
	for _, d := range result.Decompressions {
		for n := range d.Count {
			var part workflows.DecompressResult
			err := f.end(ctx, workflows.DecompressID(result.Run, d.Server, n+1), &part, f.archives)
			if err != nil && !errors.Is(err, errBroken) {
				return err
			}
			if err != nil {
				f.display.note(err.Error()) // the rest of the run has a result all the same
			}
			f.archivesDone += part.Total
		}
	}
	if f.archivesDone > 0 {
		f.display.extracting(workflows.StateDone, f.archivesDone, f.archivesDone)
	}
	return nil
}

// problem says in a line what a finished server lacks, "" if nothing.
func problem(b workflows.Brief) string {
	if b.Result == activities.Success {
		return ""
	}
	return because(b.Server, b.Reason, b.Detail)
}
