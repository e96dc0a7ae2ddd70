package activities

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"talon/config"
	"talon/internal/ftpclient"
)

// Codes of problems that no reason of a collection stands for. Programs read them: never rename one.
const (
	problemNoData       = "no_data_connection"
	problemNoREST       = "no_rest"
	problemUnreadable   = "unreadable_file"
	problemRights       = "missing_right"
	problemNothing      = "nothing_wanted"
	problemCharset      = "wrong_encoding"
	problemZoneUnknown  = "zone_unknown"
	problemZoneDiffers  = "wrong_timezone"
	problemNoMLSD       = "no_mlsd"
	problemNoMDTM       = "no_mdtm"
	problemEPSV         = "epsv_blocked"
	problemNoResumption = "tls_not_resumed"
	problemExpires      = "certificate_expires"
	problemSessions     = "too_few_sessions"
	problemLeftBehind   = "left_behind"
)

// renewAhead is how long before the end of a certificate somebody should think of a new one.
const renewAhead = 14 * 24 * time.Hour

// words are what an error says, without the server's name, which stands beside it.
func words(server config.Server, err error) string {
	_, detail := ReasonOf(Classify(err))
	return strings.TrimPrefix(strings.TrimPrefix(detail, "server "+server.Name+": "), server.Name+": ")
}

// explain says what a failed check means, and what to do about it.
func (p *prober) explain(check string, err error) Problem {
	reason, _ := ReasonOf(Classify(err))
	problem := Problem{What: reason, Detail: words(p.server, err)}
	whole := []error{ftpclient.ErrUnreachable, ftpclient.ErrLoginRefused, ftpclient.ErrUntrusted, ftpclient.ErrNoTLS, ftpclient.ErrBusy}
	isWhole := slices.ContainsFunc(whole, func(kind error) bool { return errors.Is(err, kind) })
	switch {
	case ftpclient.IsDataConnection(err):
		problem.What, problem.Advice = problemNoData, p.onDataConnections()
	case check == CheckLogin || isWhole:
		problem.Advice = p.onLogin(err)
	case check == CheckList:
		problem.Advice = p.onListing(err)
	case check == CheckResume:
		problem.What = problemNoREST
		problem.Advice = "Have REST (restart of transfers) enabled on the server: until then each large transfer that breaks off starts anew."
	case check == CheckRead && errors.Is(err, ftpclient.ErrDenied):
		problem.What = problemUnreadable
		problem.Advice = fmt.Sprintf("Let user %s read the files in %s.", p.server.User, p.server.Path)
	case errors.Is(err, ftpclient.ErrDenied) || errors.Is(err, ftpclient.ErrNotFound) && check != CheckRead:
		problem.What, problem.Advice = problemRights, p.onRights(check)
	default:
		problem.Advice = p.anythingElse()
	}
	return problem
}

func (p *prober) anythingElse() string {
	return fmt.Sprintf("Ask the administrator of %s what the server means by it, and look into its log of this moment.", p.result.Address)
}

func (p *prober) onDataConnections() string {
	advice := fmt.Sprintf("Have the firewalls between tiger and %s pass the server's passive port range: commands get through, data do not.", p.server.Host)
	if p.server.TrustDataHost {
		advice += " Or set trust_data_host: false: the address that the server names may be one inside its own network."
	}
	if p.server.Passive == config.PassiveEPSV {
		advice += " Or set passive: auto: PASV may get through where EPSV does not."
	}
	return advice
}

// onLogin is about the way to a session.
func (p *prober) onLogin(err error) string {
	switch {
	case errors.Is(err, ftpclient.ErrUnreachable):
		return p.onReaching(ftpclient.Cause(err))
	case errors.Is(err, ftpclient.ErrUntrusted):
		return p.onCertificate(ftpclient.Cause(err))
	case errors.Is(err, ftpclient.ErrNoTLS):
		return p.onHandshake(err)
	case errors.Is(err, ftpclient.ErrBusy):
		return fmt.Sprintf("The server has no room for a session: have it allow user %s more, or find out who holds them.", p.server.User)
	case errors.Is(err, ftpclient.ErrLoginRefused):
		return p.onRefusal(words(p.server, err))
	default:
		return p.anythingElse() // it answers, but not as an FTP server should
	}
}

func (p *prober) onReaching(cause error) string {
	var dial *net.OpError
	switch {
	case !errors.As(cause, &dial) || dial.Op != "dial":
		return fmt.Sprintf("Look at the service at %s: it takes connections, but does not let Talon log in as an FTP server does. "+
			"If it expects TLS from the first byte, set tls: implicit.", p.result.Address)
	case p.server.Proxy.Scheme != "":
		return fmt.Sprintf("Have the proxy %s:%d let tiger through to %s, or correct proxy.", p.server.Proxy.Host, p.server.Proxy.Port, p.result.Address)
	case errors.As(cause, new(*net.DNSError)):
		return fmt.Sprintf("Correct host: tiger's name service knows no %s.", p.server.Host)
	case errors.Is(cause, syscall.ECONNREFUSED):
		return fmt.Sprintf("Start the FTP service: nothing listens at %s. Or correct host and port.", p.result.Address)
	default:
		return fmt.Sprintf("Have the firewalls pass TCP from tiger to port %d of %s, and see that it is switched on: nothing answers there.",
			p.server.Port, p.server.Host)
	}
}

