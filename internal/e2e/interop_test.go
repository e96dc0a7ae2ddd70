package e2e

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/afero"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding/simplifiedchinese"

	"talon/internal/ftpclient"
	"talon/internal/ftpclient/ftptest"
	"talon/internal/ftpservers"
)

// branch is one real server with three directories, which are three sites: one for each thing that can be done with a file
// that was collected. Each site has names of another charset.
type branch struct {
	server             *ftpservers.Server
	keep, delete, move *site
}

// moved is where the sites of the kind move put their files, in GBK on the server.
const moved = "/move/完成"

// addBranches starts every server in every TLS mode, or skips the test with the reason why there are none.
func (s *stack) addBranches() []branch {
	s.t.Helper()
	install, err := ftpservers.Find()
	if err != nil {
		s.t.Skip(err)
	}
	s.t.Log(install.Versions())
	authority, err := ftptest.NewAuthority()
	require.NoError(s.t, err)
	ca := filepath.Join(s.dir, "ca.pem")
	require.NoError(s.t, os.WriteFile(ca, authority.CertPEM, 0o644))
	var branches []branch
	for _, kind := range ftpservers.Kinds {
		for _, mode := range []ftpclient.TLSMode{ftpclient.TLSNone, ftpclient.TLSExplicit, ftpclient.TLSImplicit} {
			opts := ftpservers.Options{Kind: kind, TLS: mode, Authority: authority}
			if reason := opts.Unsupported(); reason != "" {
				s.t.Logf("without %s and %s TLS: %s", kind, mode, reason)
				continue
			}
			settings := fmt.Sprintf(", connections: 2, tls: %s", mode)
			if mode != ftpclient.TLSNone {
				settings += fmt.Sprintf(", tls_ca: %q", ca)
			}
			branches = append(branches, s.addBranch(install, opts, settings))
		}
	}
	return branches
}

func (s *stack) addBranch(install *ftpservers.Installation, opts ftpservers.Options, settings string) branch {
	s.t.Helper()
	server, err := install.Start(s.t.Context(), opts)
	require.NoError(s.t, err)
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Log(server.Log())
		}
		assert.NoError(s.t, server.Stop())
	})
	name := fmt.Sprintf("%s-%s-", opts.Kind, opts.TLS)
	add := func(part, dir, more string) *site {
		b := &site{
			stack: s, name: name + part, port: server.Port(), password: server.Password(), configured: server.Password(),
			settings: fmt.Sprintf(", user: %s, path: %s, %s%s", server.User(), dir, more, settings),
			dir:      dir, files: afero.NewBasePathFs(afero.NewOsFs(), server.Home()), adopt: server.Adopt,
		}
		s.sites = append(s.sites, b)
		return b
	}
	return branch{
		server: server,
		keep:   add("keep", "/keep", "encoding: gbk"),
		delete: add("delete", "/delete", "encoding: utf-8, after: delete"),
		move:   add("move", "/move/out", fmt.Sprintf("encoding: gbk, after: {move: %s}", moved)),
	}
}

func (b branch) sites() []*site { return []*site{b.keep, b.delete, b.move} }

// putNamed is put for a name that the server has in the charset of the site.
func (b *site) putNamed(name string, data []byte, at time.Time) {
	b.stack.t.Helper()
	b.stack.want.zip(path.Join(b.name, name), data)
	b.serve(b.encode(name), data, at)
}

// putNamedZip serves an archive with a member in a directory.
func (b *site) putNamedZip(name string, data []byte, at time.Time) {
	b.stack.t.Helper()
	b.stack.want.unzip(path.Join(b.name, strings.TrimSuffix(name, ".zip")), "sub/m.txt", data)
	b.putNamed(name, packZip(member("sub/m.txt", data)), at)
}

