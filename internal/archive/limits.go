package archive

import (
	"cmp"
	"fmt"
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
	}
}

// limitError says which limit ended a layer.
type limitError struct {
	reason Reason
	detail string
}

func (e *limitError) Error() string { return e.detail }

// budget counts what one top-level archive has cost so far.
type budget struct {
	limits      Limits
	input       int64 // size of the top-level archive
	entries     int   // of all layers
	directories int
	written     int64 // bytes of all files, those of nested archives too
	streamed    int64 // bytes that decompressors delivered to a tar reader, which may skip them instead of having them written
	// spent is the limit of the whole tree that was hit; nothing is opened after that.
	spent    *limitError
	progress func(int64)
	told     int64 // the bytes that progress heard of last
}

// progressEvery is how many written bytes lie between two calls of Request.Progress.
const progressEvery = 1 << 20

// entry counts one more entry of a layer that has had inLayer of them, this one included.
func (b *budget) entry(inLayer int) error {
	if b.entries++; b.entries > b.limits.TreeEntries {
		return b.spend(ReasonLimitEntries, "more than %d entries in all layers", b.limits.TreeEntries)
	}
	if inLayer > b.limits.ArchiveEntries {
		return &limitError{ReasonLimitEntries, fmt.Sprintf("more than %d entries in this archive", b.limits.ArchiveEntries)}
	}
	return nil
}

// directory counts a directory that is created: one long name can ask for hundreds.
func (b *budget) directory() error {
	if b.directories++; b.directories > b.limits.TreeEntries {
		return b.spend(ReasonLimitEntries, "more than %d directories in all layers", b.limits.TreeEntries)
	}
	return nil
}

// write is asked before n more bytes go into a file that holds inFile bytes.
func (b *budget) write(inFile, n int64) error {
	if inFile+n > b.limits.FileBytes {
		return &limitError{ReasonLimitFileBytes, fmt.Sprintf("a file of more than %d bytes", b.limits.FileBytes)}
	}
	total := b.written + n
	if total > b.limits.TreeBytes {
		return b.spend(ReasonLimitBytes, "more than %d bytes in all layers", b.limits.TreeBytes)
	}
	if total > b.limits.RatioArmedAt && total/b.limits.Ratio > b.input {
		return b.spend(ReasonLimitRatio, "more than %d times the size of the archive", b.limits.Ratio)
	}
	b.written = total
	b.tell(progressEvery)
	return nil
}

// perEntry is what an entry takes in a tar archive beside its content, at most, as a rule: headers and padding.
const perEntry = 2 << 10

// stream counts n decompressed bytes on their way to a tar reader. Twice TreeBytes leaves room for refused entries.
func (b *budget) stream(n int) error {
	b.streamed += int64(n)
	if b.streamed/2-int64(b.limits.TreeEntries)*perEntry > b.limits.TreeBytes {
		return b.spend(ReasonLimitBytes, "skipped more than %d bytes", b.limits.TreeBytes)
	}
	return nil
}

func (b *budget) spend(reason Reason, format string, limit any) error {
	b.spent = &limitError{reason, fmt.Sprintf(format, limit)}
	return b.spent
}

// tell reports progress when at least step bytes came since the last time.
func (b *budget) tell(step int64) {
	if b.progress != nil && b.written-b.told >= step {
		b.told = b.written
		b.progress(b.written)
	}
}
