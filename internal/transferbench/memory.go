package transferbench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"golang.org/x/sys/unix"

	"talon/internal/contest"
)

// MemoryResult is the memory of Talon's processes at work, in bytes: the largest resident set of each. An eagle has none of tiger's
// disk, and archives are extracted.
type MemoryResult struct {
	Case         string  `json:"case"`
	Title        string  `json:"title"`
	Archives     int     `json:"archives"`
	ArchiveBytes int64   `json:"archive_bytes"`
	Files        int     `json:"files"`
	Bytes        int64   `json:"bytes"`
	BundleBytes  int64   `json:"bundle_bytes"` // the most that was on its way through the stage at a time
	Seconds      float64 `json:"seconds"`
	Eagle        int64   `json:"eagle"`
	Child        int64   `json:"child"` // the process that decodes, the largest of them
	Tiger        int64   `json:"tiger"`
	Door         int64   `json:"door"`
	Versitygw    int64   `json:"versitygw"`
	Problem      string  `json:"problem,omitempty"`
}

// memoryCase is work whose memory is measured.
type memoryCase struct {
	name, title string
	make        func(b *bench, dir string) (corpus, error) // archives, and how many files are in them
}

var memoryCases = []memoryCase{
	{"member", "one large member", func(b *bench, dir string) (corpus, error) { return makeMember(dir, b.memberBytes()) }},
	{"members", "many members", func(b *bench, dir string) (corpus, error) {
		return b.makeWork(dir, func(sources string) error {
			return contest.NewClerk(5).Tree(filepath.Join(sources, "members"), b.opts.Scale.Tiny, tinyMedian)
		})
	}},
	{"archives", "many archives in one decompression", func(b *bench, dir string) (corpus, error) {
		return b.makeWork(dir, func(sources string) error {
			return writeArchives(sources, b.opts.Scale.ManyArchives, b.opts.Scale.ArchiveFiles)
		})
	}},
}

// makeWork makes archives as a case does.
func (b *bench) makeWork(dir string, generate func(sources string) error) (corpus, error) {
	c := benchCase{generate: func(_ Scale, sources string) error { return generate(sources) }}
	return makeCorpus(context.Background(), dir, c, b.opts.Scale, limits)
}

// Of a large member there are two copies, and five of its packed form, which has an eighth of its size. spareBytes stay free.
const (
	memberCopies = 2.75
	spareBytes   = 4 << 30
)

// memberBytes is the size of the largest member that there is room for, and that is asked for, in bytes.
func (b *bench) memberBytes() int64 {
	var disk unix.Statfs_t
	if err := unix.Statfs(b.dir, &disk); err != nil {
		b.say("warning: how much room there is cannot be told: %v", err)
		return b.opts.Scale.MemberBytes
	}
	room := int64(float64(int64(disk.Bavail)*disk.Bsize-spareBytes) / memberCopies)
	if room >= b.opts.Scale.MemberBytes {
		return b.opts.Scale.MemberBytes
	}
	b.say("warning: there is no room for a member of %s MB: it has %s MB", contest.Megabytes(b.opts.Scale.MemberBytes), contest.Megabytes(room))
	return max(room, 0)
}

