package archive

import (
	"path"
	"strings"
	"sync"
	"time"

	"talon/internal/pathname"
)

// layer is one archive while it is being opened.
type layer struct {
	key      string
	name     string // base name of the archive
	path     string // where it lies in the destination; "" for the top-level one
	parent   *layer
	depth    int // 1 for the top-level one
	size     int64
	sum      string // SHA-256; "" for the top-level one, and for volumes
	modTime  time.Time
	set      VolumeSet // that the archive is, or is a volume of, as the names say
	base     string    // directory in the destination that its entries go to
	ownsBase bool      // base was made for this layer

	names   charsets // for its entries; nil = those of the extraction
	entries int
	members []*member          // in its order, but for directories
	dirs    map[string]string  // directories: cleaned name in the archive -> path in the destination
	placed  map[string]*member // files: the same, the latest of a name
	writing sync.WaitGroup     // what has been read and is yet to be written

	had          int // members that are there
	refusals     int
	refusedFor   Reason // the reason of the first refusal
	mixed        bool   // there were others
	archives     int
	plain        int
	nestedFailed bool
	reason       Reason // why it could not be read to its end, or a warning
	detail       string
}

// child returns the layer for an archive that was written from n, all volumes together being of that size.
func (n *layer) child(f found, size int64) *layer {
	file := f.stands.file
	c := &layer{
		key: n.key + "/" + n.inside(file.Path), name: path.Base(file.Path), path: file.Path, parent: n, depth: n.depth + 1,
		size: size, modTime: file.ModTime,
	}
	names := make([]string, len(f.volumes))
	for i, m := range f.volumes {
		names[i] = path.Base(m.file.Path)
	}
	if c.set = volumeSet(names); len(names) == 1 {
		c.sum = file.SHA256
	}
	return c
}

// inside returns the part of a path in the destination that lies below the layer's base.
func (n *layer) inside(p string) string {
	if n.base == "" {
		return p
	}
	return strings.TrimPrefix(p, n.base+"/")
}

// missing says whether something of the layer itself could not be had.
func (n *layer) missing() bool {
	return n.refusals > 0 || (n.reason != ReasonNone && n.reason != ReasonTrailingData)
}

// account returns the layer's row of the report.
func (n *layer) account() Layer {
	row := Layer{Archives: n.archives, Files: n.plain, Reason: n.reason, Detail: n.detail}
	unnamed := n.reason == ReasonNone || n.reason == ReasonTrailingData
	switch {
	case n.missing() && n.had == 0:
		row.Result = 1
		if unnamed {
			row.Reason = n.commonRefusal()
		}
	case n.missing():
		row.Result = 2
		if unnamed {
			row.Reason = ReasonPartial
		}
	case n.nestedFailed:
		row.Result, row.Reason = 2, ReasonNestedFailed
	}
	return row
}

// refuse reports a member that is not there.
func (n *layer) refuse(m *member) Refusal {
	refusal := Refusal{Layer: n.key, Name: m.name}
	refusal.Reason, refusal.Detail = reasonOf(m.refused)
	if refusal.Name != m.raw {
		refusal.RawName = []byte(m.raw)
	}
	if n.refusals == 0 {
		n.refusedFor = refusal.Reason
	}
	n.mixed = n.mixed || refusal.Reason != n.refusedFor
	n.refusals++
	return refusal
}

// commonRefusal is the reason that all refused entries share.
func (n *layer) commonRefusal() Reason {
	if n.mixed {
		return ReasonPartial
	}
	return n.refusedFor
}

// claimBase makes the directory that a nested archive unpacks into, beside where it lies. The top-level one unpacks into
// the destination itself.
func (x *extraction) claimBase(n *layer) error {
	if n.parent == nil || n.ownsBase {
		return nil
	}
	if err := x.budget.directory(); err != nil {
		return err
	}
	stem, _ := pathname.SplitExt(n.path)
	stem, err := pathname.Portable(stem) // "a .zip" would leave "a "
	if err != nil {
		return err
	}
	base, err := x.out.makeDir(stem)
	if err != nil {
		return err
	}
	n.base, n.ownsBase = base, true
	return nil
}

// directory returns the directory in the destination that stands for one of the archive; rel is clean, "." its root.
func (x *extraction) directory(n *layer, rel string) (string, error) {
	if rel == "." {
		return n.base, nil
	}
	if made, ok := n.dirs[rel]; ok {
		return made, nil
	}
	parent, err := x.directory(n, path.Dir(rel))
	if err != nil {
		return "", err
	}
	at, err := beneath(parent, path.Base(rel))
	if err != nil {
		return "", err
	}
	if err := x.budget.directory(); err != nil {
		return "", err
	}
	made, err := x.out.makeDir(at)
	if err != nil {
		return "", err
	}
	if n.dirs == nil {
		n.dirs = map[string]string{}
	}
	n.dirs[rel] = made
	return made, nil
}
