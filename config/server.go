package config

import (
	"cmp"
	"crypto/tls"
	"time"
)

// Server is one FTP server, in effect: its own entry over the defaults.
type Server struct {
	Name           string         `yaml:"-" json:"-"` // its key below "servers"
	Host           string         `yaml:"host" json:"host"`
	Port           int            `yaml:"port" json:"port"`
	User           string         `yaml:"user" json:"user"`
	Password       Secret         `yaml:"password" json:"password"`
	Path           string         `yaml:"path" json:"path"` // remote directory
	TLS            TLS            `yaml:"tls" json:"tls"`
	TLSVerify      bool           `yaml:"tls_verify" json:"tls_verify"` // false: anybody can pretend to be the server
	TLSCA          string         `yaml:"tls_ca" json:"tls_ca"`         // PEM file, absolute; "": the authorities of the system
	TLSCert        string         `yaml:"tls_cert" json:"tls_cert"`     // PEM file, absolute; "": no certificate of our own
	TLSKey         string         `yaml:"tls_key" json:"tls_key"`       // PEM file, absolute; set if and only if TLSCert is
	TLSMin         uint16         `yaml:"tls_min" json:"tls_min"`       // tls.VersionTLS10 and so on
	TLSMax         uint16         `yaml:"tls_max" json:"tls_max"`       // likewise; 0: no limit
	TLSName        string         `yaml:"tls_name" json:"tls_name"`     // expected in the certificate; Host unless set
	Proxy          Proxy          `yaml:"proxy" json:"proxy"`
	Passive        Passive        `yaml:"passive" json:"passive"`
	TrustDataHost  bool           `yaml:"trust_data_host" json:"trust_data_host"` // data connections go to the address of a PASV reply
	MinDataPort    int            `yaml:"min_data_port" json:"min_data_port"`     // lower data ports are refused
	Encoding       string         `yaml:"encoding" json:"encoding"`               // charset of file names, in lower case
	Connections    int            `yaml:"connections" json:"connections"`
	ConnectTimeout time.Duration  `yaml:"connect_timeout" json:"connect_timeout"` // bounds dialling, TLS and login together
	IdleTimeout    time.Duration  `yaml:"idle_timeout" json:"idle_timeout"`       // bounds every single read and write
	MinRate        Size           `yaml:"min_rate" json:"min_rate"`               // bytes per second; a slower transfer has stalled; 0: none has
	Bandwidth      Size           `yaml:"bandwidth" json:"bandwidth"`             // bytes per second of one worker; 0: no limit
	Listing        ListingCommand `yaml:"listing" json:"listing"`
	Timezone       *time.Location `yaml:"timezone" json:"timezone"` // of the times in LIST; nil: unknown, to be learned from MDTM
	Recursive      bool           `yaml:"recursive" json:"recursive"`
	MaxDepth       int            `yaml:"max_depth" json:"max_depth"`     // directories below Path
	Include        []string       `yaml:"include" json:"include"`         // globs and "re:" expressions; see Wants
	Exclude        []string       `yaml:"exclude" json:"exclude"`         // likewise
	MinAge         time.Duration  `yaml:"min_age" json:"min_age"`         // younger files wait for the next run
	MaxAge         time.Duration  `yaml:"max_age" json:"max_age"`         // older files are left alone; 0: none are
	MinSize        Size           `yaml:"min_size" json:"min_size"`       // smaller files are left alone
	MaxSize        Size           `yaml:"max_size" json:"max_size"`       // larger files are left alone; 0: none are
	DoneMarker     string         `yaml:"done_marker" json:"done_marker"` // such as "{name}.done"; see Marker
	Stable         time.Duration  `yaml:"stable" json:"stable"`           // two listings this far apart must agree on a file; 0: one is enough
	MaxFiles       int            `yaml:"max_files" json:"max_files"`     // in one run; 0: no limit
	MaxBytes       Size           `yaml:"max_bytes" json:"max_bytes"`     // in one run; 0: no limit
	Baseline       Baseline       `yaml:"baseline" json:"baseline"`
	OnShrink       OnShrink       `yaml:"on_shrink" json:"on_shrink"`
	After          After          `yaml:"after" json:"after"`
	// ArchivePasswords are tried in order on encrypted archives of this server, before those of Extract.
	ArchivePasswords []Secret `yaml:"archive_passwords" json:"archive_passwords"`

	// TLSMaterial is what TLSCA, TLSCert and TLSKey hold, once ResolveServerSecrets has read them; nil where no file is named or
	// TLS is off. Servers that name the same files share one.
	TLSMaterial *TLSMaterial `yaml:"-" json:"-"`

	at places
}

// places tells where settings of a server were written, here or in the defaults.
type places struct {
	host, after, minAge, maxAge, minSize, maxSize, minRate, bandwidth, doneMarker position
	tlsVerify, tlsCA, tlsCert, tlsKey, tlsMin, tlsMax                             position
	tlsOwn                                                                        position // a tls_* key of the very mapping being decoded
}

