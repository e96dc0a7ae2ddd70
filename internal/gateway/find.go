package gateway

import (
	"context"

	"talon/internal/toolbuild"
)

// ProgramEnv names the environment variable that points to a ready versitygw.
const ProgramEnv = "TALON_GATEWAY_PROGRAM"

var versitygw = toolbuild.Tool{
	Name: "versitygw", Env: ProgramEnv, Binary: "versitygw", Takes: "1 to 2 minutes",
	Module: "github.com/versity/versitygw", Package: "github.com/versity/versitygw/cmd/versitygw",
}

// FindOptions say where versitygw may come from.
type FindOptions = toolbuild.Options

// FindOrBuild returns the path of versitygw: the one that TALON_GATEWAY_PROGRAM names, else `versitygw` on PATH, else the one in
// the cache, which is built first if need be; see toolbuild.FindOrBuild.
func FindOrBuild(ctx context.Context, opts FindOptions) (string, error) {
	return toolbuild.FindOrBuild(ctx, versitygw, opts)
}