// encode spells a name as the server has it.
func (b *site) encode(name string) string {
	if !strings.Contains(b.settings, "encoding: gbk") {
		return name
	}
	raw, err := simplifiedchinese.GBK.NewEncoder().String(name)
	require.NoError(b.stack.t, err)
	return raw
}

// TestInterop collects from Debian's FTP servers, in clear and with both kinds of TLS: names in GBK, archives, files that are
// left, deleted or moved; then once more what has not changed and what has, and at last through the death of the worker.
func TestInterop(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	branches := s.addBranches()
	now := time.Now().Truncate(time.Minute) // within what LIST tells to the minute
	before, after := now.Add(-48*time.Hour), now.Add(-47*time.Hour)
	for _, b := range branches {
		for _, site := range b.sites() {
			site.putNamed("报表 1.csv", text(site.name+"1", 3000), before)
			site.putNamed("-dash/深 处/2.csv", text(site.name+"2", 200_000), before)
			site.putNamed("empty.csv", nil, before)
			site.putNamedZip("压缩.zip", text(site.name+"z", 5000), before)
		}
	}
	s.configure("")
	s.watch()
	s.start()

	results := []runResult{s.collect(complete)}
	s.requireWarehouse()
	s.requireFiles(results...)
	for _, b := range branches {
		b.requireRemote(t, 4, 4)
	}
	s.requireNothingNew()

	for _, b := range branches { // another size, another time, and the same as before
		s.want.zip(path.Join(b.keep.name, "报表 1~2.csv"), text("longer", 4000))
		b.keep.serve(b.keep.encode("报表 1.csv"), text("longer", 4000), before)
		s.want.zip(path.Join(b.keep.name, "empty~2.csv"), nil)
		b.keep.serve("empty.csv", nil, after)
	}
	results = append(results, s.collect(complete))
	s.requireWarehouse()
	s.requireFiles(results...)
	for _, b := range branches {
		row := results[1].Servers[b.keep.name]
		assert.Equal(t, []int{2, 2}, []int{row.NumberOfFiles, row.Unchanged}, b.keep.name)
	}

	s.collectThroughDeath(branches, before)
}

// collectThroughDeath kills the tiger worker in the middle of a run with every server: once in the first downloads, and once
// when files become visible and are deleted or moved. How far the servers are then is chance; where it ends is not.
func (s *stack) collectThroughDeath(branches []branch, at time.Time) {
	s.t.Helper()
	const wave = 12
	for _, b := range branches {
		for _, site := range b.sites() {
			for i := range wave {
				site.putNamed(fmt.Sprintf("第%d.csv", i), text(fmt.Sprint(site.name, i), 50_000), at)
			}
		}
	}
	run := s.beginCollect()
	s.eventually("a download in the stage", func() bool { return len(s.staged()) > 0 })
	require.NoError(s.t, s.tiger.Kill())
	s.startTiger()
	s.eventually("a file of the last wave in the warehouse", func() bool {
		found, err := filepath.Glob(filepath.Join(s.root, "zip", "*", "第*.csv"))
		require.NoError(s.t, err)
		return len(found) > 0
	})
	require.NoError(s.t, s.tiger.Kill())
	s.startTiger()
	run.result(complete)
	s.requireWarehouse()
	for _, b := range branches {
		b.requireRemote(s.t, 4+wave, 4+wave)
	}
	s.requireNothingNew()
}

// requireRemote demands how many files are left on a server, and that everything else was deleted or moved.
func (b branch) requireRemote(t *testing.T, kept, away int) {
	t.Helper()
	count := func(dir string) int {
		found := tree{}
		require.NoError(t, hashBelow(b.server.Home(), filepath.Join(b.server.Home(), dir), found))
		return len(found)
	}
	assert.Equal(t, kept, count("keep"), b.keep.name)
	assert.Zero(t, count("delete"), b.delete.name)
	assert.Zero(t, count("move/out"), b.move.name)
	assert.Equal(t, away, count(b.move.encode(moved)), b.move.name)
}
