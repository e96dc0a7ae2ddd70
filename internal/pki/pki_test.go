package pki_test

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/pki"
)

func newCA(t *testing.T) (*pki.CA, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "ca")
	ca, err := pki.NewCA(dir)
	require.NoError(t, err)
	return ca, dir
}

func issue(t *testing.T, ca *pki.CA, request pki.Request) *x509.Certificate {
	t.Helper()
	pair, err := ca.Issue(request)
	require.NoError(t, err)
	return pair.TLS().Leaf
}

// verify asks crypto/x509 whether a server (with a host) or a client would be accepted.
func verify(ca *pki.CA, certificate *x509.Certificate, host string, use x509.ExtKeyUsage) error {
	_, err := certificate.Verify(x509.VerifyOptions{Roots: ca.Pool(), DNSName: host, KeyUsages: []x509.ExtKeyUsage{use}})
	return err
}

func TestServerIsAcceptedUnderItsNamesOnly(t *testing.T) {
	ca, _ := newCA(t)
	gateway := issue(t, ca, pki.Request{Name: "gateway", Server: true, Hosts: []string{"gateway", "10.0.0.5", "::1", "*.example.org"}})
	for _, host := range []string{"gateway", "10.0.0.5", "::1", "a.example.org"} {
		assert.NoError(t, verify(ca, gateway, host, x509.ExtKeyUsageServerAuth), host)
	}
	for _, host := range []string{"eagle", "10.0.0.6", "a.b.example.org", "localhost"} {
		assert.ErrorAs(t, verify(ca, gateway, host, x509.ExtKeyUsageServerAuth), &x509.HostnameError{}, host)
	}
}

func TestUsesAreApart(t *testing.T) {
	ca, _ := newCA(t)
	client := issue(t, ca, pki.Request{Name: "eagle-2", Role: "eagle", Client: true, Hosts: []string{"eagle-2"}})
	server := issue(t, ca, pki.Request{Name: "gateway", Server: true, Hosts: []string{"gateway"}})
	both := issue(t, ca, pki.Request{Name: "both", Server: true, Client: true, Hosts: []string{"both"}})

	require.NoError(t, verify(ca, client, "", x509.ExtKeyUsageClientAuth))
	require.NoError(t, verify(ca, both, "", x509.ExtKeyUsageClientAuth))
	require.NoError(t, verify(ca, both, "both", x509.ExtKeyUsageServerAuth))
	assert.Equal(t, x509.IncompatibleUsage, invalid(t, verify(ca, client, "eagle-2", x509.ExtKeyUsageServerAuth)))
	assert.Equal(t, x509.IncompatibleUsage, invalid(t, verify(ca, server, "", x509.ExtKeyUsageClientAuth)))

	assert.Equal(t, "eagle-2", client.Subject.CommonName)
	assert.Equal(t, []string{"eagle"}, client.Subject.OrganizationalUnit)
	assert.Equal(t, []string{"gateway"}, server.Subject.OrganizationalUnit, "without a role it is the name")
	assert.NotEqual(t, client.SerialNumber, server.SerialNumber)
}

func invalid(t *testing.T, err error) x509.InvalidReason {
	t.Helper()
	var certificate x509.CertificateInvalidError
	require.ErrorAs(t, err, &certificate)
	return certificate.Reason
}

func TestTime(t *testing.T) {
	ca, _ := newCA(t)
	fresh := issue(t, ca, pki.Request{Name: "eagle", Client: true})
	assert.WithinDuration(t, time.Now().Add(397*24*time.Hour), fresh.NotAfter, time.Minute)
	assert.True(t, fresh.NotBefore.Before(time.Now().Add(-50*time.Minute)), "clocks that are behind")

	day := 24 * time.Hour
	expired := issue(t, ca, pki.Request{Name: "eagle", Client: true, NotBefore: time.Now().Add(-2 * day), Lifetime: day})
	assert.Equal(t, x509.Expired, invalid(t, verify(ca, expired, "", x509.ExtKeyUsageClientAuth)))
	early := issue(t, ca, pki.Request{Name: "eagle", Client: true, NotBefore: time.Now().Add(day), Lifetime: day})
	assert.Equal(t, x509.Expired, invalid(t, verify(ca, early, "", x509.ExtKeyUsageClientAuth)))

	_, err := ca.Issue(pki.Request{Name: "eagle", Client: true, Lifetime: 4000 * day})
	require.ErrorIs(t, err, pki.ErrRequest)
	assert.ErrorContains(t, err, "would outlive the authority")
}

