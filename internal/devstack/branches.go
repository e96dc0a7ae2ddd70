package devstack

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"path"
	"time"

	"github.com/spf13/afero"
	"golang.org/x/text/encoding/simplifiedchinese"
)

// Result codes of the product's JSON, see Expectation.
const (
	resultSuccess = 0
	resultFailed  = 1
	resultPartly  = 2
)

// Reasons that the demo's two unavailable servers deserve.
const (
	reasonLoginRefused = "login_refused"
	reasonUnreachable  = "server_unreachable"
)

const (
	remoteDir  = "/outgoing" // where branches put what is to be collected
	branchUser = "collector"
)

// businessDay is the day all demo files are about.
var businessDay = time.Date(2026, time.June, 30, 0, 0, 0, 0, time.UTC)

// Fault is what is wrong with a branch.
type Fault int

// Faults.
const (
	Healthy       Fault = iota
	WrongPassword       // the configuration has another password than the server
	Down                // nothing listens on the server's port
)

// ServedFile is one file on a branch's FTP server.
type ServedFile struct {
	Path    string // relative to the branch's remote directory, slash-separated, UTF-8
	Raw     string // Path in the bytes that the server speaks
	Data    []byte
	ModTime time.Time
}

// Branch is one FTP server of the demo, and what a collection of it deserves.
type Branch struct {
	Name      string // key of its server entry in the configuration
	About     string // what it is for, in words
	RemoteDir string // the path to collect
	Encoding  string // charset of names on the wire, "" is UTF-8
	User      string
	Password  string // what the server accepts
	Fault     Fault
	Files     []ServedFile
	EmptyDirs []string // relative to RemoteDir
	Expect    Expectation
}

// Expectation is the outcome that a branch deserves.
type Expectation struct {
	Result   int                           // 0 success, 1 failed
	Reason   string                        // "" for success
	Files    map[string]string             // path below zip/<branch>: SHA-256 in hex
	Archives map[string]ArchiveExpectation // by path below zip/<branch>
}

// ArchiveExpectation is what comes out of one archive, all its layers together.
type ArchiveExpectation struct {
	Result   int               // 0 success, 1 failed
	Received int               // number of files extracted
	Dir      string            // directory below unzip/<branch> that the files are in
	Files    map[string]string // path below Dir: SHA-256 in hex
}

// Branches returns the branches of the demo: two with a fault, one with nothing to collect, one with a corrupt archive, and
// the rest in good health. The same seed gives the same branches, byte for byte.
func Branches(seed uint64) []Branch {
	var branches []Branch
	for i, plan := range plans {
		branches = append(branches, plan.branch(branchName(i), seed, i))
	}
	return branches
}

func branchName(index int) string { return fmt.Sprintf("branch-%03d", index+1) }

// branch makes the branch that is planned, from the seed and its index.
func (p plan) branch(name string, seed uint64, index int) Branch {
	random := rand.New(rand.NewPCG(seed, uint64(index)))
	b := Branch{
		Name: name, About: p.about, RemoteDir: remoteDir, Encoding: p.encoding,
		User: branchUser, Password: fmt.Sprintf("%016x", random.Uint64()), Fault: p.fault, EmptyDirs: p.emptyDirs,
		Expect: Expectation{Files: map[string]string{}, Archives: map[string]ArchiveExpectation{}},
	}
	if p.items != nil {
		b.serve(p.items(&writer{random: random, branch: b.Name, day: businessDay}))
	}
	b.applyFault()
	return b
}

// serve puts items on the branch's server, a minute apart on the evening of the business day, and notes what they deserve.
func (b *Branch) serve(items []item) {
	for i, it := range items {
		at := businessDay.Add(18*time.Hour + time.Duration(i)*time.Minute)
		file := ServedFile{Path: it.name(), Raw: b.encode(it.name()), Data: it.bytes(at), ModTime: at}
		b.Files = append(b.Files, file)
		b.Expect.Files[file.Path] = hexSHA256(file.Data)
		switch it := it.(type) {
		case packed:
			b.Expect.Archives[file.Path] = expectContents(it)
		case cutShort:
			b.Expect.Archives[file.Path] = ArchiveExpectation{Result: resultFailed, Dir: it.stem}
		}
	}
}

func (b *Branch) encode(name string) string {
	if b.Encoding == "" {
		return name
	}
	raw, err := simplifiedchinese.GBK.NewEncoder().String(name)
	if err != nil {
		panic(fmt.Sprintf("BUG: the demo's name %q has no form in GBK: %v", name, err))
	}
	return raw
}

func expectContents(archive packed) ArchiveExpectation {
	expected := ArchiveExpectation{Result: resultSuccess, Dir: archive.stem, Files: map[string]string{}}
	for name, data := range archive.contents() {
		expected.Files[name] = hexSHA256(data)
	}
	expected.Received = len(expected.Files)
	return expected
}

func (b *Branch) applyFault() {
	switch b.Fault {
	case Healthy:
		return
	case WrongPassword:
		b.Expect = Expectation{Result: resultFailed, Reason: reasonLoginRefused}
	case Down:
		b.Expect = Expectation{Result: resultFailed, Reason: reasonUnreachable}
	}
}

// ConfiguredPassword is the password that the configuration gives for this branch.
func (b *Branch) ConfiguredPassword() string {
	if b.Fault == WrongPassword {
		return "not-" + b.Password
	}
	return b.Password
}

// FS returns the branch's files as its FTP server shows them, with a remote directory that exists even if it is empty.
func (b *Branch) FS() (afero.Fs, error) {
	files := afero.NewMemMapFs()
	for _, dir := range append([]string{"."}, b.EmptyDirs...) {
		if err := files.MkdirAll(path.Join(b.RemoteDir, b.encode(dir)), 0o755); err != nil {
			return nil, fmt.Errorf("files of %s: %w", b.Name, err)
		}
	}
	for _, file := range b.Files {
		name := path.Join(b.RemoteDir, file.Raw)
		if err := afero.WriteFile(files, name, file.Data, 0o644); err != nil {
			return nil, fmt.Errorf("files of %s: %w", b.Name, err)
		}
		if err := files.Chtimes(name, file.ModTime, file.ModTime); err != nil {
			return nil, fmt.Errorf("files of %s: %w", b.Name, err)
		}
	}
	return files, nil
}

func hexSHA256(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// dated appends the business day to a name: "ledger" becomes "ledger_20260630".
func dated(name string) string { return name + "_" + businessDay.Format("20060102") }

// text is a document with the business day in its name: text("a/ledger", ".txt", …) is a/ledger_20260630.txt.
func text(name, ext string, data []byte) document {
	return document{path: dated(name) + ext, data: data}
}

// pack is an archive with the business day in its name.
func pack(name, ext string, items ...item) packed {
	return packed{stem: dated(name), ext: ext, items: items}
}
