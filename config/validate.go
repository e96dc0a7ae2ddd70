package config

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"path/filepath"
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode"

	"github.com/goccy/go-yaml/ast"
	"golang.org/x/text/encoding/htmlindex"

	"talon/internal/charset"
)

// Upper ends of ranges.
const (
	maxWindow = 1000    // Temporal allows 2,000 pending children; above a few hundred they are slower, not faster
	maxPage   = 500     // files whose results still fit one payload and one history
	maxBatch  = 64      // archives whose results still fit one payload
	maxLimit  = 1 << 30 // no archive has more of anything that is counted, and no run more files
	maxDepth  = 1000    // directories within directories
)

// checkCommandText guards what becomes part of an FTP command: a line break would begin the next command (RFC 959, 4.1).
func checkCommandText(text string) *Error {
	switch {
	case text == "":
		return &Error{Message: "this is empty", Hint: "write something, or remove the key"}
	case strings.ContainsFunc(text, unicode.IsControl):
		return &Error{Message: "this holds a line break or another control character", Hint: "write it in one line, without them"}
	}
	return nil
}

// checkHost accepts names and addresses. It quotes nothing: a URL in this place may hold a password.
func checkHost(text string) *Error {
	const hint = `write the name or the address alone: "ftp.example.com", "10.0.0.1", "2001:db8::1"`
	message := ""
	switch {
	case text == "":
		message = "this is empty"
	case strings.Contains(text, "://"):
		message = "this is a URL"
	case strings.ContainsAny(text, `/\`):
		message = "this contains a slash"
	case strings.Contains(text, "@"):
		message = "this contains a user"
	case strings.ContainsAny(text, "[]"):
		message = "this contains brackets"
	case strings.ContainsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }):
		message = "this contains a space or a control character"
	case strings.Contains(text, ":") && !isAddress(text):
		return &Error{Message: "this contains a port", Hint: `write it with the key "port"`}
	default:
		return nil
	}
	return &Error{Message: message, Hint: hint}
}

func isAddress(text string) bool {
	_, err := netip.ParseAddr(text)
	return err == nil
}

// checkLocalPath guards a path of this host.
func checkLocalPath(text string) *Error {
	if strings.HasPrefix(text, "~") {
		return &Error{Message: `"~" is not expanded here`, Hint: "write the home directory out"}
	}
	return checkCommandText(text)
}

// local makes a path of this host absolute.
func (d *decoder) local(name string) string {
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(d.directory, name)
}

// modeKey is no setting: there is one mode. The key is there to tell those who look for the other.
const modeKey = "mode"

func (d *decoder) mode(e entry) {
	const hint = "write passive, or remove the key"
	switch text, ok := plainText(e.value); {
	case !ok:
		d.addWrongType(e, "passive", hint)
	case text == "active":
		d.add(e.at, "active mode is not offered: the server would have to open connections into the bank's network, through "+
			"firewalls and address translation", "ask for passive mode on the server, and "+hint)
	case text != "passive":
		d.add(e.at, fmt.Sprintf("mode cannot be %.60q", text), hint)
	}
}

// checkMarker accepts a pattern of DoneMarker.
var checkMarker = checkPlaceholders("{name}.done", placeholderName, placeholderStem)

// checkPattern accepts what Wants understands.
func checkPattern(pattern string) *Error {
	if text, ok := strings.CutPrefix(pattern, regexpPrefix); ok {
		return checkExpression(text)
	}
	return checkGlob(pattern)
}

func checkExpression(text string) *Error {
	if text == "" {
		return &Error{Message: "this regular expression is empty", Hint: `write one such as 're:^daily/\d{8}\.zip$', or remove it`}
	}
	compiled, err := regexp.Compile(text)
	if err != nil {
		reason := "it cannot be understood"
		if syntaxError, ok := errors.AsType[*syntax.Error](err); ok {
			reason = syntaxError.Code.String()
		}
		return &Error{
			Message: fmt.Sprintf("%.60q is not a regular expression (%s)", text, reason),
			Hint:    "see github.com/google/re2/wiki/Syntax; write it in single quotes",
		}
	}
	expressions.Store(text, compiled)
	return nil
}

// checkGlob accepts a pattern of path.Match, or one for directories.
func checkGlob(pattern string) *Error {
	if strings.Trim(pattern, "/") == "" {
		return &Error{Message: "this pattern is empty", Hint: `write one such as "*.zip", or remove it`}
	}
	if strings.Contains(pattern, "**") {
		return &Error{
			Message: fmt.Sprintf(`"**" is not known (%.60q)`, pattern),
			Hint:    `a pattern without "/" matches names at every depth, and "dir/" all that is below dir`,
		}
	}
	if _, err := path.Match(pattern, ""); err != nil {
		return &Error{
			Message: fmt.Sprintf("%.60q is not a pattern", pattern),
			Hint:    `close the bracket, or write \[ for the character itself`,
		}
	}
	return nil
}

// include sets a list of patterns, of which there must be one.
func (d *decoder) include(target *[]string) setter {
	return func(e entry) {
		if node, ok := e.value.(*ast.SequenceNode); ok && len(node.Values) == 0 {
			d.add(e.at, "include is empty, so nothing would be collected", `write ["*"], or remove the key`)
			return
		}
		d.list(target, checkPattern)(e)
	}
}

// checkCharset accepts the labels of the WHATWG Encoding Standard, in which gbk, gb18030, big5, shift-jis and utf-8 are.
// UTF-16 is one of them, but no name can be in it: it is full of NUL bytes.
func checkCharset(name string) *Error {
	if found, err := htmlindex.Get(name); err == nil {
		canonical, err := htmlindex.Name(found)
		if err == nil && canonical != "replacement" && !strings.HasPrefix(canonical, "utf-16") {
			return nil
		}
	}
	return &Error{
		Message: fmt.Sprintf("%.60q is not a charset of file names", name),
		Hint:    "use utf-8, gbk, gb18030, big5, shift-jis, euc-kr, windows-1252 or another label of encoding.spec.whatwg.org",
	}
}

// checkEntryCharset accepts what the extraction engine knows: zip programs use more charsets than FTP servers.
func checkEntryCharset(name string) *Error {
	if _, err := charset.Find(name); err == nil {
		return nil
	}
	return &Error{
		Message: fmt.Sprintf("%.60q is not a charset of names in archives", name),
		Hint:    "use auto, gbk, big5, shift-jis, euc-kr, ibm437, ibm850 or another label of encoding.spec.whatwg.org or of IANA",
	}
}

// charset sets the name of a charset in lower case, the spelling that everybody looks up.
func (d *decoder) charset(target *string) setter {
	return func(e entry) {
		d.text(target, checkCharset)(e)
		*target = strings.ToLower(strings.TrimSpace(*target))
	}
}

func (d *decoder) entryCharsets(target *[]string) setter {
	return func(e entry) {
		d.list(target, checkEntryCharset)(e)
		names := make([]string, len(*target))
		for i, name := range *target {
			names[i] = strings.ToLower(strings.TrimSpace(name))
		}
		*target = names
	}
}

// after sets keep, delete, {move: directory} or {rename: pattern}.
func (d *decoder) after(target *After) setter {
	const hint = `write keep, delete, {move: /directory} or {rename: "{name}.collected"}`
	return func(e entry) {
		if _, ok := e.value.(ast.MapNode); ok {
			before := len(d.found)
			*target = d.afterMapping(e)
			if target.Action == "" && len(d.found) == before {
				d.add(e.at, "after needs one thing to do", hint)
			}
			return
		}
		switch text, ok := plainText(e.value); {
		case !ok:
			d.addWrongType(e, "keep, delete or a mapping", hint)
		case text == string(AfterKeep), text == string(AfterDelete):
			*target = After{Action: AfterAction(text)}
		default:
			d.add(e.at, fmt.Sprintf("after cannot be %.60q", text), hint)
		}
	}
}

// afterMapping returns no action unless the mapping has exactly one.
func (d *decoder) afterMapping(e entry) After {
	var after After
	d.mapping(e.value, []field{
		{"move", d.text(&after.Move, checkMoveTarget)},
		{"rename", d.text(&after.Rename, checkPlaceholders("{name}.collected", placeholderName))},
	})
	switch {
	case (after.Move == "") == (after.Rename == ""):
		return After{}
	case after.Move != "":
		after.Action = AfterMove
	default:
		after.Action = AfterRename
	}
	return after
}

func checkMoveTarget(text string) *Error {
	if !strings.HasPrefix(text, "/") {
		return &Error{
			Message: fmt.Sprintf("%.60q is not absolute", text),
			Hint:    "begin it with /, as seen after login",
		}
	}
	return checkCommandText(text)
}

var environmentName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// secret sets a password: {env: NAME}, {file: path}, or the password itself, with a warning. No message quotes anything of
// it, not even a key: whatever stands there may be the password.
func (d *decoder) secret(target *Secret) setter {
	const hint = "write {env: NAME} or {file: path}"
	return func(e entry) {
		held := heldSecret{at: e.at}
		text, plain := plainText(e.value)
		_, reference := e.value.(ast.MapNode)
		switch {
		case reference:
			d.secretReference(&held, e)
		case !plain:
			d.addWrongType(e, "{env: NAME}, {file: path} or text", hint+", or put quotes around the password")
		default:
			held.value, held.known = text, true
			if strings.ContainsFunc(text, unicode.IsControl) {
				d.add(e.at, "this password holds a line break or another control character", hint)
			}
			if text != "" {
				d.warnings.add(e.at, "a password is written in the configuration itself", hint)
			}
		}
		*target = Secret{&held}
	}
}

// secretReference reads {env: NAME} or {file: path}.
func (d *decoder) secretReference(held *heldSecret, e entry) {
	const hint = "write either {env: NAME} or {file: path}"
	before := len(d.found)
	for _, part := range d.entries(e.value, 0) {
		switch part.key {
		case "env":
			d.text(&held.env, checkEnvironmentName)(part)
		case "file":
			d.text(&held.file, checkLocalPath)(part)
		default:
			d.add(part.keyAt, "unknown key in a password", hint)
		}
	}
	if len(d.found) > before {
		return
	}
	if (held.env == "") == (held.file == "") {
		d.add(e.at, "a password needs one source: an environment variable or a file", hint)
	}
	if held.file != "" {
		held.file = d.local(held.file)
	}
}

func checkEnvironmentName(text string) *Error {
	if environmentName.MatchString(text) {
		return nil
	}
	return &Error{
		Message: "this is not the name of an environment variable",
		Hint:    "use letters, digits and underscores, and put the password into the variable",
	}
}

// secrets sets a list of passwords.
func (d *decoder) secrets(target *[]Secret) setter {
	return func(e entry) {
		node, ok := e.value.(*ast.SequenceNode)
		if !ok {
			d.addWrongType(e, "a list", "write [{env: NAME}, {file: path}]")
			return
		}
		list := make([]Secret, len(node.Values))
		for i, element := range d.elements(e.key, node) {
			d.secret(&list[i])(element)
		}
		*target = list
	}
}

// checkServer checks what only the merged settings of a server show, and settles its port and the name in its certificate.
func (d *decoder) checkServer(s *Server, at position) {
	if s.Host == "" && s.at.host == (position{}) { // one that was refused is told already
		d.add(at, fmt.Sprintf("server %q has no host", s.Name), "add one: "+s.Name+": {host: address}")
	}
	if s.Port == 0 {
		s.Port = 21
		if s.TLS == TLSImplicit {
			s.Port = 990
		}
	}
	if s.TLS == TLSImplicit && s.Port == 21 {
		d.warnings.add(at, fmt.Sprintf("server %q has implicit TLS on port 21", s.Name), "use port 990, or explicit TLS")
	}
	s.TLSName = cmp.Or(s.TLSName, s.Host)
}

// checkTogether checks settings of a server against each other.
func (d *decoder) checkTogether(s *Server) {
	d.checkTLS(s)
	d.checkRanges(s)
	d.checkAfter(s)
}

// checkTLS checks the tls_* keys against each other. Those that lie idle at a server without TLS are told where they stand at
// the server itself; in the defaults they are for the others.
func (d *decoder) checkTLS(s *Server) {
	if (s.TLSCert == "") != (s.TLSKey == "") {
		d.add(later(s.at.tlsCert, s.at.tlsKey), "tls_cert and tls_key belong together", "write both, or none")
	}
	if s.TLS == TLSNone {
		if s.at.tlsOwn != (position{}) {
			d.warnings.add(s.at.tlsOwn, fmt.Sprintf("server %q has tls_* keys, but no TLS", s.Name), idleTLSHint)
		}
		return
	}
	if !s.TLSVerify {
		d.warnings.add(s.at.tlsVerify, fmt.Sprintf("server %q is not verified: anybody can pretend to be it and read the password", s.Name),
			"name the certificate of its authority with tls_ca instead")
	}
	if s.TLSMax != 0 && s.TLSMax < s.TLSMin {
		d.add(later(s.at.tlsMin, s.at.tlsMax),
			fmt.Sprintf("tls_max (%s) is older than tls_min (%s)", tls.VersionName(s.TLSMax), tls.VersionName(s.TLSMin)), "swap them, or remove one")
	}
}

const idleTLSHint = "write tls: explicit or tls: implicit, or remove them"

// checkRanges checks limits against their counterparts.
func (d *decoder) checkRanges(s *Server) {
	if s.MaxAge > 0 && s.MaxAge < s.MinAge {
		d.add(later(s.at.minAge, s.at.maxAge), fmt.Sprintf("max_age (%v) is shorter than min_age (%v)", s.MaxAge, s.MinAge), noFileHint)
	}
	if s.MaxSize > 0 && s.MaxSize < s.MinSize {
		d.add(later(s.at.minSize, s.at.maxSize), fmt.Sprintf("max_size (%v) is less than min_size (%v)", s.MaxSize, s.MinSize), noFileHint)
	}
	if s.Bandwidth > 0 && s.Bandwidth/Size(s.Connections) < s.MinRate {
		d.add(later(s.at.minRate, s.at.bandwidth),
			fmt.Sprintf("bandwidth (%v per second) over %d connections is less than min_rate (%v) for each: every transfer would count as stalled",
				s.Bandwidth, s.Connections, s.MinRate), "raise bandwidth, or lower connections or min_rate")
	}
}

const noFileHint = "no file can be both: swap them, or remove one"

// later returns the position that is further down: what is wrong between two settings is told where the second was added.
func later(a, b position) position {
	if a.line > b.line || a.line == b.line && a.column > b.column {
		return a
	}
	return b
}

// checkAfter refuses what would be collected again, or keep others from being collected.
func (d *decoder) checkAfter(s *Server) {
	if s.After.Action == AfterMove && s.collects(s.After.Move) {
		d.add(s.at.after, fmt.Sprintf("files are moved to %.60q, which is collected itself: they would come again", s.After.Move),
			fmt.Sprintf("choose a directory outside of %.60q, or exclude it", s.Path))
	}
	if s.After.Action == AfterRename && s.After.Rename == s.DoneMarker {
		d.add(later(s.at.after, s.at.doneMarker), "a collected file would be renamed to the name of its own marker", "choose another pattern")
	}
}

// collects tells whether files in an absolute remote directory would be listed and wanted.
func (s Server) collects(directory string) bool {
	directory, root := path.Clean(directory), path.Clean(s.Path)
	if directory == root {
		return true
	}
	below, inside := strings.CutPrefix(directory, strings.TrimSuffix(root, "/")+"/")
	return s.Recursive && inside && !anyMatches(s.Exclude, below+"/file")
}

// checkTimes checks the durations against each other.
func (d *decoder) checkTimes(c *Config, deadlineAt position) {
	if c.Collect.Deadline > c.Schedule.Every {
		d.warnings.add(deadlineAt,
			fmt.Sprintf("collect.deadline (%v) is longer than schedule.every (%v)", c.Collect.Deadline, c.Schedule.Every),
			"runs will overlap and report servers as busy: make it shorter")
	}
}
