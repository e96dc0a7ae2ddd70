package activities

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"talon/internal/catalog"
)

const (
	// nearFiles is how many paths a refusal to forget a file names that may have been meant.
	nearFiles = 3
	// maxForgotten bounds the rows of an answer, which is one payload: a file that changes with every run has thousands of versions.
	maxForgotten = 500
	// forgottenFrame is room for what is around the names of such a row.
	forgottenFrame = 200
)

// Forgotten is a version of a remote file that the next listing takes for new.
type Forgotten = catalog.Forgotten

// ForgetInput names files that are to be collected again, each as catalog.ForgetRequest does.
type ForgetInput struct {
	Files       []string `json:"files"`
	Server      string   `json:"server,omitempty"` // "" is any, as long as it is one
	AllVersions bool     `json:"all_versions,omitempty"`
}

// ForgetResult is what was forgotten, in the order of the names, and why other names were not.
type ForgetResult struct {
	Forgotten []Forgotten     `json:"forgotten"`
	More      int             `json:"more,omitempty"` // forgotten as well, but too many to be named here
	Refused   []ForgetRefusal `json:"refused,omitempty"`

	bytes int // of Forgotten, about
}

// ForgetRefusal is a name that was not forgotten. Reason is unknown_file or ambiguous_file.
type ForgetRefusal struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
	Detail string `json:"detail"`
}

// ForgetFiles makes the next listing take files for new. Each name is a transaction of its own: a second attempt finds forgotten what the first
// one did. A name that cannot be forgotten is part of the result and keeps no other.
func (t *Tiger) ForgetFiles(ctx context.Context, in ForgetInput) (ForgetResult, error) {
	beat := startProgress(ctx, Checkpoint{})
	defer beat.stop()
	result := ForgetResult{Forgotten: []Forgotten{}}
	if _, known := t.Config.Servers[in.Server]; in.Server != "" && !known && !t.remembers(ctx, in.Server) {
		return result, refuse(UnknownServer, UnknownServerMessage(t.Config, in.Server))
	}
	dirs := map[string]string{}
	for name, server := range t.Config.Servers {
		dirs[name] = server.Path
	}
	for _, name := range in.Files {
		forgotten, err := t.Catalog.Forget(ctx, catalog.ForgetRequest{Name: name, Server: in.Server, AllVersions: in.AllVersions, Dirs: dirs})
		switch {
		case errors.Is(err, catalog.ErrNoRow):
			detail, err := t.unknownFile(ctx, name, in.Server)
			if err != nil {
				return result, Classify(err)
			}
			result.Refused = append(result.Refused, ForgetRefusal{Name: name, Reason: snakeCase(UnknownFile), Detail: detail})
		case errors.Is(err, catalog.ErrAmbiguous):
			detail := err.Error() + ": name one with --server, or the file by its path in the zip warehouse"
			result.Refused = append(result.Refused, ForgetRefusal{Name: name, Reason: snakeCase(AmbiguousFile), Detail: detail})
		case err != nil:
			return result, Classify(err)
		}
		result.add(forgotten)
	}
	return result, nil
}

// add names what was forgotten as long as there is room for it in a payload, and counts the rest.
func (r *ForgetResult) add(forgotten []Forgotten) {
	for _, f := range forgotten {
		r.bytes += len(f.Server) + len(f.Path) + len(f.LocalPath) + forgottenFrame
		if len(r.Forgotten) == maxForgotten || r.bytes > reportBudget {
			r.More++
			continue
		}
		r.Forgotten = append(r.Forgotten, f)
	}
}

// remembers tells whether a server that is no longer configured was listed once.
func (t *Tiger) remembers(ctx context.Context, server string) bool {
	_, known, err := t.Catalog.LastListing(ctx, server, "")
	return known || err != nil // then what is looked for decides
}

func (t *Tiger) unknownFile(ctx context.Context, name, server string) (string, error) {
	detail := "the catalog knows no such file"
	if server != "" {
		detail += " of " + server
	}
	near, err := t.Catalog.NearFiles(ctx, name, server, nearFiles)
	if len(near) > 0 {
		detail += fmt.Sprintf(": did you mean %s?", strings.Join(near, " or "))
	}
	return detail, err
}
