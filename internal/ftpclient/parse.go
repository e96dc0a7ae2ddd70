package ftpclient

import (
	"strconv"
	"strings"
	"time"
)

// timeLayout is the time-val of RFC 3659 section 2.3; time.Parse accepts its optional fraction.
const timeLayout = "20060102150405"

type kind int

const (
	kindFile kind = iota
	kindDir
	kindLink
	kindSpecial // device, pipe, socket, …
	kindNoise   // says nothing about a file
)

// special is Entry.Special of what is not a directory.
func (k kind) special() string {
	switch k {
	case kindLink:
		return "symlink"
	case kindSpecial:
		return "special"
	default:
		return ""
	}
}

// item is what one line tells.
type item struct {
	name      string // as received
	line      string
	kind      kind
	size      int64
	modified  time.Time
	zoned     bool
	precision time.Duration
}

// parser understands one line, without its line end, or does not. A regular file without a size is not understood: what
// is fetched could not be checked.
type parser func(line string, now time.Time) (item, bool)

// parseList understands what LIST answers: a format that RFC 959 leaves open.
func parseList(line string, now time.Time) (item, bool) {
	if it, ok := parseUnix(line, now); ok {
		return it, true
	}
	return parseDOS(line)
}

// isHeading recognises lines about the listing itself: ls begins with the blocks used, in the server's language.
func isHeading(line string) bool {
	words := strings.Fields(line)
	if len(words) == 0 {
		return true
	}
	if len(words) != 2 || words[1][0] < '0' || words[1][0] > '9' {
		return false
	}
	switch strings.TrimRight(words[0], ":：") {
	case "total", "Total", "总用量", "总计", "總計", "合計", "\xd7\xdc\xd3\xc3\xc1\xbf": // the last is 总用量 in GBK
		return true
	}
	return false
}

// parseMLSD understands a line of RFC 3659 section 7: "fact=value;fact=value; name". Some servers leave out the last
// semicolon, and some put blanks into values (UNIX.ownername=Domain Users).
func parseMLSD(line string, _ time.Time) (item, bool) {
	if facts, name, found := strings.Cut(line, "; "); found {
		if it, ok := parseFacts(facts); ok && name != "" {
			it.name = name
			return it, true
		}
	}
	facts, name, found := strings.Cut(line, " ")
	it, ok := parseFacts(strings.TrimSuffix(facts, ";"))
	it.name = name
	return it, found && ok && name != ""
}

func parseFacts(facts string) (item, bool) {
	it := item{size: -1, kind: -1}
	for fact := range strings.SplitSeq(facts, ";") {
		key, value, found := strings.Cut(fact, "=")
		if !found {
			return item{}, false
		}
		switch strings.ToLower(key) {
		case "type":
			it.kind = factKind(strings.ToLower(value))
		case "size":
			size, err := strconv.ParseUint(value, 10, 63)
			if err != nil {
				return item{}, false
			}
			it.size = int64(size)
		case "modify":
			if when, err := time.Parse(timeLayout, value); err == nil {
				it.modified, it.precision = when, time.Second
			}
		}
	}
	if it.kind == kindFile && it.size < 0 {
		return item{}, false
	}
	it.size = max(it.size, 0)
	return it, it.kind >= 0
}

// factKind maps the type fact (RFC 3659 section 7.5.1). Symbolic links have no type of their own; servers write
// "OS.unix=slink:target" or "OS.unix=symlink".
func factKind(value string) kind {
	switch {
	case value == "file":
		return kindFile
	case value == "dir":
		return kindDir
	case value == "cdir" || value == "pdir":
		return kindNoise
	case strings.HasPrefix(value, "os.unix=slink") || strings.HasPrefix(value, "os.unix=symlink"):
		return kindLink
	default:
		return kindSpecial
	}
}

var (
	dosDates = []string{"01-02-06", "01-02-2006", "2006-01-02", "01/02/06", "01/02/2006", "2006/01/02"}
	dosTimes = []string{"03:04PM", "15:04"}
)

// parseDOS understands what Windows servers answer: "01-05-24  10:00AM       <DIR>          name" or a size instead.
func parseDOS(line string) (item, bool) {
	words := splitWords(line, 3)
	if len(words) < 3 {
		return item{}, false
	}
	when, ok := parseDOSTime(words[0].text, words[1].text)
	if !ok {
		return item{}, false
	}
	it := item{modified: when, precision: time.Minute}
	rest := line[words[2].end:]
	switch words[2].text {
	case "<DIR>":
		it.kind = kindDir
		it.name = strings.TrimLeft(rest, " ")
	case "<SYMLINK>", "<SYMLINKD>", "<JUNCTION>":
		it.kind = kindLink
		it.name, _, _ = strings.Cut(strings.TrimLeft(rest, " "), " [")
	default:
		size, err := strconv.ParseUint(strings.ReplaceAll(words[2].text, ",", ""), 10, 63)
		if err != nil {
			return item{}, false
		}
		it.size, it.name = int64(size), strings.TrimPrefix(rest, " ")
	}
	return it, it.name != ""
}

func parseDOSTime(date, clock string) (time.Time, bool) {
	for _, d := range dosDates {
		for _, c := range dosTimes {
			if when, err := time.Parse(d+" "+c, date+" "+clock); err == nil {
				return when, true
			}
		}
	}
	return time.Time{}, false
}

// word is one word of a line, and where it ends.
type word struct {
	text string
	end  int
}

// splitWords finds the first most words.
func splitWords(line string, most int) []word {
	words := make([]word, 0, most)
	for i := 0; i < len(line) && len(words) < most; {
		for i < len(line) && line[i] == ' ' {
			i++
		}
		start := i
		for i < len(line) && line[i] != ' ' {
			i++
		}
		if i > start {
			words = append(words, word{text: line[start:i], end: i})
		}
	}
	return words
}
