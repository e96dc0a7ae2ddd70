package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"talon/activities"
	"talon/config/dial"
	"talon/internal/commandline"
)

// Words for what a version of a deployment is.
const (
	versionCurrent  = "current"
	versionRamping  = "ramping"  // it gets a part of the new runs
	versionDraining = "draining" // it was current, and open runs may be pinned to it
	versionDrained  = "drained"  // no open run needs it
	versionWaiting  = "waiting"  // it has never been current
)

// unversioned is the name of the workers without --versioned where one is shown.
const unversioned = "(unversioned)"

// deployments are called like the queues of their workers.
func deployments() []string { return []string{activities.TigerQueue, activities.EagleQueue} }

// version is one version of a deployment; its JSON names are what scripts read.
type version struct {
	Deployment string    `json:"deployment"`
	BuildID    string    `json:"build_id"` // "" is the workers without --versioned
	State      string    `json:"state"`
	Since      time.Time `json:"since,omitzero"` // current: since then
	Created    time.Time `json:"created,omitzero"`
	Pinned     int64     `json:"pinned_runs"` // open runs that only this version can finish
}

func (a *app) deploymentCommand() *cobra.Command {
	var output string
	command := &cobra.Command{
		Use:   "deployment",
		Short: "Show the versions of versioned workers: which gets new runs, and which still has runs of its own",
		Long: "Show the versions of the workers that were started with --versioned. There are two deployments, tiger and eagle, each with its own\n" +
			"current version, which gets all new work. A worker of another version may be stopped when it is drained: no open run is pinned to it.\n" +
			"Temporal looks for that every few minutes; the number of pinned runs is counted now.",
		Example: "  starter deployment\n  starter deployment -o json\n  starter deployment current tiger 2026-11-28",
		Args:    arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			return a.withTemporal(cmd.Context(), func(c client.Client) error {
				versions, err := listVersions(cmd.Context(), c)
				if err != nil {
					return err
				}
				return versionListing(versions).print(a.stdout, output)
			})
		},
	}
	registerOutput(command, &output)
	command.AddCommand(a.deploymentCurrentCommand())
	return command
}

// withTemporal calls do with a connection.
func (a *app) withTemporal(ctx context.Context, do func(client.Client) error) error {
	c, err := a.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	return do(c)
}

// listVersions returns the versions of both deployments, the newest first. A deployment that no worker was ever part of has none.
func listVersions(ctx context.Context, c client.Client) ([]version, error) {
	versions := []version{}
	for _, name := range deployments() {
		described, err := c.WorkerDeploymentClient().GetHandle(name).Describe(ctx, client.WorkerDeploymentDescribeOptions{})
		var notFound *serviceerror.NotFound
		if errors.As(err, &notFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("describe the deployment %s: %w", name, err)
		}
		found := versionsOf(described.Info)
		for i := range found {
			if found[i].Pinned, err = countPinned(ctx, c, found[i]); err != nil {
				return nil, err
			}
		}
		versions = append(versions, found...)
	}
	return versions, nil
}

func versionsOf(info client.WorkerDeploymentInfo) []version {
	routing := info.RoutingConfig
	var versions []version
	if routing.CurrentVersion == nil {
		versions = append(versions, version{Deployment: info.Name, State: versionCurrent, Since: routing.CurrentVersionChangedTime})
	}
	for _, summary := range info.VersionSummaries {
		v := version{Deployment: info.Name, BuildID: summary.Version.BuildID, State: versionWaiting, Created: summary.CreateTime}
		switch {
		case routing.CurrentVersion != nil && *routing.CurrentVersion == summary.Version:
			v.State, v.Since = versionCurrent, routing.CurrentVersionChangedTime
		case routing.RampingVersion != nil && *routing.RampingVersion == summary.Version:
			v.State, v.Since = versionRamping, routing.RampingVersionChangedTime
		case summary.DrainageStatus == client.WorkerDeploymentVersionDrainageStatusDraining:
			v.State = versionDraining
		case summary.DrainageStatus == client.WorkerDeploymentVersionDrainageStatusDrained:
			v.State = versionDrained
		}
		versions = append(versions, v)
	}
	slices.SortStableFunc(versions, func(a, b version) int { return b.Created.Compare(a.Created) })
	return versions
}

