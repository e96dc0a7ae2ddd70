package compose

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/pki"
)

var branches = []string{"branch-001", "branch-002"}

// volumes makes a directory for each consumer.
func volumes(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, consumer := range append([]string{"ca", "temporal-front", "gateway", "tiger", "eagle", "starter"}, branches...) {
		require.NoError(t, os.Mkdir(filepath.Join(root, consumer), 0o750))
	}
	return root
}

// contents are all files below root.
func contents(t *testing.T, root string) map[string]string {
	t.Helper()
	found := map[string]string{}
	require.NoError(t, fs.WalkDir(os.DirFS(root), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(filepath.Join(root, name))
		found[name] = string(content)
		return err
	}))
	return found
}

func run(t *testing.T, root string) string {
	t.Helper()
	var told bytes.Buffer
	require.NoError(t, Setup(root, branches, &told))
	return told.String()
}

// TestEverybodyHasWhatIsTheirs, and nobody has more: that is what volumes of their own are for.
func TestEverybodyHasWhatIsTheirs(t *testing.T) {
	root := volumes(t)
	told := run(t, root)
	made := contents(t, root)
	assert.Equal(t, []string{
		"branch-001/password", "branch-002/password", "ca/ca.crt", "ca/ca.key",
		"eagle/ca.crt", "eagle/eagle-s3.key", "eagle/eagle.crt", "eagle/eagle.key",
		"gateway/ca.crt", "gateway/eagle-s3.key", "gateway/gateway.crt", "gateway/gateway.key",
		"starter/ca.crt", "starter/starter.crt", "starter/starter.key",
		"temporal-front/ca.crt", "temporal-front/temporal-front.crt", "temporal-front/temporal-front.key",
		"tiger/branch-001.password", "tiger/branch-002.password", "tiger/ca.crt", "tiger/tiger.crt", "tiger/tiger.key",
	}, slices.Sorted(maps.Keys(made)))
	assert.Equal(t, made["gateway/eagle-s3.key"], made["eagle/eagle-s3.key"])
	assert.Regexp(t, `^eagle:[A-Z2-7]{26,}\n$`, made["eagle/eagle-s3.key"])
	assert.Equal(t, made["branch-001/password"], made["tiger/branch-001.password"])
	assert.NotEqual(t, made["branch-001/password"], made["branch-002/password"])
	for name, content := range made {
		assert.NotContains(t, told, strings.TrimSpace(content), name)
		if filepath.Ext(name) == ".crt" || name == "ca/ca.key" {
			continue
		}
		info, err := os.Stat(filepath.Join(root, name))
		require.NoError(t, err)
		assert.Equal(t, fs.FileMode(0o640), info.Mode(), "%s: the consumer is in its group, nobody else", name)
	}
}

