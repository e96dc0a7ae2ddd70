package extractbench

import (
	"context"
	"io"
	"maps"
	"os"
	"os/exec"

	"talon/internal/archivetools"
)

// tools are the programs that scripts can call.
type tools struct {
	env     []string
	reasons map[string]string // why a program is not there
}

// findTools looks for programs on the PATH and, if one is not there and it is allowed, among those that Debian has.
func findTools(ctx context.Context, log io.Writer, names []string, fetch bool) tools {
	found := tools{env: os.Environ(), reasons: map[string]string{}}
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			found.reasons[name] = "no " + name + " on the PATH"
		}
	}
	if len(found.reasons) == 0 || !fetch {
		return found
	}
	installed, err := archivetools.Packages.Fetch(ctx, log)
	if err != nil {
		for name := range found.reasons {
			found.reasons[name] += ", nor from Debian: " + err.Error()
		}
		return found
	}
	found.env = append(installed.Environ(), "PATH="+os.Getenv("PATH")+":"+installed.Path("usr/bin"))
	maps.DeleteFunc(found.reasons, func(name, _ string) bool {
		_, err := os.Stat(installed.Path("usr/bin/" + name))
		return err == nil
	})
	return found
}

// missing says why one of the programs cannot be called, "" if all can.
func (t tools) missing(names []string) string {
	for _, name := range names {
		if reason, ok := t.reasons[name]; ok {
			return reason
		}
	}
	return ""
}