// makeMember makes an archive with one large file, which is nowhere else.
func makeMember(dir string, size int64) (made corpus, err error) {
	made = corpus{archives: filepath.Join(dir, "archives"), count: 1, tree: contest.Tree{Bytes: size, Files: map[string]string{"member/images.bin": ""}}}
	if err := os.MkdirAll(made.archives, 0o755); err != nil {
		return made, err
	}
	file, err := os.Create(filepath.Join(made.archives, "member"+archiveExt))
	if err != nil {
		return made, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	packed := newZip(file)
	entry, err := packed.Create("images.bin")
	if err == nil {
		err = writeSpeckled(entry, size)
	}
	if err = errors.Join(err, packed.Close()); err != nil {
		return made, err
	}
	info, err := file.Stat()
	if err == nil {
		made.bytes = info.Size()
	}
	return made, err
}

// measureMemory has Talon do each work once, with fresh processes.
func (b *bench) measureMemory(ctx context.Context) (results []MemoryResult, err error) {
	for _, c := range memoryCases {
		result := MemoryResult{Case: c.name, Title: c.title}
		if err := b.measureWork(ctx, c, &result); err != nil {
			result.Problem = err.Error()
		}
		if ctx.Err() != nil {
			return results, ctx.Err()
		}
		results = append(results, result)
	}
	return results, nil
}

func (b *bench) measureWork(ctx context.Context, c memoryCase, result *MemoryResult) (err error) {
	dir := filepath.Join(b.dir, c.name)
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b.say("memory: %s: making archives", c.name)
	m := &measurement{benchCase: benchCase{name: c.name}}
	if m.corpus, err = c.make(b, dir); err != nil {
		return err
	}
	result.Archives, result.ArchiveBytes = m.corpus.count, m.corpus.bytes
	result.Files, result.Bytes = len(m.corpus.tree.Files), m.corpus.tree.Bytes
	run := filepath.Join(dir, "run")
	opened, err := b.openSite(ctx, m, contender{name: "memory", talon: &talonWay{extracts: true}}, run, run)
	if err != nil {
		return err
	}
	s := opened.(*site)
	defer func() { err = errors.Join(err, s.close()) }()
	b.say("memory: %s: at work", c.name)
	watch := s.watch()
	began := time.Now()
	err = s.run(ctx)
	result.Seconds = time.Since(began).Seconds()
	watch.end(result)
	return err
}

// watch looks at the memory of a site's processes while they are at work: children come and go.
type watch struct {
	site     *site
	stop     chan struct{}
	watching sync.WaitGroup
	seen     MemoryResult
}

// watchEvery is seldom enough not to be felt, and a child lives for many archives.
const watchEvery = 100 * time.Millisecond

func (s *site) watch() *watch {
	w := &watch{site: s, stop: make(chan struct{})}
	w.watching.Go(func() {
		ticker := time.NewTicker(watchEvery)
		defer ticker.Stop()
		for {
			w.look()
			select {
			case <-w.stop:
				return
			case <-ticker.C:
			}
		}
	})
	return w
}

// look takes the peaks that the kernel has kept so far.
func (w *watch) look() {
	note := func(most *int64, pid int) { *most = max(*most, contest.PeakOf(pid)) }
	note(&w.seen.Tiger, w.site.tiger.process.Pid())
	note(&w.seen.Eagle, w.site.eagle.process.Pid())
	note(&w.seen.Door, w.site.door.process.Pid())
	for _, process := range contest.Processes() {
		switch process.Parent {
		case w.site.eagle.process.Pid():
			note(&w.seen.Child, process.ID)
		case w.site.door.process.Pid():
			note(&w.seen.Versitygw, process.ID)
		}
	}
	w.seen.BundleBytes = max(w.seen.BundleBytes, w.site.bundles())
}

// end ends the watch with a last look.
func (w *watch) end(result *MemoryResult) {
	close(w.stop)
	w.watching.Wait()
	w.look()
	result.Tiger, result.Eagle, result.Child, result.Door, result.Versitygw, result.BundleBytes =
		w.seen.Tiger, w.seen.Eagle, w.seen.Child, w.seen.Door, w.seen.Versitygw, w.seen.BundleBytes
}

func printMemory(w io.Writer, results []MemoryResult) {
	header := table.Row{"Work", "", "Archives", "MB", "Files", "MB", "s", "Bundles MB", "Eagle", "Its child", "Tiger", "Door", "versitygw"}
	t := contest.NewTable(w, "Largest resident sets of Talon's processes, in MB", header, 3)
	for _, r := range results {
		if r.Problem != "" {
			continue
		}
		t.AppendRow(table.Row{
			r.Case, r.Title, r.Archives, contest.Megabytes(r.ArchiveBytes), r.Files, contest.Megabytes(r.Bytes), contest.Seconds(r.Seconds),
			contest.Megabytes(r.BundleBytes), contest.Megabytes(r.Eagle), contest.Megabytes(r.Child), contest.Megabytes(r.Tiger), contest.Megabytes(r.Door),
			contest.Megabytes(r.Versitygw),
		})
	}
	t.Render()
	for _, r := range results {
		if r.Problem != "" {
			fmt.Fprintf(w, "%s: not measured: %s\n", r.Case, r.Problem)
		}
	}
}