func TestAnotherAuthorityIsNotOurs(t *testing.T) {
	ours, _ := newCA(t)
	theirs, _ := newCA(t)
	stranger := issue(t, theirs, pki.Request{Name: "tiger", Client: true})
	assert.ErrorAs(t, verify(ours, stranger, "", x509.ExtKeyUsageClientAuth), &x509.UnknownAuthorityError{})

	// What has been issued is no authority itself.
	eagle, err := ours.Issue(pki.Request{Name: "eagle", Client: true})
	require.NoError(t, err)
	assert.False(t, eagle.TLS().Leaf.IsCA)
	assert.Zero(t, eagle.TLS().Leaf.KeyUsage&x509.KeyUsageCertSign)
}

func TestAuthorityIsKept(t *testing.T) {
	made, dir := newCA(t)
	before, err := os.ReadFile(filepath.Join(dir, pki.CAKeyFile))
	require.NoError(t, err)
	info, err := os.Stat(filepath.Join(dir, pki.CAKeyFile))
	require.NoError(t, err)
	assert.EqualValues(t, 0o600, info.Mode().Perm())

	_, err = pki.NewCA(dir)
	require.ErrorIs(t, err, pki.ErrExists)
	after, err := os.ReadFile(filepath.Join(dir, pki.CAKeyFile))
	require.NoError(t, err)
	assert.Equal(t, before, after)

	opened, err := pki.OpenCA(dir)
	require.NoError(t, err)
	assert.NoError(t, verify(made, issue(t, opened, pki.Request{Name: "eagle", Client: true}), "", x509.ExtKeyUsageClientAuth))

	require.NoError(t, os.Remove(filepath.Join(dir, pki.CAFile))) // the key alone is worth keeping too
	_, err = pki.NewCA(dir)
	require.ErrorIs(t, err, pki.ErrExists)
	after, err = os.ReadFile(filepath.Join(dir, pki.CAKeyFile))
	require.NoError(t, err)
	assert.Equal(t, before, after)
}

func TestOnlyOneOfManyMakesTheAuthority(t *testing.T) {
	dir := t.TempDir()
	errs := make([]error, 8)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { _, errs[i] = pki.NewCA(dir) })
	}
	all.Wait()
	made := 0
	for _, err := range errs {
		if err == nil {
			made++
			continue
		}
		assert.ErrorIs(t, err, pki.ErrExists)
	}
	assert.Equal(t, 1, made)
	_, err := pki.OpenCA(dir)
	assert.NoError(t, err)
}

