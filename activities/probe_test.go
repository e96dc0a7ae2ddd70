package activities

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/config"
	"talon/internal/ftpclient"
	"talon/internal/ftpclient/ftptest"
)

// probed is what a probe says of the branch. It never says a password, and never too much.
func (s *site) probed(write bool) ServerProbe {
	s.t.Helper()
	probe := do(s, s.tiger.ProbeServer, ProbeServerInput{Run: "probe/k", Server: branch, Write: write})
	document, err := json.Marshal(probe)
	require.NoError(s.t, err)
	assert.NotContains(s.t, string(document), password)
	assert.LessOrEqual(s.t, len(document), maxProbe)
	assert.Zero(s.t, s.tiger.Pool.Len(), "no session is left")
	return probe
}

func outcomes(probe ServerProbe) map[string]string {
	all := map[string]string{}
	for _, check := range probe.Checks {
		all[check.Name] = check.Outcome
	}
	return all
}

func problems(probe ServerProbe) []string {
	all := []string{}
	for _, problem := range probe.Problems {
		all = append(all, problem.What)
	}
	return all
}

// furnished puts what a branch usually has.
func furnished(branch *ftptest.Server) {
	branch.Put("/outgoing/a.csv", []byte("alpha"), written)
	branch.Put("/outgoing/day/b.zip", []byte("much longer than alpha"), written)
}

func TestProbeOfAPerfectServer(t *testing.T) {
	s, branch := newScripted(t, ftptest.Options{}, ", connections: 3")
	furnished(branch)
	probe := s.probed(true)
	assert.Equal(t, Success, probe.Result)
	assert.Empty(t, probe.Problems)
	assert.Equal(t, fmt.Sprintf("127.0.0.1:%d", branch.Port()), probe.Address)
	assert.Equal(t, []Check{
		{CheckLogin, CheckOK, "as collector"},
		{CheckSessions, CheckOK, "3 at once (connections: 3)"},
		{CheckList, CheckOK, "2 files in 2 directories: 2 wanted, 0 excluded"},
		{CheckRead, CheckOK, "a byte of a.csv"},
		{CheckResume, CheckOK, "REST leads to the last byte"},
		{CheckTLS, CheckSkipped, "not encrypted (tls: none)"},
		{CheckStore, CheckOK, ""},
		{CheckRename, CheckOK, ""},
		{CheckDelete, CheckOK, ""},
	}, probe.Checks)
	assert.Equal(t, Learned{
		Software: "ready", Passive: "EPSV", Listing: "MLSD", REST: "yes", Charset: "ascii", Zone: "UTC", Sessions: 3,
		Features: []string{"EPSV", "MDTM", "MLST type*;size*;modify*;", "REST STREAM", "SIZE", "TVFS", "UTF8"},
	}, probe.Learned)
	assert.Len(t, branch.Files(), 2, "nothing is left behind")
}

// TestProbeIsRemembered: the next collection profits.
func TestProbeIsRemembered(t *testing.T) {
	s, branch := newScripted(t, ftptest.Options{Without: []string{"MLSD"}, MaxSessions: 2, Location: time.FixedZone("", 8*3600)}, "")
	furnished(branch)
	probe := s.probed(false)
	assert.Equal(t, "+08:00", probe.Learned.Zone)
	document, _, err := s.tiger.Catalog.Behaviour(t.Context(), probe.Server)
	require.NoError(t, err)
	var known ftpclient.Behaviour
	require.NoError(t, json.Unmarshal(document, &known))
	assert.Equal(t, ftpclient.Behaviour{Software: "ready", Resume: ftpclient.Yes, ZoneKnown: true, ZoneMinutes: 480, Sessions: 2}, known)
	assert.Equal(t, []string{"too_few_sessions", "no_mlsd"}, problems(s.probed(false)), "again, with what is known")
}

// TestProbeWithoutWriteChangesNothing: not even for a moment.
func TestProbeWithoutWriteChangesNothing(t *testing.T) {
	s, branch := newScripted(t, ftptest.Options{}, ", after: {move: /done}")
	furnished(branch)
	probe := s.probed(false)
	for _, check := range []string{CheckStore, CheckRename, CheckMove, CheckDelete} {
		assert.Equal(t, CheckSkipped, outcomes(probe)[check], check)
	}
	for _, event := range branch.Ledger() {
		assert.NotContains(t, []string{"STOR", "RNFR", "RNTO", "DELE", "MKD", "RMD", "APPE"}, event.Command)
	}
}

