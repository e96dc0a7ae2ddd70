package archive

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// budget counts what one top-level archive has cost so far. All of its methods may be called from several goroutines.
type budget struct {
	limits    Limits
	input     int64                        // size of the top-level archive
	end       time.Time                    // of Limits.TreeTime
	freeSpace func() (free int64, _ error) // below the floor nothing more is written
	steps     atomic.Int64                 // everything that shows that the work goes on
	progress  func(int64)

	mu          sync.Mutex
	entries     int // of all layers
	directories int
	written     int64 // bytes of all files, those of nested archives too
	streamed    int64 // bytes that decompressors delivered to a tar reader, which may skip them instead of having them written
	looked      int64 // what was written when the free space was last looked at
	told        int64 // the bytes that progress heard of last
	// spent is the limit of the whole tree that was hit; nothing is opened after that.
	spent *limitError
}

const (
	progressEvery = 1 << 20  // written bytes between two calls of Request.Progress
	spaceEvery    = 16 << 20 // and between two looks at the free space
)

// entry counts one more entry of a layer that has had inLayer of them, this one included.
func (b *budget) entry(inLayer int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.steps.Add(1)
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
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.directories++; b.directories > b.limits.TreeEntries {
		return b.spend(ReasonLimitEntries, "more than %d directories in all layers", b.limits.TreeEntries)
	}
	return nil
}

// write is asked before n more bytes go into a file that holds inFile bytes.
func (b *budget) write(inFile, n int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.steps.Add(1)
	if inFile+n > b.limits.FileBytes {
		return &limitError{ReasonLimitFileBytes, fmt.Sprintf("a file of more than %d bytes", b.limits.FileBytes)}
	}
	total := b.written + n
	if total > b.limits.TreeBytes {
		return b.spend(ReasonLimitBytes, "more than %d bytes in all layers", b.limits.TreeBytes)
	}
	if total > b.ratioBytes() {
		return b.spend(ReasonLimitRatio, "more than %d times the size of the archive", b.limits.Ratio)
	}
	if total-b.looked >= spaceEvery {
		b.looked = total
		if err := b.space(); err != nil {
			return err
		}
	}
	b.written = total
	b.tellAfter(progressEvery)
	return nil
}

// ratioBytes is how much may be written before Limits.Ratio is exceeded.
func (b *budget) ratioBytes() int64 {
	most := int64(math.MaxInt64)
	if b.input < (most-b.limits.Ratio)/b.limits.Ratio {
		most = b.input*b.limits.Ratio + b.limits.Ratio - 1
	}
	return max(most, b.limits.RatioArmedAt)
}

// space compares the free space of the destination with the floor.
func (b *budget) space() error {
	free, err := b.freeSpace()
	if err != nil {
		return destinationError(err)
	}
	if free < 0 {
		return b.spend(ReasonLimitSpace, "the destination has less free space than must remain: %d bytes are missing", -free)
	}
	return nil
}

// fits says whether files of these sizes can be written without a limit being hit.
func (b *budget) fits(sizes []uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	left := uint64(max(min(b.limits.TreeBytes, b.ratioBytes())-b.written, 0))
	for _, size := range sizes {
		if size > left || size > uint64(b.limits.FileBytes) {
			return false
		}
		left -= size
	}
	return true
}

// perEntry is what an entry takes in a tar archive beside its content, at most, as a rule: headers and padding.
const perEntry = 2 << 10

// stream counts n decompressed bytes on their way to a tar reader. Twice TreeBytes leaves room for refused entries.
func (b *budget) stream(n int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.steps.Add(1)
	b.streamed += int64(n)
	if b.streamed/2-int64(b.limits.TreeEntries)*perEntry > b.limits.TreeBytes {
		return b.spend(ReasonLimitBytes, "skipped more than %d bytes", b.limits.TreeBytes)
	}
	return nil
}

// late is called when the time of a layer is over, and says whether it was its own or that of the whole tree.
func (b *budget) late() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !time.Now().Before(b.end) {
		return b.spend(ReasonTimeout, "all layers together took longer than %s", b.limits.TreeTime)
	}
	return &limitError{ReasonTimeout, fmt.Sprintf("this layer took longer than %s", b.limits.LayerTime)}
}

func (b *budget) spend(reason Reason, format string, limit any) error {
	b.spent = &limitError{reason, fmt.Sprintf(format, limit)}
	return b.spent
}

// exhausted returns the limit of the whole tree that was hit, if one was.
func (b *budget) exhausted() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.spent == nil {
		return nil
	}
	return b.spent
}

// tell reports progress if there was any since the last time.
func (b *budget) tell() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tellAfter(1)
}

func (b *budget) tellAfter(bytes int64) {
	if b.progress != nil && b.written-b.told >= bytes {
		b.told = b.written
		b.progress(b.written)
	}
}

// soFar returns the arguments of Watcher.Progress.
func (b *budget) soFar() (bytes, steps int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.written, b.steps.Load()
}
