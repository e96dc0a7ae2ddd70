package archive

import (
	"context"
	"path"
	"strings"
	"sync"
	"sync/atomic"
)

// nested opens the archives among the files of a layer, several at once.
func (x *extraction) nested(ctx context.Context, n *layer) error {
	var candidates []*member
	var plain []File
	for _, m := range n.members {
		switch {
		case m.refused != nil:
		case m.candidate:
			candidates = append(candidates, m)
		default:
			plain = append(plain, m.file)
		}
	}
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

// rivals groups archives by what their contents may be called: "a.zip" and "a.tar.gz" both unpack into "a", and which of
// them gets the name must not depend on which is faster. It returns their indexes, each group in order.
func rivals(candidates []*member) [][]int {
	groups := [][]int{}
	at := map[string]int{}
	for i, m := range candidates {
		dir, name := path.Split(m.file.Path)
		if end := strings.IndexAny(name[min(1, len(name)):], ".~"); end >= 0 {
			name = name[:end+1]
		}
		key := foldKey(dir + name)
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
func (x *extraction) visit(ctx context.Context, n *layer, m *member) (Layer, error) {
	opened, err := x.out.root.Open(m.file.Path)
	if err != nil {
		return Layer{}, destinationError(err)
	}
	defer opened.Close()
	src, err := newSource(ctx, opened)
	if err != nil {
		return Layer{}, destinationError(err)
	}
	row, err := x.descend(ctx, n.child(m.file), src)
	if err != nil {
		return row, err
	}
	if row.Result == 0 || row.Reason == ReasonNestedFailed {
		return row, x.out.removeFile(m.file.Path)
	}
	x.list(m.file)
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
