package main

import (
	"cmp"
	"slices"
	"time"

	"talon/activities"
	"talon/internal/catalog"
)

// The JSON of results. Its names are fixed: other programs read them.
type (
	runResult struct {
		Run        string                   `json:"run"`
		Result     int                      `json:"result"`
		Reason     string                   `json:"reason"`
		StartTime  time.Time                `json:"start_time"`
		EndTime    time.Time                `json:"end_time,omitzero"`
		Servers    map[string]*serverResult `json:"servers"`
		Decompress *decompressResult        `json:"decompress"`
		Leftovers  int                      `json:"leftovers,omitempty"` // staged files of attempts long dead, removed before the run
	}
	serverResult struct {
		Result        int           `json:"result"`
		Reason        string        `json:"reason"`
		Detail        string        `json:"detail,omitempty"`
		NumberOfFiles int           `json:"number_of_files"`
		Bytes         int64         `json:"bytes"`
		BufferPath    string        `json:"buffer_path"`
		Files         []fileResult  `json:"files"`
		Listed        int           `json:"listed"`
		Excluded      int           `json:"excluded"`
		Unchanged     int           `json:"unchanged"`
		Adopted       int           `json:"adopted,omitempty"` // of the unchanged: there on the first day, and left alone by configuration
		Deferred      int           `json:"deferred"`
		Refused       []issueResult `json:"refused"`
		Failed        []issueResult `json:"failed"`
		Warnings      []string      `json:"warnings,omitempty"`
		Leftovers     int           `json:"leftovers,omitempty"`
		StartTime     time.Time     `json:"start_time"`
		EndTime       time.Time     `json:"end_time,omitzero"`
	}
	fileResult struct {
		Name   string `json:"name"`
		Size   int64  `json:"size"`
		SHA256 string `json:"sha256"`
		Path   string `json:"path"` // relative to the zip directory
		Note   string `json:"note,omitempty"`
	}
	issueResult struct {
		Name   string `json:"name"`
		Reason string `json:"reason"`
		Detail string `json:"detail,omitempty"`
	}
	decompressResult struct {
		Run       string                    `json:"run,omitempty"` // of a decompression of its own
		Result    int                       `json:"result"`
		Reason    string                    `json:"reason,omitempty"`
		Total     int                       `json:"total"`
		Succeeded int                       `json:"succeeded"`
		StartTime time.Time                 `json:"start_time,omitzero"`
		EndTime   time.Time                 `json:"end_time,omitzero"`
		Archives  map[string]*archiveResult `json:"archives"`
	}
	archiveResult struct {
		Result    int                    `json:"result"`
		Reason    string                 `json:"reason"`
		Detail    string                 `json:"detail,omitempty"`
		Host      string                 `json:"host"`
		StartTime time.Time              `json:"start_time,omitzero"`
		EndTime   time.Time              `json:"end_time,omitzero"`
		Failed    int                    `json:"failed"`
		Received  int                    `json:"received"`
		Bytes     int64                  `json:"bytes"`
		UnzipPath string                 `json:"unzip_path,omitempty"`
		Layers    map[string]layerResult `json:"layers"`
	}
	layerResult struct {
		Result   int    `json:"result"`
		Archives int    `json:"archives"`
		Files    int    `json:"files"`
		Reason   string `json:"reason"`
		Detail   string `json:"detail,omitempty"`
	}
)

// Reasons that no worker gives.
const (
	reasonPending    = "pending"    // the archive waits for eagle, or eagle is at work on it
	reasonUnfinished = "unfinished" // the run was terminated or failed before it closed its account
)

// report collects the pages of a run's report.
type report struct {
	run      catalog.RunRow
	servers  map[string]*serverResult
	archives map[string]*archiveResult
}

func newReport(run string) *report {
	return &report{run: catalog.RunRow{ID: run}, servers: map[string]*serverResult{}, archives: map[string]*archiveResult{}}
}

// add takes in a page. Rows may come in any order.
func (r *report) add(page activities.ReportPage) {
	if page.Run != nil {
		r.run = *page.Run
	}
	for _, row := range page.Servers {
		r.addServer(row)
	}
	for _, f := range page.Files {
		s := r.server(f.Server)
		s.Files = append(s.Files, fileResult{Name: f.Name, Size: f.Size, SHA256: f.SHA256, Path: f.LocalPath, Note: f.Note})
	}
	for _, issue := range page.Issues {
		s := r.server(issue.Server)
		item := issueResult{Name: issue.Name, Reason: issue.Reason, Detail: issue.Detail}
		if issue.State == catalog.StateRefused {
			s.Refused = append(s.Refused, item)
		} else {
			s.Failed = append(s.Failed, item)
		}
	}
	for _, row := range page.Archives {
		r.addArchive(row)
	}
	for _, row := range page.Layers {
		l := row.Layer
		r.archive(row.Archive).Layers[l.Path] = layerResult{Result: l.Result, Archives: l.Archives, Files: l.Files, Reason: l.Reason, Detail: l.Detail}
	}
}