func (p *prober) onCertificate(cause error) string {
	var invalid x509.CertificateInvalidError
	var name x509.HostnameError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(cause, &invalid) && invalid.Reason == x509.Expired && time.Now().After(invalid.Cert.NotAfter):
		return fmt.Sprintf("Have the server's certificate renewed: it expired on %s.", invalid.Cert.NotAfter.UTC().Format(time.DateOnly))
	case errors.As(cause, &invalid) && invalid.Reason == x509.Expired:
		return "Set the clocks of tiger and of the server: the certificate is not valid yet."
	case errors.As(cause, &name):
		names := strings.Join(slices.DeleteFunc(slices.Clone(name.Certificate.DNSNames), func(n string) bool { return n == "" }), " or ")
		if names == "" {
			return fmt.Sprintf("Have the certificate issued for %s: it is for another host.", name.Host)
		}
		return fmt.Sprintf("If the server is %s, set tls_name to that; else have its certificate issued for %s.", Clip(names, 100), name.Host)
	case errors.As(cause, &unknown) && unknown.Cert != nil && unknown.Cert.Issuer.String() == unknown.Cert.Subject.String():
		return "The certificate is self-signed: have it sent to you, compare its fingerprint, and name the PEM file with tls_ca."
	case errors.As(cause, &unknown):
		return "Name the certificate of the authority that issued the server's (a PEM file on tiger) with tls_ca."
	default:
		return "Have the server's certificate replaced, or name a file with the one that it has with tls_ca."
	}
}

func (p *prober) onRefusal(said string) string {
	for _, word := range []string{"encrypt", "TLS", "SSL", "secure"} {
		if strings.Contains(strings.ToLower(said), strings.ToLower(word)) && p.server.TLS == config.TLSNone {
			return "Set tls: explicit: the server lets nobody in without encryption."
		}
	}
	return fmt.Sprintf("Check user %s and its password, and whether the account is locked or bound to other addresses than tiger's. It was tried once.",
		p.server.User)
}

// onHandshake is about a server that does not encrypt as it is asked to.
func (p *prober) onHandshake(err error) string {
	cause := ftpclient.Cause(err)
	switch {
	case errors.As(cause, new(tls.RecordHeaderError)):
		return fmt.Sprintf("The server does not speak TLS where tls: %s expects it: set tls: explicit or none, or the port for implicit TLS (990).", p.server.TLS)
	case strings.Contains(words(p.server, err), "protocol version"):
		return "Have the server's TLS updated: it offers no version that tls_min and tls_max allow. As a last resort lower tls_min."
	case cause != nil:
		return "The server refuses the TLS handshake: ask whether it demands a client certificate (tls_cert, tls_key), and look into its log."
	}
	return fmt.Sprintf("Have TLS enabled on the server (it refuses what tls: %s asks for), or set tls: none if nobody can listen on the line.", p.server.TLS)
}

func (p *prober) onListing(err error) string {
	reason, _ := ReasonOf(Classify(err))
	switch {
	case reason == snakeCase(DirectoryMissing):
		return fmt.Sprintf("Correct path (as user %s sees it after login), or have the directory %s created.", p.server.User, p.server.Path)
	case errors.Is(err, ftpclient.ErrDenied):
		return fmt.Sprintf("Let user %s enter and list %s.", p.server.User, p.server.Path)
	case errors.Is(err, ftpclient.ErrTooMany):
		return fmt.Sprintf("Have old files removed from %s, or let path, recursive and max_depth lead to less.", p.server.Path)
	}
	return p.anythingElse()
}

func (p *prober) onRights(check string) string {
	user, dir, after := p.server.User, p.server.Path, p.server.After
	switch check {
	case CheckStore:
		return fmt.Sprintf("Let user %s store files in %s for a while: else nobody can try out the rights that after: %s needs.", user, dir, after.Action)
	case CheckMove:
		return fmt.Sprintf("Let user %s create %s and rename files of %s into it, or set after: keep.", user, after.Move, dir)
	case CheckRename:
		return fmt.Sprintf("Let user %s rename files in %s, or set after: keep.", user, dir)
	default:
		return fmt.Sprintf("Let user %s delete files in %s, or set after: keep.", user, dir)
	}
}

// adviseOnListing looks for what is wrong with a listing that succeeded.
func (p *prober) adviseOnListing(t tally) {
	if t.files > 0 && t.wanted == 0 && len(t.refused) == 0 {
		p.complain(problemNothing, t.String(), "Correct include, exclude and the other keys that choose files: none of those that are there is wanted.")
	}
	if t.unparsed > 0 {
		p.complain(reasonUnparsedLine, t.gibberish, "Set listing: %s for this server: %d lines of its listing cannot be understood, and what they name is not collected.",
			otherListing(p.survey.summary.Command), t.unparsed)
	}
	if t.unreadable != "" {
		p.complain(reasonUnreadableDirectory, fmt.Sprintf("%s; %d in all", t.unreadable, t.refused[reasonUnreadableDirectory]),
			"Let user %s enter and list it, or exclude it (exclude: [%q]).", p.server.User, Clip(path.Base(t.unreadable), 100)+"/")
	}
	p.adviseOnNames()
	p.adviseOnZone(t)
}

