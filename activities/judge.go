package activities

import (
	"fmt"
	"iter"
	"path"
	"strconv"
	"strings"
	"time"

	"talon/config"
	"talon/internal/catalog"
	"talon/internal/ftpclient"
	"talon/internal/pathname"
)

// Reason codes of listed files that are not fetched.
const (
	reasonTooYoung            = "too_young"
	reasonNotDone             = "not_done"
	reasonUnsafeName          = "unsafe_name"
	reasonNotRegular          = "not_regular"
	reasonNoSize              = "no_size"
	reasonUnreadableDirectory = "unreadable_directory"
	reasonTooDeep             = "too_deep"
	reasonUnparsedLine        = "unparsed_line"
)

// specials are the reasons for what cannot be fetched, by ftpclient.Entry.Special.
var specials = map[string]struct{ reason, detail string }{
	"symlink":     {reasonNotRegular, "a symbolic link, not a regular file"},
	"special":     {reasonNotRegular, "a device, pipe or socket, not a regular file"},
	"unsafe_name": {reasonUnsafeName, "the name holds bytes that cannot be sent to an FTP server"},
	"no_size":     {reasonNoSize, "neither the listing nor SIZE tells how long it is, so nobody could tell whether it arrived whole"},
	"unreadable":  {reasonUnreadableDirectory, "a directory that the server does not open: what is in it is unknown"},
	"too_deep":    {reasonTooDeep, "a directory below the deepest level that is listed (max_depth): what is in it is unknown"},
}

// judge decides for every line of a listing whether it is wanted, left for later or refused. Lines that nobody understood are refused with the line
// itself: a listing never gets shorter in silence.
type judge struct {
	server   config.Server
	zone     ftpclient.Behaviour // what is known of the zone of the listing
	now      time.Time
	excluded int
}

// lines are the judged lines of a survey; excluded counts those that are not among them, once all have been read.
func (j *judge) lines(s *survey) iter.Seq2[catalog.Listed, error] {
	return func(yield func(catalog.Listed, error) bool) {
		j.excluded = 0
		for entry, err := range s.entries() {
			if err != nil {
				yield(catalog.Listed{}, err)
				return
			}
			if line, wanted := j.line(entry, s.markers); wanted {
				if !yield(line, nil) {
					return
				}
			} else {
				j.excluded++
			}
		}
		for _, line := range unparsed(s.summary) {
			if !yield(line, nil) {
				return
			}
		}
	}
}

// line judges one entry; wanted is false if it is no part of the collection.
func (j *judge) line(entry ftpclient.Entry, markers map[string]string) (line catalog.Listed, wanted bool) {
	relative := relativePath(j.server.Path, entry.Path)
	if !j.wants(entry, relative) {
		return line, false
	}
	line = catalog.Listed{
		RawPath: entry.RawPath, Path: relative, Size: entry.Size, ModTime: entry.ModTime, Precision: entry.Precision, Line: entry.Line,
		Alias: j.alias(entry),
	}
	clean, unsafe := pathname.Clean(relative)
	if unsafe == nil {
		line.Path = clean // names that differ only in bytes of no charset still differ in it
	}
	line.State, line.Reason, line.Detail = j.verdict(entry, unsafe)
	if marker := j.server.Marker(baseName(entry.Path)); marker != "" && line.State != catalog.StateRefused {
		lies := path.Join(path.Dir(entry.Path), marker)
		if line.Marker = markers[lies]; line.Marker == "" {
			line.State, line.Reason = catalog.StateDeferred, reasonNotDone
			line.Detail = fmt.Sprintf("its done marker %s is not there yet", marker)
		}
	}
	return line, true
}

// wants tells whether an entry is part of the collection. A directory that could not be listed is, unless it is excluded as a whole: wanted files
// may be in it.
func (j *judge) wants(entry ftpclient.Entry, relative string) bool {
	s := j.server
	if reason := specials[entry.Special].reason; reason == reasonUnreadableDirectory || reason == reasonTooDeep {
		s.Include = []string{"*"}
		return s.Wants(relative + "/file")
	}
	if !s.Wants(relative) {
		return false
	}
	if entry.Special != "" {
		return true
	}
	size := config.Size(entry.Size)
	tooOld := s.MaxAge > 0 && !entry.ModTime.IsZero() && j.now.Sub(j.moment(entry)) > s.MaxAge
	return !tooOld && size >= s.MinSize && (s.MaxSize == 0 || size <= s.MaxSize)
}

