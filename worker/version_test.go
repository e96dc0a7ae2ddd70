package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sdkworker "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

func TestVersionRefused(t *testing.T) {
	for name, test := range map[string]struct {
		args  []string
		words string
	}{
		"an ID alone": {[]string{"--build-id", "v1"}, "--build-id v1 needs --versioned"},
		"a colon":     {[]string{"--versioned", "--build-id", "v:1"}, "without spaces and colons"},
		"a space":     {[]string{"--versioned", "--build-id", "v 1"}, "without spaces and colons"},
		"long":        {[]string{"--versioned", "--build-id", strings.Repeat("x", 201)}, "up to 200 characters"},
		"no commit":   {[]string{"--versioned"}, "--versioned needs --build-id"}, // a test binary is built from no commit
	} {
		t.Run(name, func(t *testing.T) { start(t.Context(), test.args...).unusable(t, test.words) })
	}
}

// TestDeploymentOfAWorker: off unless asked for; a deployment for each queue; runs are pinned where they say nothing else.
func TestDeploymentOfAWorker(t *testing.T) {
	assert.Zero(t, runOptions{}.deployment("tiger"))
	options := runOptions{versioned: true, buildID: "v1"}
	require.NoError(t, options.checkVersion())
	assert.Equal(t, sdkworker.DeploymentOptions{
		UseVersioning: true, Version: sdkworker.WorkerDeploymentVersion{DeploymentName: "eagle", BuildID: "v1"},
		DefaultVersioningBehavior: workflow.VersioningBehaviorPinned,
	}, options.deployment("eagle"))
}
