package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/ftpclient/ftptest"
)

// tries is how often a server is asked for its listing in one run.
const tries = 4

// silences are servers that stop to answer, in each phase of a session.
func silences() []fault {
	faults := []fault{
		{
			name: "F07 stopped before the greeting", settings: impatient, arrange: func(b *site) { b.fake.Pause() },
			want: nothing("server_unreachable", "i/o timeout"),
		},
		{
			name: "F07 stopped in a listing", settings: impatient, arrange: func(b *site) { b.fake.On("MLSD", pausing("MLSD")) },
			want: nothing("server_unreachable", "i/o timeout"),
		},
		{
			name: "F07 mute at RETR", settings: impatient, arrange: func(b *site) { b.onHit(ftptest.Mute) },
			want: failedHit("connection_lost", "RETR"),
		},
		{
			name: "F08 slow greeting", settings: ", connect_timeout: 2s",
			arrange: func(b *site) {
				b.fake.On("greeting", ftptest.SlowReply("220 "+strings.Repeat("welcome ", 100), 100*time.Millisecond))
			},
			want: nothing("server_unreachable", "not logged in within 2s"),
		},
		{
			name: "F08 endless greeting", arrange: func(b *site) { b.fake.On("greeting", ftptest.EndlessReply("220-welcome")) },
			want: nothing("protocol_error", "longer than a megabyte"),
		},
		{
			name: "F08 greeting of ten megabytes", arrange: func(b *site) { b.fake.On("greeting", ftptest.LongReply(220, 10<<20)) },
			want: nothing("protocol_error", "longer than a megabyte"),
		},
	}
	for command, reason := range map[string]string{
		"greeting": "server_unreachable", "USER": "server_unreachable", "PASS": "server_unreachable", "FEAT": "server_unreachable",
		"TYPE": "server_unreachable", "CWD": "connection_lost", "EPSV": "connection_lost", "MLSD": "connection_lost",
	} {
		faults = append(faults, fault{
			name: "F07 mute at " + command, settings: impatient, arrange: func(b *site) { b.fake.On(command, ftptest.Mute) },
			want: nothing(reason),
			ledger: func(o *observed) {
				assert.LessOrEqual(o, o.site.fake.Connections(), tries, "a mute server costs one connection, and one at each further try")
			},
		})
	}
	return faults
}

// connectionFaults keep sessions from coming about.
func connectionFaults(t *testing.T) []fault {
	hole, err := ftptest.NewBlackhole()
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, hole.Close()) })
	at := func(port int) func(*site) { return func(b *site) { b.port = port } }
	return []fault{
		{
			name: "F09 reset on connect", arrange: func(b *site) { b.fake.On("greeting", ftptest.Reset) },
			want: nothing("server_unreachable", "connection reset"),
		},
		{
			name: "F09 closed port", bare: true, arrange: at(ftptest.ClosedPort(t)), forever: true,
			want: nothing("server_unreachable", "connection refused"),
		},
		{
			name: "F09 blackhole", bare: true, settings: impatient, arrange: at(hole.Port()), forever: true,
			want: nothing("server_unreachable", "timeout"),
		},
		{
			name: "F11 wrong password", arrange: func(b *site) { b.fake.On("PASS", ftptest.Say("530 Login incorrect.")) },
			want: nothing("login_refused", "530 Login incorrect"),
			ledger: func(o *observed) {
				assert.Equal(o, 1, o.site.fake.RefusedLogins(), "one refused login per run, or the account gets locked")
			},
		},
	}
}

// crowdedFaults have no room for another session, or no time for a file.
func crowdedFaults() []fault {
	full := "421 There are too many connected users, please try later."
	return []fault{
		{
			name: "F10 two sessions at most", options: ftptest.Options{MaxSessions: 2},
			arrange: func(b *site) {
				for i := range 20 {
					b.put(fmt.Sprint(i, ".csv"), text(fmt.Sprint(i), 2000))
				}
			},
			ledger: func(o *observed) {
				assert.LessOrEqual(o, o.site.fake.Connections(), 12, "no hot loop of logins")
			},
		},
		{
			name: "F10 full house", arrange: func(b *site) { b.fake.On("greeting", ftptest.SayAndHangUp(full)) },
			want: nothing("server_busy", "too many connected users"),
			ledger: func(o *observed) {
				assert.LessOrEqual(o, o.site.fake.Connections(), tries, "no hot loop of logins")
			},
		},
		{
			name: "F10 thrown out in mid-session", settings: ", connections: 1",
			arrange: func(b *site) {
				b.onHit(once(ftptest.SayAndHangUp("421 Service not available, closing.")))
			},
		},
		{
			name: "F12 file busy for a while",
			arrange: func(b *site) {
				b.onHit(ftptest.First(2, ftptest.Say("450 File is in use."), ftptest.Default("RETR")))
			},
		},
		{
			name: "F12 file busy all the time", arrange: func(b *site) { b.onHit(ftptest.Say("450 File is in use.")) },
			want: failedHit("file_busy", "450 File is in use."),
		},
	}
}

// supportFaults lack what the protocol offers.
func supportFaults() []fault {
	once := func(commands ...string) func(*observed) {
		return func(o *observed) {
			for _, command := range commands {
				assert.LessOrEqual(o, o.site.fake.Commands(command), 2, "what was learned is remembered: %s", command)
			}
		}
	}
	return []fault{
		{
			name: "F14 extensions refused", settings: ", connections: 1",
			arrange: func(b *site) {
				for command, reply := range map[string]string{
					"EPSV": "502 Not implemented.", "MLSD": "500 Unknown command.", "SIZE": "502 Not implemented.", "OPTS": "500 What?",
				} {
					b.fake.On(command, ftptest.Say(reply))
				}
			},
			want:    outcome{says: []string{"the server refuses MLSD"}},
			heal:    func(*site) {},
			finally: once("MLSD", "EPSV", "OPTS"),
		},
		{
			name: "F14 no extensions", options: ftptest.Options{Without: []string{"EPSV", "MLSD", "MDTM", "SIZE", "REST", "FEAT", "UTF8"}},
		},
		{
			name: "F14 MLSD announced, but broken", arrange: func(b *site) { b.fake.On("MLSD", ftptest.Send("what?\r\n", sent)) },
			want: outcome{says: []string{"the server refuses MLSD"}},
			heal: func(*site) {},
		},
	}
}

// dataPortFaults name data ports that are not the server's.
func dataPortFaults() []fault {
	pasv := func(ip string) func(*site) {
		return func(b *site) {
			b.fake.On("EPSV", ftptest.Say("500 Unknown command."))
			b.fake.On("PASV", ftptest.PassiveHost(ip))
		}
	}
	return []fault{
		{name: "F27 PASV to a third host", arrange: pasv("192.0.2.1")},
		{name: "F27 PASV to the metadata service", arrange: pasv("169.254.169.254")},
		{
			name: "F27 EPSV to port 22", arrange: func(b *site) { b.fake.On("EPSV", ftptest.PassivePort(22)) },
			want: nothing("protocol_error", "min_data_port"),
		},
		{
			name: "F27 EPSV to a closed port", arrange: func(b *site) { b.fake.On("EPSV", ftptest.PassivePort(ftptest.ClosedPort(b.stack.t))) },
			want: outcome{says: []string{"EPSV leads to no data connection: PASV is used"}},
			heal: func(*site) {},
		},
	}
}
