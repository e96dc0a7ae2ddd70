package ftpclient

import (
	"strconv"
	"strings"
	"time"
)

// mostWords bounds where a date is looked for: mode, links, owner, group (these may contain blanks), size, date.
const mostWords = 16

// parseUnix understands what ls -l prints. Only the mode, the size and the date after it are relied upon; between mode
// and size servers put one to many words. The name begins one blank after the date, so that leading blanks belong to it.
func parseUnix(line string, now time.Time) (item, bool) {
	words := splitWords(line, mostWords)
	if len(words) < 5 || strings.HasPrefix(line, " ") || !isMode(words[0].text) {
		return item{}, false
	}
	it := item{kind: modeKind(words[0].text[0])}
	for i := 2; i < len(words); i++ {
		size, err := strconv.ParseUint(words[i-1].text, 10, 63)
		if err != nil {
			continue
		}
		d, ok := parseDate(words[i:], now)
		if !ok {
			continue
		}
		it.size, it.modified, it.precision = int64(size), d.when, d.precision
		end := words[i+d.words-1].end
		it.name = line[min(end+1, len(line)):]
		break
	}
	if it.kind == kindLink {
		it.name, _, _ = strings.Cut(it.name, " -> ")
	}
	return it, it.name != ""
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
	precision time.Duration
	words     int // how many it took
}

// parseDate understands, at the beginning of words, "Jan 5 10:00", "Jan 5 2024", "1月 5 10:00", "2024-01-05 10:00",
// "2024-01-05 10:00:00.000000000 +0800" and "01-05 10:00".
func parseDate(words []word, now time.Time) (date, bool) {
	if len(words) >= 3 {
		if month := parseMonth(words[0].text); month != 0 {
			return parseMonthDay(month, words[1].text, words[2].text, now)
		}
		stamp := words[0].text + " " + words[1].text + " " + words[2].text
		if when, err := time.Parse("2006-01-02 15:04:05 -0700", stamp); err == nil {
			return date{when: when.UTC(), precision: time.Second, words: 3}, true
		}
	}
	if len(words) < 2 {
		return date{}, false
	}
	if when, err := time.Parse("2006-01-02 15:04:05", words[0].text+" "+words[1].text); err == nil {
		return date{when: when, precision: time.Second, words: 2}, true
	}
	if when, err := time.Parse("2006-01-02 15:04", words[0].text+" "+words[1].text); err == nil {
		return date{when: when, precision: time.Minute, words: 2}, true
	}
	if when, err := time.Parse("01-02", words[0].text); err == nil {
		d, ok := parseClock(when.Month(), when.Day(), words[1].text, now)
		d.words = 2
		return d, ok
	}
	return date{}, false
}

// parseMonthDay reads the day and the year or time that follow a month.
func parseMonthDay(month time.Month, dayWord, last string, now time.Time) (date, bool) {
	day, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSuffix(dayWord, "日"), ","))
	if err != nil {
		return date{}, false
	}
	if strings.Contains(last, ":") {
		d, ok := parseClock(month, day, last, now)
		d.words = 3
		return d, ok
	}
	year, err := strconv.Atoi(strings.TrimSuffix(last, "年"))
	if err != nil || year < 1900 || year > 9999 {
		return date{}, false
	}
	when := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	return date{when: when, precision: 24 * time.Hour, words: 3}, when.Day() == day
}

// parseClock adds the year that ls leaves out: the last one in which the date exists and lies in the past. A day is
// granted for time zones and wrong clocks.
func parseClock(month time.Month, day int, clock string, now time.Time) (date, bool) {
	at, err := time.Parse("15:04", clock)
	precision := time.Minute
	if err != nil {
		if at, err = time.Parse("15:04:05", clock); err != nil {
			return date{}, false
		}
		precision = time.Second
	}
	latest := now.UTC().AddDate(0, 0, 1)
	for year := latest.Year(); year > latest.Year()-9; year-- { // 29 February may be eight years away
		when := time.Date(year, month, day, at.Hour(), at.Minute(), at.Second(), 0, time.UTC)
		if when.Day() == day && !when.After(latest) {
			return date{when: when, precision: precision}, true
		}
	}
	return date{}, false
}

// monthMarks follow a month's number in Chinese and Japanese listings: 月 in UTF-8, GBK, Big5 and Shift JIS.
var monthMarks = []string{"月", "\xd4\xc2", "\xa4\xeb", "\x8c\x8e"}

// parseMonth understands "Jan" and "1月"; 0 is no month.
func parseMonth(s string) time.Month {
	if when, err := time.Parse("Jan", s); err == nil {
		return when.Month()
	}
	for _, mark := range monthMarks {
		if number, found := strings.CutSuffix(s, mark); found {
			if n, err := strconv.Atoi(number); err == nil && 1 <= n && n <= 12 {
				return time.Month(n)
			}
		}
	}
	return 0
}