func TestAuthorityThatCannotBeOpened(t *testing.T) {
	_, err := pki.OpenCA(t.TempDir())
	require.ErrorIs(t, err, pki.ErrNoCA)
	assert.ErrorContains(t, err, "pki init")

	_, other := newCA(t)
	for name, test := range map[string]struct {
		breakIt func(dir string) error
		want    string
	}{
		"key for all": {func(dir string) error { return os.Chmod(filepath.Join(dir, pki.CAKeyFile), 0o644) }, "others may read"},
		"another's key": {func(dir string) error {
			return copyFile(filepath.Join(other, pki.CAKeyFile), filepath.Join(dir, pki.CAKeyFile))
		}, "is not the key of"},
		"no key": {func(dir string) error { return os.Remove(filepath.Join(dir, pki.CAKeyFile)) }, "ca.key: no such file"},
		"not PEM": {
			func(dir string) error { return os.WriteFile(filepath.Join(dir, pki.CAFile), []byte("x"), 0o600) }, `ca.crt: no PEM block "CERTIFICATE"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, dir := newCA(t)
			require.NoError(t, test.breakIt(dir))
			_, err := pki.OpenCA(dir)
			require.ErrorIs(t, err, pki.ErrNoCA)
			assert.ErrorContains(t, err, test.want)
		})
	}
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o600)
}

func TestRequestsThatAreRefused(t *testing.T) {
	ca, _ := newCA(t)
	for want, request := range map[string]pki.Request{
		"name \"../eagle\"":                          {Name: "../eagle", Client: true},
		"name \"\"":                                  {Client: true},
		"name \"ca\"":                                {Name: "ca", Client: true},
		"role \"eagle,OU=tiger\"":                    {Name: "eagle", Role: "eagle,OU=tiger", Client: true},
		"neither for a server nor for":               {Name: "eagle"},
		"without a host name":                        {Name: "gateway", Server: true},
		"\"https://gateway\" is neither a host name": {Name: "gateway", Server: true, Hosts: []string{"https://gateway"}},
		"\"gateway:7070\" is neither a host name":    {Name: "gateway", Server: true, Hosts: []string{"gateway:7070"}},
		"would end before it begins":                 {Name: "eagle", Client: true, Lifetime: -time.Second},
	} {
		out := filepath.Join(t.TempDir(), "out")
		_, err := ca.IssueTo(out, request)
		require.ErrorIs(t, err, pki.ErrRequest, want)
		assert.ErrorContains(t, err, want)
		assert.NoDirExists(t, out)
	}
}

func TestFilesOfAHost(t *testing.T) {
	ca, dir := newCA(t)
	out := filepath.Join(t.TempDir(), "tls")
	files, err := ca.IssueTo(out, pki.Request{Name: "eagle", Client: true})
	require.NoError(t, err)
	info, err := os.Stat(files.Key)
	require.NoError(t, err)
	assert.EqualValues(t, 0o600, info.Mode().Perm())
	authority, err := os.ReadFile(files.CA)
	require.NoError(t, err)
	assert.Equal(t, ca.PEM(), authority)
	entries, err := os.ReadDir(out)
	require.NoError(t, err)
	assert.Len(t, entries, 3, "no temporary file is left")

	// Into the authority's own directory: its files stay as they are.
	_, err = ca.IssueTo(dir, pki.Request{Name: "eagle", Client: true})
	require.NoError(t, err)
	_, err = pki.OpenCA(dir)
	require.NoError(t, err)
}

func TestDirectoryOfAnotherAuthority(t *testing.T) {
	ours, _ := newCA(t)
	theirs, _ := newCA(t)
	out := t.TempDir()
	files, err := theirs.IssueTo(out, pki.Request{Name: "eagle", Client: true})
	require.NoError(t, err)
	before, err := os.ReadFile(files.Cert)
	require.NoError(t, err)

	_, err = ours.IssueTo(out, pki.Request{Name: "eagle", Client: true})
	require.ErrorIs(t, err, pki.ErrExists)
	after, err := os.ReadFile(files.Cert)
	require.NoError(t, err)
	assert.Equal(t, before, after)

	// Both are trusted while the authorities change.
	require.NoError(t, os.WriteFile(files.CA, append(theirs.PEM(), ours.PEM()...), 0o600))
	_, err = ours.IssueTo(out, pki.Request{Name: "eagle", Client: true})
	require.NoError(t, err)
}

// TestReaderSeesWholePairs reads a pair as fast as it can while it is issued again and again.
func TestReaderSeesWholePairs(t *testing.T) {
	ca, _ := newCA(t)
	out := t.TempDir()
	request := pki.Request{Name: "eagle", Client: true}
	files, err := ca.IssueTo(out, request)
	require.NoError(t, err)

	issued := make(chan error, 1)
	go func() {
		for range 50 {
			if _, err := ca.IssueTo(out, request); err != nil {
				issued <- err
				return
			}
		}
		issued <- nil
	}()
	serials := map[string]bool{}
	for done := false; !done; {
		select {
		case err := <-issued:
			require.NoError(t, err)
			done = true
		default:
		}
		pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
		require.NoError(t, err)
		serials[pair.Leaf.SerialNumber.String()] = true
	}
	assert.Greater(t, len(serials), 1, "the certificate has changed")
}

func TestNewKey(t *testing.T) {
	ca, _ := newCA(t)
	out := t.TempDir()
	files, err := ca.IssueTo(out, pki.Request{Name: "eagle", Client: true})
	require.NoError(t, err)
	before, err := os.ReadFile(files.Key)
	require.NoError(t, err)

	_, err = ca.IssueTo(out, pki.Request{Name: "eagle", Client: true, NewKey: true})
	require.NoError(t, err)
	after, err := os.ReadFile(files.Key)
	require.NoError(t, err)
	assert.NotEqual(t, before, after)
	_, err = tls.LoadX509KeyPair(files.Cert, files.Key)
	require.NoError(t, err)

	require.NoError(t, os.WriteFile(files.Key, []byte("hunter2"), 0o600))
	_, err = ca.IssueTo(out, pki.Request{Name: "eagle", Client: true})
	require.ErrorContains(t, err, "--new-key")
	assert.NotContains(t, err.Error(), "hunter2")
}
