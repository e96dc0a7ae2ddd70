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

// parser understands one line, without its line end, or does not. The size of a regular file is -1 if the line tells none
// that can be relied upon; elsewhere it means nothing. No line is understood both as MLSD and as LIST.
type parser func(line string, now time.Time) (item, bool)

// parseList understands what LIST answers: a format that RFC 959 leaves open.
func parseList(line string, now time.Time) (item, bool) {
	if it, ok := parseUnix(line, now); ok {
		return it, true
	}
	return parseDOS(line)
}

// totals are the words with which ls begins a listing in a server's language: "total 12".
var totals = map[string]bool{
	"total": true, "totale": true, "totaal": true, "totalt": true, "insgesamt": true, "итого": true, "всього": true,
	"razem": true, "celkem": true, "toplam": true, "összesen": true, "yhteensä": true, "合計": true, "合计": true,
	"总用量": true, "總用量": true, "总计": true, "總計": true, "합계": true,
	"\xd7\xdc\xd3\xc3\xc1\xbf": true, // 总用量 in GBK, whatever the configuration says
}

// isHeading recognises lines about the listing itself: empty ones, and the number of blocks.
func isHeading(line string) bool {
	words := splitWords(line, 3)
	if len(words) == 0 {
		return true
	}
	if len(words) != 2 || words[1].text[0] < '0' || words[1].text[0] > '9' {
		return false
	}
	word := strings.TrimRight(words[0].text, ":：")
	return totals[word] || totals[strings.ToLower(word)]
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
	it, ok := parseFacts(facts)
	it.name = name
	return it, found && ok && name != ""
}

func parseFacts(facts string) (item, bool) {
	it := item{size: -1, kind: -1}
	for fact := range strings.SplitSeq(facts, ";") {
		if fact == "" {
			continue
		}
		key, value, found := strings.Cut(strings.ToLower(fact), "=")
		if !found || strings.Contains(key, " ") || strings.Contains(value, " ") && !mayHoldBlanks(key, value) {
			return item{}, false // else "type=file;size=1 a; b" would be a file b
		}
		switch key {
		case "type":
			it.kind = factKind(value)
		case "size":
			it.size = parseSize(value)
		case "modify":
			if when, err := time.Parse(timeLayout, value); err == nil && isSane(when) {
				it.modified, it.precision, it.zoned = when, time.Second, true
			}
		}
	}
	return it, it.kind >= 0
}

// mayHoldBlanks: by RFC 3659 section 7.2 no value holds blanks, but owners, groups and targets of links do.
func mayHoldBlanks(key, value string) bool {
	return strings.HasPrefix(key, "unix.") || key == "type" && strings.HasPrefix(value, "os.")
}

// factKind maps the type fact (RFC 3659 section 7.5.1). Symbolic links have no type of their own; servers write
// "OS.unix=slink:target" or "OS.unix=symlink".
func factKind(value string) kind {
	switch value {
	case "file":
		return kindFile
	case "dir":
		return kindDir
	case "cdir", "pdir":
		return kindNoise
	}
	value = strings.TrimPrefix(value, "os.unix=")
	if strings.HasPrefix(value, "slink") || strings.HasPrefix(value, "symlink") || value == "link" {
		return kindLink
	}
	return kindSpecial
}

// parseSize reads a size in bytes; -1 is what is no number, negative (from servers that count with 32 bits) or rounded ("1.5K").
func parseSize(s string) int64 {
	size, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return -1
	}
	return int64(size)
}

// isSane refuses times that only a broken clock or a misread line can mean. Windows shows its zero time as 1601.
func isSane(when time.Time) bool { return 1600 <= when.Year() && when.Year() <= 9999 }

var (
	// With "-" and "/" the month comes first, as IIS and cmd.exe of the United States write it; with "." the day does.
	dosDates = []string{
		"01-02-06", "01-02-2006", "2006-01-02", "01/02/06", "01/02/2006", "2006/01/02", "02.01.2006", "02.01.06",
	}
	dosTimes = []string{"3:04PM", "15:04"}
)

// dosPadding is what IIS puts between "<DIR>" and the name.
const dosPadding = "          "

// parseDOS understands what Windows servers answer: "01-05-24  10:00AM       <DIR>          name" or a size instead.
func parseDOS(line string) (item, bool) {
	words := splitWords(line, 3)
	if len(words) < 3 {
		return item{}, false
	}
	date, ok := parseFirst(dosDates, words[0].text)
	if !ok || !isSane(date) {
		return item{}, false
	}
	clock, ok := parseFirst(dosTimes, words[1].text)
	if !ok {
		return item{}, false
	}
	it := item{modified: date.Add(clock.Sub(midnight)), precision: time.Minute, size: -1}
	rest := line[words[2].end:]
	switch words[2].text {
	case "<DIR>":
		it.kind = kindDir
		it.name = dosName(rest)
	case "<SYMLINK>", "<SYMLINKD>", "<JUNCTION>":
		it.kind = kindLink
		it.name, _, _ = strings.Cut(dosName(rest), " [")
	default:
		if it.size = parseSize(strings.ReplaceAll(words[2].text, ",", "")); it.size < 0 {
			return item{}, false
		}
		it.name = strings.TrimPrefix(rest, " ")
	}
	return it, it.name != ""
}

func dosName(rest string) string {
	if name, found := strings.CutPrefix(rest, dosPadding); found {
		return name
	}
	return strings.TrimLeft(rest, " ")
}

// midnight is what time.Parse makes of 00:00 without a date.
var midnight = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)

func parseFirst(layouts []string, value string) (time.Time, bool) {
	if value[0] < '0' || value[0] > '9' {
		return time.Time{}, false // no layout begins with anything else, and time.Parse is slow to refuse
	}
	for _, layout := range layouts {
		if when, err := time.Parse(layout, value); err == nil {
			return when, true
		}
	}
	return time.Time{}, false
}

// word is one word of a line, and where it stands.
type word struct {
	text       string
	start, end int
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
			words = append(words, word{text: line[start:i], start: start, end: i})
		}
	}
	return words
}