// fault is a branch that is not as it should be, and what a probe says of it.
type fault struct {
	options  ftptest.Options
	settings string
	set      func(*config.Server)
	broken   func(branch *ftptest.Server)
	result   int
	problems []string // codes
	advice   string   // part of the first
	failed   []string // checks
}

func (f fault) prove(t *testing.T, write bool) {
	s, branch := newScripted(t, f.options, f.settings)
	furnished(branch)
	if f.set != nil {
		s.set(f.set)
	}
	if f.broken != nil {
		f.broken(branch)
	}
	probe := s.probed(write)
	assert.Equal(t, f.result, probe.Result, probe)
	require.Equal(t, f.problems, problems(probe), probe)
	assert.Contains(t, probe.Problems[0].Advice, f.advice)
	for _, problem := range probe.Problems {
		assert.NotEmpty(t, problem.Detail, problem.What)
		assert.Regexp(t, `^[A-Z].*\.$`, problem.Advice, "a sentence")
		assert.NotContains(t, problem.Advice, "%!", "a verb of fmt that is left over")
	}
	failed := []string{}
	for _, check := range probe.Checks {
		if check.Outcome == CheckFailed {
			failed = append(failed, check.Name)
		}
	}
	assert.Equal(t, append([]string{}, f.failed...), failed)
}

// on replaces the reactions to commands, by pairs.
func on(command string, reaction ftptest.Reaction) func(*ftptest.Server) {
	return func(branch *ftptest.Server) { branch.On(command, reaction) }
}

