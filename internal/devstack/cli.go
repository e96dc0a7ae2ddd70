package devstack

import (
	"context"

	"talon/internal/toolbuild"
)

// CLIEnv names the environment variable that points to a ready Temporal CLI.
const CLIEnv = "TALON_TEMPORAL_CLI"

var cliTool = toolbuild.Tool{
	Name: "the Temporal CLI", Env: CLIEnv, Binary: "temporal", Takes: "about 4 minutes",
	Module: "github.com/temporalio/cli", Package: "github.com/temporalio/cli/cmd/temporal",
}

// CLIOptions say where the Temporal CLI may come from.
type CLIOptions = toolbuild.Options

// FindOrBuildCLI returns the path of a Temporal CLI: the one that TALON_TEMPORAL_CLI names, else `temporal` on PATH, else
// the one in the cache, which is built first if need be; see toolbuild.FindOrBuild.
func FindOrBuildCLI(ctx context.Context, opts CLIOptions) (string, error) {
	return toolbuild.FindOrBuild(ctx, cliTool, opts)
}
