package activities

import (
	"slices"
	"time"
)

// ExtractionInput asks for a page of batches for a decompression.
type ExtractionInput struct {
	Decompression string `json:"decompression"` // workflow ID
	ZipDir        string `json:"zip_dir"`
	UnzipDir      string `json:"unzip_dir"`
	// Scan looks for archives in ZipDir first (a decompression of its own); otherwise they are in the catalog already.
	Scan      bool  `json:"scan,omitempty"`
	Recursive bool  `json:"recursive,omitempty"` // Scan descends into subdirectories
	After     int64 `json:"after,omitempty"`
}

// ExtractionPlan is a page of batches, at most planArchives archives in all.
type ExtractionPlan struct {
	Batches []Batch `json:"batches,omitempty"`
	Next    int64   `json:"next,omitempty"`  // After of the next page; 0 when this is the last
	Total   int     `json:"total,omitempty"` // archives of the whole decompression
	ZipKey  string  `json:"zip_key,omitempty"`
	// Deadline and SearchAttributes are the settings of a decompression of its own.
	Deadline         time.Duration `json:"deadline,omitempty"`
	SearchAttributes bool          `json:"search_attributes,omitempty"`
}

// Batch is what one ExtractArchives call works on: many small archives or one large.
type Batch struct {
	Archives []ArchiveRef `json:"archives"`
}

// Size returns the compressed bytes of the batch.
func (b Batch) Size() int64 {
	var size int64
	for _, a := range b.Archives {
		size += a.TotalSize()
	}
	return size
}

// Singles returns a batch for each archive of b.
func (b Batch) Singles() []Batch {
	singles := make([]Batch, len(b.Archives))
	for i, a := range b.Archives {
		singles[i] = Batch{Archives: []ArchiveRef{a}}
	}
	return singles
}

// Without returns the archives of b that have no delivery yet.
func (b Batch) Without(delivered []Delivery) Batch {
	return Batch{Archives: slices.DeleteFunc(slices.Clone(b.Archives), func(a ArchiveRef) bool {
		return slices.ContainsFunc(delivered, func(d Delivery) bool { return d.ID == a.ID })
	})}
}

// ArchiveRef names an archive in the zip directory.
type ArchiveRef struct {
	ID     int64  `json:"id"`   // row in the catalog
	Path   string `json:"path"` // relative to the zip directory, valid UTF-8
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256,omitempty"` // of what was collected; "": unknown
	// Volumes are the further files of a set that Path stands for, in the same directory, for an eagle that cannot look there.
	Volumes []VolumeRef `json:"volumes,omitempty"`
}

// TotalSize returns the bytes of the archive with those of its further volumes.
func (a ArchiveRef) TotalSize() int64 {
	size := a.Size
	for _, volume := range a.Volumes {
		size += volume.Size
	}
	return size
}

// VolumeRef names a file beside an archive.
type VolumeRef struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
}

// ExtractInput hands a batch to eagle.
type ExtractInput struct {
	Decompression string `json:"decompression"`
	ZipDir        string `json:"zip_dir"`
	// ZipKey is the place of ZipDir in the zip warehouse, "." for the warehouse itself: what an eagle without tiger's disk finds it under.
	// It is empty for a directory outside of it, which such an eagle cannot reach.
	ZipKey string `json:"zip_key,omitempty"`
	Batch  Batch  `json:"batch"`
}

// Delivery is one extracted archive: in the stage, with the files in Dir/tree and the engine's report in Dir/manifest.json, or as
// a Bundle of both. An archive that could not even be read has a Reason and neither.
type Delivery struct {
	ID       int64     `json:"id"`
	Dir      string    `json:"dir,omitempty"`      // relative to the stage
	Bundle   string    `json:"bundle,omitempty"`   // relative to the stage's bundles: the object's key
	Manifest string    `json:"manifest,omitempty"` // SHA-256 of manifest.json
	Bytes    int64     `json:"bytes,omitempty"`    // what the files hold, as eagle says
	Reason   string    `json:"reason,omitempty"`
	Detail   string    `json:"detail,omitempty"`
	Host     string    `json:"host"`
	Boot     string    `json:"boot"`
	Start    time.Time `json:"start"`
}

// Undelivered returns the deliveries of a batch that eagle could not work on, with the reason.
func Undelivered(batch Batch, err error, now time.Time) []Delivery {
	reason, detail := ReasonOf(err)
	if IsDeadline(err) {
		reason, detail = ReasonNoEagle, "no eagle worker finished it before the deadline"
	}
	deliveries := make([]Delivery, len(batch.Archives))
	for i, archive := range batch.Archives {
		deliveries[i] = Delivery{ID: archive.ID, Reason: reason, Detail: detail, Start: now}
	}
	return deliveries
}

// Deliveries is the result of one ExtractArchives call, in the order of its batch.
type Deliveries struct {
	Archives []Delivery `json:"archives"`
}

// SealInput publishes deliveries into the unzip warehouse.
type SealInput struct {
	Decompression string     `json:"decompression"`
	UnzipDir      string     `json:"unzip_dir"`
	Deliveries    []Delivery `json:"deliveries"`
	// LastRound: what is damaged now is not extracted again but gets its result.
	LastRound bool `json:"last_round,omitempty"`
}

// SealResult counts what was sealed and names what has to be extracted again.
type SealResult struct {
	Succeeded int          `json:"succeeded,omitempty"`
	Partly    int          `json:"partly,omitempty"`
	Failed    int          `json:"failed,omitempty"`
	Files     int          `json:"files,omitempty"` // extracted files published
	Bytes     int64        `json:"bytes,omitempty"`
	Damaged   []ArchiveRef `json:"damaged,omitempty"` // the stage does not hold what eagle delivered
	// Troubles are the first archives (at most maxTroubles) that are not complete.
	Troubles []Trouble `json:"troubles,omitempty"`
}

// Trouble is an archive that is not complete, for people.
type Trouble struct {
	Archive string `json:"archive"` // path in the zip directory, cut off if it is long
	Result  int    `json:"result"`
	Reason  string `json:"reason"`
	Detail  string `json:"detail,omitempty"` // cut off as well
}

// Bounds of Troubles: how many, and bytes of each text.
const (
	maxTroubles    = 25
	maxTroubleText = 200
)

// Add adds other's counts to r, and its Troubles as far as there is room.
func (r *SealResult) Add(other SealResult) {
	r.Succeeded += other.Succeeded
	r.Partly += other.Partly
	r.Failed += other.Failed
	r.Files += other.Files
	r.Bytes += other.Bytes
	room := maxTroubles - len(r.Troubles)
	r.Troubles = append(r.Troubles, other.Troubles[:min(max(room, 0), len(other.Troubles))]...)
}

// Code folds the counts into a result code.
func (r SealResult) Code() int {
	switch {
	case r.Partly == 0 && r.Failed == 0:
		return Success
	case r.Partly == 0 && r.Succeeded == 0:
		return Failed
	default:
		return Partial
	}
}

// CloseDecompressionInput ends a decompression: its stage directory goes, and a run of its own gets its row.
type CloseDecompressionInput struct {
	Decompression string    `json:"decompression"`
	Own           bool      `json:"own,omitempty"` // not part of a collect run
	Result        int       `json:"result"`
	Reason        string    `json:"reason,omitempty"`
	Detail        string    `json:"detail,omitempty"`
	Start         time.Time `json:"start"`
}
