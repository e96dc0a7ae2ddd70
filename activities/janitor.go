package activities

import (
	"context"
	"path"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"
)

// staleStage is how old a staged leftover must be before the janitor takes it whatever its name: longer than any attempt may live.
const staleStage = 72 * time.Hour

// sweepStage removes what no running attempt can own, and counts the files.
func (t *Tiger) sweepStage(ctx context.Context) (files int, err error) {
	keep, err := t.ownedStage(ctx)
	if err != nil {
		return 0, err
	}
	files, err = t.Warehouse.SweepStage(keep)
	if files > 0 {
		activity.GetLogger(ctx).Info("the janitor removed staged files that no attempt can own", "files", files)
	}
	return files, err
}

// ownedStage tells of an entry of the stage whether a running attempt may own it. What belongs to a decompression whose archives all have their
// outcome can only come from an attempt that was given up and did not know; anything else goes by its age.
func (t *Tiger) ownedStage(ctx context.Context) (owned func(rel string, modified time.Time) bool, err error) {
	decompressions, err := t.Catalog.OpenDecompressions(ctx)
	if err != nil {
		return nil, err
	}
	open := map[string]bool{}
	for _, decompression := range decompressions {
		open[decompressionStage(decompression)] = true
		open[path.Join(bundleStage, bundleKey(decompression))] = true
	}
	return func(rel string, modified time.Time) bool {
		dir, name := path.Split(rel)
		switch {
		case rel == bundleStage || dir == bundleStage+"/" && strings.HasPrefix(name, "."): // the gateway's own, which it tidies itself
			return true
		case dir == bundleStage+"/", dir == extractStage+"/":
			return open[rel] && time.Since(modified) < staleStage
		}
		return time.Since(modified) < staleStage
	}, nil
}
