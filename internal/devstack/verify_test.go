package devstack

import (
	"encoding/json"
	"maps"
	"os"
	"path"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// perfectRun is a warehouse and a result that deserve no complaint. Tests spoil one thing in it.
type perfectRun struct {
	root     string
	branches []Branch
	result   map[string]any
}

func (p *perfectRun) server(name string) map[string]any {
	return p.result["servers"].(map[string]any)[name].(map[string]any)
}

func (p *perfectRun) decompress() map[string]any { return p.result["decompress"].(map[string]any) }

func (p *perfectRun) archives() map[string]any { return p.decompress()["archives"].(map[string]any) }

func (p *perfectRun) file(elements ...string) string {
	return filepath.Join(append([]string{p.root}, elements...)...)
}

func (p *perfectRun) verify(t *testing.T) error {
	t.Helper()
	document, err := json.Marshal(p.result)
	require.NoError(t, err)
	return Verify(p.root, p.branches, document)
}

func testBranches() []Branch {
	branches := []Branch{
		{Name: "good"}, {Name: "empty"}, {Name: "broken"}, {Name: "locked", Fault: WrongPassword}, {Name: "gone", Fault: Down},
	}
	contents := map[string][]item{
		"good": {
			document{"日报/a.csv", []byte("a")},
			packed{"b", ".zip", []item{
				document{"x.txt", []byte("x")},
				packed{"in/c", ".tar.gz", []item{document{"y.txt", []byte("y")}}},
			}},
		},
		"broken": {cutShort{packed{"d", ".zip", []item{document{"z.txt", []byte("z")}}}}},
		"locked": {document{"e.csv", []byte("e")}},
	}
	for i := range branches {
		branches[i].Expect = Expectation{Files: map[string]string{}, Archives: map[string]ArchiveExpectation{}}
		branches[i].serve(contents[branches[i].Name])
		branches[i].applyFault()
	}
	return branches
}

func newPerfectRun(t *testing.T) *perfectRun {
	t.Helper()
	p := &perfectRun{root: t.TempDir(), branches: testBranches()}
	servers, archives := map[string]any{}, map[string]any{}
	for _, b := range p.branches {
		server := map[string]any{"result": b.Expect.Result, "reason": b.Expect.Reason}
		if b.Fault == Healthy {
			var files []any
			total := 0
			for _, file := range b.Files {
				p.write(t, path.Join("zip", b.Name, file.Path), file.Data)
				total += len(file.Data)
				files = append(files, map[string]any{
					"name": file.Path, "size": len(file.Data), "sha256": hexSHA256(file.Data),
				})
			}
			maps.Copy(server, map[string]any{
				"number_of_files": len(files), "listed": len(files), "files": files, "bytes": total, "refused": []any{},
			})
		}
		servers[b.Name] = server
		for name, archive := range b.Expect.Archives {
			archives[path.Join(b.Name, name)] = map[string]any{"result": archive.Result, "received": archive.Received}
		}
	}
	p.write(t, "unzip/good/b/x.txt", []byte("x"))
	p.write(t, "unzip/good/b/in/c/y.txt", []byte("y"))
	p.result = map[string]any{
		"run": "r", "result": 2, "servers": servers,
		"decompress": map[string]any{"result": 2, "total": 2, "succeeded": 1, "archives": archives},
	}
	return p
}

func (p *perfectRun) write(t *testing.T, name string, data []byte) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(p.file(name)), 0o755))
	require.NoError(t, os.WriteFile(p.file(name), data, 0o644))
}

func TestVerifyIsContentWithAPerfectRun(t *testing.T) {
	assert.NoError(t, newPerfectRun(t).verify(t))
}