// TestProbeFaults: what is wrong with a server, and what to do about it.
func TestProbeFaults(t *testing.T) {
	closed := ftptest.ClosedPort(t)
	list := []string{CheckList}
	for name, f := range map[string]fault{
		"switched off": {
			broken: (*ftptest.Server).Stop, result: Failed, problems: []string{"server_unreachable"}, advice: "Start the FTP service: nothing listens at 127.0.0.1:",
			failed: []string{CheckLogin},
		},
		"mute": {
			settings: ", connect_timeout: 1s", broken: on("greeting", nil), result: Failed, problems: []string{"server_unreachable"},
			advice: "does not let Talon log in", failed: []string{CheckLogin},
		},
		"behind a proxy that is down": {
			settings: fmt.Sprintf(", proxy: 'socks5://127.0.0.1:%d'", closed), result: Failed, problems: []string{"server_unreachable"},
			advice: fmt.Sprintf("Have the proxy 127.0.0.1:%d let tiger through", closed), failed: []string{CheckLogin},
		},
		"wrong password": {
			broken: on("PASS", ftptest.Say("530 Login incorrect.")), result: Failed, problems: []string{"login_refused"}, advice: "Check user collector and its password",
			failed: []string{CheckLogin},
		},
		"full": {
			broken: on("greeting", ftptest.SayAndHangUp("421 Too many connections.")), result: Failed, problems: []string{"server_busy"},
			advice: "no room for a session", failed: []string{CheckLogin},
		},
		"insists on TLS": {
			broken: on("USER", ftptest.Say("530 Non-anonymous sessions must use encryption.")), result: Failed, problems: []string{"login_refused"},
			advice: "Set tls: explicit", failed: []string{CheckLogin},
		},
		"no TLS": {
			settings: ", tls: explicit", result: Failed, problems: []string{"encryption_refused"}, advice: "Have TLS enabled", failed: []string{CheckLogin},
		},
		"plain where TLS is expected": {
			settings: ", tls: implicit", result: Failed, problems: []string{"encryption_refused"}, advice: "does not speak TLS where tls: implicit expects it",
			failed: []string{CheckLogin},
		},
		"nonsense": {
			broken: on("greeting", ftptest.Say("hello there")), result: Failed, problems: []string{"protocol_error"}, advice: "Ask the administrator",
			failed: []string{CheckLogin},
		},
		"one session": {
			options: ftptest.Options{MaxSessions: 1}, settings: ", connections: 3", result: Partial, problems: []string{"too_few_sessions"},
			advice: "Set connections: 1 for this server", failed: []string{CheckSessions},
		},
		"no directory": {
			set: func(s *config.Server) { s.Path = "/incoming" }, result: Failed, problems: []string{"directory_missing"}, advice: "Correct path (as user collector sees it", failed: list,
		},
		"denied directory": {
			broken: func(b *ftptest.Server) { b.Deny("/outgoing", "550 Permission denied.") }, result: Failed, problems: []string{"permission_denied"},
			advice: "Let user collector enter and list /outgoing.", failed: list,
		},
		"no data connection": {
			broken: func(b *ftptest.Server) {
				b.On("EPSV", ftptest.PassivePort(closed))
				b.On("PASV", ftptest.Say(fmt.Sprintf("227 Entering Passive Mode (127,0,0,1,%d,%d)", closed/256, closed%256)))
			}, result: Failed, problems: []string{"no_data_connection"}, advice: "pass the server's passive port range", failed: list,
		},
		"a private address": {
			settings: ", trust_data_host: true, passive: pasv, connect_timeout: 1s", broken: on("PASV", func(s *ftptest.Session, _ string) {
				s.Say(fmt.Sprintf("227 Entering Passive Mode (127,0,0,9,%d,%d)", closed/256, closed%256))
			}), result: Failed, problems: []string{"no_data_connection"}, advice: "set trust_data_host: false", failed: list,
		},
		"EPSV is blocked": {
			broken: on("EPSV", ftptest.PassivePort(closed)), result: Partial, problems: []string{"epsv_blocked"}, advice: "set passive: pasv",
		},
		"no MLSD": {
			options: ftptest.Options{Without: []string{"MLSD"}}, result: Partial, problems: []string{"no_mlsd"}, advice: "Have MLSD (RFC 3659) enabled",
		},
		"no MDTM": {
			options: ftptest.Options{Without: []string{"MDTM"}}, result: Partial, problems: []string{"no_mdtm"}, advice: "replaced by another of the same size",
		},
		"a zone nobody knows": {
			options: ftptest.Options{Without: []string{"MLSD", "MDTM"}}, settings: ", min_age: 1h", result: Partial,
			problems: []string{"zone_unknown", "no_mlsd", "no_mdtm"}, advice: "Set timezone to that of the server",
		},
		"another zone": {
			options: ftptest.Options{Without: []string{"MLSD"}, Now: func() time.Time { return written.Add(time.Hour) }}, settings: ", timezone: Asia/Shanghai",
			result: Partial, problems: []string{"wrong_timezone", "no_mlsd"}, advice: "Set timezone to the zone of the server's clock",
		},
		"REST is refused": {
			broken: on("REST", ftptest.Say("502 No.")), result: Partial, problems: []string{"no_rest"}, advice: "Have REST", failed: []string{CheckResume},
		},
		"REST is ignored": {
			broken: on("REST", ftptest.Say("350 ok")), result: Partial, problems: []string{"no_rest"}, advice: "starts anew", failed: []string{CheckResume},
		},
		"REST is off by one": {
			broken: on("REST", ftptest.ShiftREST(1)), result: Partial, problems: []string{"no_rest"}, advice: "starts anew", failed: []string{CheckResume},
		},
		"nothing can be read": {
			broken: on("RETR", ftptest.Say("550 Permission denied.")), result: Failed, problems: []string{"unreadable_file"},
			advice: "Let user collector read the files in /outgoing.", failed: []string{CheckRead},
		},
		"one file cannot be read": {
			broken: func(b *ftptest.Server) { b.Deny("/outgoing/a.csv", "550 Permission denied.", "RETR") }, result: Partial,
			problems: []string{"unreadable_file"}, advice: "Let user collector read",
		},
		"transfers break off": {
			broken: on("RETR", ftptest.Say("426 Broken.")), result: Failed, problems: []string{"connection_lost"}, advice: "Ask the administrator",
			failed: []string{CheckRead},
		},
		"a directory that is closed": {
			broken: func(b *ftptest.Server) { b.Deny("/outgoing/day", "550 Permission denied.") }, result: Partial,
			problems: []string{"unreadable_directory"}, advice: `Let user collector enter and list it, or exclude it (exclude: ["day/"]).`,
		},
		"lines that mean nothing": {
			broken: on("MLSD", ftptest.Gibberish("what is this?")), result: Partial, problems: []string{"unparsed_line"}, advice: "Set listing: list",
		},
		"nothing is wanted": {
			settings: ", include: ['*.xlsx']", result: Partial, problems: []string{"nothing_wanted"}, advice: "Correct include",
		},
		"names in GBK": {
			broken: func(b *ftptest.Server) { b.Put("/outgoing/\xd3\xe0\xb6\xee.csv", []byte("content"), written) }, result: Partial,
			problems: []string{"wrong_encoding"}, advice: "Set encoding: gbk for this server if a file is called 余额.csv there.",
		},
		"names in no charset": {
			broken: func(b *ftptest.Server) { b.Put("/outgoing/\xff\xff\xff.csv", []byte("content"), written) }, result: Partial,
			problems: []string{"wrong_encoding"}, advice: "Ask in which charset",
		},
		"names in UTF-8 after all": {
			settings: ", encoding: gbk", broken: func(b *ftptest.Server) { b.Put("/outgoing/营业部日终余额.csv", []byte("content"), written) }, result: Partial,
			problems: []string{"wrong_encoding"}, advice: "Set encoding: utf-8",
		},
	} {
		t.Run(name, func(t *testing.T) { f.prove(t, false) })
	}
}

