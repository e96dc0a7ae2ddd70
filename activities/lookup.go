package activities

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"talon/config"
	"talon/internal/catalog"
	"talon/internal/ftpclient"
)

// ServersInput asks how servers stand, page by page.
type ServersInput struct {
	Servers []string `json:"servers,omitempty"` // empty: all of the configuration
	After   string   `json:"after,omitempty"`   // "" is the first page, then ServersPage.Next
}

// ServersPage is a page of servers in the order of their names, as JSON about reportBudget bytes.
type ServersPage struct {
	Servers []ServerStatus `json:"servers"`
	Total   int            `json:"total"`          // on all pages
	Next    string         `json:"next,omitempty"` // "": this is the last page
	// Every is the interval of the configuration's schedule, and Now tiger's clock: ages are to be measured by it.
	Every time.Duration `json:"every"`
	Now   time.Time     `json:"now"`
}

// ServerStatus is how a server stands: its state in the catalog, where it is, and what is known of it. What is not known is empty.
type ServerStatus struct {
	Address string `json:"address"` // host:port
	catalog.ServerState
	// Learned is the document of the ServerState in words. Its Sessions are those that the server allowed when it last refused one more.
	Learned Learned `json:"learned,omitzero"`
}

// statesAtOnce is how many servers the catalog is asked about in one query.
const statesAtOnce = 200

// ReadServers returns a page of servers and how they stand; names that are not in the configuration are refused (UnknownServer).
func (t *Tiger) ReadServers(ctx context.Context, in ServersInput) (ServersPage, error) {
	names, err := t.serverNames(PlanInput{Servers: in.Servers})
	if err != nil {
		return ServersPage{}, err
	}
	page := ServersPage{Total: len(names), Every: t.Config.Schedule.Every, Now: time.Now()}
	left := reportBudget
	for names := range slices.Chunk(namesAfter(names, in.After), statesAtOnce) {
		states, err := t.Catalog.ServerStates(ctx, names)
		if err != nil {
			return ServersPage{}, Classify(err)
		}
		for _, state := range states {
			status := t.status(state)
			document, err := json.Marshal(status)
			if err != nil {
				return ServersPage{}, Classify(err)
			}
			if left -= len(document) + len(","); left < 0 && len(page.Servers) > 0 {
				page.Next = page.Servers[len(page.Servers)-1].Server
				return page, nil
			}
			page.Servers = append(page.Servers, status)
		}
	}
	return page, nil
}

// namesAfter returns the part of sorted names that follows one.
func namesAfter(names []string, after string) []string {
	first, found := slices.BinarySearch(names, after)
	if found {
		first++
	}
	return names[first:]
}

func (t *Tiger) status(state catalog.ServerState) ServerStatus {
	server := t.Config.Servers[state.Server]
	var known ftpclient.Behaviour
	if json.Unmarshal(state.Learned, &known) != nil { // nothing, or what another Talon wrote
		known = ftpclient.Behaviour{}
	}
	listing := ""
	if !state.LastSuccess.IsZero() { // it has been listed, over a data connection
		listing = "MLSD"
		if known.Listing == ftpclient.ListingLIST || server.Listing == config.ListingLIST {
			listing = "LIST"
		}
	}
	status := ServerStatus{Address: net.JoinHostPort(server.Host, strconv.Itoa(server.Port)), ServerState: state}
	status.ServerState.Learned = nil
	status.Learned.know(known, server.Passive == config.PassivePASV, listing)
	status.Learned.Sessions = known.Sessions
	return status
}

// RunsInput asks for the latest runs, page by page.
type RunsInput struct {
	catalog.RunsQuery
	Limit  int    `json:"limit"`            // of a page
	Cursor string `json:"cursor,omitempty"` // "" is the first page, then RunsPage.Next
}

// RunsPage is a page of runs, the latest first, as JSON about reportBudget bytes.
type RunsPage struct {
	catalog.RunsPage
	Now time.Time `json:"now"` // by tiger's clock
}

