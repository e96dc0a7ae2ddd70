// Package transferbench measures how fast what an eagle has extracted gets into tiger's unzip warehouse, beside the usual ways to bring a
// directory to another host. All that takes part runs on this machine and talks over its loopback interface, encrypted: what counts is the
// ratio of wall times, since the times themselves depend on the machine and on what else it does.
//
// Talon's time ends when every file has been compared with its SHA-256, is on the disk, has its name and is in the catalog. The others
// check less, and are given the time of a sync at the end. Every contender is shown to have brought the right files.
package transferbench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"talon/internal/archive"
	"talon/internal/contest"
	"talon/internal/debian"
)

// Options say what is measured.
type Options struct {
	Cases      []string      // names out of Cases(); none: all
	Contenders []string      // names out of Contenders(); none: all
	Rounds     int           // how often each contender runs, at least 1
	Budget     time.Duration // a contender that would take longer for all rounds of a case runs in fewer
	Scale      Scale
	Memory     bool // measure the memory of Talon's processes instead
	// Dir is where a directory for tiger's files is made; "": where temporary files go. What disk this is counts.
	Dir string
	// EagleDir is the same for the files of the other host; "": in memory, if there is room, for two hosts do not share a disk, else Dir.
	EagleDir  string
	Versitygw string    // path of the program
	Profiles  string    // directory for profiles of Talon's processes, of the last run of each; "": none
	Fetch     bool      // have apt download programs that are neither on the PATH nor in the cache
	Log       io.Writer // hears of what takes time
}

// bench is one call of Run.
type bench struct {
	opts       Options
	dir        string // for tiger's files
	far        string // for those of the other host
	versitygw  string
	programs   contest.Programs
	contenders []contender
}

// measurement is a case at work.
type measurement struct {
	benchCase
	corpus     corpus
	contenders []contender
	samples    map[string][]contest.Sample // by contender
	dropped    map[string]string           // why a contender is not measured
	err        error                       // why the case is not measured
}

// patience is how long a contender may take once.
const patience = 15 * time.Minute

// Run measures the cases and returns what came out, in their order. That a peer is missing is said in the result. The error is one
// of this machine, not of a contender.
func Run(ctx context.Context, opts Options) (result Result, err error) {
	selected, err := choose("case", cases, func(c benchCase) string { return c.name }, opts.Cases)
	if err != nil {
		return result, err
	}
	b := &bench{opts: opts}
	if b.contenders, err = choose("contender", contenders, contenderName, opts.Contenders); err != nil {
		return result, err
	}
	if b.versitygw, err = filepath.Abs(opts.Versitygw); err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, b.removeDirs()) }()
	if err := b.makeDirs(); err != nil {
		return result, err
	}
	if opts.Memory {
		result.Memory, err = b.measureMemory(ctx)
		return result, err
	}
	b.findPrograms(ctx)
	for _, c := range selected {
		m := &measurement{benchCase: c, contenders: b.contenders, samples: map[string][]contest.Sample{}, dropped: map[string]string{}}
		m.err = b.measure(ctx, m)
		if ctx.Err() != nil {
			return result, ctx.Err()
		}
		result.Cases = append(result.Cases, m.result())
	}
	return result, nil
}

// eagleRoom is what the largest case takes on the eagle's host, with some to spare, in bytes.
const eagleRoom = 6 << 30

// makeDirs makes the directories of the two hosts.
func (b *bench) makeDirs() (err error) {
	const name = "talon-bench-transfer-"
	if b.dir, err = os.MkdirTemp(b.opts.Dir, name); err != nil {
		return err
	}
	if b.dir, err = filepath.Abs(b.dir); err != nil {
		return err
	}
	far := b.opts.EagleDir
	if far == "" && !b.opts.Memory && contest.IsMemory("/dev/shm", eagleRoom) {
		far = "/dev/shm"
	}
	if far == "" {
		far = b.opts.Dir
	}
	if b.far, err = os.MkdirTemp(far, name); err != nil {
		return err
	}
	b.far, err = filepath.Abs(b.far)
	return err
}

func (b *bench) removeDirs() error {
	var errs []error
	for _, dir := range []string{b.dir, b.far} {
		if dir != "" {
			errs = append(errs, os.RemoveAll(dir))
		}
	}
	return errors.Join(errs...)
}