// countPinned counts the open runs that are pinned to a version. Workers without versions have none.
func countPinned(ctx context.Context, c client.Client, v version) (int64, error) {
	if v.BuildID == "" {
		return 0, nil
	}
	namespace, err := dial.Namespace()
	if err != nil {
		return 0, err
	}
	name := strings.ReplaceAll(v.Deployment+":"+v.BuildID, "'", "''")
	counted, err := c.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Namespace: namespace, Query: fmt.Sprintf(
		"ExecutionStatus = 'Running' AND TemporalWorkflowVersioningBehavior = 'Pinned' AND TemporalWorkerDeploymentVersion = '%s'", name)})
	if err != nil {
		return 0, fmt.Errorf("count the runs of %s: %w", name, err)
	}
	return counted.GetCount(), nil
}

func versionListing(versions []version) listing {
	l := listing{
		title: "versions of workers",
		columns: []column{
			{title: "deployment", key: "deployment"},
			{title: "build ID", key: "build_id"},
			{title: "state", key: "state"},
			{title: "pinned runs", key: "pinned_runs", right: true},
			{title: "first seen", key: "created"},
			{title: "since", key: "since"},
		},
		document: versions,
	}
	for _, v := range versions {
		id := cell{shown: printable(shownVersion(v.BuildID)), plain: v.BuildID}
		l.rows = append(l.rows, []cell{textCell(v.Deployment), id, textCell(v.State), numberCell(v.Pinned), timeCell(v.Created), timeCell(v.Since)})
	}
	if len(versions) == 0 {
		l.footer = "no worker was started with --versioned yet; those without get all work"
	}
	return l
}

func (a *app) deploymentCurrentCommand() *cobra.Command {
	var back bool
	command := &cobra.Command{
		Use:   "current tiger|eagle [BUILD_ID]",
		Short: "Send new work to this version from now on; pinned runs end where they are",
		Long: "Make a version the current one of its deployment: new runs begin there, decompressions that wait go over to it, runs that are pinned to\n" +
			"another version end there. A worker of the version must have polled. The way back is the same command with the version before.",
		Example: "  starter deployment current tiger 2026-11-28\n  starter deployment current eagle --unversioned",
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) == 0 || !slices.Contains(deployments(), args[0]):
				return commandline.SeeHelp(cmd, errors.New("current needs a deployment: tiger or eagle"))
			case back && len(args) != 1 || !back && len(args) != 2 || !back && args[1] == "":
				return commandline.SeeHelp(cmd, errors.New("current needs one build ID, or --unversioned for the workers without one"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withTemporal(cmd.Context(), func(c client.Client) error {
				return a.setCurrent(cmd.Context(), c.WorkerDeploymentClient().GetHandle(args[0]), args[0], append(args[1:], "")[0])
			})
		},
	}
	command.Flags().BoolVar(&back, "unversioned", false, "send new work to the workers without --versioned")
	return command
}

// setCurrent changes the current version, unless somebody else does at the same time.
func (a *app) setCurrent(ctx context.Context, deployment client.WorkerDeploymentHandle, name, buildID string) error {
	before, err := deployment.Describe(ctx, client.WorkerDeploymentDescribeOptions{})
	if err == nil {
		_, err = deployment.SetCurrentVersion(ctx, client.WorkerDeploymentSetCurrentVersionOptions{BuildID: buildID, ConflictToken: before.ConflictToken})
	}
	var notFound *serviceerror.NotFound
	switch {
	case errors.As(err, &notFound) && buildID == "": // no deployment: those without versions get everything
	case errors.As(err, &notFound):
		return fmt.Errorf("no worker of %s was seen as version %s: start it first, with worker --role %s --versioned --build-id %s",
			name, buildID, name, buildID)
	case err != nil:
		return fmt.Errorf("make %s the current version of %s: %w", shownVersion(buildID), name, err)
	}
	previous := ""
	if v := before.Info.RoutingConfig.CurrentVersion; v != nil {
		previous = v.BuildID
	}
	_, err = fmt.Fprintf(a.stdout, "%s: new work goes to %s (before: %s)\n", name, shownVersion(buildID), shownVersion(previous))
	return err
}

func shownVersion(buildID string) string {
	if buildID == "" {
		return unversioned
	}
	return buildID
}
