// Package chromium finds a browser without a window, for tests that look at the Temporal Web UI as an operator does: on the PATH or,
// unpacked and not installed, among Debian's packages (`make chromium`).
package chromium

import (
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"talon/internal/debian"
)

// packages are Debian's: the browser without what a window needs, and fonts with Latin and Chinese characters.
var packages = debian.Set{
	Name: "chromium", Title: "Debian's Chromium", Size: "about 100 MB", Command: "make chromium",
	Packages: [][]string{{"chromium-headless-shell", "fonts-dejavu-core", "fonts-droid-fallback", "fontconfig-config"}},
	Files:    []string{shell},
}

const (
	shell = "usr/lib/chromium/chromium-headless-shell"
	fonts = "usr/share/fonts"
)

// names are those that a browser has on the PATH, the smallest first.
var names = []string{"chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"}

// Browser is a Chromium that can be started.
type Browser struct {
	Path string
	Env  []string // of its process
}

// Versions names the browser, for people.
func (b Browser) Versions() string {
	version := exec.Command(b.Path, "--version")
	version.Env = b.Env
	output, err := version.Output()
	if err != nil {
		return b.Path
	}
	return strings.TrimSpace(string(output)) + " (" + b.Path + ")"
}

// Find returns the browser of this machine, or an error that wraps debian.ErrUnavailable and says why there is none. What a browser keeps
// beside its profile, and where it finds its fonts, goes into dir.
func Find(dir string) (Browser, error) {
	if browser, ok := onPath(); ok {
		return browser, nil
	}
	unpacked, err := packages.Find()
	if err != nil {
		return Browser{}, fmt.Errorf("no browser on the PATH, nor from Debian: %w", err)
	}
	settings := filepath.Join(dir, "fonts.conf")
	if err := os.WriteFile(settings, fontSettings(unpacked.Path(fonts), filepath.Join(dir, "fonts")), 0o644); err != nil {
		return Browser{}, err
	}
	return Browser{Path: unpacked.Path(shell), Env: append(unpacked.Environ(), "FONTCONFIG_FILE="+settings)}, nil
}

func onPath() (Browser, bool) {
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return Browser{Path: path, Env: os.Environ()}, true
		}
	}
	return Browser{}, false
}

// fontSettings has fontconfig look for fonts where they were unpacked, beside those of the machine. Without a family of Latin characters by name
// it takes the Chinese ones for them.
func fontSettings(dir, cache string) []byte {
	type family struct {
		Family string   `xml:"family"`
		Prefer []string `xml:"prefer>family"`
	}
	settings, err := xml.Marshal(struct {
		XMLName xml.Name `xml:"fontconfig"`
		Dirs    []string `xml:"dir"`
		Cache   string   `xml:"cachedir"`
		Aliases []family `xml:"alias"`
	}{
		Dirs: []string{dir, "/usr/share/fonts"}, Cache: cache,
		Aliases: []family{
			{"sans-serif", []string{"DejaVu Sans", "Droid Sans Fallback"}},
			{"serif", []string{"DejaVu Serif", "Droid Sans Fallback"}},
			{"monospace", []string{"DejaVu Sans Mono", "Droid Sans Fallback"}},
		},
	})
	if err != nil {
		panic("BUG: " + err.Error()) // strings only
	}
	return settings
}

// Fetch downloads a browser where there is none, see debian.Set.Fetch.
func Fetch(ctx context.Context, log io.Writer) (Browser, error) {
	if browser, ok := onPath(); ok {
		return browser, nil
	}
	unpacked, err := packages.Fetch(ctx, log)
	if err != nil {
		return Browser{}, err
	}
	return Browser{Path: unpacked.Path(shell), Env: unpacked.Environ()}, nil
}