func (r *report) server(name string) *serverResult {
	s, ok := r.servers[name]
	if !ok {
		s = &serverResult{Result: activities.Partial, Reason: activities.ReasonRunning, Files: []fileResult{}, Refused: []issueResult{}, Failed: []issueResult{}}
		r.servers[name] = s
	}
	return s
}

func (r *report) addServer(row catalog.ServerRow) {
	s := r.server(row.Server)
	s.Result, s.Reason, s.Detail = row.Result, row.Reason, row.Detail
	s.NumberOfFiles, s.Bytes, s.BufferPath = row.Books.Collected, row.Books.Bytes, row.BufferPath
	s.Listed, s.Excluded, s.Unchanged, s.Deferred = row.Books.Listed, row.Books.Excluded, row.Books.Unchanged, row.Books.Deferred
	s.Adopted, s.Warnings, s.Leftovers, s.StartTime, s.EndTime = row.Books.Adopted, row.Warnings, row.Leftovers, row.Start, row.End
}

func (r *report) archive(path string) *archiveResult {
	a, ok := r.archives[path]
	if !ok {
		a = &archiveResult{Result: activities.Failed, Reason: reasonPending, Layers: map[string]layerResult{}}
		r.archives[path] = a
	}
	return a
}

func (r *report) addArchive(row catalog.Archive) {
	a := r.archive(row.Path)
	a.Result, a.Reason, a.Detail, a.Host = row.Result, row.Reason, row.Detail, row.Host
	a.Failed, a.Received, a.Bytes, a.UnzipPath = row.Failed, row.Received, row.Bytes, row.UnzipPath
	a.StartTime, a.EndTime = row.Start, row.End
	if !row.Done {
		a.Result, a.Reason = activities.Failed, reasonPending
	}
}

// fold makes the result of the pages. A caller that made the run itself says when the call was made and when everything had been received;
// otherwise called is zero and the times are those of the catalog.
func (r *report) fold(called, received time.Time) runResult {
	result := runResult{
		Run: r.run.ID, Reason: r.run.Reason, StartTime: r.run.Start, Servers: r.servers, Decompress: r.decompress(),
		Leftovers: r.run.Leftovers,
	}
	if !r.open() {
		result.EndTime = r.lastEnd()
	}
	if !called.IsZero() {
		result.StartTime, result.EndTime = called, received
	}
	if r.open() && result.Reason == "" {
		result.Reason = activities.ReasonRunning
	}
	codes := make([]int, 0, len(r.servers)+2)
	for _, s := range r.servers {
		if s.StartTime.IsZero() { // its own workflow has not said yet
			s.StartTime = r.run.Start
		}
		s.sort()
		codes = append(codes, s.Result)
	}
	if len(r.archives) > 0 {
		codes = append(codes, result.Decompress.Result)
	}
	if result.Reason != "" {
		codes = append(codes, r.standing(result.Reason))
	}
	result.Result = foldCodes(codes)
	result.Decompress.finish(r.run.Kind == catalog.KindDecompress, result)
	return result
}

// open reports that the run has not closed its account.
func (r *report) open() bool { return r.run.End.IsZero() }

// standing is what a run that did not come to its end by itself counts as, beside its servers and archives: one that was cancelled is no success
// however well it went until then.
func (r *report) standing(reason string) int {
	switch {
	case !r.open():
		return r.run.Result
	case reason == activities.ReasonRunning:
		return activities.Partial
	default:
		return activities.Failed
	}
}

// sort makes the order of the lists independent of how they came.
func (s *serverResult) sort() {
	slices.SortFunc(s.Files, func(a, b fileResult) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Path, b.Path)) })
	byName := func(a, b issueResult) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Detail, b.Detail))
	}
	slices.SortFunc(s.Refused, byName)
	slices.SortFunc(s.Failed, byName)
}

// foldCodes: 0 when all are 0, 1 when all are 1, else 2.
func foldCodes(codes []int) int {
	good, bad := 0, 0
	for _, code := range codes {
		switch code {
		case activities.Success:
			good++
		case activities.Failed:
			bad++
		}
	}
	switch len(codes) {
	case good:
		return activities.Success
	case bad:
		return activities.Failed
	default:
		return activities.Partial
	}
}

func (r *report) decompress() *decompressResult {
	d := &decompressResult{Total: len(r.archives), Archives: r.archives}
	codes := make([]int, 0, len(r.archives))
	for _, a := range r.archives {
		codes = append(codes, a.Result)
		if a.Result == activities.Success {
			d.Succeeded++
		}
	}
	d.Result = foldCodes(codes)
	return d
}

// finish gives a decompression of its own what a collect run has at the top.
func (d *decompressResult) finish(own bool, run runResult) {
	if own {
		d.Run, d.Result, d.Reason, d.StartTime, d.EndTime = run.Run, run.Result, run.Reason, run.StartTime, run.EndTime
	}
}

func (r *report) lastEnd() time.Time {
	end := r.run.End
	for _, s := range r.servers {
		if s.EndTime.After(end) {
			end = s.EndTime
		}
	}
	for _, a := range r.archives {
		if a.EndTime.After(end) {
			end = a.EndTime
		}
	}
	return end
}

func (r runResult) own() bool { return r.Decompress.Run != "" }

func (r runResult) code() int { return r.Result }