// ReadRuns returns a page of runs. A server that is neither in the configuration nor in any run asked for is refused (UnknownServer).
func (t *Tiger) ReadRuns(ctx context.Context, in RunsInput) (RunsPage, error) {
	page, err := t.Catalog.Runs(ctx, in.RunsQuery, in.Cursor, in.Limit, reportBudget)
	if err != nil {
		return RunsPage{}, Classify(err)
	}
	if in.Cursor == "" && len(page.Runs) == 0 {
		if err := t.knows(in.Server); err != nil {
			return RunsPage{}, err
		}
	}
	return RunsPage{RunsPage: page, Now: time.Now()}, nil
}

// knows refuses the name of a server that is not in the configuration. Of one that was taken out of it the catalog may know all the same, so this
// is asked only where that knows nothing.
func (t *Tiger) knows(server string) error {
	if _, ok := t.Config.Servers[server]; ok || server == "" {
		return nil
	}
	return refuse(UnknownServer, UnknownServerMessage(t.Config, server))
}

// FilesInput asks for files, page by page.
type FilesInput struct {
	catalog.FilesQuery
	// File is the path of a collected or of an extracted file, absolute or relative to the unzip or the zip warehouse. Nothing else matters then.
	File   string `json:"file,omitempty"`
	Limit  int    `json:"limit"`            // of a page
	Cursor string `json:"cursor,omitempty"` // "" is the first page, then FilesPage.Next
}

// FilesPage is a page of files, as JSON about reportBudget bytes. It may hold few or none and yet have a Next: looking for them took long.
type FilesPage struct {
	Findings []FoundFile `json:"findings"`
	Next     string      `json:"next,omitempty"`   // "": there are no more
	Reached  time.Time   `json:"reached,omitzero"` // back to which run they were looked for, where there is a Next
}

// FoundFile is a finding of the catalog, beside what is on tiger's disk.
type FoundFile struct {
	catalog.Fate
	Line string `json:"line,omitempty"` // of the listing, decoded
	// Gone and ExtractedGone say that nothing lies at the path of the collected, and of the extracted file.
	Gone          bool `json:"gone,omitempty"`
	ExtractedGone bool `json:"extracted_gone,omitempty"`
}

// filesPatience is how long a page is looked for: what reads years of rows must not look like a worker that died.
const filesPatience = 5 * time.Second

// ReadFiles returns a page of files: what became of remote files in the runs that had to do with them, and where extracted files come from. A
// query that makes no sense is refused (BadQuestion), a server that nobody knows, too (UnknownServer).
func (t *Tiger) ReadFiles(ctx context.Context, in FilesInput) (FilesPage, error) {
	switch {
	case in.File == "":
	case path.IsAbs(in.File):
		in.Places = []string{in.File}
	default:
		in.Places = []string{path.Join(t.Warehouse.UnzipDir(), in.File), path.Join(t.Warehouse.ZipDir(), in.File)}
	}
	found, err := t.Catalog.Files(ctx, in.FilesQuery, in.Cursor, catalog.PageLimit{Rows: in.Limit, Bytes: reportBudget, Time: filesPatience})
	if err != nil {
		return FilesPage{}, Classify(err)
	}
	if in.Cursor == "" && len(found.Findings) == 0 && found.Next == "" {
		if err := t.knows(in.Server); err != nil {
			return FilesPage{}, err
		}
	}
	page := FilesPage{Findings: []FoundFile{}, Next: found.Next, Reached: found.Reached}
	for _, f := range found.Findings {
		page.Findings = append(page.Findings, t.onDisk(f))
	}
	return page, nil
}

// onDisk adds to a finding what the catalog does not know.
func (t *Tiger) onDisk(f catalog.Fate) FoundFile {
	found := FoundFile{Fate: f}
	found.Fate.Line = nil
	decoded, _ := ftpclient.Decode(t.Config.Servers[f.Server].Encoding, string(f.Line))
	found.Line = strings.ToValidUTF8(decoded, "\uFFFD")
	found.Gone = f.File != nil && isGone(f.File.Path)
	found.ExtractedGone = f.Member != nil && isGone(f.Member.Path)
	return found
}

func isGone(name string) bool {
	_, err := os.Lstat(name)
	return errors.Is(err, fs.ErrNotExist)
}
