package ftpclient

import (
	"bytes"
	"net/textproto"
	"strconv"
	"strings"
)

// maxHeard bounds the replies that a transcript keeps.
const maxHeard = 4096

// transcript listens to the control connection (it is the library's debug output) and knows which command was sent last
// and what came back. The library returns a refused USER without its code, and no text at all of a success. Of a command
// only its first word is kept: PASS passes here in clear.
type transcript struct {
	command   string
	heard     []byte
	opening   []byte // the greeting
	features  []byte // the reply to FEAT
	heardPASV bool   // PASV was sent after EPSV had been refused
}

// Write implements io.Writer. The library hands over each command in one piece.
func (t *transcript) Write(p []byte) (int, error) {
	if word, ok := commandWord(p); ok {
		if word != "QUIT" { // the library says it after a failure, and the failure is what counts
			t.turn(word)
		}
		return len(p), nil
	}
	t.heard = append(t.heard, p...)
	if over := len(t.heard) - maxHeard; over > 0 {
		t.heard = t.heard[over:]
	}
	return len(p), nil
}

// turn begins the next command, and keeps of the one before what is asked for later.
func (t *transcript) turn(word string) {
	switch t.command {
	case "":
		t.opening = t.heard
	case "FEAT":
		t.features = t.heard
	case "EPSV":
		t.heardPASV = t.heardPASV || word == "PASV"
	}
	t.command, t.heard = word, nil
}

// greeting is the first line that the server said in which there is a word, without its code.
func (t *transcript) greeting() string {
	said := t.opening
	if t.command == "" {
		said = t.heard
	}
	for line := range strings.SplitSeq(string(said), "\n") {
		line = strings.Trim(line[min(len("220-"), len(line)):], " -*=\r")
		if line != "" {
			return line
		}
	}
	return ""
}

// featureList is what FEAT listed, one feature a line (RFC 2389 section 3.2).
func (t *transcript) featureList() []string {
	var features []string
	for line := range strings.SplitSeq(string(t.features), "\n") {
		if name, found := strings.CutPrefix(strings.TrimRight(line, "\r"), " "); found {
			features = append(features, strings.TrimSpace(name))
		}
	}
	return features
}

// commandWord recognises "RETR x\r\n"; a reply begins with a digit.
func commandWord(p []byte) (string, bool) {
	word := p[:max(bytes.IndexAny(p, " \r"), 0)]
	if len(word) < 3 || len(word) > 4 || !bytes.HasSuffix(p, []byte("\r\n")) {
		return "", false
	}
	for _, b := range word {
		if b < 'A' || b > 'Z' {
			return "", false
		}
	}
	return string(word), true
}

// reply is the last complete reply to the last command, or nil. Half a line is none: it may be half a number.
func (t *transcript) reply() *textproto.Error {
	if !bytes.HasSuffix(t.heard, []byte("\n")) {
		return nil
	}
	lines := strings.Split(strings.TrimRight(string(t.heard), "\r\n"), "\n")
	last := strings.TrimRight(lines[len(lines)-1], "\r")
	if len(last) < 4 || last[3] != ' ' {
		return nil
	}
	code, err := strconv.Atoi(last[:3])
	if err != nil {
		return nil
	}
	return &textproto.Error{Code: code, Msg: strings.TrimSpace(last[4:])}
}
