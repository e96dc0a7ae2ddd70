package main

import (
	"fmt"
	"runtime/debug"
	"strings"

	sdkworker "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// longestBuildID is what is left of Temporal's limit for names of versions, which also hold the deployment.
const longestBuildID = 200

// buildID is the version that a build is by default: the commit it was made from. A tree with changes that are in no commit has none: two builds of
// it may differ.
func buildID() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	var revision string
	for _, setting := range info.Settings {
		switch {
		case setting.Key == "vcs.revision":
			revision = setting.Value[:min(12, len(setting.Value))]
		case setting.Key == "vcs.modified" && setting.Value == "true":
			return ""
		}
	}
	return revision
}

// checkVersion returns an error for a build ID that Temporal would not take, or that says nothing.
func (o runOptions) checkVersion() error {
	switch {
	case !o.versioned && o.buildID != "":
		return fmt.Errorf("--build-id %s needs --versioned", o.buildID)
	case !o.versioned:
		return nil
	case o.version() == "":
		return fmt.Errorf("--versioned needs --build-id: this program was not built from a commit as it is, so it cannot tell which version it is")
	case len(o.version()) > longestBuildID || strings.ContainsAny(o.version(), ": \t\n"):
		return fmt.Errorf("--build-id %q: use up to %d characters without spaces and colons", o.version(), longestBuildID)
	}
	return nil
}

// version is the build ID of this worker.
func (o runOptions) version() string {
	if o.buildID != "" {
		return o.buildID
	}
	return buildID()
}

// deployment makes a worker of a queue a version of the worker deployment that is called like the queue. Each queue is a deployment of its own, so
// that eagles are upgraded when it suits them.
func (o runOptions) deployment(queue string) sdkworker.DeploymentOptions {
	if !o.versioned {
		return sdkworker.DeploymentOptions{}
	}
	return sdkworker.DeploymentOptions{
		UseVersioning: true,
		Version:       sdkworker.WorkerDeploymentVersion{DeploymentName: queue, BuildID: o.version()},
		// Workflows that say nothing else end on the version that they began on: see workflows.Register.
		DefaultVersioningBehavior: workflow.VersioningBehaviorPinned,
	}
}
