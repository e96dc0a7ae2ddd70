package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"talon/activities"
	"talon/workflows"
)

type decompressOptions struct {
	zipDir, unzipDir  string
	recursive, remote bool
	follow            followOptions
}

func (a *app) decompressCommand() *cobra.Command {
	var o decompressOptions
	command := &cobra.Command{
		Use:   "decompress ZIPDIR UNZIPDIR",
		Short: "Decompress the archives of a directory on tiger's host",
		Long: "Have eagle decompress every archive in ZIPDIR (not its subdirectories, unless --recursive) into UNZIPDIR. Both are directories on tiger's\n" +
			"host, on the file system of its warehouse. Exit codes as for collect.",
		Example: "  starter decompress /data/zip/branch-001 /data/again --wait\n  starter decompress --recursive --remote /data/zip /data/again",
		Args:    arguments("ZIPDIR", "UNZIPDIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.zipDir, o.unzipDir = args[0], args[1]
			return a.decompress(cmd.Context(), o)
		},
	}
	command.Flags().BoolVar(&o.recursive, "recursive", false, "scan subdirectories of ZIPDIR too")
	command.Flags().BoolVar(&o.remote, "remote", false, "the directories are on another host than this one: let tiger check them")
	o.follow.register(command)
	return command
}

func (a *app) decompress(ctx context.Context, o decompressOptions) error {
	called := time.Now()
	if err := o.check(); err != nil {
		return err
	}
	temporal, err := a.dial(ctx)
	if err != nil {
		return err
	}
	defer temporal.Close()
	in := workflows.DecompressInput{ZipDir: o.zipDir, UnzipDir: o.unzipDir, Own: true, Recursive: o.recursive}
	run, err := temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: workflows.OwnDecompressID(newKey(called)), TaskQueue: activities.TigerQueue,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL, StaticSummary: workflows.Summary("decompress " + o.zipDir),
		StaticDetails: decompressDetails(in), Memo: memo(),
	}, workflows.DecompressWorkflow, in)
	if err != nil {
		return fmt.Errorf("start the decompression: %w", err)
	}
	return a.follow(ctx, temporal, run.GetID(), called, o.follow)
}

// decompressDetails says what a decompression of its own is there for.
func decompressDetails(in workflows.DecompressInput) string {
	where := "not in its subdirectories"
	if in.Recursive {
		where = "and in its subdirectories"
	}
	return workflows.Details(fmt.Sprintf("Has an eagle extract the archives in `%s`, %s, and publishes what was in them below `%s`. It belongs to no collection.\n\n"+
		"What became of each archive: `starter result` with this workflow's ID.", in.ZipDir, where, in.UnzipDir))
}

// check makes the paths absolute and refuses a ZIPDIR that is not there, before a workflow starts.
func (o *decompressOptions) check() error {
	for _, dir := range []*string{&o.zipDir, &o.unzipDir} {
		absolute, err := filepath.Abs(*dir)
		if err != nil {
			return err
		}
		*dir = absolute
	}
	if !o.remote {
		if err := checkDir(o.zipDir); err != nil {
			return err
		}
	}
	return o.follow.check()
}

func checkDir(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no directory %s on this host; if it is on tiger's host, say --remote", dir)
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is not a directory: name the one that the archives are in", dir)
	}
	return nil
}
