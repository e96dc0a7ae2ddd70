package config

import (
	"fmt"
	"net/netip"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"unicode"

	"github.com/goccy/go-yaml/ast"
	"golang.org/x/text/encoding/htmlindex"
)

// Upper ends of ranges.
const (
	maxWindow = 1000    // Temporal allows 2,000 pending children; above a few hundred they are slower, not faster
	maxPage   = 500     // files whose results still fit one payload and one history
	maxBatch  = 64      // archives whose results still fit one payload
	maxLimit  = 1 << 30 // no archive has more of anything that is counted
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

// checkGlob accepts what Wants understands.
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
		d.list(target, checkGlob)(e)
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

// charset sets the name of a charset in lower case, the spelling that everybody looks up.
func (d *decoder) charset(target *string) setter {
	return func(e entry) {
		d.text(target, checkCharset)(e)
		*target = strings.ToLower(strings.TrimSpace(*target))
	}
}

func (d *decoder) charsets(target *[]string) setter {
	return func(e entry) {
		d.list(target, checkCharset)(e)
		names := make([]string, len(*target))
		for i, name := range *target {
			names[i] = strings.ToLower(strings.TrimSpace(name))
		}
		*target = names
	}
}

// checkData refuses what is planned but not there. It quotes nothing: an address may hold credentials.
func checkData(text string) *Error {
	switch {
	case text == DataFile:
		return nil
	case strings.HasPrefix(text, "s3:"):
		return &Error{
			Message: "a warehouse behind S3 is not available yet",
			Hint:    `use "file" and give eagle the warehouse as a mount`,
		}
	}
	return &Error{Message: "this is no way for an eagle to reach the warehouse", Hint: `use "file"`}
}

// after sets keep, delete or {move: directory}.
func (d *decoder) after(target *After) setter {
	const hint = "write keep, delete or {move: /directory}"
	return func(e entry) {
		if _, ok := e.value.(ast.MapNode); ok {
			*target = After{Action: AfterMove}
			before := len(d.found)
			d.mapping(e.value, []field{{"move", d.text(&target.Move, checkMoveTarget)}})
			if target.Move == "" && len(d.found) == before {
				d.add(e.at, "after is an empty mapping", hint)
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

// checkServer checks what only the merged settings of a server show, and settles its port.
func (d *decoder) checkServer(s *Server, at position) {
	if s.Host == "" && s.hostAt == (position{}) { // one that was refused is told already
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
	if s.After.Action == AfterMove && s.collects(s.After.Move) {
		d.add(s.afterAt, fmt.Sprintf("files are moved to %.60q, which is collected itself: they would come again", s.After.Move),
			fmt.Sprintf("choose a directory outside of %.60q, or exclude it", s.Path))
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
