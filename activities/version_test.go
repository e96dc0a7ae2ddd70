package activities

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"talon/internal/catalog"
	"talon/internal/ftpclient"
)

// TestIsSameVersion: what is deleted on the server must be what was collected, however coarse the listing was.
func TestIsSameVersion(t *testing.T) {
	const day = 24 * time.Hour
	listed := time.Date(2026, 3, 1, 13, 5, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		precision time.Duration
		modified  time.Time
		size      int64
		same      bool
	}{
		"another size":                   {time.Second, listed, 2, false},
		"MLSD, the same":                 {time.Second, listed, 1, true},
		"MLSD, a second later":           {time.Second, listed.Add(time.Second), 1, false},
		"LIST, the same minute":          {time.Minute, listed.Add(59 * time.Second), 1, true},
		"LIST, in a zone east of UTC":    {time.Minute, listed.Add(-8*time.Hour + 7*time.Second), 1, true},
		"LIST, in a zone west of UTC":    {time.Minute, listed.Add(3*time.Hour + 30*time.Minute), 1, true},
		"LIST, rewritten minutes later":  {time.Minute, listed.Add(7 * time.Minute), 1, false},
		"LIST, rewritten the next day":   {time.Minute, listed.Add(day), 1, false},
		"LIST of an old file, that day":  {day, listed.Truncate(day).Add(23 * time.Hour), 1, true},
		"LIST of an old file, rewritten": {day, listed.Add(3 * day), 1, false},
		"no MDTM: the size must do":      {time.Minute, time.Time{}, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			at := listed
			if c.precision == day {
				at = listed.Truncate(day)
			}
			action := catalog.RemoteAction{Size: 1, ModTime: at, Precision: c.precision}
			assert.Equal(t, c.same, isSameVersion(ftpclient.Behaviour{}, action, c.size, c.modified))
		})
	}
}
