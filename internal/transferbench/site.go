package transferbench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"talon/activities"
	"talon/internal/pki"
)

// talonWay is how Talon does the work.
type talonWay struct {
	shared   bool // the eagle sees tiger's disk, else it has the gateway
	extracts bool // the time includes the extraction
}

// site is Talon's two hosts, at work on one case.
type site struct {
	way                 talonWay
	dir, far            string // all of it is below one of them: far has what is the eagle's
	corpus              *corpus
	versitygw           string // program
	configuration       string // file
	zipDir, unzipDir    string
	profiles, contender string // see profileIn
	tiger, eagle, door  *child // door: nil with a shared disk
	plan                []activities.Batch
	zipKey              string
}

// decompression is the only one of a site.
const decompression = "decompress/bench"

// settings are a configuration of both hosts. Limits are such that no case reaches them.
const settings = `
warehouse: {root: %[1]q}
extract: {limits: {archive_entries: 1000000, tree_entries: 1000000, file_bytes: 64GiB, tree_bytes: 64GiB, layer_time: 1h, tree_time: 1h}}
eagle: {data: "s3://stage?endpoint=%[2]s", key: {file: %[3]q}, ca: %[4]q, scratch: %[5]q}
`

// openSite starts Talon with archives in tiger's zip warehouse and their extraction planned.
func (b *bench) openSite(ctx context.Context, m *measurement, c contender, dir, far string) (_ transfer, err error) {
	s := &site{
		way: *c.talon, dir: dir, far: far, corpus: &m.corpus, profiles: b.opts.Profiles, contender: m.name + "-" + c.name, versitygw: b.versitygw,
		unzipDir: filepath.Join(dir, "warehouse", "unzip"), zipDir: filepath.Join(dir, "warehouse", "zip", "inbox"),
		configuration: filepath.Join(dir, "talon.yaml"),
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if err := s.placeArchives(); err != nil {
		return nil, err
	}
	endpoint, files, err := s.openGateway(ctx)
	if err != nil {
		return nil, err
	}
	text := fmt.Sprintf(settings, filepath.Join(dir, "warehouse"), endpoint, s.keyFile(), files.CA, filepath.Join(far, "scratch"))
	if err := os.WriteFile(s.configuration, []byte(text), 0o600); err != nil {
		return nil, err
	}
	if s.tiger, err = s.start(ctx, roleTiger, s.configuration, nil); err != nil {
		return nil, err
	}
	if err := s.openEagle(ctx); err != nil {
		return nil, err
	}
	return s, s.planAll(ctx)
}

// start starts a child with a role and has it open what it needs.
func (s *site) start(ctx context.Context, role string, setup, reply any) (*child, error) {
	started, err := startChild(role, profileIn(s.profiles, s.contender, role), os.Stderr)
	if err != nil {
		return nil, err
	}
	if err := started.call(ctx, "Open", setup, reply); err != nil {
		return nil, errors.Join(err, started.end())
	}
	return started, nil
}

func (s *site) keyFile() string { return filepath.Join(s.dir, "eagle.key") }

// placeArchives gives tiger's zip warehouse the archives.
func (s *site) placeArchives() error { return os.CopyFS(s.zipDir, os.DirFS(s.corpus.archives)) }

// openGateway starts the gateway, or only invents one if there is no use for it.
func (s *site) openGateway(ctx context.Context) (endpoint string, files pki.Files, err error) {
	if files, err = certificates(filepath.Join(s.dir, "pki"), "gateway"); err != nil {
		return "", files, err
	}
	if err := os.WriteFile(s.keyFile(), []byte("eagle:"+rand.Text()), 0o600); err != nil {
		return "", files, err
	}
	if s.way.shared {
		return "https://127.0.0.1:1", files, nil
	}
	s.door, err = s.start(ctx, roleGateway, GatewaySetup{
		Program: s.versitygw, Warehouse: filepath.Join(s.dir, "warehouse"), State: filepath.Join(s.dir, "gateway"), EagleKey: s.keyFile(),
		Cert: files.Cert, Key: files.Key,
	}, &endpoint)
	return endpoint, files, err
}

// certificates makes a certificate of a server on this host, and its authority.
func certificates(dir, name string) (pki.Files, error) {
	authority, err := pki.NewCA(filepath.Join(dir, "authority"))
	if err != nil {
		return pki.Files{}, err
	}
	return authority.IssueTo(dir, pki.Request{Name: name, Server: true, Hosts: []string{"127.0.0.1", "localhost"}})
}

// openEagle starts the eagle. What was extracted before is copied for it, as if it had just been extracted.
func (s *site) openEagle(ctx context.Context) (err error) {
	setup := EagleSetup{Config: s.configuration, Shared: s.way.shared}
	if !s.way.extracts {
		setup.Trees, setup.Reports = filepath.Join(s.far, "trees"), s.corpus.reports
		if s.way.shared {
			setup.Trees = filepath.Join(s.dir, "trees")
		}
		if err := os.CopyFS(setup.Trees, os.DirFS(s.corpus.trees)); err != nil {
			return err
		}
	}
	s.eagle, err = s.start(ctx, roleEagle, setup, nil)
	return err
}

func (s *site) planAll(ctx context.Context) error {
	in := activities.ExtractionInput{Decompression: decompression, ZipDir: s.zipDir, UnzipDir: s.unzipDir, Scan: true}
	for {
		var page activities.ExtractionPlan
		if err := s.tiger.call(ctx, "Plan", in, &page); err != nil {
			return err
		}
		s.plan, s.zipKey = append(s.plan, page.Batches...), page.ZipKey
		if in.After, in.Scan = page.Next, false; in.After == 0 {
			return nil
		}
	}
}

// run does what DecompressWorkflow does with a plan: an eagle works on as many batches as it has slots, and each is sealed when
// it has been delivered.
func (s *site) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var total activities.SealResult
	var counting sync.Mutex
	var batches sync.WaitGroup
	slots := make(chan struct{}, extractionSlots())
	for _, batch := range s.plan {
		batches.Go(func() {
			sealed, err := s.process(ctx, batch, slots)
			if err != nil {
				cancel(err)
			}
			counting.Lock()
			defer counting.Unlock()
			total.Add(sealed)
			total.Damaged = append(total.Damaged, sealed.Damaged...)
		})
	}
	batches.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	want := activities.SealResult{Succeeded: s.corpus.count, Files: len(s.corpus.tree.Files), Bytes: s.corpus.tree.Bytes}
	if got := total; len(got.Damaged) > 0 || got.Succeeded != want.Succeeded || got.Files != want.Files || got.Bytes != want.Bytes {
		return fmt.Errorf("of %d archives with %d files and %d bytes tiger has sealed %d with %d and %d", want.Succeeded, want.Files,
			want.Bytes, got.Succeeded, got.Files, got.Bytes)
	}
	return nil
}

