package activities

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/afero"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"talon/config"
	"talon/internal/archive"
	"talon/internal/catalog"
	"talon/internal/devstack"
	"talon/internal/ftpclient"
	"talon/internal/ftpclient/ftptest"
	"talon/internal/warehouse"
)

const (
	branch   = "branch-001"
	password = "correct horse battery staple"
	run1     = "collect/monday"
	run2     = "collect/tuesday"
)

// written is when the branch's files were written, unless a test says otherwise.
var written = time.Date(2026, time.June, 30, 18, 0, 7, 0, time.UTC)

// site is both roles on one host, and a branch with an FTP server.
type site struct {
	t      *testing.T
	remote string // the directory that is collected, as it lies on the branch's disk
	ftp    *devstack.FTPServer
	config *config.Config
	tiger  *Tiger
	eagle  *Eagle

	ctx        context.Context                  // of attempts; tests cancel it
	checkpoint *Checkpoint                      // of the attempt before, if any
	onBeat     func(Checkpoint)                 // heartbeats
	onChange   func(command, path string) error // the branch is about to delete or rename a file
	mu         sync.Mutex
	onRetrieve func(data io.Reader) (io.Reader, error)
}

// newSite starts a branch with an empty directory /outgoing. settings are more keys of its server in flow style (", min_age: 1h"), more is
// further text of the configuration. Sites share nothing, so their tests run in parallel: most of their time they wait for the disk.
func newSite(t *testing.T, settings, more string) *site {
	t.Helper()
	t.Parallel()
	s := &site{t: t, ctx: context.Background()}
	served := t.TempDir()
	s.remote = filepath.Join(served, "outgoing")
	require.NoError(t, os.Mkdir(s.remote, 0o755))
	var err error
	s.ftp, err = devstack.StartFTP(devstack.FTPOptions{
		Users: map[string]string{"collector": password}, OnRetrieve: s.retrieve,
		FS: branchDisk{Fs: afero.NewBasePathFs(afero.NewOsFs(), served), site: s},
	})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.ftp.Stop()) })
	s.configure(s.ftp.Port(), settings, more)
	return s
}

// newScripted is newSite with a branch whose FTP server misbehaves as the test tells it to.
func newScripted(t *testing.T, options ftptest.Options, settings string) (*site, *ftptest.Server) {
	t.Helper()
	t.Parallel()
	options.User, options.Password = "collector", password
	scripted, err := ftptest.Start(options)
	require.NoError(t, err)
	t.Cleanup(scripted.Stop)
	scripted.Mkdir("/outgoing")
	s := &site{t: t, ctx: context.Background()}
	s.configure(scripted.Port(), settings, "")
	return s, scripted
}

func (s *site) configure(port int, settings, more string) {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), "talon.yaml")
	text := fmt.Sprintf("servers:\n  %s: {host: 127.0.0.1, port: %d, user: collector, password: %q, path: /outgoing%s}\n%s",
		branch, port, password, settings, more)
	require.NoError(s.t, os.WriteFile(file, []byte(text), 0o600))
	var err error
	s.config, err = config.Load(file)
	require.NoError(s.t, err)
	s.open()
}

// open opens what a worker opens.
func (s *site) open() {
	house, err := warehouse.Open(s.config.Warehouse.Root)
	require.NoError(s.t, err)
	book, err := catalog.Open(s.t.Context(), house.CatalogFile())
	require.NoError(s.t, err)
	pool := ftpclient.NewPool(4, 0)
	s.t.Cleanup(func() {
		pool.Close()
		assert.NoError(s.t, book.Close())
		assert.NoError(s.t, house.Close())
	})
	s.tiger = &Tiger{Config: s.config, Pool: pool, Warehouse: house, Catalog: book, Boot: "boot-1"}
	s.tiger.running = func(context.Context, string) (bool, error) { return true, nil } // there is no Temporal to ask; see idle
	s.eagle = &Eagle{Config: s.config, Exchange: SharedDisk{house}, Extractor: inProcess(archive.Extract), Host: "eagle-1", Boot: "boot-1"}
}

