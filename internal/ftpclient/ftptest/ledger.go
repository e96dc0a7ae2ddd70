package ftptest

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// Event is one command and what became of it.
type Event struct {
	Time     time.Time // when the command arrived
	Session  int       // number of the control connection, from 1
	Command  string    // "RETR", in upper case
	Argument string    // as received; that of PASS is the password
	Path     string    // absolute, of commands that name a file or directory
	Version  *Version  // what a RETR served (the last one, if it changed on the way), else nil
	Offset   int64     // where it began (REST)
	Sent     int64     // bytes written to the data connection
	Fault    string    // name of the fault that was served, "" if the server behaved
	Reply    string    // the last reply so far; "" if there was none
}

// SHA256 is the hash of the version that was served, "" if none was.
func (e Event) SHA256() string {
	if e.Version == nil {
		return ""
	}
	return e.Version.SHA256()
}

// ledger is the truth about what happened. It lives as long as the Server, restarts included.
type ledger struct {
	mu     sync.Mutex
	events []*Event
}

func (l *ledger) begin(e *Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
}

func (l *ledger) change(e *Event, change func(*Event)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(e)
}

// pick copies the wanted events, in the order of their arrival.
func (l *ledger) pick(wanted func(*Event) bool) []Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	var picked []Event
	for _, e := range l.events {
		if wanted(e) {
			picked = append(picked, *e)
		}
	}
	return picked
}

// Ledger is everything that happened, in the order of arrival.
func (s *Server) Ledger() []Event { return s.ledger.pick(func(*Event) bool { return true }) }

func (e *Event) line() string { return strings.TrimSuffix(e.Command+" "+e.Argument, " ") }

// Lines are all commands with their arguments, in the order of arrival.
func (s *Server) Lines() []string {
	var lines []string
	for _, e := range s.Ledger() {
		lines = append(lines, e.line())
	}
	return lines
}

// Commands counts the commands that begin with prefix ("RETR", "RETR /a"), also those still being answered.
func (s *Server) Commands(prefix string) int {
	return len(s.ledger.pick(func(e *Event) bool { return strings.HasPrefix(e.line(), prefix) }))
}

// Retrievals are the RETR commands for path, failed ones included.
func (s *Server) Retrievals(path string) []Event {
	path = clean(path)
	return s.ledger.pick(func(e *Event) bool { return e.Command == "RETR" && e.Path == path })
}

// Logins counts the logins that were accepted.
func (s *Server) Logins() int { return s.countLogins("230") }

// RefusedLogins counts what locks accounts: refusals of USER or PASS, but for 421.
func (s *Server) RefusedLogins() int { return s.countLogins("430", "5") }

func (s *Server) countLogins(replies ...string) int {
	return len(s.ledger.pick(func(e *Event) bool {
		return isLogin(e.Command) && slices.ContainsFunc(replies, func(r string) bool { return strings.HasPrefix(e.Reply, r) })
	}))
}

func isLogin(command string) bool { return command == "USER" || command == "PASS" }
