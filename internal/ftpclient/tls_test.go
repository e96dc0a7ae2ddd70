package ftpclient_test

import (
	"crypto/tls"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/ftpclient"
	"talon/internal/ftpclient/ftptest"
)

// tlsModes runs a test with both kinds of TLS, with a server of these options.
func tlsModes(t *testing.T, server ftptest.Options, test func(t *testing.T, b *bed)) {
	t.Helper()
	for _, mode := range []ftpclient.TLSMode{ftpclient.TLSExplicit, ftpclient.TLSImplicit} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			test(t, newBed(t, mode, server))
		})
	}
}

// parks: the error is final for this run, and no other try reaches the server.
func (b *bed) parks(t *testing.T, kind error) {
	t.Helper()
	tried := b.Connections()
	err := b.dialling(ctx)
	require.ErrorIs(t, err, kind)
	assert.True(t, ftpclient.IsParked(err))
	assert.Equal(t, tried, b.Connections())
	b.pool.Begin(b.opt.Name, "next run", ftpclient.Behaviour{})
}

func TestF29CertificateNotTrusted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		issue func() (ftptest.Identity, error)
		words string
	}{
		"expired":     {func() (ftptest.Identity, error) { return trusted().Expired() }, "certificate has expired"},
		"self-signed": {ftptest.SelfSigned, "certificate signed by unknown authority"},
		"wrong name":  {func() (ftptest.Identity, error) { return trusted().WrongName() }, "cannot validate certificate for 127.0.0.1"},
		"another authority": {func() (ftptest.Identity, error) {
			other, err := ftptest.NewAuthority()
			if err != nil {
				return ftptest.Identity{}, err
			}
			return other.Valid()
		}, "unknown authority"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad, err := c.issue()
			require.NoError(t, err)
			tlsModes(t, ftptest.Options{Config: bad.Config()}, func(t *testing.T, b *bed) {
				b.put(path, size)
				b.failed(t, b.dialling(ctx), ftpclient.ErrUntrusted, c.words)
				b.parks(t, ftpclient.ErrUntrusted)
				assert.False(t, b.said("USER") || b.said("PASS"), "a stranger is told nothing")
				b.SetTLS(trusted().server.Config())
				b.collects(t, path)
			})
		})
	}
}

// TestF29CertificateChangesInTheMiddle of a run: sessions that are open go on, no new one is made.
func TestF29CertificateChangesInTheMiddle(t *testing.T) {
	t.Parallel()
	bad, err := ftptest.SelfSigned()
	require.NoError(t, err)
	tlsModes(t, ftptest.Options{}, func(t *testing.T, b *bed) {
		b.put(path, size)
		b.collects(t, path)
		b.SetTLS(bad.Config())
		b.collects(t, path)
		held := get(t, b.pool, b.opt)
		require.ErrorIs(t, b.dialling(ctx), ftpclient.ErrUntrusted)
		assert.Equal(t, 1, b.Commands("PASS"))
		b.pool.Put(held)
	})
}

// TestF29EncryptionRefused: there is no way back to clear text.
func TestF29EncryptionRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		command string
		react   reaction
		words   string
		silent  []string // never sent
	}{
		"AUTH refused":     {"AUTH", say("502 Not implemented."), "AUTH: encryption refused: 502 Not implemented.", []string{"USER", "PASS"}},
		"AUTH unknown":     {"AUTH", say("500 What?"), "500 What?", []string{"USER", "PASS"}},
		"AUTH then clear":  {"AUTH", say("234 Proceed.\r\n220 in clear"), "does not look like a TLS handshake", []string{"USER", "PASS"}},
		"PBSZ refused":     {"PBSZ", say("500 What?"), "PBSZ: encryption refused: 500 What?", []string{"EPSV", "RETR"}},
		"PROT refused":     {"PROT", say("536 Not supported."), "PROT: encryption refused: 536 Not supported.", []string{"EPSV", "RETR"}},
		"PROT unknown":     {"PROT", say("502 No."), "502 No.", []string{"EPSV", "RETR"}},
		"PROT other level": {"PROT", say("534 Only clear."), "534 Only clear.", []string{"EPSV", "RETR"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, mode := range []ftpclient.TLSMode{ftpclient.TLSExplicit, ftpclient.TLSImplicit} {
				if mode == ftpclient.TLSImplicit && c.command == "AUTH" {
					continue
				}
				t.Run(string(mode), func(t *testing.T) {
					t.Parallel()
					b := newBed(t, mode, ftptest.Options{})
					v := b.put(path, size)
					b.On(c.command, c.react)
					b.fails(t, b.wanted(path), v, ftpclient.ErrNoTLS, c.words)
					b.parks(t, ftpclient.ErrNoTLS)
					for _, command := range c.silent {
						assert.False(t, b.said(command), command)
					}
					b.Off(c.command)
					b.collects(t, path)
				})
			}
		})
	}
	t.Run("server without TLS", func(t *testing.T) {
		t.Parallel()
		for mode, words := range map[ftpclient.TLSMode]string{
			ftpclient.TLSExplicit: "502 AUTH is not implemented.", ftpclient.TLSImplicit: "first record does not look like a TLS handshake",
		} {
			b := newBed(t, ftpclient.TLSNone, ftptest.Options{})
			b.opt.TLS, b.opt.RootCAs = mode, trusted().roots
			b.failed(t, b.dialling(ctx), ftpclient.ErrNoTLS, words)
			assert.False(t, b.said("USER") || b.said("PASS"))
		}
	})
}

