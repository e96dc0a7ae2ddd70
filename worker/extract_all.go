package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"talon/activities"
	"talon/internal/archive"
	"talon/internal/pathname"
)

// requestEach is a request for each archive, with a directory of its own in dest. Its name is the archive's without the
// extension, in the first version that no archive before it has.
func requestEach(request archive.Request, archives []string, dest string) []archive.Request {
	var requests []archive.Request
	taken := map[string]bool{}
	for _, file := range archives {
		stem, _ := pathname.SplitExt(filepath.Base(file))
		name := stem
		for n := 2; taken[name]; n++ {
			name = pathname.Versioned(stem, n)
		}
		taken[name] = true
		request.Archive, request.Dest = file, filepath.Join(dest, name)
		requests = append(requests, request)
	}
	return requests
}

// extractAll extracts several archives at once and prints each report as soon as those before it are printed. An archive
// that could not be tried is named on stderr, and the others go on.
func extractAll(
	ctx context.Context, engine activities.Extractor, requests []archive.Request, stdout, stderr io.Writer, asJSON bool,
) error {
	ctx, cancel := context.WithCancel(ctx)
	outcomes, wait := extractEach(ctx, engine, requests)
	defer wait()
	defer cancel()
	var codes []int
	for i, request := range requests {
		var got outcome
		select {
		case got = <-outcomes[i]:
		case <-ctx.Done():
			return ctx.Err()
		}
		if got.err != nil {
			fmt.Fprintf(stderr, "worker: %s: %v\n", request.Archive, got.err)
			codes = append(codes, exitUnusable)
			continue
		}
		codes = append(codes, got.report.Result)
		if err := printOneOfMany(stdout, got.report, asJSON); err != nil {
			return err
		}
	}
	return resultCode(fold(codes))
}

// outcome is what one archive came to.
type outcome struct {
	report archive.Report
	err    error
}

// extractEach works on as many requests at once as there are processors, until the context is done. Each outcome gets into
// the channel of its request. wait returns when nothing is at work any more.
func extractEach(ctx context.Context, engine activities.Extractor, requests []archive.Request) (outcomes []chan outcome, wait func()) {
	for range requests {
		outcomes = append(outcomes, make(chan outcome, 1))
	}
	var running sync.WaitGroup
	var begun atomic.Int64
	for range min(len(requests), extractionSlots()) {
		running.Go(func() {
			for ctx.Err() == nil {
				i := int(begun.Add(1)) - 1
				if i >= len(requests) {
					return
				}
				report, err := extract(ctx, engine, requests[i])
				outcomes[i] <- outcome{report, err}
			}
		})
	}
	return outcomes, running.Wait
}

// printOneOfMany prints a report like that of a single archive, but JSON on one line.
func printOneOfMany(w io.Writer, report archive.Report, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(report)
	}
	return printReport(w, report, false)
}

// fold is the exit code for several: what they all have, or partly; but that one could not run must not go unnoticed.
func fold(codes []int) int {
	most := slices.Max(codes)
	if most == exitUnusable || most == slices.Min(codes) {
		return most
	}
	return activities.Partial
}