// inProcess is an Extractor without children, or any other function.
type inProcess func(context.Context, archive.Request) (archive.Report, error)

func (f inProcess) Extract(ctx context.Context, request archive.Request) (archive.Report, error) {
	return f(ctx, request)
}

// set changes the branch's entry in the configuration.
func (s *site) set(change func(*config.Server)) {
	server := s.config.Servers[branch]
	change(&server)
	s.config.Servers[branch] = server
}

// branchDisk is the branch's disk; it tells the site what changes.
type branchDisk struct {
	afero.Fs
	site *site
}

func (d branchDisk) Remove(name string) error {
	return d.change("DELE", name, func() error { return d.Fs.Remove(name) })
}

func (d branchDisk) Rename(old, name string) error {
	return d.change("RNTO", old, func() error { return d.Fs.Rename(old, name) })
}

func (d branchDisk) change(command, name string, change func() error) error {
	if d.site.onChange != nil {
		if err := d.site.onChange(command, name); err != nil {
			return err
		}
	}
	return change()
}

func (s *site) retrieve(_ string, data io.Reader) (io.Reader, error) {
	s.mu.Lock()
	hook := s.onRetrieve
	s.mu.Unlock()
	if hook == nil {
		return data, nil
	}
	return hook(data)
}

// sending sets what the branch does with files that are fetched.
func (s *site) sending(hook func(data io.Reader) (io.Reader, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onRetrieve = hook
}

// put writes a file on the branch, at the usual time.
func (s *site) put(name, content string) {
	s.t.Helper()
	s.putAt(name, content, written)
}

func (s *site) putAt(name, content string, at time.Time) {
	s.t.Helper()
	file := filepath.Join(s.remote, name)
	require.NoError(s.t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(s.t, os.WriteFile(file, []byte(content), 0o644))
	require.NoError(s.t, os.Chtimes(file, at, at))
}

// says makes the branch's listing hold a line. (A file's name is sent as it is, even if it looks like the end of one line and the whole of
// another; the line for "." is noise.)
func (s *site) says(line string) {
	s.t.Helper()
	s.put(".\n"+line, "")
}

func (s *site) remove(name string) {
	s.t.Helper()
	require.NoError(s.t, os.Remove(filepath.Join(s.remote, name)))
}

// environment is one attempt's.
func (s *site) environment() *testsuite.TestActivityEnvironment {
	suite := &testsuite.WorkflowTestSuite{}
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := suite.NewTestActivityEnvironment()
	RegisterTiger(env, s.tiger)
	RegisterEagle(env, s.eagle)
	env.SetWorkerOptions(worker.Options{BackgroundActivityContext: s.ctx})
	if s.checkpoint != nil {
		env.SetHeartbeatDetails(*s.checkpoint)
	}
	env.SetOnActivityHeartbeatListener(func(_ *activity.Info, details converter.EncodedValues) {
		var c Checkpoint
		if assert.NoError(s.t, details.Get(&c)) && s.onBeat != nil {
			s.onBeat(c)
		}
	})
	return env
}

// attempt runs an activity as a worker does.
func attempt[In, Out any](s *site, call func(context.Context, In) (Out, error), in In) (out Out, err error) {
	s.t.Helper()
	value, err := s.environment().ExecuteActivity(call, in)
	if err != nil {
		return out, err
	}
	return out, value.Get(&out)
}

// locally runs an activity as a worker runs a local one.
func locally[In, Out any](s *site, call func(context.Context, In) (Out, error), in In) (out Out, err error) {
	s.t.Helper()
	value, err := s.environment().ExecuteLocalActivity(call, in)
	if err != nil {
		return out, err
	}
	return out, value.Get(&out)
}

// do is attempt for what must succeed.
func do[In, Out any](s *site, call func(context.Context, In) (Out, error), in In) Out {
	s.t.Helper()
	out, err := attempt(s, call, in)
	require.NoError(s.t, err)
	return out
}

// conclude runs an activity without a result, which must succeed.
func conclude[In any](s *site, call func(context.Context, In) error, in In) {
	s.t.Helper()
	_, err := s.environment().ExecuteActivity(call, in)
	require.NoError(s.t, err)
}

// list returns a run's first page.
func (s *site) list(run string) FilePage {
	s.t.Helper()
	return do(s, s.tiger.ListServer, ListInput{Run: run, Server: branch, PageFiles: 500})
}

// download fetches the files of a page.
func (s *site) download(run string, page FilePage) []FileOutcome {
	s.t.Helper()
	outcomes := make([]FileOutcome, len(page.Files))
	for i, file := range page.Files {
		fetched := do(s, s.tiger.DownloadFile, DownloadInput{Run: run, Server: branch, FileRef: file})
		outcomes[i] = FileOutcome{ID: file.ID, Download: &fetched}
	}
	return outcomes
}

// commitInput is what a workflow commits at the end of a server.
func (s *site) commitInput(run string, files []FileOutcome) CommitInput {
	return CommitInput{
		Run: run, Server: branch, ZipDir: s.tiger.Warehouse.ZipDir(), UnzipDir: s.tiger.Warehouse.UnzipDir(),
		Decompression: decompressionOf(run), Files: files, Close: &ServerEnd{Start: written},
	}
}

func decompressionOf(run string) string { return "decompress/" + run + "/" + branch }

// collect is a whole run.
func (s *site) collect(run string) CommitResult {
	s.t.Helper()
	return do(s, s.tiger.CommitServer, s.commitInput(run, s.download(run, s.list(run))))
}

// entries tells what the catalog says of every listed file of a run that is not unchanged: by path, "state" or "state reason".
func (s *site) entries(run string) map[string]string {
	s.t.Helper()
	found := map[string]string{}
	for id := int64(1); id < 1000; id++ {
		entry, err := s.tiger.Catalog.Entry(s.t.Context(), id)
		if errors.Is(err, catalog.ErrNoRow) || entry.Run != run {
			continue
		}
		require.NoError(s.t, err)
		found[entry.Path] = strings.TrimSpace(string(entry.State) + " " + entry.Reason)
	}
	return found
}

// report is the whole report of a run.
func (s *site) report(run string) ReportPage {
	s.t.Helper()
	var whole ReportPage
	for in := (ReportInput{Run: run}); ; {
		page := do(s, s.tiger.ReadReport, in)
		if page.Run != nil {
			whole.Run = page.Run
		}
		whole.Servers = append(whole.Servers, page.Servers...)
		whole.Files = append(whole.Files, page.Files...)
		whole.Issues = append(whole.Issues, page.Issues...)
		whole.Archives = append(whole.Archives, page.Archives...)
		whole.Layers = append(whole.Layers, page.Layers...)
		if in.Cursor = page.Next; in.Cursor == "" {
			return whole
		}
	}
}

// zip, unzip and stage are the files below a directory of the warehouse, by path: their contents.
func (s *site) zip() map[string]string   { return tree(s.t, s.tiger.Warehouse.ZipDir()) }
func (s *site) unzip() map[string]string { return tree(s.t, s.tiger.Warehouse.UnzipDir()) }
func (s *site) stage() map[string]string { return tree(s.t, s.tiger.Warehouse.StageDir()) }

func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(file)
		files[strings.TrimPrefix(file, dir+"/")] = string(content)
		return err
	}))
	return files
}

// requireReason checks that an activity failed for a reason, and whether it may be tried again.
func requireReason(t *testing.T, err error, reason string, final bool) {
	t.Helper()
	require.Error(t, err)
	got, detail := ReasonOf(err)
	require.Equal(t, reason, got, detail)
	require.Equal(t, final, IsFinal(err), "final")
}

func sha(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}

func deviceOf(info fs.FileInfo) uint64 { return uint64(info.Sys().(*syscall.Stat_t).Dev) }