func TestTLSVersions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		server   uint16
		min, max uint16
		words    string // "": they agree
	}{
		"1.2":             {tls.VersionTLS12, 0, 0, ""},
		"1.3":             {tls.VersionTLS13, 0, 0, ""},
		"1.2 at most":     {tls.VersionTLS12, 0, tls.VersionTLS12, ""},
		"1.3 at least":    {tls.VersionTLS13, tls.VersionTLS13, 0, ""},
		"too weak":        {tls.VersionTLS11, 0, 0, "protocol version not supported"},
		"weak is allowed": {tls.VersionTLS11, tls.VersionTLS11, 0, ""},
		"too old":         {tls.VersionTLS12, tls.VersionTLS13, 0, "protocol version not supported"},
		"too new":         {tls.VersionTLS13, 0, tls.VersionTLS12, "protocol version not supported"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var seen atomic.Uint32
			config := version(c.server)
			config.VerifyConnection = func(state tls.ConnectionState) error {
				seen.Store(uint32(state.Version))
				return nil
			}
			tlsModes(t, ftptest.Options{Config: config}, func(t *testing.T, b *bed) {
				b.put(path, size)
				b.opt.MinTLS, b.opt.MaxTLS = c.min, c.max
				if c.words == "" {
					b.collects(t, path)
					assert.EqualValues(t, c.server, seen.Load())
					return
				}
				b.failed(t, b.dialling(ctx), ftpclient.ErrNoTLS, c.words)
				b.parks(t, ftpclient.ErrNoTLS)
				assert.False(t, b.said("USER") || b.said("PASS"))
				b.SetTLS(trusted().server.Config())
				b.collects(t, path)
			})
		})
	}
}

func TestTLSName(t *testing.T) {
	t.Parallel()
	elsewhere, err := trusted().WrongName()
	require.NoError(t, err)
	tlsModes(t, ftptest.Options{Config: elsewhere.Config()}, func(t *testing.T, b *bed) {
		b.put(path, size)
		b.opt.TLSName = "ftp.example.org"
		b.collects(t, path)
	})
}

func TestSelfSignedCertificateThatIsTrusted(t *testing.T) {
	t.Parallel()
	self, err := ftptest.SelfSigned()
	require.NoError(t, err)
	tlsModes(t, ftptest.Options{Config: self.Config()}, func(t *testing.T, b *bed) {
		b.put(path, size)
		b.opt.RootCAs = self.Pool()
		b.collects(t, path)
		b.opt.RootCAs, b.opt.InsecureSkipVerify = trusted().roots, true
		b.collects(t, path)
	})
}

func TestClientCertificate(t *testing.T) {
	t.Parallel()
	mine, err := trusted().Client("talon")
	require.NoError(t, err)
	stranger, err := ftptest.NewAuthority()
	require.NoError(t, err)
	unknown, err := stranger.Client("talon")
	require.NoError(t, err)
	for _, v := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(v), func(t *testing.T) {
			t.Parallel()
			tlsModes(t, ftptest.Options{Config: version(v), ClientCA: trusted().Pool()}, func(t *testing.T, b *bed) {
				b.put(path, size)
				for _, certificate := range []*tls.Certificate{nil, &unknown.Certificate} {
					b.opt.Certificate = certificate
					b.failed(t, b.dialling(ctx), ftpclient.ErrNoTLS, "tls: ")
					b.parks(t, ftpclient.ErrNoTLS)
				}
				assert.False(t, b.said("PASS"))
				b.opt.Certificate = &mine.Certificate
				b.collects(t, path)
			})
		})
	}
}

// TestSessionReuse: servers that insist on it find it, in either version.
func TestSessionReuse(t *testing.T) {
	t.Parallel()
	for _, v := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(v), func(t *testing.T) {
			t.Parallel()
			tlsModes(t, ftptest.Options{Config: version(v), RequireSessionReuse: true, RequireProtection: true}, func(t *testing.T, b *bed) {
				b.put(path, size)
				for range 3 {
					l, err := b.list(ftpclient.ListQuery{Dir: "/out"})
					require.NoError(t, err)
					assert.Len(t, l.Entries, 1)
					b.collects(t, path)
				}
				assert.Equal(t, 1, b.Connections())
				assert.Equal(t, ftpclient.Yes, b.pool.Behaviour(b.opt.Name).TLSResume)
			})
		})
	}
}

func TestServersThatRequireTLS(t *testing.T) {
	t.Parallel()
	b := newBed(t, ftpclient.TLSExplicit, ftptest.Options{RequireTLS: true, RequireProtection: true})
	b.put(path, size)
	b.collects(t, path)
	clear := b.opt
	clear.TLS = ftpclient.TLSNone
	b.pool.CloseServer(b.opt.Name)
	_, err := b.pool.Get(ctx, clear)
	names(t, err, ftpclient.ErrLoginRefused, "530 Non-anonymous sessions must use encryption.")
}