// TestProbeBehindAFirewall: nobody refuses, nobody answers.
func TestProbeBehindAFirewall(t *testing.T) {
	hole, err := ftptest.NewBlackhole()
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, hole.Close()) })
	s, _ := newScripted(t, ftptest.Options{}, ", connect_timeout: 1s")
	s.set(func(server *config.Server) { server.Port = hole.Port() })
	probe := s.probed(false)
	require.Equal(t, []string{"server_unreachable"}, problems(probe))
	assert.Contains(t, probe.Problems[0].Advice, fmt.Sprintf("Have the firewalls pass TCP from tiger to port %d of 127.0.0.1", hole.Port()))
}

func TestAdviceOnAHostThatNobodyKnows(t *testing.T) {
	p := &prober{server: config.Server{Host: "ftp.branch.invalid"}}
	cause := &net.OpError{Op: "dial", Err: &net.DNSError{Name: "ftp.branch.invalid", IsNotFound: true}}
	assert.Equal(t, "Correct host: tiger's name service knows no ftp.branch.invalid.", p.onReaching(cause))
}

// TestProbeRights: what the configuration needs and the server does not allow.
func TestProbeRights(t *testing.T) {
	denied := ftptest.Say("550 Permission denied.")
	for name, f := range map[string]fault{
		"no storing": {
			settings: ", after: delete", broken: on("STOR", ftptest.Say("553 Permission denied.")), problems: []string{"missing_right"},
			advice: "Let user collector store files in /outgoing for a while", failed: []string{CheckStore},
		},
		"no renaming": {
			settings: ", after: {rename: '{name}.done'}", broken: on("RNTO", denied), problems: []string{"missing_right"},
			advice: "Let user collector rename files in /outgoing", failed: []string{CheckRename},
		},
		"no directory": {
			settings: ", after: {move: /done}", broken: on("MKD", denied), problems: []string{"missing_right"},
			advice: "Let user collector create /done and rename files of /outgoing into it", failed: []string{CheckMove},
		},
		"no deleting": {
			settings: ", after: delete", broken: on("DELE", denied), problems: []string{"missing_right", "left_behind"},
			advice: "Let user collector delete files in /outgoing", failed: []string{CheckDelete},
		},
		"a file that stays, though nobody needs to delete": {
			broken: on("DELE", denied), problems: []string{"left_behind"}, advice: "Delete the file /outgoing/renamed-talon-probe-", failed: []string{CheckDelete},
		},
	} {
		f.result = Partial
		t.Run(name, func(t *testing.T) { f.prove(t, true) })
	}
}

// TestProbeLeavesNothing: whatever fails on the way, what was stored is removed.
func TestProbeLeavesNothing(t *testing.T) {
	for name, broken := range map[string]func(*ftptest.Server){
		"nothing":                    func(*ftptest.Server) {},
		"stored, but never said":     on("STOR", ftptest.First(1, storeAndHangUp, ftptest.Default("STOR"))),
		"renamed, but never said":    on("RNTO", renameAndHangUp),
		"not allowed to rename":      on("RNFR", ftptest.Say("550 Permission denied.")),
		"no directory to move to":    on("MKD", ftptest.Say("550 Permission denied.")),
		"deleted at the second time": on("DELE", ftptest.First(1, ftptest.Disconnect, ftptest.Default("DELE"))),
	} {
		t.Run(name, func(t *testing.T) {
			s, branch := newScripted(t, ftptest.Options{}, ", after: {move: /done}")
			furnished(branch)
			before := slices.Sorted(maps.Keys(branch.Files()))
			broken(branch)
			s.probed(true)
			assert.Equal(t, before, slices.Sorted(maps.Keys(branch.Files())))
		})
	}
}

