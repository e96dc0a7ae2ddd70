package activities

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"talon/internal/archive"
	"talon/internal/catalog"
	"talon/internal/warehouse"
)

// Spent counts what is of no more use.
type Spent = catalog.Spent

// CleanOptions say what is of no more use. A zero time leaves that kind alone.
type CleanOptions struct {
	VersionsBefore time.Time `json:"versions_before,omitzero"` // collected files that have a newer version
	RunsBefore     time.Time `json:"runs_before,omitzero"`     // what the catalog holds of runs and verifications
	AsideBefore    time.Time `json:"aside_before,omitzero"`    // damaged files that were set aside
	Meant          bool      `json:"meant,omitempty"`          // remove them; else they are only counted
}

// CleanInput asks for a page of a cleaning.
type CleanInput struct {
	CleanOptions
	From VerifyCursor `json:"from,omitzero"`
}

// CleanPage is what a page of a cleaning removed or counted, by kind.
type CleanPage struct {
	Spent map[string]Spent `json:"spent"`
	Next  VerifyCursor     `json:"next,omitzero"`
	Done  bool             `json:"done,omitempty"`
}

// Kinds of what is cleaned.
const (
	CleanVersions = "old versions"
	CleanRuns     = "rows of runs"
	CleanFindings = "rows of verifications"
	CleanStage    = "stage leftovers"
	CleanAside    = "damaged files set aside"
)

// cleanKinds are the phases of a cleaning, in their order.
var cleanKinds = []string{CleanVersions, CleanRuns, CleanFindings, CleanStage, CleanAside, CleanAside}

// Bounds of a step of a cleaning; runs are few, because each is many rows in one transaction that others wait for.
const (
	cleanFiles = 200
	cleanRuns  = 20
	cleanRows  = 5000
	cleanWalk  = 10_000
	cleanTime  = time.Minute
)

// CleanWarehouse removes a page of what is of no more use, or counts it. An old version goes in this order: the catalog says that it is being removed,
// from when on it may be there or not; it is unlinked; its directory is synced; the catalog says that it is gone. What a crash left in between is
// done first. All may be repeated.
func (t *Tiger) CleanWarehouse(ctx context.Context, in CleanInput) (CleanPage, error) {
	c := &cleaner{Tiger: t, in: in, page: CleanPage{Spent: map[string]Spent{}, Next: in.From}}
	last := lastCheckpoint(ctx)
	if last.Cleaned != nil {
		c.page = *last.Cleaned
	}
	beat := startProgress(ctx, last)
	defer beat.stop()
	for began := time.Now(); time.Since(began) < cleanTime; {
		if err := c.step(ctx); err != nil {
			return c.page, Classify(err)
		}
		if c.page.Next.Phase == len(cleanKinds) {
			c.page.Done = true
			break
		}
		beat.cleaned(ctx, c.page)
	}
	return c.page, nil
}

// cleaner is one attempt at a page of a cleaning.
type cleaner struct {
	*Tiger
	in   CleanInput
	page CleanPage
}

func (c *cleaner) add(kind string, spent Spent) {
	sum := c.page.Spent[kind]
	sum.Add(spent)
	c.page.Spent[kind] = sum
}

// step does the next batch, or goes on to the next phase.
func (c *cleaner) step(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var more bool
	var err error
	switch phase := c.page.Next.Phase; cleanKinds[phase] {
	case CleanVersions:
		more, err = c.versions(ctx)
	case CleanRuns:
		more, err = c.runs(ctx)
	case CleanFindings:
		more, err = c.findings(ctx)
	case CleanStage:
		err = c.stage(ctx)
	case CleanAside:
		area, dir := AreaZip, c.Warehouse.ZipDir()
		if phase == len(cleanKinds)-1 {
			area, dir = AreaUnzip, c.Warehouse.UnzipDir()
		}
		more, err = c.aside(ctx, area, dir)
	}
	if err == nil && !more {
		c.page.Next = VerifyCursor{Phase: c.page.Next.Phase + 1}
	}
	return err
}

// versions cleans a batch of old versions. Volumes of a set stay: what one of them is good for, only the others know.
func (c *cleaner) versions(ctx context.Context) (more bool, err error) {
	if c.in.Meant {
		if begun, err := c.Catalog.BeingRemoved(ctx, cleanFiles); err != nil || len(begun) > 0 {
			return true, errors.Join(err, c.remove(ctx, begun))
		}
	}
	if c.in.VersionsBefore.IsZero() {
		return false, nil
	}
	old, err := c.Catalog.OldVersions(ctx, c.in.VersionsBefore, c.page.Next.ID, cleanFiles)
	if err != nil || len(old) == 0 {
		return false, err
	}
	c.page.Next.ID = old[len(old)-1].FileID
	old = slices.DeleteFunc(old, func(o catalog.OldVersion) bool {
		_, _, volume := archive.VolumeOf(o.Path)
		return volume
	})
	if !c.in.Meant {
		c.count(old)
		return true, nil
	}
	return true, c.Catalog.BeginRemoval(ctx, c.in.VersionsBefore, idsOf(old)) // the next step removes them
}

