package ftpclient_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"talon/internal/ftpclient"
)

func TestSameTime(t *testing.T) {
	const day = 24 * time.Hour
	listed := time.Date(2026, time.March, 5, 12, 30, 0, 0, time.UTC)
	var (
		unknown  = ftpclient.Behaviour{}
		utc      = ftpclient.Behaviour{ZoneKnown: true}
		shanghai = ftpclient.Behaviour{ZoneKnown: true, ZoneMinutes: 480}
	)
	for name, c := range map[string]struct {
		known     ftpclient.Behaviour
		precision time.Duration
		behind    time.Duration // MDTM is so much earlier than the listing
		want      bool
	}{
		"MLSD, the same":                                 {unknown, time.Second, 0, true},
		"MLSD, a second later":                           {unknown, time.Second, -time.Second, false},
		"MLSD, an hour later":                            {utc, time.Second, -time.Hour, false},
		"MLSD of a server whose LIST is in a zone":       {shanghai, time.Second, 0, true},
		"MLSD in local time":                             {shanghai, time.Second, 8 * time.Hour, true},
		"seconds in a zone, a minute later":              {shanghai, time.Second, 8*time.Hour - time.Minute, false},
		"minutes, the same":                              {unknown, time.Minute, 0, true},
		"minutes, seconds cut off":                       {unknown, time.Minute, -59 * time.Second, true},
		"minutes, zone unknown":                          {unknown, time.Minute, 8 * time.Hour, true},
		"minutes, zone unknown, a minute later":          {unknown, time.Minute, 8*time.Hour - time.Minute, false},
		"minutes, zone unknown, further than any zone":   {unknown, time.Minute, 15 * time.Hour, false},
		"minutes, zone known":                            {shanghai, time.Minute, 8 * time.Hour, true},
		"minutes, zone known, a quarter of an hour off":  {shanghai, time.Minute, 8*time.Hour - 15*time.Minute, false},
		"minutes, zone known, daylight saving":           {shanghai, time.Minute, 9 * time.Hour, true},
		"minutes, zone known to be UTC, eight hours off": {utc, time.Minute, 8 * time.Hour, false},
		"days, the same day":                             {shanghai, day, -3 * time.Hour, true},
		"days, two days later":                           {unknown, day, -3 * day, false},
	} {
		assert.Equal(t, c.want, c.known.SameTime(listed, c.precision, listed.Add(-c.behind)), name)
	}
}