func storeAndHangUp(s *ftptest.Session, arg string) {
	s.Server().Put(s.Resolve(arg), []byte("stored"), written)
	s.HangUp()
}

func renameAndHangUp(s *ftptest.Session, arg string) {
	s.Server().Put(s.Resolve(arg), []byte("renamed"), written)
	s.HangUp()
}

// TestProbeTriesAPasswordOnce: accounts get locked.
func TestProbeTriesAPasswordOnce(t *testing.T) {
	s, branch := newScripted(t, ftptest.Options{}, "")
	branch.On("PASS", ftptest.Say("530 Login incorrect."))
	s.probed(true)
	assert.Equal(t, 1, branch.Connections())
}

// TestProbeOfAParkedServer: a run that gave a server up does not keep a probe from trying.
func TestProbeOfAParkedServer(t *testing.T) {
	s, branch := newScripted(t, ftptest.Options{}, "")
	branch.On("PASS", ftptest.First(1, ftptest.Say("530 Login incorrect."), ftptest.Default("PASS")))
	_, err := attempt(s, s.tiger.ListServer, ListInput{Run: run1, Server: "branch-001", PageFiles: 10})
	requireReason(t, err, "login_refused", true)
	assert.Equal(t, Success, s.probed(false).Result)
}

func TestProbeOfAnEmptyDirectory(t *testing.T) {
	s, _ := newScripted(t, ftptest.Options{}, "")
	probe := s.probed(false)
	assert.Equal(t, Success, probe.Result)
	assert.Equal(t, CheckSkipped, outcomes(probe)[CheckRead])
	assert.Equal(t, CheckSkipped, outcomes(probe)[CheckResume])
}

// TestProbeOfFilesThatComeAndGo: a file that was taken away meanwhile is no fault.
func TestProbeOfFilesThatComeAndGo(t *testing.T) {
	s, branch := newScripted(t, ftptest.Options{}, "")
	branch.Put("/outgoing/a.csv", []byte("alpha"), written)
	branch.On("RETR", ftptest.Say("550 No such file."))
	probe := s.probed(false)
	assert.Equal(t, Success, probe.Result)
	assert.Equal(t, CheckSkipped, outcomes(probe)[CheckRead])
}

// TestProbeCertificates: who is to renew what.
func TestProbeCertificates(t *testing.T) {
	authority, err := ftptest.NewAuthority()
	require.NoError(t, err)
	trusted := filepath.Join(t.TempDir(), "authority.pem")
	require.NoError(t, os.WriteFile(trusted, authority.CertPEM, 0o600))
	known := fmt.Sprintf(", tls: explicit, tls_ca: %q", trusted)
	for name, test := range map[string]struct {
		issue    func() (ftptest.Identity, error)
		settings string
		problem  string
		advice   string
	}{
		"expired":           {authority.Expired, known, "certificate_untrusted", "Have the server's certificate renewed: it expired on "},
		"another name":      {authority.WrongName, known, "certificate_untrusted", "If the server is ftp.example.org, set tls_name to that"},
		"self-signed":       {ftptest.SelfSigned, known, "certificate_untrusted", "The certificate is self-signed"},
		"unknown authority": {authority.Valid, ", tls: explicit", "certificate_untrusted", "Name the certificate of the authority"},
		"good for an hour":  {authority.Valid, known, "certificate_expires", "Have the server's certificate renewed before it expires."},
	} {
		t.Run(name, func(t *testing.T) {
			identity, err := test.issue()
			require.NoError(t, err)
			s, branch := newScripted(t, ftptest.Options{TLS: ftptest.TLSExplicit, Config: identity.Config()}, test.settings)
			furnished(branch)
			require.NoError(t, s.config.ResolveServerSecrets())
			probe := s.probed(false)
			require.Equal(t, []string{test.problem}, problems(probe), probe)
			assert.Contains(t, probe.Problems[0].Advice, test.advice)
			if test.problem == "certificate_expires" {
				assert.Equal(t, CheckOK, outcomes(probe)[CheckTLS])
				assert.Equal(t, []string{"TLS 1.3", "yes"}, []string{probe.Learned.TLS, probe.Learned.TLSResume})
				return
			}
			assert.Equal(t, Failed, probe.Result)
		})
	}
}

