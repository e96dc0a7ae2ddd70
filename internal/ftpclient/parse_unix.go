package ftpclient

import (
	"strconv"
	"strings"
	"time"
)

const (
	// lastDate is the last word with which a date is looked for: mode, links, owner and group of up to four words together,
	// size. Further right a date belongs to the name of a file whose own date is in a language nobody knows here.
	lastDate = 7
	// lastDateNoSize is the same where the size is missing or no number: nothing but its place tells the date then.
	lastDateNoSize = 5
	// longestDate: "Thu Jan 5 10:00:00 2024".
	longestDate = 5
)

// parseUnix understands what ls -l prints. Only the mode, the size and the date after it are relied upon; between mode
// and size servers put one to many words. The name begins one blank after the date, so that leading blanks belong to it.
func parseUnix(line string, now time.Time) (item, bool) {
	words := splitWords(line, lastDate+longestDate)
	if len(words) < 4 || strings.HasPrefix(line, " ") || !isMode(words[0].text) {
		return item{}, false
	}
	size, d, ok := findDate(words, now)
	if !ok {
		return item{}, false
	}
	it := item{
		kind: modeKind(words[0].text[0]), size: size, modified: d.when, zoned: d.zoned, precision: d.precision,
		name: line[min(d.end+1, len(line)):],
	}
	if it.kind == kindLink {
		it.name, _, _ = strings.Cut(it.name, " -> ")
	}
	return it, it.name != ""
}

// findDate looks for the leftmost number with a date behind it, then for a date alone.
func findDate(words []word, now time.Time) (size int64, d date, ok bool) {
	for i := 3; i < len(words) && i <= lastDate; i++ {
		if size := parseSize(words[i-1].text); size >= 0 {
			if d, ok := parseDate(words[i:], now); ok {
				return size, d, true
			}
		}
	}
	for i := 2; i < len(words) && i <= lastDateNoSize; i++ {
		if d, ok := parseDate(words[i:], now); ok {
			return -1, d, true
		}
	}
	return 0, date{}, false
}

// isMode accepts "-rw-r--r--", and the marks of ACLs ("+"), SELinux (".") and extended attributes ("@") behind it.
func isMode(s string) bool {
	if len(s) < 10 || len(s) > 11 || !strings.ContainsRune("-dlbcpsDnCM", rune(s[0])) {
		return false
	}
	return strings.Trim(s[1:10], "rwxsStTlL-") == "" && strings.Trim(s[10:], "+.@*") == ""
}

func modeKind(first byte) kind {
	switch first {
	case '-', 'n', 'C', 'M': // n, C, M: HP-UX network file, contiguous and migrated file
		return kindFile
	case 'd':
		return kindDir
	case 'l':
		return kindLink
	default:
		return kindSpecial
	}
}

// date is a time found in a listing.
type date struct {
	when      time.Time
	zoned     bool // with an offset
	precision time.Duration
	end       int // where it ends in the line
}

// parseDate understands, at the beginning of words, "Jan 5 10:00", "Jan 5 2024", "1月 5 10:00", "2024年1月5日 10:00",
// "2024-01-05 10:00", "2024-01-05 10:00:00.000000000 +0800", "01-05 10:00" and "Thu Jan 5 10:00:00 2024".
func parseDate(words []word, now time.Time) (date, bool) {
	first := words[0].text
	switch {
	case parseMonth(first) != 0:
		return parseMonthDay(words, now)
	case len(first) == len("2006-01-02") && first[4] == '-' || len(first) == len("01-02") && first[2] == '-':
		return parseISO(words, now)
	case len(first) == len("Mon"):
		return parseWeekday(words)
	}
	return parseMarked(words, now)
}

// parseMonthDay reads a month, a day, and a year or time.
func parseMonthDay(words []word, now time.Time) (date, bool) {
	if len(words) < 3 {
		return date{}, false
	}
	month, last := parseMonth(words[0].text), words[2]
	day, ok := parseNumber(strings.TrimSuffix(words[1].text, ","), dayMarks)
	if !ok {
		return date{}, false
	}
	if clock, precision, ok := parseClock(last.text); ok {
		when, ok := addYear(month, day, clock, now)
		return date{when: when, precision: precision, end: last.end}, ok
	}
	year, ok := parseNumber(last.text, yearMarks)
	when := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	return date{when: when, precision: 24 * time.Hour, end: last.end}, ok && when.Day() == day && isSane(when)
}

// parseISO reads the styles full-iso, long-iso and iso of ls. The last has a time for young files and a year for old ones,
// with a blank more to make them equally long.
func parseISO(words []word, now time.Time) (date, bool) {
	day, err := time.Parse("2006-01-02", words[0].text)
	if err != nil {
		day, err := time.Parse("01-02", words[0].text)
		if err != nil || len(words) < 2 {
			return date{}, false
		}
		clock, precision, ok := parseClock(words[1].text)
		when, found := addYear(day.Month(), day.Day(), clock, now)
		return date{when: when, precision: precision, end: words[1].end}, ok && found
	}
	if len(words) < 2 || !isSane(day) {
		return date{}, false
	}
	clock, precision, ok := parseClock(words[1].text)
	if !ok {
		end := words[0].end + 1
		return date{when: day, precision: 24 * time.Hour, end: end}, words[1].start > end
	}
	d := date{when: day.Add(clock), precision: precision, end: words[1].end}
	if len(words) > 3 && precision == time.Second { // the third word is the name if it is the last one
		if zone, err := time.Parse("-0700", words[2].text); err == nil {
			_, offset := zone.Zone()
			d.when = d.when.Add(-time.Duration(offset) * time.Second)
			d.zoned, d.end = true, words[2].end
		}
	}
	return d, isSane(d.when)
}

