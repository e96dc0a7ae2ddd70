package activities

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"talon/config"
	"talon/internal/catalog"
	"talon/internal/ftpclient"
)

// maxSamples is how many files are tried before it is said that none can be read: the first may be a special case.
const maxSamples = 3

// sample is a file that is fetched a byte of.
type sample struct {
	rawPath, path string
	size          int64
}

// login connects and logs in, and tries how many sessions the server allows while it is there.
func (p *prober) login(ctx context.Context) bool {
	var version uint16
	allowed, refusal := 0, error(nil)
	err := p.visit(ctx, func(conn *ftpclient.Conn) error {
		version, p.expires = conn.TLS()
		p.result.Learned.Features = conn.Features()
		allowed, refusal = p.t.Pool.TrySessions(ctx, p.options, p.server.Connections)
		return nil
	})
	if err != nil {
		p.useless = true
		p.fail(CheckLogin, err)
		return false
	}
	p.note(CheckLogin, CheckOK, "as "+p.server.User)
	if version != 0 {
		p.result.Learned.TLS = tls.VersionName(version)
	}
	p.result.Learned.Sessions = allowed
	detail := fmt.Sprintf("%d at once (connections: %d)", allowed, p.server.Connections)
	if refusal == nil {
		p.note(CheckSessions, CheckOK, detail)
		return true
	}
	p.note(CheckSessions, CheckFailed, detail)
	p.complain(problemSessions, words(p.server, refusal), "Set connections: %d for this server, or have it allow this user %d sessions at once.",
		max(allowed, 1), p.server.Connections)
	return true
}

// list lists the server as a collection would, and adds up what the configuration makes of it.
func (p *prober) list(ctx context.Context) {
	var s *survey
	err := patiently(ctx, func() (err error) { s, err = p.t.survey(ctx, p.server, p.options); return err })
	if err != nil {
		p.useless = true
		p.fail(CheckList, err)
		return
	}
	p.survey = s
	t, err := p.tally()
	if err != nil {
		p.useless = true
		p.fail(CheckList, err)
		return
	}
	p.sample = t.samples
	p.note(CheckList, CheckOK, t.String())
	p.adviseOnListing(t)
}

// tally is a listing in counts.
type tally struct {
	files, directories, unparsed, wanted, excluded int
	refused                                        map[string]int // by reason
	unreadable, gibberish                          string         // a directory, a line
	samples                                        []sample       // of the wanted files, the smallest with two bytes or more first
}

func (t tally) String() string {
	words := fmt.Sprintf("%d files in %d directories: %d wanted, %d excluded", t.files, t.directories, t.wanted, t.excluded)
	for _, reason := range slices.Sorted(maps.Keys(t.refused)) {
		words += fmt.Sprintf(", %d %s", t.refused[reason], reason)
	}
	return words
}

func (p *prober) tally() (tally, error) {
	s := p.survey
	t := tally{
		files: s.files, directories: s.summary.Directories, unparsed: s.summary.UnparsedLines, refused: map[string]int{},
	}
	j := &judge{server: p.server, zone: p.t.Pool.Behaviour(p.server.Name), now: time.Now()}
	for line, err := range j.lines(s) {
		if err != nil {
			return t, err
		}
		t.add(line)
	}
	t.excluded = j.excluded
	if len(s.summary.Unparsed) > 0 {
		t.gibberish = printable(s.summary.Unparsed[0])
		t.refused[reasonUnparsedLine] = t.unparsed
	}
	return t, nil
}

func (t *tally) add(line catalog.Listed) {
	if line.State == catalog.StateRefused {
		t.refused[line.Reason]++
		if line.Reason == reasonUnreadableDirectory && t.unreadable == "" {
			t.unreadable = line.Path
		}
		return
	}
	t.wanted++
	if line.Size == 0 {
		return
	}
	t.samples = append(t.samples, sample{rawPath: line.RawPath, path: line.Path, size: line.Size})
	slices.SortStableFunc(t.samples, func(a, b sample) int { return int(min(max(a.cost()-b.cost(), -1), 1)) })
	t.samples = t.samples[:min(len(t.samples), maxSamples)]
}

// cost orders samples: a file of one byte shows nothing about REST.
func (s sample) cost() int64 {
	if s.size < 2 {
		return 1 << 62
	}
	return s.size
}

// read fetches a byte of a file, the last one where the server can do that.
func (p *prober) read(ctx context.Context) {
	if len(p.sample) == 0 {
		p.note(CheckRead, CheckSkipped, "there is no file with content to try")
		p.note(CheckResume, CheckSkipped, "there is no file with content to try")
		return
	}
	var failed error
	for _, file := range p.sample {
		err := p.fetch(ctx, file)
		if err == nil {
			p.note(CheckRead, CheckOK, "a byte of "+file.path)
			break
		}
		if failed == nil || isPassing(failed) {
			failed = err
		}
		if ctx.Err() != nil || !errors.Is(err, ftpclient.ErrDenied) && !isPassing(err) {
			break
		}
	}
	read := p.outcome(CheckRead) == CheckOK
	switch {
	case failed == nil || read && isPassing(failed):
	case read:
		p.result.Problems = append(p.result.Problems, p.explain(CheckRead, failed))
	case isPassing(failed):
		p.note(CheckRead, CheckSkipped, words(p.server, failed))
	default:
		p.useless = true
		p.fail(CheckRead, failed)
	}
}

