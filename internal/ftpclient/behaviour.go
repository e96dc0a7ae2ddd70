package ftpclient

import (
	"sync"
	"time"
)

// Answer is what is known about one ability of a server.
type Answer string

// Answers.
const (
	Unknown Answer = ""
	Yes     Answer = "yes"
	No      Answer = "no"
)

// Behaviour is what was learned about a server, so that the next connection need not find it out again. The zero Behaviour
// knows nothing. It is comparable, and small enough to be kept as JSON.
type Behaviour struct {
	Software string         `json:"software,omitempty"` // first line of the greeting
	Passive  PassiveMode    `json:"passive,omitempty"`  // PassivePASV once EPSV was refused or led nowhere
	Listing  ListingCommand `json:"listing,omitempty"`  // ListingLIST once MLSD was refused
	NoUTF8   bool           `json:"no_utf8,omitempty"`  // the server ends the login over OPTS UTF8
	Resume   Answer         `json:"resume,omitempty"`   // REST: proven by bytes that fit, or found out to be ignored
	// TLSResume says whether data connections resume the control connection's TLS session.
	TLSResume Answer `json:"tls_resume,omitempty"`
	// ZoneKnown says that the times of listings were compared with MDTM, which is UTC: they are ZoneMinutes ahead of it.
	ZoneKnown   bool `json:"zone_known,omitempty"`
	ZoneMinutes int  `json:"zone_minutes,omitempty"`
	Sessions    int  `json:"sessions,omitempty"` // allowed at once when the server last refused one more; 0: it never did
}

// Zones that the times of a listing may be in: offsets are whole quarters of an hour, at most fourteen hours from UTC.
const (
	zoneStep = 15 * time.Minute
	zoneMost = 14 * time.Hour
)

// SameTime compares the time of a listing with that of MDTM (UTC, RFC 3659 section 3) as far as the listing's precision and
// what is known of its zone allow. A listing in wall-clock time jumps by an hour with daylight saving, so an hour more or
// less counts as the same there; with seconds and in UTC, as MLSD has it, only the very same second does.
func (b Behaviour) SameTime(listed time.Time, precision time.Duration, mdtm time.Time) bool {
	step := min(max(precision, time.Second), time.Minute)
	ahead := listed.Truncate(time.Second).Sub(mdtm.Truncate(step))
	if precision > time.Minute {
		return ahead.Abs() <= zoneMost+precision
	}
	offset := time.Duration(b.ZoneMinutes) * time.Minute
	switch {
	case ahead == offset && b.ZoneKnown, ahead == 0 && precision <= time.Second:
		return true
	case b.ZoneKnown && (offset != 0 || precision > time.Second):
		shift := (ahead - offset).Abs()
		return shift == time.Hour || shift == time.Hour/2
	case precision <= time.Second:
		return false
	}
	return ahead.Abs() <= zoneMost && ahead%zoneStep == 0
}

// zoneOf derives the zone of a listing from one file's time in it and by MDTM; ok is false if they do not fit any zone, as
// when the file was written in between.
func zoneOf(listed time.Time, precision time.Duration, mdtm time.Time) (minutes int, ok bool) {
	step := min(max(precision, time.Second), time.Minute)
	ahead := listed.Truncate(time.Second).Sub(mdtm.Truncate(step))
	return int(ahead / time.Minute), ahead.Abs() <= zoneMost && ahead%zoneStep == 0
}

// memory shares a Behaviour between the connections to one server.
type memory struct {
	mu      sync.Mutex
	learned Behaviour
}

func (m *memory) recall() Behaviour {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.learned
}

func (m *memory) learn(change func(*Behaviour)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(&m.learned)
}
