package activities

import (
	"context"
	"fmt"
	"path"
	"strings"
	"time"

	"talon/config"
	"talon/internal/catalog"
	"talon/internal/ftpclient"
)

const (
	// pageNameBytes bounds the file names of a page, which travel in payloads.
	pageNameBytes = 64 << 10
	// shrinkFloor is the number of files from which on a listing of less than half of them is suspicious: of a handful, half may
	// well have been tidied away.
	shrinkFloor = 10
	// longestRecheck is how long a run waits for files to prove stable; a longer wait is left to the next run.
	longestRecheck = 2 * time.Minute
)

// ListServer returns a page of the files that are new or changed. The first page lists the server and writes the whole account of the
// listing into the catalog; later pages read on from there, so that the books of a run speak of one listing.
func (t *Tiger) ListServer(ctx context.Context, in ListInput) (FilePage, error) {
	beat := startProgress(ctx, Checkpoint{})
	defer beat.stop()
	var page FilePage
	if err := t.meet(ctx, visit(in.Run, in.Try), in.Server); err != nil {
		return page, Classify(err)
	}
	if in.After == 0 {
		leftovers, err := t.removeLeftovers(in.Run, in.Server)
		if err != nil {
			return page, Classify(err)
		}
		page.Leftovers = leftovers
		listener(t.Meter).Leftovers(leftovers)
		if err := timed(t.Meter, StepList, func() error { return t.planServer(ctx, in, &page) }); err != nil {
			return page, Classify(err)
		}
	}
	if err := t.fillPage(ctx, in, &page); err != nil {
		return page, Classify(err)
	}
	return page, nil
}

// removeLeftovers removes what earlier runs left in the server's stage. The server is this run's alone, so no running attempt can own it.
func (t *Tiger) removeLeftovers(run, server string) (int, error) {
	return t.Warehouse.RemoveStagedExcept(path.Join(collectStage, server), slug(run))
}

// planServer lists the server and notes in the catalog what is to become of every line.
func (t *Tiger) planServer(ctx context.Context, in ListInput, page *FilePage) error {
	server, options, err := t.server(in.Server)
	if err != nil {
		return err
	}
	before := t.Pool.Behaviour(in.Server)
	s, err := t.survey(ctx, server, options)
	if err != nil {
		return err
	}
	defer func() { _ = s.close() }() // nothing in it is needed any more
	if s, page.Shrank, err = t.doubt(ctx, in, server, options, s); err != nil {
		return err
	}
	now := t.Pool.Behaviour(in.Server)
	j := &judge{server: server, zone: now, now: time.Now()}
	plan, err := t.Catalog.PlanListing(ctx, in.Run, in.Server, j.lines(s), catalog.PlanOptions{
		Excluded: func() int { return j.excluded }, Baseline: j.baseline(s), MaxFiles: server.MaxFiles, MaxBytes: int64(server.MaxBytes),
		Stable: server.Stable, Now: j.now,
	})
	if err != nil {
		return err
	}
	if plan.Unstable > 0 && server.Stable <= longestRecheck {
		page.Recheck = server.Stable
	}
	page.Warnings = append(drift(before, now), j.zoneWarnings(s)...)
	t.remember(ctx, in.Server)
	return nil
}

// baseline is the configured one, with its time as the listing would show it.
func (j *judge) baseline(s *survey) catalog.Baseline {
	base := catalog.Baseline{Adopt: j.server.Baseline.Mode == config.BaselineAdopt, Before: j.server.Baseline.From}
	if s.summary.Command == "LIST" && !base.Before.IsZero() {
		base.Before = j.wallClock(base.Before)
	}
	return base
}

// doubt looks twice at a listing that has less than half of the files of the one before: servers close a listing that was cut off with a
// success. Of the two the longer one counts. shrank is what to report if both are short.
func (t *Tiger) doubt(
	ctx context.Context, in ListInput, server config.Server, options ftpclient.Options, first *survey,
) (s *survey, shrank string, err error) {
	if server.OnShrink == config.ShrinkIgnore || server.After.Action != config.AfterKeep {
		return first, "", nil
	}
	before, known, err := t.Catalog.LastListing(ctx, in.Server, in.Run)
	if err != nil || !known || before < shrinkFloor || first.files*2 >= before {
		return first, "", err
	}
	second, err := t.survey(ctx, server, options)
	if err != nil {
		return first, "", err
	}
	if second.files > first.files {
		first, second = second, first
	}
	if err := second.close(); err != nil {
		return first, "", err
	}
	if first.files*2 < before {
		shrank = fmt.Sprintf("%d files are listed, %d were in the run before, and a second listing says the same: "+
			"if they were tidied away, all is well, and the next run compares with this one", first.files, before)
	}
	return first, shrank, nil
}

// drift tells what a server does otherwise than it did.
func drift(before, now ftpclient.Behaviour) []string {
	var warnings []string
	if before.Listing != now.Listing && now.Listing != "" {
		warnings = append(warnings, "the server refuses MLSD: it is listed with LIST, whose times are less precise")
	}
	if before.Passive != now.Passive && now.Passive != "" {
		warnings = append(warnings, "EPSV leads to no data connection: PASV is used")
	}
	if before.ZoneKnown && now.ZoneKnown && before.ZoneMinutes != now.ZoneMinutes {
		warnings = append(warnings, fmt.Sprintf("the times of the listing are in the zone %s now, they were in %s",
			zoneName(now.ZoneMinutes), zoneName(before.ZoneMinutes)))
	}
	return warnings
}

// zoneWarnings compares the configured zone of the listing with MDTM.
func (j *judge) zoneWarnings(s *survey) []string {
	if j.server.Timezone == nil {
		return nil
	}
	for i, at := range s.modified {
		entry := s.newest[i]
		apart := j.moment(entry).Sub(at).Abs()
		if !at.IsZero() && !entry.Zoned && apart >= zoneMinimum && j.zone.ZoneKnown {
			return []string{fmt.Sprintf("timezone is configured as %s, but by MDTM the times of the listing are in the zone %s",
				j.server.Timezone, zoneName(j.zone.ZoneMinutes))}
		}
	}
	return nil
}

// zoneMinimum is the least that two zones are apart.
const zoneMinimum = 15 * time.Minute

func zoneName(minutes int) string {
	return time.Time{}.In(time.FixedZone("", minutes*60)).Format("-07:00")
}

// fillPage reads the next pending entries, as many as fit into a page.
func (t *Tiger) fillPage(ctx context.Context, in ListInput, page *FilePage) error {
	entries, err := t.Catalog.NextEntries(ctx, in.Run, in.Server, in.After, in.PageFiles+1)
	if err != nil {
		return err
	}
	names := 0
	for _, entry := range entries {
		names += len(entry.Path)
		if len(page.Files) > 0 && (len(page.Files) == in.PageFiles || names > pageNameBytes) {
			page.More = true
			break
		}
		page.Files = append(page.Files, FileRef{ID: entry.ID, Name: strings.ToValidUTF8(entry.Path, "�"), Size: entry.Size})
	}
	page.Books, err = t.Catalog.Books(ctx, in.Run, in.Server)
	return err
}
