// Package extractbench measures how fast `worker extract` is beside the usual programs: on the same archives, in the same
// run, in memory. What counts is the ratio of wall times, since the times themselves depend on the machine and on what else
// it does. Every contender is shown to have extracted the right files before it is measured.
package extractbench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"talon/internal/archivetools"
	"talon/internal/contest"
	"talon/internal/debian"
)

// Options say what is measured.
type Options struct {
	Worker string    // path of the worker program
	Cases  []string  // names out of Cases(); none: all
	Rounds int       // how often each contender runs, at least 1
	Scale  Scale     // of the archives
	Cache  string    // directory that keeps the archives; it is made if need be
	Fetch  bool      // have apt download programs that are not on the PATH
	Log    io.Writer // hears of what takes time
}

// bench is one call of Run.
type bench struct {
	opts         Options
	dir          string // for archives and output, in memory
	tools        contest.Programs
	measurements []*measurement
	peak         int64 // of the memory of this process while it measured, in bytes
}

// measurement is a case at work.
type measurement struct {
	benchCase
	corpus  corpus
	samples map[string][]contest.Sample // by contender
	dropped map[string]string           // why a contender is not measured
	err     error                       // why the case is not measured
}

// Run measures the cases and returns what came out, in their order. That a peer or the means to make an archive are missing is
// said in the result. The error is one of this machine, not of a contender.
func Run(ctx context.Context, opts Options) (result Result, err error) {
	selected, err := selectCases(opts.Cases)
	if err != nil {
		return result, err
	}
	b := &bench{opts: opts}
	if b.opts.Worker, err = filepath.Abs(opts.Worker); err != nil {
		return result, err
	}
	if b.opts.Cache, err = filepath.Abs(opts.Cache); err != nil {
		return result, err
	}
	if err := os.MkdirAll(b.opts.Cache, 0o755); err != nil {
		return result, err
	}
	for _, c := range selected {
		b.measurements = append(b.measurements, &measurement{benchCase: c, samples: map[string][]contest.Sample{}, dropped: map[string]string{}})
	}
	var packages []debian.Set
	if opts.Fetch {
		packages = append(packages, archivetools.Packages)
	}
	fetch := func(set debian.Set) (*debian.Installation, error) { return set.Fetch(ctx, opts.Log) }
	b.tools = contest.FindPrograms(programs(selected), fetch, packages...)
	if b.dir, err = b.makeWorkDir(); err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if err := b.prepare(ctx); err != nil {
		return result, err
	}
	for _, m := range b.measurements {
		if m.err == nil {
			m.err = b.measure(ctx, m)
		}
		if ctx.Err() != nil {
			return result, ctx.Err()
		}
		result.Cases = append(result.Cases, m.result())
	}
	result.MemoryFloor = b.peak
	return result, nil
}

// programs are all that the cases need.
func programs(selected []benchCase) []string {
	var names []string
	for _, c := range selected {
		names = append(names, c.needs...)
		for _, contender := range c.contenders {
			names = append(names, contender.needs...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (b *bench) say(format string, args ...any) { fmt.Fprintf(b.opts.Log, format+"\n", args...) }

func (b *bench) file(elements ...string) string {
	return filepath.Join(append([]string{b.dir}, elements...)...)
}

// measure has every contender show once that it does the work, and then times them in turn.
func (b *bench) measure(ctx context.Context, m *measurement) error {
	in := b.file("archives")
	if err := os.CopyFS(in, os.DirFS(m.corpus.dir)); err != nil {
		return err
	}
	defer os.RemoveAll(in) // Run removes what is left
	var able []contender
	for _, c := range m.contenders {
		b.say("%s: checking %s", m.name, c.name)
		if reason := b.check(ctx, m, c, in); reason != "" {
			b.say("%s: without %s: %s", m.name, c.name, reason)
			m.dropped[c.name] = reason
			continue
		}
		able = append(able, c)
	}
	contest.ResetPeak()
	for round := range b.opts.Rounds {
		b.say("%s: round %d of %d", m.name, round+1, b.opts.Rounds)
		for c := range contest.InTurn(round, able) {
			s, err := b.time(ctx, c, in, nil)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			m.samples[c.name] = append(m.samples[c.name], s)
		}
	}
	b.peak = max(b.peak, contest.Peak())
	return nil
}

// check says why a contender cannot be measured, "" if it can.
func (b *bench) check(ctx context.Context, m *measurement, c contender, in string) string {
	if missing := b.tools.Missing(c.needs); missing != "" {
		return missing
	}
	var difference string
	_, err := b.time(ctx, c, in, func(out string) error {
		found, err := contest.ReadTree(out)
		difference = m.corpus.tree.Difference(found)
		return err
	})
	if err != nil {
		return err.Error()
	}
	return difference
}

// time runs a contender with an empty directory for its output, which look may see before it is removed.
func (b *bench) time(ctx context.Context, c contender, in string, look func(out string) error) (s contest.Sample, err error) {
	out := b.file("out")
	if err := os.Mkdir(out, 0o755); err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(out)) }()
	if s, err = b.run(ctx, c.script, in, out); err != nil || look == nil {
		return s, err
	}
	return s, look(out)
}
