package gateway

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

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

// FindProgram returns the path of versitygw without ever building it: the one that TALON_GATEWAY_PROGRAM names, else one beside this
// program, else `versitygw` on PATH.
func FindProgram() (string, error) {
	if named := os.Getenv(ProgramEnv); named != "" {
		path, err := exec.LookPath(named)
		if err != nil {
			return "", fmt.Errorf("%s: %w", ProgramEnv, err)
		}
		return path, nil
	}
	if self, err := os.Executable(); err == nil {
		if path, err := exec.LookPath(filepath.Join(filepath.Dir(self), versitygw.Binary)); err == nil {
			return path, nil
		}
	}
	path, err := exec.LookPath(versitygw.Binary)
	if err != nil {
		return "", fmt.Errorf("versitygw is neither beside this program nor on PATH: name it with --program: %w", err)
	}
	return path, nil
}
