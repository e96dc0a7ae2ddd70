package e2e

import (
	"crypto/tls"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/ftpclient/ftptest"
)

// TestFaultsUnderTLS is TestFaults over explicit FTPS, with what can only go wrong there.
func TestFaultsUnderTLS(t *testing.T) {
	t.Parallel()
	secure := newSecurity(t)
	faults := slices.Concat(transferFaults(), reuseFaults(secure), encryptionFaults(), certificateFaults(t, secure))
	newFaultRun(t, faults, secure).run()
}

// reuseFaults are servers that want data connections to resume the TLS session of the control connection.
func reuseFaults(secure *security) []fault {
	strict := ftptest.Options{RequireTLS: true, RequireProtection: true, RequireSessionReuse: true}
	return []fault{
		{
			name: "F24 no session reuse for the listing", arrange: func(b *site) {
				for _, command := range []string{"MLSD", "LIST"} {
					b.fake.On(command, ftptest.Say("522 SSL connection failed; session reuse required."))
				}
			},
			want: nothing("encryption_refused", "522 SSL connection failed"),
		},
		{
			name: "F24 no data connection for the listing",
			arrange: func(b *site) {
				b.fake.On("MLSD", ftptest.Say("425 Unable to build data connection: TLS session of data connection not resumed."))
			},
			want: nothing("connection_lost", "425 Unable to build data connection"),
		},
		{name: "F24 session reuse required", options: strict, ledger: protected},
		{
			name: "F24 session reuse required with TLS 1.2", options: strict, ledger: protected,
			arrange: func(b *site) {
				config := secure.server.Config()
				config.MaxVersion = tls.VersionTLS12
				b.fake.SetTLS(config)
			},
			heal: func(*site) {},
		},
	}
}

// encryptionFaults refuse, break or leave out encryption.
func encryptionFaults() []fault {
	return []fault{
		{
			name: "F29 AUTH TLS stripped", arrange: func(b *site) { b.fake.On("AUTH", ftptest.Say("502 Not implemented.")) },
			want: nothing("encryption_refused", "502 Not implemented"), ledger: silent,
		},
		{
			name: "F29 PROT P refused", arrange: func(b *site) { b.fake.On("PROT", ftptest.Say("536 PROT level not supported.")) },
			want: nothing("encryption_refused", "536 PROT level"),
			ledger: func(o *observed) {
				assert.Zero(o, o.site.fake.Commands("MLSD")+o.site.fake.Commands("LIST"), "nothing is asked for in clear")
			},
		},
		{
			name: "F30 cut between two TLS records", arrange: func(b *site) { b.onHit(ftptest.CutWithoutNotify(3000, sent)) },
			want: failedHit("transfer_truncated", "3000 bytes of 5000", "cut off without TLS's close_notify"),
		},
		{
			name: "F30 whole without close_notify",
			arrange: func(b *site) {
				b.onHit(ftptest.Transfer(ftptest.Rest(), ftptest.CloseWithoutNotify(), ftptest.Reply(sent)))
			},
		},
		{name: "F31 data connections are TLS", options: ftptest.Options{RequireTLS: true, RequireProtection: true}, ledger: protected},
		{
			name: "F28 data connection in clear", settings: impatient, arrange: func(b *site) {
				b.onHit(func(s *ftptest.Session, _ string) {
					s.Fault("in clear")
					s.Say("150 Here it comes.")
					if data, err := s.OpenClearData(); err == nil {
						_, _ = data.Write(text("not what was asked for", 5000)) // the client may have hung up
						_ = data.Close()
					}
					s.Say(sent)
				})
			},
			want: outcome{
				result: partly, reason: "encryption_refused", says: []string{"does not look like a TLS handshake"},
				failed: map[string]string{hit: "encryption_refused"},
			},
		},
	}
}

// certificateFaults show certificates that prove nothing.
func certificateFaults(t *testing.T, secure *security) []fault {
	expired, err := secure.Expired()
	require.NoError(t, err)
	stranger, err := secure.WrongName()
	require.NoError(t, err)
	alone, err := ftptest.SelfSigned()
	require.NoError(t, err)
	var faults []fault
	for name, id := range map[string]ftptest.Identity{"expired": expired, "of another host": stranger, "self-signed": alone} {
		faults = append(faults, fault{
			name: "F29 certificate " + name, arrange: func(b *site) { b.fake.SetTLS(id.Config()) },
			want: nothing("certificate_untrusted", "certificate"), ledger: silent,
			heal: func(b *site) { b.fake.SetTLS(secure.server.Config()) },
		})
	}
	return faults
}

// silent demands that neither user nor password was told to anybody.
func silent(o *observed) {
	assert.Zero(o, o.site.fake.Commands("USER")+o.site.fake.Commands("PASS"), "credentials were sent")
}

// protected demands that no data went in clear.
func protected(o *observed) {
	assert.NotZero(o, o.site.fake.Commands("PROT P"))
	assert.Zero(o, o.site.fake.Commands("PROT C")+o.site.fake.Commands("CCC"))
}
