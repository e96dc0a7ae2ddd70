package e2e

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/spf13/afero"
	"github.com/stretchr/testify/require"

	"talon/internal/archive/archivetest"
	"talon/internal/devstack"
	"talon/internal/ftpclient/ftptest"
)

const (
	ftpUser   = "collector"
	remoteDir = "/outgoing"
	loopback  = "127.0.0.1"
)

// written is when the files on the FTP servers were written, as far as a test does not say otherwise.
var written = time.Date(2026, time.June, 30, 18, 0, 0, 0, time.UTC)

// site is the FTP server of one branch and what is to come of it.
type site struct {
	stack      *stack
	name       string
	host       string // as configured; "" is loopback
	port       int
	password   string // what the server accepts
	configured string // what the configuration says
	settings   string // more settings of the server, as the rest of a flow mapping: ", connections: 1"
	dir        string // what is collected from
	files      afero.Fs
	ftp        *devstack.FTPServer // nil: another server, or nobody listens on the port
	adopt      func() error        // called after files were put there, unless nil
	fake       *ftptest.Server     // instead of files and ftp, where addFake made the site

	mu   sync.Mutex
	hook hook
}

// hook is called with every file that is fetched, see devstack.FTPOptions.OnRetrieve.
type hook func(name string, data io.Reader) (io.Reader, error)

// addSite starts an FTP server with a password that nobody knows.
func (s *stack) addSite(name string) *site {
	s.t.Helper()
	return s.addSiteWith(name, rand.Text())
}

func (s *stack) addSiteWith(name, password string) *site {
	s.t.Helper()
	b := &site{stack: s, name: name, password: password, configured: password, dir: remoteDir, files: afero.NewMemMapFs()}
	require.NoError(s.t, b.files.MkdirAll(remoteDir, 0o755))
	var err error
	b.ftp, err = devstack.StartFTP(devstack.FTPOptions{Users: map[string]string{ftpUser: password}, FS: b.files, OnRetrieve: b.retrieve})
	require.NoError(s.t, err)
	s.t.Cleanup(func() {
		if err := b.ftp.Stop(); err != nil {
			s.t.Error(err)
		}
	})
	b.port = b.ftp.Port()
	s.sites = append(s.sites, b)
	return b
}

// addClosedSite adds a server that refuses connections.
func (s *stack) addClosedSite(name string) *site {
	s.t.Helper()
	b := &site{stack: s, name: name, port: ftptest.ClosedPort(s.t), configured: rand.Text()}
	s.sites = append(s.sites, b)
	return b
}

// addFake starts a server that can be made to misbehave, with a password that nobody knows.
func (s *stack) addFake(name string, opt ftptest.Options) *site {
	s.t.Helper()
	opt.User, opt.Password = ftpUser, rand.Text()
	server, err := ftptest.Start(opt)
	require.NoError(s.t, err)
	s.t.Cleanup(server.Stop)
	server.Mkdir(remoteDir)
	b := &site{stack: s, name: name, port: server.Port(), password: opt.Password, configured: opt.Password, fake: server}
	s.sites = append(s.sites, b)
	return b
}

// onRetrieve sets what happens to files that are fetched from now on.
func (b *site) onRetrieve(h hook) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hook = h
}

func (b *site) retrieve(name string, data io.Reader) (io.Reader, error) {
	b.mu.Lock()
	h := b.hook
	b.mu.Unlock()
	if h == nil {
		return data, nil
	}
	return h(path.Base(name), data)
}

// serve puts a file on the server, of which nothing is expected.
func (b *site) serve(name string, data []byte, at time.Time) {
	b.stack.t.Helper()
	if b.fake != nil {
		b.fake.Put(remoteDir+"/"+name, data, at) // as it is: a name may be anything
		return
	}
	full := path.Join(b.dir, name)
	require.NoError(b.stack.t, b.files.MkdirAll(path.Dir(full), 0o755))
	require.NoError(b.stack.t, afero.WriteFile(b.files, full, data, 0o644))
	require.NoError(b.stack.t, b.files.Chtimes(full, at, at))
	if b.adopt != nil {
		require.NoError(b.stack.t, b.adopt())
	}
}

// put serves a file that is to be collected.
func (b *site) put(name string, data []byte) {
	b.stack.t.Helper()
	b.stack.want.zip(path.Join(b.name, name), data)
	b.serve(name, data, written)
}

// putArchive serves an archive that is to be collected and unpacked, into the directory of its name up to the first dot.
func (b *site) putArchive(name string, data []byte, members []archivetest.File) {
	b.stack.t.Helper()
	stem, _, _ := strings.Cut(name, ".")
	for _, member := range members {
		b.stack.want.unzip(path.Join(b.name, stem), member.Name, member.Data)
	}
	b.put(name, data)
}

// putZip is putArchive for a zip archive of the members.
func (b *site) putZip(name string, members ...archivetest.File) {
	b.stack.t.Helper()
	b.putArchive(name, packZip(members...), members)
}

func packZip(members ...archivetest.File) []byte { return archivetest.Zip(members) }

// text is the content of a small file; the seed makes it different from others.
func text(seed string, size int) []byte {
	line := []byte(fmt.Sprintf("%s: time,account,amount,balance\n", seed))
	return bytes.Repeat(line, size/len(line)+1)[:size]
}

func member(name string, data []byte) archivetest.File {
	return archivetest.File{Name: name, Data: data}
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// gate holds the transfers of one file in their middle until it is opened.
type gate struct {
	file string
	held chan struct{} // receives when a transfer is held
	open chan struct{}
	once sync.Once
}

// hold makes the server stop in the middle of a file, whenever it is fetched, until the gate is opened.
func (b *site) hold(file string) *gate {
	g := &gate{file: file, held: make(chan struct{}, 100), open: make(chan struct{})}
	b.onRetrieve(g.retrieve)
	b.stack.t.Cleanup(g.release) // the FTP server cannot stop while a transfer is held
	return g
}

// forget drops what held has not delivered yet, so that the next receive tells of a transfer that is held after this call.
func (g *gate) forget() {
	for len(g.held) > 0 {
		<-g.held
	}
}

func (g *gate) release() { g.once.Do(func() { close(g.open) }) }

func (g *gate) retrieve(name string, data io.Reader) (io.Reader, error) {
	if name != g.file {
		return data, nil
	}
	whole, err := io.ReadAll(data)
	if err != nil {
		return nil, err
	}
	half := len(whole) / 2
	return io.MultiReader(bytes.NewReader(whole[:half]), &closedDoor{gate: g}, bytes.NewReader(whole[half:])), nil
}

// closedDoor is a reader without bytes that ends when its gate is opened.
type closedDoor struct{ gate *gate }

// Read implements io.Reader.
func (d *closedDoor) Read([]byte) (int, error) {
	d.gate.held <- struct{}{}
	<-d.gate.open
	return 0, io.EOF
}
