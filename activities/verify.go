package activities

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"

	"talon/internal/catalog"
	"talon/internal/warehouse"
)

// Bounds of a page of a verification, and of what an attempt may have to read twice.
const (
	verifyPageFiles = 20_000
	verifyPageTime  = 5 * time.Minute
	verifyBatch     = 128
	verifyBytes     = 256 << 20
	// verifyAtOnce files are read at a time: enough to keep a disk busy, few enough to leave it to others.
	verifyAtOnce = 4
)

// Phases of a verification, in their order.
const (
	phaseZip = iota
	phaseUnzip
	phaseZipStrays
	phaseUnzipStrays
	phaseStuck
	phaseEnd
)

// VerifyFiles compares a page of what the catalog says to lie in the warehouses with what lies there, and looks for what it does not know. Nothing
// is changed. What is found goes into the catalog before the checkpoint says so: another attempt goes on there, and counts nothing twice.
func (t *Tiger) VerifyFiles(ctx context.Context, in VerifyInput) (VerifyPage, error) {
	if at := in.From; at.Phase == 0 && at.ID == 0 && len(at.Path) == 0 { // the first page
		if err := t.haveServers(ctx, in.Servers); err != nil {
			return VerifyPage{}, err
		}
	}
	page := VerifyPage{Next: in.From, SearchAttributes: t.SearchAttributes}
	last := lastCheckpoint(ctx)
	if last.Verified != nil {
		page = *last.Verified
	}
	beat := startProgress(ctx, last)
	defer beat.stop()
	v := &verifier{Tiger: t, in: in, page: page, beat: beat, pace: newPace(in.Rate), roots: map[string]*os.Root{}, barred: map[string]error{}}
	defer v.close()
	err := v.run(ctx)
	return v.page, Classify(err)
}

// haveServers refuses names that neither the configuration nor the catalog knows: a slip of the keyboard must not pass for a clean bill.
func (t *Tiger) haveServers(ctx context.Context, names []string) error {
	if len(names) == 0 {
		return nil
	}
	states, err := t.Catalog.ServerStates(ctx, names)
	if err != nil {
		return Classify(err)
	}
	var unknown []string
	for _, state := range states {
		if _, configured := t.Config.Servers[state.Server]; !configured && state.Run == "" && state.Latest == "" {
			unknown = append(unknown, UnknownServerMessage(t.Config, state.Server))
		}
	}
	if len(unknown) > 0 {
		return refuse(UnknownServer, strings.Join(unknown, "; "))
	}
	return nil
}

// verifier is one attempt at a page of a verification.
type verifier struct {
	*Tiger
	in     VerifyInput
	page   VerifyPage
	beat   *progress
	pace   *pace
	seen   int // files that this attempt has looked at
	roots  map[string]*os.Root
	barred map[string]error // directories that are there, as far as is known, and cannot be opened
	worked map[string]bool  // servers that a workflow is, or was lately, at work on
}

func (v *verifier) close() {
	for _, root := range v.roots {
		if root != nil {
			_ = root.Close()
		}
	}
}

func (v *verifier) run(ctx context.Context) error {
	if v.page.Next.isZero() && v.page.Total == 0 {
		if err := v.count(ctx); err != nil {
			return err
		}
	}
	for began := time.Now(); v.seen < verifyPageFiles && time.Since(began) < verifyPageTime; {
		if err := v.step(ctx); err != nil {
			return err
		}
		if v.page.Next.Phase == phaseEnd {
			v.page.Done = true
			return nil
		}
		v.beat.verified(ctx, v.page)
	}
	return nil
}

func (c VerifyCursor) isZero() bool { return c.Phase == 0 && c.ID == 0 && len(c.Path) == 0 }

func (v *verifier) count(ctx context.Context) error {
	for _, area := range []string{AreaZip, AreaUnzip} {
		if v.in.Area != "" && v.in.Area != area {
			continue
		}
		n, err := v.Catalog.CountKept(ctx, v.in.Scope, area)
		if err != nil {
			return err
		}
		v.page.Total += n
	}
	return nil
}