// parseWeekday reads "Thu Jan 5 10:00:00 2024", which old BusyBox prints.
func parseWeekday(words []word) (date, bool) {
	if len(words) < longestDate {
		return date{}, false
	}
	if _, err := time.Parse("Mon", words[0].text); err != nil {
		return date{}, false
	}
	texts := make([]string, 0, longestDate-1)
	for _, w := range words[1:longestDate] {
		texts = append(texts, w.text)
	}
	when, err := time.Parse("Jan 2 15:04:05 2006", strings.Join(texts, " "))
	return date{when: when, precision: time.Second, end: words[longestDate-1].end}, err == nil && isSane(when)
}

// parseMarked reads "2024年1月5日", with or without a time, and "1月5日 10:00".
func parseMarked(words []word, now time.Time) (date, bool) {
	text := words[0].text
	if text[0] < '0' || text[0] > '9' {
		return date{}, false
	}
	yearText, monthDay, dated := cutAny(text, yearMarks)
	if !dated {
		monthDay = text
	}
	monthText, dayText, found := cutAny(monthDay, monthMarks)
	month, ok := parseNumber(monthText, nil)
	day, isDay := parseNumber(dayText, dayMarks)
	if !found || !ok || !isDay || month < 1 || month > 12 {
		return date{}, false
	}
	d := date{precision: 24 * time.Hour, end: words[0].end}
	var clock time.Duration
	timed := false
	if len(words) > 1 {
		var precision time.Duration
		if clock, precision, timed = parseClock(words[1].text); timed {
			d.precision, d.end = precision, words[1].end
		}
	}
	if !dated {
		d.when, ok = addYear(time.Month(month), day, clock, now)
		return d, ok && timed
	}
	year, ok := parseNumber(yearText, nil)
	d.when = time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	ok = ok && d.when.Day() == day && isSane(d.when)
	d.when = d.when.Add(clock)
	return d, ok
}

// parseClock reads "10:00" or "10:00:07", with or without a fraction, as the time since midnight.
func parseClock(s string) (since, precision time.Duration, ok bool) {
	if !strings.Contains(s, ":") {
		return 0, 0, false
	}
	if at, err := time.Parse("15:04", s); err == nil {
		return at.Sub(midnight), time.Minute, true
	}
	at, err := time.Parse("15:04:05", s)
	return at.Sub(midnight), time.Second, err == nil
}

// addYear adds the year that ls leaves out: the last one in which the date exists and lies in the past. A day is granted
// for time zones and wrong clocks.
func addYear(month time.Month, day int, clock time.Duration, now time.Time) (time.Time, bool) {
	latest := now.UTC().AddDate(0, 0, 1)
	for year := latest.Year(); year > latest.Year()-9; year-- { // 29 February may be eight years away
		when := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
		if when.Day() == day && !when.Add(clock).After(latest) {
			return when.Add(clock), true
		}
	}
	return time.Time{}, false
}

// The marks behind the numbers of a date, in UTF-8, GBK, Big5 and Shift JIS (and Korean, in UTF-8): whatever the charset of
// the names is configured to be, ls has one of its own.
var (
	yearMarks  = []string{"年", "\xc4\xea", "\xa6\x7e", "\x94\x4e", "년"}
	monthMarks = []string{"月", "\xd4\xc2", "\xa4\xeb", "\x8c\x8e", "월"}
	dayMarks   = []string{"日", "\xc8\xd5", "\xa4\xe9", "\x93\xfa", "일"}
)

// parseMonth understands "Jan" and "1月"; 0 is no month.
func parseMonth(s string) time.Month {
	if when, err := time.Parse("Jan", s); err == nil {
		return when.Month()
	}
	if number, rest, found := cutAny(s, monthMarks); found && rest == "" {
		if n, ok := parseNumber(number, nil); ok && 1 <= n && n <= 12 {
			return time.Month(n)
		}
	}
	return 0
}

// parseNumber reads a number of up to five digits that may have one of these marks behind it.
func parseNumber(s string, marks []string) (int, bool) {
	if before, rest, found := cutAny(s, marks); found && rest == "" {
		s = before
	}
	n, err := strconv.ParseUint(s, 10, 16)
	return int(n), err == nil
}

// cutAny is strings.Cut around the first of the marks that is found.
func cutAny(s string, marks []string) (before, after string, found bool) {
	for _, mark := range marks {
		if before, after, found := strings.Cut(s, mark); found {
			return before, after, true
		}
	}
	return s, "", false
}
