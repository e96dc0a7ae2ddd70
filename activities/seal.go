package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"
	"unicode/utf8"

	"talon/internal/archive"
	"talon/internal/catalog"
	"talon/internal/pathname"
	"talon/internal/warehouse"
)

// Names inside a delivery's directory.
const (
	deliveredTree     = "tree"
	deliveredManifest = "manifest.json"
)

// maxManifest bounds what is read of a manifest: 100,000 entries with long names.
const maxManifest = 256 << 20

// SealArchives publishes what eagle delivered: manifest and files checked, synced, renamed into the unzip warehouse, recorded. Tiger trusts the
// stage only as far as it has checked it; what does not match its manifest is extracted again.
func (t *Tiger) SealArchives(ctx context.Context, in SealInput) (SealResult, error) {
	beat := startProgress(ctx, Checkpoint{})
	defer beat.stop()
	var result SealResult
	if err := t.Warehouse.Sync(ctx); err != nil && !errors.Is(err, warehouse.ErrSync) {
		return result, Classify(err) // after ErrSync the warehouse refuses what was staged before: it is extracted again
	}
	tree, err := t.Warehouse.Visible(in.UnzipDir)
	if err != nil {
		return result, Classify(err)
	}
	defer tree.Close()
	publication := tree.NewPublication()
	var sealed []catalog.Extraction
	for _, delivery := range in.Deliveries {
		extraction, err := t.seal(ctx, in, delivery, publication)
		if mustRepeat(err) {
			if !in.LastRound {
				result.Damaged = append(result.Damaged, ArchiveRef{ID: delivery.ID, Path: extraction.Archive.Path, Size: extraction.Archive.Size})
				continue
			}
			extraction = damaged(extraction.Archive, err)
		} else if err != nil {
			return result, Classify(err)
		}
		extraction.Archive.Done, extraction.Archive.End = true, time.Now()
		sealed = append(sealed, extraction)
		result.count(extraction.Archive)
	}
	if err := publication.Sync(); err != nil {
		return result, Classify(err)
	}
	return result, Classify(t.Catalog.SaveExtraction(ctx, sealed))
}

// damaged is the outcome of an archive whose delivery never came through whole: nothing of it is published.
func damaged(row catalog.Archive, err error) catalog.Extraction {
	row.Result, row.Reason, row.Detail = Failed, reasonDamaged, err.Error()
	row.Received, row.Bytes, row.UnzipPath = 0, 0, ""
	return catalog.Extraction{Archive: row}
}

// mustRepeat says that what was delivered is not, or not reliably, there.
func mustRepeat(err error) bool {
	return errors.Is(err, warehouse.ErrDamaged) || errors.Is(err, warehouse.ErrLost) || errors.Is(err, warehouse.ErrSync)
}

// reasonDamaged: the stage did not hold what eagle delivered, twice.
const reasonDamaged = "damaged_in_stage"

func (r *SealResult) count(a catalog.Archive) {
	switch a.Result {
	case Success:
		r.Succeeded++
	case Partial:
		r.Partly++
	default:
		r.Failed++
	}
	r.Files += a.Received
	r.Bytes += a.Bytes
}

// seal publishes one delivery and returns its rows. On ErrDamaged and ErrLost the archive's own row is still filled in.
func (t *Tiger) seal(ctx context.Context, in SealInput, delivery Delivery, publication *warehouse.Publication) (catalog.Extraction, error) {
	row, err := t.Catalog.Archive(ctx, delivery.ID)
	if err != nil {
		return catalog.Extraction{}, err
	}
	row.Host, row.Start = delivery.Host, delivery.Start
	if !utf8.ValidString(row.Path) { // no payload can carry the name: eagle was told another
		row.Result, row.Reason, row.Detail = Failed, reasonUnsafeName, "the file's name is not UTF-8: rename it"
		return catalog.Extraction{Archive: row}, nil
	}
	if delivery.Dir == "" {
		row.Result, row.Reason, row.Detail = Failed, delivery.Reason, delivery.Detail
		return catalog.Extraction{Archive: row}, nil
	}
	report, err := t.readManifest(delivery)
	if err != nil {
		return catalog.Extraction{Archive: row}, err
	}
	extraction := extractionOf(row, report)
	if len(report.Files) == 0 {
		return extraction, nil
	}
	manifest := manifestOf(report)
	staged := path.Join(delivery.Dir, deliveredTree)
	// Bytes that came from another host are hashed again.
	err = t.Warehouse.VerifyTree(staged, manifest, delivery.Boot != t.Boot || t.Boot == "")
	if err != nil && !errors.Is(err, warehouse.ErrLost) {
		return extraction, err
	}
	target, _ := pathname.SplitExt(row.Path)
	extraction.Archive.UnzipPath, err = publication.Dir(staged, target, manifest, func(candidate string) (bool, error) {
		return t.Catalog.UnzipPathTaken(ctx, in.UnzipDir, candidate, row.ID)
	})
	return extraction, err
}

// readManifest returns the engine's report, checked against the hash that came through Temporal.
func (t *Tiger) readManifest(delivery Delivery) (archive.Report, error) {
	var report archive.Report
	content, err := t.Warehouse.ReadStaged(path.Join(delivery.Dir, deliveredManifest), maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return report, fmt.Errorf("%w: %w", warehouse.ErrLost, err)
	}
	if err != nil {
		return report, err
	}
	if hashOf(content) != delivery.Manifest {
		return report, fmt.Errorf("%w: manifest of archive %d has another hash than eagle said", warehouse.ErrDamaged, delivery.ID)
	}
	if err := json.Unmarshal(content, &report); err != nil {
		return report, fmt.Errorf("%w: manifest of archive %d: %v", warehouse.ErrDamaged, delivery.ID, err)
	}
	return report, nil
}

func manifestOf(report archive.Report) []warehouse.ManifestFile {
	files := make([]warehouse.ManifestFile, len(report.Files))
	for i, f := range report.Files {
		files[i] = warehouse.ManifestFile{Path: f.Path, Size: f.Size, SHA256: f.SHA256}
	}
	return files
}

// extractionOf turns the engine's report into catalog rows.
func extractionOf(row catalog.Archive, report archive.Report) catalog.Extraction {
	row.Result, row.Reason, row.Detail = report.Result, string(report.Reason), report.Detail
	row.Failed, row.Received, row.Bytes = report.Failed, report.Received, report.Bytes
	extraction := catalog.Extraction{Archive: row}
	for name, layer := range report.Layers {
		extraction.Layers = append(extraction.Layers, catalog.Layer{
			Path: name, Result: layer.Result, Archives: layer.Archives, Files: layer.Files, Reason: string(layer.Reason), Detail: layer.Detail,
		})
	}
	for _, file := range report.Files {
		extraction.Members = append(extraction.Members, catalog.Member{
			Layer: file.Layer, Path: file.Path, RawName: file.RawName, Size: file.Size, SHA256: file.SHA256,
		})
	}
	for _, refusal := range report.Refused {
		extraction.Refused = append(extraction.Refused, catalog.Refusal{
			Layer: refusal.Layer, Name: refusal.Name, RawName: refusal.RawName, Reason: string(refusal.Reason), Detail: refusal.Detail,
		})
	}
	return extraction
}
