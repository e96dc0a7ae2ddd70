package activities

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"talon/internal/catalog"
	"talon/internal/warehouse"
)

// mendPage is how many findings are mended at a time: what they have to be compared with is read again.
const mendPage = 200

// MendFindings begins the mending of a page of what a verification found. What is damaged is set aside under a name that says so, then the catalog
// takes the file for one to be had again: collected files from their server, extracted ones from their archive. In this order: after a crash in
// between the file is missing, which another verification finds. What is intact by now is left alone.
func (t *Tiger) MendFindings(ctx context.Context, in MendInput) (MendPage, error) {
	beat := startProgress(ctx, Checkpoint{})
	defer beat.stop()
	page := MendPage{Deadline: t.Config.Extract.Deadline, Extractions: in.Extractions}
	found, err := t.Catalog.Findings(ctx, in.Verification, in.After, mendPage+1)
	if err != nil {
		return page, Classify(err)
	}
	if len(found) > mendPage {
		found = found[:mendPage]
		page.Next = found[mendPage-1].ID
	}
	m := &mender{Tiger: t, in: in, page: page, archives: map[int64]error{}, read: func(context.Context, int) error {
		beat.bytes(time.Now().UnixNano())
		return nil
	}}
	for _, f := range found {
		if err := m.mend(ctx, f); err != nil {
			return m.page, Classify(fmt.Errorf("mend %s: %w", f.Path, err))
		}
	}
	slices.Sort(m.page.Servers)
	m.page.Servers = slices.Compact(m.page.Servers)
	return m.page, nil
}

// mender is one attempt at a page of findings.
type mender struct {
	*Tiger
	in       MendInput
	page     MendPage
	archives map[int64]error // why nothing can be extracted from an archive, nil if it is intact
	read     warehouse.Pace
}

func (m *mender) mend(ctx context.Context, f Finding) error {
	switch f.Kind {
	case catalog.FoundDamaged, catalog.FoundMissing:
	case catalog.FoundUnreadable:
		return m.hopeless(ctx, f, notReadable)
	default:
		return nil
	}
	if f.Area == AreaZip {
		return m.mendCollected(ctx, f)
	}
	return m.mendExtracted(ctx, f)
}

const notReadable = "not mended: see to it that tiger can read it"

// hopeless notes why nothing can be done about a finding.
func (m *mender) hopeless(ctx context.Context, f Finding, why string) error {
	m.page.Hopeless++
	f.Done = why
	return m.Catalog.Mend(ctx, catalog.Mending{Finding: f})
}

// mendCollected has a collected file fetched again.
func (m *mender) mendCollected(ctx context.Context, f Finding) error {
	file, err := m.Catalog.Original(ctx, f.FileID)
	if errors.Is(err, catalog.ErrNoRow) {
		return m.hopeless(ctx, f, "not mended: the catalog has no such file any more")
	}
	if err != nil {
		return err
	}
	noted, err := m.setAside(ctx, &f, warehouse.Identity{Size: file.Size, SHA256: file.SHA256})
	if err != nil || noted {
		return err
	}
	_, configured := m.Config.Servers[file.Server]
	switch {
	case !configured:
		return m.hopeless(ctx, f, "not mended: "+file.Server+" is not in the configuration any more")
	case file.Superseded:
		return m.hopeless(ctx, f, "not mended: its server has had a newer version since; starter forget if it has this one again")
	case file.Gone != "":
		m.page.Hopeless++
		f.Done = "cannot be had again: it was collected and then taken from the server (after: " + file.Gone + "); if it is put back, it is collected"
	default:
		m.page.Forgotten++
		m.page.Servers = append(m.page.Servers, file.Server)
		f.Done = "to be collected again"
	}
	return m.Catalog.Mend(ctx, catalog.Mending{Finding: f, Forget: f.FileID})
}