// isPassing says that a file cannot be had for a reason that is no fault: it was taken away, or is being written.
func isPassing(err error) bool {
	return errors.Is(err, ftpclient.ErrNotFound) || errors.Is(err, ftpclient.ErrFileBusy)
}

// fetch tries REST on a file, and where that fails, on a fresh connection, without.
func (p *prober) fetch(ctx context.Context, file sample) error {
	if file.size >= 2 && p.outcome(CheckResume) != CheckFailed {
		err := p.visit(ctx, func(conn *ftpclient.Conn) error { return conn.TryResume(ctx, file.rawPath, file.size) })
		switch {
		case err == nil:
			p.note(CheckResume, CheckOK, "REST leads to the last byte")
			return nil
		case !errors.Is(err, ftpclient.ErrNoResume) && !errors.Is(err, ftpclient.ErrTruncated):
			return err
		}
		p.fail(CheckResume, err)
	}
	if p.outcome(CheckResume) != CheckFailed {
		p.note(CheckResume, CheckSkipped, "there is no file of two bytes or more to try")
	}
	return p.visit(ctx, func(conn *ftpclient.Conn) error { return conn.TryRead(ctx, file.rawPath) })
}

func (p *prober) outcome(name string) string {
	for _, check := range p.result.Checks {
		if check.Name == name {
			return check.Outcome
		}
	}
	return ""
}

// learn says what is known about the server by now.
func (p *prober) learn() {
	known, learned := p.t.Pool.Behaviour(p.server.Name), &p.result.Learned
	listing := ""
	if p.survey != nil {
		listing = p.survey.summary.Command
	}
	learned.know(known, p.options.Passive == ftpclient.PassivePASV, listing)
	if p.outcome(CheckResume) == CheckFailed {
		learned.REST = string(ftpclient.No)
	}
	if p.server.TLS != config.TLSNone {
		p.note(CheckTLS, CheckOK, p.encryption())
	}
}

// know takes over what the FTP engine knows. listing is the command that the server was listed with, "" if no data connection has come about;
// pasv says that no other kind of them is asked for.
func (l *Learned) know(known ftpclient.Behaviour, pasv bool, listing string) {
	l.Software, l.REST, l.TLSResume = known.Software, string(known.Resume), string(known.TLSResume)
	if listing == "" {
		return
	}
	l.Listing, l.Passive = listing, "EPSV"
	if known.Passive == ftpclient.PassivePASV || pasv {
		l.Passive = "PASV"
	}
	switch {
	case known.ZoneKnown && known.ZoneMinutes != 0:
		l.Zone = zoneName(known.ZoneMinutes)
	case known.ZoneKnown || listing == "MLSD":
		l.Zone = "UTC"
	}
}

// encryption says how the connection is encrypted.
func (p *prober) encryption() string {
	detail := p.result.Learned.TLS
	if !p.expires.IsZero() {
		detail += ", the certificate is valid until " + p.expires.UTC().Format(time.DateOnly)
	}
	switch p.result.Learned.TLSResume {
	case string(ftpclient.Yes):
		detail += ", data connections resume the session"
	case string(ftpclient.No):
		detail += ", data connections do not resume the session"
	}
	return detail
}

// charsets are tried on names that are not valid in the configured one, the likeliest first.
var charsets = []string{"gbk", "gb18030", "big5", "shift_jis"}

const (
	// maxNames bounds the names that charsets are tried on.
	maxNames = 1000
	// provenBytes is how many bytes beyond ASCII must form valid UTF-8 to prove that they are meant so: a few may do by chance.
	provenBytes = 12
)

// nameSurvey holds those names of a listing that tell something about its charset.
type nameSurvey struct {
	invalid, odd []string // not valid in the configured charset; beyond ASCII
	bytes        int      // beyond ASCII, in odd
}

func (p *prober) names() (n nameSurvey, err error) {
	for entry, err := range p.survey.entries() {
		if err != nil {
			return n, err
		}
		if !utf8.ValidString(entry.Path) && len(n.invalid) < maxNames {
			n.invalid = append(n.invalid, entry.RawPath)
		}
		if beyond := beyondASCII(entry.RawPath); beyond > 0 && len(n.odd) < maxNames {
			n.odd = append(n.odd, entry.RawPath)
			n.bytes += beyond
		}
	}
	return n, nil
}

func beyondASCII(s string) (n int) {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			n++
		}
	}
	return n
}

// fits tells whether all names are valid in a charset.
func fits(charset string, names []string) bool {
	return len(names) > 0 && !slices.ContainsFunc(names, func(name string) bool {
		_, ok := ftpclient.Decode(charset, name)
		return !ok
	})
}

// candidates are the charsets that all names are valid in.
func candidates(names []string, configured string) []string {
	return slices.DeleteFunc(slices.Clone(charsets), func(charset string) bool { return charset == configured || !fits(charset, names) })
}

func isUTF8(charset string) bool {
	return strings.EqualFold(charset, "utf-8") || strings.EqualFold(charset, "utf8") || charset == ""
}