// TestCertificatesServe: the names by which the containers call each other, and the roles that Temporal's front knows.
func TestCertificatesServe(t *testing.T) {
	root := volumes(t)
	run(t, root)
	authority, err := pki.OpenCA(filepath.Join(root, "ca"))
	require.NoError(t, err)
	for name, want := range map[string]struct {
		usages []x509.ExtKeyUsage
		hosts  []string
	}{
		"temporal-front": {[]x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, []string{"temporal-front", "localhost"}},
		"gateway":        {[]x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, []string{"gateway", "localhost"}},
		"tiger":          {[]x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, nil},
		"eagle":          {[]x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, nil},
		"starter":        {[]x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, nil},
	} {
		pair, err := tls.LoadX509KeyPair(filepath.Join(root, name, name+".crt"), filepath.Join(root, name, name+".key"))
		require.NoError(t, err)
		assert.Equal(t, want.usages, pair.Leaf.ExtKeyUsage, name)
		assert.Equal(t, want.hosts, pair.Leaf.DNSNames, name)
		assert.Equal(t, []string{name}, pair.Leaf.Subject.OrganizationalUnit)
		_, err = pair.Leaf.Verify(x509.VerifyOptions{Roots: authority.Pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		assert.NoError(t, err, name)
	}
}

func TestASecondRunKeepsEverything(t *testing.T) {
	root := volumes(t)
	run(t, root)
	before := contents(t, root)
	assert.Empty(t, run(t, root))
	assert.Equal(t, before, contents(t, root))
}

// TestRepairs: what is missing, at its end, or left half by a setup that was interrupted is made anew, and the rest is kept.
func TestRepairs(t *testing.T) {
	remove := func(names ...string) func(*testing.T, string) {
		return func(t *testing.T, root string) {
			for _, name := range names {
				require.NoError(t, os.Remove(filepath.Join(root, name)))
			}
		}
	}
	put := func(name, content string) func(*testing.T, string) {
		return func(t *testing.T, root string) {
			require.NoError(t, os.WriteFile(filepath.Join(root, name), []byte(content), 0o640))
		}
	}
	reissue := func(request pki.Request) func(*testing.T, string) {
		return func(t *testing.T, root string) {
			authority, err := pki.OpenCA(filepath.Join(root, "ca"))
			require.NoError(t, err)
			_, err = authority.IssueTo(filepath.Join(root, request.Name), request)
			require.NoError(t, err)
		}
	}
	for name, test := range map[string]struct {
		harm    func(*testing.T, string)
		told    string
		changed []string
	}{
		"no certificate": {
			remove("tiger/tiger.crt"), "issued a certificate for tiger: there was none",
			[]string{"tiger/tiger.crt", "tiger/tiger.key"},
		},
		"no key": {
			remove("eagle/eagle.key"), "issued a certificate for eagle: there was none", []string{"eagle/eagle.crt", "eagle/eagle.key"},
		},
		"broken key": {
			put("eagle/eagle.key", "x"), "issued a certificate for eagle: there was none", []string{"eagle/eagle.crt", "eagle/eagle.key"},
		},
		"near its end": {
			reissue(pki.Request{Name: "starter", Client: true, Lifetime: renewal - time.Hour}), "the old one ends on", []string{"starter/starter.crt"},
		},
		"another host": {
			reissue(pki.Request{Name: "gateway", Server: true, Hosts: []string{"gateway"}}), "the old one is not for localhost", []string{"gateway/gateway.crt"},
		},
		"no password": {
			remove("branch-001/password"), "made the secret branch-001/password", []string{"branch-001/password", "tiger/branch-001.password"},
		},
		"empty secret": {
			put("gateway/eagle-s3.key", ""), "made the secret gateway/eagle-s3.key", []string{"eagle/eagle-s3.key", "gateway/eagle-s3.key"},
		},
		"no copy":        {remove("tiger/branch-002.password"), "", nil},
		"another copy":   {put("eagle/eagle-s3.key", "eagle:another-secret-than-gateway's"), "", nil},
		"left half done": {put("tiger/branch-002.password.new", "half"), "", []string{"tiger/branch-002.password.new"}},
		"key for nobody": {
			func(t *testing.T, root string) {
				require.NoError(t, os.Chmod(filepath.Join(root, "tiger/tiger.key"), 0o600))
			}, "", nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			root := volumes(t)
			run(t, root)
			before := contents(t, root)
			test.harm(t, root)
			told := run(t, root)
			assert.Contains(t, told, test.told)
			assert.Equal(t, test.told == "", told == "")
			after := contents(t, root)
			var changed []string
			for file, content := range after {
				if before[file] != content {
					changed = append(changed, file)
				}
			}
			assert.ElementsMatch(t, test.changed, changed)
			assert.Empty(t, run(t, root), "all is well after that")
			info, err := os.Stat(filepath.Join(root, "tiger/tiger.key"))
			require.NoError(t, err)
			assert.Equal(t, fs.FileMode(secretMode), info.Mode())
		})
	}
}

// TestHalfAnAuthority: one without a certificate has issued nothing, and is made anew.
func TestHalfAnAuthority(t *testing.T) {
	root := volumes(t)
	require.NoError(t, os.WriteFile(filepath.Join(root, "ca", "ca.key"), []byte("half"), 0o600))
	assert.Contains(t, run(t, root), "made a certificate authority")
}

func TestNoVolume(t *testing.T) {
	for _, consumer := range []string{"ca", "temporal-front", "eagle", "tiger", "branch-002"} {
		root := volumes(t)
		require.NoError(t, os.Remove(filepath.Join(root, consumer)))
		var told bytes.Buffer
		err := Setup(root, branches, &told)
		require.ErrorIs(t, err, ErrNoDirectory)
		assert.ErrorContains(t, err, "mount a volume at "+filepath.Join(root, consumer))
		assert.NoDirExists(t, filepath.Join(root, consumer))
	}
}

// TestAnotherAuthority: certificates of two authorities would not know each other. That is for people to decide.
func TestAnotherAuthority(t *testing.T) {
	root := volumes(t)
	run(t, root)
	for _, name := range []string{"ca.crt", "ca.key"} {
		require.NoError(t, os.Remove(filepath.Join(root, "ca", name)))
	}
	var told bytes.Buffer
	require.ErrorContains(t, Setup(root, branches, &told), "docker compose down --volumes")
}
