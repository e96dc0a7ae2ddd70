package e2e

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding/simplifiedchinese"

	"talon/internal/archive/archivetest"
)

// TestRemoteEagle has two eagles that see nothing of tiger's disk extract what was collected, both at work in one run, and
// then a directory of the zip warehouse and one that is outside of it, and looks for secrets in everything that is left.
func TestRemoteEagle(t *testing.T) {
	t.Parallel()
	r := newRemote(t)
	good := r.addSiteWith(seen, canaryFTP)
	good.settings = ", encoding: gbk"
	good.putEveryKind()
	r.configure("extract: {batch_archives: 1}")
	r.watch()
	r.startTigerHost()
	toGateway := r.addLine(loopback, strings.TrimPrefix(r.url, "https://"))
	one, two := r.addEagle("eagle-1", "https://"+toGateway.address(), ""), r.addEagle("eagle-2", r.url, "")

	one.start()
	toGateway.hold()
	run := r.beginCollect()
	r.eventually("the first eagle to have taken an archive", func() bool { return len(one.scratch()) > 0 })
	two.start()
	r.eventually("the second eagle's work in the warehouse", func() bool {
		visible, err := r.look()
		return err == nil && slices.ContainsFunc(slices.Collect(maps.Keys(visible)), func(name string) bool { return strings.HasPrefix(name, "unzip/") })
	})
	toGateway.release()
	result := run.result(partly)
	r.requireWarehouse()
	r.requireFiles(result)
	r.requireTidy(one, two)
	r.requireSameLater(result)
	r.requireHosts(result.Decompress, one, two)
	rows := result.Decompress.Archives
	nested := seen + "/nested.zip"
	assert.Equal(t, map[string]layer{nested: {Archives: 1, Files: 1}, nested + "/inner.tar.gz": {Files: 1}}, rows[nested].Layers)
	assert.Equal(t, failed, rows[seen+"/broken.zip"].Result)
	assert.Equal(t, 2, rows[seen+"/split.zip"].Received, "the volumes came with it")

	for _, eagle := range []*eagleHost{one, two} {
		log, err := eagle.process.ReadLog(0)
		require.NoError(t, err)
		assert.NotContains(t, string(log), "cannot be reached", "an eagle that can reach everything does not say otherwise")
	}

	r.decompressWithin()
	r.decompressOutside()
	r.requireTidy(one, two)
	r.requireNoSecretsOf(canaryFTP, canaryStore)
}

// putEveryKind serves nested archives, one in volumes, one with names in GBK inside and outside, a broken one, and many small ones.
func (b *site) putEveryKind() {
	s := b.stack
	want := tree{}
	inner := withInner("nested", want)
	s.want.unzip(b.name+"/nested", "doc.txt", text("nested", 500))
	s.want.unzip(b.name+"/nested", "inner/deep.txt", text("deep in nested", 700))
	b.put("nested.zip", packZip(inner...))
	halves := []archivetest.File{member("1.bin", noise("1", 30_000)), member("2.bin", noise("2", 30_000))}
	volumes := archivetest.SplitZip(packZip(halves...), 25_000)
	for _, half := range halves {
		s.want.unzip(b.name+"/split", half.Name, half.Data)
	}
	for i, volume := range volumes {
		name := fmt.Sprintf("split.z%02d", i+1)
		if i == len(volumes)-1 {
			name = "split.zip"
		}
		b.put(name, volume)
	}
	raw, err := simplifiedchinese.GBK.NewEncoder().String("余额.csv")
	require.NoError(s.t, err)
	pack := packZip(member(raw, text("balance", 900)))
	s.want.zip(b.name+"/报表 1+1%.zip", pack)
	s.want.unzip(b.name+"/报表 1+1%", "余额.csv", text("balance", 900))
	b.serve("\xb1\xa8\xb1\xed 1+1%.zip", pack, written)
	broken := packZip(member("m.txt", text("m", 2000)))
	b.put("broken.zip", broken[:len(broken)/2])
	for i := range 6 {
		b.putZip(fmt.Sprintf("small-%d.zip", i), member("m.txt", text(fmt.Sprint(i), 1000)))
	}
}

// requireHosts demands that each archive names the eagle that extracted it, and that each of the eagles did one.
func (r *remote) requireHosts(result decompressResult, eagles ...*eagleHost) {
	r.t.Helper()
	found := map[string]bool{}
	for _, row := range result.Archives {
		found[row.Host] = true
	}
	want := map[string]bool{}
	for _, eagle := range eagles {
		want[eagle.name] = true
	}
	assert.Equal(r.t, want, found)
}

// decompressWithin has a directory of the zip warehouse decompressed once more, elsewhere.
func (r *remote) decompressWithin() {
	r.t.Helper()
	target := filepath.Join(r.dir, "again")
	var again decompressResult
	r.starter("decompress", "--wait", "-o", "json", filepath.Join(r.root, "zip", seen), target).code(partly).decode(&again)
	assert.Equal(r.t, again.Total-1, again.Succeeded)
	assert.Equal(r.t, failed, again.Archives["broken.zip"].Result)
	want := tree{}
	for name, sum := range r.want.all() {
		if below, ok := strings.CutPrefix(name, "unzip/"+seen+"/"); ok {
			want[below] = sum
		}
	}
	requireTree(r.t, target, want)
}

// decompressOutside asks for what eagles cannot read.
func (r *remote) decompressOutside() {
	r.t.Helper()
	source, target := filepath.Join(r.dir, "elsewhere"), filepath.Join(r.dir, "nothing")
	writeFile(r.t, filepath.Join(source, "x.zip"), packZip(member("m.txt", text("m", 100))))
	var outside decompressResult
	r.starter("decompress", "--wait", "-o", "json", source, target).code(failed).decode(&outside)
	row := outside.Archives["x.zip"]
	assert.Equal(r.t, "out_of_reach", row.Reason)
	assert.Contains(r.t, row.Detail, source+" is outside of the zip warehouse")
	assert.Contains(r.t, row.Detail, "move the archives into a directory of the zip warehouse, or run an eagle on tiger's host")
	requireTree(r.t, target, tree{})
}

// requireNoSecretsOf looks for secrets in histories, logs, results, files and command lines.
func (r *remote) requireNoSecretsOf(secrets ...string) {
	r.t.Helper()
	everything := r.haystack()
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(r.t, err)
	for _, name := range commands {
		if line, err := os.ReadFile(name); err == nil { // else it has ended
			everything["command "+name] = line
		}
	}
	for where, content := range everything {
		for _, secret := range secrets {
			assert.False(r.t, bytes.Contains(content, []byte(secret)), "%s is in %s", secret, where)
		}
	}
	for _, kind := range []string{"history", "log", "file", "command"} {
		sign := r.sites[0].name
		if kind == "command" {
			sign = versitygw
		}
		assert.True(r.t, everything.found(kind, sign), "the search is blind for anything in a %s", kind)
	}
	assert.True(r.t, everything.found("log "+r.log("gateway-access"), `"access_key":"eagle-1"`), "the gateway tells who asked")
}
