package extractbench

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"talon/internal/contest"
)

// corpus is the archives of a case, in the cache.
type corpus struct {
	dir      string
	archives int
	bytes    int64        // of all archives
	tree     contest.Tree // what they unpack to
}

// corpusPath names a directory after everything that its archives are made of.
func (b *bench) corpusPath(c benchCase) string {
	key := sha256.Sum256(fmt.Appendf(nil, "%d %+v %s %s", contest.ClerkVersion, b.opts.Scale, c.source, c.pack))
	return filepath.Join(b.opts.Cache, fmt.Sprintf("extractbench-%s-%x", c.name, key[:6]))
}

// treeSuffix is behind the path of a corpus where its tree is.
const treeSuffix = ".json"

func loadCorpus(dir string) (corpus, error) {
	found := corpus{dir: dir}
	text, err := os.ReadFile(dir + treeSuffix)
	if err != nil {
		return found, err
	}
	if err := json.Unmarshal(text, &found.tree); err != nil {
		return found, fmt.Errorf("%s: %w", dir+treeSuffix, err)
	}
	archives, err := os.ReadDir(dir)
	for _, archive := range archives {
		info, err := archive.Info()
		if err != nil {
			return found, err
		}
		found.archives++
		found.bytes += info.Size()
	}
	return found, err
}

// prepare makes the archives of the cases that are not in the cache, all at once. What keeps one from being made is in its
// result, and it is measured no more.
func (b *bench) prepare(ctx context.Context) error {
	var missing []*measurement
	for _, m := range b.measurements {
		var err error
		if m.corpus, err = loadCorpus(b.corpusPath(m.benchCase)); errors.Is(err, os.ErrNotExist) {
			missing = append(missing, m)
		} else if err != nil {
			return err
		}
	}
	trees, err := b.generate(missing)
	if err != nil {
		return err
	}
	var packing sync.WaitGroup
	for _, m := range missing {
		b.say("making archives: %s", m.name)
		packing.Go(func() { m.err = b.pack(ctx, m, trees[m.source]) })
	}
	packing.Wait()
	return os.RemoveAll(b.file("sources"))
}

// generate writes the sources of the cases.
func (b *bench) generate(missing []*measurement) (map[string]contest.Tree, error) {
	trees := map[string]contest.Tree{}
	for _, m := range missing {
		if _, ok := trees[m.source]; ok {
			continue
		}
		b.say("making files: %s", m.source)
		dir := b.file("sources", m.source)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
		if err := generate(m.source, b.opts.Scale, dir); err != nil {
			return nil, err
		}
		var err error
		if trees[m.source], err = contest.ReadTree(dir); err != nil {
			return nil, err
		}
	}
	return trees, nil
}

// pack makes the archives beside their place in the cache and renames them: what was cut short is never taken for a corpus.
func (b *bench) pack(ctx context.Context, m *measurement, contents contest.Tree) (err error) {
	if missing := b.tools.Missing(m.needs); missing != "" {
		return errors.New(missing)
	}
	partial, err := os.MkdirTemp(b.opts.Cache, "extractbench-partial-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(partial)) }()
	if _, err := b.run(ctx, m.pack, b.file("sources", m.source), partial); err != nil {
		return fmt.Errorf("the archives cannot be made: %w", err)
	}
	target := b.corpusPath(m.benchCase)
	text, err := json.Marshal(contents)
	if err != nil {
		return err
	}
	if err := os.WriteFile(target+treeSuffix, text, 0o644); err != nil {
		return err
	}
	if err := os.Rename(partial, target); err != nil {
		return err
	}
	m.corpus, err = loadCorpus(target)
	return err
}
