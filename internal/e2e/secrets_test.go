package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"talon/internal/archive/archivetest"
)

// Passwords that must never be seen anywhere, and a name that must: it proves that the search finds what is there.
const (
	canaryFTP     = "canary-ftp-5f1d3a"
	canaryRefused = "canary-refused-77b2c4"
	canaryDown    = "canary-down-0e9a61"
	canaryExtract = "canary-extract-c83f20"
	canaryBranch  = "canary-branch-41d07e"
	seen          = "seen-branch"
)

// haystack is everything that a run leaves behind, by where it was found.
type haystack map[string][]byte

// TestPasswordsStaySecret opens encrypted archives and runs into a refused login, an unreachable server, a broken transfer, a corrupt and a hostile archive and a bad
// configuration, and looks for the passwords in every history, log, output, error text and file.
func TestPasswordsStaySecret(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	good := s.addSiteWith(seen, canaryFTP)
	good.put("x.csv", text("x", 100))
	pack := packZip(member("m.txt", text("m", 2000)))
	good.put("bad.zip", pack[:len(pack)/2])
	good.putZip("good.zip", member("m.txt", text("m", 2000)))
	good.put("hostile.7z", archivetest.SevenZipManyFiles()) // its decoder dies of it, in a child of the eagle
	for name, how := range map[string]archivetest.ZipEncryption{
		"locked.zip": {Password: canaryExtract}, "sealed.zip": {Password: canaryBranch, AES: 256},
	} {
		locked := []archivetest.File{member("l.txt", text(name, 3000))}
		good.putArchive(name, archivetest.ZipEncrypted(locked, how), locked)
	}
	good.settings = ", archive_passwords: [{env: BRANCH_ARCHIVES}]"
	broke := false
	good.onRetrieve(func(name string, data io.Reader) (io.Reader, error) {
		if name == "x.csv" && !broke {
			broke = true
			return nil, errors.New("a transfer that breaks off")
		}
		return data, nil
	})
	s.addSite("refused").configured = canaryRefused
	s.addClosedSite("down").configured = canaryDown
	s.env = []string{"EXTRACT_PASSWORD=" + canaryExtract, "BRANCH_ARCHIVES=" + canaryBranch}
	s.configure("extract: {passwords: [{env: EXTRACT_PASSWORD}]}")
	s.start()
	result := s.collect(partly)
	s.requireSameLater(result)
	assert.Equal(t, "limit_memory", result.Decompress.Archives[seen+"/hostile.7z"].Reason)
	s.starter("collect", "--config", s.config, "--server", seen+"x").code(unusable)
	s.starter("schedule", "create", "--config", s.config).code(complete)
	s.starter("schedule", "describe", "-o", "json").code(complete)
	s.requireWarehouse()
	bad := filepath.Join(s.dir, "bad.yaml")
	mistakes := "servers:\n  %s: {host: \"ftp://u:%s@h\", password: %s, pasword: %s}\n"
	writeFile(t, bad, fmt.Appendf(nil, mistakes, seen, canaryDown, canaryFTP, canaryRefused))
	s.failingWorker(bad)
	s.starter("collect", "--config", bad).code(unusable)

	everything := s.haystack()
	for where, content := range everything {
		for _, secret := range []string{canaryFTP, canaryRefused, canaryDown, canaryExtract, canaryBranch} {
			assert.False(t, bytes.Contains(content, []byte(secret)), "%s is in %s", secret, where)
		}
	}
	for _, kind := range []string{"history", "log", "file"} {
		assert.True(t, everything.found(kind, seen), "the search is blind for anything in a %s", kind)
	}
}

// haystack gathers the histories (as their bytes and as JSON), the logs of all processes and all files below the warehouse.
func (s *stack) haystack() haystack {
	s.t.Helper()
	found := haystack{}
	for _, r := range s.histories() {
		raw, err := proto.Marshal(r.history)
		require.NoError(s.t, err)
		readable, err := protojson.Marshal(r.history)
		require.NoError(s.t, err)
		found["history "+r.id+" "+r.run] = append(raw, readable...)
	}
	s.gather(found, "log", filepath.Join(s.dir, "logs"))
	s.gather(found, "file", s.root)
	return found
}

func (s *stack) gather(into haystack, kind, dir string) {
	s.t.Helper()
	require.NoError(s.t, filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		into[kind+" "+name], err = os.ReadFile(name)
		return err
	}))
}

func (h haystack) found(kind, text string) bool {
	for where, content := range h {
		if strings.HasPrefix(where, kind) && bytes.Contains(content, []byte(text)) {
			return true
		}
	}
	return false
}