// mendExtracted has an extracted file extracted again, if its archive is intact or will be collected again.
func (m *mender) mendExtracted(ctx context.Context, f Finding) error {
	a, err := m.Catalog.Archive(ctx, f.ArchiveID)
	if errors.Is(err, catalog.ErrNoRow) {
		return m.hopeless(ctx, f, "not mended: the catalog has no such archive any more")
	}
	if err != nil {
		return err
	}
	mending := catalog.Mending{Refill: a.ID, Again: m.extraction(a)}
	why, err := m.unusable(ctx, a)
	if err != nil {
		return err
	}
	fetched := false
	if why != nil {
		if fetched, err = m.Catalog.IsAwaited(ctx, a.FileID); err != nil {
			return err
		}
		if !fetched {
			return m.hopeless(ctx, f, "not mended: "+why.Error())
		}
		mending.Again = "" // what collects it has it extracted
	}
	want, err := m.Catalog.Member(ctx, a.ID, strings.TrimPrefix(f.Path, a.UnzipPath+"/"))
	if err != nil {
		return err
	}
	noted, err := m.setAside(ctx, &f, warehouse.Identity{Size: want.Size, SHA256: want.SHA256})
	if err != nil || noted {
		return err
	}
	m.page.Again++
	f.Done = "to be extracted again"
	if fetched {
		f.Done += ", when its archive has been collected again"
	}
	mending.Finding = f
	return m.Catalog.Mend(ctx, mending)
}

// setAside gives what is damaged another name. What turns out to be intact by now, or cannot be read, is only noted.
func (m *mender) setAside(ctx context.Context, f *Finding, want warehouse.Identity) (noted bool, err error) {
	root, err := os.OpenRoot(f.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return true, m.hopeless(ctx, *f, notReadable)
	}
	defer func() { _ = root.Close() }()
	condition, _, err := warehouse.Inspect(ctx, root, f.Path, want, m.read)
	switch {
	case err != nil:
		return false, err
	case condition == warehouse.Missing:
		if _, err := root.Lstat(warehouse.AsideName(f.Path, m.in.Now)); err == nil { // by an attempt that came no further
			f.Aside = warehouse.AsideName(f.Path, m.in.Now)
			m.page.Aside++
		}
		return false, nil
	case condition == warehouse.Unreadable:
		return true, m.hopeless(ctx, *f, notReadable)
	case condition != warehouse.Damaged:
		f.Done = "is " + string(condition) + " by now"
		return true, m.Catalog.Mend(ctx, catalog.Mending{Finding: *f})
	}
	f.Aside, err = warehouse.SetAside(root, f.Path, m.in.Now)
	if err == nil {
		m.page.Aside++
	}
	return false, err
}

// extraction is the workflow ID of the decompression that extracts the archive again.
func (m *mender) extraction(a catalog.Archive) string {
	for _, x := range m.page.Extractions {
		if x.ZipDir == a.ZipDir && x.UnzipDir == a.UnzipDir {
			return x.ID
		}
	}
	return fmt.Sprintf("%s/%d", m.in.Decompression, len(m.page.Extractions)+1)
}

// unusable says why an archive cannot be extracted again, and notes the decompression of one that can.
func (m *mender) unusable(ctx context.Context, a catalog.Archive) (why, err error) {
	why, known := m.archives[a.ID]
	if known {
		return why, nil
	}
	condition, detail := warehouse.Missing, ""
	root, openErr := os.OpenRoot(a.ZipDir)
	switch {
	case openErr == nil:
		defer func() { _ = root.Close() }()
		condition, detail, err = warehouse.Inspect(ctx, root, a.Path, warehouse.Identity{Size: a.Size, SHA256: a.SHA256}, m.read)
		if err != nil {
			return nil, err
		}
	case !errors.Is(openErr, fs.ErrNotExist):
		condition, detail = warehouse.Unreadable, openErr.Error()
	}
	if condition != warehouse.Intact {
		why = fmt.Errorf("its archive %s is %s %s", a.Path, condition, detail)
	} else {
		m.note(a)
	}
	m.archives[a.ID] = why
	return why, nil
}

// note remembers that a decompression of the archive is to be started.
func (m *mender) note(a catalog.Archive) {
	id := m.extraction(a)
	if !slices.ContainsFunc(m.page.Extractions, func(x MendExtraction) bool { return x.ID == id }) {
		m.page.Extractions = append(m.page.Extractions, MendExtraction{ZipDir: a.ZipDir, UnzipDir: a.UnzipDir, ID: id})
	}
}
