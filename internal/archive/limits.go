package archive

import (
	"cmp"
	"errors"
	"time"
)

// Defaults of Limits; what they are measured against is said there.
const (
	defaultDepth           = 16
	defaultArchiveEntries  = 20_000
	defaultTreeEntries     = 100_000
	defaultTreeBytes       = 4 << 30
	defaultFileBytes       = 2 << 30
	defaultRatio           = 200
	defaultRatioArmedAt    = 64 << 20
	defaultDictionaryBytes = 256 << 20
	defaultMemoryBytes     = 1 << 30
	defaultFreeSpace       = 1 << 30
	defaultLayerTime       = 5 * time.Minute
	defaultTreeTime        = 30 * time.Minute
	defaultIdleTime        = time.Minute
)

// WithDefaults returns l with every zero field replaced by its default.
func (l Limits) WithDefaults() Limits {
	return Limits{
		Depth:           cmp.Or(l.Depth, defaultDepth),
		ArchiveEntries:  cmp.Or(l.ArchiveEntries, defaultArchiveEntries),
		TreeEntries:     cmp.Or(l.TreeEntries, defaultTreeEntries),
		TreeBytes:       cmp.Or(l.TreeBytes, defaultTreeBytes),
		FileBytes:       cmp.Or(l.FileBytes, defaultFileBytes),
		Ratio:           cmp.Or(l.Ratio, defaultRatio),
		RatioArmedAt:    cmp.Or(l.RatioArmedAt, defaultRatioArmedAt),
		DictionaryBytes: cmp.Or(l.DictionaryBytes, defaultDictionaryBytes),
		FreeSpace:       l.FreeSpace, // its default depends on the file system
		LayerTime:       cmp.Or(l.LayerTime, defaultLayerTime),
		TreeTime:        cmp.Or(l.TreeTime, defaultTreeTime),
		IdleTime:        cmp.Or(l.IdleTime, defaultIdleTime),
		MemoryBytes:     cmp.Or(l.MemoryBytes, defaultMemoryBytes),
	}
}

// limitError says which limit ended a layer.
type limitError struct {
	reason Reason
	detail string
}

func (e *limitError) Error() string { return e.detail }

func isLimit(err error) bool {
	var limit *limitError
	return errors.As(err, &limit)
}
