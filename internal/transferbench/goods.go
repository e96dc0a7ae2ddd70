package transferbench

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"talon/activities"
	"talon/internal/archive"
)

// goods are archives that were extracted before, by their names without the extension: an activities.Extractor that only has to
// put them where they should be.
type goods struct {
	trees   string                    // the directory with what was in them
	reports map[string]archive.Report // of the engine
}

const (
	archiveExt = ".zip"
	reportExt  = ".json"
)

// loadGoods reads the reports, so that this takes no time later.
func loadGoods(trees, reports string) (goods, error) {
	found := goods{trees: trees, reports: map[string]archive.Report{}}
	files, err := filepath.Glob(filepath.Join(reports, "*"+reportExt))
	if err != nil {
		return found, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return found, err
		}
		var report archive.Report
		if err := json.Unmarshal(text, &report); err != nil {
			return found, fmt.Errorf("%s: %w", file, err)
		}
		found.reports[strings.TrimSuffix(filepath.Base(file), reportExt)] = report
	}
	return found, nil
}

// Extract implements activities.Extractor.
func (g goods) Extract(_ context.Context, request archive.Request) (archive.Report, error) {
	name := strings.TrimSuffix(path.Base(request.Name), archiveExt)
	report, ok := g.reports[name]
	if !ok {
		return report, fmt.Errorf("%s was not extracted before", name)
	}
	if err := os.Remove(request.Dest); err != nil { // it is empty
		return report, err
	}
	return report, os.Rename(filepath.Join(g.trees, name), request.Dest)
}

// handover is an exchange for what was extracted before: no archive is fetched for it.
type handover struct{ activities.Exchange }

// Fetch implements activities.Exchange.
func (handover) Fetch(_ context.Context, _ activities.ExtractInput, ref activities.ArchiveRef, _ func(int64)) (activities.Fetched, error) {
	return activities.Fetched{Archive: ref.Path, Release: func() error { return nil }}, nil
}

// Prepare implements activities.Exchange.
func (h handover) Prepare(decompression, name string) (activities.Parcel, error) {
	parcel, err := h.Exchange.Prepare(decompression, name)
	return lasting{parcel}, err
}

// lasting is a parcel whose files stay: the other programs leave theirs, too.
type lasting struct{ activities.Parcel }

// Discard implements activities.Parcel.
func (lasting) Discard() error { return nil }
