package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// writePair writes name.crt, self-signed, and name.key.
func writePair(t *testing.T, directory, name string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	writeSecret(t, directory, name+".crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	writeSecret(t, directory, name+".key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})))
	certificate, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return certificate
}

func TestTLSFiles(t *testing.T) {
	directory := t.TempDir()
	certificate, other := writePair(t, directory, "a"), writePair(t, directory, "b")
	writeSecret(t, directory, "talon.yaml", `
defaults: {host: h, tls: explicit, tls_ca: a.crt}
servers:
  authority: {}
  authority-too: {tls_ca: ./a.crt, tls_name: n}
  pair: {tls_cert: a.crt, tls_key: a.key}
  both: {tls_ca: b.crt, tls_cert: a.crt, tls_key: a.key}
  system: {tls_ca: ""}
  plain: {tls: none}
`)
	config, err := Load(filepath.Join(directory, "talon.yaml"))
	require.NoError(t, err)
	assert.Nil(t, config.Servers["authority"].TLSMaterial, "a host without the files can load the configuration")
	require.NoError(t, resolveAll(config))

	authority := config.Servers["authority"].TLSMaterial
	require.NotNil(t, authority)
	assert.Same(t, authority, config.Servers["authority-too"].TLSMaterial, "what is of the same files can be compared")
	assert.Nil(t, authority.Certificate)
	assert.True(t, verifies(authority, certificate))
	assert.False(t, verifies(authority, other))

	both := config.Servers["both"].TLSMaterial
	assert.True(t, verifies(both, other))
	assert.False(t, verifies(both, certificate))
	require.NotNil(t, both.Certificate)
	assert.Equal(t, certificate.Raw, both.Certificate.Certificate[0])
	assert.NotNil(t, config.Servers["pair"].TLSMaterial.Certificate)

	assert.Nil(t, config.Servers["system"].TLSMaterial)
	assert.Nil(t, config.Servers["plain"].TLSMaterial)
	assert.Equal(t, "n h", config.Servers["authority-too"].TLSName+" "+config.Servers["authority"].TLSName)

	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		assert.Equal(t, masked, fmt.Sprintf(verb, both), verb)
		assert.Equal(t, masked, fmt.Sprintf(verb, *both), verb)
	}
	text, err := json.Marshal(both)
	require.NoError(t, err)
	assert.Equal(t, `"`+masked+`"`, string(text))
}

func verifies(material *TLSMaterial, certificate *x509.Certificate) bool {
	_, err := certificate.Verify(x509.VerifyOptions{Roots: material.Roots})
	return err == nil
}

func TestTLSFilesThatCannotBeUsed(t *testing.T) {
	directory := t.TempDir()
	writePair(t, directory, "a")
	writePair(t, directory, "b")
	writeSecret(t, directory, "nothing", hunter)
	writeSecret(t, directory, "damaged", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte(hunter)})))
	writeSecret(t, directory, "hunter.key", "-----BEGIN hunter2-----\naHVudGVyMg==\n-----END hunter2-----\n")
	writeSecret(t, directory, "large", strings.Repeat(hunter, maxPEMFile/len(hunter)+1))
	writeSecret(t, directory, "talon.yaml", `
defaults: {host: h, tls: explicit, tls_ca: missing}
servers:
  a: {}
  b: {}
  c: {tls_ca: nothing}
  d: {tls_ca: damaged}
  e: {tls_ca: large}
  f: {tls_ca: "", tls_cert: a.crt, tls_key: b.key}
  g: {tls_ca: a.key, tls_cert: a.crt, tls_key: hunter.key}
  h: {tls_ca: "", tls_cert: a.key, tls_key: .}
  i: {tls: none, password: {env: TALON_TEST_UNSET}}
`)
	t.Chdir(directory)
	config, err := Load("talon.yaml")
	require.NoError(t, err)

	file := func(name string) string { return fmt.Sprintf("file %q", filepath.Join(directory, name)) }
	const anotherKey = " holds no private key of the certificate in tls_cert: " +
		"name the PEM file with its key, not encrypted (-----BEGIN PRIVATE KEY-----)"
	const noCertificate = " holds no certificate: name a PEM file with one (-----BEGIN CERTIFICATE-----)"
	const unreadableHint = ": make it readable for the user that runs this program"
	err = resolveAll(config)
	assert.EqualError(t, err, strings.Join([]string{
		"talon.yaml:2:44: cannot read " + file("missing") +
			" (no such file or directory): create it, or correct the path (a relative one starts at the configuration file)",
		"talon.yaml:6:15: " + file("nothing") + noCertificate,
		"talon.yaml:7:15: certificate 1 in " + file("damaged") + " cannot be read: export it again, as PEM",
		"talon.yaml:8:15: cannot read " + file("large") + " (it is too large)" + unreadableHint,
		"talon.yaml:9:45: " + file("b.key") + anotherKey,
		"talon.yaml:10:15: " + file("a.key") + noCertificate,
		"talon.yaml:10:48: " + file("hunter.key") + anotherKey,
		"talon.yaml:11:29: " + file("a.key") + noCertificate,
		"talon.yaml:11:45: cannot read file \"" + directory + "\" (is a directory)" + unreadableHint,
		"talon.yaml:12:28: environment variable TALON_TEST_UNSET is not set, or is empty: " +
			"set it where this program is started, or use {file: path}",
	}, "\n"))
	assert.NotContains(t, err.Error(), hunter)
	assert.Nil(t, config.Servers["f"].TLSMaterial)

	require.NoError(t, os.Symlink("a.crt", filepath.Join(directory, "missing")))
	assert.NotContains(t, resolveAll(config).Error(), "missing", "once the cause is gone it can be tried again")
	assert.NoError(t, config.ResolveExtractSecrets(), "an eagle needs no file of a server")
}
