// Package archive opens compressed files and the compressed files inside them, under limits, and accounts for every entry.
// It recognises formats by their content, reads them with github.com/mholt/archiver/v4 and writes only through an os.Root.
package archive

import (
	"errors"
	"os"
	"time"
)

// Reason is a stable code for why an entry, a layer or an archive is not, or not wholly, there.
type Reason string

// Reasons. They are part of the result format: never rename one.
const (
	ReasonNone              Reason = ""
	ReasonCorrupt           Reason = "corrupt"             // the decoder found contents that cannot be
	ReasonTruncated         Reason = "truncated"           // the archive ends too early
	ReasonEncrypted         Reason = "encrypted"           // needs a password
	ReasonUnsupportedMethod Reason = "unsupported_method"  // a compression method no decoder here knows
	ReasonUnrecognised      Reason = "unrecognised"        // named like an archive, but its content is none
	ReasonMissingVolume     Reason = "missing_volume"      // part of a set of volumes
	ReasonTrailingData      Reason = "trailing_data"       // warning: everything was read, bytes are left over
	ReasonUnsafeName        Reason = "unsafe_name"         // see pathname.Portable
	ReasonSkippedSpecial    Reason = "skipped_special"     // link, device, FIFO or socket: never created
	ReasonLimitDepth        Reason = "limit_depth"         // an archive too deep is kept as a plain file
	ReasonLimitEntries      Reason = "limit_entries"       //
	ReasonLimitBytes        Reason = "limit_bytes"         // output of the whole tree
	ReasonLimitFileBytes    Reason = "limit_file_bytes"    // output of one file
	ReasonLimitRatio        Reason = "limit_ratio"         // output against top-level input
	ReasonLimitDictionary   Reason = "limit_dictionary"    // needs a larger decoder window than allowed
	ReasonLimitMemory       Reason = "limit_memory"        // the decoder asked for more memory than allowed
	ReasonLimitSpace        Reason = "limit_free_space"    // the destination has less free space than must remain
	ReasonTimeout           Reason = "timeout"             // took longer than allowed, or made no progress
	ReasonCrashed           Reason = "crashed"             // the process that decoded it died
	ReasonOverlap           Reason = "overlapping_entries" // of a zip archive: shares its bytes with an entry before it
	ReasonSelfContaining    Reason = "self_containing"     // same SHA-256 as an archive it lies in
	ReasonPartial           Reason = "partial"             // some entries are missing; the refusals say which
	ReasonNestedFailed      Reason = "nested_failed"       // this layer is whole, one inside it is not
)

// ErrDestination wraps every failure of the destination (disk full, permissions): the archive may be fine, so the caller
// should try again instead of reporting the archive.
var ErrDestination = errors.New("cannot write to the destination")

// ErrSource wraps every failure to open or read the archive file itself (not its contents).
var ErrSource = errors.New("cannot read the archive file")

// Limits bound what one top-level archive may cost. Bytes and entries are counted as written, over the whole tree of
// layers, never as declared. The zero value of a field means its default.
type Limits struct {
	Depth           int   `json:"depth,omitempty" yaml:"depth"`                       // layers; default 16
	ArchiveEntries  int   `json:"archive_entries,omitempty" yaml:"archive_entries"`   // entries in one layer; default 20,000
	TreeEntries     int   `json:"tree_entries,omitempty" yaml:"tree_entries"`         // default 100,000
	TreeBytes       int64 `json:"tree_bytes,omitempty" yaml:"tree_bytes"`             // default 4 GiB
	FileBytes       int64 `json:"file_bytes,omitempty" yaml:"file_bytes"`             // default 2 GiB
	Ratio           int64 `json:"ratio,omitempty" yaml:"ratio"`                       // tree output : top-level input; default 200
	RatioArmedAt    int64 `json:"ratio_armed_at,omitempty" yaml:"ratio_armed_at"`     // bytes of output before Ratio counts; default 64 MiB
	DictionaryBytes int64 `json:"dictionary_bytes,omitempty" yaml:"dictionary_bytes"` // decoder windows and dictionaries; default 256 MiB
	// FreeSpace is how many bytes of the destination's file system must remain free; default 1 GiB, or a tenth of it if that is less.
	FreeSpace int64 `json:"free_space,omitempty" yaml:"free_space"`
	// LayerTime and TreeTime bound the decoding of one layer (5 minutes) and of everything (30 minutes). IdleTime is how long a
	// decoder may go on without reading, writing or finishing anything (60 seconds), and MemoryBytes how much memory decoding
	// may take (1 GiB): these two can be enforced only from outside of the process, see package sandbox.
	LayerTime   time.Duration `json:"layer_time,omitempty" yaml:"layer_time"`
	TreeTime    time.Duration `json:"tree_time,omitempty" yaml:"tree_time"`
	IdleTime    time.Duration `json:"idle_time,omitempty" yaml:"idle_time"`
	MemoryBytes int64         `json:"memory_bytes,omitempty" yaml:"memory_bytes"`
}

