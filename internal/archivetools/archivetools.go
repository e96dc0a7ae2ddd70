// Package archivetools finds the programs that tests make archives with and that measurements compare with: on the PATH or,
// unpacked and not installed, among Debian's packages (`make archive-tools`).
package archivetools

import (
	"fmt"
	"os"
	"os/exec"
	"sync"

	"talon/internal/debian"
)

// Packages are Debian's, with the programs that machines often lack. tar and gzip are part of every system.
var Packages = debian.Set{
	Name: "archive-tools", Title: "Debian's archive programs", Size: "about 10 MB", Command: "make archive-tools",
	Packages: [][]string{{"unzip", "zip", "7zip", "libarchive-tools", "unar", "xz-utils", "zstd", "bzip2", "lz4", "brotli"}},
	Files: []string{
		"usr/bin/unzip", "usr/bin/zip", "usr/bin/7zz", "usr/bin/bsdtar", "usr/bin/unar", "usr/bin/xz", "usr/bin/zstd",
		"usr/bin/lz4", "usr/bin/brotli",
	},
}

var unpacked = sync.OnceValues(Packages.Find)

// Command returns the command that runs a program, or an error that says why there is no such program here.
func Command(name string, args ...string) (*exec.Cmd, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return exec.Command(path, args...), nil
	}
	found, err := unpacked()
	if err != nil {
		return nil, fmt.Errorf("no %s on the PATH, nor from Debian: %w", name, err)
	}
	path = found.Path("usr/bin/" + name)
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("no %s on the PATH, and none of Debian's archive programs: %w", name, err)
	}
	command := exec.Command(path, args...)
	command.Env = found.Environ()
	return command, nil
}
