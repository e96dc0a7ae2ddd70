package ftpclient

import "time"

// SetClock replaces the pool's clock.
func (p *Pool) SetClock(now func() time.Time) { p.now = now }

// MaxDialing is the number of logins in progress per address.
const MaxDialing = maxDialing

// Understood is what a parser made of a line.
type Understood struct {
	Name, Kind string
	Size       int64
	Modified   time.Time
	Precision  time.Duration
}

// ParseMLSD and ParseList run the parsers.
func ParseMLSD(line string, now time.Time) (Understood, bool) {
	return understood(parseMLSD(line, now))
}

// ParseList see ParseMLSD.
func ParseList(line string, now time.Time) (Understood, bool) {
	return understood(parseList(line, now))
}

func understood(it item, ok bool) (Understood, bool) {
	names := map[kind]string{kindFile: "file", kindDir: "dir", kindLink: "link", kindSpecial: "special", kindNoise: "noise"}
	return Understood{
		Name: it.name, Kind: names[it.kind], Size: it.size, Modified: it.modified, Precision: it.precision,
	}, ok
}

// IsHeading reports whether a line is about the listing itself.
func IsHeading(line string) bool { return isHeading(line) }

// Classify names the sentinel of a reply.
func Classify(command string, code int, text string) error { return classify(command, code, text) }
