package config

import (
	"fmt"
	"regexp"
	"time"
	_ "time/tzdata" // so that "Asia/Shanghai" is known on a machine that has no time zones installed

	"github.com/goccy/go-yaml/ast"
)

const timezoneHint = `write a name such as "Asia/Shanghai", "UTC" or an offset such as "+08:00"`

var zoneOffset = regexp.MustCompile(`^([+-])(\d\d):([0-5]\d)$`)

// timezone sets a zone by its IANA name or its offset from UTC, and none by "".
func (d *decoder) timezone(target **time.Location) setter {
	return func(e entry) {
		text, ok := plainText(e.value)
		if !ok {
			d.addWrongType(e, "text", timezoneHint+", with quotes")
			return
		}
		zone, err := parseTimezone(text)
		if err != nil {
			d.add(e.at, "timezone: "+err.Error(), timezoneHint)
			return
		}
		*target = zone
	}
}

// parseTimezone returns nil for "". "Local" is refused: the zone of whatever machine this runs on is not meant.
func parseTimezone(text string) (*time.Location, error) {
	if text == "" {
		return nil, nil
	}
	if parts := zoneOffset.FindStringSubmatch(text); parts != nil {
		span, err := time.ParseDuration(parts[1] + parts[2] + "h" + parts[3] + "m")
		if err != nil || span.Abs() > 14*time.Hour { // Kiribati has the largest
			return nil, fmt.Errorf("%.60q is no offset of a time zone", text)
		}
		return time.FixedZone(text, int(span.Seconds())), nil
	}
	zone, err := time.LoadLocation(text)
	if err != nil || text == "Local" {
		return nil, fmt.Errorf("%.60q is not a time zone", text)
	}
	return zone, nil
}

// baseline sets collect, adopt or {from: time}.
func (d *decoder) baseline(target *Baseline) setter {
	const hint = "write collect, adopt or {from: 2026-01-31}"
	return func(e entry) {
		if _, ok := e.value.(ast.MapNode); ok {
			*target = Baseline{Mode: BaselineFrom}
			before := len(d.found)
			d.mapping(e.value, []field{{"from", d.time(&target.From)}})
			if target.From.IsZero() && len(d.found) == before {
				d.add(e.at, "baseline is an empty mapping", hint)
			}
			return
		}
		switch text, ok := plainText(e.value); {
		case !ok:
			d.addWrongType(e, "collect, adopt or a mapping", hint)
		case text == string(BaselineCollect), text == string(BaselineAdopt):
			*target = Baseline{Mode: BaselineMode(text)}
		default:
			d.add(e.at, fmt.Sprintf("baseline cannot be %.60q", text), hint)
		}
	}
}

// time sets a point in time: a date, which begins at midnight UTC, or a timestamp of RFC 3339.
func (d *decoder) time(target *time.Time) setter {
	const hint = "write a date (2026-01-31, from midnight UTC) or a timestamp with its zone (2026-01-31T18:00:00+08:00)"
	return func(e entry) {
		text, ok := plainText(e.value)
		if !ok {
			d.addWrongType(e, "a date or a timestamp", hint)
			return
		}
		for _, layout := range []string{time.DateOnly, time.RFC3339} {
			if at, err := time.Parse(layout, text); err == nil {
				*target = at
				return
			}
		}
		d.add(e.at, fmt.Sprintf("%s: %.60q is neither a date nor a timestamp", e.key, text), hint)
	}
}
