package activities

// PlanProbeInput asks for a page of the servers that are to be probed.
type PlanProbeInput struct {
	Servers []string `json:"servers,omitempty"` // empty: all of the configuration
	After   string   `json:"after,omitempty"`   // "" is the first page, then ProbePlan.Next
}

// ProbePlan is a page of servers to probe.
type ProbePlan struct {
	Servers []string `json:"servers"`
	Total   int      `json:"total"`          // on all pages
	Next    string   `json:"next,omitempty"` // "": this is the last page
}

// ProbeServerInput asks what a server can do.
type ProbeServerInput struct {
	Run    string `json:"run"` // workflow ID of the probe
	Server string `json:"server"`
	Write  bool   `json:"write,omitempty"` // also store, rename and delete a file of the probe's own
}

// ServerProbe is what was learned about a server and what is wrong with it: as JSON at most maxProbe bytes, without secrets.
type ServerProbe struct {
	Server  string `json:"server"`
	Address string `json:"address,omitempty"` // host:port
	// Result is Success, Failed if nothing can be collected, and Partial if files can be collected but something is wrong.
	Result   int       `json:"result"`
	Checks   []Check   `json:"checks,omitempty"`
	Learned  Learned   `json:"learned"`
	Problems []Problem `json:"problems,omitempty"`
}

// Names of checks, in the order in which they are made. CheckMove is there only where the configuration moves files.
const (
	CheckLogin    = "login"
	CheckSessions = "sessions"
	CheckList     = "list"
	CheckRead     = "read"
	CheckResume   = "resume"
	CheckTLS      = "tls"
	CheckStore    = "store"
	CheckRename   = "rename"
	CheckMove     = "move"
	CheckDelete   = "delete"
)

// Outcomes of checks.
const (
	CheckOK      = "ok"
	CheckFailed  = "failed"
	CheckSkipped = "skipped"
)

// Check is one thing that was tried.
type Check struct {
	Name    string `json:"name"`
	Outcome string `json:"outcome"`
	Detail  string `json:"detail,omitempty"` // what was seen, or why it was skipped
}

// Learned is what is known about a server. What is not known is empty.
type Learned struct {
	Software  string   `json:"software,omitempty"`   // first line of the greeting
	Passive   string   `json:"passive,omitempty"`    // EPSV or PASV
	Listing   string   `json:"listing,omitempty"`    // MLSD or LIST
	REST      string   `json:"rest,omitempty"`       // yes or no
	Charset   string   `json:"charset,omitempty"`    // of the names that are there
	Zone      string   `json:"zone,omitempty"`       // of the times of listings: UTC, +08:00, …
	TLS       string   `json:"tls,omitempty"`        // version
	TLSResume string   `json:"tls_resume,omitempty"` // yes or no: data connections resume the TLS session
	Sessions  int      `json:"sessions,omitempty"`   // that were open at once
	Features  []string `json:"features,omitempty"`   // FEAT, its first lines
}

// Problem is something that the administrator of a server, or of Talon, should do something about.
type Problem struct {
	What   string `json:"what"`   // stable code
	Detail string `json:"detail"` // what was seen, in the server's own words where there are any
	Advice string `json:"advice"` // a sentence
}

// FailedProbe is the result of a probe that came to nothing itself.
func FailedProbe(server string, err error) ServerProbe {
	reason, detail := ReasonOf(err)
	return ServerProbe{Server: server, Result: Failed, Problems: []Problem{{
		What: reason, Detail: Clip(detail, longestDetail),
		Advice: "This says nothing about the server: look at the log of tiger's worker, and probe once more.",
	}}}
}