func (b *bench) say(format string, args ...any) { fmt.Fprintf(b.opts.Log, format+"\n", args...) }

// findPrograms finds what the contenders need.
func (b *bench) findPrograms(ctx context.Context) {
	var needs []string
	for _, c := range b.contenders {
		if c.peer != nil {
			needs = append(needs, c.peer.needs...)
		}
	}
	slices.Sort(needs)
	get := debian.Set.Find
	if b.opts.Fetch {
		get = func(set debian.Set) (*debian.Installation, error) { return set.Fetch(ctx, b.opts.Log) }
	}
	b.programs = contest.FindPrograms(slices.Compact(needs), get, packages...)
}

// limits are those of settings.
var limits = archive.Limits{ArchiveEntries: 1_000_000, TreeEntries: 1_000_000, FileBytes: 64 << 30, TreeBytes: 64 << 30}

// measure times all contenders in turn. In their first round they show that they do the work.
func (b *bench) measure(ctx context.Context, m *measurement) (err error) {
	dir := filepath.Join(b.far, m.name)
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b.say("%s: making the files", m.name)
	if m.corpus, err = makeCorpus(ctx, dir, m.benchCase, b.opts.Scale, limits); err != nil {
		return err
	}
	able := m.contenders
	for round := range b.opts.Rounds {
		for c := range contest.InTurn(round, able) {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			b.measureOnce(ctx, m, c, round)
		}
		able = slices.DeleteFunc(slices.Clone(able), func(c contender) bool {
			_, dropped := m.dropped[c.name]
			soFar := spent(m.samples[c.name])
			return dropped || soFar+soFar/time.Duration(round+1) > b.opts.Budget
		})
	}
	return nil
}

// spent is how long all runs took.
func spent(samples []contest.Sample) (sum time.Duration) {
	for _, s := range samples {
		sum += s.Wall
	}
	return sum
}

// measureOnce adds a sample of a contender, or drops it.
func (b *bench) measureOnce(ctx context.Context, m *measurement, c contender, round int) {
	if c.peer != nil {
		if missing := b.programs.Missing(c.peer.needs); missing != "" {
			m.dropped[c.name] = missing
			return
		}
	}
	sample, err := b.time(ctx, m, c, round == 0)
	if err != nil {
		b.say("%s: without %s: %v", m.name, c.name, err)
		m.dropped[c.name] = err.Error()
		return
	}
	m.samples[c.name] = append(m.samples[c.name], sample)
	b.say("%s: round %d of %d: %s: %s s", m.name, round+1, b.opts.Rounds, c.name, contest.Seconds(sample.Wall.Seconds()))
}

// time runs a contender once. If check is set, what has arrived is compared with what it should be.
func (b *bench) time(ctx context.Context, m *measurement, c contender, check bool) (s contest.Sample, err error) {
	dir, far := filepath.Join(b.dir, "run"), filepath.Join(b.far, "run")
	if err := errors.Join(os.Mkdir(dir, 0o755), os.Mkdir(far, 0o755)); err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir), os.RemoveAll(far)) }()
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("it took more than %s", patience))
	defer cancel()
	t, err := b.open(ctx, m, c, dir, far)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	if err := syncDisk(dir); err != nil { // what was prepared is no part of what is measured
		return s, err
	}
	started, busy := time.Now(), contest.CPUOfDescendants()
	if err := t.run(ctx); err != nil {
		return s, err
	}
	if !t.durable() {
		if err := syncDisk(dir); err != nil {
			return s, err
		}
	}
	s.Wall, s.CPU = time.Since(started), contest.CPUOfDescendants()-busy
	if check {
		err = m.check(t.arrived())
	}
	return s, err
}

// check compares what has arrived.
func (m *measurement) check(arrived string) error {
	found, err := contest.ReadTree(arrived)
	if err != nil {
		return err
	}
	if difference := m.corpus.tree.Difference(found); difference != "" {
		return errors.New(difference)
	}
	return nil
}

// syncDisk brings to the disk what was written to the file system of a directory.
func syncDisk(dir string) error {
	opened, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer opened.Close() //nolint:errcheck // nothing was written
	return os.NewSyscallError("syncfs", unix.Syncfs(int(opened.Fd())))
}