// process takes one batch from the zip warehouse to the unzip warehouse.
func (s *site) process(ctx context.Context, batch activities.Batch, slots chan struct{}) (sealed activities.SealResult, err error) {
	slots <- struct{}{}
	var delivered activities.Deliveries
	in := activities.ExtractInput{Decompression: decompression, ZipDir: s.zipDir, ZipKey: s.zipKey, Batch: batch}
	err = s.eagle.call(ctx, "Extract", in, &delivered)
	<-slots
	if err != nil {
		return sealed, err
	}
	err = s.tiger.call(ctx, "Seal", activities.SealInput{Decompression: decompression, UnzipDir: s.unzipDir, Deliveries: delivered.Archives}, &sealed)
	return sealed, err
}

func (s *site) arrived() string { return s.unzipDir }

// durable is nothing to be done: tiger seals only what is.
func (s *site) durable() bool { return true }

// close ends all processes.
func (s *site) close() error {
	var errs []error
	if s.tiger != nil && s.eagle != nil {
		ctx, cancel := context.WithTimeout(context.Background(), childGrace)
		defer cancel()
		in := activities.CloseDecompressionInput{Decompression: decompression, Own: true, Start: time.Now()}
		errs = append(errs, s.tiger.call(ctx, "CloseDecompression", in, nil))
	}
	for _, child := range []*child{s.eagle, s.tiger, s.door} {
		if child != nil {
			errs = append(errs, child.end())
		}
	}
	return errors.Join(errs...)
}

// bundles counts the bytes of what the eagle has delivered and tiger has not sealed yet.
func (s *site) bundles() (bytes int64) {
	_ = filepath.WalkDir(filepath.Join(s.dir, "warehouse", "stage", "bundles"), func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil //nolint:nilerr // a bundle that is removed meanwhile does not count
		}
		if info, err := entry.Info(); err == nil {
			bytes += info.Size()
		}
		return nil
	})
	return bytes
}
