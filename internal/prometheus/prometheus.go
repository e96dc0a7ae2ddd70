// Package prometheus finds promtool, which checks the alert rules in docs/monitoring: on the PATH or, unpacked and not installed, in Debian's
// package (`make prometheus`).
package prometheus

import (
	"fmt"
	"os/exec"

	"talon/internal/debian"
)

// Package is Debian's.
var Package = debian.Set{
	Name: "prometheus", Title: "Debian's Prometheus", Size: "about 23 MB", Command: "make prometheus",
	Packages: [][]string{{"prometheus"}}, Files: []string{promtool},
}

const promtool = "usr/bin/promtool"

// Promtool returns the command that runs promtool, or an error that says why there is none here.
func Promtool(args ...string) (*exec.Cmd, error) {
	if path, err := exec.LookPath("promtool"); err == nil {
		return exec.Command(path, args...), nil
	}
	found, err := Package.Find()
	if err != nil {
		return nil, fmt.Errorf("no promtool on the PATH, nor from Debian: %w", err)
	}
	command := exec.Command(found.Path(promtool), args...)
	command.Env = found.Environ()
	return command, nil
}