// Watcher is told what an extraction is doing, so that somebody outside can tell a hang from hard work and knows what was
// being decoded when the process died. Calls may come from several goroutines at once.
type Watcher interface {
	Opened(layer string)         // before the first byte of the layer is decoded
	Closed(layer string)         // it is decoded; what lies in it comes later
	Progress(bytes, steps int64) // several times a second: bytes written so far; steps grows with all that happens
}

// Request names one archive and where its contents go.
type Request struct {
	Archive string // path of the archive file
	// Volumes are the files that the archive is made of, in their order; nil: those that Volumes finds. Their names say what
	// set they are.
	Volumes []string
	// Open, if set, opens Archive and Volumes in place of os.Open: for a process that may not open them itself.
	Open   func(path string) (*os.File, error)
	Name   string // how the report calls it, e.g. "branch-001/a.zip"; "" = base name of Archive
	Dest   string // existing, empty directory that the contents are written below; not to be looked into before Extract returns
	Limits Limits
	// Passwords are tried in order. Encodings are those that entry names which are not UTF-8 may be in, the likelier ones
	// first; "auto" = the common ones of all countries.
	Passwords []string
	Encodings []string
	// Parallel is how many goroutines decode and write at most; 0 = one for each core. With 1, layers are decoded one at a time.
	Parallel int
	// Avoid holds the rows of layers that are not to be opened, because an earlier attempt died of them; they are kept as files.
	Avoid map[string]Layer
	// Progress, if set, is called from time to time with the bytes written so far, never twice at once; it must be quick.
	Progress func(bytes int64)
	// Watch, if set, is told more.
	Watch Watcher
}

// Layer is the account of one archive: the top-level one or one inside another.
type Layer struct {
	Result   int    `json:"result"`   // 0 all there, 1 nothing, 2 partly
	Archives int    `json:"archives"` // archives directly inside, opened or not: each has a row of its own
	Files    int    `json:"files"`    // plain files directly inside that were written, without the archives kept as files
	Reason   Reason `json:"reason"`
	Detail   string `json:"detail,omitempty"` // a sentence for people
}

// File is one extracted file.
type File struct {
	Path    string    `json:"path"` // relative to Request.Dest, slash-separated, valid UTF-8
	Size    int64     `json:"size"`
	SHA256  string    `json:"sha256"`             // lower-case hex
	Layer   string    `json:"layer"`              // key in Report.Layers
	RawName []byte    `json:"raw_name,omitempty"` // the entry's name as stored, when Path is not the same text
	ModTime time.Time `json:"mtime,omitzero"`
}

// Refusal is one entry that was not written.
type Refusal struct {
	Layer   string `json:"layer"`
	Name    string `json:"name"` // printable
	RawName []byte `json:"raw_name,omitempty"`
	Reason  Reason `json:"reason"`
	Detail  string `json:"detail,omitempty"`
}

// Report is the full account of one top-level archive. Its JSON is what `worker extract --json` prints.
type Report struct {
	Archive  string           `json:"archive"`
	Result   int              `json:"result"` // 0 all there, 1 nothing, 2 partly
	Reason   Reason           `json:"reason"`
	Detail   string           `json:"detail,omitempty"`
	Layers   map[string]Layer `json:"layers"` // key: "a.zip", "a.zip/inner.tar.gz", …
	Files    []File           `json:"files"`
	Refused  []Refusal        `json:"refused"`
	Failed   int              `json:"failed"`   // entries and layers that could not be had: len(Refused) + failed nested layers
	Received int              `json:"received"` // len(Files)
	Bytes    int64            `json:"bytes"`    // sum of the sizes of Files
}
