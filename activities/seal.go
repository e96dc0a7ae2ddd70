package activities

import (
	"context"
	"errors"
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

// SealArchives publishes what eagle delivered: manifest and files checked, synced, renamed into the unzip warehouse, recorded. Tiger trusts
// neither the stage nor eagle further than it has checked; what does not match its manifest is extracted again.
func (t *Tiger) SealArchives(ctx context.Context, in SealInput) (SealResult, error) {
	beat := startProgress(ctx, Checkpoint{})
	defer beat.stop()
	var result SealResult
	err := timed(t.Meter, StepSeal, func() (err error) {
		result, err = t.receiveAndSeal(ctx, in, beat)
		return err
	})
	return result, Classify(err)
}

func (t *Tiger) receiveAndSeal(ctx context.Context, in SealInput, beat *progress) (result SealResult, err error) {
	received, err := t.receiveAll(ctx, in, beat.bytes)
	defer func() { err = errors.Join(err, t.dropUnpacked(received)) }() // each attempt unpacks anew, and a disk that is full must not get fuller
	if err != nil {
		return result, err
	}
	beat.rest() // gigabytes take the disk minutes, and so does publishing a hundred thousand files
	if err := t.Warehouse.Sync(ctx); err != nil && !errors.Is(err, warehouse.ErrSync) {
		return result, err // after ErrSync the warehouse refuses what was staged before: it is extracted again
	}
	result, sealed, err := t.sealAll(ctx, in, received)
	if err == nil {
		err = t.Catalog.SaveExtraction(ctx, sealed)
	}
	if err != nil {
		return result, err
	}
	for _, extraction := range sealed {
		a := extraction.Archive
		listener(t.Meter).Archive(a.Server, a.Result, a.Reason, a.Received, a.Bytes)
	}
	return result, t.removeBundles(in)
}

// sealAll publishes what was received and returns the rows of what is finished with.
func (t *Tiger) sealAll(ctx context.Context, in SealInput, received []receipt) (result SealResult, sealed []catalog.Extraction, err error) {
	tree, err := t.Warehouse.Visible(in.UnzipDir)
	if err != nil {
		return result, nil, err
	}
	defer tree.Close()
	publication := tree.NewPublication()
	for i, delivery := range in.Deliveries {
		extraction, err := t.seal(ctx, in, delivery, received[i], publication)
		switch {
		case mustRepeat(err) && extraction.Archive.Done: // a second attempt: the first had done all but say so
			result.count(extraction.Archive)
			continue
		case mustRepeat(err) && !in.LastRound:
			ref, err := refOf(extraction.Archive)
			if err != nil {
				return result, nil, err
			}
			result.Damaged = append(result.Damaged, ref)
			continue
		case mustRepeat(err):
			extraction = damaged(extraction.Archive, err)
		case err != nil:
			return result, nil, err
		}
		extraction.Archive.Done, extraction.Archive.End = true, time.Now()
		sealed = append(sealed, extraction)
		result.count(extraction.Archive)
	}
	return result, sealed, publication.Sync()
}

// damaged is the outcome of an archive whose delivery never came through whole: nothing of it is published.
func damaged(row catalog.Archive, err error) catalog.Extraction {
	row.Result, row.Reason, row.Detail = Failed, reasonDamaged, err.Error()
	if errors.Is(err, errUnseen) {
		row.Reason = reasonUnseen
	}
	row.Received, row.Bytes, row.UnzipPath = 0, 0, ""
	return catalog.Extraction{Archive: row}
}

// mustRepeat says that what was delivered is not, or not reliably, there.
func mustRepeat(err error) bool {
	return errors.Is(err, warehouse.ErrDamaged) || errors.Is(err, warehouse.ErrLost) || errors.Is(err, warehouse.ErrSync)
}

// Reasons of archives that came to nothing twice: the stage did not hold what eagle delivered, or eagle did not see them.
const (
	reasonDamaged = "damaged_in_stage"
	reasonUnseen  = "archive_unseen"
)

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
	if a.Result != Success && len(r.Troubles) < maxTroubles {
		r.Troubles = append(r.Troubles, Trouble{
			Archive: Clip(a.Path, maxTroubleText), Result: a.Result, Reason: a.Reason, Detail: Clip(a.Detail, maxTroubleText),
		})
	}
}

// seal publishes one delivery and returns its rows. On ErrDamaged and ErrLost the archive's own row is still filled in.
func (t *Tiger) seal(
	ctx context.Context, in SealInput, delivery Delivery, received receipt, publication *warehouse.Publication,
) (catalog.Extraction, error) {
	row, err := t.Catalog.Archive(ctx, delivery.ID)
	if err != nil {
		return catalog.Extraction{}, err
	}
	if received.err != nil {
		return catalog.Extraction{Archive: row}, received.err
	}
	row.Host, row.Start = delivery.Host, delivery.Start
	if !utf8.ValidString(row.Path) { // no payload can carry the name: eagle was told another
		row.Result, row.Reason, row.Detail = Failed, reasonUnsafeName, "the file's name is not UTF-8: rename it"
		return catalog.Extraction{Archive: row}, nil
	}
	if received.dir == "" {
		row.Result, row.Reason, row.Detail = Failed, delivery.Reason, delivery.Detail
		return catalog.Extraction{Archive: row}, nil
	}
	extraction := extractionOf(row, received.report)
	if len(received.report.Files) == 0 {
		return extraction, nil
	}
	manifest := manifestOf(received.report)
	staged := path.Join(received.dir, deliveredTree)
	err = t.Warehouse.VerifyTree(staged, manifest, received.suspect)
	if err != nil && !errors.Is(err, warehouse.ErrLost) {
		return extraction, err
	}
	filled, refillErr := t.refill(ctx, in, row, staged, manifest, publication)
	if filled != "" || refillErr != nil {
		extraction.Archive.UnzipPath = filled
		return extraction, refillErr
	}
	target, _ := pathname.SplitExt(row.Path)
	extraction.Archive.UnzipPath, err = publication.Dir(staged, target, manifest, func(candidate string) (bool, error) {
		return t.Catalog.UnzipPathTaken(ctx, in.UnzipDir, candidate, row.ID)
	})
	return extraction, err
}

// refill puts what was extracted again into a directory that lacks some of it, and returns its path; "" if it is to be published as usual.
func (t *Tiger) refill(
	ctx context.Context, in SealInput, row catalog.Archive, staged string, manifest []warehouse.ManifestFile, publication *warehouse.Publication,
) (string, error) {
	target, err := t.Catalog.Refillable(ctx, in.UnzipDir, row)
	if err != nil || target == "" {
		return "", err
	}
	filled, err := publication.Fill(staged, target, manifest)
	if !filled {
		target = ""
	}
	return target, err
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
