package archive

import (
	"context"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// nested opens the archives among the files of a layer, several at once.
func (x *extraction) nested(ctx context.Context, n *layer) error {
	candidates, plain := n.sort()
	n.plain, n.archives = len(plain), len(candidates)
	x.list(plain...)
	rows := make([]Layer, len(candidates))
	groups := rivals(candidates)
	err := x.spread(len(groups), func(g int) (err error) {
		for _, i := range groups[g] {
			if rows[i], err = x.visit(ctx, n, candidates[i]); err != nil {
				return err
			}
		}
		return nil
	})
	for _, row := range rows {
		n.nestedFailed = n.nestedFailed || row.Result != 0
	}
	return err
}

// found is an archive in a layer: one file, or the volumes of a set.
type found struct {
	stands  *member // for the set
	volumes []*member
}

// sort tells the archives among the files of a layer from the others.
func (n *layer) sort() (archives []found, plain []File) {
	sets := n.volumeSets()
	for _, m := range n.members {
		set, inSet := sets[m]
		switch {
		case m.refused != nil:
		case inSet && set.stands == m:
			archives = append(archives, set)
		case inSet: // opened with the one that stands for the set
		case m.candidate:
			archives = append(archives, found{m, []*member{m}})
		default:
			plain = append(plain, m.file)
		}
	}
	return archives, plain
}

// volumeSets returns the sets whose volumes the members are, as far as those are there without a gap.
func (n *layer) volumeSets() map[*member]found {
	byPath := map[string]*member{}
	for _, m := range n.members {
		if _, ok := parseVolume(m.file.Path); ok && m.refused == nil {
			byPath[m.file.Path] = m
		}
	}
	sets := map[*member]found{}
	for _, set := range VolumeSets(slices.Collect(maps.Keys(byPath))) {
		f := found{stands: byPath[set.Name]}
		for _, p := range set.Volumes {
			f.volumes = append(f.volumes, byPath[p])
		}
		for _, m := range f.volumes {
			sets[m] = f
		}
	}
	return sets
}

// rivals groups archives by what their contents may be called: "a.zip" and "a.tar.gz" both unpack into "a", and which of
// them gets the name must not depend on which is faster. It returns their indexes, each group in order.
func rivals(candidates []found) [][]int {
	groups := [][]int{}
	at := map[string]int{}
	for i, f := range candidates {
		dir, name := path.Split(f.stands.file.Path)
		if end := strings.IndexAny(name, ".~%"); end >= 0 { // what pathname.Portable may write at the end of a stem, too
			name = name[:end]
		}
		key := foldKey(dir + strings.TrimRight(name, " "))
		g, ok := at[key]
		if !ok {
			g = len(groups)
			at[key] = g
			groups = append(groups, nil)
		}
		groups[g] = append(groups[g], i)
	}
	return groups
}

// visit opens an archive that was written from the layer n. One that was had to its last entry is not kept.
func (x *extraction) visit(ctx context.Context, n *layer, f found) (Layer, error) {
	var files []*os.File
	defer func() { closeAll(files) }()
	for _, m := range f.volumes {
		file, err := x.out.root.Open(m.file.Path)
		if err != nil {
			return Layer{}, destinationError(err)
		}
		files = append(files, file)
	}
	src, err := newSource(ctx, files...)
	if err != nil {
		return Layer{}, destinationError(err)
	}
	row, err := x.descend(ctx, n.child(f, src.size), src)
	if err != nil {
		return row, err
	}
	for _, m := range f.volumes {
		if row.Result != 0 && row.Reason != ReasonNestedFailed {
			x.list(m.file)
			continue
		}
		if err := x.out.removeFile(m.file.Path); err != nil {
			return row, err
		}
	}
	return row, nil
}

// list adds files to the report.
func (x *extraction) list(files ...File) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.report.Files = append(x.report.Files, files...)
}

// spread calls work for every index below count, on the caller's goroutine and on as many others as there are free places
// for. After an error no other index is begun; the error of the lowest index is returned.
func (x *extraction) spread(count int, work func(i int) error) error {
	var (
		next   atomic.Int64
		wait   sync.WaitGroup
		mu     sync.Mutex
		failed = count
		first  error
	)
	step := func() bool {
		i := int(next.Add(1)) - 1
		if i >= count {
			return false
		}
		err := work(i)
		if err == nil {
			return true
		}
		next.Store(int64(count))
		mu.Lock()
		defer mu.Unlock()
		if i < failed {
			failed, first = i, err
		}
		return false
	}
	for {
		if int(next.Load()) < count-1 { // somebody else would find something to do
			x.fork(&wait, func() {
				for step() {
				}
			})
		}
		if !step() {
			break
		}
	}
	wait.Wait()
	return first
}

// fork runs a function on a goroutine of its own if a place is free.
func (x *extraction) fork(wait *sync.WaitGroup, run func()) {
	select {
	case x.slots <- struct{}{}:
	default:
		return
	}
	wait.Go(func() {
		defer func() { <-x.slots }()
		run()
	})
}