// step does the next batch, or goes on to the next phase.
func (v *verifier) step(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	phase := v.page.Next.Phase
	zip := phase == phaseZip || phase == phaseZipStrays
	skip := zip && v.in.Area == AreaUnzip || !zip && phase != phaseStuck && v.in.Area == AreaZip
	var more bool
	var err error
	switch {
	case skip:
	case phase == phaseZip || phase == phaseUnzip:
		more, err = v.checkBatch(ctx)
	case phase == phaseZipStrays:
		more, err = v.strays(ctx, AreaZip, v.Warehouse.ZipDir())
	case phase == phaseUnzipStrays:
		more, err = v.strays(ctx, AreaUnzip, v.Warehouse.UnzipDir())
	case phase == phaseStuck:
		err = v.stuck(ctx)
	}
	if err == nil && !more {
		v.page.Next = VerifyCursor{Phase: phase + 1}
	}
	return err
}

// nextKept returns the files of the next batch, whose sizes add up to about verifyBytes at most.
func (v *verifier) nextKept(ctx context.Context) ([]catalog.Kept, error) {
	at := v.page.Next
	var kept []catalog.Kept
	var err error
	if at.Phase == phaseZip {
		kept, err = v.Catalog.KeptFiles(ctx, v.in.Scope, at.ID, verifyBatch)
	} else {
		kept, err = v.Catalog.KeptMembers(ctx, v.in.Scope, at.ID, string(at.Path), verifyBatch)
	}
	var bytes int64
	for i, file := range kept {
		if bytes += file.Size; bytes > verifyBytes {
			return kept[:max(i, 1)], err
		}
	}
	return kept, err
}

// checkBatch checks the next batch of what the catalog knows.
func (v *verifier) checkBatch(ctx context.Context) (more bool, err error) {
	kept, err := v.nextKept(ctx)
	if err != nil || len(kept) == 0 {
		return false, err
	}
	found, counts, err := v.checkAll(ctx, kept)
	if err == nil {
		err = v.Catalog.AddFindings(ctx, v.in.Verification, found)
	}
	if err != nil {
		return false, err
	}
	v.seen += len(kept)
	v.page.Counts.Add(counts)
	last := kept[len(kept)-1]
	v.page.Next.ID, v.page.Next.Path = last.FileID, nil
	if last.ArchiveID != 0 {
		v.page.Next.ID = last.ArchiveID
		v.page.Next.Path = []byte(last.Member)
	}
	return true, nil
}

// verdict is what the check of a file came to. Neither intact nor found: it was removed or put elsewhere since the catalog was asked.
type verdict struct {
	intact bool
	found  *Finding
	err    error
}

// checkAll compares files with what they are to hold, several at a time.
func (v *verifier) checkAll(ctx context.Context, kept []catalog.Kept) (found []Finding, counts VerifyCounts, err error) {
	verdicts := make([]verdict, len(kept))
	for _, file := range kept { // before they are used at once
		v.root(file.Dir)
	}
	next := make(chan int)
	var readers sync.WaitGroup
	for range verifyAtOnce {
		readers.Go(func() {
			for i := range next {
				verdicts[i] = v.check(ctx, kept[i])
			}
		})
	}
	for i := range kept {
		next <- i
	}
	close(next)
	readers.Wait()
	for i, verdict := range verdicts {
		err = errors.Join(err, verdict.err)
		switch {
		case verdict.intact:
			counts.Add(VerifyCounts{Checked: 1, Intact: 1, Bytes: kept[i].Size})
		case verdict.found != nil:
			counts.Add(countOf(verdict.found.Kind))
			found = append(found, *verdict.found)
		}
	}
	return found, counts, err
}

// countOf counts a file that was checked and found not to be intact.
func countOf(kind string) VerifyCounts {
	switch kind {
	case catalog.FoundDamaged:
		return VerifyCounts{Checked: 1, Damaged: 1}
	case catalog.FoundMissing:
		return VerifyCounts{Checked: 1, Missing: 1}
	default:
		return VerifyCounts{Checked: 1, Unreadable: 1}
	}
}