// TestProbeWithoutTLSSessions: each file costs a whole handshake.
func TestProbeWithoutTLSSessions(t *testing.T) {
	identity, err := ftptest.SelfSigned()
	require.NoError(t, err)
	noTickets := identity.Config()
	noTickets.SessionTicketsDisabled = true
	s, branch := newScripted(t, ftptest.Options{TLS: ftptest.TLSExplicit, Config: noTickets}, ", tls: explicit, tls_verify: false")
	furnished(branch)
	assert.Equal(t, []string{"tls_not_resumed", "certificate_expires"}, problems(s.probed(false)))
}

// TestProbeIsShort: a server may say and list what it likes.
func TestProbeIsShort(t *testing.T) {
	long := strings.Repeat("<\"&\x01é\xff>", 5000)
	r := ServerProbe{Server: branch, Learned: Learned{Software: long}}
	for range 40 {
		r.Checks = append(r.Checks[:min(len(r.Checks), 9)], Check{Name: CheckList, Outcome: CheckFailed, Detail: long})
		r.Problems = append(r.Problems, Problem{What: "protocol_error", Detail: long, Advice: strings.Repeat("Do something. ", 15)})
		r.Learned.Features = append(r.Learned.Features, long)
	}
	short := fit(r)
	document, err := json.Marshal(short)
	require.NoError(t, err)
	assert.LessOrEqual(t, len(document), maxProbe)
	assert.Equal(t, r.Problems[0].Advice, short.Problems[0].Advice)
	assert.Len(t, r.Problems[0].Detail, len(long), "the original is left alone")
	var back ServerProbe
	require.NoError(t, json.Unmarshal(document, &back))
	assert.Equal(t, short, back)
}

func TestFailedProbe(t *testing.T) {
	probe := FailedProbe(branch, errors.New("the worker died"))
	assert.Equal(t, Failed, probe.Result)
	assert.Equal(t, []Problem{{
		What: ReasonInternal, Detail: "the worker died",
		Advice: "This says nothing about the server: look at the log of tiger's worker, and probe once more.",
	}}, probe.Problems)
}

func TestPlanProbe(t *testing.T) {
	s := newSite(t, "", "")
	var names []string
	for i := range 120 {
		names = append(names, fmt.Sprintf("branch-%03d", i+1))
	}
	s.addServers(names[1:]...)
	var got []string
	for in := (PlanProbeInput{}); ; {
		plan := do(s, s.tiger.PlanProbe, in)
		assert.LessOrEqual(t, len(plan.Servers), probePage)
		assert.Equal(t, 120, plan.Total)
		got = append(got, plan.Servers...)
		if in.After = plan.Next; in.After == "" {
			break
		}
	}
	assert.Equal(t, names, got)

	plan := do(s, s.tiger.PlanProbe, PlanProbeInput{Servers: []string{"branch-003", "branch-001", "branch-003"}})
	assert.Equal(t, ProbePlan{Servers: []string{"branch-001", "branch-003"}, Total: 2}, plan)
	whole := do(s, s.tiger.PlanProbe, PlanProbeInput{Servers: names[:probePage]})
	assert.Empty(t, whole.Next, "nothing comes after a page that is full")

	_, err := attempt(s, s.tiger.PlanProbe, PlanProbeInput{Servers: []string{"brnch-001"}})
	requireReason(t, err, "unknown_server", true)
	_, detail := ReasonOf(err)
	assert.Contains(t, detail, "did you mean branch-001")
}

// TestProbeFailsForGood: a second attempt is only for a worker that died.
func TestProbeFailsForGood(t *testing.T) {
	s, branch := newScripted(t, ftptest.Options{}, "")
	require.NoError(t, s.tiger.Catalog.Close())
	_, err := attempt(s, s.tiger.ProbeServer, ProbeServerInput{Run: "probe/k", Server: "branch-001"})
	requireReason(t, err, "internal_error", true)
	assert.Zero(t, branch.Connections())
	_, err = attempt(s, s.tiger.ProbeServer, ProbeServerInput{Run: "probe/k", Server: "gone"})
	requireReason(t, err, "unknown_server", true)
}