func (c *cleaner) count(old []catalog.OldVersion) {
	for _, o := range old {
		c.add(CleanVersions, Spent{Count: 1, Bytes: o.Size, Oldest: o.Collected})
	}
}

func idsOf(old []catalog.OldVersion) []int64 {
	ids := make([]int64, len(old))
	for i, o := range old {
		ids[i] = o.FileID
	}
	return ids
}

// remove removes files from disk whose removal has begun, and says so when it is durable.
func (c *cleaner) remove(ctx context.Context, begun []catalog.OldVersion) error {
	if err := c.pause("begun"); err != nil {
		return err
	}
	byDir := map[string][]string{}
	for _, o := range begun {
		byDir[o.Dir] = append(byDir[o.Dir], o.Path)
	}
	for dir, names := range byDir {
		if err := clearDir(dir, names); err != nil {
			return err
		}
	}
	if err := c.pause("unlinked"); err != nil {
		return err
	}
	if err := c.Catalog.EndRemoval(ctx, idsOf(begun)); err != nil {
		return err
	}
	c.count(begun)
	return nil
}

func (c *cleaner) pause(step string) error {
	if c.between == nil {
		return nil
	}
	return c.between(step)
}

// clearDir removes files below a directory, durably.
func clearDir(dir string, names []string) error {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	clearing := warehouse.NewClearing(root)
	for _, name := range names {
		if err := clearing.Remove(name); err != nil {
			return err
		}
	}
	return clearing.Sync()
}

func (c *cleaner) runs(ctx context.Context) (more bool, err error) {
	if c.in.RunsBefore.IsZero() {
		return false, nil
	}
	spent, next, err := c.Catalog.CleanRuns(ctx, c.in.RunsBefore, c.page.Next.ID, cleanRuns, c.in.Meant)
	c.add(CleanRuns, spent)
	c.page.Next.ID = next
	return next != 0, err
}

func (c *cleaner) findings(ctx context.Context) (more bool, err error) {
	if c.in.RunsBefore.IsZero() {
		return false, nil
	}
	spent, more, err := c.Catalog.CleanFindings(ctx, c.in.RunsBefore, cleanRows, c.in.Meant)
	c.add(CleanFindings, spent)
	return more, err
}

// stage does what the janitor does before each run.
func (c *cleaner) stage(ctx context.Context) error {
	owned, err := c.ownedStage(ctx)
	if err != nil {
		return err
	}
	var errs []error
	_, err = c.Warehouse.SweepStage(func(rel string, modified time.Time) bool {
		if owned(rel, modified) {
			return true
		}
		if strings.Contains(rel, "/") || isFile(filepath.Join(c.Warehouse.StageDir(), rel)) {
			usage, err := c.Warehouse.Usage(ctx, rel)
			errs = append(errs, err)
			c.add(CleanStage, Spent{Count: usage.Files, Bytes: usage.Bytes, Oldest: usage.Oldest})
		}
		return !c.in.Meant
	})
	return errors.Join(append(errs, err)...)
}

func isFile(name string) bool {
	info, err := os.Lstat(name)
	return err == nil && !info.IsDir()
}

// aside cleans damaged files that were set aside, in a part of a warehouse. Not what only has such a name, because a branch called it so.
func (c *cleaner) aside(ctx context.Context, area, dir string) (more bool, err error) {
	if c.in.AsideBefore.IsZero() {
		return false, nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return false, err
	}
	defer func() { _ = root.Close() }()
	var names []string
	at, looked := c.page.Next.Path, 0
	err = warehouse.WalkAfter(root, string(at), func(name string, info fs.FileInfo, err error) error {
		if err != nil || path.Base(name) == "." {
			return nil // what cannot be looked at stays
		}
		if looked == cleanWalk {
			return errEnough
		}
		looked++
		at = []byte(name)
		since, is := warehouse.IsAside(name)
		if !is || !since.Before(c.in.AsideBefore) || !info.Mode().IsRegular() {
			return ctx.Err()
		}
		if owned, err := c.Catalog.Owns(ctx, area, dir, name); err != nil || owned {
			return err
		}
		names = append(names, name)
		c.add(CleanAside, Spent{Count: 1, Bytes: info.Size(), Oldest: since})
		return ctx.Err()
	})
	if err != nil && !errors.Is(err, errEnough) {
		return false, err
	}
	if c.in.Meant {
		if err := clearDir(dir, names); err != nil {
			return false, err
		}
	}
	c.page.Next.Path = at
	return errors.Is(err, errEnough), nil
}