// check compares one file.
func (v *verifier) check(ctx context.Context, file catalog.Kept) verdict {
	f := &Finding{Area: AreaZip, Server: file.Server, Dir: file.Dir, Path: file.Path, FileID: file.FileID, ArchiveID: file.ArchiveID}
	if file.ArchiveID != 0 {
		f.Area = AreaUnzip
	}
	condition, detail := warehouse.Missing, ""
	if barred := v.barred[file.Dir]; barred != nil {
		condition, detail = warehouse.Unreadable, barred.Error()
	}
	if root := v.roots[file.Dir]; root != nil {
		var err error
		condition, detail, err = warehouse.Inspect(ctx, root, file.Path, warehouse.Identity{Size: file.Size, SHA256: file.SHA256}, v.take)
		if err != nil {
			return verdict{err: err}
		}
	}
	if condition == warehouse.Intact {
		return verdict{intact: true}
	}
	if still, err := v.Catalog.StillKept(ctx, file); err != nil || !still {
		return verdict{err: err}
	}
	f.Kind, f.Detail = string(condition), detail
	return verdict{found: f}
}

// take keeps to the rate, and shows that the work moves.
func (v *verifier) take(ctx context.Context, bytes int) error {
	err := v.pace.wait(ctx, bytes)
	v.beat.bytes(v.pace.total())
	return err
}

// root opens a directory that files lie in; nil if that is not possible, because it is not there, say.
func (v *verifier) root(dir string) *os.Root {
	root, ok := v.roots[dir]
	if !ok {
		var err error
		if root, err = os.OpenRoot(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			v.barred[dir] = err
		}
		v.roots[dir] = root
	}
	return root
}

var errEnough = errors.New("enough for one step")

// strays looks through a part of a warehouse for files that the catalog does not know.
func (v *verifier) strays(ctx context.Context, area, dir string) (more bool, err error) {
	root := v.root(dir)
	if root == nil {
		return false, nil
	}
	v.worked = map[string]bool{} // asked anew with each step
	var found []Finding
	counts, at, looked := VerifyCounts{}, v.page.Next.Path, 0
	err = warehouse.WalkAfter(root, string(at), func(name string, info fs.FileInfo, err error) error {
		if looked == 8*verifyBatch {
			return errEnough
		}
		looked++
		if err := ctx.Err(); err != nil {
			return err
		}
		f, err := v.stray(ctx, area, dir, name, info, err, &counts)
		if f != nil {
			found = append(found, *f)
		}
		if name != "." { // the warehouse itself, which cannot be read: then there is nothing to go on with
			at = []byte(name)
		}
		return err
	})
	if err != nil && !errors.Is(err, errEnough) {
		return false, err
	}
	if err := v.Catalog.AddFindings(ctx, v.in.Verification, found); err != nil {
		return false, err
	}
	v.seen += looked
	v.page.Counts.Add(counts)
	v.page.Next.Path = at
	v.beat.bytes(v.pace.total())
	return errors.Is(err, errEnough), nil
}

// stray judges what lies in a warehouse: nil if the catalog knows it.
func (v *verifier) stray(ctx context.Context, area, dir, name string, info fs.FileInfo, broken error, counts *VerifyCounts) (*Finding, error) {
	server, _, _ := strings.Cut(name, "/")
	if len(v.in.Servers) > 0 && !slices.Contains(v.in.Servers, server) {
		return nil, nil
	}
	f := &Finding{Area: area, Kind: catalog.FoundUnknown, Server: server, Dir: dir, Path: name}
	if broken != nil {
		counts.Unknown++
		f.Detail = "what is there cannot be told: " + broken.Error()
		return f, nil
	}
	_, aside := warehouse.IsAside(name)
	if !aside && warehouse.Changed(info).Before(v.in.Since) {
		return nil, nil
	}
	known, err := v.Catalog.Owns(ctx, area, dir, name)
	if err != nil || known {
		return nil, err
	}
	if aside {
		counts.Aside++
		return nil, nil
	}
	busy, err := v.workedOn(ctx, area, server)
	if err != nil {
		return nil, err
	}
	// Once more: what published it may have written the catalog in the meantime, and ended.
	if known, err = v.Catalog.Owns(ctx, area, dir, name); err != nil || known {
		return nil, err
	}
	if busy {
		counts.Unsettled++
		return nil, nil
	}
	counts.Unknown++
	f.Detail = fmt.Sprintf("%d bytes of %s", info.Size(), info.ModTime().UTC().Format(time.RFC3339))
	if !info.Mode().IsRegular() {
		f.Detail = "no regular file (" + info.Mode().String() + ")"
	}
	return f, nil
}