func TestVerifyFindsEachDeviation(t *testing.T) {
	spoilt := map[string]struct {
		spoil func(*testing.T, *perfectRun)
		says  string
	}{
		"a collected file is missing": {func(t *testing.T, p *perfectRun) {
			require.NoError(t, os.Remove(p.file("zip/good/日报/a.csv")))
		}, "zip/good/日报/a.csv is missing"},
		"a collected file has other contents": {func(t *testing.T, p *perfectRun) {
			p.write(t, "zip/good/b.zip", []byte("half"))
		}, "zip/good/b.zip is not the expected file"},
		"a file too many in zip": {func(t *testing.T, p *perfectRun) {
			p.write(t, "zip/locked/e.csv", []byte("e"))
		}, "zip/locked/e.csv should not be there"},
		"a link instead of a file": {func(t *testing.T, p *perfectRun) {
			require.NoError(t, os.Rename(p.file("zip/good/b.zip"), p.file("b.zip")))
			require.NoError(t, os.Symlink(p.file("b.zip"), p.file("zip/good/b.zip")))
		}, "zip/good/b.zip is not the expected file"},
		"no unzip warehouse": {func(t *testing.T, p *perfectRun) {
			require.NoError(t, os.RemoveAll(p.file("unzip")))
		}, "unzip/good/b/in/c/y.txt is missing"},
		"an extracted file has other contents": {func(t *testing.T, p *perfectRun) {
			p.write(t, "unzip/good/b/x.txt", nil)
		}, "unzip/good/b/x.txt is not the expected file"},
		"a file too many in unzip": {func(t *testing.T, p *perfectRun) {
			p.write(t, "unzip/broken/d/z.txt", []byte("z"))
		}, "unzip/broken/d/z.txt should not be there"},
		"the run's result": {func(_ *testing.T, p *perfectRun) { p.result["result"] = 0 }, "the run's result is 0, not 2"},
		"a server is missing": {func(_ *testing.T, p *perfectRun) {
			delete(p.result["servers"].(map[string]any), "gone")
		}, "gone is not in the result"},
		"a server too many": {func(_ *testing.T, p *perfectRun) {
			p.result["servers"].(map[string]any)["stranger"] = map[string]any{}
		}, "the result has 6 servers"},
		"a wrong reason": {func(_ *testing.T, p *perfectRun) {
			p.server("gone")["reason"] = reasonLoginRefused
		}, "gone: reason is login_refused, not server_unreachable"},
		"a wrong code": {func(_ *testing.T, p *perfectRun) { p.server("locked")["result"] = 0 }, "locked: result is 0, not 1"},
		"books that do not balance": {func(_ *testing.T, p *perfectRun) {
			p.server("good")["refused"] = []any{map[string]any{"name": "f"}}
		}, "good: books"},
		"unchanged in a first run": {func(_ *testing.T, p *perfectRun) {
			maps.Copy(p.server("good"), map[string]any{"unchanged": 1, "listed": 3})
		}, "good: listed is 3, not 2"},
		"wrong bytes": {func(_ *testing.T, p *perfectRun) { p.server("good")["bytes"] = 1 }, "good: bytes is 1"},
		"a wrong sum in the result": {func(_ *testing.T, p *perfectRun) {
			p.server("good")["files"].([]any)[0].(map[string]any)["sha256"] = "00"
		}, "good: SHA-256 of 日报/a.csv"},
		"a file the branch does not have": {func(_ *testing.T, p *perfectRun) {
			p.server("good")["files"].([]any)[0].(map[string]any)["name"] = "ghost"
		}, `"ghost"`},
		"an archive is missing": {func(_ *testing.T, p *perfectRun) {
			delete(p.archives(), "good/b.zip")
		}, "archive good/b.zip is not in the result"},
		"an archive too many": {func(_ *testing.T, p *perfectRun) {
			p.archives()["good/日报/a.csv"] = map[string]any{}
		}, "good/日报/a.csv is in the result as an archive"},
		"a corrupt archive that succeeded": {func(_ *testing.T, p *perfectRun) {
			p.archives()["broken/d.zip"].(map[string]any)["result"] = 0
		}, "archive broken/d.zip: result is 0, not 1"},
		"too few received": {func(_ *testing.T, p *perfectRun) {
			p.archives()["good/b.zip"].(map[string]any)["received"] = 1
		}, "archive good/b.zip: received is 1, not 2"},
		"a wrong total":           {func(_ *testing.T, p *perfectRun) { p.decompress()["total"] = 3 }, "decompress: total is 3, not 2"},
		"a wrong success count":   {func(_ *testing.T, p *perfectRun) { p.decompress()["succeeded"] = 2 }, "decompress: succeeded is 2, not 1"},
		"a wrong decompress code": {func(_ *testing.T, p *perfectRun) { p.decompress()["result"] = 0 }, "decompress: result is 0, not 2"},
	}
	for name, test := range spoilt {
		t.Run(name, func(t *testing.T) {
			p := newPerfectRun(t)
			test.spoil(t, p)
			err := p.verify(t)
			require.ErrorIs(t, err, ErrDeviation)
			assert.ErrorContains(t, err, test.says)
		})
	}
}

func TestVerifyRefusesWhatIsNotJSON(t *testing.T) {
	p := newPerfectRun(t)
	for _, document := range []string{"", "{} progress", "null and void"} {
		assert.ErrorContains(t, Verify(p.root, p.branches, []byte(document)), "not the expected JSON")
	}
}

func TestOverall(t *testing.T) {
	for _, test := range []struct{ succeeded, total, want int }{{3, 3, 0}, {0, 0, 0}, {0, 3, 1}, {2, 3, 2}} {
		assert.Equal(t, test.want, overall(test.succeeded, test.total))
	}
}
