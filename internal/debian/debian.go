// Package debian brings programs of Debian to tests and measurements without installing them: apt downloads their packages,
// and they are unpacked into a cache directory. Nothing outside of that directory is touched.
package debian

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// ErrUnavailable says that the programs cannot be had on this machine; the text tells why.
var ErrUnavailable = errors.New("not available")

// Set is what is downloaded and unpacked together.
type Set struct {
	Name    string // of its directory in the cache
	Title   string // for people
	Size    string // of the download, for people
	Command string // the shell command that fetches it, for advice
	// Packages are downloaded one list after the other: apt refuses a list of packages that exclude each other. It adds the
	// libraries that this machine lacks.
	Packages [][]string
	// Files are the programs and modules that are needed, relative to the root of a system.
	Files []string
}

// Installation is a directory with the unpacked packages of a Set.
type Installation struct {
	dir string
}

// versionsFile is in an Installation and tells the versions of its packages.
const versionsFile = "versions"

// Find returns what Fetch has unpacked, or an error that wraps ErrUnavailable and says why there is nothing.
func (s Set) Find() (*Installation, error) {
	target, err := s.cachePath()
	if err != nil {
		return nil, err
	}
	found := &Installation{dir: target}
	if err := found.check(s.Files); err != nil {
		if reason, readErr := os.ReadFile(reasonPath(target)); readErr == nil {
			return nil, fmt.Errorf("%w: %s", ErrUnavailable, reason)
		}
		return nil, fmt.Errorf("%w: %w; `%s` fetches them", ErrUnavailable, err, s.Command)
	}
	return found, nil
}

// cachePath names the directory after the release of the system: programs of one do not run with the libraries of another.
func (s Set) cachePath() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("%w: no cache directory: %w", ErrUnavailable, err)
	}
	release, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "", fmt.Errorf("%w: not a Linux distribution: %w", ErrUnavailable, err)
	}
	value := func(key string) string {
		match := regexp.MustCompile(`(?m)^` + key + `="?([\w.-]*)`).FindSubmatch(release)
		if match == nil {
			return "unknown"
		}
		return string(match[1])
	}
	return filepath.Join(cache, "talon", s.Name+"-"+value("ID")+"-"+value("VERSION_ID")), nil
}

func reasonPath(target string) string { return target + ".missing" }

// Path returns where a file of the packages is; name is relative to the root of a system.
func (i *Installation) Path(name string) string { return filepath.Join(i.dir, name) }

// Versions tells the packages with their versions, as in "vsftpd 3.0.3-13+b2".
func (i *Installation) Versions() string {
	versions, err := os.ReadFile(i.Path(versionsFile))
	if err != nil {
		return "versions unknown"
	}
	return strings.TrimSpace(string(versions))
}

// Environ is the environment of this process, changed so that programs of the packages find the libraries that came with
// them.
func (i *Installation) Environ() []string {
	return append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join(i.Libraries(), ":"))
}

// Libraries are the directories of the libraries that came with the packages.
func (i *Installation) Libraries() (dirs []string) {
	// PulseAudio keeps one in a directory of its own, and GNUstep's are in the last.
	for _, pattern := range []string{"lib/*-linux-gnu*", "usr/lib/*-linux-gnu*", "usr/lib/*-linux-gnu*/pulseaudio", "usr/lib"} {
		found, err := filepath.Glob(i.Path(pattern))
		if err == nil { // the pattern is right
			dirs = append(dirs, found...)
		}
	}
	return dirs
}

// check tells what is missing: a file, or a library that one of them needs.
func (i *Installation) check(files []string) error {
	for _, file := range files {
		if _, err := os.Stat(i.Path(file)); err != nil {
			return fmt.Errorf("%s is missing", file)
		}
		ldd := exec.Command("ldd", i.Path(file))
		ldd.Env = i.Environ()
		output, err := ldd.Output()
		if err != nil {
			return fmt.Errorf("ldd %s: %w", file, err)
		}
		for line := range bytes.Lines(output) {
			if bytes.Contains(line, []byte("not found")) {
				return fmt.Errorf("%s needs %s", file, bytes.TrimSpace(line))
			}
		}
	}
	return nil
}