// workedOn tells whether files of the server may be visible that the catalog does not know yet: they are published first. The answer must be later
// than the sight of the file, so that it is kept only if it is yes.
func (v *verifier) workedOn(ctx context.Context, area, server string) (bool, error) {
	if v.worked[area+server] {
		return true, nil
	}
	var busy bool
	var err error
	if area == AreaZip {
		busy, err = v.isRunning(ctx, serverWorkflow+server)
	} else {
		busy, err = v.Catalog.Extracting(ctx, server)
	}
	v.worked[area+server] = busy
	return busy, err
}

// serverWorkflow begins the ID of the workflow that holds a server (workflows.ServerID).
const serverWorkflow = "server/"

// isRunning asks Temporal whether a workflow is running.
func (t *Tiger) isRunning(ctx context.Context, id string) (bool, error) {
	if t.running != nil {
		return t.running(ctx, id)
	}
	answer, err := activity.GetClient(ctx).DescribeWorkflowExecution(ctx, id, "")
	if errors.As(err, new(*serviceerror.NotFound)) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return answer.GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, nil
}

// stuck finds archives that wait for a decompression that is not running any more.
func (v *verifier) stuck(ctx context.Context) error {
	decompressions, err := v.Catalog.OpenDecompressions(ctx)
	if err != nil {
		return err
	}
	for _, id := range decompressions {
		if err := v.stuckIn(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

func (v *verifier) stuckIn(ctx context.Context, decompression string) error {
	pending, err := v.Catalog.PendingArchives(ctx, decompression, 0, 1)
	if err != nil || len(pending) == 0 {
		return err
	}
	if running, err := v.awaited(ctx, decompression, pending[0].Run); err != nil || running {
		return err
	}
	for after := int64(0); ; {
		pending, err := v.Catalog.PendingArchives(ctx, decompression, after, verifyBatch)
		if err != nil || len(pending) == 0 {
			return err
		}
		var found []Finding
		for _, a := range pending {
			after = a.ID
			if len(v.in.Servers) > 0 && !slices.Contains(v.in.Servers, a.Server) {
				continue
			}
			found = append(found, Finding{
				Area: AreaUnzip, Kind: catalog.FoundStuck, Server: a.Server, Dir: a.ZipDir, Path: a.Path, ArchiveID: a.ID,
				Detail: "it waits for " + decompression + ", which is not running",
			})
		}
		if err := v.Catalog.AddFindings(ctx, v.in.Verification, found); err != nil {
			return err
		}
		v.page.Counts.Stuck += len(found)
	}
}

// awaited tells whether a decompression is running, or may still be started by what collects the server.
func (t *Tiger) awaited(ctx context.Context, decompression, run string) (bool, error) {
	running, err := t.isRunning(ctx, decompression)
	if err != nil || running || run == "" {
		return running, err
	}
	server := path.Base(decompression)
	if i := strings.Index(decompression, strings.TrimPrefix(run, "collect/")+"/"); i >= 0 {
		server, _, _ = strings.Cut(decompression[i+len(strings.TrimPrefix(run, "collect/"))+1:], "/")
	}
	if running, err = t.isRunning(ctx, serverWorkflow+server); err != nil || running {
		return running, err
	}
	return t.isRunning(ctx, decompression) // it was started, and the server's workflow ended, in between
}

// ReadFindings returns a page of what a verification found.
func (t *Tiger) ReadFindings(ctx context.Context, in FindingsInput) (FindingsPage, error) {
	found, err := t.Catalog.Findings(ctx, in.Verification, in.After, maxForgotten+1)
	if err != nil {
		return FindingsPage{}, Classify(err)
	}
	page := FindingsPage{Findings: []Finding{}}
	bytes := 0
	for _, f := range found {
		bytes += len(f.Dir) + len(f.Path) + len(f.Detail) + len(f.Done) + len(f.Aside) + len(f.Server) + 200
		if len(page.Findings) == maxForgotten || len(page.Findings) > 0 && bytes > reportBudget {
			page.More = true
			break
		}
		page.Findings = append(page.Findings, printableFinding(f))
	}
	return page, nil
}

// printableFinding is a finding as JSON can carry it: names on disk need not be UTF-8.
func printableFinding(f Finding) Finding {
	for _, text := range []*string{&f.Path, &f.Detail, &f.Aside} {
		*text = strings.ToValidUTF8(*text, "�")
	}
	return f
}