// TLS says whether and how the connection to a server is encrypted.
type TLS string

// The ways to talk to an FTP server (RFC 4217; implicit TLS is the older practice, on port 990).
const (
	TLSNone     TLS = "none"
	TLSExplicit TLS = "explicit"
	TLSImplicit TLS = "implicit"
)

// Passive is the command that asks the server for a data port. There is no active mode.
type Passive string

// PassiveEPSV is for servers behind whose address translation PASV names an address that leads nowhere (RFC 2428),
// PassivePASV for servers and firewalls that do not know EPSV (RFC 959). PassiveAuto finds out.
const (
	PassiveAuto Passive = "auto"
	PassiveEPSV Passive = "epsv"
	PassivePASV Passive = "pasv"
)

// ListingCommand is the command that lists a directory.
type ListingCommand string

// ListingMLSD has exact sizes and times in UTC (RFC 3659, section 7), ListingLIST what people read (RFC 959). ListingAuto
// takes MLSD where the server offers it.
const (
	ListingAuto ListingCommand = "auto"
	ListingMLSD ListingCommand = "mlsd"
	ListingLIST ListingCommand = "list"
)

// BaselineMode is what becomes of the files that a server has when it is listed for the first time.
type BaselineMode string

// Collect them all, adopt them all (they count as seen and are not fetched), or adopt those that are older than a time.
const (
	BaselineCollect BaselineMode = "collect"
	BaselineAdopt   BaselineMode = "adopt"
	BaselineFrom    BaselineMode = "from"
)

// Baseline is BaselineCollect, BaselineAdopt, or BaselineFrom with a time.
type Baseline struct {
	Mode BaselineMode `yaml:"mode" json:"mode"`
	From time.Time    `yaml:"from,omitempty" json:"from,omitzero"` // older files are adopted; only with BaselineFrom
}

// OnShrink says whether it is reported that a listing has less than half of the files of the one before.
type OnShrink string

// The answers to a listing that shrank.
const (
	ShrinkReport OnShrink = "report"
	ShrinkIgnore OnShrink = "ignore"
)

// AfterAction is what becomes of a remote file that was collected.
type AfterAction string

// The things that can be done with a remote file after it is safe in the warehouse and in the catalog.
const (
	AfterKeep   AfterAction = "keep"
	AfterDelete AfterAction = "delete"
	AfterMove   AfterAction = "move"
	AfterRename AfterAction = "rename"
)

// After is AfterKeep, AfterDelete, AfterMove with a target, or AfterRename with a pattern.
type After struct {
	Action AfterAction `yaml:"action" json:"action"`
	Move   string      `yaml:"move,omitempty" json:"move,omitempty"`     // absolute remote directory; only with AfterMove
	Rename string      `yaml:"rename,omitempty" json:"rename,omitempty"` // such as "{name}.collected"; only with AfterRename
}

// RenamedTo returns the name that a collected file with this base name gets in its directory; "" unless the action is
// AfterRename.
func (a After) RenamedTo(base string) string {
	return fill(a.Rename, placeholderName, base)
}

// renamed tells whether a file with this base name is one that was collected and renamed.
func (a After) renamed(base string) bool {
	return isFilled(a.Rename, placeholderName, base)
}

// Marker returns the name of the file that must lie beside a file with this base name before that is collected; "" if
// DoneMarker is not set.
func (s Server) Marker(base string) string {
	return cmp.Or(fill(s.DoneMarker, placeholderName, base), fill(s.DoneMarker, placeholderStem, stem(base)))
}

// IsMarker tells whether a file with this base name is a marker of other files. Wants refuses those.
func (s Server) IsMarker(base string) bool {
	return isFilled(s.DoneMarker, placeholderName, base) || isFilled(s.DoneMarker, placeholderStem, base)
}

// defaultServer returns what holds for a server of which neither its entry nor the defaults of the file say anything. Its
// port is open until TLS is known, the name in its certificate until its host is.
func defaultServer() Server {
	return Server{
		User:           "anonymous",
		Path:           "/",
		TLS:            TLSNone,
		TLSVerify:      true,
		TLSMin:         tls.VersionTLS12,
		Passive:        PassiveAuto,
		MinDataPort:    1024,
		Encoding:       "utf-8",
		Connections:    5,
		ConnectTimeout: 15 * time.Second,
		IdleTimeout:    30 * time.Second,
		MinRate:        100,
		Listing:        ListingAuto,
		Recursive:      true,
		MaxDepth:       32,
		Include:        []string{"*"},
		Baseline:       Baseline{Mode: BaselineCollect},
		OnShrink:       ShrinkReport,
		After:          After{Action: AfterKeep},
	}
}
