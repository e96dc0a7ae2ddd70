package contest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"talon/internal/debian"
)

// Programs are those that contenders can call.
type Programs struct {
	path    string            // directories, as in PATH
	env     []string          // what programs of packages need beside it
	reasons map[string]string // why a program is not there
}

// FindPrograms looks for programs on the PATH and, for those that are not there, in sets of Debian's packages, which get brings.
// That one is nowhere is not an error: see Missing.
func FindPrograms(names []string, get func(debian.Set) (*debian.Installation, error), sets ...debian.Set) Programs {
	found := Programs{path: os.Getenv("PATH"), reasons: map[string]string{}}
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			found.reasons[name] = "no " + name + " on the PATH"
		}
	}
	var libraries []string
	for _, set := range sets {
		wanted := found.wanted(set)
		if len(wanted) == 0 {
			continue
		}
		installed, err := get(set)
		if err != nil {
			for _, name := range wanted {
				found.reasons[name] += ", nor from Debian: " + err.Error()
			}
			continue
		}
		for _, name := range wanted {
			delete(found.reasons, name)
		}
		found.path += ":" + installed.Path("usr/bin") + ":" + installed.Path("usr/sbin")
		libraries = append(libraries, installed.Libraries()...)
	}
	if len(libraries) > 0 {
		found.env = []string{"LD_LIBRARY_PATH=" + strings.Join(libraries, ":")}
	}
	return found
}

// wanted are the programs that are missing and that a set has.
func (p Programs) wanted(set debian.Set) (names []string) {
	for _, file := range set.Files {
		name := file[strings.LastIndexByte(file, '/')+1:]
		if _, missing := p.reasons[name]; missing {
			names = append(names, name)
		}
	}
	return names
}

// Missing says why one of the programs cannot be called, "" if all can.
func (p Programs) Missing(names []string) string {
	for _, name := range names {
		if reason, ok := p.reasons[name]; ok {
			return reason
		}
	}
	return ""
}

// Environ is an environment, such as that of this process, changed so that the programs are found, and what they need.
func (p Programs) Environ(environment []string) []string {
	return slices.Concat(environment, []string{"PATH=" + p.path}, p.env)
}

// Path is where a program is, for those that call it by its whole path.
func (p Programs) Path(name string) (string, error) {
	for _, dir := range filepath.SplitList(p.path) {
		file := filepath.Join(dir, name)
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return filepath.Abs(file)
		}
	}
	return "", fmt.Errorf("%s: %w", name, exec.ErrNotFound)
}
