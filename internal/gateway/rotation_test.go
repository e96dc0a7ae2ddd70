package gateway

import (
	"crypto/tls"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// works tells whether a key is in force, and the error code if it is not.
func (s *site) works(k key) (bool, string) {
	_, _, _, err := s.client(k).GetObject(s.t.Context(), BucketZip, "branch-001/a.zip", minio.GetObjectOptions{})
	return err == nil, code(err)
}

func (s *site) eventuallyWorks(k key, want bool) {
	s.t.Helper()
	eventually(s.t, func() bool { works, _ := s.works(k); return works == want }, "a key's access changes")
}

func TestKeysChangeWithoutARestart(t *testing.T) {
	s, opts := newSite(t)
	other := newKey()
	opts.EagleKeys = append(opts.EagleKeys, s.writeKey("other", other))
	s.start(opts)
	server := s.session.server.current().Pid()
	s.eventuallyWorks(s.key, true)
	s.eventuallyWorks(other, true)

	sameName, fresh := key{s.key.access, newKey().secret}, newKey()
	s.writeKey("eagle", sameName)
	s.eventuallyWorks(sameName, true)
	works, why := s.works(s.key)
	assert.False(t, works, "the old secret is out of force as soon as the new one is in force")
	assert.Equal(t, "SignatureDoesNotMatch", why)
	s.writeKey("eagle", fresh)
	s.eventuallyWorks(fresh, true)
	works, why = s.works(sameName)
	assert.False(t, works)
	assert.Equal(t, "InvalidAccessKeyId", why)
	require.NoError(t, s.putAs(fresh, "d1/fresh.tar.zst"), "the policies have the new name, too")

	s.spoilKeys(fresh, other)
	s.writeKey("eagle", s.key)
	s.eventuallyWorks(s.key, true)
	assert.Equal(t, server, s.session.server.current().Pid(), "versitygw was not started again")
}

func (s *site) putAs(k key, key string) error {
	_, err := s.client(k).Client.PutObject(s.t.Context(), BucketStage, key, strings.NewReader("x"), 1, minio.PutObjectOptions{})
	return err
}

// spoilKeys writes nonsense, which changes nothing, and removes files, which locks out.
func (s *site) spoilKeys(eagle, other key) {
	s.t.Helper()
	for text, complaint := range map[string]string{
		"":                                   "it is empty",
		"no colon":                           "there is no colon",
		other.access + ":" + newKey().secret: "both have the access key",
	} {
		require.NoError(s.t, os.WriteFile(s.keyFile, []byte(text), 0o600))
		eventually(s.t, func() bool { return strings.Contains(s.log.String(), complaint) }, complaint)
		works, _ := s.works(eagle)
		assert.True(s.t, works, "the last good key stays in force: %s", complaint)
	}
	require.NoError(s.t, os.Remove(s.keyFile))
	s.eventuallyWorks(eagle, false)
	s.eventuallyWorks(other, true)
	require.NoError(s.t, os.Remove(filepath.Join(filepath.Dir(s.state), "other.key")))
	s.eventuallyWorks(other, false)
	assert.Contains(s.t, s.log.String(), "is gone")
}

func TestTheCertificateChangesWithoutARestart(t *testing.T) {
	s, opts := newSite(t)
	large := bytesOf(8 << 20)
	s.write("zip/large.zip", large)
	s.startTLS(opts)
	serial := func() int64 {
		conn, err := tls.Dial("tcp", strings.TrimPrefix(s.URL(), "https://"), &tls.Config{RootCAs: s.authority})
		require.NoError(t, err)
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	require.EqualValues(t, 1, serial())
	under, _, _, err := s.eagle().GetObject(t.Context(), BucketZip, "large.zip", minio.GetObjectOptions{})
	require.NoError(t, err)
	defer under.Close()
	half := make([]byte, 1<<20)
	_, err = under.Read(half)
	require.NoError(t, err)

	certFile, keyFile := s.writeCertificate(2)
	eventually(t, func() bool { return serial() == 2 }, "the new certificate is in use")
	rest, err := io.ReadAll(under)
	require.NoError(t, err)
	assert.Greater(t, len(rest), 6<<20, "what is under way is not cut off")

	require.NoError(t, os.WriteFile(certFile, []byte("half a certif"), 0o600))
	eventually(t, func() bool { return strings.Contains(s.log.String(), "cannot be used") }, "a complaint")
	require.NoError(t, os.Remove(keyFile))
	assert.EqualValues(t, 2, serial(), "the last good certificate stays")
	s.writeCertificate(3)
	eventually(t, func() bool { return serial() == 3 }, "the next good certificate is in use")
}

func TestKeyFiles(t *testing.T) {
	long := strings.Repeat("s", 40)
	for name, test := range map[string]struct {
		text, want string
	}{
		"a key":               {"eagle:" + long, ""},
		"with an end of line": {"eagle-1._:" + long + "\r\n", ""},
		"colons in a secret":  {"eagle:" + long + ":/+=", ""},
		"empty":               {"", "it is empty"},
		"blank":               {" \n", "there is no colon"},
		"one word":            {long, "there is no colon"},
		"short access key":    {"e:" + long, "access key must be"},
		"slash":               {"e/agle:" + long, "access key must be"},
		"comma":               {"ea,gle:" + long, "access key must be"},
		"short secret":        {"eagle:" + long[:15], "at least 16"},
		"space in a secret":   {"eagle:" + long + " " + long, "one line of printable"},
		"two lines":           {"eagle:" + long + "\nother:" + long, "one line of printable"},
		"not ASCII":           {"eagle:" + long + "ü", "one line of printable"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "key")
			require.NoError(t, os.WriteFile(path, []byte(test.text), 0o600))
			_, err := readKey(path)
			if test.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, ErrBadKey)
			assert.ErrorContains(t, err, test.want)
			assert.ErrorContains(t, err, path)
			assert.NotContains(t, err.Error(), "sss", "no secret in a message")
		})
	}
	_, err := readKey(t.TempDir())
	assert.Error(t, err, "a directory")
}