func (j *judge) verdict(entry ftpclient.Entry, unsafe error) (catalog.State, string, string) {
	if entry.Special != "" {
		return catalog.StateRefused, specials[entry.Special].reason, specials[entry.Special].detail
	}
	if unsafe != nil {
		return catalog.StateRefused, reasonUnsafeName, unsafe.Error()
	}
	// Without a minimum the age is nobody's business: by a clock that is ahead every file is younger than 0s.
	if age := j.now.Sub(j.moment(entry)); j.server.MinAge > 0 && age < j.server.MinAge {
		return catalog.StateDeferred, reasonTooYoung, fmt.Sprintf("younger than %s: left for the next run", j.server.MinAge)
	}
	return catalog.StatePending, "", ""
}

// moment is when a file was written, as far as the zone of the listing is known: configured, else learned from MDTM.
func (j *judge) moment(entry ftpclient.Entry) time.Time {
	at := entry.ModTime
	switch {
	case entry.Zoned || at.IsZero():
		return at
	case j.server.Timezone != nil:
		return time.Date(at.Year(), at.Month(), at.Day(), at.Hour(), at.Minute(), at.Second(), 0, j.server.Timezone).UTC()
	case j.zone.ZoneKnown:
		return at.Add(-time.Duration(j.zone.ZoneMinutes) * time.Minute)
	}
	return at
}

// alias is the time that the same file would have in the other kind of listing: MLSD in UTC, LIST in the server's zone. A server that is listed with
// the other command one day must not look as if every file had changed.
func (j *judge) alias(entry ftpclient.Entry) time.Time {
	switch {
	case entry.ModTime.IsZero():
		return entry.ModTime
	case !entry.Zoned:
		return j.moment(entry)
	}
	return j.wallClock(entry.ModTime)
}

// wallClock is what the clock on the server's wall shows at a moment, as a time in UTC: how LIST shows it.
func (j *judge) wallClock(at time.Time) time.Time {
	switch {
	case j.server.Timezone != nil:
		local := at.In(j.server.Timezone)
		return time.Date(local.Year(), local.Month(), local.Day(), local.Hour(), local.Minute(), local.Second(), 0, time.UTC)
	case j.zone.ZoneKnown:
		return at.Add(time.Duration(j.zone.ZoneMinutes) * time.Minute)
	}
	return at
}

// unparsed accounts for the lines that nobody understood. Of very many the engine keeps the first; the others get one row together.
func unparsed(summary ftpclient.Summary) []catalog.Listed {
	var lines []catalog.Listed
	for i, line := range summary.Unparsed {
		lines = append(lines, catalog.Listed{
			RawPath: "unparsed line " + strconv.Itoa(i+1) + ": " + line, Path: printable(line), Line: line, State: catalog.StateRefused,
			Reason: reasonUnparsedLine, Detail: "this line of the listing could not be understood",
		})
	}
	if more := summary.UnparsedLines - len(summary.Unparsed); more > 0 {
		text := fmt.Sprintf("%d more unparsed lines", more)
		lines = append(lines, catalog.Listed{
			RawPath: text, Path: text, State: catalog.StateRefused, Reason: reasonUnparsedLine,
			Detail: fmt.Sprintf("the listing has %d further lines that could not be understood", more),
		})
	}
	return lines
}

// relativePath is a file's path below the directory that is collected.
func relativePath(dir, file string) string {
	prefix := strings.TrimSuffix(dir, "/") + "/"
	return strings.TrimPrefix(strings.TrimPrefix(file, prefix), "/")
}

func baseName(file string) string { return file[strings.LastIndexByte(file, '/')+1:] }

func printable(line string) string {
	const longEnough = 500
	if len(line) > longEnough {
		line = line[:longEnough]
	}
	quoted := strconv.Quote(line)
	return quoted[1 : len(quoted)-1]
}