func otherListing(command string) config.ListingCommand {
	if command == "LIST" {
		return config.ListingMLSD
	}
	return config.ListingLIST
}

// adviseOnNames finds out in which charset the names are.
func (p *prober) adviseOnNames() {
	configured := p.server.Encoding
	p.result.Learned.Charset = configured
	n, err := p.names()
	switch {
	case err != nil:
		p.fail(CheckList, err)
	case len(n.odd) == 0:
		p.result.Learned.Charset = "ascii"
	case !isUTF8(configured) && n.bytes >= provenBytes && fits("utf-8", n.odd):
		p.result.Learned.Charset = "utf-8"
		p.complain(problemCharset, fmt.Sprintf("all %d names beyond ASCII are valid UTF-8, such as %s", len(n.odd), n.odd[0]), "Set encoding: utf-8 for this server.")
	case len(n.invalid) > 0:
		p.adviseOnCharset(n.invalid, configured)
	}
}

func (p *prober) adviseOnCharset(invalid []string, configured string) {
	detail := fmt.Sprintf("%d names are not valid in %s", len(invalid), configured)
	fitting := candidates(invalid, configured)
	if len(fitting) == 0 {
		p.result.Learned.Charset = ""
		p.complain(problemCharset, detail, "Ask in which charset the server's names are, and set encoding to it; they fit none of %s.", strings.Join(charsets, ", "))
		return
	}
	p.result.Learned.Charset = fitting[0]
	shown, _ := ftpclient.Decode(fitting[0], invalid[0])
	advice := fmt.Sprintf("Set encoding: %s for this server if a file is called %s there.", fitting[0], Clip(path.Base(shown), 100))
	if len(fitting) > 1 {
		advice += fmt.Sprintf(" All names would be valid in %s, too.", strings.Join(fitting[1:], " and "))
	}
	p.result.Problems = append(p.result.Problems, Problem{What: problemCharset, Detail: detail, Advice: advice})
}

// adviseOnZone tells whether the times of the listing mean what the configuration takes them for.
func (p *prober) adviseOnZone(t tally) {
	known := p.t.Pool.Behaviour(p.server.Name)
	j := &judge{server: p.server, zone: known}
	for _, warning := range j.zoneWarnings(p.survey) {
		p.complain(problemZoneDiffers, warning, "Set timezone to the zone of the server's clock as it shows in listings (%s by MDTM), or remove it.", zoneName(known.ZoneMinutes))
	}
	depends := p.server.MinAge > 0 || p.server.MaxAge > 0 || p.server.Baseline.Mode == config.BaselineFrom
	if t.files > 0 && depends && p.survey.summary.Command == "LIST" && p.server.Timezone == nil && !known.ZoneKnown {
		p.complain(problemZoneUnknown, "LIST gives wall-clock times, and MDTM does not tell of which zone",
			"Set timezone to that of the server: min_age, max_age and baseline are hours off otherwise.")
	}
}

// adviseOnAbilities looks for what a server could do better. None of it keeps files from being collected.
func (p *prober) adviseOnAbilities() {
	learned := p.result.Learned
	if learned.Listing == "LIST" && p.server.Listing != config.ListingLIST {
		p.complain(problemNoMLSD, "listed with LIST", "Have MLSD (RFC 3659) enabled if the server has it: LIST gives times to the minute at best, in a zone of its own. "+
			"If it has not, set listing: list, and this is not said again.")
	}
	if learned.Listing != "" && !p.has("MDTM") {
		p.complain(problemNoMDTM, "FEAT does not offer MDTM",
			"Have MDTM (RFC 3659) enabled: without it only the listing tells of a file that was replaced by another of the same size.")
	}
	if learned.Passive == "PASV" && p.has("EPSV") && p.server.Passive != config.PassivePASV {
		p.complain(problemEPSV, "the server offers EPSV, but only PASV brings data connections about",
			"Have the firewall understand EPSV or pass the server's passive ports, or set passive: pasv, which saves a wait each time this is forgotten.")
	}
	if learned.TLSResume == string(ftpclient.No) {
		p.complain(problemNoResumption, "data connections begin a TLS session of their own",
			"Have the server resume TLS sessions (session cache or tickets): each file costs a whole handshake now.")
	}
	if !p.expires.IsZero() && time.Until(p.expires) < renewAhead {
		p.complain(problemExpires, "valid until "+p.expires.UTC().Format(time.RFC3339), "Have the server's certificate renewed before it expires.")
	}
}

// has tells whether the server's reply to FEAT names a command.
func (p *prober) has(command string) bool {
	return slices.ContainsFunc(p.result.Learned.Features, func(line string) bool {
		name, _, _ := strings.Cut(line, " ")
		return strings.EqualFold(name, command)
	})
}
